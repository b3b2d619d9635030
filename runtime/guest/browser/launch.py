"""How Chromium is started: its directories, environment and flags. Decides; starts nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from runtime.guest.browser.address import WORKSPACE_ORIGIN

_ENOUGH_SHARED_MEMORY = 128 * 1024 * 1024
_TEMPORARY_BYTES = 107 - len("/org.chromium.Chromium.XXXXXX/SingletonSocket")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "FONTCONFIG_FILE", "LD_LIBRARY_PATH")


class Directories:
    """What lies below the browser's own directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.profile = root / "profile"
        """Cookies, storage, cache; survives a crash of the browser."""
        self.home = root / "home"
        self.downloads = root / "downloads"
        """Downloads on their way; emptied once a file was handed over."""
        self.temporary = root / "tmp"
        """TMPDIR of Chromium; elsewhere when its sockets would get too long a path here."""

    def prepare(self) -> None:
        """Make what is missing; drop what an ended browser left behind."""
        self.discard()
        if len(os.fsencode(self.temporary)) > _TEMPORARY_BYTES:
            self.temporary = Path(tempfile.mkdtemp(prefix="sandlot-browser-"))
        for needed in (self.root, self.profile, self.home, self.temporary, self.downloads):
            needed.mkdir(mode=0o700, parents=True, exist_ok=True)
        # They name host and process of the last browser, and stop the next one on another host.
        for lock in self.profile.glob("Singleton*"):
            lock.unlink(missing_ok=True)

    def discard(self) -> None:
        """Drop what is of no use to the next browser."""
        for leftover in (self.downloads, self.temporary):
            shutil.rmtree(leftover, ignore_errors=True)
        self.temporary = self.root / "tmp"

    def forget_profile(self) -> None:
        """Start over with a fresh profile."""
        shutil.rmtree(self.profile, ignore_errors=True)
        self.prepare()


def environment(directories: Directories) -> dict[str, str | float | bool]:
    """The environment of Chromium: little of ours, and every writable place its own."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "HOME": str(directories.home),
        "TMPDIR": str(directories.temporary),
        "XDG_CONFIG_HOME": str(directories.home / ".config"),
        "XDG_CACHE_HOME": str(directories.home / ".cache"),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }


def arguments(proxy: str | None) -> list[str]:
    """The flags that Playwright does not set by itself.

    The proxy is one of them: Playwright's own option sends loopback to the proxy as well.
    """
    flags = [
        "--disable-quic",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-domain-reliability",
        "--disable-client-side-phishing-detection",
        "--no-pings",
        # Parts that Chromium would fetch by itself, whatever is said of updates, are not there.
        "--component-updater=url-source=http://127.0.0.1:9/",
        # Pages of the workspace may use what browsers reserve for https.
        f"--unsafely-treat-insecure-origin-as-secure={WORKSPACE_ORIGIN}",
    ]
    return [*flags, f"--proxy-server={proxy}" if proxy else "--no-proxy-server"]


def unwanted_arguments(shared_memory: Path = Path("/dev/shm")) -> list[str]:
    """Flags of Playwright to leave out: it avoids shared memory; needless when there is enough."""
    try:
        status = os.statvfs(shared_memory)
    except OSError:
        return []
    is_enough = status.f_bavail * status.f_frsize >= _ENOUGH_SHARED_MEMORY
    return ["--disable-dev-shm-usage"] if is_enough else []

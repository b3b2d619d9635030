"""What the image build takes over from this machine: CA certificates, mirrors, package settings.

The files land in `trust/` of the build context, which only the build stage sees. The parsing is
pure; `collect` reads the machine and treats everything that is not there as nothing to take over.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from runtime.interpreter import module_command
from runtime.sandboxes.image_plan import TRUST_FOLDER, ContextFile

_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_APT_LINE = re.compile(
    r'^Acquire::(https?::(Proxy|Verify-Peer|Verify-Host|Timeout)\b.*|Retries|Check-\S+) ".*";$'
)
_PIP_KEYS = ("index-url", "extra-index-url", "proxy", "timeout", "default-timeout", "trusted-host")
_PROXY_NAMES = ("http_proxy", "https_proxy", "no_proxy", "ftp_proxy", "all_proxy")
_TARGETS = "$(REPO_URI)|$(ORIGIN)|$(LABEL)"


def apt_settings(dump: str) -> str:
    """The lines of `apt-config dump` that decide how to reach a mirror, as an apt.conf."""
    lines = [line for line in dump.splitlines() if _APT_LINE.match(line)]
    return "".join(f"{line}\n" for line in ['Acquire::Retries "3";', *lines])


def debian_mirrors(targets: str) -> str:
    """From apt's index targets, where this machine has Debian and its security updates from.

    Two lines, archive and security; empty where this machine is not a Debian.
    """
    found: dict[str, str] = {}
    for line in targets.splitlines():
        uri, _, origin = line.partition("|")
        if origin in {"Debian|Debian", "Debian|Debian-Security"} and uri.startswith("http"):
            found.setdefault(origin, uri)
    if "Debian|Debian" not in found:
        return ""
    archive, security = found["Debian|Debian"], found.get("Debian|Debian-Security", "")
    return f"{archive}\n{security}\n"


def pip_settings(listing: str) -> str:
    """The part of `pip config list` that decides where packages come from, as a pip.conf.

    Folders of this machine are left out: a build cannot see them.
    """
    kept: dict[str, str] = {}
    for line in sorted(listing.splitlines(), key=lambda each: each.startswith(":env:")):
        name, _, quoted = line.partition("=")
        key = name.rpartition(".")[2]
        if key not in _PIP_KEYS or not quoted.startswith(("'", '"')):
            continue
        words = str(ast.literal_eval(quoted)).split()
        words = [word for word in words if not word.startswith(("file:", "/", "./"))]
        if words:
            kept["timeout" if key == "default-timeout" else key] = " ".join(words)
    return "".join(["[global]\n", *(f"{key} = {value}\n" for key, value in kept.items())])


def proxy_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables; builders know them and keep them out of an image's history."""
    names = [*_PROXY_NAMES, *(name.upper() for name in _PROXY_NAMES)]
    return {name: environment[name] for name in names if environment.get(name)}


def collect(environment: Mapping[str, str] = os.environ) -> list[ContextFile]:
    """Read this machine's settings into files for the build stage."""
    texts = {
        "apt.conf": apt_settings(_output("apt-config", "dump")),
        "mirrors": debian_mirrors(_output("apt-get", "indextargets", "--format", _TARGETS)),
        "pip.conf": pip_settings(_output(*module_command("pip", "config", "list"))),
        "ca.crt": _certificates(environment),
    }
    return [ContextFile(TRUST_FOLDER + name, text.encode()) for name, text in texts.items()]


def _certificates(environment: Mapping[str, str]) -> str:
    path = Path(environment.get("SSL_CERT_FILE") or _CA_BUNDLE)
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""

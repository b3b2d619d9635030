"""The way of a command to a controller: the one that is running, else one for the occasion."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime import clock
from runtime.cli.state import claim_if_unused, in_use, prepare
from runtime.client import Client, ControllerUnreachable
from runtime.client.discovery import (
    URL_VARIABLE,
    Endpoint,
    StateFolder,
    find_key,
    is_locked,
    running_controller,
    state_folder,
)
from runtime.interpreter import module_command
from runtime.schema.settings import Settings
from runtime.specs.settings import load_settings

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Home:
    """Where this command line belongs: its configuration and its state folder."""

    settings: Settings
    folder: StateFolder

    @property
    def api_key(self) -> str | None:
        """The key to use: the configured one, else the one in the state folder."""
        if self.settings.server.api_key is not None:
            return self.settings.server.api_key.get_secret_value()
        return find_key(self.folder)


def home(state_dir: Path | None, config: Path | None = None) -> Home:
    """Read the configuration and find the state folder; the flag wins."""
    settings = load_settings(config, os.environ)
    return Home(settings, state_folder(state_dir or settings.state_dir))


@contextmanager
def connected(state_dir: Path | None, announce: Announce) -> Generator[Client]:
    """A client of the controller; see `controller`."""
    with controller(state_dir, announce) as endpoint, client_of(endpoint) as client:
        yield client


def client_of(endpoint: Endpoint) -> Client:
    """A client that does not go looking again."""
    return Client(endpoint.url, endpoint.api_key)


@contextmanager
def controller(
    state_dir: Path | None, announce: Announce, *, leave_at_work: bool = False
) -> Generator[Endpoint]:
    """Where the controller is. One that had to be started ends when nobody uses it any more.

    With `leave_at_work` it is not waited for, so that it can finish what it was given.
    Raises `ControllerUnreachable`.
    """
    if url := os.environ.get(URL_VARIABLE):
        yield Endpoint(url, home(state_dir).api_key)
        return
    here = home(state_dir)
    prepare(here.folder)
    child: subprocess.Popen[bytes] | None = None
    patient = not leave_at_work
    try:
        with in_use(here.folder):
            if running_controller(here.folder) is None:
                announce("starting a controller for the occasion")
                child = _start(here.folder)
            url = _wait_until_up(here.folder, child)
            if child is not None:
                announce(f"it listens on {url} until this command ends")
            yield Endpoint(url, here.api_key)
    except KeyboardInterrupt:
        patient = False
        raise
    finally:
        if child is not None and patient:
            _see_off(here.folder, child)


def _start(folder: StateFolder) -> subprocess.Popen[bytes]:
    folder.address_file.unlink(missing_ok=True)
    command = module_command("runtime.cli", "serve", "--while-used")
    with folder.log_file.open("ab") as log:
        # A session of its own: an interrupt at the terminal is for the command, not for it.
        return subprocess.Popen(
            [*command, "--state-dir", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_up(folder: StateFolder, child: subprocess.Popen[bytes] | None) -> str:
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline:
        found = running_controller(folder)
        if found is not None and _is_up(found.url):
            return found.url
        if found is None and _has_failed(child) and not is_locked(folder.lock_file):
            raise ControllerUnreachable(
                f"the controller did not start: {_last_words(folder.log_file)}"
            )
        time.sleep(_POLL_SECONDS)
    raise ControllerUnreachable(
        f"the controller does not answer after {START_SECONDS:.0f} s; its log is {folder.log_file}"
    )


def _has_failed(child: subprocess.Popen[bytes] | None) -> bool:
    return child is not None and child.poll() is not None


def _is_up(url: str) -> bool:
    # Whether it can start sandboxes is another question: what is stored stays readable.
    with Client(url, "") as client:
        return client.is_alive()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().split("\n")
    return f"{lines[-1].removeprefix('sandlot: ')} (see {log})"


def _see_off(folder: StateFolder, child: subprocess.Popen[bytes]) -> None:
    """Wait until the controller has ended; it notices by itself that nobody uses it."""
    with claim_if_unused(folder) as unused:
        if not unused:
            return
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.terminate()

"""Where a controller keeps its address and its key, and how its clients find both.

The state folder is `--state-dir`, else `$SANDLOT_STATE_DIR`, else `~/.local/state/sandlot`. A
living controller holds an exclusive lock on `controller.lock` there, so that a file left behind by
one that died is never taken for one that lives.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.client.faults import ControllerUnreachable

URL_VARIABLE = "SANDLOT_URL"
KEY_VARIABLE = "SANDLOT_API_KEY"
STATE_VARIABLE = "SANDLOT_STATE_DIR"
DEFAULT_STATE = "~/.local/state/sandlot"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder in which a controller keeps everything, and the names of the files it shares."""

    path: Path

    @property
    def key_file(self) -> Path:
        """The API key, one line, mode 0600."""
        return self.path / "api_key"

    @property
    def address_file(self) -> Path:
        """JSON `{url, pid, started, occasional}` of the controller that lives here."""
        return self.path / "controller.json"

    @property
    def lock_file(self) -> Path:
        """Locked exclusively by a controller as long as it lives."""
        return self.path / "controller.lock"

    @property
    def users_file(self) -> Path:
        """Locked shared by everyone who uses a controller that was started for the occasion."""
        return self.path / "controller.users"

    @property
    def log_file(self) -> Path:
        """What a controller prints that was started for the occasion."""
        return self.path / "controller.log"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a controller."""

    url: str
    api_key: str | None


@dataclass(frozen=True, slots=True)
class RunningController:
    """A controller that lives on a state folder."""

    url: str
    pid: int
    occasional: bool = False
    """Started for a command, to end when nobody uses it any more."""


def state_folder(
    chosen: Path | str | None = None, environ: Mapping[str, str] | None = None
) -> StateFolder:
    """The state folder: `chosen`, else the environment's, else the default; it need not exist."""
    variables = os.environ if environ is None else environ
    place = chosen or variables.get(STATE_VARIABLE) or DEFAULT_STATE
    return StateFolder(Path(place).expanduser().absolute())


def is_locked(path: Path) -> bool:
    """Whether another open file holds an exclusive lock on `path`."""
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def running_controller(folder: StateFolder) -> RunningController | None:
    """The controller that lives on `folder` and has said where it listens, or None."""
    try:
        record = json.loads(folder.address_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    # The lock comes second: asking for it while a controller starts would stand in its way.
    return _read_address(record) if is_locked(folder.lock_file) else None


def _read_address(record: Any) -> RunningController | None:
    match record:
        case {"url": str(url), "pid": int(pid)}:
            return RunningController(url, pid, record.get("occasional") is True)
        case _:
            return None


def find_key(folder: StateFolder, environ: Mapping[str, str] | None = None) -> str | None:
    """The API key of the environment, else of the state folder, else None."""
    variables = os.environ if environ is None else environ
    if key := variables.get(KEY_VARIABLE):
        return key
    try:
        return folder.key_file.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, PermissionError):
        return None


def discover(
    state_dir: Path | str | None = None, environ: Mapping[str, str] | None = None
) -> Endpoint:
    """Find the controller: `$SANDLOT_URL`, else the one that lives on the state folder.

    Raises `ControllerUnreachable` when none is running and none is named.
    """
    variables = os.environ if environ is None else environ
    folder = state_folder(state_dir, variables)
    key = find_key(folder, variables)
    if url := variables.get(URL_VARIABLE):
        return Endpoint(url, key)
    controller = running_controller(folder)
    if controller is None:
        raise ControllerUnreachable(
            f"no controller is running on {folder.path}: start one with `sandlot serve`, "
            f"or name one in ${URL_VARIABLE}"
        )
    return Endpoint(controller.url, key)

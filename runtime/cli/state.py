"""What a controller writes into its state folder, so that commands find it; see `discovery`."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime import clock
from runtime.client.discovery import KEY_VARIABLE, StateFolder
from runtime.client.faults import ControllerUnreachable
from runtime.errors import InvalidRequest, PermissionDenied
from runtime.ids import new_secret
from runtime.schema.settings import ServerSettings

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_USER_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ServerKey:
    """The API key of a controller and where it is from."""

    value: str
    origin: str
    is_configured: bool
    """Set by the operator, not made up by us."""


def prepare(folder: StateFolder) -> None:
    """Make the state folder, for its owner alone. Raises `PermissionDenied`."""
    try:
        folder.path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as problem:
        raise PermissionDenied(
            f"the state folder {folder.path} cannot be made: {problem.strerror}; "
            "choose another with --state-dir or $SANDLOT_STATE_DIR"
        ) from problem
    if not os.access(folder.path, os.W_OK | os.X_OK):
        raise PermissionDenied(
            f"the state folder {folder.path} cannot be written; "
            "choose another with --state-dir or $SANDLOT_STATE_DIR"
        )


def server_key(folder: StateFolder, settings: ServerSettings) -> ServerKey:
    """The key that a controller asks for; the one in the folder is made when there is none."""
    configured = settings.api_key.get_secret_value() if settings.api_key else ""
    if configured:
        return ServerKey(configured, "as configured", is_configured=True)
    return ServerKey(_kept_key(folder.key_file), f"in {folder.key_file}", is_configured=False)


def _kept_key(path: Path) -> str:
    if not path.exists():
        _create_private(path, new_secret("sandlot") + "\n")
    path.chmod(_PRIVATE_FILE)
    key = path.read_text(encoding="utf-8").strip()
    if not key:
        raise InvalidRequest(f"the key file {path} is empty: delete it to have a new key made")
    return key


def _create_private(path: Path, text: str) -> None:
    """Create the file with its content at once, unless another process was faster."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def refuse_public_address(host: str, key: ServerKey) -> None:
    """Raise `InvalidRequest` for an address that others can reach without a key of the operator's.

    The key in the state folder was made up without anybody looking; whoever opens the API to a
    network must have chosen one.
    """
    if is_loopback_host(host) or key.is_configured:
        return
    raise InvalidRequest(
        f"refusing to listen on {host}, which other machines may reach, without an API key of your "
        f"own: set ${KEY_VARIABLE} or `server.api_key` in the configuration"
    )


def is_loopback_host(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def announced(folder: StateFolder, url: str, *, occasional: bool) -> Generator[None]:
    """Tell commands where the controller listens, for as long as it does."""
    record = {
        "url": url,
        "pid": os.getpid(),
        "started": clock.rfc3339(clock.now()),
        "occasional": occasional,
    }
    draft = folder.address_file.with_suffix(".new")
    draft.write_text(json.dumps(record) + "\n", encoding="utf-8")
    draft.replace(folder.address_file)
    try:
        yield
    finally:
        folder.address_file.unlink(missing_ok=True)


@contextmanager
def in_use(folder: StateFolder) -> Generator[None]:
    """Keep a controller that was started for the occasion up for the block."""
    prepare(folder)
    with folder.users_file.open("ab") as handle:
        _share(handle, folder)
        yield


def _share(handle: IO[bytes], folder: StateFolder) -> None:
    deadline = clock.monotonic() + _USER_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # A controller nobody used a moment ago holds it while it ends.
            if clock.monotonic() > deadline:
                raise ControllerUnreachable(
                    f"the controller on {folder.path} is ending and does not come to its end"
                ) from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def claim_if_unused(folder: StateFolder) -> Generator[bool]:
    """Whether nobody uses the controller; then nobody can begin to within the block."""
    with folder.users_file.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True

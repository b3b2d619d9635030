"""The listening socket of an environment, in the folder that is mounted into its sandbox."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from runtime.errors import SandboxUnavailable, SandlotError, StorageFull
from runtime.socket_paths import address_of

_BACKLOG = 512


def listening_socket(path: Path, uid: int | None) -> socket.socket:
    """Listen on `path`; only `uid` may connect where we can arrange that, else everybody.

    Raises `StorageFull`, `SandboxUnavailable`.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # What lies there is of a controller that was killed: the folder is ours alone.
        path.unlink(missing_ok=True)
        with address_of(path) as address:
            listening.bind(address)
        _restrict(path, uid)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _problem(error) from error
    return listening


def _restrict(path: Path, uid: int | None) -> None:
    if uid is not None and os.geteuid() == 0:
        os.chown(path, uid, uid)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    else:
        path.chmod(0o666)


def _problem(error: OSError) -> SandlotError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"The disk is full: {error}.")
    return SandboxUnavailable(f"The socket of a sandbox's network cannot be made: {error}.")

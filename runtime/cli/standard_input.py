"""Reading standard input so that the wait for it can be given up at any time."""

from __future__ import annotations

import os
import select
from collections.abc import AsyncGenerator

import anyio

PIECE_BYTES = 65536


async def pieces(descriptor: int) -> AsyncGenerator[bytes]:
    """What arrives at the file descriptor, as it arrives, until its end."""
    waits = can_wait(descriptor)
    while True:
        if waits:
            await anyio.wait_readable(descriptor)
        try:
            piece = os.read(descriptor, PIECE_BYTES)
        except OSError:
            # A terminal that was closed on the other side.
            return
        if not piece:
            return
        yield piece


def can_wait(descriptor: int) -> bool:
    """Whether one can wait for it; regular files and `/dev/null` never make one wait."""
    poll = select.epoll()
    try:
        poll.register(descriptor, select.EPOLLIN)
    except (PermissionError, OSError):
        return False
    else:
        return True
    finally:
        poll.close()

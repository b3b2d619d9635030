"""Names of unix sockets whose folder has a longer path than an address of a socket can hold."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

MAX_ADDRESS_BYTES = 107


@contextmanager
def address_of(path: Path) -> Generator[str]:
    """A name under which `path` can be bound or dialled now, whatever its length.

    Its folder must be there. Raises `OSError`.
    """
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

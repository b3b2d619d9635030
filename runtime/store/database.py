"""Transactions: any number of readers, one writer at a time, none torn by a cancellation.

What is read or written is a function of a connection. It runs in a thread, together with what
others want at the same time: reads that come together share a snapshot, writes a commit. So it
looks at nothing but its connection, and may be run again from the start when a neighbour failed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from runtime.errors import StorageUnavailable
from runtime.store import sqlite
from runtime.store.lanes import Job, Lanes

T = TypeVar("T")


class Database:
    """The two engines of one database and the turns on them."""

    def __init__(self, writer: Engine, readers: Engine) -> None:
        self._writer = writer
        self._readers = readers
        self._writes = Lanes(self._write_all, 1)
        self._reads = Lanes(self._read_all, sqlite.READERS)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds in a snapshot that is not older than the call.

        Raises what `work` raises, and `StorageUnavailable`.
        """
        return await self._reads.run(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, once its changes are committed.

        Raises what `work` raises, `StorageFull` and `StorageUnavailable`; nothing of it is stored
        then.
        """
        return await self._writes.run(work)

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._readers.dispose)
            await anyio.to_thread.run_sync(self._writer.dispose)

    def _read_all(self, batch: list[Job[Any]]) -> None:
        try:
            with self._readers.begin() as connection:
                for job in batch:
                    _attempt(job, connection)
        except BaseException as error:  # noqa: BLE001 - handed to everyone who waits for it
            for job in batch:
                job.fail(_fault(error))

    def _write_all(self, batch: list[Job[Any]]) -> None:
        try:
            with self._writer.begin() as connection:
                for job in batch:
                    job.perform(connection)
        except BaseException as error:  # noqa: BLE001 - handed to who waits for it
            if len(batch) == 1:
                batch[0].fail(_fault(error))
                return
            # Nothing was committed: alone, each fails or succeeds for itself.
            for job in batch:
                self._write_all([job])


def _attempt(job: Job[Any], connection: Connection) -> None:
    try:
        job.perform(connection)
    except BaseException as error:  # noqa: BLE001 - handed to who waits for it
        job.fail(_fault(error))


def _fault(error: BaseException) -> BaseException:
    """What an error means to callers; itself where it has no meaning of its own."""
    if isinstance(error, PoolTimeout):
        fault = StorageUnavailable("The database is too busy; try again.")
    elif isinstance(error, DBAPIError):
        fault = sqlite.as_fault(error)
    else:
        fault = None
    if fault is None:
        return error
    fault.__cause__ = error
    return fault

"""Transactions: any number of readers, one writer at a time, none torn by a cancellation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from runtime.errors import StorageUnavailable
from runtime.store import sqlite


class Database:
    """The two pools of one database and the turn to write."""

    def __init__(self, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self._writer = writer
        self._readers = readers
        self._turn = anyio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A snapshot to read from. Raises `StorageUnavailable`."""
        with anyio.CancelScope(shield=True), _faults():
            async with self._readers.begin() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that commits at the end of the block.

        A cancellation waits until it is over: keep it short. Raises `StorageFull` and
        `StorageUnavailable`; then nothing of it is stored.
        """
        async with self._turn:
            with anyio.CancelScope(shield=True), _faults():
                async with self._writer.begin() as connection:
                    yield connection

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self._readers.dispose()
            await self._writer.dispose()


@contextmanager
def _faults() -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        fault = sqlite.as_fault(error)
        if fault is None:
            raise
        raise fault from error
    except PoolTimeout as error:
        raise StorageUnavailable("The database is too busy; try again.") from error

"""Everything that is peculiar to SQLite: how it is opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from runtime.errors import Internal, SandlotError, StorageFull, StorageUnavailable
from runtime.store import codec

BUSY_TIMEOUT_MS = 5000
READERS = 4

# FULL syncs the log at every commit: what a caller was told survives a power cut.
_PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "busy_timeout": str(BUSY_TIMEOUT_MS),
    "foreign_keys": "ON",
    "temp_store": "MEMORY",
    "journal_size_limit": str(64 * 1024 * 1024),
}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def writer(path: Path) -> Engine:
    """The one connection that writes; its transactions take the write lock at their start."""
    return _engine(path, pool_size=1, begin="BEGIN IMMEDIATE", pragmas=_PRAGMAS)


def readers(path: Path) -> Engine:
    """A few connections that only read and never wait for the writer."""
    pragmas = {**_PRAGMAS, "query_only": "ON"}
    return _engine(path, pool_size=READERS, begin="BEGIN", pragmas=pragmas)


def _engine(path: Path, *, pool_size: int, begin: str, pragmas: dict[str, str]) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        # A connection is used by one thread at a time, but not always by the same one.
        connect_args={"check_same_thread": False},
        json_serializer=codec.dumps,
        json_deserializer=codec.loads,
        # Errors are logged, and values are prompts, files and sealed secrets.
        hide_parameters=True,
    )

    def connect(connection: Any, _record: Any) -> None:
        # The driver's own idea of when to begin is switched off; `begin` below decides.
        connection.isolation_level = None
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", start)
    return engine


def check_integrity(connection: Connection) -> None:
    """Look for damage, after a controller that did not end cleanly. Raises `Internal`."""
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise Internal(_damage(str(verdict)))


def as_fault(error: DBAPIError) -> SandlotError | None:
    """What a database error means to callers; None for one that is a mistake of ours."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    if code in _FULL or primary == sqlite3.SQLITE_FULL:
        return StorageFull("The disk with the state folder is full; free some space.")
    if primary in _DAMAGED:
        return Internal(_damage(str(error.orig)))
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StorageUnavailable("Another process holds the database; try again.")
    if primary in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
        return StorageUnavailable(f"The database cannot be used: {error.orig}.")
    return None


def _damage(detail: str) -> str:
    return (
        f"The database in the state folder is damaged ({detail}). Nothing was changed. "
        "Restore `sandlot.db` from a backup, or move it away to start with an empty one."
    )

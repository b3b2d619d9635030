"""The database of a controller, opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from runtime.errors import Internal
from runtime.store import lock, sqlite
from runtime.store.ballast import Ballast
from runtime.store.credentials import Credentials
from runtime.store.database import Database
from runtime.store.egress_events import EgressEvents
from runtime.store.environments import Environments
from runtime.store.events import Events
from runtime.store.files import Files
from runtime.store.idempotency import Idempotency
from runtime.store.interactions import Interactions
from runtime.store.journal import Journal
from runtime.store.keys import Keys
from runtime.store.migration import upgrade
from runtime.store.projects import Projects
from runtime.store.resealing import Resealing
from runtime.store.sessions import Sessions
from runtime.store.vault import Vault

DATABASE = "sandlot.db"


class Store:
    """Everything that outlives the controller, one small class per table."""

    def __init__(self, database: Database, ballast: Ballast, vault: Vault) -> None:
        self._database = database
        self.vault = vault
        self._ballast = ballast
        self.interactions = Interactions(database)
        self.events = Events(database)
        self.environments = Environments(database)
        self.egress_events = EgressEvents(database)
        self.files = Files(database)
        self.idempotency = Idempotency(database)
        self.sessions = Sessions(database)
        self.projects = Projects(database)
        self.keys = Keys(database)
        self.credentials = Credentials(database)
        self.resealing = Resealing(database, vault)
        self.journal = Journal(database, ballast)

    @classmethod
    @asynccontextmanager
    async def open(cls, state_dir: Path, keys: Sequence[str] = ()) -> AsyncGenerator[Store]:
        """The database in `state_dir`, migrated, for this process alone.

        `keys` are those that secrets are sealed with; without any the folder has one of its own.

        Raises `Conflict` when another controller has it or when it is of a newer version,
        `Internal` when it is damaged, `StorageFull` and `StorageUnavailable`.
        """
        path = _file(state_dir)
        with lock.hold(state_dir) as unclean:
            ballast = Ballast(state_dir / "ballast")
            ballast.lay()
            writer = sqlite.writer(path)
            database = Database(writer, sqlite.readers(path))
            try:
                await anyio.to_thread.run_sync(_prepare, writer, unclean)
                yield cls(database, ballast, Vault.open(state_dir, keys))
            finally:
                await database.close()

    async def check(self) -> None:
        """Whether the database answers and new work fits. Raises as `Journal.begin` does."""
        await self._database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
        self._ballast.lay()


def _file(state_dir: Path) -> Path:
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = state_dir / DATABASE
    # SQLite gives its other files the mode of this one.
    path.touch(mode=0o600)
    return path


def _prepare(writer: Engine, check: bool) -> None:
    try:
        with writer.begin() as connection:
            if check:
                sqlite.check_integrity(connection)
            upgrade(connection)
    except DBAPIError as error:
        raise sqlite.as_fault(error) or Internal(
            f"The database cannot be opened: {error}"
        ) from error

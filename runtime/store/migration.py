"""Brings a database to the shape of `runtime.store.tables`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from runtime.errors import Conflict

_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing. Raises `Conflict` for a database from the future."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {
        found.revision for found in scripts.walk_revisions()
    }:
        raise Conflict(
            f"The state folder was written by a newer Sandlot (schema {current}). "
            "Install that version, or choose another folder with --state-dir."
        )
    command.upgrade(config, "head")

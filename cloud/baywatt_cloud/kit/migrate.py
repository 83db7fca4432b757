"""Bring a database to the newest revision, from inside the program (no alembic.ini needed)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from baywatt_cloud.kit.db import Database

_SCRIPTS = Path(__file__).parent.parent / "migrations"


class NewerSchemaError(RuntimeError):
    """The database was made by a newer program: install that one (exit code 5)."""


def config() -> Config:
    """Alembic's configuration for the scripts in this package."""
    made = Config()
    made.set_main_option("script_location", str(_SCRIPTS))
    made.set_main_option("path_separator", "os")
    return made


async def migrate(database: Database) -> None:
    """Upgrade to head; raises NewerSchemaError if the database is beyond it."""
    async with database.engine.connect() as connection:
        await connection.run_sync(_upgrade)
        await connection.commit()


async def is_current(database: Database) -> bool:
    """Whether the schema is the one this program was written for."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(_current) == _head()


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head() -> str | None:
    return ScriptDirectory.from_config(config()).get_current_head()


def _upgrade(connection: Connection) -> None:
    current = _current(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if current is not None and current not in known:
        raise NewerSchemaError(
            f"the database has schema revision {current}, which this program does not know: "
            "install the newer baywatt-cloud that made it"
        )
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, "head")

"""The migrations make exactly the schema that the models describe, on both databases."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import Connection, text

from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.migrate import NewerSchemaError, config, is_current, migrate


def _check(connection: Connection) -> None:
    made = config()
    made.attributes["connection"] = connection
    command.check(made)


async def test_models_and_migrations_agree(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.run_sync(_check)
    assert await is_current(database)


def _down_and_up(connection: Connection) -> None:
    made = config()
    made.attributes["connection"] = connection
    command.downgrade(made, "base")
    command.upgrade(made, "head")


async def test_down_to_nothing_and_up_again(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.run_sync(_down_and_up)
        await connection.commit()
    assert await is_current(database)


async def test_a_database_of_a_newer_program_is_refused(database: Database) -> None:
    set_to = text("UPDATE alembic_version SET version_num = :version")
    async with database.write() as db:
        before = await db.scalar(text("SELECT version_num FROM alembic_version"))
        await db.execute(set_to, {"version": "future"})
    with pytest.raises(NewerSchemaError, match="future"):
        await migrate(database)
    async with database.write() as db:
        await db.execute(set_to, {"version": before})

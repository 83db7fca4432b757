"""`baywatt-cloud`: serve, migrate, ingest, add people and sites.

stdout is data, stderr is for people. Exit codes: 0 ok, 1 findings, 2 bad usage or setting,
3 not reachable, 5 database newer than this program.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from baywatt_cloud.kit import logs
from baywatt_cloud.kit.db import Database
from baywatt_cloud.kit.migrate import NewerSchemaError, migrate
from baywatt_cloud.kit.plugins import optional
from baywatt_cloud.kit.settings import BadSettingError, Settings
from baywatt_cloud.models import Role

app = typer.Typer(
    name="baywatt-cloud",
    help="The cloud of Baywatt: bookings, sessions, bills.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
user = typer.Typer(help="People.", no_args_is_help=True)
site = typer.Typer(help="Sites.", no_args_is_help=True)
app.add_typer(user, name="user")
app.add_typer(site, name="site")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Entry point of the console script."""
    logs.set_up(os.environ.get("BAYWATT_LOG_LEVEL", "INFO"))
    billing = optional("baywatt_cloud.billing.cli")
    if billing is not None:
        billing.register(app)
    app()


def settings() -> Settings:
    """The environment's settings; exits with 2 and one clear line if one does not fit."""
    try:
        return Settings.from_env()
    except BadSettingError as error:
        raise _fail(2, str(error)) from error


def _fail(code: int, line: str) -> typer.Exit:
    typer.echo(f"baywatt-cloud: {line}", err=True)
    return typer.Exit(code)


def run(work: Callable[[Database], Awaitable[None]]) -> None:
    """Run some work on the migrated database; one clear line and an exit code for what fails."""
    chosen = settings()

    async def go() -> None:
        database = Database(chosen.database_url)
        try:
            if chosen.is_sqlite:
                await migrate(database)
            await work(database)
        finally:
            await database.close()

    guard(go)


def guard(work: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine, with one clear line and an exit code for what fails."""

    async def go() -> None:
        try:
            await work()
        except DBAPIError:
            await asyncio.sleep(0.1)  # the thread of a failed SQLite connection answers to the loop
            raise

    try:
        asyncio.run(go())
    except NewerSchemaError as error:
        raise _fail(5, str(error)) from error
    except (DBAPIError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise _fail(3, f"database: {reason} (BAYWATT_DATABASE_URL; `baywatt-cloud migrate`)") from (
            error
        )


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database to this program's schema."""
    run(migrate)
    typer.echo("the schema is current", err=True)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
) -> None:
    """Serve the API, with ingest and relay inside (BAYWATT_WORKERS=0: API only)."""
    import uvicorn  # noqa: PLC0415 - other commands start faster without it

    from baywatt_cloud.app import create_app  # noqa: PLC0415

    chosen = settings()
    run(_check)
    typer.echo(
        f"baywatt-cloud on http://{host}:{port} (docs at /docs), "
        f"database {chosen.database_url.partition(':')[0]}, "
        f"broker {'configured' if chosen.mqtt_url else 'none: set BAYWATT_MQTT_URL'}",
        err=True,
    )
    uvicorn.run(
        create_app(chosen),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
    )


async def _check(database: Database) -> None:
    from baywatt_cloud.kit.migrate import is_current  # noqa: PLC0415

    if not await is_current(database):
        raise _fail(2, "the database has another schema: run `baywatt-cloud migrate`")


@app.command()
def ingest() -> None:
    """Listen to the sites and speak to them, without the API."""
    from baywatt_cloud.app import make_services, workers_of  # noqa: PLC0415
    from baywatt_cloud.kit.workers import running  # noqa: PLC0415

    chosen = settings()
    if chosen.mqtt_url is None:
        raise _fail(2, "set BAYWATT_MQTT_URL=mqtt://HOST:PORT")

    async def go() -> None:
        services = make_services(chosen)
        try:
            async with running(workers_of(services)):
                await asyncio.Event().wait()
        finally:
            await services.payments.close()
            await services.database.close()

    run(_check)
    guard(go)


@user.command("add")
def add_user(
    email: str,
    role: Annotated[Role, typer.Option(help="What the person may do.")] = Role.DRIVER,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add a person, or change role and password of a known one."""
    from baywatt_cloud import admin  # noqa: PLC0415

    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)

    async def work(database: Database) -> None:
        try:
            added = await admin.add_person(database, email, role, password)
        except admin.AdminError as error:
            raise _fail(2, str(error)) from error
        fields = {"user_id": added.id, "email": added.email, "role": str(role)}
        typer.echo(json.dumps(fields) if as_json else f"{added.email} is {role} ({added.id})")

    run(work)


@site.command("add")
def add_site(site_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Add a site and print its MQTT credentials (for a known site: new ones)."""
    from baywatt_cloud import admin  # noqa: PLC0415

    async def work(database: Database) -> None:
        try:
            made = await admin.add_site(database, site_id)
        except admin.AdminError as error:
            raise _fail(2, str(error)) from error
        fields = {"site": made.site, "username": made.username, "password": made.password}
        if as_json:
            typer.echo(json.dumps(fields))
        else:
            for name, value in fields.items():
                typer.echo(f"{name} = {value}")

    run(work)

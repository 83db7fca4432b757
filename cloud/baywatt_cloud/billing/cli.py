"""`baywatt-cloud price` and `reconcile`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from baywatt_cloud.billing.reconcile import Report
    from baywatt_contract.tariff import Priced

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("price")(price)
    app.command("reconcile")(reconcile)


def _fail(code: int, line: str) -> typer.Exit:
    typer.echo(f"baywatt-cloud: {line}", err=True)
    return typer.Exit(code)


def price(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON; - reads stdin.")],
    as_json: Json = False,
) -> None:
    """Price the periods in FILE by its OCPI 2.2.1 tariff, exactly."""
    from baywatt_contract.tariff import PricingError  # noqa: PLC0415 - quick --help
    from baywatt_contract.tariff.border import read_request, to_json  # noqa: PLC0415

    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        priced = read_request(body).price()
    except OSError as error:
        raise _fail(2, f"{file}: {error.strerror or error}") from error
    except PricingError as error:
        raise _fail(2, f"{file}: {error}") from error
    if as_json:
        typer.echo(json.dumps(to_json(priced), indent=2))
    else:
        _print_price(priced)


def _print_price(priced: Priced) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from baywatt_cloud.billing.charges import (  # noqa: PLC0415  # noqa: PLC0415
        label_of,
        percent_text,
        price_text,
        quantity_text,
        unit_of,
    )
    from baywatt_contract.money import format_minor, to_minor  # noqa: PLC0415

    def money(value: Any) -> str:  # noqa: ANN401
        return format_minor(to_minor(value, priced.currency), priced.currency)

    table = Table("what", "clause", box=None, header_style="dim")
    for head in ("quantity", "unit price", "VAT", "excl. VAT"):
        table.add_column(head, justify="right")
    for line in priced.lines:
        table.add_row(
            label_of(line),
            line.clause,
            quantity_text(line.quantity, unit_of(line)),
            price_text(line.unit_price),
            f"{percent_text(line.vat_percent)} %",
            money(line.excl_vat),
        )
    table.add_section()
    table.add_row("total excl. VAT", "", "", "", "", money(priced.excl_vat))
    table.add_row("total incl. VAT", "", "", "", "", money(priced.incl_vat), style="bold")
    Console().print(table)


def reconcile(as_json: Json = False) -> None:
    """Prove energy = CDR = invoice = payment; lists every exception and exits with 1 if any."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from baywatt_cloud.kit.migrate import NewerSchemaError  # noqa: PLC0415
    from baywatt_cloud.kit.settings import BadSettingError, Settings  # noqa: PLC0415

    try:
        report = asyncio.run(_reconcile(Settings.from_env()))
    except BadSettingError as error:
        raise _fail(2, str(error)) from error
    except NewerSchemaError as error:
        raise _fail(5, str(error)) from error
    except (DBAPIError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise _fail(3, f"database: {reason} (BAYWATT_DATABASE_URL)") from error
    typer.echo(json.dumps(_report_json(report), indent=2) if as_json else _report_text(report))
    if not report.ok:
        raise typer.Exit(1)


async def _reconcile(settings: Any) -> Report:  # noqa: ANN401 - imported lazily
    from baywatt_cloud.billing import module  # noqa: PLC0415
    from baywatt_cloud.billing.reconcile import reconcile as compare  # noqa: PLC0415
    from baywatt_cloud.kit.clock import system_clock  # noqa: PLC0415
    from baywatt_cloud.kit.db import Database  # noqa: PLC0415
    from baywatt_cloud.kit.migrate import migrate  # noqa: PLC0415

    database = Database(settings.database_url)
    payments = module.make_payments(settings, system_clock)
    try:
        if settings.is_sqlite:
            await migrate(database)
        async with database.read() as db:
            return await compare(db, payments.gateway)
    finally:
        await payments.close()
        await database.close()


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "sessions": report.sessions,
        "billed_elsewhere": report.billed_elsewhere,
        "energy_wh": report.energy_wh,
        "invoiced_minor": report.invoiced_minor,
        "paid_minor": report.paid_minor,
        "findings": [
            {"kind": each.kind, "subject": each.subject, "detail": each.detail}
            for each in report.findings
        ],
    }


def _report_text(report: Report) -> str:
    from baywatt_contract.money import format_minor  # noqa: PLC0415

    def money(sums: dict[str, int]) -> str:
        return ", ".join(format_minor(minor, code) for code, minor in sums.items()) or "nothing"

    head = (
        f"{report.sessions} sessions, {report.energy_wh / 1000:.3f} kWh in CDRs, "
        f"{money(report.invoiced_minor)} invoiced, {money(report.paid_minor)} paid"
    )
    if report.ok:
        return f"{head}: every ledger agrees"
    lines = [f"  {each.kind}: {each.subject}: {each.detail}" for each in report.findings]
    return "\n".join([f"{head}: {len(lines)} exceptions", *lines])

"""The check of the books: journal = OCPP = cloud session = invoice = payment, and = the physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE
from rich.table import Table

Json = dict[str, Any]
REGISTER_STEP_WH = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """The figures of one session as each ledger has them; `delivered_wh` is the simulator's own."""

    session: str
    delivered_wh: float
    journal: tuple[int, int]
    ocpp: tuple[int, int]
    cloud: tuple[int, int]
    invoice_wh: int
    invoice_gross_minor: int
    paid_minor: int
    starts: int
    stops: int

    def problems(self) -> list[str]:
        """What does not agree; empty when the books are right."""
        begin, end = self.journal
        found = []
        if (self.starts, self.stops) != (1, 1):
            found.append(f"{self.starts} StartTransaction, {self.stops} StopTransaction, not 1 + 1")
        if self.ocpp != self.journal:
            found.append(f"OCPP has {self.ocpp}, the journal {self.journal}")
        if self.cloud != self.journal:
            found.append(f"the cloud has {self.cloud}, the journal {self.journal}")
        if self.invoice_wh != end - begin:
            found.append(f"the invoice has {self.invoice_wh} Wh, the journal {end - begin}")
        if abs(end - begin - self.delivered_wh) > REGISTER_STEP_WH:
            found.append(f"{end - begin} Wh billed, {self.delivered_wh:.2f} Wh delivered")
        if self.paid_minor != self.invoice_gross_minor:
            found.append(f"{self.paid_minor} paid of {self.invoice_gross_minor}")
        return found


def of_session(
    session: str,
    *,
    delivered_wh: float,
    events: list[Json],
    starts: list[Json],
    stops: list[Json],
    cloud: Json,
    invoice: Json,
) -> Ledger:
    """Collect a session's figures. `starts` and `stops` are what the CSMS received."""
    began = _only(events, "ChargingStarted", session)
    ended = _only(events, "ChargingStopped", session)
    begin, end = began["energy_wh"], ended["energy_wh"]
    # A CSMS knows no session ids: the connector's first register names the transaction.
    mine = [
        each["payload"]
        for each in starts
        if (each["payload"]["connectorId"], each["payload"]["meterStart"])
        == (began["connector"], begin)
    ]
    ends = [each["payload"] for each in stops if each["payload"]["meterStop"] == end]
    return Ledger(
        session=session,
        delivered_wh=delivered_wh,
        journal=(begin, end),
        ocpp=(mine[0]["meterStart"] if mine else -1, ends[0]["meterStop"] if ends else -1),
        cloud=(cloud["begin_wh"], cloud["end_wh"]),
        invoice_wh=invoice["energy_wh"],
        invoice_gross_minor=invoice["gross_minor"],
        paid_minor=invoice["payment"]["paid_minor"],
        starts=len(mine),
        stops=len(ends),
    )


def table(ledgers: list[Ledger], currency: str) -> Table:
    """The figures side by side."""
    shown = Table(title="The books, energy in Wh", title_justify="left", box=SIMPLE)
    columns = ("session", "flowed", "journal", "OCPP", "cloud", "invoice", "paid", "verdict")
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in {"session", "verdict"} else "right"
        shown.add_column(name, justify=justify, no_wrap=True)
    for each in ledgers:
        wh = [str(end - begin) for begin, end in (each.journal, each.ocpp, each.cloud)]
        verdict = "[green]equal[/]" if not each.problems() else "[bold red]differs[/]"
        paid = f"{each.paid_minor / 100:.2f} {currency}"
        shown.add_row(
            each.session[:6], f"{each.delivered_wh:.2f}", *wh, str(each.invoice_wh), paid, verdict
        )  # fmt: skip
    return shown


def _only(events: list[Json], kind: str, session: str) -> Json:
    found = [
        each["data"]
        for each in events
        if each["type"] == kind and each["data"]["session"] == session
    ]
    if len(found) != 1:
        raise AssertionError(f"the journal has {len(found)} {kind} for session {session}, not 1")
    only: Json = found[0]
    return only

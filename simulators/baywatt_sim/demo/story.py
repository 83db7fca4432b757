"""The story that the demo plays: two drivers, a broker outage, a killed daemon, two receipts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from baywatt_sim.client import StateSeen
from baywatt_sim.demo import ledger
from baywatt_sim.demo.driver import Driver, Json, LiveWatch, until
from baywatt_sim.demo.stack import Stack
from baywatt_sim.demo.timeline import Timeline

CARD = "04A1B2C3D4E5F6"
_OUTAGE_S = 10.0
_CAR = {"capacity_wh": 60_000, "soc": 0.2, "max_current_a": 32, "phases": 3}


@dataclass(slots=True)
class Visit:
    """One driver's stay at a connector."""

    driver: Driver
    connector: int
    bay: str
    session: str = ""
    delivered_before_wh: float = 0.0
    watch: LiveWatch | None = None


class Story:
    """Plays itself on a running stack; `play` returns the problems the books show."""

    def __init__(self, stack: Stack, timeline: Timeline, *, hurry: bool = False) -> None:
        self._stack = stack
        self._timeline = timeline
        self._tell = self._timeline.tell
        self._quote: Json = {}
        self._charge_s = 2.0 if hurry else 5.0
        self.invoices: list[Json] = []
        self.pdfs: list[Path] = []

    async def play(self) -> list[str]:
        """From registration to the checked receipts."""
        stack = self._stack
        await stack.sim.supply((10, 5, 0))
        ada = Visit(Driver(stack.cloud_url, "ada@example.org"), 1, "A1")
        ben = Visit(Driver(stack.cloud_url, "ben@example.org"), 2, "A2")
        try:
            await self._all_connected()
            booking = await self._ada_books(ada)
            await self._ada_arrives(ada, booking)
            await self._ben_arrives(ben)
            await self._outage(ada)
            await self._daemon_dies(ada)
            await self._leave(ada, ben)
            ledgers = [await self._receipt(visit) for visit in (ada, ben)]
        finally:
            await ada.driver.close()
            await ben.driver.close()
        self._timeline.show(ledger.table(ledgers, "EUR"))
        problems = [problem for each in ledgers for problem in each.problems()]
        return problems + await self._reconciled(ledgers)

    # --- chapters --------------------------------------------------------------------------

    async def _all_connected(self) -> None:
        def connected(seen: Json) -> bool:
            csms = [each["state"] for each in seen["csms"].values()]
            return csms == ["accepted"] and seen["cloud"]["state"] == "connected"

        seen = await until(self._stack.status, connected, what="CSMS and cloud")
        buses = len(seen["buses"])
        change = {"key": "MeterValueSampleInterval", "value": "3"}
        answer = await self._stack.csms_send("ChangeConfiguration", change)
        if answer.get("status") != "Accepted":
            raise AssertionError(f"ChangeConfiguration was answered with {answer}")
        self._tell("stack", f"all run: {buses} buses, CSMS accepted, cloud connected")

    async def _ada_books(self, ada: Visit) -> Json:
        await ada.driver.register()
        await ada.driver.add_card(CARD)
        self._tell("driver", "Ada registers and adds her card")
        station, evse = await until(
            lambda: _maybe(ada.driver), lambda found: found[0] is not None, what="a free connector"
        )
        ada.connector = int(evse["evse_id"].rpartition(".")[2])
        ada.bay = evse["bay_id"].rpartition(".")[2]
        self._tell(
            "driver",
            f"nearest free: {station['name']}, {station['distance_m']} m, connector "
            f"{ada.connector} with bay {ada.bay} ({evse['max_power_w'] / 1000:.0f} kW)",
        )
        quote = self._quote = await ada.driver.quote(evse, hours=2, energy_wh=500)
        self._tell(
            "cloud",
            f"quote: likely {_money(quote['likely_minor'], quote)}, "
            f"at most {_money(quote['worst_minor'], quote)}",
        )
        booking = await ada.driver.book(quote["quote_id"])
        self._tell("driver", f"Ada books for two hours, PIN {booking['pin']}")
        await until(
            lambda: ada.driver.get(f"/charging/booking/{booking['booking_id']}"),
            lambda seen: seen["sync"] == "applied",
            what="the booking on site",
        )
        self._tell("site", "the site holds the booking: it works with the line down, too")
        return booking

    async def _ada_arrives(self, ada: Visit, booking: Json) -> None:
        sim = self._stack.sim
        await sim.bay(ada.bay, occupied=True)
        await until(
            self._stack.status,
            lambda seen: seen["bays"][ada.bay]["state"] == "occupied",
            what="the bay sensor",
        )
        self._tell("site", f"bay {ada.bay} is occupied")
        await self._plug(ada)
        await sim.swipe(ada.connector, CARD)
        self._tell("driver", "Ada plugs in and holds her card to the reader")
        await self._charging(ada)
        ada.session = await self._session_of(ada)
        ada.watch = ada.driver.watch(ada.session)
        live = await self._power_arrives(ada)
        self._tell(
            "cloud", f"live: {live['power_w'] / 1000:.1f} kW, limit {live['limit_ma'] / 1000:g} A"
        )
        fresh = await ada.driver.get(f"/charging/booking/{booking['booking_id']}")
        if fresh["session_id"] != ada.session:
            raise AssertionError(f"the booking was not used by the session: {fresh}")

    async def _ben_arrives(self, ben: Visit) -> None:
        await ben.driver.register()
        await self._stack.sim.bay(ben.bay, occupied=True)
        await self._plug(ben)
        ben.session = await ben.driver.start(evse_id=f"{self._stack.site}.{ben.connector}")
        self._tell("driver", "Ben arrives next to her and starts from the app")
        await self._charging(ben)
        seen = await self._stack.sim.until(_throttled, timeout_s=30, what="the throttle")
        amps = [f"{seen.connectors[each].current_a[0]:.1f} A" for each in (1, 2)]
        phases = ", ".join(f"{each:.1f}" for each in seen.supply.current_a)
        self._tell("site", f"shared: {amps[0]} + {amps[1]}; supply {phases} A of 63 A")
        await asyncio.sleep(self._charge_s)

    async def _outage(self, ada: Visit) -> None:
        await self._stack.broker.kill()
        self._tell("trouble", "the broker is gone; both cars go on charging")
        before = (await self._stack.sim.state()).connectors[ada.connector].energy_wh
        await asyncio.sleep(_OUTAGE_S)
        after = (await self._stack.sim.state()).connectors[ada.connector].energy_wh
        waiting = (await self._stack.status())["cloud"]["unacked"]
        await self._stack.broker.start()
        self._tell(
            "stack",
            f"broker back after {_OUTAGE_S:g} s: {after - before:.0f} Wh flowed meanwhile, "
            f"{waiting} events waited",
        )

    async def _daemon_dies(self, ada: Visit) -> None:
        await self._stack.kill("daemon")
        seen = await self._stack.sim.state()
        closed = seen.connectors[ada.connector].contactor_closed
        self._tell(
            "trouble", f"SIGKILL to the daemon; Ada's contactor stays {_word(closed=closed)}"
        )
        fallen = await self._stack.sim.until(
            lambda seen: seen.connectors[ada.connector].offered_a <= 6, timeout_s=10,
            what="the board's fail-safe",
        )  # fmt: skip
        offered = fallen.connectors[ada.connector].offered_a
        self._tell("site", f"the board fell to its fail-safe by itself: {offered:g} A")
        await self._stack.start_daemon()
        await self._charging(ada)
        await self._stack.sim.until(
            lambda seen: seen.connectors[ada.connector].offered_a > 6, timeout_s=30,
            what="the raise after the restart",
        )  # fmt: skip
        self._tell("site", "daemon back: the same transaction goes on")
        await asyncio.sleep(self._charge_s)

    async def _leave(self, ada: Visit, ben: Visit) -> None:
        await ada.driver.stop(ada.session)
        self._tell("driver", "Ada stops from the app")
        await self._stack.sim.unplug(ben.connector)
        self._tell("driver", "Ben just pulls the plug")
        await self._stack.sim.until(
            lambda seen: not seen.connectors[ada.connector].contactor_closed,
            what="the open contactor",
        )
        await until(
            self._stack.status,
            lambda seen: seen["connectors"][str(ada.connector)]["state"] == "Finishing",
            what="the final register",
        )
        await self._stack.sim.unplug(ada.connector)
        for visit in (ada, ben):
            await self._stack.sim.bay(visit.bay, occupied=False)
        self._tell("driver", "both unplug and leave")

    async def _receipt(self, visit: Visit) -> ledger.Ledger:
        invoice = await until(
            lambda: visit.driver.invoice_of(visit.session),
            lambda found: found is not None and found["payment"]["paid_minor"] > 0,
            what=f"the invoice of {visit.driver.email}",
            timeout_s=40,
        )
        self.invoices.append(invoice)
        pdf = self._stack.folder / f"{invoice['number']}.pdf"
        pdf.write_bytes(await visit.driver.invoice_pdf(invoice["invoice_id"]))
        self.pdfs.append(pdf)
        mail = await until(
            lambda: self._mail_to(visit.driver.email), lambda found: found is not None,
            what=f"the e-mail to {visit.driver.email}",
        )  # fmt: skip
        name = visit.driver.email.partition("@")[0].title()
        if invoice["number"] not in mail:
            raise AssertionError(f"the e-mail {mail!r} is not about {invoice['number']}")
        self._tell(
            "books",
            f"{name}: {invoice['number']}, {invoice['energy_wh']} Wh, "
            f"{_money(invoice['gross_minor'], invoice)}, receipt mailed",
        )
        return await self._ledger(visit, invoice)

    async def _reconciled(self, ledgers: list[ledger.Ledger]) -> list[str]:
        """The cloud's own proof over CDRs, invoices and payments agrees with ours."""
        report = await self._stack.reconcile()
        energy_wh = sum(end - begin for begin, end in (each.journal for each in ledgers))
        found = [f"reconcile: {each['kind']} {each['detail']}" for each in report["findings"]]
        if report["energy_wh"] != energy_wh:
            found.append(f"the CDRs have {report['energy_wh']} Wh, the journal {energy_wh}")
        self._tell(
            "books",
            f"baywatt-cloud reconcile: {report['sessions']} sessions, {report['energy_wh']} Wh, "
            f"{len(found)} exceptions",
        )
        return found

    # --- helpers -----------------------------------------------------------------------------

    async def _plug(self, visit: Visit) -> None:
        seen = await self._stack.sim.state()
        visit.delivered_before_wh = seen.connectors[visit.connector].energy_wh
        await self._stack.sim.plug(visit.connector, **_CAR)

    async def _charging(self, visit: Visit) -> None:
        await until(
            self._stack.status,
            lambda seen: seen["connectors"][str(visit.connector)]["state"] == "Charging",
            what=f"charging at connector {visit.connector}",
        )

    async def _session_of(self, visit: Visit) -> str:
        seen = await until(
            visit.driver.sessions,
            lambda items: any(each["started_at"] for each in items),
            what="the session in the cloud",
        )
        return str(seen[0]["session_id"])

    async def _power_arrives(self, visit: Visit) -> Json:
        watch = visit.watch
        if watch is None:
            raise AssertionError("nobody watches the session")

        async def last() -> Json:
            return watch.last

        live: Json = await until(
            last, lambda seen: seen.get("power_w", 0) > 1000, what="live power at the WebSocket"
        )
        return live

    async def _mail_to(self, address: str) -> str | None:
        subjects = [mail.subject for mail in self._stack.mails.mails if address in mail.recipients]
        return subjects[-1] if subjects else None

    async def _ledger(self, visit: Visit, invoice: Json) -> ledger.Ledger:
        starts, stops = [], []

        async def stopped() -> bool:
            nonlocal starts, stops
            starts = await self._stack.csms_received("StartTransaction")
            stops = await self._stack.csms_received("StopTransaction")
            return len(stops) >= 2

        await until(stopped, bool, what="both StopTransactions at the CSMS")
        seen = await self._stack.sim.state()
        delivered = seen.connectors[visit.connector].energy_wh - visit.delivered_before_wh
        return ledger.of_session(
            visit.session,
            delivered_wh=delivered,
            events=await self._stack.events(),
            starts=starts,
            stops=stops,
            cloud=await visit.driver.session(visit.session),
            invoice=invoice,
        )


async def _maybe(driver: Driver) -> tuple[Json | None, Json | None]:
    """The site's description may still be on its way to the cloud."""
    found = await driver.get("/search/stations", location="53.5470,9.9700", bay="true")
    for station in found["items"]:
        for evse in station["evses"]:
            if evse["free"] and evse["status"] == "Available" and evse["current_kind"] == "ac":
                return station, evse
    return None, None


def _throttled(seen: StateSeen) -> bool:
    """Both draw alike, neither its 32 A, and the phases stay within the fuse."""
    one, two = (seen.connectors[each].current_a[0] for each in (1, 2))
    return abs(one - two) < 1 and 10 < one < 30 and max(seen.supply.current_a) <= 63


def _money(minor: int, document: Json) -> str:
    return f"{minor / 100:.2f} {document['currency']}"


def _word(*, closed: bool) -> str:
    return "closed" if closed else "OPEN"

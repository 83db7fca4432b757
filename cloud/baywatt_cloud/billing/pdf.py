"""The invoice as one good-looking page: every line names its clause and its meter readings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from baywatt_cloud.billing.models import Invoice, Payment, PaymentState
from baywatt_contract.clock import EPOCH
from baywatt_contract.money import format_minor

_INK = (23, 33, 43)
_SOFT = (104, 117, 130)
_RULE = (214, 221, 228)
_ACCENT = (0, 122, 107)
_WIDTH = 174.0
_LEFT = 18.0


def invoice_pdf(invoice: Invoice, payment: Payment | None) -> bytes:
    """The page as PDF bytes; the same invoice and payment give the same bytes."""
    page = _Page(invoice.body, invoice.issued_ms)
    page.head()
    page.facts()
    page.lines()
    page.totals(payment)
    page.readings()
    page.foot()
    return bytes(page.pdf.output())


def latin(text: object) -> str:
    """What the PDF's own fonts can show; anything else becomes a question mark."""
    swapped = str(text).replace("\N{EN DASH}", "-").replace("\N{RIGHTWARDS ARROW}", "->")
    return swapped.encode("cp1252", "replace").decode("cp1252")


class _Page:
    def __init__(self, body: dict[str, Any], issued_ms: int) -> None:
        self.body = body
        self.zone = ZoneInfo(body["time_zone"])
        self.issued = EPOCH + timedelta(milliseconds=issued_ms)
        self.pdf = FPDF(format="A4")
        self.pdf.set_creation_date(self.issued.astimezone(UTC))
        self.pdf.set_title(f"Invoice {body['number']}")
        self.pdf.set_margins(_LEFT, 16, _LEFT)
        self.pdf.set_auto_page_break(auto=True, margin=18)
        self.pdf.add_page()

    def money(self, minor: int) -> str:
        return format_minor(minor, self.body["currency"])

    def local(self, text: str, pattern: str = "%d %b %Y %H:%M:%S") -> str:
        return datetime.fromisoformat(text).astimezone(self.zone).strftime(pattern)

    def text(
        self, value: object, *, size: float = 10, bold: bool = False, soft: bool = False,
        width: float = 0, align: str = "L", end: bool = True, height: float = 0,
    ) -> None:  # fmt: skip
        self.pdf.set_font("helvetica", "B" if bold else "", size)
        self.pdf.set_text_color(*(_SOFT if soft else _INK))
        after = (XPos.LMARGIN, YPos.NEXT) if end else (XPos.RIGHT, YPos.TOP)
        self.pdf.cell(
            width, height or size * 0.52, latin(value), align=align, new_x=after[0], new_y=after[1]
        )

    def rule(self) -> None:
        self.pdf.set_draw_color(*_RULE)
        y = self.pdf.get_y() + 1.5
        self.pdf.line(_LEFT, y, _LEFT + _WIDTH, y)
        self.pdf.set_y(y + 1.5)

    def head(self) -> None:
        issuer = self.body["issuer"]
        self.pdf.set_fill_color(*_ACCENT)
        self.pdf.rect(0, 0, 210, 6, style="F")
        self.pdf.set_y(18)
        self.text(issuer["name"], size=17, bold=True, width=100, end=False, height=9)
        self.text(f"Invoice {self.body['number']}", size=13, bold=True, align="R", height=9)
        self.text(issuer["address"], size=9, soft=True, width=100, end=False)
        self.text(
            f"Issued {self.issued.astimezone(self.zone):%d %B %Y}", size=9, soft=True, align="R"
        )
        if issuer["tax_id"]:
            self.text(f"Tax number {issuer['tax_id']}", size=9, soft=True)
        self.pdf.ln(7)

    def facts(self) -> None:
        body = self.body
        kwh = f"{body['energy_wh'] / 1000:.3f} kWh"
        for name, value in (
            ("Place", f"{body['site']['name']}, connector {body['evse_id']}"),
            ("From", f"{self.local(body['begin'])} ({body['time_zone']})"),
            ("To", self.local(body["end"])),
            ("Energy", kwh + (" (end register estimated)" if body["estimated"] else "")),
        ):
            self.text(name, soft=True, width=26, end=False, height=5.6)
            self.text(value, height=5.6)
        self.pdf.ln(5)

    def lines(self) -> None:
        widths = (62.0, 34.0, 46.0, 32.0)
        heads = ("What", "Quantity", "Price without tax", "Amount")
        for i, (head, width) in enumerate(zip(heads, widths, strict=True)):
            self.text(head, size=9, soft=True, width=width, align="LRRR"[i], end=i == 3)
        self.rule()
        for line in self.body["lines"]:
            cells = (
                line["label"],
                line["quantity_text"],
                f"{line['unit_price_text']}",
                self.money(line["amount_minor"]),
            )
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
                self.text(cell, width=width, align="LRRR"[i], end=i == 3, height=5.8)
            self.text(self._why(line), size=7.5, soft=True, height=3.8)
            self.rule()

    def _why(self, line: dict[str, Any]) -> str:
        clause = f"Tariff clause {line['clause']}"
        proof = line.get("evidence")
        if not proof:
            return clause
        span = f"{self.local(proof['from'], '%H:%M:%S')} to {self.local(proof['to'], '%H:%M:%S')}"
        if line["dimension"] != "ENERGY":
            return f"{clause}, {span}"
        return f"{clause}, {span}, register {proof['begin_wh']} to {proof['end_wh']} Wh"

    def totals(self, payment: Payment | None) -> None:
        self.pdf.ln(1)
        self._total("Net", self.body["net_minor"])
        for tax in self.body["taxes"]:
            note = f"{tax['tax_percent']} % tax on {self.money(tax['net_minor'])}"
            self._total(note, tax["tax_minor"])
        self._total("Total", self.body["gross_minor"], bold=True)
        if payment is not None and payment.state == PaymentState.SUCCEEDED:
            self.pdf.set_text_color(*_ACCENT)
            self.pdf.set_font("helvetica", "B", 10)
            self.pdf.cell(
                0, 7, "Paid. Nothing is due.", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT
            )
        self.pdf.ln(5)

    def _total(self, name: str, minor: int, *, bold: bool = False) -> None:
        size = 12 if bold else 10
        self.text(name, size=size, bold=bold, width=142, align="R", end=False, height=6.2)
        self.text(self.money(minor), size=size, bold=bold, width=32, align="R", height=6.2)

    def readings(self) -> None:
        body = self.body
        self.text("Meter readings", size=11, bold=True)
        self.text(
            f"Meter {body['meter'] or 'unnamed'}; all readings stay on record.", size=8, soft=True
        )
        self.rule()
        for row in body["readings"]:
            self.text(self.local(row["time"]), size=8.5, width=62, end=False)
            self.text(row["context"], size=8.5, soft=True, width=62, end=False)
            self.text(f"{row['energy_wh']} Wh", size=8.5, width=50, align="R")
        for row in body["waived"]:
            span = f"{self.local(row['from'], '%H:%M:%S')} to {self.local(row['to'], '%H:%M:%S')}"
            self.text(f"No idle fee {span}: {row['reason']}"[:110], size=8.5, soft=True)

    def foot(self) -> None:
        tariff = self.body["tariff"]
        self.pdf.ln(6)
        self.text(
            f"Tariff {tariff['id']} version {tariff['version']}, frozen when charging began "
            f"(SHA-256 {tariff['hash'][:16]}...).",
            size=7.5,
            soft=True,
        )
        self.text(
            "Each line is rounded once, tax once per rate; the total is their sum.",
            size=7.5,
            soft=True,
        )

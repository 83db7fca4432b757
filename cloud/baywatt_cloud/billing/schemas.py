"""Answers of /billing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class TaxView(BaseModel):
    """The lines of one tax rate."""

    tax_percent: str
    net_minor: int
    tax_minor: int


class ProofView(BaseModel):
    """Between which meter readings a line came to be."""

    model_config = ConfigDict(populate_by_name=True)

    from_: str = Field(alias="from")
    to: str
    begin_wh: int
    end_wh: int
    readings: list[str]


class LineView(BaseModel):
    """A line with the tariff clause it follows from; exact figures as `n/d`."""

    label: str
    dimension: str
    clause: str
    quantity: str
    quantity_text: str
    unit_price: str
    unit_price_text: str
    tax_percent: str
    amount_minor: int
    evidence: ProofView | None = None


class PaymentView(BaseModel):
    """Whether the invoice is paid."""

    status: str
    paid_minor: int
    reason: str
    released_minor: int


class InvoiceSummary(BaseModel):
    """An invoice in a list."""

    invoice_id: str
    number: str
    session_id: str
    issued_at: str
    energy_wh: int
    currency: str
    gross_minor: int
    status: str
    pdf: str


class InvoicePage(BaseModel):
    """Invoices, newest first."""

    items: list[InvoiceSummary]
    next: str | None = None


class InvoiceView(InvoiceSummary):
    """An invoice as it was issued, with its evidence and its payment."""

    begin: str
    end: str
    site: dict[str, Any]
    evse_id: str
    meter: str
    estimated: bool
    time_zone: str
    issuer: dict[str, Any]
    tariff: dict[str, Any]
    net_minor: int
    tax_minor: int
    lines: list[LineView]
    taxes: list[TaxView]
    readings: list[dict[str, Any]]
    waived: list[dict[str, Any]]
    payment: PaymentView

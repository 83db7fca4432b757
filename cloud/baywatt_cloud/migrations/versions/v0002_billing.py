"""Billing and notify: CDRs, invoices, holds, payments, the fake gateway's book, the mail outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002_billing"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_NEWEST_FIRST = (
    "mail",
    "payment",
    "payment_hold",
    "invoice",
    "parked_bill",
    "cdr",
    "legal_entity",
    "fake_gateway_key",
    "fake_gateway_intent",
)


def upgrade() -> None:
    """Create the tables."""
    for create in (_gateway, _records, _payments, _mail):
        create()


def downgrade() -> None:
    """Drop them again."""
    for name in _NEWEST_FIRST:
        op.drop_table(name)


def _gateway() -> None:
    op.create_table(
        "fake_gateway_intent",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("customer", sa.String(length=80), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fake_gateway_intent"),
    )
    op.create_table(
        "fake_gateway_key",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request", sa.String(length=500), nullable=False),
        sa.Column("intent_id", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_fake_gateway_key"),
    )


def _records() -> None:
    op.create_table(
        "legal_entity",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=1000), nullable=False),
        sa.Column("tax_id", sa.String(length=40), nullable=False),
        sa.Column("prefix", sa.String(length=12), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_legal_entity"),
    )
    op.create_table(
        "cdr",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("begin_wh", sa.BigInteger(), nullable=False),
        sa.Column("end_wh", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("begin_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("tariff_id", sa.String(length=40), nullable=False),
        sa.Column("tariff_version", sa.BigInteger(), nullable=False),
        sa.Column("tariff_hash", sa.String(length=64), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["charging_session.id"], name="fk_cdr_session_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_cdr_site_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_cdr_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_cdr"),
        sa.UniqueConstraint("session_id", name="uq_cdr_session_id"),
    )
    op.create_index("ix_cdr_site_id", "cdr", ["site_id"])
    op.create_table(
        "parked_bill",
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("parked_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["charging_session.id"], name="fk_parked_bill_session_id"
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_parked_bill"),
    )
    op.create_table(
        "invoice",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("entity_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("cdr_id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cdr_id"], ["cdr.id"], name="fk_invoice_cdr_id"),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entity.id"], name="fk_invoice_entity_id"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["charging_session.id"], name="fk_invoice_session_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_invoice_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_invoice"),
        sa.UniqueConstraint("cdr_id", name="uq_invoice_cdr_id"),
        sa.UniqueConstraint("entity_id", "number", name="uq_invoice_entity_id_number"),
        sa.UniqueConstraint("session_id", name="uq_invoice_session_id"),
    )
    op.create_index("ix_invoice_user_id_issued_ms", "invoice", ["user_id", "issued_ms"])


def _payments() -> None:
    op.create_table(
        "payment_hold",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=80), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("intent_id", sa.String(length=80), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("released_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_payment_hold_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_payment_hold"),
        sa.UniqueConstraint("intent_id", name="uq_payment_hold_intent_id"),
        sa.UniqueConstraint("reference", name="uq_payment_hold_reference"),
    )
    op.create_table(
        "payment",
        sa.Column("invoice_id", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("parts", _JSON, nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name="fk_payment_invoice_id"),
        sa.PrimaryKeyConstraint("invoice_id", name="pk_payment"),
    )


def _mail() -> None:
    op.create_table(
        "mail",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("dedupe", sa.String(length=120), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.String(length=40), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(length=500), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_mail_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mail"),
        sa.UniqueConstraint("dedupe", name="uq_mail_dedupe"),
    )
    op.create_index("ix_mail_sent_ms_next_ms", "mail", ["sent_ms", "next_ms"])
    op.create_index("ix_mail_user_id", "mail", ["user_id"])

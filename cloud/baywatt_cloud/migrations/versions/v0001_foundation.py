"""The foundation: people, sites, calendar, inbox, sessions, outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The no-overlap rule: a charger and a bay are rows of their own, so one booking may hold both, and
# the database itself refuses a second blocking row in an overlapping window.
_BLOCKING = "('HELD', 'RESERVED', 'ACTIVE')"
_EXCLUDE = f"""
ALTER TABLE booking_resource ADD CONSTRAINT booking_resource_no_overlap
EXCLUDE USING gist (
    int8range(resource_id, resource_id, '[]') WITH &&,
    int8range(guard_from_ms, guard_to_ms) WITH &&
) WHERE (status IN {_BLOCKING})
"""
_TRIGGER = """
CREATE TRIGGER booking_resource_no_overlap_{event} BEFORE {event} ON booking_resource
WHEN NEW.status IN {blocking}
BEGIN
    SELECT RAISE(ABORT, 'booking_resource_no_overlap') WHERE EXISTS (
        SELECT 1 FROM booking_resource AS other
        WHERE other.resource_id = NEW.resource_id
          AND other.id IS NOT NEW.id
          AND other.status IN {blocking}
          AND other.guard_from_ms < NEW.guard_to_ms
          AND other.guard_to_ms > NEW.guard_from_ms
    );
END
"""


def upgrade() -> None:
    """Create every table, then the no-overlap rule of the database at hand."""
    for create in (_people_and_sites, _calendar, _inbox, _sessions, _outbox):
        create()
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_EXCLUDE)
    else:
        for event in ("INSERT", "UPDATE"):
            op.execute(_TRIGGER.format(event=event, blocking=_BLOCKING))


def _people_and_sites() -> None:
    op.create_table(
        "user_account",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("locale", sa.String(length=20), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_account"),
        sa.UniqueConstraint("email", name="uq_user_account_email"),
    )
    op.create_table(
        "user_token",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("uid", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_user_token_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_user_token"),
        sa.UniqueConstraint("uid", name="uq_user_token_uid"),
    )
    op.create_index("ix_user_token_user_id", "user_token", ["user_id"])
    op.create_table(
        "site",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("credentials_hash", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("fuse_a", sa.BigInteger(), nullable=False),
        sa.Column("bill", sa.String(length=10), nullable=False),
        sa.Column("reserve", sa.String(length=10), nullable=False),
        sa.Column("described_ms", sa.BigInteger(), nullable=True),
        sa.Column("description", _JSON, nullable=True),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("presence_ms", sa.BigInteger(), nullable=True),
        sa.Column("heard_ms", sa.BigInteger(), nullable=True),
        sa.Column("boot", sa.BigInteger(), nullable=True),
        sa.Column("epoch", sa.String(length=64), nullable=True),
        sa.Column("version", sa.String(length=200), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_site"),
    )
    op.create_table(
        "resource",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("local_id", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_resource_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_resource"),
        sa.UniqueConstraint(
            "site_id", "kind", "local_id", name="uq_resource_site_id_kind_local_id"
        ),
    )
    op.create_table(
        "connector",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("resource_id", _KEY, nullable=False),
        sa.Column("station", sa.String(length=500), nullable=False),
        sa.Column("evse", sa.BigInteger(), nullable=False),
        sa.Column("plug", sa.String(length=40), nullable=False),
        sa.Column("current_kind", sa.String(length=4), nullable=False),
        sa.Column("max_power_w", sa.BigInteger(), nullable=False),
        sa.Column("phases", _JSON, nullable=False),
        sa.Column("bay_id", sa.String(length=600), nullable=True),
        sa.Column("bookable", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("status_reason", sa.String(length=500), nullable=False),
        sa.Column("status_ms", sa.BigInteger(), nullable=True),
        sa.Column("operative", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["resource_id"], ["resource.id"], name="fk_connector_resource_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_connector_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_connector"),
        sa.UniqueConstraint("resource_id", name="uq_connector_resource_id"),
    )
    op.create_index("ix_connector_site_id", "connector", ["site_id"])
    op.create_table(
        "bay",
        sa.Column("id", sa.String(length=600), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("local_id", sa.String(length=500), nullable=False),
        sa.Column("resource_id", _KEY, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["resource_id"], ["resource.id"], name="fk_bay_resource_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_bay_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_bay"),
        sa.UniqueConstraint("resource_id", name="uq_bay_resource_id"),
    )
    op.create_index("ix_bay_site_id", "bay", ["site_id"])
    op.create_table(
        "tariff",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("ocpi", _JSON, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_tariff_site_id"),
        sa.PrimaryKeyConstraint("id", "version", name="pk_tariff"),
    )
    op.create_index("ix_tariff_site_id_valid_from_ms", "tariff", ["site_id", "valid_from_ms"])
    op.create_table(
        "quote",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("evse_id", sa.String(length=80), nullable=True),
        sa.Column("bay_id", sa.String(length=600), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=True),
        sa.Column("tariff_id", sa.String(length=40), nullable=False),
        sa.Column("tariff_version", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("likely_minor", sa.BigInteger(), nullable=False),
        sa.Column("worst_minor", sa.BigInteger(), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["bay_id"], ["bay.id"], name="fk_quote_bay_id"),
        sa.ForeignKeyConstraint(["evse_id"], ["connector.id"], name="fk_quote_evse_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_quote_site_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_quote_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_quote"),
    )
    op.create_index("ix_quote_user_id", "quote", ["user_id"])


def _calendar() -> None:
    op.create_table(
        "booking",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("evse_id", sa.String(length=80), nullable=True),
        sa.Column("bay_id", sa.String(length=600), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("pin", sa.String(length=6), nullable=False),
        sa.Column("quote_id", sa.String(length=40), nullable=True),
        sa.Column("hold_id", sa.String(length=80), nullable=True),
        sa.Column("rev", sa.BigInteger(), nullable=True),
        sa.Column("applied_rev", sa.BigInteger(), nullable=True),
        sa.Column("applied_ms", sa.BigInteger(), nullable=True),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("to_ms > from_ms", name="ck_booking_window"),
        sa.ForeignKeyConstraint(["bay_id"], ["bay.id"], name="fk_booking_bay_id"),
        sa.ForeignKeyConstraint(["evse_id"], ["connector.id"], name="fk_booking_evse_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_booking_site_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_booking_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_booking"),
    )
    op.create_index("ix_booking_site_id_status_to_ms", "booking", ["site_id", "status", "to_ms"])
    op.create_index("ix_booking_user_id", "booking", ["user_id"])
    op.create_table(
        "booking_resource",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("booking_id", sa.String(length=40), nullable=False),
        sa.Column("resource_id", _KEY, nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("guard_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("guard_to_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["booking_id"], ["booking.id"], name="fk_booking_resource_booking_id"
        ),
        sa.ForeignKeyConstraint(
            ["resource_id"], ["resource.id"], name="fk_booking_resource_resource_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_booking_resource"),
    )
    op.create_index("ix_booking_resource_booking_id", "booking_resource", ["booking_id"])
    op.create_index(
        "ix_booking_resource_resource_id_guard_from_ms",
        "booking_resource",
        ["resource_id", "guard_from_ms"],
    )
    op.create_table(
        "command",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("connector", sa.BigInteger(), nullable=True),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_command_site_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_command_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command"),
    )
    op.create_index("ix_command_status_not_after_ms", "command", ["status", "not_after_ms"])
    op.create_table(
        "desired_state",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("document", _JSON, nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("published_rev", sa.BigInteger(), nullable=True),
        sa.Column("applied_rev", sa.BigInteger(), nullable=True),
        sa.Column("built_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_desired_state_site_id"),
        sa.PrimaryKeyConstraint("site_id", "kind", name="pk_desired_state"),
    )


def _inbox() -> None:
    op.create_table(
        "inbox_event",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=10), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("v", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("mono_ms", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("clock", sa.String(length=10), nullable=False),
        sa.Column("trace", sa.String(length=64), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("error", sa.String(length=1000), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_inbox_event_site_id"),
        sa.PrimaryKeyConstraint("site_id", "stream", "epoch", "seq", name="pk_inbox_event"),
    )
    op.create_index("ix_inbox_event_received_ms", "inbox_event", ["received_ms"])
    op.create_index("ix_inbox_event_session_id", "inbox_event", ["session_id"])
    op.create_index("ix_inbox_event_site_id_state", "inbox_event", ["site_id", "state"])
    op.create_table(
        "stream_cursor",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=10), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("islands", _JSON, nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_stream_cursor_site_id"),
        sa.PrimaryKeyConstraint("site_id", "stream", "epoch", name="pk_stream_cursor"),
    )
    op.create_table(
        "parked_session",
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("parked_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_parked_session_site_id"),
        sa.PrimaryKeyConstraint("session_id", "site_id", name="pk_parked_session"),
    )


def _sessions() -> None:
    op.create_table(
        "charging_session",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("connector", sa.BigInteger(), nullable=False),
        sa.Column("evse_id", sa.String(length=80), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=True),
        sa.Column("booking_id", sa.String(length=40), nullable=True),
        sa.Column("quote_id", sa.String(length=40), nullable=True),
        sa.Column("hold_id", sa.String(length=80), nullable=True),
        sa.Column("command_id", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("authority", sa.String(length=12), nullable=False),
        sa.Column("token", sa.String(length=128), nullable=False),
        sa.Column("bill", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("meter", sa.String(length=500), nullable=False),
        sa.Column("begin_wh", sa.BigInteger(), nullable=True),
        sa.Column("last_wh", sa.BigInteger(), nullable=True),
        sa.Column("end_wh", sa.BigInteger(), nullable=True),
        sa.Column("power_w", sa.BigInteger(), nullable=True),
        sa.Column("limit_ma", sa.BigInteger(), nullable=True),
        sa.Column("stop_reason", sa.String(length=40), nullable=False),
        sa.Column("end_reason", sa.String(length=500), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("tariff_id", sa.String(length=40), nullable=True),
        sa.Column("tariff_version", sa.BigInteger(), nullable=True),
        sa.Column("authorised_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("stopped_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("completed_ms", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("clock", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(
            ["booking_id"], ["booking.id"], name="fk_charging_session_booking_id"
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_charging_session_site_id"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name="fk_charging_session_user_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_charging_session"),
    )
    op.create_index("ix_charging_session_site_id_status", "charging_session", ["site_id", "status"])
    op.create_index(
        "ix_charging_session_user_id_authorised_ms",
        "charging_session",
        ["user_id", "authorised_ms"],
    )
    op.create_table(
        "meter_sample",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("mono_ms", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("context", sa.String(length=20), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("power_w", sa.BigInteger(), nullable=False),
        sa.Column("current_ma", _JSON, nullable=False),
        sa.Column("voltage_mv", _JSON, nullable=True),
        sa.Column("offered_ma", sa.BigInteger(), nullable=False),
        sa.Column("vehicle_requests", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["charging_session.id"], name="fk_meter_sample_session_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_meter_sample"),
        sa.UniqueConstraint(
            "session_id", "epoch", "seq", name="uq_meter_sample_session_id_epoch_seq"
        ),
    )
    op.create_table(
        "limit_change",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("connector", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("limit_ma", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(length=500), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_limit_change_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_limit_change"),
        sa.UniqueConstraint("site_id", "epoch", "seq", name="uq_limit_change_site_id_epoch_seq"),
    )
    op.create_index("ix_limit_change_session_id", "limit_change", ["session_id"])
    op.create_index(
        "ix_limit_change_site_id_connector_time_ms",
        "limit_change",
        ["site_id", "connector", "time_ms"],
    )
    op.create_table(
        "fault",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.String(length=40), nullable=False),
        sa.Column("connector", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.String(length=500), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("raised_ms", sa.BigInteger(), nullable=False),
        sa.Column("cleared_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_fault_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_fault"),
        sa.UniqueConstraint("site_id", "epoch", "seq", name="uq_fault_site_id_epoch_seq"),
    )
    op.create_index("ix_fault_site_id_cleared_ms", "fault", ["site_id", "cleared_ms"])


def _outbox() -> None:
    op.create_table(
        "domain_event",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("context", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("trace", sa.String(length=64), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_domain_event"),
    )
    op.create_index("ix_domain_event_type", "domain_event", ["type"])
    op.create_table(
        "delivery",
        sa.Column("event_id", _KEY, nullable=False),
        sa.Column("subscriber", sa.String(length=80), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(length=1000), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["domain_event.id"], name="fk_delivery_event_id"),
        sa.PrimaryKeyConstraint("event_id", "subscriber", name="pk_delivery"),
    )
    op.create_index(
        "ix_delivery_subscriber_done_ms_next_ms", "delivery", ["subscriber", "done_ms", "next_ms"]
    )
    op.create_table(
        "idempotency_key",
        sa.Column("principal", sa.String(length=80), nullable=False),
        sa.Column("route", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "route", "key", name="pk_idempotency_key"),
    )
    op.create_index("ix_idempotency_key_created_ms", "idempotency_key", ["created_ms"])
    op.create_table(
        "secret",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secret"),
    )


def downgrade() -> None:
    """Drop everything, in the reverse order."""
    for table in (
        "secret",
        "idempotency_key",
        "delivery",
        "domain_event",
        "fault",
        "limit_change",
        "meter_sample",
        "charging_session",
        "parked_session",
        "stream_cursor",
        "inbox_event",
        "desired_state",
        "command",
        "booking_resource",
        "booking",
        "quote",
        "tariff",
        "bay",
        "connector",
        "resource",
        "site",
        "user_token",
        "user_account",
    ):
        op.drop_table(table)

"""Alembic's entry: works on the connection that `kit.migrate` hands over."""

from __future__ import annotations

from alembic import context

from baywatt_cloud.models import Base, load_all

load_all()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()

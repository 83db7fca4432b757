"""The tariff a session was frozen to, read and checked."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from baywatt_cloud.billing.errors import CannotBillError
from baywatt_cloud.charging.tariffs import tariff_at
from baywatt_cloud.models import ChargingSession, Tariff
from baywatt_contract.messages import items_hash
from baywatt_contract.tariff import Tariff as Ocpi


async def frozen_tariff(db: AsyncSession, session: ChargingSession) -> Tariff:
    """The tariff frozen when the session started; raises CannotBillError."""
    if session.tariff_id is not None and session.tariff_version is not None:
        found = await db.get(Tariff, (session.tariff_id, session.tariff_version))
    else:
        found = await tariff_at(db, session.site_id, session.started_ms or session.authorised_ms)
    if found is None:
        raise CannotBillError("no tariff was valid when the session started: add one")
    return found


def read(tariff: Tariff) -> Ocpi:
    """The OCPI tariff of a row, if it is unchanged and well-formed; raises CannotBillError."""
    if items_hash([tariff.ocpi]) != tariff.hash:
        raise CannotBillError(f"tariff {tariff.id} v{tariff.version} differs from its hash")
    try:
        return Ocpi.model_validate(tariff.ocpi)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CannotBillError(
            f"tariff {tariff.id} v{tariff.version}: {place}: {first['msg']}"
        ) from error

"""The site's own catalogue entry, from its file."""

from __future__ import annotations

from baywatt_contract.events import SiteConnector, SiteDescribed
from baywatt_contract.site_file import Connector, SiteFile

_VOLTS = 230


def describe(file: SiteFile) -> SiteDescribed:
    """What the cloud's catalogue shall know; written whenever it differs from the last one."""
    return SiteDescribed(
        site=file.site.id,
        name=file.site.name,
        time_zone=file.site.time_zone,
        currency=file.site.currency,
        latitude=file.site.latitude,
        longitude=file.site.longitude,
        fuse_a=file.supply.fuse_a,
        authorise=file.authority.authorise,
        reserve=file.authority.reserve,
        bill=file.authority.bill,
        connectors=[_connector(each) for each in file.connectors],
        bays=[bay.id for bay in file.bays],
    )


def _connector(each: Connector) -> SiteConnector:
    return SiteConnector(
        id=each.id,
        station=each.station,
        evse=each.evse,
        plug=each.plug,
        max_power_w=each.max_a * _VOLTS * len(each.phases),
        phases=tuple(each.phases),
        current_kind="dc" if each.is_dc else "ac",
        bay=each.bay,
        bookable=not each.is_dc,
    )

"""How the site stands now, as the cloud shows it. Pure."""

from __future__ import annotations

from baywatt_contract.clock import format_utc_ms
from baywatt_contract.house import ConnectorView, SiteView
from baywatt_contract.messages import Live, LiveConnector


def live_message(view: SiteView) -> Live:
    """The view in the cloud's words."""
    return Live(
        at=format_utc_ms(view.at.utc_ms),
        connectors={key: _connector(each) for key, each in view.connectors.items()},
        bays={key: str(bay.state) for key, bay in view.bays.items()},
        supply_ma=view.supply_ma,
    )


def _connector(view: ConnectorView) -> LiveConnector:
    return LiveConnector(
        status=str(view.status),
        session=view.session,
        power_w=view.power_w,
        current_ma=view.current_ma,
        energy_wh=view.energy_wh,
        offered_ma=view.offered_ma,
        limit_ma=view.limit_ma,
        reason=view.reason,
    )

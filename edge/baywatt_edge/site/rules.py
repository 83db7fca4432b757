"""What a site goes by: its file and the times it waits."""

from __future__ import annotations

from dataclasses import dataclass

from baywatt_contract.site_file import Connector, SiteFile


@dataclass(frozen=True, slots=True)
class SiteRules:
    """Fixed while the daemon runs. `epoch` (the journal's) makes session ids unique for ever."""

    file: SiteFile
    epoch: str
    connection_timeout_ms: int = 60_000  # authorised, but nobody plugs in
    meter_patience_ms: int = 10_000  # then the last good register stands in
    meter_retry_ms: int = 1_500
    contactor_patience_ms: int = 90_000  # longer than the board's own 60 s stage
    question_patience_ms: int = 15_000
    no_show_after_ms: int = 15 * 60_000
    power_sample_ms: int = 10_000
    stale_after_ms: int = 5_000

    def connector(self, connector_id: int) -> Connector | None:
        """The connector with this id, None when the site has none."""
        return next((each for each in self.file.connectors if each.id == connector_id), None)

    def meter_of(self, connector: Connector) -> str:
        """The device whose register bills this connector: its meter, else its controller."""
        return connector.meter or connector.control

"""A charge point identity of the site, as the composition root sees it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random

import msgspec

from baywatt_contract.events import Authority as Side
from baywatt_contract.house import Beat, Clock, House, Task
from baywatt_contract.site_file import Authority, Connector, Station
from baywatt_contract.wishes import AuthorisationAnswer
from baywatt_edge.ocpp.backoff import BackOffRule
from baywatt_edge.ocpp.ports import Journal
from baywatt_edge.ocpp.runner import PONG_S, Runner
from baywatt_edge.ocpp.transport import Endpoint
from baywatt_edge.ocpp.v16.delivery import Names
from baywatt_edge.ocpp.v16.dialect import SUBPROTOCOL
from baywatt_edge.ocpp.v16.station import Restored, StationCore

_LOG = logging.getLogger(__name__)
_SUBPROTOCOLS = {"1.6": SUBPROTOCOL}


class OcppStation:
    """Speaks OCPP for one `[[stations]]` entry; `station.csms_password` is the secret itself.

    `connectors` are those of this station (others are left out). A station without `csms`, or
    without a version that this program speaks, has no tasks.
    """

    def __init__(
        self,
        station: Station,
        connectors: Sequence[Connector],
        authority: Authority,
        *,
        journal: Journal,
        house: House,
        clock: Clock,
        program_version: str,
        rng: Random,
        back_off: BackOffRule | None = None,
        pong_s: float = PONG_S,
    ) -> None:
        self._station = station
        self._connectors = sorted(
            (each for each in connectors if each.station == station.id),
            key=lambda each: each.evse,
        )
        self._authority = authority
        self._journal = journal
        self._house = house
        self._clock = clock
        self._program_version = program_version
        self._rng = rng
        self._back_off = back_off or BackOffRule()
        self._pong_s = pong_s
        self._runner: Runner | None = None

    def tasks(self) -> dict[str, Task]:
        """The supervised tasks by name; each can be started again after a failure."""
        if self._station.csms is None:
            return {}
        if not self._endpoint(self._station.csms).subprotocols:
            _LOG.warning(
                "station %s: this program speaks OCPP 1.6, `versions` asks for %s only: "
                'add "1.6" to the station in the site file',
                self._station.id,
                ", ".join(self._station.versions),
            )
            return {}
        return {f"ocpp:{self._station.id}": self._run}

    async def authorise(self, token: str, timeout_s: float) -> AuthorisationAnswer:
        """What the CSMS says of a token; `accepted` is None when it cannot be asked in time.

        `question_id` is left empty for the caller to fill in.
        """
        if self._runner is None:
            return AuthorisationAnswer("", Side.CSMS, None, "the CSMS is not connected")
        return await self._runner.authorise(token, timeout_s)

    def status(self) -> dict[str, object]:
        """`{state, version, queue}` for `baywatt status`; queue counts rows not yet delivered.

        States: none (no CSMS), stopped, offline, booting, pending, rejected, accepted.
        """
        if self._station.csms is None:
            return {"state": "none", "version": None, "queue": 0}
        if self._runner is None:
            return {"state": "stopped", "version": None, "queue": 0}
        core = self._runner.core
        online = self._runner.online
        return {
            "state": core.registration.standing.value if online else "offline",
            "version": "1.6" if online else None,
            "queue": core.delivery.queued,
        }

    async def _run(self, beat: Beat) -> None:
        core = await self._restore()
        runner = Runner(
            core,
            self._endpoint(self._station.csms or ""),
            journal=self._journal,
            house=self._house,
            clock=self._clock,
            rng=self._rng,
            back_off=self._back_off,
            pong_s=self._pong_s,
        )
        self._runner = runner
        try:
            await runner.run(beat)
        finally:
            self._runner = None

    async def _restore(self) -> StationCore:
        names = Names(self._station.id)
        restored = Restored(
            cursor=await self._journal.cursor(names.cursor),
            transactions=await self._journal.document(names.transactions),
            config=await self._journal.document(names.config),
        )
        try:
            return self._core(restored)
        except msgspec.ValidationError as error:
            _LOG.error(
                "station %s: the open transactions cannot be read (%s): going on without them",
                self._station.id,
                error,
            )
            return self._core(Restored(restored.cursor, None, restored.config))

    def _core(self, restored: Restored) -> StationCore:
        return StationCore(
            self._station.id,
            self._connectors,
            authority=self._authority,
            program_version=self._program_version,
            restored=restored,
        )

    def _endpoint(self, url: str) -> Endpoint:
        offered = tuple(
            _SUBPROTOCOLS[version] for version in self._station.versions if version in _SUBPROTOCOLS
        )
        return Endpoint(self._station.id, url, offered, self._station.csms_password)

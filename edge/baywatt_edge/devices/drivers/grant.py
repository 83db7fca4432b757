"""What a wallbox may give its vehicle at a moment: the target, its grant, and what follows it."""

from __future__ import annotations

from baywatt_contract.observations import ControlTarget

FIRST_TARGET_MS = 60_000
"""After a restart a running charge is left alone for so long; then the fail-safe applies."""

CONFIRM_MS = 3_000
"""A fail-safe that is not confirmed so long after the grant's end silences the bus owner."""


class Grant:
    """The newest target and the end of its grant; pure."""

    def __init__(self, fail_safe_ma: int, ceiling_ma: int) -> None:
        self._fail_safe_ma = fail_safe_ma
        self._ceiling_ma = ceiling_ma
        self._born_ms: int | None = None
        self.target: ControlTarget | None = None

    def renew(self, target: ControlTarget) -> None:
        """The newest target wins."""
        self.target = target

    def began(self, now_ms: int) -> None:
        """The device was reached for the first time, or will be from now on."""
        if self._born_ms is None:
            self._born_ms = now_ms

    def expired_for_ms(self, now_ms: int) -> int | None:
        """How long nobody has granted anything; None while the grant lives."""
        if self.target is not None:
            over = now_ms - self.target.grant_expires_mono_ms
        elif self._born_ms is None:
            return None
        else:
            over = now_ms - self._born_ms - FIRST_TARGET_MS
        return over if over >= 0 else None

    def limit_ma(self, now_ms: int) -> int | None:
        """The limit that the device shall hold now; None: leave it as it is found."""
        expired = self.expired_for_ms(now_ms) is not None
        if self.target is None:
            return min(self._fail_safe_ma, self._ceiling_ma) if expired else None
        if not self.target.permit or not self.target.available:
            return 0
        limit = min(self.target.limit_ma, self._ceiling_ma)
        return min(limit, self._fail_safe_ma) if expired else limit

    def available(self) -> bool | None:
        """Whether the outlet shall be in service; None: leave it as it is found."""
        return None if self.target is None else self.target.available

"""The controller's end of the link as a sans-I/O state machine.

The shell feeds received bytes, sends what `data_to_send` returns and calls again at
`next_deadline`. Handshake, repetition, loss and renewal all happen inside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from baywatt_bridge import messages as m
from baywatt_bridge.decoding import decode
from baywatt_bridge.encoding import encode
from baywatt_bridge.errors import BadMessageError, NotConnectedError
from baywatt_bridge.framing import FrameDecoder, encode_frame
from baywatt_bridge.host_events import (
    CardSwiped,
    ChannelState,
    Connected,
    Event,
    LatchAnswered,
    LinkLost,
    Refused,
)
from baywatt_bridge.host_requests import RequestQueue
from baywatt_bridge.timing import Alarm, is_newer
from baywatt_bridge.vocabulary import MAJOR, MINOR, NO_SESSION, Fault, Result

HELLO_EVERY_MS = 250
CONTROL_EVERY_MS = 100
SILENT_MS = 1_000  # no valid state for so long: lost
DEAF_MS = 1_000  # states come, but none echoes a control frame this old: lost
MAX_LIMIT_MA = 10_000_000
_LATENCIES = 256


class Phase(Enum):
    """Where the link stands."""

    HELLO = "hello"
    PARAMETERS = "parameters"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Target:
    """What a channel shall do; said anew in every control frame."""

    channel: int
    permit: bool
    limit_ma: int
    phases: int = 3
    available: bool = True


class HostLink:
    """One board as the controller sees it."""

    def __init__(self, session: int, parameters: m.ParameterBlock, now_ms: int) -> None:
        """`session` seeds the session numbers: take any that the last process did not use."""
        if not parameters.in_range():
            raise ValueError(f"no board may accept {parameters}")
        self.phase = Phase.HELLO
        self.welcome: m.Welcome | None = None
        self.controls_sent = 0
        self.losses = 0
        self.latencies_ms: deque[int] = deque(maxlen=_LATENCIES)
        self._parameters = parameters
        self._session = session & 0xFFFFFFFF
        self._decoder = FrameDecoder()
        self._targets: dict[int, Target] = {}
        self._urgent = False
        self._refused = ""
        self._card: tuple[int, int] | None = None  # boot counter, counter of the last swipe
        self._start(now_ms)

    @property
    def targets(self) -> Mapping[int, Target]:
        """What the next control frame will say."""
        return MappingProxyType(self._targets)

    @property
    def bad_frames(self) -> int:
        """Frames dropped for their CRC, size or content."""
        return self._decoder.bad_frames

    def set_target(self, target: Target) -> None:
        """What a channel shall do from the next control frame on; a change goes out at once.

        A channel without a target is not named in control frames: the board keeps what it does
        until its host loss opens it. Raises ValueError for what no board can be told.
        """
        if not 1 <= target.channel <= m.MAX_CHANNELS or target.phases not in {1, 3}:
            raise ValueError(f"no board channel can take {target}")
        if not 0 <= target.limit_ma <= MAX_LIMIT_MA:
            raise ValueError(f"a limit of {target.limit_ma} mA; 0 to {MAX_LIMIT_MA}")
        if self._targets.get(target.channel) != target:
            self._targets[target.channel] = target
            self._urgent = True

    def unlock(self, channel: int) -> None:
        """Release the plug of a channel that has a target, once; a closed contactor refuses.

        Forgotten when the link is lost before the board has heard it.
        """
        self._unlocks[channel] = (self._unlocks.get(channel, 0) + 1) & 0xFF
        self._urgent = True

    def clear_latch(self, channel: int, faults: Fault) -> None:
        """Ask the board to forget faults whose cause is gone; answered by LatchAnswered.

        A request is dropped with the session: nothing is cleared after a loss of the link.
        Raises NotConnectedError.
        """
        if self.phase is not Phase.UP:
            raise NotConnectedError("the board is not connected")
        session = self._session
        self._requests.ask(lambda number: m.ClearLatch(session, number, channel, faults))

    def reset(self, now_ms: int, reason: str) -> list[Event]:
        """The line itself went away: begin anew with the next byte."""
        lost = self.phase is Phase.UP
        self._decoder = _fresh(self._decoder)
        self._start(now_ms)
        if not lost:
            return []
        self.losses += 1
        return [LinkLost(reason)]

    def receive_data(self, data: bytes, now_ms: int) -> list[Event]:
        """Bytes from the board, cut anywhere."""
        events: list[Event] = []
        for payload in self._decoder.feed(data):
            try:
                message = decode(payload)
            except BadMessageError:
                self._decoder.bad_frames += 1
            else:
                events += self._receive(message, now_ms)
        return events

    def handle_timer(self, now_ms: int) -> list[Event]:
        """Notice silence; call before `data_to_send`."""
        if self.phase is Phase.HELLO:
            return []
        if now_ms >= self._heard_ms + SILENT_MS:
            return self.reset(now_ms, "the board is silent")
        if self._sent and now_ms >= self._sent[0][1] + DEAF_MS:
            return self.reset(now_ms, "the board does not hear the controller")
        return []

    def data_to_send(self, now_ms: int) -> bytes:
        """The bytes that are due now."""
        alarm = Alarm(now_ms)
        out: list[m.Message] = list(self._acks)
        self._acks.clear()
        if self.phase is Phase.HELLO:
            out += self._hello(alarm)
        else:
            request = self._requests.due(alarm)
            out += [] if request is None else [request]
            alarm.reached(self._heard_ms + SILENT_MS)
        if self.phase is Phase.UP:
            out += self._control(alarm)
        self._deadline_ms = now_ms if alarm.next_ms is None else alarm.next_ms
        return b"".join(encode_frame(encode(message)) for message in out)

    def next_deadline(self) -> int:
        """When `handle_timer` and `data_to_send` are due at the latest."""
        return self._deadline_ms

    def _start(self, now_ms: int) -> None:
        """A new session from scratch; targets and the memory of swipes stay."""
        self.phase = Phase.HELLO
        self._session = (self._session + 1) & 0xFFFFFFFF or 1
        self._requests = RequestQueue()
        self._acks: list[m.CardAck] = []
        self._unlocks: dict[int, int] = {}  # counted from 0 in every session
        self._sequence = 0
        self._sent: deque[tuple[int, int]] = deque(maxlen=64)
        self._sent_ms: int | None = None
        self._heard_ms = now_ms
        self._deadline_ms = now_ms

    def _hello(self, alarm: Alarm) -> list[m.Message]:
        if self._sent_ms is not None and not alarm.reached(self._sent_ms + HELLO_EVERY_MS):
            return []
        self._sent_ms = alarm.now_ms
        alarm.reached(alarm.now_ms + HELLO_EVERY_MS)
        return [m.Hello(self._session, MAJOR, MINOR)]

    def _control(self, alarm: Alarm) -> list[m.Message]:
        """Nothing at all while no target is known: the board shall not open for our restart."""
        if not self._targets:
            return []
        waits = self._sent_ms is not None and not alarm.reached(self._sent_ms + CONTROL_EVERY_MS)
        if waits and not self._urgent:
            return []
        self._urgent = False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._sent_ms = alarm.now_ms
        self._sent.append((self._sequence, alarm.now_ms))
        self.controls_sent += 1
        alarm.reached(alarm.now_ms + CONTROL_EVERY_MS)
        entries = tuple(self._entry(target) for target in self._targets.values())
        return [m.Control(self._session, self._sequence, entries)]

    def _entry(self, target: Target) -> m.ChannelControl:
        return m.ChannelControl(
            channel=target.channel,
            permit=target.permit,
            limit_ma=target.limit_ma,
            phases=target.phases,
            available=target.available,
            unlock=self._unlocks.get(target.channel, 0),
        )

    def _receive(self, message: m.Message | None, now_ms: int) -> list[Event]:
        """Hear only what this session's phase allows; all else is late or foreign."""
        if isinstance(message, m.State) and message.session == NO_SESSION:
            return self._unknown_to_board(now_ms)
        if message is None or message.session != self._session:
            return []
        if self.phase is Phase.HELLO:
            return self._welcomed(message, now_ms) if isinstance(message, m.Welcome) else []
        if isinstance(message, m.Parameters | m.LatchAnswer):
            return self._answered(message, now_ms)
        return self._live(message, now_ms) if self.phase is Phase.UP else []

    def _live(self, message: m.Message, now_ms: int) -> list[Event]:
        match message:
            case m.State():
                return self._state(message, now_ms)
            case m.CardRead():
                return self._swiped(message)
            case _:
                return []  # a repeated answer to a repeated Hello

    def _unknown_to_board(self, now_ms: int) -> list[Event]:
        """The board knows no session: it was reset, unless our Hello is still under way."""
        if self.phase is Phase.HELLO:
            return []
        return self.reset(now_ms, "the board was reset")

    def _welcomed(self, welcome: m.Welcome, now_ms: int) -> list[Event]:
        self.welcome = welcome
        if welcome.major != MAJOR:
            return self._refuse(
                f"the board speaks protocol {welcome.major}.{welcome.minor}, "
                f"this program {MAJOR}.{MINOR}: update the board's firmware"
            )
        self.phase = Phase.PARAMETERS
        self._heard_ms = self._deadline_ms = now_ms
        self._sent_ms = None
        session, block = self._session, self._parameters
        self._requests.ask(lambda number: m.SetParameters(session, number, block))
        return []

    def _answered(self, answer: m.Parameters | m.LatchAnswer, now_ms: int) -> list[Event]:
        if not self._requests.answered(answer):
            return []
        self._deadline_ms = now_ms  # the next request or the first order may be due
        if isinstance(answer, m.LatchAnswer):
            return [LatchAnswered(answer.channel, answer.result, answer.latched)]
        if answer.result is not Result.DONE or answer.block != self._parameters:
            self._start(now_ms)
            self._sent_ms = now_ms
            return self._refuse(f"the board refuses {self._parameters}, it keeps {answer.block}")
        return self._up(answer.block, now_ms)

    def _up(self, block: m.ParameterBlock, now_ms: int) -> list[Event]:
        assert self.welcome is not None  # noqa: S101 - no parameters without a welcome
        self.phase = Phase.UP
        self._refused = ""
        self._heard_ms = now_ms
        self._sent_ms = None
        if self._card is not None and self._card[0] != self.welcome.boot_counter:
            self._card = None
        return [Connected(self.welcome, block)]

    def _refuse(self, reason: str) -> list[Event]:
        if reason == self._refused:
            return []
        self._refused = reason
        return [Refused(reason)]

    def _state(self, state: m.State, now_ms: int) -> list[Event]:
        self._heard_ms = now_ms
        while self._sent and not is_newer(self._sent[0][0], state.control_sequence):
            sequence, sent_ms = self._sent.popleft()
            if sequence == state.control_sequence:
                self.latencies_ms.append(now_ms - sent_ms)
        return [
            ChannelState(report, state.boot_locked, state.reset_reason) for report in state.channels
        ]

    def _swiped(self, card: m.CardRead) -> list[Event]:
        """Acknowledge every repetition, tell each swipe once."""
        assert self.welcome is not None  # noqa: S101 - the session began with it
        self._acks.append(m.CardAck(self._session, card.counter))
        last = None if self._card is None else self._card[1]
        self._deadline_ms = self._heard_ms  # the acknowledgement is due
        if not is_newer(card.counter, last):
            return []
        self._card = (self.welcome.boot_counter, card.counter)
        return [CardSwiped(card.channel, card.uid, card.age_ms)]


def _fresh(old: FrameDecoder) -> FrameDecoder:
    """A decoder without the old one's half frame, but with its count."""
    fresh = FrameDecoder()
    fresh.bad_frames = old.bad_frames
    return fresh

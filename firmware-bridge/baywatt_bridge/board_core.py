"""A whole board as a sans-I/O state machine: the model of the firmware's side of the link.

Time is the board's own monotonic milliseconds, given with every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from baywatt_bridge import messages as m
from baywatt_bridge.board_cards import CardQueue
from baywatt_bridge.board_channel import BoardChannel
from baywatt_bridge.decoding import decode
from baywatt_bridge.encoding import encode
from baywatt_bridge.errors import BadMessageError
from baywatt_bridge.framing import FrameDecoder, encode_frame
from baywatt_bridge.timing import Alarm, is_newer
from baywatt_bridge.vocabulary import (
    MAJOR,
    MINOR,
    NO_FAULT,
    NO_SESSION,
    Fault,
    ResetReason,
    Result,
    SelfTest,
)

STATE_EVERY_MS = 100
CHANGES_APART_MS = 10
_MAX_OUT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Boot:
    """What a board knows of itself when it starts."""

    board_type: str
    serial: str
    firmware: str
    boot_counter: int = 1
    reset_reason: ResetReason = ResetReason.POWER_ON
    self_test: SelfTest = SelfTest.PASSED


class BoardCore:
    """One board from one reset to the next."""

    def __init__(
        self,
        boot: Boot,
        channels: Sequence[m.ChannelInfo],
        now_ms: int,
        parameters: m.ParameterBlock | None = None,
    ) -> None:
        """Start as after a reset: boot-locked until a host has opened a session."""
        self.parameters = parameters or m.ParameterBlock()
        self.channels: Mapping[int, BoardChannel] = {
            info.channel: BoardChannel(info, now_ms) for info in channels
        }
        self.session = NO_SESSION
        self._boot = boot
        self._booted_ms = now_ms
        self._decoder = FrameDecoder()
        self._cards = CardQueue()
        self._out = bytearray()
        self._sequence = 0
        self._control_sequence: int | None = None
        self._answered: tuple[int, m.Message] | None = None
        self._reports: tuple[m.ChannelReport, ...] = ()
        self._state_ms: int | None = None
        self._deadline_ms = now_ms
        if boot.self_test is SelfTest.FAILED:
            for channel in self.channels.values():
                channel.latched |= Fault.SELF_TEST_FAILED

    @property
    def boot_locked(self) -> bool:
        """Whether no host has opened a session since the reset."""
        return self.session == NO_SESSION

    def receive_data(self, data: bytes, now_ms: int) -> None:
        """Bytes from the host, cut anywhere."""
        for payload in self._decoder.feed(data):
            try:
                message = decode(payload)
            except BadMessageError:
                self._decoder.bad_frames += 1
            else:
                self._receive(message, now_ms)
        self.handle_timer(now_ms)

    def handle_timer(self, now_ms: int) -> None:
        """Look at the inputs and the clock; call at `next_deadline` and after an input changed."""
        alarm = Alarm(now_ms)
        for channel in self.channels.values():
            channel.step(self.parameters, alarm)
        self._send_card(alarm)
        self._send_state(alarm)
        self._deadline_ms = alarm.next_ms if alarm.next_ms is not None else now_ms

    def next_deadline(self) -> int:
        """When `handle_timer` is due at the latest."""
        return self._deadline_ms

    def data_to_send(self) -> bytes:
        """The bytes for the host since the last call; what nobody fetches is dropped."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def swipe(self, channel: int, uid: bytes, now_ms: int) -> None:
        """A card of 4 to 10 bytes was held to the reader of `channel`."""
        self._cards.swipe(channel, uid, now_ms)
        self.handle_timer(now_ms)

    def _receive(self, message: m.Message | None, now_ms: int) -> None:
        if isinstance(message, m.Hello):
            self._open_session(message)
        elif message is None or self.boot_locked or message.session != self.session:
            return  # of a later version, or of a host that is gone
        elif isinstance(message, m.Control):
            self._control(message, now_ms)
        elif isinstance(message, m.CardAck):
            self._cards.acknowledge(message.counter)
        elif isinstance(message, m.SetParameters):
            self._answer(message.request, lambda: self._set_parameters(message))
        elif isinstance(message, m.GetParameters):
            self._answer(message.request, lambda: self._parameters(message.request, Result.DONE))
        elif isinstance(message, m.ClearLatch):
            self._answer(message.request, lambda: self._clear_latch(message))

    def _open_session(self, hello: m.Hello) -> None:
        if hello.session == NO_SESSION:
            return
        if hello.major == MAJOR and hello.session != self.session:
            self.session = hello.session
            self._control_sequence = self._answered = None
            for channel in self.channels.values():
                channel.new_session()
        self._send(
            m.Welcome(
                session=hello.session,
                major=MAJOR,
                minor=MINOR,
                board_type=self._boot.board_type,
                serial=self._boot.serial,
                firmware=self._boot.firmware,
                boot_counter=self._boot.boot_counter,
                reset_reason=self._boot.reset_reason,
                self_test=self._boot.self_test,
                channels=tuple(each.info for each in self.channels.values()),
            )
        )

    def _control(self, control: m.Control, now_ms: int) -> None:
        if not is_newer(control.sequence, self._control_sequence):
            return  # repeated or late: must not feed the watchdog
        self._control_sequence = control.sequence
        for order in control.channels:
            if order.channel in self.channels:
                self.channels[order.channel].control(order, now_ms)

    def _answer(self, request: int, act: Callable[[], m.Message]) -> None:
        """Act on a new request; a repeated one gets the same answer, an old one none."""
        last = None if self._answered is None else self._answered[0]
        if is_newer(request, last):
            self._answered = (request, act())
        if self._answered is not None and self._answered[0] == request:
            self._send(self._answered[1])

    def _set_parameters(self, message: m.SetParameters) -> m.Message:
        if not message.block.in_range():
            return self._parameters(message.request, Result.OUT_OF_RANGE)
        self.parameters = message.block
        return self._parameters(message.request, Result.DONE)

    def _parameters(self, request: int, result: Result) -> m.Message:
        return m.Parameters(self.session, request, result, self.parameters)

    def _clear_latch(self, message: m.ClearLatch) -> m.Message:
        channel = self.channels.get(message.channel)
        result = Result.NO_SUCH_CHANNEL if channel is None else channel.clear_latch(message.faults)
        latched = NO_FAULT if channel is None else channel.latched
        return m.LatchAnswer(self.session, message.request, message.channel, result, latched)

    def _send_card(self, alarm: Alarm) -> None:
        swipe = None if self.boot_locked else self._cards.due(alarm)
        if swipe is not None:
            age_ms = alarm.now_ms - swipe.at_ms
            self._send(m.CardRead(self.session, swipe.counter, swipe.channel, swipe.uid, age_ms))

    def _send_state(self, alarm: Alarm) -> None:
        reports = tuple(each.report() for each in self.channels.values())
        every_ms = STATE_EVERY_MS if reports == self._reports else CHANGES_APART_MS
        if self._state_ms is None or alarm.reached(self._state_ms + every_ms):
            self._reports = reports
            self._state_ms = alarm.now_ms
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._send(
                m.State(
                    session=self.session,
                    sequence=self._sequence,
                    control_sequence=self._control_sequence or 0,
                    uptime_ms=(alarm.now_ms - self._booted_ms) & 0xFFFFFFFF,
                    boot_locked=self.boot_locked,
                    reset_reason=self._boot.reset_reason,
                    channels=reports,
                )
            )
            alarm.reached(alarm.now_ms + STATE_EVERY_MS)

    def _send(self, message: m.Message) -> None:
        if len(self._out) < _MAX_OUT_BYTES:
            self._out += encode_frame(encode(message))

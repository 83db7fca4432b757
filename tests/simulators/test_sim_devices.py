"""Register models and CAN nodes against the world, in virtual time."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baywatt_sim.devices.eastron import EastronMeter, Measured
from baywatt_sim.devices.heidelberg import (
    COMMAND,
    FAIL_SAFE,
    LOCK,
    STANDBY,
    STANDBY_AFTER_S,
    WATCHDOG,
    HeidelbergWallbox,
)
from baywatt_sim.devices.infy import CONTROLLER, ONE, Command, InfyId, InfyModule
from baywatt_sim.devices.urm14 import Urm14
from baywatt_sim.vehicle import Vehicle
from baywatt_sim.wire.link import Link
from baywatt_sim.wire.pdu import ModbusFault, NoAnswerError, Space
from baywatt_sim.wire.socketcand import CanFrame
from baywatt_sim.world import DcSource, Outlet, World

MAX_START_KWH = 8000


def floats(words: list[int]) -> list[float]:
    packed = struct.pack(f">{len(words)}H", *words)
    return list(struct.unpack(f">{len(words) // 2}f", packed))


class Flow:
    """What a meter measures, set by hand."""

    def __init__(self) -> None:
        self.seen = Measured([230.0, 229.0, 228.0], [16.0, 10.0, 0.0], [0.0, 0.0, 0.0])

    def meter(self, device_id: str = "m") -> EastronMeter:
        return EastronMeter(
            device_id, "eastron-sdm72d-v2", measure=lambda: self.seen, touch=lambda: 0.0
        )

    def passed(self, *phase_wh: float) -> None:
        self.seen = Measured(self.seen.volts, self.seen.amps, phase_wh)


def energy_wh(meter: EastronMeter, address: int = 0x48) -> int:
    kwh = floats(list(meter.read(Space.INPUT, address, 2)))[0]
    assert kwh < MAX_START_KWH
    return round(kwh * 1000)


def test_an_eastron_shows_volts_amps_and_watts_high_word_first() -> None:
    meter = Flow().meter()
    assert floats(list(meter.read(Space.INPUT, 0, 12))) == [230.0, 229.0, 228.0, 16.0, 10.0, 0.0]
    assert floats(list(meter.read(Space.INPUT, 0x34, 2))) == [230.0 * 16 + 2290.0]
    assert list(meter.read(Space.HOLDING, 0xFC02, 1)) == [0x0089]
    meter.swap_words = True
    assert list(meter.read(Space.INPUT, 0, 2)) == [0x0000, 0x4366]


@given(st.text(min_size=1, max_size=12), st.floats(0, 900_000))
def test_a_float_holds_every_watt_hour(device_id: str, passed_wh: float) -> None:
    flow = Flow()
    meter = flow.meter(device_id)
    flow.passed(passed_wh, 0.0, 0.0)
    assert energy_wh(meter) == meter.start_wh + math.floor(passed_wh)


def test_a_reversed_transformer_turns_power_and_counts_export() -> None:
    flow = Flow()
    meter = flow.meter()
    flow.passed(100.0, 0.0, 0.0)
    meter.reverse_ct = frozenset({1})
    flow.passed(150.0, 0.0, 0.0)
    assert energy_wh(meter) == meter.start_wh + 100
    assert energy_wh(meter, 0x4A) == 50
    assert floats(list(meter.read(Space.INPUT, 0x0C, 2))) == [-3680.0]
    meter.reverse_ct = frozenset()
    flow.passed(160.0, 0.0, 0.0)
    assert energy_wh(meter) == meter.start_wh + 110


def test_a_baud_rate_is_changed_only_with_the_password() -> None:
    meter, link = Flow().meter(), Link(baudrate=9600)
    meter.connect(link, None)
    code_19200 = [0x4040, 0]
    with pytest.raises(ModbusFault):
        meter.write(Space.HOLDING, 0x1C, code_19200)
    meter.write(Space.HOLDING, 0x18, list(struct.unpack(">HH", struct.pack(">f", 1000.0))))
    meter.write(Space.HOLDING, 0x1C, code_19200)
    assert link.baudrate == 19_200


@pytest.mark.parametrize(("address", "count"), [(1, 2), (0, 3), (0x17E, 4), (0, 82)])
def test_half_parameters_and_too_much_are_refused(address: int, count: int) -> None:
    with pytest.raises(ModbusFault):
        Flow().meter().read(Space.INPUT, address, count)


def test_a_bay_sensor_measures_a_short_distance_to_a_car() -> None:
    occupied = False
    sensor = Urm14(lambda: occupied, lambda: 0.0, 1)
    assert sensor.read(Space.HOLDING, 5, 1)[0] > 200
    occupied = True
    assert sensor.read(Space.HOLDING, 5, 1)[0] < 100
    with pytest.raises(ModbusFault):
        sensor.write(Space.HOLDING, 5, [1])


class Box:
    """A wallbox in virtual time: `live` lets it and its world run."""

    def __init__(self) -> None:
        self.outlet = Outlet(3)
        self.world = World([self.outlet], [], 0.0)
        self.box = HeidelbergWallbox(self.outlet, self.world, lambda: self.world.now)

    def live(self, seconds: float, *, fed: bool = True) -> None:
        for _ in range(round(seconds / 0.1)):
            self.world.advance(self.world.now + 0.1)
            self.box.tick(self.world.now)
            if fed:
                self.box.read(Space.INPUT, 5, 1)

    @property
    def state(self) -> int:
        return self.box.read(Space.INPUT, 5, 1)[0]

    def command(self, **values: int) -> None:
        registers = {"limit": COMMAND, "fail_safe": FAIL_SAFE, "lock": LOCK, "standby": STANDBY}
        registers |= {"watchdog": WATCHDOG}
        for name, value in values.items():
            self.box.write(Space.HOLDING, registers[name], [value])


def test_a_wallbox_goes_from_a1_to_c2_and_back() -> None:
    site = Box()
    site.live(0.5)
    assert site.state == 2
    site.command(limit=160)
    assert site.state == 3
    site.outlet.vehicle = Vehicle(max_current_a=16)
    site.live(5)
    assert site.state == 7
    assert site.outlet.current_a == [16.0, 16.0, 16.0]
    assert list(site.box.read(Space.INPUT, 6, 3)) == [160, 160, 160]
    site.command(limit=60)
    site.live(2)
    assert max(site.outlet.current_a) == 6.0
    site.command(limit=0)
    site.live(3)
    assert site.state == 4
    assert not site.outlet.contactor_closed


def test_a_silent_host_leaves_the_fail_safe_current() -> None:
    site = Box()
    site.command(limit=160, fail_safe=60)
    site.outlet.vehicle = Vehicle()
    site.live(14)
    assert site.outlet.offered_a == 16.0
    site.live(16, fed=False)
    assert site.outlet.offered_a == 6.0
    assert list(site.box.read(Space.HOLDING, COMMAND, 1)) == [60]


def test_a_watchdog_of_zero_is_off() -> None:
    site = Box()
    site.command(limit=160, watchdog=0)
    site.live(60, fed=False)
    assert site.box.limit_a == 16.0


def test_a_locked_wallbox_is_at_f_and_needs_ten_seconds_after_unlocking() -> None:
    site = Box()
    site.command(limit=160, lock=0)
    site.live(0.2)
    assert site.state == 10
    site.command(lock=1)
    site.live(9)
    assert site.state == 10
    site.live(1.5)
    assert site.state == 3


def test_a_box_in_standby_misses_the_first_request() -> None:
    site = Box()
    site.live(STANDBY_AFTER_S + 1, fed=False)
    with pytest.raises(NoAnswerError):
        site.box.read(Space.INPUT, 5, 1)
    assert site.state == 2
    site.command(standby=4)
    site.live(STANDBY_AFTER_S + 1, fed=False)
    assert site.state == 2


@pytest.mark.parametrize("value", [1, 59, 161, 0xFFFF])
def test_a_command_outside_6_to_16_ampere_is_refused(value: int) -> None:
    with pytest.raises(ModbusFault):
        Box().command(limit=value)


@given(st.integers(250, 280), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=4))
def test_no_write_upsets_a_wallbox(address: int, values: list[int]) -> None:
    site = Box()
    try:
        site.box.write(Space.HOLDING, address, values)
    except ModbusFault:
        return
    site.live(1, fed=False)
    assert site.state in range(2, 12)


class Module:
    """An Infy module in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.source, self.link = DcSource(), Link()
        self.module = InfyModule(0, self.source, touch=lambda: self.now, link=self.link)

    def ask(self, command: int, data: bytes = bytes(8)) -> tuple[InfyId, bytes] | None:
        can_id = InfyId(ONE, command, 0, CONTROLLER).pack()
        answers = self.module.on_frame(CanFrame(can_id, data), self.now)
        return (InfyId.parse(answers[0].can_id), answers[0].data) if answers else None

    def live(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            self.module.tick(self.now)
            self.source.step(0.1, None)


def test_the_ids_are_those_of_the_captured_frames() -> None:
    assert InfyId(ONE, Command.READ_VI, 0, CONTROLLER).pack() == 0x028300F0
    assert InfyId(ONE, Command.READ_VI, CONTROLLER, 0).pack() == 0x0283F000


def test_a_module_switches_on_ramps_and_reports() -> None:
    site = Module()
    site.ask(Command.SET_VI, struct.pack(">II", 500_000, 3_500))
    site.ask(Command.ON_OFF)
    site.live(2)
    answer = site.ask(Command.READ_VI)
    assert answer is not None
    assert answer[0] == InfyId(ONE, Command.READ_VI, CONTROLLER, 0)
    assert answer[1] == bytes.fromhex("43FA000000000000")
    status = site.ask(Command.STATUS)
    assert status is not None
    assert status[1][5:] == b"\0\0\0"


def test_a_module_without_a_controller_switches_off_after_ten_seconds() -> None:
    site = Module()
    site.ask(Command.SET_VI, struct.pack(">II", 500_000, 3_500))
    site.ask(Command.ON_OFF)
    site.live(9.9)
    assert site.source.on
    site.live(0.3)
    assert not site.source.on
    status = site.ask(Command.STATUS)
    assert status is not None
    assert status[1][6] & 1


def test_alarms_stop_the_output_and_too_much_is_refused() -> None:
    site = Module()
    refused = site.ask(Command.SET_VI, struct.pack(">II", 2_000_000, 1))
    assert refused is not None
    assert refused[0].error
    site.module.alarms.add("over-temperature")
    site.ask(Command.ON_OFF)
    assert not site.source.on
    site.link.up = False
    assert site.ask(Command.STATUS) is None


@given(st.integers(0, 0x1FFFFFFF), st.binary(max_size=8))
def test_no_frame_upsets_a_module(can_id: int, data: bytes) -> None:
    site = Module()
    for answer in site.module.on_frame(CanFrame(can_id, data), 0.0):
        assert len(answer.data) == 8

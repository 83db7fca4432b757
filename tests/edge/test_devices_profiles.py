"""Profiles: every shipped one loads and gets a driver; mistakes are told in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from baywatt_contract.site_file import Connector, Device
from baywatt_edge.devices.blocks import compile_blocks
from baywatt_edge.devices.drivers.bay import BayDriver
from baywatt_edge.devices.drivers.meter import MeterDriver
from baywatt_edge.devices.drivers.module import ModuleDriver
from baywatt_edge.devices.drivers.wallbox import WallboxDriver
from baywatt_edge.devices.errors import ProfileError
from baywatt_edge.devices.profile import Kind, Profile
from baywatt_edge.devices.profile_library import SHIPPED, ProfileLibrary, parse_profile

SHIPPED_NAMES = sorted(file.stem for file in SHIPPED.glob("*.toml"))
CONNECTOR = Connector(id=1, station="S", evse=1, plug="type2-cable", control="d", max_a=16)


def driver_of(profile: Profile) -> object:
    device = Device(id="d", bus="b", profile=profile.id, unit=7)
    makers = {
        Kind.METER: lambda: MeterDriver(device, profile),
        Kind.BAY_SENSOR: lambda: BayDriver(device, profile, ["A1"]),
        Kind.WALLBOX: lambda: WallboxDriver(device, profile, CONNECTOR, 6000),
        Kind.DC_MODULE: lambda: ModuleDriver(device, profile),
        Kind.BOARD: lambda: profile,
    }
    return makers[profile.kind]()


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_every_shipped_profile_loads_and_gets_a_driver(name: str) -> None:
    profile = ProfileLibrary().get(name)
    assert profile.id == name
    assert profile.source
    assert driver_of(profile) is not None


def test_the_profiles_of_the_harbour_site_are_shipped() -> None:
    assert {
        "eastron-sdm630",
        "eastron-sdm72d-v2",
        "heidelberg-energy-control",
        "dfrobot-urm14",
        "infypower",
        "baywatt-board",
    } <= set(SHIPPED_NAMES)


@pytest.mark.parametrize("name", ["eastron-sdm630", "eastron-sdm72d-v2"])
def test_a_meter_is_read_in_one_block(name: str) -> None:
    profile = ProfileLibrary().get(name)
    (block,) = compile_blocks(profile.polled, profile.modbus)
    assert (block.function, block.address, block.count) == (4, 0, 76)


def test_an_unknown_profile_names_device_profile_and_near_matches() -> None:
    with pytest.raises(ProfileError) as caught:
        ProfileLibrary().get("eastron-sdm360", "grid")
    assert "device 'grid'" in str(caught.value)
    assert "eastron-sdm630" in str(caught.value)


def test_an_own_profile_hides_the_shipped_one(tmp_path: Path) -> None:
    text = (
        (SHIPPED / "eastron-sdm72d-v2.toml")
        .read_text()
        .replace("max_registers = 80", "max_registers = 10")
    )
    (tmp_path / "eastron-sdm72d-v2.toml").write_text(text)
    profile = ProfileLibrary([tmp_path]).get("eastron-sdm72d-v2")
    assert profile.modbus.max_registers == 10
    assert all(block.count <= 10 for block in compile_blocks(profile.polled, profile.modbus))


BASE = """
id = "x"
kind = "meter"
vendor = "V"
model = "M"
source = ["S"]
[modbus]
[[registers]]
name = "power"
address = 0
type = "float32"
unit = "kW"
quantity = "power_w"
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('unit = "kW"', 'unit = "V"', "does not fit power_w"),
        ('type = "float32"', 'type = "float33"', "type"),
        ("address = 0", "address = 65535", "past register 65535"),
        ("[modbus]", "", "needs [modbus]"),
        ("[modbus]", "[modbus]\npoisonous = [[1, 1]]", "poisonous"),
        ("[modbus]", "[modbus]\nmax_registers = 1", "wider than max_registers"),
        ('unit = "kW"', 'unit = "kW"\nscale = 0.0', "scale is 0"),
        ('unit = "kW"', 'unit = "kW"\nscale = nan', "finite"),
        ('unit = "kW"', 'unit = "kW"\ncolour = "red"', "colour"),
        ('id = "x"', "id = ", "not valid TOML"),
        ('kind = "meter"', 'kind = "wallbox"', "needs [wallbox]"),
    ],
)
def test_a_mistake_in_a_profile_is_one_clear_line(old: str, new: str, says: str) -> None:
    assert old in BASE
    with pytest.raises(ProfileError) as caught:
        parse_profile(BASE.replace(old, new), "x.toml")
    assert "x.toml" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_profile_must_be_named_like_its_file(tmp_path: Path) -> None:
    (tmp_path / "y.toml").write_text(BASE)
    with pytest.raises(ProfileError, match="differs from the file's name"):
        ProfileLibrary([tmp_path]).get("y")


def test_a_file_that_is_no_text_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="cannot be read"):
        ProfileLibrary([tmp_path]).get("y")

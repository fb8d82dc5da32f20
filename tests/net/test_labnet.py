"""What programs under the shim are told: the file of facts, the environment, the clock page."""

from __future__ import annotations

import os
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from labkit.net.programs.labnet import PAGE, ClockPage, LabNet, lab_environment
from labkit.net.programs.labnet_facts import read_facts

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LITTLE: dict[str, Any] = {
    "base": 4000, "addresses": [], "dns": None, "accounts": {}, "files": {}, "clock": None, "ticks": None,
    "wire": None, "patience": None,
}  # fmt: skip

FACTS = [
    ({}, "base 4000\n", "nothing but the ports"),
    ({"addresses": ["203.0.113.11", "198.51.100.7"]}, "base 4000\nhost 203.0.113.11\nhost 198.51.100.7\n", "in order"),
    ({"dns": ("127.2.0.53", 4053)}, "dns 127.2.0.53:4053\nbase 4000\n", "a real place"),
    ({"accounts": {"ann": Path("/home of/ann")}}, "base 4000\nuser ann /home of/ann\n", "a home may have blanks"),
    ({"files": {"/etc/resolv.conf": Path("/a b")}}, "base 4000\nfile /etc/resolv.conf /a b\n", "so may a file"),
    ({"clock": Path("/c k"), "ticks": 20}, "base 4000\nclock /c k\nticks 20\n", "lab time"),
    ({"wire": Path("/w"), "patience": 1.5}, "base 4000\nwire /w\npatience 1.500\n", "seconds may have fractions"),
    ({"callers": [1001, 0]}, "base 4000\ncaller 1001\ncaller 0\n", "other users"),
    ({"accounts": {"ann": Path("/h\udcff")}}, "base 4000\nuser ann /h\udcff\n", "a name that is no UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize("facts, text, because", FACTS, ids=[row[2] for row in FACTS])
def test_written(facts: dict[str, Any], text: str, because: str, tmp_path: Path) -> None:
    path = tmp_path / "labnet"
    path.write_text("what was there before\n")
    LabNet(**{**LITTLE, **facts}).write(path)
    assert path.read_bytes() == os.fsencode(text), because
    assert [found.name for found in tmp_path.iterdir()] == ["labnet"], "no draft is left"
    assert path.stat().st_mode & 0o777 == 0o644, "another user reads it"


REFUSED = [
    ({"accounts": {"a b": Path("/a")}}, "user", "a name with a blank would be another's home"),
    ({"accounts": {"": Path("/a")}}, "user", "no name"),
    ({"accounts": {"ann": Path("/a\nhost 1.2.3.4")}}, "user", "a line end would make another fact"),
    ({"files": {"/etc/my file": Path("/a")}}, "file", "the path that is asked for has no blanks"),
    ({"addresses": ["203.0.113.11 "]}, "host", "no address"),
    ({"clock": Path("/a\nb")}, "clock", "a line end"),
    ({"wire": Path("/a\0b")}, "wire", "C ends there"),
]


@pytest.mark.parametrize("facts, name, because", REFUSED, ids=[row[2] for row in REFUSED])
def test_refused(facts: dict[str, Any], name: str, because: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"the fact `{name}`"):
        LabNet(**{**LITTLE, **facts}).write(tmp_path / "labnet")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_environment() -> None:
    given = {"labnet": Path("/l"), "shim": Path("/s.so"), "address": "203.0.113.11", "name": "mx.st.test"}
    variables = lab_environment(**given)  # type: ignore[arg-type]
    assert variables == {
        "LABNET": "/l",
        "LABADDR": "203.0.113.11",
        "LABNAME": "mx.st.test",
        "LD_PRELOAD": "/s.so",
    }
    assert lab_environment(**given, login="ann") == {**variables, "LABUSER": "ann"}  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/a folder/s.so", "/a:b/s.so"])
def test_a_path_that_the_loader_would_split_is_refused(path: str) -> None:
    """The loader would pass over the shim with a warning, and the program would run outside the lab."""
    with pytest.raises(ValueError, match="the loader cannot read the path"):
        lab_environment(labnet=Path("/l"), shim=Path(path), address="203.0.113.11", name="mx")


def look(path: Path, looks: int) -> None:
    """What programs do."""
    with path.open("r+b") as file:
        file.seek(8)
        before = struct.unpack("@Q", file.read(8))[0]
        file.seek(8)
        file.write(struct.pack("@Q", before + looks))


def test_the_clock_moves_by_looks_and_jumps(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    page = ClockPage(path, ticks=20)
    page.set(NOON)
    assert page.now() == NOON and path.stat().st_size == PAGE
    look(path, 3)
    assert page.now() == NOON + timedelta(microseconds=60)
    page.set(NOON + timedelta(days=4))
    assert page.now() == NOON + timedelta(days=4), "an instant is met exactly"
    look(path, 1)
    assert page.now() == NOON + timedelta(days=4, microseconds=20)
    page.set(NOON + timedelta(days=4, microseconds=10))
    assert page.now() == NOON + timedelta(days=4, microseconds=20), "never back: the looks were further"
    page.set(NOON)
    assert page.now() == NOON + timedelta(days=4, microseconds=20)
    page.close()
    again = ClockPage(path, ticks=20)
    assert again.now() == NOON + timedelta(days=4, microseconds=20), "the file keeps it"
    again.close()


def test_programs_whose_time_runs_on_start_at_the_same_instant(tmp_path: Path) -> None:
    """They read the first number, and know no ticks."""
    page = ClockPage(tmp_path / "clock", ticks=20)
    page.set(NOON)
    look(tmp_path / "clock", 1000)
    page.set(NOON + timedelta(days=1))
    lab_ns, looks, standing_ns = struct.unpack_from("@qQq", (tmp_path / "clock").read_bytes())
    assert lab_ns == standing_ns + looks * 20_000 == int((NOON + timedelta(days=1)).timestamp()) * 10**9
    page.close()


def test_without_ticks_time_stands(tmp_path: Path) -> None:
    page = ClockPage(tmp_path / "clock")
    page.set(NOON)
    look(tmp_path / "clock", 1000)
    assert page.now() == NOON
    page.close()


def test_an_instant_needs_a_time_zone(tmp_path: Path) -> None:
    page = ClockPage(tmp_path / "clock")
    with pytest.raises(TypeError):
        page.set(datetime(2026, 3, 1))
    page.close()


def test_files_of_other_labs_are_read_too(tmp_path: Path) -> None:
    clock, facts = tmp_path / "clock", tmp_path / "labnet"
    facts.write_text(f"ports 20000\nhost 203.0.113.11\nclock {clock}\nnonsense\n")
    found = read_facts(facts)
    assert [found.real_port(port) for port in (25, 587, 1023, 1024, 2525, 0)] == [
        20025,
        20587,
        21023,
        1024,
        2525,
        0,
    ]
    assert [found.lab_port(port) for port in (20025, 2525, 40000)] == [25, 2525, 40000]
    assert found.seconds_ahead() == 0.0
    clock.write_text("345600\n")
    assert found.seconds_ahead() == 345600.0
    clock.write_bytes(bytes(4096))
    assert found.seconds_ahead() == 0.0


def test_the_ports_of_a_lab_of_ours_are_all_moved(tmp_path: Path) -> None:
    facts = tmp_path / "labnet"
    facts.write_text("base 4000\n")
    found = read_facts(facts)
    assert [found.real_port(port) for port in (25, 2525, 32000, 0)] == [4025, 6525, 32000, 0]
    assert [found.lab_port(port) for port in (4025, 6525, 40000)] == [25, 2525, 40000]

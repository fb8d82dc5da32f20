"""Scenario files: what they may say, and that every mistake in one is told with its line, its field and a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from labkit import World
from labkit.eximconf.place import ConfigurationError
from labkit.lab.clock import FIRST_MORNING
from labkit.lab.happening import read_instant
from labkit.lab.scenario_fields import FIELDS, names
from labkit.lab.scenario_file import NoSuchScenario, read_scenario, scenario_of
from labkit.lab.scenario_outside import read_outside
from labkit.lab.scenarios import partners_scenario
from labkit.lab.yaml_nodes import FileErrors
from labkit.mail.event import EventKind

Run = Callable[[Coroutine[Any, Any, Any]], Any]
HERE = Path(__file__).parent
SMALL = """\
title: small
hosts:
  - name: mx.a.test
    address: 203.0.113.1
    accounts: [ann]
    configuration: partners
    values: {laptop: 198.51.100.1}
laptops:
  - name: laptop.a.test
    address: 198.51.100.1
    owner: ann@a.test
    mail_host: mx.a.test
zones:
  - origin: a.test
    text: |
      $TTL 3600
      @      IN SOA ns.root. hostmaster.a.test. ( 1 7200 900 1209600 300 )
             IN NS  ns.root.
             IN MX  10 mx
      mx     IN A   203.0.113.1
      laptop IN A   198.51.100.1
"""
FILE = Path("small.yaml")


def errors_of(text: str) -> list[ConfigurationError]:
    with pytest.raises(FileErrors) as refusal:
        scenario_of(text, FILE)
    return list(refusal.value.errors)


def line_with(text: str, part: str) -> int:
    (line,) = [n for n, line in enumerate(text.splitlines(), start=1) if part in line]
    return line


# --- mistakes ---

MISTAKES = [  # on which line, which field, what is said, what to do
    ("colour: green", "colour", "no such field", "there are"),
    ('"Big Bob"', "accounts", "cannot be an account", "small letters"),
    ("driver = acept", "configuration", "acept", "dnslookup"),
    ("address: 203.0.113.11  # twice", "address", "already", "of its own"),
    ("engine: postfix", "engine", "no engine", "outside"),
    ("name: mx.elsewhere.test", "name", "no zone has", "add a zone"),
    ("starts: maybe", "starts", "yes or no", "write starts: yes"),
    ("name: mx9.{mein}", "name", "no host name", "do you mean {mine}?"),
    ("address: 203.0.113  #", "address", "no IPv4 address", "203.0.113.11"),
    (
        "configuration: nowhere",
        "configuration",
        "no template",
        "backup, forward, forward_srs, loop, partners",
    ),
    ("owner: ann  #", "owner", "no domain", "ann@a.test"),
    ("mail_host: mx3", "mail_host", "no host", "do you mean mx2.st11.sne21.test?"),
    ("st11      IN MX mx2.st11", "text (sne21.test)", "integer", "preference"),
    ("code: 45", "code", "cannot be", "400 to 599"),
    ("place: mx.elswhere.test", "place", "no host", "mx.elsewhere.test?"),
    ("fault: sleepy", "fault", "no fault", "silent"),
    ("at: tomorrow", "at", "no such time", "day 2 10:00"),
    ("down: mx7", "down", "no host", "mx2.st11.sne21.test?"),
    ("to: [bob]", "send, to", "no domain", "ann@a.test"),
    ("by: nobody.test", "send, by", "no laptop and no host", "laptop.st11"),
    ("at: +3h", "what happens", "missing", "down, up"),
    ("fault: slow", "fault, seconds", "needs", "a number"),
]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    path = HERE / "ten_mistakes.yaml"
    text = path.read_text(encoding="utf-8")
    with pytest.raises(FileErrors) as refusal:
        read_scenario(path)
    errors = refusal.value.errors
    for part, field, problem, remedy in MISTAKES:
        found = [error for error in errors if error.place.line == line_with(text, part)]
        assert len(found) == 1, part
        assert found[0].field.endswith(field), part
        assert problem in found[0].problem, part
        assert remedy in found[0].remedy, part
        assert f"ten_mistakes.yaml, line {found[0].place.line}: " in str(refusal.value)
    assert len(errors) == len(MISTAKES), "and nothing follows from another mistake"
    assert str(refusal.value).startswith(f"ten_mistakes.yaml: {len(errors)} mistakes\n")


@pytest.mark.parametrize(
    "text, line, problem",
    [
        ("", 1, "empty"),
        ("- a\n", 1, "a list"),
        ("title: [\n", 2, "flow node"),
        ("title: a\n\tabout: b\n", 2, "cannot start"),
        ("title: a: b\n", 1, "mapping values"),
        ("title: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("title: !!binary aGk=\n", 1, "tag"),
        ("title: &a x\nabout: *a\n", 1, "anchors"),
        ("title: a\n---\ntitle: b\n", 2, "second document"),
        ("title: a\ntitle: b\n", 2, "twice"),
        ("title: a\nhosts: many\n", 2, "a list is expected"),
        ("title: a\nhosts:\n  - many\n", 3, "a mapping is expected"),
        ("title: a\nhosts: []\n", 2, "there is none"),
        ("title: {st}\nhosts: []\n", 1, "a text is expected"),
        ("hosts: []\n", 1, "missing"),
        ("title: a\n[1, 2]: b\n", 2, "a name is expected"),
        ("title: a\nvalues: 3\n", 2, "a mapping is expected"),
        ("title: a\nvalues:\n  St-1: b\n", 3, "name of a value"),
        ("title: a\nparameters:\n  x: 1\nvalues:\n  x: 2\n", 5, "already"),
        ("title: a\nzones:\n  - origin: a.test\n    text: >\n      b\n      c\n", 4, "joined"),
        ("title: a\nzones:\n  - origin: a.test\n    text: b\n      c\n", 4, "joined"),
        ("[" * 400, 1, "nested"),
        ("{a: " * 400, 1, "nested"),
        ("x: \x00", 1, "special characters"),
        ("a: " + "b" * 1_000_001, 1, "too large"),
        ("title: [" + "1," * 30_001 + "]", 1, "too much"),
    ],
)
def test_files_that_are_no_scenario(text: str, line: int, problem: str) -> None:
    errors = errors_of(text)
    assert any(error.place.line == line and problem in error.problem for error in errors), errors
    assert all(error.remedy for error in errors)


@pytest.mark.parametrize(
    "old, new, at, problem",
    [
        ("address: 203.0.113.1\n", "address: 127.0.0.1\n", "address: 127", "cannot be a lab host's"),
        ("address: 203.0.113.1\n", "address: 8.51.100.1\n", "address: 198", "cannot be in one lab"),
        ("address: 203.0.113.1\n", "address: 192.0.2.53\n", "address: 192", "the nameserver"),
        ("address: 203.0.113.1\n", "address: 203.0.113.7\n", "address: 203", "says that mx.a.test is at"),
        ("mx     IN A   203.0.113.1", "", "- name: mx.a.test", "no address for mx.a.test"),
        ("             IN NS  ns.root.\n", "", "text: |", "has no NS record"),
        ("mx     IN A   203.0.113.1", "mx     IN A   {me}", "{me}", "stands for nothing"),
        ("origin: a.test", 'origin: "b..test"', "text: |", "no name for a zone"),
        ("laptop.a.test\n    a", "mx.a.test\n    a", "- name: mx.a.test  #", "has it already"),
        ("accounts: [ann]", "role: x\n    queue_interval: soon", "queue_interval", "no such time"),
        ("accounts: [ann]", "domains: [a.test]", "domains", "has an exim.conf"),
        ("values: {laptop: 198.51.100.1}", "", "configuration", "wants a value for {laptop}"),
        ("values: {laptop: 198.51.100.1}", "files: {/etc/../x: a}", "files", "cannot be a file"),
        ("values: {laptop: 198.51.100.1}", "files: {/etc/exim.conf: a}", "files", "cannot be a file"),
        ("mail_host: mx.a.test", "mail_host: mx.a.test\n    role: x", "", ""),
        ("configuration: partners", "configuration: partners\n    engine: outside", "engine", "missing"),
    ],
)
def test_what_does_not_fit(old: str, new: str, at: str, problem: str) -> None:
    assert old in SMALL
    text = SMALL.replace(old, new, 1)
    if "has it already" in problem:
        text = SMALL.replace("laptop.a.test\n", "mx.a.test  #\n", 1)
    if not at:
        assert scenario_of(text, FILE).laptops[0].role == "x"
        return
    line = line_with(text, at) if "engine" not in at else line_with(text, "- name: mx")
    assert [problem in e.problem for e in errors_of(text) if e.place.line == line].count(True) == 1


def test_two_hosts_of_one_role_or_zone() -> None:
    twice = SMALL + SMALL[SMALL.index("  - origin") :]
    (error,) = errors_of(twice)
    assert "this zone already" in error.problem
    laptop = SMALL[SMALL.index("  - name: laptop") : SMALL.index("zones:")]
    text = SMALL.replace(
        laptop, laptop + laptop.replace("laptop.a", "l2.a").replace("100.1", "100.2") + "    role: student\n"
    )
    text += "      l2     IN A   198.51.100.2\n"
    (error,) = errors_of(text)
    assert "the role student already" in error.problem


def test_a_mistake_in_an_included_file_is_named() -> None:
    own = "configuration: |\n      .include /etc/more.conf\n"
    own += "    files:\n      /etc/more.conf: |\n        begin rooters\n"
    text = SMALL.replace("configuration: partners\n    values: {laptop: 198.51.100.1}\n", own)
    (error,) = errors_of(text)
    assert "more.conf, line 1" in error.field  # type: ignore[attr-defined]


def test_a_real_exims_configuration_is_for_the_real_exim_to_read() -> None:
    own = "configuration: |\n      perl_startup = 1\n    engine: exim\n"
    text = SMALL.replace("configuration: partners\n    values: {laptop: 198.51.100.1}\n", own)
    assert scenario_of(text, FILE).hosts[0].engine == "exim"
    assert errors_of(text.replace("engine: exim", "engine: labkit"))


@pytest.mark.parametrize(
    "text, after",
    [
        ("+2h", timedelta(hours=2)),
        ("+30m", timedelta(minutes=30)),
        ("+1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("day 1 09:00", timedelta(0)),
        ("day 2 10:00", timedelta(days=1, hours=1)),
        ("day 2 8:30", timedelta(hours=23, minutes=30)),
    ],
)
def test_instants(text: str, after: timedelta) -> None:
    assert read_instant(text) == after


@pytest.mark.parametrize(
    "text", ["", "+", "2h", "+2 h", "+-2h", "day 1 08:59", "day 0 10:00", "day 2 24:00", "+400d"]
)
def test_instants_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|days"):
        read_instant(text)


# --- names and parameters ---


def test_names() -> None:
    assert read_scenario("loop").name == "loop"
    with pytest.raises(NoSuchScenario, match="do you mean backup_mx"):
        World.open("backup_mxx")
    with pytest.raises(NoSuchScenario, match=r"there are .*\bbackup_mx, backup_outage"):
        World.open("something")
    with pytest.raises(NoSuchScenario, match="no file"):
        World.open("here/nowhere.yaml")
    with pytest.raises(NoSuchScenario):
        World.open("../scenarios/loop")


def test_partners_is_the_same_world() -> None:
    """The file and the Python function say the same."""
    for arguments in ({}, {"st": 7, "partner": 9, "apex": "sne21.ru", "address": "3.135.210.50"}):
        file, code = read_scenario("partners", arguments), partners_scenario(**arguments)  # type: ignore[arg-type]
        assert {origin for origin, _ in file.zones} == {origin for origin, _ in code.zones}
        own = [text for origin, text in file.zones if not origin.endswith("arpa")]
        assert own == [text for origin, text in code.zones if not origin.endswith("arpa")]
        assert replace(file, zones=(), about="") == replace(code, zones=())


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"st": 0}, "from 1 to 254"),
        ({"st": "7"}, "from 1 to 254"),
        ({"st": True}, "from 1 to 254"),
        ({"apex": "Sne21.test"}, "small letters"),
        ({"apex": "a.test\nevil: yes"}, "small letters"),
        ({"student": 7}, "no parameter 'student': it has st, partner"),
        ({"st": 2}, "is the address of host"),
        ({"address": "3.135.210"}, "no IPv4 address"),
    ],
)
def test_parameters_that_cannot_be(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        World.open("backup_mx", **parameters)


def test_a_refused_file_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FileErrors):
        World.open(HERE / "ten_mistakes.yaml")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_an_instruction(tmp_path: Path) -> None:
    """Whatever octets stand in a file: errors, no surprise."""
    for octets in (
        b"\xff\xfe\x00",
        b"title: \xc3\x28",
        b"\x80",
        b"%YAML 9.9\n---\na: b",
        b"? a\n: b",
        b"!!set {a, b}",
    ):
        file = tmp_path / "x.yaml"
        file.write_bytes(octets)
        with pytest.raises(ValueError, match=r"x\.yaml"):
            read_scenario(file)


def test_every_field_is_in_the_table() -> None:
    assert len({(row.section, row.name) for row in FIELDS}) == len(FIELDS)
    readers = (scenario_of, read_outside)
    source = "\n".join(Path(each.__code__.co_filename).read_text(encoding="utf-8") for each in readers)
    for section in ("host", "laptop", "zone", "customer", "list"):
        for name in names(section):
            assert re.search(rf'"{name}"', source), f"nobody reads {section} {name}"


# --- the agenda ---

BUSY_DAY = (
    SMALL.replace("title: small", "title: a busy day")
    + """
faults:
  - place: mx.a.test
    fault: answers
    code: 451
agenda:
  - at: +10m
    send: {from: ann@a.test, to: ann@a.test, by: laptop.a.test, subject: one}
  - at: +20m
    clear: mx.a.test
  - at: +30m
    send:
      from: ann@a.test
      to: [ann@a.test]
      by: mx.a.test
      subject: two
      text: |
        From the host itself.
  - at: +40m
    down: mx.a.test
  - at: +50m
    send: {from: ann@a.test, to: ann@a.test, by: laptop.a.test, subject: three}
  - at: day 1 10:00
    up: mx.a.test
  - at: +61m
    fault: {place: a.test, fault: servfail}
  - at: +62m
    clear: all
  - at: +63m
    forced queue run: mx.a.test
  - at: +64m
    zone:
      origin: b.test
      text: |
        $TTL 3600
        @ IN SOA ns.root. hostmaster.b.test. ( 1 7200 900 1209600 300 )
          IN NS  ns.root.
"""
)


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_an_agenda(run: Run, tmp_path: Path, network: str) -> None:
    file = tmp_path / "busy.yaml"
    file.write_text(BUSY_DAY, encoding="utf-8")

    async def story() -> None:
        async with World.open(file, network=network, folder=tmp_path / "disk", alongside=True) as world:
            assert [fault.kind for fault in world.faults] == ["answers"]
            await world.advance(minutes=45)
            assert not world.mine.is_running
            assert [m.first("Subject") for m in world.mine.mailbox("ann")] == ["two"]
            await world.advance(minutes=30)
            assert world.mine.is_running
            assert not len(world.faults)
            assert "b.test" in world.zones
            told = [(e.at - FIRST_MORNING, e.text) for e in world.journal.where(EventKind.SCENE)]
            assert told[0] == (timedelta(minutes=10), "ann@a.test sends to ann@a.test")
            assert "could not send: " in (told[1][1] or "")
            assert "451" in (told[1][1] or "")
            assert [text for at, text in told if at == timedelta(minutes=50)][1].startswith(  # type: ignore[union-attr]
                "laptop.a.test could not send: "
            )
            assert not world.journal.where(EventKind.PROBLEM)
            before = len(told)
        async with World.open(file, network=network, folder=tmp_path / "disk", alongside=True) as world:
            await world.advance(hours=2)
            assert len(world.journal.where(EventKind.SCENE)) == before, "what is past does not happen again"

    run(story())

"""Options: their values, read as Exim reads them; and that what has no effect is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf import options
from labkit.eximconf.expansion import Compiled
from labkit.eximconf.lists import PatternList
from labkit.eximconf.options import DRIVERS, TABLE, defaults, find, read_setting, read_time, rows
from labkit.eximconf.reader import ConfigurationError, Place, Setting

PLACE = Place("exim.conf", 3)


def read(scope: str, name: str, value: str | None) -> tuple[str, Any]:
    row, made = read_setting(scope, Setting(name, value, PLACE), {})
    return row.name, made


@pytest.mark.parametrize(
    "text, seconds, because",
    [
        ("90s", 90, "seconds"),
        ("15m", 900, "minutes"),
        ("4d12h", 388_800, "together"),
        ("1w2d3h4m5s", 788_645, "all units"),
        ("1m1m", 120, "twice the same, as Exim adds them up"),
        ("1s1h", 3601, "in any order"),
        ("0s", 0, "nothing"),
        ("007s", 7, "these are decimal"),
    ],
)
def test_a_time(text: str, seconds: int, because: str) -> None:
    assert read_time(text, PLACE) == timedelta(seconds=seconds), because


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "h",
        "1",
        "1x",
        "1.5h",
        "-1h",
        "1 h",
        "1H",
        "²h",
        "٣h",
        "99999w",
        "9" * 5000 + "s",
        "1h30",
        "1h,2",
    ],
)
def test_no_time(text: str) -> None:
    with pytest.raises(ConfigurationError, match="invalid time value") as caught:
        read_time(text, PLACE)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "scope, name, value, expected, because",
    [
        ("main", "smtp_accept_max", "100", 100, "a number"),
        ("main", "smtp_accept_max", "2K", 2048, "in units"),
        ("main", "smtp_accept_max", "2k", 2048, "of either case"),
        ("main", "smtp_accept_max", "1G", 2**30, "up to what an int holds"),
        ("main", "smtp_accept_max", "010", 8, "a leading zero means octal, as in C"),
        ("main", "smtp_accept_max", "0x10", 16, "0x means hexadecimal"),
        ("main", "smtp_max_unknown_commands", "0", 0, "zero is a number here"),
        ("main", "message_size_limit", "010", 10, "but this option is expanded, and then it is decimal"),
        ("main", "message_size_limit", "50M", 52_428_800, "in units"),
        ("main", "message_size_limit", "5G", 5 * 2**30, "more than an int holds"),
        ("main", "daemon_smtp_ports", "25 : 587 : smtp", (25, 587, 25), "numbers and names"),
        ("main", "daemon_smtp_ports", "<; 465; submission", (465, 587), "a list like others"),
        ("main", "primary_hostname", "mx2.st11.sne21.test", "mx2.st11.sne21.test", "a host name"),
        ("main", "smtp_receive_timeout", "5m", timedelta(minutes=5), "a time"),
        ("main", "smtp_enforce_sync", "no", False, "a truth"),
        ("main", "smtp_enforce_sync", "TRUE", True, "in any case"),
        ("main", "smtp_enforce_sync", "", True, "an empty one is true"),
        ("main", "smtp_enforce_sync", None, True, "so is a name alone"),
        ("main", "no_smtp_enforce_sync", None, False, "no_ before it"),
        ("main", "not_smtp_enforce_sync", None, False, "or not_"),
        (
            "main",
            "delay_warning",
            "90m: 4h :1d",
            (timedelta(0, 5400), timedelta(0, 14400), timedelta(1)),
            "times",
        ),
        ("main", "delay_warning", "0s:1h", (), "0s: none"),
        ("main", "delay_warning", "", (), "nothing: none"),
        ("router accept", "no_more", None, False, "an option of every router"),
        ("transport appendfile", "mode", "0640", 0o640, "a mode is octal"),
        ("transport appendfile", "mode", "640", 0o640, "with or without its zero"),
        ("transport smtp", "port", "2525", 2525, "one port"),
        ("transport smtp", "port", "submission", 587, "by name"),
    ],
)
def test_a_value(scope: str, name: str, value: str | None, expected: Any, because: str) -> None:
    found, read_value = read(scope, name, value)
    assert read_value == expected, because
    assert type(read_value) is type(expected), because
    assert found == name.removeprefix("not_").removeprefix("no_")


@pytest.mark.parametrize(
    "scope, name, value, problem, because",
    [
        ("main", "nosuch", "1", 'main option "nosuch" unknown', "no such option"),
        (
            "main",
            "perl_startup",
            None,
            'the option "perl_startup" is "real Exim only"',
            "Exim's, but without effect here",
        ),
        ("main", "transport", "x", 'main option "transport" unknown', "a router's"),
        ("router accept", "port", "25", "unknown (router accept)", "a transport's"),
        (
            "transport appendfile",
            "port",
            "25",
            "unknown (transport appendfile)",
            "another's",
        ),
        ("main", "no_message_size_limit", None, 'the option "no_message_size_limit"', "no truth value"),
        ("main", "no_smtp_enforce_sync", "true", 'the option "no_smtp_enforce_sync"', "no_ takes no value"),
        (
            "main",
            "smtp_enforce_sync",
            "maybe",
            '"maybe" is not a valid value for the boolean option',
            "Exim's",
        ),
        ("main", "smtp_accept_max", None, "the option smtp_accept_max needs a value", "no value"),
        ("main", "smtp_accept_max", "", "integer expected", "an empty value"),
        ("main", "smtp_accept_max", "x", "integer expected", "no number"),
        ("main", "smtp_accept_max", "08", "integer expected", "no octal digit"),
        ("main", "smtp_accept_max", "-1", "0 (no limit) is not read", "below zero"),
        ("main", "smtp_accept_max", "4G", "too large (overflow)", "more than an int holds"),
        ("main", "smtp_accept_max", "٣", "integer expected", "digits of another script"),
        ("main", "smtp_accept_max", "9" * 5000, "integer expected", "digits without end"),
        (
            "main",
            "smtp_accept_max",
            "0",
            "0 (no limit) is not read",
            "in Exim it means something else than none",
        ),
        ("main", "recipients_max", "0", "0 (no limit) is not read", "the same"),
        ("main", "message_size_limit", "0", "0 (no limit) is not read", "the same"),
        ("main", "message_size_limit", "0x10", "integer expected", "decimal only"),
        ("main", "smtp_receive_timeout", "0s", "0s (no limit) is not read", "the same"),
        ("main", "smtp_receive_timeout", "90", "invalid time value '90'", "a unit is needed"),
        ("main", "daemon_smtp_ports", "", "no port is given", "an empty list"),
        ("main", "daemon_smtp_ports", "25 : x", "unknown port 'x'", "no such name"),
        ("main", "daemon_smtp_ports", "65536", "unknown port '65536'", "no such port"),
        ("main", "daemon_smtp_ports", "0", "unknown port '0'", "no such port"),
        ("main", "daemon_smtp_ports", "²", "unknown port '²'", "a digit, but no number"),
        ("main", "delay_warning", "some text", "invalid time value for delay_warning", "no time"),
        ("main", "delay_warning", "1h:", "invalid time value for delay_warning", "a colon, and no time"),
        ("main", "delay_warning", "<; 1h; 2h", "invalid time value for delay_warning", "no list like others"),
        ("main", "delay_warning", "2h:1h", "time value out of order for delay_warning", "it falls"),
        ("main", "delay_warning", "1h:60m", "time value out of order for delay_warning", "it does not rise"),
        ("main", "delay_warning", "1h:2h:3h:4h:5h:6h:7h:8h:9h:10h:11h", "too many time values", "eleven"),
        ("transport smtp", "port", "25 : 26", "unknown port '25 : 26'", "one port only"),
        ("main", "primary_hostname", "*.st11.test", "'*.st11.test' is no host name", "trap 6 of the lab"),
        ("main", "primary_hostname", "", "'' is no host name", "nothing"),
        ("main", "primary_hostname", "a\r\nb", "is no host name", "nothing that could be injected"),
        ("main", "primary_hostname", "a.b\n", "is no host name", "not even at its end"),
        ("transport appendfile", "mode", "0888", "file mode expected, not '0888'", "no octal digits"),
        (
            "transport appendfile",
            "file",
            "${perl{x}}",
            "is not read by labkit yet",
            "an expansion's own words",
        ),
        ("router accept", "more", "maybe", '"maybe" is not a valid value', "no truth, and nothing to expand"),
        ("router accept", "set", "x = 1", "invalid variable name in set", "it must begin with r_"),
    ],
)
def test_what_is_refused(scope: str, name: str, value: str | None, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(scope, name, value)
    assert problem in caught.value.problem, because
    assert caught.value.place == PLACE
    assert caught.value.remedy


@settings(deadline=None)
@given(
    st.sampled_from(["main", *(f"{scope} {driver}" for scope in DRIVERS for driver in DRIVERS[scope])]),
    st.sampled_from([row.name for row in TABLE]) | st.text(),
    st.none() | st.text(st.sampled_from("0123456789kKmMgGxX.:;<!@*$\\ aé²wdhms")) | st.text(),
)
def test_nothing_but_a_configuration_error(scope: str, name: str, value: str | None) -> None:
    try:
        found, _ = read(scope, name, value)
    except ConfigurationError:
        return
    assert find(scope, found) is not None


def test_the_table() -> None:
    assert len({(row.scope, row.name) for row in TABLE}) == len(TABLE), "each option once in a scope"
    for row in TABLE:
        assert row.scope.split()[0] in ("main", "router", "transport", "authenticator")
        assert row.effect
        assert row.chapter
        if row.default is not None:
            assert isinstance(row.default, bool) == row.is_boolean, row.name
    for scope, drivers in DRIVERS.items():
        for driver in drivers:
            assert find(f"{scope} {driver}", "driver") in rows(f"{scope} {driver}")


def test_defaults() -> None:
    main = defaults("main")
    assert main["daemon_smtp_ports"] == (25,)
    assert main["received_headers_max"] == 30
    assert "acl_smtp_rcpt" not in main, "unset"
    assert isinstance(defaults("transport smtp")["helo_data"], Compiled)
    assert defaults("transport appendfile")["mode"] == 0o600
    assert defaults("router dnslookup")["more"] is True
    assert defaults("router dnslookup")["check_secondary_mx"] is False
    assert "allow_fail" not in defaults("router dnslookup"), "of another driver"
    assert isinstance(read("router accept", "domains", "a.test")[1], PatternList)
    assert options.find("router", "nosuch") is None

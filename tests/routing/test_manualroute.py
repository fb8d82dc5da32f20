"""The manualroute router: rules, lists of hosts, ports, and what follows when a host is not found."""

from __future__ import annotations

import pytest

from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.quoting import first_word
from labkit.routing import NextHop
from labkit.routing.host_list import NamedHost, read_hosts

from .host import Host, bt, routed

B, C = "host mx.b.test [203.0.113.9]", "host mx.c.test [203.0.113.10]"
END = "end:\n  driver = accept\n  transport = other\n"
AT_END = "0 x@r.test | router = end, transport = other"
LATER = "1 x@r.test cannot be resolved at this time: "


def manual(*lines: str, transport: str = "smtp") -> str:
    return f"r:\n  driver = manualroute\n  transport = {transport}\n" + "".join(
        f"  {line}\n" for line in lines
    )


@pytest.mark.parametrize(
    "line, ends, because",
    [
        ("route_list = r.test mx.b.test", B, "one rule"),
        ("route_list = a.test mx.c.test ; *.test mx.b.test", B, "the first that matches"),
        ("route_list = ! r.test mx.b.test", 'transport name "mx.b.test"', "`!` is the domain then"),
        ("route_list = !r.test mx.b.test", "Unrouteable address", "none matches"),
        ("route_list = * mx.b.test : mx.c.test", 'transport name ": mx.c.test"', "quotes are needed"),
        ('route_list = * "mx.b.test : mx.c.test"', "[203.0.113.10]", "so"),
        ("route_list = * mx.b.test:mx.c.test byname", "[203.0.113.10]", "or without blanks"),
        ("route_list = * mx.b.test::2525", f"{B} port=2525", "a port"),
        ("route_list = * [203.0.113.9]::26", "host 203.0.113.9 [203.0.113.9] port=26", "an address with a port"),
        ("route_list = * mx.b.test:+:mx.c.test randomize", "[203.0.113.10]", "groups keep their order"),
        (r"route_list = ^(.)\\.test\$ mx.$1.test", 'lookup of host "mx.r.test" failed', "$1 is from the domain"),
        ("route_list = * b.test/mx", "MX=20", "the hosts of a domain"),
        ("route_data = mx.b.test", B, "data"),
        ("route_data = ${lookup{$domain}lsearch{/routes}}", "[203.0.113.10]", "from a file"),
        ("route_data =", "Unrouteable address", "nothing: decline"),
        ("route_data = ${if eq{a}{b}{x}fail}", "Unrouteable address", "forced: decline"),
        ("route_data = ${nosuch}", 'failed to expand "${nosuch}": unknown variable in "${nosuch}"', "an error: defer"),
        ("route_list = * ${nosuch}", 'r router: failed to expand "${nosuch}": unknown', "in a rule"),
        ("route_list = * nowhere.test", 'lookup of host "nowhere.test" failed in r router', "freeze is the default"),
        ("route_list = * mx.here.test", "remote host address is the local host", "ourselves"),
        ("route_list = * mx.b.test:mx.here.test:mx.c.test", B, "we and all after us go"),
        ("route_list = * fail.test", "host lookup for fail.test did not complete (DNS timeout?)", "no answer"),
        ("route_list = *", "error in r router: no host(s) specified for domain r.test", "no host"),
    ],
)  # fmt: skip
def test_rules(line: str, ends: str, because: str) -> None:
    host = Host({"/routes": "r.test: mx.b.test:mx.c.test\n"})
    found = bt(manual(line), "x@r.test", host)
    assert ends in found, because


@pytest.mark.parametrize(
    "word, ends",
    [
        ("freeze", LATER + 'lookup of host "nowhere.test" failed in r router'),
        ("defer", LATER + 'lookup of host "nowhere.test" failed in r router'),
        ("fail", '2 x@r.test is undeliverable: lookup of host "nowhere.test" failed in r router'),
        ("pass", AT_END),
        ("decline", "2 x@r.test is undeliverable: Unrouteable address"),
        ("ignore", f"0 x@r.test | router = r, transport = smtp | {B}"),
    ],
)
def test_a_host_that_is_not_found(word: str, ends: str) -> None:
    text = manual("route_list = * nowhere.test:mx.b.test", f"host_find_failed = {word}", "no_more") + END
    assert bt(text, "x@r.test").startswith(ends)
    assert routed(text, "x@r.test").routes[0].freezes is (word == "freeze")


@pytest.mark.parametrize(
    "word, ends",
    [
        (
            "defer",
            LATER + "lookup failed for all hosts in r router: host_find_failed=ignore host_all_ignored=defer",
        ),
        (
            "freeze",
            LATER
            + "lookup failed for all hosts in r router: host_find_failed=ignore host_all_ignored=freeze",
        ),
        ("fail", "2 x@r.test is undeliverable: lookup failed for all hosts in r router"),
        ("pass", AT_END),
        ("decline", "2 x@r.test is undeliverable: Unrouteable address"),
    ],
)
def test_when_all_are_ignored(word: str, ends: str) -> None:
    lines = (
        "route_list = * nowhere.test",
        "host_find_failed = ignore",
        f"host_all_ignored = {word}",
        "no_more",
    )
    assert bt(manual(*lines) + END, "x@r.test").startswith(ends)


def test_a_local_transport_gets_the_list_as_it_is() -> None:
    (route,) = routed(manual("route_list = * a:b.test", transport="box"), "x@r.test").routes
    assert (route.values["host"], route.hosts, route.is_local) == ("a:b.test", (), True)


def test_a_rule_may_name_the_transport() -> None:
    (route,) = routed(manual("route_list = * mx.b.test smt", transport="box"), "x@r.test").routes
    assert route.transport == "smtp", "the beginning of its name is enough"
    assert route.next_hops == (NextHop("mx.b.test", "203.0.113.9", None),)


def test_time_out_may_pass() -> None:
    text = manual("route_list = * fail.test", "pass_on_timeout", "no_more") + END
    assert bt(text, "x@r.test").startswith(AT_END)


@pytest.mark.parametrize(
    "text, hosts",
    [
        ("a", [NamedHost("a", None, False)]),
        ("a::25", [NamedHost("a", 25, False)]),
        ("<; [2001:db8::1]:25 ; b/MX:26", [NamedHost("2001:db8::1", 25, False), NamedHost("b", 26, True)]),
        ("<; 2001:db8::25", [NamedHost("2001:db8::25", None, False)]),
        ("a:+:b", [NamedHost("a", None, False), NamedHost("b", None, False)]),
        ("/mx", [NamedHost("/mx", None, False)]),
    ],
)
def test_host_lists(text: str, hosts: list[NamedHost]) -> None:
    assert read_hosts(text) == hosts


@pytest.mark.parametrize(
    "text, word, rest",
    [
        ("a b  c", "a", "b  c"),
        (' "a b" c', "a b", "c"),
        (r'"a\"b\t" c', 'a"b\t', "c"),
        ("", "", ""),
        ('"a', "a", ""),
    ],
)
def test_first_word(text: str, word: str, rest: str) -> None:
    assert first_word(text) == (word, rest)


@pytest.mark.parametrize(
    "text, separator, items",
    [
        ("a ; b", ";", ["a", "b"]),
        ("<| a;b | c", ";", ["a;b", "c"]),
        ("a;;b;c", ";", ["a;b", "c"]),
        ("X: a\nY: b\n", "\n", ["X: a", "Y: b"]),
        ("<b> c : d", ":", ["<b> c", "d"]),
        ("a : : b", ":", ["a", "", "b"]),
    ],
)
def test_split(text: str, separator: str, items: list[str]) -> None:
    assert split_list(text, separator) == tuple(items)

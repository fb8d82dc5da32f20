"""Routing for delivery: the recipients of a message, what comes of them, and what goes along to the transports."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labkit.mail.address import Mailbox
from labkit.mail.questions import MxOf
from labkit.routing import NextHop, Route, Routed, RouteOutcome
from labkit.routing.affixes import prefix_of, suffix_of

from .host import Host, compiled, env, routed

ALIASES = (
    "team: bob, eve@b.test, carol\nall: team, bob, ann\nlost: :blackhole:\nfile: /var/mail/x, /var/mail/x\n"
)
ROUTERS = """\
aliases:
  driver = redirect
  domains = +here
  data = ${lookup{$local_part}lsearch{/aliases}}
  file_transport = other
  pipe_transport = program
  errors_to = owner@here.test
  headers_add = X-List: $local_part
users:
  driver = accept
  domains = +here
  local_part_suffix = +*
  local_part_suffix_optional
  check_local_user
  transport = box
others:
  driver = dnslookup
  transport = smtp
  headers_remove = X-Secret : X-${local_part}
"""
FILES = {"/aliases": ALIASES}


def host(**more: Any) -> Host:
    return Host(dict(FILES), **more)


def names(found: Routed) -> list[str]:
    return [f"{route.text}{'*' if route.is_duplicate else ''}" for route in found.routes]


def test_a_route_has_what_its_transport_needs() -> None:
    (route,) = routed(ROUTERS, "Bob+x@Here.Test", host()).routes
    assert (route.address, route.outcome) == (Mailbox("Bob+x", "Here.Test"), RouteOutcome.ROUTED)
    assert (route.router, route.transport, route.is_local, route.hosts) == ("users", "box", True, ())
    expected = {
        "local_part": "bob",
        "local_part_suffix": "+x",
        "local_part_suffix_v": "x",
        "local_part_data": "bob",
        "domain": "here.test",
        "domain_data": "here.test",
        "home": "/home/bob",
        "original_local_part": "bob+x",
    }
    assert expected.items() <= dict(route.values).items()


def test_a_route_to_other_hosts() -> None:
    (route,) = routed(ROUTERS, "eve@b.test", host()).routes
    assert route.next_hops == (
        NextHop("mx.b.test", "203.0.113.9", 10),
        NextHop("mx.c.test", "203.0.113.10", 20),
    )
    assert (route.values["host"], route.values["host_address"]) == ("mx.b.test", "203.0.113.9")
    assert route.headers_remove == ("X-Secret", "X-eve")
    assert route.is_local is False


def test_children_know_where_they_come_from() -> None:
    found = routed(ROUTERS, "team", host(accounts=("bob", "carol", "owner")))
    assert names(found) == ["bob@here.test", "carol@here.test", "eve@b.test"], "in the order of the alias"
    for route in found.routes:
        assert route.parents == ("team@here.test",)
        assert route.errors_to == "owner@here.test", "it can be delivered, so it counts"
        assert route.headers_add == ("X-List: team",)
        assert route.values["parent_local_part"] == "team"


def test_errors_to_counts_only_if_mail_to_it_arrives() -> None:
    found = routed(ROUTERS, "team", host())
    assert {route.errors_to for route in found.routes} == {None}, "there is no account called owner"
    silent = ROUTERS.replace("errors_to = owner@here.test", "errors_to =")
    assert {route.errors_to for route in routed(silent, "team", host()).routes} == {""}


def test_what_comes_to_the_same_is_delivered_once() -> None:
    found = routed(ROUTERS, "all", host())
    assert sorted(names(found)) == [
        "ann@here.test",
        "bob@here.test",
        "bob@here.test*",
        "carol@here.test",
        "eve@b.test",
    ]
    assert len(found.deliveries) == 4


def test_recipients_of_one_message() -> None:
    routers = compiled(ROUTERS)
    first, second = host().drive(routers.route_all(["team", "bob"], env()))
    assert [first.address, second.address] == ["team@here.test", "bob@here.test"]
    assert sum(len(found.deliveries) for found in (first, second)) == 3, "bob gets it once"


def test_nothing_and_on_purpose() -> None:
    found = routed(ROUTERS, "lost", host())
    assert found.is_discarded
    assert [(route.outcome, route.router) for route in found.routes] == [(RouteOutcome.DISCARDED, "aliases")]


def test_files_and_programs() -> None:
    found = routed(ROUTERS, "file", host())
    (route,) = found.routes
    assert (route.text, route.is_target, route.transport) == ("/var/mail/x", True, "other"), (
        "the same file, once"
    )
    assert route.values["address_file"] == "/var/mail/x"
    assert (route.address, route.values["local_part"]) == (Mailbox("file", "here.test"), "file")
    assert route.unique == "/var/mail/x:file@here.test"
    null = routed("r:\n  driver = redirect\n  data = /dev/null\n  file_transport = box\n", "x")
    assert [(route.outcome, route.transport) for route in null.routes] == [
        (RouteOutcome.DISCARDED, "**bypassed**")
    ]


def test_forbidden_and_misdirected_targets() -> None:
    text = "r:\n  driver = redirect\n  data = |/bin/cat, /a/file, /a/folder/\n  file_transport = box\n"
    found = routed(f"{text}  forbid_pipe\n", "x")
    assert [(route.outcome, route.reason) for route in found.routes] == [
        (RouteOutcome.FAILED, "delivery to pipe forbidden"),
        (RouteOutcome.ROUTED, ""),
        (RouteOutcome.DEFERRED, "directory_transport unset in r router"),
    ]
    assert [route.reason for route in routed(f"{text}  forbid_file\n", "x").failures] == [
        "delivery to file forbidden"
    ] * 2


def test_the_same_address_as_its_parent_has_a_name_of_its_own() -> None:
    text = "r:\n  driver = redirect\n  local_parts = x\n  data = x, y\nend:\n  driver = accept\n  transport = box\n"
    assert sorted(route.unique for route in routed(text, "x@here.test").routes) == [
        "\\0\\x@here.test",
        "y@here.test",
    ]
    unseen = (
        "u:\n  driver = accept\n  transport = other\n  unseen\nend:\n  driver = accept\n  transport = box\n"
    )
    found = routed(unseen, "x@here.test")
    assert {(route.unique, route.transport) for route in found.routes} == {
        ("x@here.test/u", "other"),
        ("\\0\\x@here.test", "box"),
    }


def test_routing_is_copied_within_a_domain() -> None:
    plain = "r:\n  driver = dnslookup\n  transport = smtp\n"
    for text, times in ((plain, 2), (f"{plain}  same_domain_copy_routing\n", 1)):
        asked = host()
        both = asked.drive(compiled(text).route_all(["x@b.test", "y@b.test"], env()))
        assert asked.asked.count(MxOf("b.test")) == times
        assert [found.routes[0].next_hops for found in both] == [both[0].routes[0].next_hops] * 2
        assert [found.routes[0].text for found in both] == ["x@b.test", "y@b.test"]
    asked = host()
    asked.drive(compiled(f"{text}  headers_add = X: y\n").route_all(["x@b.test", "y@b.test"], env()))
    assert asked.asked.count(MxOf("b.test")) == 2, "header fields may differ from one to the other"


def test_what_is_told_and_what_is_logged() -> None:
    text = "r:\n  driver = redirect\n  data = {}\n  allow_fail\n  allow_defer\n"
    (failed,) = routed(text.format(":fail: gone"), "x").failures
    assert (failed.reason, failed.words) == ("gone", "gone")
    deferred = routed(text.format(":defer: later"), "x").first
    assert deferred.outcome is RouteOutcome.DEFERRED
    assert (deferred.reason, deferred.words) == ("later", "later")
    secret = routed(text.format("${nosuch}"), "x").first
    assert secret.outcome is RouteOutcome.DEFERRED
    assert secret.reason.startswith("failed to expand") and secret.words == ""


def test_one_time_names_the_first() -> None:
    text = "r:\n  driver = redirect\n  data = y@b.test\n  one_time\n  hide_child_in_errmsg\n" + ROUTERS
    (route,) = routed(text, "x@here.test", host()).routes
    assert (route.onetime_parent, route.hides_child) == ("x@here.test", True)


def test_the_env_that_is_given_stays_as_it_is() -> None:
    given, before = env(), dict(env().variables)
    found = host().drive(compiled(ROUTERS).route("team", given))
    assert given.variables == before and isinstance(found.routes[0], Route)


affixes = st.text(alphabet="ab-+", max_size=4)


@given(st.text(alphabet="abAB-+", min_size=1, max_size=8), st.lists(affixes, max_size=3), st.booleans())
def test_affixes_are_parts_of_the_local_part(local_part: str, given: list[str], starred: bool) -> None:
    prefix = prefix_of(local_part, [f"*{each}" if starred else each for each in given])
    if prefix is not None:
        assert prefix[0] and local_part.startswith(prefix[0]) and prefix[0].startswith(prefix[1])
    suffix = suffix_of(local_part, [f"{each}*" if starred else each for each in given])
    if suffix is not None:
        assert suffix[0] and local_part.endswith(suffix[0]) and suffix[0].endswith(suffix[1])

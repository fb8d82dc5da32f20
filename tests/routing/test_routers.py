"""Routers: which one takes an address, and the words for one that nobody takes."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.eximconf.configuration import read
from labkit.eximconf.lists import Here
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_from
from labkit.mail.questions import (
    Account,
    AccountNamed,
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    OwnAddresses,
)
from labkit.routing.mx import NextHop
from labkit.routing.routers import Route, RouteOutcome, route

ROUTED, FAILED, DEFERRED = RouteOutcome.ROUTED, RouteOutcome.FAILED, RouteOutcome.DEFERRED
HERE = Here("mx2.st11.test", ("203.0.113.11",))
ANSWERS: dict[Any, Any] = {
    AccountNamed("ann"): Account("ann", "/home/ann"),
    AccountNamed("nobody"): None,
    OwnAddresses(): HERE.addresses,
    MxOf("st2.test"): DnsAnswer(DnsOutcome.FOUND, (MxRecord(10, "mx2.st2.test"),)),
    AddressesOf("mx2.st2.test"): DnsAnswer(DnsOutcome.FOUND, ("203.0.113.2",)),
    MxOf("null.test"): DnsAnswer(DnsOutcome.FOUND, (MxRecord(0, "."),)),
    MxOf("dead.test"): DnsAnswer(DnsOutcome.FOUND, (MxRecord(0, "gone.dead.test"),)),
    AddressesOf("gone.dead.test"): DnsAnswer(DnsOutcome.NXDOMAIN),
    MxOf("nosuch.test"): DnsAnswer(DnsOutcome.NXDOMAIN),
    MxOf("later.test"): DnsAnswer(DnsOutcome.SERVFAIL),
    MxOf("self.test"): DnsAnswer(DnsOutcome.FOUND, (MxRecord(0, "mx2.st11.test"),)),
    AddressesOf("mx2.st11.test"): DnsAnswer(DnsOutcome.FOUND, HERE.addresses),
    MxOf("direct.test"): DnsAnswer(DnsOutcome.NODATA),
    AddressesOf("direct.test"): DnsAnswer(DnsOutcome.FOUND, HERE.addresses),
}
OTHERS = "others:\n driver = dnslookup\n domains = ! st11.test\n transport = smtp\n"
OURS = "ours:\n driver = accept\n check_local_user\n transport = box\n"
FALLBACK = "fallback:\n driver = accept\n transport = box\n"
MAY_NOT = "ours:\n driver = accept\n local_parts = nosuch\n transport = box\n"


def routed(routers: str, address: str) -> Route:
    text = f"begin routers\n{routers}begin transports\nsmtp:\n driver = smtp\nbox:\n driver = appendfile\n file = /x\n"
    asking = route(Mailbox.parse(address), read(text).routers, HERE)
    return answer_from(ANSWERS, asking)


@pytest.mark.parametrize(
    "routers, address, outcome, router, reason, because",
    [
        (OTHERS + OURS, "ann@st11.test", ROUTED, "ours", "", "an account of this host"),
        (
            OTHERS + OURS,
            "Ann@ST11.test",
            ROUTED,
            "ours",
            "",
            "routers look at local parts and domains without case",
        ),
        (OTHERS + OURS, "bob@st2.test", ROUTED, "others", "", "by its MX"),
        (OTHERS + OURS, "bob@ST2.TEST", ROUTED, "others", "", "DNS has no case"),
        (OTHERS + OURS, "nobody@st11.test", FAILED, None, "Unrouteable address", "no such account"),
        ("", "ann@st11.test", FAILED, None, "Unrouteable address", "no router at all"),
        (OTHERS, "a@later.test", DEFERRED, "others", "host lookup did not complete", "Exim's words"),
        (
            OTHERS + FALLBACK,
            "a@later.test",
            DEFERRED,
            "others",
            "host lookup did not complete",
            "no other is asked",
        ),
        (
            OTHERS,
            "a@self.test",
            DEFERRED,
            "others",
            "lowest numbered MX record points to local host",
            "Exim's words",
        ),
        (
            OTHERS,
            "a@direct.test",
            DEFERRED,
            "others",
            "remote host address is the local host",
            "without an MX",
        ),
        (OTHERS, "a@null.test", FAILED, None, "an MX or SRV record indicated no SMTP service", "RFC 7505"),
        (
            OTHERS,
            "a@dead.test",
            FAILED,
            None,
            "all relevant MX records point to non-existent hosts",
            "Exim's",
        ),
        (OTHERS, "a@nosuch.test", FAILED, None, "Unrouteable address", "no such domain"),
        (OTHERS + FALLBACK, "a@nosuch.test", ROUTED, "fallback", "", "dnslookup declined, the next is asked"),
        (OTHERS + FALLBACK, "a@null.test", ROUTED, "fallback", "", "also with words"),
        (OTHERS + FALLBACK, "a@dead.test", ROUTED, "fallback", "", "also with words"),
        (OTHERS + " no_more\n" + FALLBACK, "a@nosuch.test", FAILED, None, "Unrouteable address", "no_more"),
        (
            OTHERS + " more = false\n" + FALLBACK,
            "a@nosuch.test",
            FAILED,
            None,
            "Unrouteable address",
            "no_more",
        ),
        (
            OTHERS + " no_more\n" + FALLBACK,
            "a@null.test",
            FAILED,
            None,
            "an MX or SRV record",
            "with the words",
        ),
        (
            OTHERS + " no_more\n" + FALLBACK,
            "a@st11.test",
            ROUTED,
            "fallback",
            "",
            "it did not run: no_more is ignored",
        ),
        (OTHERS + " no_more\n" + MAY_NOT, "a@nosuch.test", FAILED, None, "Unrouteable address", "no_more"),
        (
            OTHERS + MAY_NOT + " cannot_route_message = $local_part?\n",
            "a@null.test",
            FAILED,
            None,
            "an MX",
            "words stay",
        ),
        (
            MAY_NOT + " cannot_route_message = no $local_part\n",
            "EVE@x.test",
            FAILED,
            None,
            "no eve",
            "in small letters",
        ),
        (
            MAY_NOT + " cannot_route_message = first\n" + MAY_NOT.replace("ours", "two"),
            "a@st11.test",
            FAILED,
            None,
            "Unrouteable address",
            "only the words of the last router looked at count",
        ),
        (
            OTHERS + " cannot_route_message = no $domain\n no_more\n" + FALLBACK,
            "a@NoSuch.test",
            FAILED,
            None,
            "no nosuch.test",
            "the last router looked at is the one with no_more",
        ),
    ],
)
def test_route(
    routers: str, address: str, outcome: RouteOutcome, router: str | None, reason: str, because: str
) -> None:
    found = routed(routers, address)
    assert (found.outcome, found.router) == (outcome, router), because
    assert found.reason.startswith(reason), because
    assert str(found.address) == address, "the address itself keeps its case"
    assert bool(found.steps) is bool(routers), "every router looked at says why"


@pytest.mark.parametrize(
    "options, address, values, because",
    [
        (
            "check_local_user",
            "Ann@st11.test",
            {"local_part_data": "ann", "home": "/home/ann"},
            "the account vouches",
        ),
        ("domains = *.test", "ann@st11.test", {"domain_data": "*.test"}, "the pattern, as in Exim"),
        ("domains = ST11.test", "ann@st11.test", {"domain_data": "ST11.test"}, "the item as written"),
        ("domains = @", "ann@mx2.st11.test", {"domain_data": "mx2.st11.test"}, "@ stands for a name"),
        (
            "domains = !x.test",
            "ann@st11.test",
            {"domain_data": ""},
            "the end of the list vouches for nothing",
        ),
        ("local_parts = bob : ann", "ANN@st11.test", {"local_part_data": "ann"}, "the item as written"),
        (
            "local_parts = *",
            '"../../etc/x"@st11.test',
            {"local_part_data": "*"},
            "a stranger names no file of ours",
        ),
        (
            "local_parts = *\n check_local_user",
            "ann@st11.test",
            {"local_part_data": "ann"},
            "the account is looked at last",
        ),
        ("", "Ann@ST11.test", {"local_part": "ann", "domain": "st11.test"}, "variables are in small letters"),
    ],
)
def test_values_for_the_transport(options: str, address: str, values: dict[str, str], because: str) -> None:
    found = routed(f"r:\n driver = accept\n transport = box\n {options}\n", address)
    assert found.outcome is ROUTED, because
    assert {name: found.values.get(name) for name in values} == values, because


def test_a_route_to_other_hosts() -> None:
    found = routed(OTHERS, "bob@st2.test")
    assert found.transport == "smtp"
    assert found.next_hops == (NextHop("mx2.st2.test", "203.0.113.2", 10),)
    assert "MX of st2.test: 10 mx2.st2.test" in found.reason


def test_ignored_targets() -> None:
    found = routed(OTHERS + " ignore_target_hosts = 203.0.113.0/24\n", "bob@st2.test")
    assert (found.outcome, found.reason) == (FAILED, "all relevant MX records point to non-existent hosts")


def test_every_router_looked_at_says_why() -> None:
    found = routed(OTHERS + OURS, "nobody@st11.test")
    assert [(step.router, step.took) for step in found.steps] == [("others", False), ("ours", False)]
    assert found.steps[0].because == "domain st11.test is not in ! st11.test"
    assert "no account" in found.steps[1].because


def test_no_more_is_said() -> None:
    steps = routed(OTHERS + " no_more\n" + FALLBACK, "a@nosuch.test").steps
    assert [step.router for step in steps] == ["others", "others"]
    assert "no_more" in steps[-1].because

"""dnslists of ACLs: which names are asked for, and what an answer means."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.mail.lookups import DnsRecords, Unanswered
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome
from labkit.smtp.acl import Phase

NO = "550 Administrative prohibition"
LATER = "451 Temporary local problem - please try later"
YES = "accepted"
CLIENT = "9.113.0.203"


def listed(*addresses: str) -> DnsAnswer[str]:
    return DnsAnswer(DnsOutcome.FOUND, addresses)


ZONE = {
    f"{CLIENT}.bl.test": listed("127.0.0.2"),
    f"{CLIENT}.two.test": listed("127.0.0.2", "127.0.0.4"),
    f"{CLIENT}.other.test": DnsAnswer(DnsOutcome.NXDOMAIN, ()),
    f"{CLIENT}.broken.test": DnsAnswer(DnsOutcome.SERVFAIL, ()),
    f"{CLIENT}.lost.test": listed("192.0.2.1"),
    f"{CLIENT}.mixed.test": listed("192.0.2.1", "127.0.0.9"),
    "a.test.bl.test": listed("127.0.0.3"),
    "b.test.bl.test": DnsAnswer(DnsOutcome.NXDOMAIN, ()),
    "c.test.bl.test": DnsAnswer(DnsOutcome.TIMEOUT, ()),
    "2.1.168.192.bl.test": DnsAnswer(DnsOutcome.NODATA, ()),
}


@pytest.fixture
def lists(stage: Any) -> Any:
    stage.answers = {AddressesOf(name): answer for name, answer in ZONE.items()}
    stage.answers[DnsRecords("TXT", f"{CLIENT}.bl.test")] = ("it sent spam", "more")
    return stage


@pytest.mark.parametrize(
    "items, holds, because",
    [
        ("bl.test", True, "listed"),
        ("other.test", False, "not listed"),
        ("other.test : bl.test", True, "one of them"),
        ("", False, "no list"),
        ("broken.test", False, "no answer: not listed"),
        ("+include_unknown : broken.test", True, ""),
        ("+exclude_unknown : broken.test", False, ""),
        ("+defer_unknown : broken.test", None, ""),
        ("broken.test : +defer_unknown : other.test", False, "it counts for what follows"),
        ("+defer_unknown : broken.test : bl.test", None, "at once"),
        ("bl.test=127.0.0.2", True, ""),
        ("bl.test=127.0.0.3", False, ""),
        ("bl.test=127.0.0.3,127.0.0.2", True, "one of them"),
        ("bl.test!=127.0.0.2", False, ""),
        ("bl.test!=127.0.0.3", True, ""),
        ("two.test=127.0.0.4", True, "any of the answers"),
        ("two.test==127.0.0.2,127.0.0.4", True, "all of the answers"),
        ("two.test==127.0.0.2", False, ""),
        ("two.test!==127.0.0.2", True, "not all of them"),
        ("two.test!==127.0.0.2,127.0.0.4", False, ""),
        ("two.test!=127.0.0.2", False, "none of them"),
        ("two.test&0.0.0.4", True, "a bit of one answer"),
        ("two.test&0.0.0.6", False, "both bits in one answer"),
        ("two.test=&0.0.0.2", False, "in all answers"),
        ("two.test=&0.0.0.0", True, ""),
        ("two.test!&0.0.0.8", True, ""),
        ("lost.test", False, "not in 127.0.0.0/8"),
        ("mixed.test", True, "one of them is"),
        ("bl.test/a.test", True, "a domain as key"),
        ("bl.test/b.test", False, ""),
        ("bl.test/$sender_address_domain", True, ""),
        ("bl.test/b.test::a.test", True, "several keys"),
        ("bl.test/<;b.test;a.test", True, "with another separator"),
        ("bl.test/192.168.1.2", False, "an address as key"),
        ("+defer_unknown : bl.test/c.test::a.test", True, "a good answer makes up for none"),
        ("+defer_unknown : bl.test/c.test::b.test", None, ""),
    ],
)
def test_items(lists: Any, items: str, holds: bool | None, because: str) -> None:
    assert lists.said(f"accept dnslists = {items}") == {True: YES, False: NO, None: LATER}[holds], because
    negated = {True: NO, False: YES, None: LATER}[holds]
    assert lists.said(f"accept !dnslists = {items}") == negated, because


def test_variables(lists: Any) -> None:
    acl = "deny dnslists = {0}\n message = $dnslist_domain $dnslist_matched $dnslist_value: $dnslist_text"
    assert lists.said(acl.format("bl.test")) == "550 bl.test 203.0.113.9 127.0.0.2: it sent spam"
    assert lists.said(acl.format("bl.test/a.test")) == "550 bl.test a.test 127.0.0.3: "
    assert lists.said(acl.format("two.test")) == "550 two.test 203.0.113.9 127.0.0.2, 127.0.0.4: "


def test_a_domain_for_the_text(lists: Any) -> None:
    """`text,list`: the text comes from the first domain, where the client must be listed, too."""
    acl = "deny dnslists = {0}\n message = $dnslist_domain $dnslist_value: $dnslist_text\naccept"
    assert lists.said(acl.format("bl.test,two.test=127.0.0.4")) == "550 bl.test 127.0.0.2: it sent spam"
    assert lists.said(acl.format("other.test,bl.test")) == YES


def test_each_name_is_asked_for_once_in_a_connection(lists: Any) -> None:
    for _ in range(3):
        lists.run("deny dnslists = bl.test : other.test")
        lists.scene.begin_message()
    asked = [AddressesOf(f"{CLIENT}.bl.test"), DnsRecords("TXT", f"{CLIENT}.bl.test")]
    assert lists.asked == asked


def test_a_text_that_nobody_tells(lists: Any) -> None:
    lists.answers[DnsRecords("TXT", f"{CLIENT}.two.test")] = Unanswered("server failure")
    assert lists.said("deny dnslists = two.test\n message = [$dnslist_text]") == "550 []"


def test_ipv6(lists: Any) -> None:
    lists.variables["sender_host_address"] = "2001:db8::1"
    name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test"
    lists.answers[AddressesOf(name)] = listed("127.0.0.2")
    assert lists.said("accept dnslists = bl.test") == YES


def test_what_is_logged(lists: Any) -> None:
    for items, line in [
        (
            "broken.test",
            f"DNS list lookup defer (probably timeout) for {CLIENT}.broken.test: assumed not in list",
        ),
        (
            "lost.test",
            "DNS list lookup for 203.0.113.9 at lost.test returned 192.0.2.1; not in 127.0/8 and discarded",
        ),
        ("+nosuch", "unknown item in dnslist (ignored): +nosuch"),
    ]:
        lists.run(f"deny dnslists = {items}\naccept")
        assert lists.logged == [line]


def test_without_a_connection(lists: Any) -> None:
    verdict = lists.run("deny dnslists = bl.test", phase=Phase.NOT_SMTP)
    assert verdict.log_text == "cannot test auto-keyed dnslists condition in non-SMTP ACL"
    assert lists.said("accept dnslists = bl.test/a.test", phase=Phase.NOT_SMTP) == YES
    lists.variables["sender_host_address"] = ""
    assert lists.said("accept dnslists = bl.test") == NO

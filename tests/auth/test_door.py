"""The hinge of the plain door: what a lookup function says becomes what the resolver would have said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import labkit
from labkit.auth.door import answer_with, dns_answer
from labkit.mail.asking import Question, ask
from labkit.mail.questions import (
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    NamesOf,
    TextOf,
    V6AddressesOf,
)

ZONE = {
    ("a.test", "A"): ["203.0.113.1", "203.0.113.2"],
    ("a.test", "AAAA"): ["2001:db8::1"],
    ("a.test", "MX"): ["10 mx.a.test.", "0 ."],
    ("a.test", "TXT"): ["v=spf1 -all"],
    ("1.113.0.203.in-addr.arpa", "PTR"): ["mx.a.test."],
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): ["six.a.test"],
}


def lookup(name: str, rdtype: str) -> Sequence[str]:
    if name == "slow.test":
        raise labkit.LookupTimedOut
    if not any(known == name for known, _ in ZONE):
        raise labkit.NoSuchName
    return ZONE.get((name, rdtype), [])


@pytest.mark.parametrize(
    "question, answer, because",
    [
        (AddressesOf("a.test"), ("203.0.113.1", "203.0.113.2"), "in the order given"),
        (V6AddressesOf("a.test"), ("2001:db8::1",), "AAAA"),
        (MxOf("a.test"), (MxRecord(10, "mx.a.test"), MxRecord(0, ".")), "a null MX keeps its dot"),
        (TextOf("a.test"), ("v=spf1 -all",), "TXT"),
        (NamesOf("203.0.113.1"), ("mx.a.test",), "below in-addr.arpa"),
        (NamesOf("2001:db8::1"), ("six.a.test",), "below ip6.arpa"),
    ],
)
def test_found(question: Question[object], answer: tuple[object, ...], because: str) -> None:
    assert dns_answer(lookup, question) == DnsAnswer(DnsOutcome.FOUND, answer), because


@pytest.mark.parametrize(
    "name, outcome",
    [
        ("none.test", DnsOutcome.NXDOMAIN),
        ("slow.test", DnsOutcome.TIMEOUT),
        ("1.113.0.203.in-addr.arpa", DnsOutcome.NODATA),
    ],
)
def test_not_found(name: str, outcome: DnsOutcome) -> None:
    assert answer_with(lookup, ask(TextOf(name))) == DnsAnswer(outcome)


def test_misuse_is_said() -> None:
    with pytest.raises(ValueError, match="10 host"):
        dns_answer(lambda name, rdtype: ["mx.a.test"], MxOf("a.test"))
    with pytest.raises(ZeroDivisionError):  # a fault of the lookup's own is not hidden
        answer_with(lambda name, rdtype: [str(1 // 0)], ask(TextOf("a.test")))

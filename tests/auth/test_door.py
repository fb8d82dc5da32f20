"""The hinge of the plain door: what a lookup function says becomes what the resolver would have said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address

import pytest

import labkit
from labkit.auth import (
    check_spf,
    evaluate_dmarc,
    parse_authentication_results,
    validate_arc,
    verify_dkim,
)
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


SIGNED = (
    b"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=AAAA; b=AAAA\r\nFrom: a@a.test\r\n\r\n"
)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (
            lambda: verify_dkim("From: a", lookup, 0),
            TypeError,
            "a message is bytes, not str: read the file in mode 'rb'",
        ),
        (lambda: validate_arc(None, lookup, 0), TypeError, "a message is bytes, not NoneType"),
        (
            lambda: verify_dkim(SIGNED, lookup, None),
            TypeError,
            "now is an aware datetime, or seconds since 1970",
        ),
        (lambda: verify_dkim(SIGNED, lookup, datetime(2024, 1, 1)), ValueError, "now needs a zone"),
        (lambda: verify_dkim(SIGNED, lookup, float("nan")), ValueError, "now is nan"),
        (lambda: verify_dkim(SIGNED, lookup, 10**400), ValueError, "which is no instant"),
        (lambda: verify_dkim(SIGNED, None, 0), TypeError, "lookup is a function"),
        (lambda: check_spf(5, "h", "a@a.test", lookup), TypeError, "client_ip is text"),
        (lambda: check_spf("1.2.3.4", None, "a@a.test", lookup), TypeError, "helo is text"),
        (lambda: check_spf("1.2.3.4", "h", b"a@a.test", lookup), TypeError, "reverse_path is text"),
        (lambda: evaluate_dmarc(None, None, None, lookup), TypeError, "author_domain is text"),
        (lambda: parse_authentication_results(None), TypeError, "value is text"),
    ],
)
def test_wrong_types_are_said(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    "answer", [None, "v=spf1 -all", b"v=spf1 -all", 5, [b"v=spf1 -all"], [None], [["v=spf1"]]]
)
def test_what_is_no_list_of_strings_is_said(answer: object) -> None:
    with pytest.raises(TypeError, match=r"lookup\('a.test', 'TXT'\) returned .* a list of strings"):
        check_spf("203.0.113.9", "h.test", "a@a.test", lambda name, rdtype: answer)  # type: ignore[arg-type,return-value]


def test_what_is_taken_though_nobody_asked_for_it() -> None:
    def slowly(name: str, rdtype: str) -> Iterator[str]:
        if name != "a.test":
            raise labkit.NoSuchName  # a generator raises when it is read, not when it is called
        yield "v=spf1 ip4:203.0.113.9 -all"

    assert check_spf(ip_address("203.0.113.9"), "h", "x@a.test", slowly).result == "pass"  # type: ignore[arg-type]
    assert check_spf("203.0.113.9", "h", "x@b.test", slowly).result == "none"  # type: ignore[arg-type]
    assert verify_dkim(bytearray(SIGNED), lookup, 0) == verify_dkim(SIGNED, lookup, 0)
    assert parse_authentication_results(bytearray(b"mx.test; none")).authserv_id == "mx.test"


@pytest.mark.parametrize("text", ["mx", "10", "x 10", "70000000 mx", "1" * 5000 + " mx", "١ mx"])
def test_an_mx_record_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="an MX record is given as '10 host'"):
        dns_answer(lambda name, rdtype: [text], MxOf("a.test"))

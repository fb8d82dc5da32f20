"""Block lists and reverse checks, with the DNS as a dict: what is a fact, what is unknown, what is dead."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.filters.blocklist import NotAskable, check_list, listed, query_name
from labkit.filters.reverse import check_helo, check_reverse
from labkit.mail.asking import Asking, Question, answer_by
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, NamesOf, TextOf, V6AddressesOf

NO: DnsAnswer[Any] = DnsAnswer(DnsOutcome.NXDOMAIN)
TIMEOUT: DnsAnswer[Any] = DnsAnswer(DnsOutcome.TIMEOUT)


def found(*records: str) -> DnsAnswer[Any]:
    return DnsAnswer(DnsOutcome.FOUND, records)


def run(
    asking: Asking[Any], zone: dict[Question[Any], DnsAnswer[Any]], otherwise: DnsAnswer[Any] = NO
) -> Any:
    return answer_by(lambda question: zone.get(question, otherwise), asking)


@pytest.mark.parametrize(
    "what, name",
    [
        ("203.0.113.9", "9.113.0.203.bl.test"),
        ("2001:db8::9", "9" + ".0" * 23 + ".8.b.d.0.1.0.0.2.bl.test"),
        ("::ffff:127.0.0.2", "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20 + ".bl.test"),
        ("Evil.test.", "evil.test.bl.test"),
    ],
)
def test_query_name(what: str, name: str) -> None:
    assert query_name(what, "BL.test.") == name


@pytest.mark.parametrize(
    "what, zone",
    [
        ("203.0.113", "bl.test"), ("203.0.113.256", "bl.test"), ("2001:db8:", "bl.test"), ("", "bl.test"),
        ("fe80::1%eth0", "bl.test"), ("a..b", "bl.test"), ("a", ""), ("a b", "bl.test"), ("a", "bl .test"),
        ("a" * 64, "bl.test"), (".".join(["a" * 60] * 5), "bl.test"), ("ſ.test", "bl.test"), ("a\n", "b\0.test"),
    ],
)  # fmt: skip
def test_not_askable(what: str, zone: str) -> None:
    with pytest.raises(NotAskable):
        query_name(what, zone)


NAME = "9.113.0.203.bl.test"


@pytest.mark.parametrize(
    "zone, is_listed, is_known, words",
    [
        (
            {AddressesOf(NAME): found("127.0.0.2"), TextOf(NAME): found("spam")},
            True,
            True,
            "listed as 127.0.0.2: spam",
        ),
        ({AddressesOf(NAME): found("127.0.0.2", "127.0.0.4")}, True, True, "127.0.0.2, 127.0.0.4"),
        ({}, False, True, "not listed"),
        ({AddressesOf(NAME): found("192.0.2.1")}, False, True, "which lists nobody"),
        ({AddressesOf(NAME): found("nonsense")}, False, True, "which lists nobody"),
        ({AddressesOf(NAME): TIMEOUT}, False, False, "no answer"),
        ({AddressesOf(NAME): found("127.0.0.2"), TextOf(NAME): TIMEOUT}, True, True, "listed as 127.0.0.2"),
    ],
)
def test_listed(zone: dict[Question[Any], Any], is_listed: bool, is_known: bool, words: str) -> None:
    result = run(listed("203.0.113.9", "bl.test"), zone)
    assert (result.is_listed, result.is_known) == (is_listed, is_known) and words in result.words


TWO, ONE = AddressesOf("2.0.0.127.bl.test"), AddressesOf("1.0.0.127.bl.test")


@pytest.mark.parametrize(
    "zone, otherwise, is_fit, words",
    [
        ({TWO: found("127.0.0.2")}, NO, True, "it lives"),
        ({}, NO, False, "test entry is missing"),
        ({}, found("127.0.0.2"), False, "lists everybody"),
        ({}, found("192.0.2.80"), False, "another owner"),
        ({TWO: found("127.0.0.2"), ONE: found("192.0.2.80")}, NO, False, "another owner"),
        ({ONE: found("127.0.0.2")}, NO, False, "test entry is missing"),
        ({}, TIMEOUT, None, "does not answer"),
        ({TWO: found("127.0.0.2"), ONE: TIMEOUT}, NO, None, "does not answer"),
    ],
)
def test_check_list(
    zone: dict[Question[Any], Any], otherwise: DnsAnswer[Any], is_fit: bool | None, words: str
) -> None:
    result = run(check_list("bl.test"), zone, otherwise)
    assert result.is_fit is is_fit and words in result.words
    assert len(result.steps) == 2 and words in str(result)


def test_check_list_of_other_kinds() -> None:
    names = {query_name("::ffff:7f00:2", "v6.test"), query_name("test", "dbl.test")}
    zone: dict[Question[Any], Any] = {AddressesOf(name): found("127.0.0.2") for name in names}
    assert run(check_list("v6.test", "ipv6"), zone).is_fit
    assert run(check_list("dbl.test", "domain"), zone).is_fit
    with pytest.raises(NotAskable):
        run(check_list("bl.test", "phone"), zone)


PTR = NamesOf("203.0.113.9")


@pytest.mark.parametrize(
    "zone, result, because",
    [
        ({PTR: found("mx.a.test."), AddressesOf("mx.a.test"): found("203.0.113.9")}, "pass", "both agree"),
        (
            {PTR: found("bank.test"), AddressesOf("bank.test"): found("192.0.2.1")},
            "fail",
            "the name is borrowed",
        ),
        (
            {PTR: found("x.test", "mx.a.test"), AddressesOf("mx.a.test"): found("203.0.113.9")},
            "pass",
            "one is enough",
        ),
        ({PTR: found("mx.a.test"), AddressesOf("mx.a.test"): TIMEOUT}, "temperror", "nobody could say"),
        ({PTR: TIMEOUT}, "temperror", "nobody could say"),
        ({}, "permerror", "no name"),
        ({PTR: found("not a name\n")}, "fail", "a name that cannot be"),
    ],
)
def test_reverse(zone: dict[Question[Any], Any], result: str, because: str) -> None:
    findings = run(check_reverse("203.0.113.9"), zone)
    assert findings.result == result, because
    assert bool(findings.confirmed) == (result == "pass")
    assert any(step.is_policy for step in findings.steps) == (result in ("fail", "permerror"))


def test_reverse_of_v6_and_of_many_names() -> None:
    zone: dict[Question[Any], Any] = {
        NamesOf("2001:db8::9"): found("mx.a.test"),
        V6AddressesOf("mx.a.test"): found("2001:DB8:0::9"),
        PTR: found(*(f"n{i}.test" for i in range(500))),
    }
    assert run(check_reverse("2001:db8::9"), zone).result == "pass"
    many = run(check_reverse("203.0.113.9"), zone)
    assert "490 more names" in str(many) and len(many.steps) < 20
    with pytest.raises(NotAskable):
        run(check_reverse("mx.a.test"), {})


@pytest.mark.parametrize(
    "helo, is_valid, leads_here",
    [
        ("mx.a.test", True, True),
        ("other.test", True, False),
        ("slow.test", True, None),
        ("[203.0.113.9]", True, True),
        ("[203.0.113.8]", True, False),
        ("[IPv6:2001:db8::9]", True, False),
        ("[nonsense]", False, False),
        ("localhost", False, False),
        ("203.0.113.9", False, False),
        ("a b.test", False, False),
        ("", False, False),
    ],
)
def test_helo(helo: str, is_valid: bool, leads_here: bool | None) -> None:
    zone = {AddressesOf("mx.a.test"): found("203.0.113.9"), AddressesOf("slow.test"): TIMEOUT}
    findings = run(check_helo(helo, "203.0.113.9"), zone)
    assert (findings.is_valid, findings.leads_here) == (is_valid, leads_here)
    is_told = any("must not refuse" in step.words for step in findings.steps if step.is_policy)
    assert is_told == (not leads_here and helo[:2] not in ("[2", "[I"))


def test_what_strangers_write_is_visible() -> None:
    zone = {PTR: found("\x1b[2Jbank.test")}
    assert "\x1b" not in str(run(check_reverse("203.0.113.9"), zone))

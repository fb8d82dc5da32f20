"""Block lists and reverse checks, with the DNS as a dict: what is a fact, what is unknown, what is dead."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.filters.blocklist import NotAskable, check_list, is_code, is_name, listed, query_name
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
        ("192.0.2.99", "99.2.0.192.bl.test"),  # the examples of RFC 5782 §2.1 and §2.4
        (
            "2001:db8:1:2:3:4:567:89ab",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test",
        ),
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
    assert (result.is_listed, result.is_known) == (is_listed, is_known) and result.words.endswith(words)


def test_only_what_is_listed_has_a_reason() -> None:
    """Nobody is asked for the reason of no listing: each question is a wait."""
    asked: list[Question[Any]] = []

    def answer(question: Question[Any]) -> DnsAnswer[Any]:
        asked.append(question)
        return found("192.0.2.1" if question == AddressesOf(NAME) else "a web server")

    assert not answer_by(answer, listed("203.0.113.9", "bl.test")).reason
    assert asked == [AddressesOf(NAME)]


@pytest.mark.parametrize(
    "record, lists",
    [("127.0.0.2", True), ("127.255.255.254", True), ("128.0.0.2", False), ("::1", False), ("2", False)],
)
def test_only_addresses_of_loopback_list(record: str, lists: bool) -> None:
    assert is_code(record) is lists


def test_the_longest_name() -> None:
    """253 characters are a name, 254 are none (RFC 1035 §2.3.4)."""
    assert is_name(".".join(["a" * 49] * 5) + ".abc")
    assert not is_name(".".join(["a" * 49] * 5) + ".abcd")


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
        ({TWO: TIMEOUT}, NO, None, "does not answer"),
        ({TWO: found("192.0.2.80")}, NO, False, "another owner"),
    ],
)
def test_check_list(
    zone: dict[Question[Any], Any], otherwise: DnsAnswer[Any], is_fit: bool | None, words: str
) -> None:
    result = run(check_list("bl.test"), zone, otherwise)
    assert result.is_fit is is_fit and words in result.words
    assert len(result.steps) == 2 and words in str(result)


LIVES, DEAD, EVERYBODY = (
    {TWO: found("127.0.0.2")},
    dict[Any, Any](),
    {each: found("127.0.0.9") for each in (TWO, ONE)},
)


@pytest.mark.parametrize(
    "zone, marks",
    [
        (LIVES, "++"),
        (DEAD, "-+"),
        (EVERYBODY, "+-"),
        ({TWO: TIMEOUT}, "?+"),
        ({**LIVES, ONE: TIMEOUT}, "+?"),
        ({**LIVES, ONE: found("192.0.2.80")}, "+-"),
    ],
)
def test_each_test_entry_has_its_mark(zone: dict[Question[Any], Any], marks: str) -> None:
    first, *lines = str(run(check_list("bl.test"), zone)).splitlines()
    assert first.startswith("bl.test: ")
    assert [line[0] for line in lines] == list(marks)
    assert "127.0.0.2 must be listed" in lines[0] and "127.0.0.1 must not be" in lines[1]
    assert all(line[1:10] == " fact    " and line.endswith("[RFC 5782 §5]") for line in lines)


def test_check_list_of_other_kinds() -> None:
    names = {query_name("::ffff:7f00:2", "v6.test"), query_name("test", "dbl.test")}
    zone: dict[Question[Any], Any] = {AddressesOf(name): found("127.0.0.2") for name in names}
    assert run(check_list("v6.test", "ipv6"), zone).is_fit
    assert run(check_list("dbl.test", "domain"), zone).is_fit
    for kind, never in (("ipv6", "::ffff:7f00:1"), ("domain", "invalid")):  # RFC 5782 §5: must not be listed
        full = {
            **zone,
            AddressesOf(query_name(never, "v6.test" if kind == "ipv6" else "dbl.test")): found("127.0.0.2"),
        }
        assert run(check_list("v6.test" if kind == "ipv6" else "dbl.test", kind), full).is_fit is False
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


@pytest.mark.parametrize(
    "zone, told",
    [
        (
            {PTR: found("mx.a.test."), AddressesOf("mx.a.test"): found("203.0.113.9")},
            [
                "203.0.113.9: pass",
                "+ fact    it is called mx.a.test  [RFC 1035 §3.5]",
                "+ fact    mx.a.test leads back to 203.0.113.9: confirmed  [RFC 8601 §2.7.3]",
            ],
        ),
        (
            {
                PTR: found("bank.test", "no.test", "a b"),
                AddressesOf("bank.test"): found("192.0.2.1", "192.0.2.2"),
            },
            [
                "203.0.113.9: fail",
                "+ fact    it is called bank.test, no.test, a b  [RFC 1035 §3.5]",
                "- fact    bank.test leads to 192.0.2.1, 192.0.2.2, not to 203.0.113.9  [RFC 8601 §2.7.3]",
                "- fact    no.test leads to no address, not to 203.0.113.9  [RFC 8601 §2.7.3]",
                "- fact    a b is no name that can be asked for",
                "? policy  many receivers refuse or suspect such a client; the RFCs do not ask for it",
            ],
        ),
        (
            {PTR: found("slow.test", "x.test"), AddressesOf("slow.test"): TIMEOUT},
            [
                "203.0.113.9: temperror",
                "+ fact    it is called slow.test, x.test  [RFC 1035 §3.5]",
                "? fact    slow.test: its addresses could not be asked for",
                "- fact    x.test leads to no address, not to 203.0.113.9  [RFC 8601 §2.7.3]",
            ],
        ),
        (
            {},
            [
                "203.0.113.9: permerror",
                "- fact    it has no name (no PTR record)  [RFC 1035 §3.5]",
                "? policy  many receivers refuse or suspect such a client; the RFCs do not ask for it",
            ],
        ),
    ],
)
def test_reverse_tells_its_steps(zone: dict[Question[Any], Any], told: list[str]) -> None:
    assert str(run(check_reverse("203.0.113.9"), zone)).splitlines() == told


def test_what_can_be_no_name_is_not_asked_for() -> None:
    asked: list[Question[Any]] = []

    def answer(question: Question[Any]) -> DnsAnswer[Any]:
        asked.append(question)
        return found("a b", f"{'a' * 60}." * 5) if question == PTR else NO

    answer_by(answer, check_reverse("203.0.113.9"))
    assert asked == [PTR]


@pytest.mark.parametrize("count, is_told", [(10, False), (11, True)])
def test_ten_names_are_looked_at(count: int, is_told: bool) -> None:
    told = str(run(check_reverse("203.0.113.9"), {PTR: found(*(f"n{i}.test" for i in range(count)))}))
    assert ("1 more names are not looked at" in told) is is_told
    assert told.count("leads to no address") == 10


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
        ("[203.0.113.9", False, False),
        ("203.0.113.9]", False, False),
        ("mx.a.test.", True, True),
        ("fe80::1%25eth0", False, False),
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
    assert is_told == (not leads_here and not (helo[:2] in ("[2", "[I") and helo[-1:] == "]"))
    first = str(findings).splitlines()[:2]
    assert first[0] == f"HELO {helo}" and first[1][0] == (
        "+" if is_valid and (leads_here or "[" not in helo) else "-"
    )
    if helo.startswith("[") and is_valid:
        assert (
            "is the client's own" in first[1]
        ) is leads_here or f"is {'' if leads_here else 'not '}the" in first[1]


def test_what_strangers_write_is_visible() -> None:
    zone = {PTR: found("\x1b[2Jbank.test")}
    assert "\x1b" not in str(run(check_reverse("203.0.113.9"), zone))


def test_what_a_list_says_hides_nothing() -> None:
    """A reason with ESC and a line end of its own is one line of plain text."""

    def answer(question: object) -> DnsAnswer[str]:
        if isinstance(question, TextOf):
            return DnsAnswer(DnsOutcome.FOUND, ("\x1b[2Jgone\u202e\r\n\t\0" + "x" * 100_000,))
        return DnsAnswer(DnsOutcome.FOUND, ("127.0.0.2", "\x9b8.8.8.8\u2028") * 5_000)

    found = answer_by(answer, listed("203.0.113.9", "bl.test"))
    for said in (found.words, found.reason, *found.strange):
        assert said.isprintable() and len(said) < 1_000
    assert found.reason.startswith(r"\x1b[2Jgone\u202e\x0d\n\t\x00x")
    assert str(answer_by(answer, check_list("bl.test"))).replace("\n", "").isprintable()


def test_a_helo_hides_nothing() -> None:
    def answer(question: object) -> DnsAnswer[str]:
        return DnsAnswer(DnsOutcome.NXDOMAIN)

    found = answer_by(answer, check_helo("\x1b[2J\u202e\0" + "x" * 100_000, "203.0.113.9"))
    assert str(found).replace("\n", "").isprintable() and len(str(found)) < 1_000

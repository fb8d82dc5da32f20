"""DMARC: the examples of RFC 9989's appendix B, each rule in a row of a table, and what goes wrong in the DNS."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labkit
from labkit.auth import evaluate_dmarc
from labkit.auth.dmarc import DmarcResult
from labkit.auth.dmarc_record import is_dmarc_record, read_record
from labkit.auth.dmarc_tree import names_to_ask
from labkit.mail.questions import AddressesOf, TextOf

TIMEOUT = "TIMEOUT"
Zone = dict[str, str | list[str]]


class Dns:
    """A zone as a lookup function: {"_dmarc.a.test": text}; an empty list: the name exists. It notes each question."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[str] = []

    def __call__(self, name: str, rdtype: str) -> list[str]:
        self.asked.append(name)
        if name not in self.zone:
            raise labkit.NoSuchName
        found = self.zone[name]
        if found == TIMEOUT:
            raise labkit.LookupTimedOut
        texts = [found] if isinstance(found, str) else list(found)
        return texts if rdtype == "TXT" else []


def judged(zone: Zone, author: str, spf: str = "", dkim: str | Sequence[str] = ()) -> DmarcResult:
    """`spf` and `dkim` are domains that passed."""
    names = [dkim] if isinstance(dkim, str) else dkim
    return evaluate_dmarc(
        author, ("pass", spf) if spf else None, [("pass", name) for name in names], Dns(zone)
    )


BANK: Zone = {
    "_dmarc.bank.example": "v=DMARC1; p=reject; psd=y",
    "_dmarc.giant.bank.example": "v=DMARC1; p=quarantine",
}
SIGNING: Zone = {
    "_dmarc.example.com": "v=DMARC1; p=reject; sp=quarantine",
    "_dmarc.signing.example.com": "v=DMARC1; p=none",
}


@pytest.mark.parametrize(
    "section, zone, author, spf, dkim, expected",
    [
        ("B.1.1, 1", SIGNING, "example.com", "example.com", "", "pass example.com -"),
        ("B.1.1, 2", SIGNING, "example.com", "child.example.com", "", "pass child.example.com -"),
        ("B.1.1, 3", SIGNING, "child.example.com", "example.net", "", "fail - -"),
        ("B.1.2, 1", SIGNING, "example.com", "", "example.com", "pass - example.com"),
        ("B.1.2, 2", SIGNING, "child.example.com", "", "example.com", "pass - example.com"),
        ("B.1.2, 3", SIGNING, "child.example.com", "", "example.net", "fail - -"),
        (
            "B.4.1",
            SIGNING,
            "example.com",
            "example.com",
            "signing.example.com",
            "pass example.com signing.example.com",
        ),
        (
            "B.4.2",
            SIGNING,
            "a.b.c.d.e.f.g.h.i.j.k.example.com",
            "example.com",
            "signing.example.com",
            "pass example.com signing.example.com",
        ),
        (
            "B.4.3",
            BANK,
            "giant.bank.example",
            "mail.giant.bank.example",
            "mail.mega.bank.example",
            "pass mail.giant.bank.example -",
        ),
    ],
)
def test_the_examples_of_the_rfc(
    section: str, zone: Zone, author: str, spf: str, dkim: str, expected: str
) -> None:
    found = judged(zone, author, spf, dkim)
    assert f"{found.result} {found.aligned_spf or '-'} {found.aligned_dkim or '-'}" == expected, section


def test_the_walk_of_section_4_10() -> None:
    """Eight questions for twelve labels; the RFC prints them."""
    assert names_to_ask("a.b.c.d.e.f.g.h.i.j.mail.example.com") == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]
    assert names_to_ask("a.mail.example.com") == [
        "a.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]
    assert len(names_to_ask("1.2.3.4.5.6.7.8")) == 8
    assert names_to_ask("test") == ["test"]


@pytest.mark.parametrize(
    "zone, organization, because",
    [
        (
            {"_dmarc.mail.example.com": "v=DMARC1;p=none", "_dmarc.example.com": "v=DMARC1;p=none"},
            "example.com",
            "§4.10.2",
        ),
        ({"_dmarc.mail.example.com": "v=DMARC1;p=none;psd=n"}, "mail.example.com", "psd=n"),
        ({"_dmarc.com": "v=DMARC1; p=none; psd=y"}, "example.com", "psd=y: one label below"),
        ({}, "a.mail.example.com", "nothing found: the name itself"),
        ({"_dmarc.com": "v=DMARC1; p=none"}, "com", "the shortest name with a record, whatever it is"),
    ],
)
def test_organizational_domain_of_a_mail_example_com(zone: Zone, organization: str, because: str) -> None:
    found = judged(zone, "a.mail.example.com")
    assert found.organizational_domain == organization, because


ORG = "_dmarc.a.test"


@pytest.mark.parametrize(
    "zone, author, expected, because",
    [
        ({ORG: "v=DMARC1; p=reject; sp=none"}, "a.test", "fail reject p a.test", "the domain itself: p"),
        ({ORG: "v=DMARC1; p=reject; sp=none"}, "x.a.test", "fail none sp a.test", "a subdomain: sp"),
        ({ORG: "v=DMARC1; p=reject; np=none"}, "x.a.test", "fail none np a.test", "it does not exist: np"),
        (
            {ORG: "v=DMARC1; p=reject; np=none", "x.a.test": []},
            "x.a.test",
            "fail reject p a.test",
            "it exists: p",
        ),
        (
            {ORG: "v=DMARC1; p=reject; sp=quarantine; np=none", "x.a.test": []},
            "x.a.test",
            "fail quarantine sp a.test",
            "it exists: sp",
        ),
        ({ORG: "v=DMARC1; p=reject; t=y"}, "a.test", "fail quarantine p a.test", "t=y: one step down"),
        ({ORG: "v=DMARC1; p=quarantine; t=Y"}, "a.test", "fail none p a.test", "and another"),
        ({ORG: "v=DMARC1; p=none; t=y"}, "a.test", "fail none p a.test", "none stays none"),
        (
            {ORG: "v=DMARC1; p=reject; sp=quarantine; t=y"},
            "x.a.test",
            "fail none sp a.test",
            "t counts for sp too",
        ),
        ({ORG: "v=DMARC1"}, "a.test", "none None  ", "no p, no rua"),
        ({ORG: "v=DMARC1; rua=mailto:r@a.test"}, "a.test", "fail none p a.test", "no p, but a rua"),
        ({ORG: "v=DMARC1; p=quarentine"}, "a.test", "none None  ", "p is wrong"),
        (
            {ORG: "v=DMARC1; p=quarentine; rua=mailto:r@a.test"},
            "a.test",
            "fail none p a.test",
            "wrong, but a rua",
        ),
        ({ORG: "v=DMARC1; p=reject; sp=no"}, "a.test", "none None  ", "sp is wrong"),
        (
            {ORG: "v=DMARC1; p=reject; np=; rua=mailto:r@a.test"},
            "a.test",
            "fail none p a.test",
            "np is wrong",
        ),
        (
            {ORG: "v=DMARC1; p=reject; rua=nonsense"},
            "a.test",
            "fail reject p a.test",
            "a wrong rua is ignored",
        ),
        ({ORG: "v=DMARC1; rua=mailto:"}, "a.test", "none None  ", "no address in rua"),
        (
            {ORG: "v=DMARC1; p=reject; pct=0; rf=x; ri=y; new=z"},
            "a.test",
            "fail reject p a.test",
            "history, unknown",
        ),
        ({ORG: ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "a.test", "none None  ", "two records are none"),
        (
            {"_dmarc.x.a.test": ["v=DMARC1; p=none", "v=DMARC1; p=none"], ORG: "v=DMARC1; p=reject"},
            "x.a.test",
            "fail reject p a.test",
            "two records are none: the walk goes on",
        ),
        (
            {ORG: ["v=spf1 -all", "v=DMARC1; p=reject"]},
            "a.test",
            "fail reject p a.test",
            "other TXT are passed over",
        ),
        ({ORG: "p=reject; v=DMARC1"}, "a.test", "none None  ", "v is not first"),
        ({ORG: "v=dmarc1; p=reject"}, "a.test", "none None  ", "the value of v counts with its case"),
        (
            {"_dmarc.test": "v=DMARC1; p=reject; psd=y"},
            "a.test",
            "fail reject p test",
            "the public suffix's record",
        ),
        ({"_dmarc.test": "v=DMARC1; p=reject; sp=none; psd=y"}, "x.a.test", "fail none sp test", "its sp"),
        (
            {"_dmarc.test": "v=DMARC1; p=reject; psd=y", "_dmarc.x.a.test": "v=DMARC1; p=none"},
            "y.x.a.test",
            "fail reject p test",
            "the record of x.a.test is neither the author's nor the organization's",
        ),
        ({ORG: "v=DMARC1; p=reject; psd=y"}, "a.test", "fail reject p a.test", "a public suffix as author"),
        (
            {ORG: "v=DMARC1; p=reject"},
            "A.Test.",
            "fail reject p a.test",
            "names without case, a dot at the end",
        ),
        (
            {"_dmarc.xn--bcher-kva.test": "v=DMARC1;p=reject"},
            "bücher.test",
            "fail reject p xn--bcher-kva.test",
            "IDN",
        ),
    ],
)
def test_record_and_policy(zone: Zone, author: str, expected: str, because: str) -> None:
    found = judged(zone, author)
    assert f"{found.result} {found.policy} {found.policy_tag} {found.policy_domain}" == expected, because


@pytest.mark.parametrize(
    "zone, author, spf, dkim, result, because",
    [
        ({ORG: "v=DMARC1; p=none; aspf=s"}, "x.a.test", "a.test", "", "fail", "strict SPF"),
        ({ORG: "v=DMARC1; p=none; aspf=s"}, "x.a.test", "", "a.test", "pass", "adkim is another tag"),
        ({ORG: "v=DMARC1; p=none; adkim=s"}, "x.a.test", "", "X.A.TEST", "pass", "strict, without case"),
        ({ORG: "v=DMARC1; p=none"}, "x.a.test", "", "y.z.a.test", "pass", "cousins"),
        ({ORG: "v=DMARC1; p=none"}, "a.test", "", "nota.test", "fail", "only the end of a label is the same"),
        ({ORG: "v=DMARC1; p=none"}, "a.test", "", "test", "fail", "above the Organizational Domain"),
        (
            {"_dmarc.x.a.test": "v=DMARC1; p=none; psd=n", ORG: "v=DMARC1; p=none"},
            "x.a.test",
            "y.a.test",
            "",
            "fail",
            "psd=n: a neighbour under the shared apex is a stranger",
        ),
        (
            {"_dmarc.x.a.test": "v=DMARC1; p=none", ORG: "v=DMARC1; p=none"},
            "x.a.test",
            "y.a.test",
            "",
            "pass",
            "without psd=n he is not: the trap of the shared apex",
        ),
        (
            {"_dmarc.x.a.test": "v=DMARC1; p=none"},
            "x.a.test",
            "y.a.test",
            "",
            "fail",
            "nor without a record at the apex",
        ),
        (
            {"_dmarc.x.a.test": "v=DMARC1; p=none", "_dmarc.y.x.a.test": "v=DMARC1; p=none; psd=n"},
            "x.a.test",
            "",
            "y.x.a.test",
            "fail",
            "psd=n below: an organization of its own",
        ),
    ],
)
def test_alignment(zone: Zone, author: str, spf: str, dkim: str, result: str, because: str) -> None:
    found = judged(zone, author, spf, dkim or ())
    assert found.result == result, [because, *map(str, found.steps)]


@pytest.mark.parametrize(
    "zone, author, spf, dkim, result, policy, because",
    [
        ({ORG: TIMEOUT}, "a.test", "a.test", "", "temperror", None, "the record is not known"),
        ({ORG: TIMEOUT}, "x.a.test", "", "", "temperror", None, "nor that of the organization"),
        (
            {ORG: "v=DMARC1;p=reject", "_dmarc.test": TIMEOUT},
            "a.test",
            "a.test",
            "",
            "pass",
            "reject",
            "not needed",
        ),
        (
            {ORG: "v=DMARC1;p=reject", "_dmarc.test": TIMEOUT},
            "a.test",
            "x.a.test",
            "",
            "temperror",
            None,
            "needed",
        ),
        (
            {ORG: "v=DMARC1;p=reject", "_dmarc.x.a.test": TIMEOUT},
            "a.test",
            "x.a.test",
            "",
            "temperror",
            None,
            "SPF's",
        ),
        (
            {ORG: "v=DMARC1;p=reject", "_dmarc.x.a.test": TIMEOUT},
            "a.test",
            "x.a.test",
            "y.a.test",
            "pass",
            "reject",
            "another identifier is aligned",
        ),
        (
            {ORG: "v=DMARC1;p=reject;np=none", "x.a.test": TIMEOUT},
            "x.a.test",
            "",
            "",
            "temperror",
            None,
            "np or p?",
        ),
        (
            {ORG: "v=DMARC1;p=reject;np=none", "x.a.test": TIMEOUT},
            "x.a.test",
            "a.test",
            "",
            "pass",
            "reject",
            "passes",
        ),
    ],
)
def test_the_dns_does_not_answer(
    zone: Zone, author: str, spf: str, dkim: str, result: str, policy: str | None, because: str
) -> None:
    found = judged(zone, author, spf, dkim or ())
    assert (found.result, found.policy) == (result, policy), [because, *map(str, found.steps)]


def test_no_question_too_many() -> None:
    def asked(zone: Zone, author: str, spf: str) -> list[str]:
        dns = Dns(zone)
        evaluate_dmarc(author, ("pass", spf), None, dns)
        return dns.asked

    own: Zone = {ORG: "v=DMARC1; p=none; np=none"}
    assert asked(own, "a.test", "a.test") == [ORG]
    assert asked(own, "a.test", "b.test") == [ORG, "_dmarc.test"], "a stranger's tree is not walked"
    assert asked(own, "a.test", "x.a.test") == [ORG, "_dmarc.test", "_dmarc.x.a.test"], (
        "nothing is asked twice"
    )
    assert asked({ORG: "v=DMARC1; p=none; aspf=s"}, "a.test", "x.a.test") == [ORG]
    assert asked({ORG: "v=DMARC1; p=none; np=reject"}, "x.a.test", "b.test")[-1] == "x.a.test"


def test_hostile_numbers() -> None:
    """Hundreds of signatures and of labels cost a bounded number of questions."""
    zone: Zone = {ORG: "v=DMARC1; p=reject"}
    dns = Dns(zone)
    many = [("pass", ".".join([f"l{n}"] * 9 + ["a", "test"])) for n in range(300)]
    assert evaluate_dmarc("b.a.test", None, many, dns).result == "pass"
    dns = Dns({**zone, **{f"_dmarc.l{n}.a.test": "v=DMARC1; p=none; psd=n" for n in range(300)}})
    assert evaluate_dmarc("b.a.test", None, many, dns).result == "fail"
    assert len(dns.asked) < 8 * 22
    dns = Dns({})
    assert evaluate_dmarc(".".join("x" * 120) + ".test", None, None, dns).result == "none"
    assert len(dns.asked) == 8
    long_name = ".".join(["x" * 49] * 5)  # 249 octets: with _dmarc. it is too long for the DNS
    dns = Dns({})
    assert evaluate_dmarc(long_name, None, None, dns).result == "none"
    assert len(dns.asked) == 4


@pytest.mark.parametrize(
    "author", ["", " ", "a..test", "[203.0.113.9]", "x" * 64 + ".test", "a b.test", "é" * 300, "\0"]
)
def test_no_domain(author: str) -> None:
    assert judged({}, author).result == "permerror"


def test_what_is_taken_for_results() -> None:
    zone: Zone = {ORG: "v=DMARC1; p=none"}
    for spf in (
        ("pass", "a.test"),
        ["pass", "a.test"],
        [("fail", "b.test"), ("Pass", "ann@a.test")],
        [["pass", "a.test"]],
    ):
        assert evaluate_dmarc("a.test", spf, None, Dns(zone)).aligned_spf == "a.test"
    for spf in (None, (), [], ("none", None), ("pass", ""), ("fail", "a.test"), [("pass", "a b")]):
        assert evaluate_dmarc("a.test", spf, None, Dns(zone)).result == "fail"
    with pytest.raises(TypeError, match="result, domain"):
        evaluate_dmarc("a.test", "pass", None, Dns(zone))


def test_the_steps_tell_the_walk() -> None:
    found = judged({ORG: "v=DMARC1; p=reject; np=quarantine"}, "x.a.test", "y.a.test")
    assert [step.question for step in found.steps if step.question] == [
        TextOf("_dmarc.x.a.test"),
        TextOf(ORG),
        TextOf("_dmarc.test"),
        AddressesOf("x.a.test"),
        TextOf("_dmarc.y.a.test"),
    ]
    assert any("does not exist" in step.words for step in found.steps)
    assert str(found.steps[-1]).startswith("pass: aligned with x.a.test: SPF for y.a.test")
    assert str(found) == "dmarc=pass (aligned with x.a.test: SPF for y.a.test)"


@pytest.mark.parametrize(
    "text, is_record",
    [
        ("v=DMARC1", True),
        ("v=DMARC1;", True),
        (" V = DMARC1 ; p=none", True),
        ("v=DMARC1 p=none", False),
        ("v=DMARC12; p=none", False),
        ("v=DMARC1x", False),
        ("v=Dmarc1; p=none", False),
        ('"v=DMARC1; p=none"', False),
        ("", False),
    ],
)
def test_what_is_a_record(text: str, is_record: bool) -> None:
    assert is_dmarc_record(text) is is_record
    assert (read_record(text) is not None) is is_record


def test_a_record_with_everything() -> None:
    record = read_record(
        "v=DMARC1; p=Reject; sp = quarantine ;np=none;adkim=S;aspf=x;psd=N;t=n;fo=1:d:s;"
        "rua=mailto:a@b.test!10m , https://c.test/x;ruf=mailto:d@e.test,nobody;pct=5;oops;p=none;"
    )
    assert record is not None
    assert (record.p, record.sp, record.np, record.adkim, record.aspf, record.psd, record.is_testing) == (
        *("reject", "quarantine", "none", "s", "r", "n"),
        False,
    )
    assert record.rua == ("mailto:a@b.test", "https://c.test/x")
    assert record.ruf == ("mailto:d@e.test",)
    assert record.fo == ("1", "d", "s")
    assert record.tag("pct") == "5"
    assert len(record.problems) == 4


PIECES = st.sampled_from(
    ["v=DMARC1", *"; ; ; p=reject sp= np=none psd=y psd=n = t=y rua=mailto:a@b.c \0 é".split(" "), " "]
)


@settings(max_examples=3000 if os.environ.get("LABKIT_THOROUGH") else 300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [f"{dmarc}{name}" for dmarc in ("", "_dmarc.") for name in ("test", "a.test", "x.a.test")]
        ),
        st.just(TIMEOUT) | st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=3),
    ),
    st.sampled_from(["a.test", "x.a.test", "y.x.a.test", "b.test", "test", ""]),
    st.sampled_from(["a.test", "x.a.test", "test", "z.a.test", "\0"]),
)
def test_whatever_the_dns_says_there_is_a_verdict(zone: Zone, author: str, domain: str) -> None:
    found = judged(zone, author, domain, domain)
    assert found.result in ("pass", "fail", "none", "temperror", "permerror")
    assert (found.policy is not None) == (found.result in ("pass", "fail"))
    assert bool(found.aligned_spf or found.aligned_dkim) == (found.result == "pass")


@pytest.mark.parametrize(
    "spf, dkim, result, because",
    [
        (("temperror", "a.example"), None, "temperror", "SPF might pass, and be aligned"),
        (None, [("temperror", "mail.a.example")], "temperror", "so might DKIM, in relaxed mode"),
        (("temperror", "b.example"), None, "fail", "it would not be aligned"),
        (("temperror", "a.example"), ("pass", "a.example"), "pass", "one that passes is enough"),
        (("permerror", "a.example"), None, "fail", "a broken record never passes"),
    ],
)
def test_what_the_dns_left_undecided(spf: object, dkim: object, result: str, because: str) -> None:
    """RFC 9989 §5.3.6: what DNS errors kept from an end can neither pass nor fail."""
    found = evaluate_dmarc("a.example", spf, dkim, Dns({"_dmarc.a.example": "v=DMARC1; p=reject"}))
    assert found.result == result, because
    assert (found.policy == "reject") == (result in ("pass", "fail"))

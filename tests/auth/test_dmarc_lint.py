"""The critical reader of DMARC records: each slip has a name, and a good record none."""

from __future__ import annotations

import pytest

from labkit.auth.dmarc_lint import lint_dmarc, lint_dmarc_of
from labkit.auth.door import LookupTimedOut, NoSuchName, answer_with
from labkit.auth.record_findings import RecordFinding

GOOD = "v=DMARC1; p=quarantine; rua=mailto:reports@a.test"


def codes(texts: str | list[str]) -> list[str]:
    return [finding.code for finding in lint_dmarc(texts)]


@pytest.mark.parametrize(
    "texts, found",
    [
        (GOOD, []),
        (["v=spf1 -all", GOOD], []),
        ([], ["no-record"]),
        ("v=spf1 -all", ["no-record"]),
        ([GOOD, GOOD], ["two-records"]),
        ("p=none; v=DMARC1; rua=mailto:r@a.test", ["v-first"]),
        ("v=dmarc1; p=none", ["case"]),
        ('"v=DMARC1; p=none"', ["quotes"]),
        ("v=DMARC1 p=none", ["semicolon"]),
        ("v=DMARC; p=none", ["version"]),
        ("v=DMARC1; p=quarentine; rua=mailto:r@a.test", ["bad-value", "no-policy"]),
        ("v=DMARC1; rua=mailto:r@a.test", ["no-p"]),
        ("v=DMARC1; p=none", ["idle", "no-rua"]),
        ("v=DMARC1; p=quarantine; rua=reports@a.test", ["no-mailto"]),
        ("v=DMARC1; p=quarantine; rua=mailto:reports@a.test!10m", ["size"]),
        ("v=DMARC1; p=quarantine rua=mailto:r@a.test", ["semicolon", "bad-value", "no-policy", "no-rua"]),
        ("v=DMARC1; p=reject; sp=none; rua=mailto:r@a.test", ["weak-below", "reject"]),
        (f"{GOOD}; pct=50", ["historic"]),
        (f"{GOOD}; adkm=s", ["unknown-tag"]),
        (f"{GOOD}; adkim=strict", ["bad-value"]),
        (f"{GOOD}; oops", ["no-tag"]),
        (f"{GOOD}; p=none", ["twice"]),
        (f"{GOOD}; fo=1", ["fo-without-ruf"]),
        (f"{GOOD}; t=y", ["testing"]),
    ],
)
def test_findings(texts: str | list[str], found: list[str]) -> None:
    assert sorted(codes(texts)) == sorted(found)


def test_the_cure_is_said() -> None:
    [finding] = [
        one for one in lint_dmarc("v=DMARC1; p=quarentine; rua=mailto:r@a.test") if one.code == "bad-value"
    ]
    assert str(finding) == "error: p=quarentine means nothing. Did you mean p=quarantine?"
    [finding] = lint_dmarc("v=DMARC1; p=quarantine; rua=r@a.test")
    assert finding.cure == "Write mailto:r@a.test"


def linted(zone: dict[str, list[str]], domain: str = "a.test") -> list[RecordFinding]:
    def lookup(name: str, rdtype: str) -> list[str]:
        if name not in zone:
            raise NoSuchName
        if zone[name] == ["TIMEOUT"]:
            raise LookupTimedOut
        return zone[name] if rdtype == "TXT" else []

    return list(answer_with(lookup, lint_dmarc_of(domain)))


def test_with_the_dns() -> None:
    assert linted({"_dmarc.a.test": [GOOD]}) == []
    assert [one.code for one in linted({"a.test": [GOOD]})] == ["no-record", "wrong-name"]
    assert [one.code for one in linted({"_dmarc.a.test": ["TIMEOUT"]})] == ["no-answer"]
    assert [one.code for one in linted({}, "a..test")] == ["no-domain"]


def test_reports_to_another_organization() -> None:
    zone = {"_dmarc.a.test": ["v=DMARC1; p=quarantine; rua=mailto:a@x.a.test,mailto:b@c.test"]}
    [finding] = linted(zone)
    assert (finding.code, finding.term) == ("not-authorised", "c.test")
    assert "a.test._report._dmarc.c.test" in finding.cure
    assert linted({**zone, "a.test._report._dmarc.c.test": ["v=DMARC1;"]}) == []
    [finding] = linted({**zone, "a.test._report._dmarc.c.test": ["v=spf1 -all"]})
    assert finding.code == "not-authorised"
    [finding] = linted({**zone, "a.test._report._dmarc.c.test": ["TIMEOUT"]})
    assert finding.code == "no-answer"


@pytest.mark.parametrize(
    "piece", [";", "p=", "a=b;", '"', ",", "rua=mailto:a@b.test,", " ", "rua=,", "\0", "x"]
)
def test_hostile_records(piece: str) -> None:
    found = lint_dmarc([f"v=DMARC1;{piece * 20_000}"] * 3)
    assert len(found) <= 50
    assert lint_dmarc(piece * 20_000)

"""What the linter of SPF records says, and that it says nothing of good ones."""

from __future__ import annotations

import time

import pytest

from labkit.auth.spf_lint import lint_spf


def codes(*texts: str) -> list[str]:
    return [finding.code for finding in lint_spf(texts)]


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 -all",
        "v=spf1 mx a:out.a.test/28 ip4:203.0.113.0/24 ip6:2001:db8::/32 include:relay.test ~all",
        "V=SPF1 exists:%{ir}.%{v}.list.a.test exp=why.a.test -ALL",
        "v=spf1 redirect=_spf.a.test",
        "v=spf1 -all moo=cow",
    ],
)
def test_good_records(record: str) -> None:
    assert codes(record, "another record, of somebody else") == []


@pytest.mark.parametrize(
    "record, expected",
    [
        ("v=spf1 mx +all", ["all-pass"]),
        ("v=spf1 mx all", ["all-pass"]),
        ("v=spf1 mx ?all", ["all-neutral"]),
        ("v=spf1 mx", ["no-all"]),
        ("v=spf1 ptr -all", ["ptr"]),
        ("v=spf1 -all ip4:203.0.113.9", ["after-all"]),
        ("v=spf1 -all redirect=a.test", ["redirect-and-all"]),
        ("v=spf1 redirect=a.test redirect=b.test", ["twice"]),
        ("v=spf1 ip4:203.0.113.9/1 -all", ["wide"]),
        ("v=spf1 include=a.test -all", ["equals"]),
        ("v=spf1 " + "a:b.test " * 11 + "-all", ["too-many-lookups"]),
        ("v=spf1 " + "a:b.test " * 10 + "redirect=a.test", ["too-many-lookups"]),
        ("v=spf1 " + "a:b.test " * 10 + "-all", []),
        ("v=spf1 " + "ip4:203.0.113.9 " * 40 + "-all", ["long"]),
        ("v=spf1 moo -all", ["bad-term"]),
        ("v=spf1 ip4:203.0.113.299 -all", ["bad-term"]),
        ("v=spf1 exists:%{x}.a.test -all", ["bad-term"]),
        ("v=spf1 ipv4:203.0.113.9 -all", ["misspelt"]),
        ("v=spf1 ~ipv6:2001:db8::9 -all", ["misspelt"]),
        ("v=spf1 redirect:a.test", ["misspelt"]),
        ("v=spf1 a :b.test -all", ["space"]),
        ("v=spf1 a: b.test -all", ["space"]),
        ("v=spf1 mx - all", ["space"]),
        ("v=spf1 include relay.test -all", ["include"]),
        ("v=spf1 include -all", ["include"]),
        ("v=spf1 a:203.0.113.9 -all", ["address-in-a"]),
        ("v=spf1 203.0.113.0/24 -all", ["no-mechanism"]),
        ("v=spf1 relay.test -all", ["no-mechanism"]),
        ("v=spf1 mx, a -all", ["comma"]),
        ("v=spf1 mx; -all", ["comma"]),
        ('"v=spf1 mx -all"', ["version", "quotes"]),
        ('v=spf1 mx" "-all', ["quotes"]),
        ("v=spf1 mx –all", ["characters", "bad-term", "no-all"]),
        ("spf1 -all", ["version"]),
        ("v=spf2 -all", ["version"]),
        ("v=spf1mx -all", ["version"]),
        ("v = spf1 -all", ["version"]),
        ("hello", ["no-record"]),
    ],
)
def test_findings(record: str, expected: list[str]) -> None:
    assert codes(record) == expected


def test_two_records() -> None:
    findings = lint_spf(["v=spf1 mx -all", "v=spf1 a -all"])
    assert [finding.code for finding in findings] == ["two-records"]
    assert findings[0].grade == "error" and findings[0].source == "RFC 7208 §3.2" and findings[0].cure


def test_a_cure_is_what_was_meant() -> None:
    (finding,) = lint_spf("v=spf1 ~ipv4:203.0.113.0/24 -all")
    assert finding.cure == "Write '~ip4:203.0.113.0/24'."
    (finding,) = lint_spf("v=spf1 a : b.test -all")[:1]
    assert finding.code == "space"


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1 " + "x." * 30_000,
        "v=spf1 " + "a, " * 20_000,
        "v=spf1 " + "- " * 30_000,
        "v " * 30_000,
        "\0" * 65_536,
    ],
)
def test_bounded(text: str) -> None:
    start = time.process_time()
    findings = lint_spf(text)
    assert time.process_time() - start < 1
    assert len(findings) <= 50 and all(len(str(finding)) < 1000 for finding in findings)

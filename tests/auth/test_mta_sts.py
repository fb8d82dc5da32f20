"""MTA-STS: the record, the policy file, which policy applies, and what it says of a mail exchanger (RFC 8461)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.mta_sts import CachedPolicy, Shown, StsResult, discover, judge_exchange
from labkit.auth.mta_sts_policy import (
    LARGEST_POLICY,
    MOST_PATTERNS,
    NotAPolicy,
    StsPolicy,
    find_record,
    is_named_by,
    read_policy,
    read_record,
    write_policy,
)
from labkit.mail.asking import answer_by
from labkit.mail.questions import DnsAnswer, DnsOutcome, PageFetched, PolicyAt, TextOf

RFC_EXAMPLE = (
    "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\n"
    "max_age: 604800\n"
)
NOW = 1_000_000.0


@pytest.mark.parametrize(
    "text, identity, because",
    [
        ("v=STSv1; id=20160831085700Z;", "20160831085700Z", "the example of §3.1"),
        ("v=STSv1;id=1", "1", "no blank, no semicolon at the end"),
        ("v=STSv1; a=b; id=2", "2", "the order of the others is free, unknown ones are ignored"),
        ("v=STSv1; id=1; id=2", "1", "of two the first counts"),
        ("v=STSv1 ; id=1 ;", "1", "blanks may stand around a semicolon"),
        ("v=STSv1", None, "there is no id"),
        ("v=STSv1; id=", None, "an empty id"),
        ("v=STSv1; id=a-b", None, "only letters and digits"),
        ("v=STSv1; id=" + "1" * 33, None, "no more than 32"),
        ("v=STSv1; id=" + "1" * 32, "1" * 32, "32 are fine"),
        ("v=STSv2; id=1", None, "another version"),
        ("v=stsv1; id=1", None, "in these very letters"),
        ("id=1; v=STSv1", None, "v must be the first"),
        (" v=STSv1; id=1", None, "nothing before it"),
        ("v=STSv1; id=1; what", None, "no pair: the record is broken"),
        ("v=STSv1; id=1; x=a b", None, "a value has no blanks"),
        ("v=STSv1;; id=1", None, "nothing between two semicolons"),
        ("v=STSv1; id=1; x=é", None, "ASCII only"),
        ("", None, "nothing"),
    ],
)
def test_record(text: str, identity: str | None, because: str) -> None:
    if identity is None:
        with pytest.raises(NotAPolicy):
            read_record(text)
    else:
        assert read_record(text).id == identity, because


def test_several_records() -> None:
    found = find_record(["hello", "v=spf1 -all", "v=STSv1; id=1"])
    assert found is not None and found.id == "1"
    assert find_record(["v=STSv12; id=1", "x"]) is None, "only those that begin with v=STSv1; count"
    found = find_record(["v=STSv1", "v=STSv1; id=2", "v=STSv1,id=3"])
    assert found is not None and found.id == "2", "the semicolon belongs to it (RFC 8461 §3.1)"
    with pytest.raises(NotAPolicy, match="2 records"):
        find_record(["v=STSv1; id=1", "v=STSv1; id=1"])


def test_the_policy_of_the_rfc() -> None:
    policy = read_policy(RFC_EXAMPLE.encode())
    assert policy == StsPolicy(
        "enforce", ("mail.example.com", "*.example.net", "backupmx.example.com"), 604800
    )
    assert read_policy(RFC_EXAMPLE.replace("\n", "\r\n").encode()) == policy
    assert read_policy(RFC_EXAMPLE.rstrip().encode()) == policy, "the last line needs no end"


BASE = {"version": "STSv1", "mode": "enforce", "mx": "mx.a.test", "max_age": "86400"}


def _text(**changes: str | None) -> str:
    fields = {**BASE, **changes}
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None)


@pytest.mark.parametrize(
    "text, because",
    [
        (_text(version=None), "no version"),
        (_text(version="STSv2"), "another version"),
        (_text(version="stsv1"), "in these letters"),
        (_text(mode=None), "no mode"),
        (_text(mode="report"), "an old draft's mode"),
        (_text(mode="Enforce"), "in these letters"),
        (_text(max_age=None), "no max_age"),
        (_text(max_age="1d"), "a number"),
        (_text(max_age="-1"), "no sign"),
        (_text(max_age="12345678901"), "ten digits at most"),
        (_text(max_age="١٢"), "ASCII digits"),
        (_text(mx=None), "no mx although it is enforced"),
        (_text(mx=""), "an empty mx"),
        (_text(mx="*"), "a star alone is no pattern"),
        (_text(mx="mx.*.a.test"), "the star is the first label"),
        (_text(mx="m*.a.test"), "the star is a whole label"),
        (_text(mx="*.*.a.test"), "one star"),
        (_text(mx=".a.test"), "an old draft's form"),
        (_text(mx="a b"), "no blanks"),
        (_text(mx="mx.a.test."), "no dot at the end"),
        (_text(mx="mx..a.test"), "no empty label"),
        (_text(mx="bücher.test"), "A-labels"),
        (_text() + "what\n", "a line without a colon"),
        (_text() + ": x\n", "a line without a name"),
        ("<html>", "a page of words"),
        ("", "nothing"),
        ("{}", "JSON, as in an old draft"),
        (_text() + "x: y\n" * (LARGEST_POLICY // 5), "too long"),
        (_text() + "".join(f"mx: a{n}.test\n" for n in range(300)), "too many patterns"),
    ],
)
def test_no_policy(text: str, because: str) -> None:
    with pytest.raises(NotAPolicy):
        read_policy(text.encode())


@pytest.mark.parametrize(
    "text, mode, age, because",
    [
        (_text(), "enforce", 86400, "the usual"),
        (_text(mode="none", mx=None), "none", 86400, "mode none needs no mx"),
        (_text(mode="testing") + "mode: enforce\n", "testing", 86400, "of two the first counts"),
        (_text() + "max_age: 1\nversion: STSv9\n", "enforce", 86400, "of two the first counts"),
        (_text(max_age="0"), "enforce", 0, "zero is a number"),
        (_text(max_age="9999999999"), "enforce", 31_557_600, "a year at most"),
        (_text() + "new_field: a b: c\n", "enforce", 86400, "unknown fields are ignored"),
        (_text() + "word: é\n", "enforce", 86400, "their values may be UTF-8"),
        (_text().replace(": ", ":"), "enforce", 86400, "no blank behind the colon"),
        (_text().replace("\n", " \t\r\n"), "enforce", 86400, "blanks at the end of a line"),
        ("\n".join(reversed(_text().split("\n"))), "enforce", 86400, "any order"),
    ],
)
def test_policy(text: str, mode: str, age: int, because: str) -> None:
    policy = read_policy(text.encode())
    assert (policy.mode, policy.max_age) == (mode, age), because


@pytest.mark.parametrize(
    "pattern, name, expected, because",
    [
        ("mx.a.test", "mx.a.test", True, "the same name"),
        ("mx.a.test", "MX.A.Test.", True, "case and the root's dot do not count"),
        ("mx.a.test", "mx2.a.test", False, "another name"),
        ("*.a.test", "mx.a.test", True, "one label"),
        ("*.a.test", "a.test", False, "the star is one label, not none"),
        ("*.a.test", "x.mx.a.test", False, "nor two"),
        ("*.a.test", "mxa.test", False, "the dot counts"),
        ("*.a.test", ".a.test", False, "an empty label is none"),
        ("a.test", "mx.a.test", False, "no star, no other name"),
        ("*.a.test", "evil-a.test", False, "a look-alike"),
        ("xn--bcher-kva.test", "bücher.test", True, "compared as A-labels"),
    ],
)
def test_match(pattern: str, name: str, expected: bool, because: str) -> None:
    assert (StsPolicy("enforce", (pattern,), 1).pattern_for(name) == pattern) is expected, because


@pytest.mark.parametrize(
    "text, told",
    [
        (_text() + "what\n", "line 5, 'what', is no `name: value`"),
        (_text() + "what:\n", "line 5, 'what:', is no `name: value`"),
        (_text() + "what: \n", "line 5, 'what:', is no `name: value`"),
        (_text(version="STSv2"), "version: 'STSv2' is not STSv1"),
        (_text() + "x: y\n" * (LARGEST_POLICY // 5), "it is longer than 64 kB"),
        (_text(mx="a." * 127 + "ab"), "is no host name"),
        (
            _text() + "".join(f"mx: a{n}.test\n" for n in range(MOST_PATTERNS)),
            "there are more than 200 mx lines",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, told: str) -> None:
    with pytest.raises(NotAPolicy, match=re.escape(told)):
        read_policy(text)


def test_what_is_odd_and_does_no_harm_is_said() -> None:
    assert read_policy(_text()).problems == ()
    odd = _text(max_age="31557601") + "colour: blue\nmode: none\n"
    assert read_policy(odd).problems == (
        "line 6: mode stands twice, the first counts",
        "unknown field colour",
        "max_age of 31557601 seconds counts as a year",
    )
    assert read_policy(_text(max_age="31557600")).problems == ()
    full = _text(mx=None) + "".join(f"mx: a{n}.test\n" for n in range(MOST_PATTERNS))
    assert len(read_policy(full).mx) == MOST_PATTERNS
    exact = _text() + "x: " + "y" * (LARGEST_POLICY - len(_text()) - 4) + "\n"
    assert len(exact) == LARGEST_POLICY and read_policy(exact).mode == "enforce"


def test_written_and_read() -> None:
    text = write_policy("testing", ["mx.a.test", "*.b.test"], 3600)
    assert read_policy(text) == StsPolicy("testing", ("mx.a.test", "*.b.test"), 3600)
    with pytest.raises(NotAPolicy):
        write_policy("enforce", [])
    for mode, mx in (("enforce", "mx.a.test\r\nmx: mx.mallory.test"), ("testing\nmax_age: 1", "mx.a.test")):
        with pytest.raises(NotAPolicy, match="is not one line"):
            write_policy(mode, [mx])


# --- which policy applies --------------------------------------------------------------------------------------------

NXDOMAIN: DnsAnswer[str] = DnsAnswer(DnsOutcome.NXDOMAIN)


def _dns(*texts: str) -> DnsAnswer[str]:
    return DnsAnswer(DnsOutcome.FOUND, texts)


def _page(text: str = RFC_EXAMPLE, status: int = 200, media: str = "text/plain") -> PageFetched:
    return PageFetched(status, media, text.encode())


GONE = PageFetched(problem="nobody listens there")
BAD_CERTIFICATE = PageFetched(
    problem="certificate verification failed: self-signed certificate", of_certificate=True
)
OLD = CachedPolicy(read_policy(_text()), "old", NOW - 1000)
TAKEN_BACK = CachedPolicy(read_policy(_text(mode="none")), "old", NOW - 1000)
OVER = CachedPolicy(read_policy(_text(max_age="999")), "old", NOW - 1000)


def found(record: DnsAnswer[str], page: PageFetched | None, cached: CachedPolicy | None = None) -> StsResult:
    """`page` None: it must not be asked for."""

    def answer(question: object) -> object:
        if question == TextOf("_mta-sts.example.com"):
            return record
        assert question == PolicyAt("example.com") and page is not None, question
        return page

    return answer_by(answer, discover("Example.COM.", NOW, cached))


@pytest.mark.parametrize(
    "record, page, cached, result, mode, failure, because",
    [
        (_dns("v=STSv1; id=new"), _page(), None, "fresh", "enforce", "", "first contact"),
        (NXDOMAIN, None, None, "none", "none", "", "no record: nothing is fetched"),
        (_dns("v=STSv1; id=old"), None, OLD, "cached", "enforce", "", "the same id: nothing is fetched"),
        (_dns("v=STSv1; id=new"), _page(_text(mode="none")), OLD, "fresh", "none", "", "another id: fetched"),
        (_dns("v=STSv1; id=old"), _page(), OVER, "fresh", "enforce", "", "over max_age: fetched again"),
        (
            NXDOMAIN,
            None,
            OLD,
            "cached",
            "enforce",
            "sts-policy-fetch-error",
            "a hidden record: told, no more",
        ),
        (
            DnsAnswer(DnsOutcome.SERVFAIL),
            None,
            OLD,
            "cached",
            "enforce",
            "sts-policy-fetch-error",
            "RFC 8461 §6: failures of any kind",
        ),
        (NXDOMAIN, None, TAKEN_BACK, "cached", "none", "", "but not of a policy that was taken back"),
        (
            _dns("v=STSv1; id=new"),
            GONE,
            TAKEN_BACK,
            "cached",
            "none",
            "sts-policy-fetch-error",
            "its record is there",
        ),
        (NXDOMAIN, None, OVER, "none", "none", "", "after max_age it is forgotten"),
        (
            _dns("v=STSv1; id=1", "v=STSv1; id=2"),
            None,
            OLD,
            "cached",
            "enforce",
            "sts-policy-fetch-error",
            "two records: none",
        ),
        (_dns("v=STSv1; id=1", "v=STSv1; id=2"), None, None, "none", "none", "", "two records: none"),
        (_dns("v=STSv1; id=new"), GONE, OLD, "cached", "enforce", "sts-policy-fetch-error", "hidden file"),
        (_dns("v=STSv1; id=new"), GONE, None, "none", "none", "sts-policy-fetch-error", "trust on first use"),
        (_dns("v=STSv1; id=new"), BAD_CERTIFICATE, OLD, "cached", "enforce", "sts-webpki-invalid", "forged"),
        (_dns("v=STSv1; id=n"), _page(status=404), None, "none", "none", "sts-policy-fetch-error", "404"),
        (
            _dns("v=STSv1; id=n"),
            _page(status=302),
            None,
            "none",
            "none",
            "sts-policy-fetch-error",
            "redirect",
        ),
        (
            _dns("v=STSv1; id=n"),
            _page(status=204),
            None,
            "none",
            "none",
            "sts-policy-fetch-error",
            "only 200",
        ),
        (
            _dns("v=STSv1; id=n"),
            _page(media="text/html"),
            None,
            "none",
            "none",
            "sts-policy-fetch-error",
            "html",
        ),
        (
            _dns("v=STSv1; id=n"),
            _page(media="TEXT/Plain; charset=utf-8"),
            None,
            "fresh",
            "enforce",
            "",
            "type",
        ),
        (_dns("v=STSv1; id=n"), _page("<html>"), OLD, "cached", "enforce", "sts-policy-invalid", "no policy"),
        (
            _dns("v=STSv1; id=n"),
            _page("x" * 70000),
            None,
            "none",
            "none",
            "sts-policy-fetch-error",
            "too long",
        ),
    ],
)
def test_which_applies(
    record: DnsAnswer[str],
    page: PageFetched | None,
    cached: CachedPolicy | None,
    result: str,
    mode: str,
    failure: str,
    because: str,
) -> None:
    seen = found(record, page, cached)
    assert (seen.result, seen.mode, seen.failure) == (result, mode, failure), because
    assert seen.steps and all(step.words for step in seen.steps)
    if seen.result == "none":
        assert seen.policy is None and seen.remember is None
    if seen.result == "fresh":
        assert seen.remember is not None and seen.remember.fetched_at == NOW


def test_a_policy_of_the_future_is_not_believed() -> None:
    assert not CachedPolicy(read_policy(_text()), "x", NOW + 10).is_valid(NOW)


@pytest.mark.parametrize("name", ["", "a..b", "x" * 300, "[192.0.2.1]", "-", "\x00", "a.test\nb"])
def test_odd_names_ask_nothing(name: str) -> None:
    def answer(question: object) -> object:
        assert question == TextOf("_mta-sts.-"), "only what can be a name is asked for"
        return NXDOMAIN

    assert answer_by(answer, discover(name, NOW)).result == "none"


# --- what it says of a mail exchanger --------------------------------------------------------------------------------


def _result(mode: str) -> StsResult:
    return StsResult("a.test", "fresh", "", read_policy(_text(mode=mode)))


GOOD, PLAIN, WRONG = (
    Shown(True),
    Shown(False),
    Shown(True, "it is for another name", "certificate-host-mismatch"),
)


@pytest.mark.parametrize(
    "mode, exchange, shown, allowed, failure",
    [
        ("enforce", "mx.a.test", GOOD, True, ""),
        ("enforce", "mx.a.test", None, True, ""),
        ("enforce", "mx.a.test", PLAIN, False, "starttls-not-supported"),
        ("enforce", "mx.a.test", WRONG, False, "certificate-host-mismatch"),
        ("enforce", "mx.a.test", Shown(True, "expired"), False, "validation-failure"),
        ("enforce", "mx.evil.test", GOOD, False, "validation-failure"),
        ("testing", "mx.a.test", PLAIN, True, "starttls-not-supported"),
        ("testing", "mx.evil.test", None, True, "validation-failure"),
        ("none", "mx.evil.test", PLAIN, True, ""),
    ],
)
def test_exchange(mode: str, exchange: str, shown: Shown | None, allowed: bool, failure: str) -> None:
    verdict = judge_exchange(_result(mode), exchange, shown)
    assert (verdict.is_allowed, verdict.failure) == (allowed, failure)
    assert verdict.is_reported == bool(failure)
    assert exchange in str(verdict)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.binary(max_size=600), st.text(max_size=100))
def test_whatever_it_says(record: str, octets: bytes, domain: str) -> None:
    def answer(question: object) -> object:
        if isinstance(question, TextOf):
            return _dns("v=STSv1; id=1" if len(record) % 2 else record)
        return PageFetched(200, "text/plain", octets)

    seen = answer_by(answer, discover(domain, NOW, OLD))
    assert seen.result in ("fresh", "cached", "none")
    judge_exchange(seen, domain)


@settings(max_examples=200, deadline=None)
@given(
    st.from_regex(r"(\*\.)?[a-z]{1,3}(\.[a-z]{1,3}){0,2}", fullmatch=True),
    st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,3}", fullmatch=True),
)
def test_star_is_one_label(pattern: str, name: str) -> None:
    """The rule said in another way: as many labels, all alike but a first star."""
    wanted, given_ = pattern.split("."), name.split(".")
    alike = len(wanted) == len(given_) and all(a in ("*", b) for a, b in zip(wanted, given_))
    assert is_named_by(pattern, name) == alike

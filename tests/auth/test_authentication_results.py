"""Authentication-Results: the examples of RFC 8601, what providers write, what an attacker writes."""

from __future__ import annotations

import contextlib
import os
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.authentication_results import (
    AuthenticationResults,
    MethodResult,
    NotAuthenticationResults,
    Properties,
    Property,
    lines,
    parse,
    write,
)
from labkit.mail.message import HeaderField


def told(value: str) -> list[str]:
    """Each result in one short line."""
    return [
        " ".join([f"{found.method}={found.result}", *(f"{one.name}={one.value}" for one in found.properties)])
        for found in parse(value).results
    ]


EXAMPLES = [  # RFC 8601, appendix B (B.1 has no field), and §2.7.6
    ("B.2", "example.org 1; none", []),
    (
        "B.3",
        "example.com;\r\n      spf=pass smtp.mailfrom=example.net",
        ["spf=pass smtp.mailfrom=example.net"],
    ),
    (
        "B.4",
        "example.com;\r\n      auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n"
        "      spf=pass smtp.mailfrom=example.net",
        ["auth=pass smtp.auth=sender@example.net", "spf=pass smtp.mailfrom=example.net"],
    ),
    (
        "B.4, the second",
        "example.com; iprev=pass\r\n      policy.iprev=192.0.2.200",
        ["iprev=pass policy.iprev=192.0.2.200"],
    ),
    (
        "B.5",
        "example.com;\r\n      dkim=pass (good signature) header.d=example.com",
        ["dkim=pass header.d=example.com"],
    ),
    (
        "B.5, the second",
        "example.com;\r\n      auth=pass (cram-md5) smtp.auth=sender@example.com;\r\n"
        "      spf=fail smtp.mailfrom=example.com",
        ["auth=pass smtp.auth=sender@example.com", "spf=fail smtp.mailfrom=example.com"],
    ),
    (
        "B.6",
        'example.com;\r\n      dkim=pass reason="good signature"\r\n        header.i=@mail-router.example.net;\r\n'
        '      dkim=fail reason="bad signature"\r\n        header.i=@newyork.example.com',
        ["dkim=pass header.i=@mail-router.example.net", "dkim=fail header.i=@newyork.example.com"],
    ),
    (
        "B.7",
        "foo.example.net (foobar) 1 (baz);\r\n    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
        "      policy (A dot can go here) . (like that) expired\r\n"
        "      (this surprised me) = (as I wasn't expecting it) 1362471462",
        ["dkim=fail policy.expired=1362471462"],
    ),
    ("§2.7.6", "example.com;\r\n  foo=pass bar.baz=blob (2 of 3 tests OK)", ["foo=pass bar.baz=blob"]),
]


@pytest.mark.parametrize("section, value, results", EXAMPLES)
def test_the_examples_of_the_rfc(section: str, value: str, results: list[str]) -> None:
    assert told(value) == results, section
    assert parse(value).problems == ()
    assert parse(write(parse(value))) == parse(value)


def test_all_that_is_said() -> None:
    heavy = parse(EXAMPLES[-2][1])
    assert (heavy.authserv_id, heavy.version, heavy.comments) == ("foo.example.net", 1, ("foobar", "baz"))
    assert heavy.results[0].comments[:3] == ("Because I like it", "One yay", "wait for it")
    good, bad = parse(EXAMPLES[6][1]).results
    assert (good.reason, bad.reason) == ("good signature", "bad signature")
    assert good.properties["header.i"] == good.properties["Header.I"] == "@mail-router.example.net"
    assert list(good.properties) == [("header", "i", "@mail-router.example.net")]
    assert dict(good.properties) == {"header.i": "@mail-router.example.net"}
    assert "header.i" in good.properties
    assert good.properties.get("header.d", "") == ""
    with pytest.raises(KeyError):
        good.properties["header.d"]


@pytest.mark.parametrize(
    "value, results, because",
    [
        (
            'mx.google.com;\r\n dkim=pass header.i=@a.test header.s=x header.b="a/b+c=";\r\n'
            " arc=pass (i=1 spf=pass spfdomain=a.test dkim=pass dkdomain=a.test dmarc=pass fromdomain=a.test);\r\n"
            " spf=pass (google.com: domain of ann@a.test designates 203.0.113.9 as permitted sender)"
            " smtp.mailfrom=ann@a.test;\r\n dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from=a.test",
            [
                "dkim=pass header.i=@a.test header.s=x header.b=a/b+c=",
                "arc=pass",
                "spf=pass smtp.mailfrom=ann@a.test",
                "dmarc=pass header.from=a.test",
            ],
            "Google",
        ),
        (
            "spf=pass (sender IP is 203.0.113.9)\r\n smtp.mailfrom=a.test; dkim=pass (signature was verified)\r\n"
            " header.d=a.test;dmarc=pass action=none\r\n header.from=a.test;compauth=pass reason=100",
            [
                "spf=pass smtp.mailfrom=a.test",
                "dkim=pass header.d=a.test",
                "dmarc=pass action=none header.from=a.test",
                "compauth=pass",
            ],
            "Microsoft: no authserv-id, a property without a ptype",
        ),
        (
            "mx.test; dmarc=pass(p=REJECT,sp=NONE) header.From=a.test;spf=softfail(x)smtp.mailfrom=b.test;;",
            ["dmarc=pass header.from=a.test", "spf=softfail smtp.mailfrom=b.test"],
            "blanks missing, semicolons too many, capitals",
        ),
        (
            "mx.test; x-tls=pass smtp.bits=256/256 smtp.version=TLSv1.3; x-vs=clean score=-100 state=0",
            ["x-tls=pass smtp.bits=256/256 smtp.version=TLSv1.3", "x-vs=clean score=-100 state=0"],
            "slashes and signs in values",
        ),
        (
            "mx.test; spf=none smtp.mailfrom= smtp.helo=a.test",
            ["spf=none smtp.mailfrom= smtp.helo=a.test"],
            "empty",
        ),
        ("mx.test; spf=pass smtp.mailfrom=<ann@a.test>", ["spf=pass smtp.mailfrom=<ann@a.test>"], "brackets"),
        ('mx.test; spf=pass smtp.mailfrom="a b"@c.test', ['spf=pass smtp.mailfrom="a b"@c.test'], "quoted"),
        (
            "mx.test; spf=pass smtp.mailfrom=a (x) @ c.test",
            ["spf=pass smtp.mailfrom=a@c.test"],
            "CFWS at the @",
        ),
        ("mx.test; iprev=pass policy.iprev=2001:db8::1", ["iprev=pass policy.iprev=2001:db8::1"], "IPv6"),
        (
            'mx.test; dkim=pass header.d="a;b.test"; spf=pass',
            ["dkim=pass header.d=a;b.test", "spf=pass"],
            "a ; in it",
        ),
        ("mx.test; dkim=pass (a;b (c) \\) d); spf=pass", ["dkim=pass", "spf=pass"], "a ; in a comment"),
        ("mx.test; ???; spf=pass", ["spf=pass"], "rubbish harms no other result"),
        ("Authentication-Results: mx.test; spf=pass", ["spf=pass"], "the name of the field in front"),
        ("mx.test; DKIM=Pass", ["dkim=pass"], "words without case"),
    ],
)
def test_what_providers_write(value: str, results: list[str], because: str) -> None:
    assert told(value) == results, because
    assert parse(write(parse(value))) == parse(value)


def test_the_field_of_arc() -> None:
    found = parse("i=2; mx.test; spf=pass smtp.mailfrom=a.test")
    assert (found.instance, found.authserv_id, found.results[0].method) == (2, "mx.test", "spf")
    assert write(found) == "i=2; mx.test; spf=pass smtp.mailfrom=a.test"
    assert parse("mx.test; spf=pass").instance == 0


def test_reason_and_comments() -> None:
    [found] = parse("mx.test; compauth=fail reason=001 (why (not)) (\\(odd)").results
    assert (found.reason, found.comments) == ("001", ("why (not)", "(odd"))
    assert parse("spf=pass smtp.mailfrom=a.test").problems == (
        "no authserv-id: the field begins with a result",
    )
    assert parse("mx.test").problems == ('there is neither a result nor "none"',)
    assert parse('"a=b.test"; spf=pass').authserv_id == "a=b.test"


@pytest.mark.parametrize(
    "value, words",
    [
        ("", "neither"),
        (" ; ;", "neither"),
        ("mx.test; spf=pass (never ends", "comment does not end"),
        ('mx.test; spf=pass reason="never ends', "quoted string does not end"),
        ("mx.test; spf=pass " + "(" * 200 + ")" * 200, "nested deeper"),
        ("mx.test; " + "(" * 100_000, "nested deeper"),
        ("x" * 4_000_001, "characters"),
    ],
)
def test_what_cannot_be_read(value: str, words: str) -> None:
    with pytest.raises(NotAuthenticationResults, match=words):
        parse(value)


@pytest.mark.parametrize(
    "piece",
    [
        "; dkim=pass header.d=a.test (comment)",
        " ",
        ";",
        "(",
        "()",
        "\\",
        '"',
        '""',
        "(\\)",
        "=",
        ".",
        "a.b= ",
        " a.b",
        "a@",
        "@ ",
        "none;",
        "\r\n ",
        "\0",
        "; a=b c",
    ],
)
def test_a_long_field_takes_linear_time(piece: str) -> None:
    """Some tenths of a second; in quadratic time it would be minutes."""
    text = f"mx.test; spf=pass {piece * (150_000 // len(piece))}"
    begun = time.process_time()
    with contextlib.suppress(NotAuthenticationResults):
        parse(text)
    assert time.process_time() - begun < 2


def test_twenty_thousand_results() -> None:
    found = parse("mx.test" + "; dkim=fail (why) header.d=a.test" * 20_000)
    assert len(found.results) == 20_000
    assert found.results[-1].properties["header.d"] == "a.test"


def test_written() -> None:
    results = AuthenticationResults(
        "mx.test",
        (
            MethodResult.of("spf", "pass", ("smtp.mailfrom", "ann@a.test"), comment="permitted (really)"),
            MethodResult.of(
                "dkim", "fail", ("header.d", "a.test"), ("header.b", "x/y="), reason="body changed"
            ),
        ),
    )
    assert write(results) == (
        "mx.test; spf=pass (permitted (really)) smtp.mailfrom=ann@a.test; "
        'dkim=fail reason="body changed" header.d=a.test header.b="x/y="'
    )
    assert parse(HeaderField.make("Authentication-Results", *lines(results)).value) == results
    assert write(AuthenticationResults("mx.test")) == "mx.test; none"
    assert parse("mx.test; none").results == ()
    assert str(results) == write(results)


@pytest.mark.parametrize(
    "result",
    [
        MethodResult.of("spf", "pass", ("smtp.mailfrom", "a\r\nBcc: b@c.test")),
        MethodResult.of("spf", "pass", comment="a\nb"),
        MethodResult.of("spf", "pass; dkim=pass"),
        MethodResult.of("", "pass"),
        MethodResult.of("spf", "pass", ("smtp.mail from", "a")),
        MethodResult.of("spf", "pass", reason="a\0b"),
    ],
)
def test_nothing_is_smuggled_out(result: MethodResult) -> None:
    with pytest.raises(NotAuthenticationResults):
        write(AuthenticationResults("mx.test", (result,)))


THOROUGH = 3000 if os.environ.get("LABKIT_THOROUGH") else 0
WORD = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
TEXT = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), max_codepoint=0x3FF), max_size=12
)
PHRASE = st.lists(TEXT.filter(bool), max_size=3).map(" ".join)
RESULT = st.builds(
    MethodResult,
    WORD.filter(lambda word: word != "none"),
    WORD,
    PHRASE,
    st.lists(
        st.builds(Property, WORD | st.just(""), WORD.filter(lambda w: w != "reason"), PHRASE), max_size=3
    ).map(Properties),
    st.lists(PHRASE, max_size=2).map(tuple),
    st.integers(1, 3),
)


@settings(max_examples=THOROUGH or 100, deadline=None)
@given(
    st.builds(
        AuthenticationResults,
        TEXT.filter(bool),
        st.lists(RESULT, max_size=3).map(tuple),
        st.integers(1, 9),
        instance=st.integers(0, 50),
    )
)
def test_what_is_written_is_read(results: AuthenticationResults) -> None:
    assert parse(write(results)) == results


@settings(max_examples=THOROUGH or 300, deadline=None)
@given(st.text(st.sampled_from(list('ab1 ;=./()"\\@\r\n\t\0-é')), max_size=60))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except NotAuthenticationResults:
        return
    assert parse(write(found)) == found
    assert not re.search(r"[\r\n\0]", write(found))


@pytest.mark.parametrize("fold", ["\r\n ", "\n\t", "\n "])
def test_a_stored_field_is_folded_by_lf(fold: str) -> None:
    (found,) = parse(f'mx.test;{fold}dkim=pass (2048-bit{fold}key) reason="all{fold}right"').results
    assert (found.comments, found.reason) == (("2048-bit key",), "all right") or fold == "\n\t"
    assert found.comments[0].split() == ["2048-bit", "key"] and "\n" not in found.reason


def test_half_a_million_pieces() -> None:
    begin = time.process_time()
    found = parse("mx.test; spf=pass;" + " x;" * 500_000)
    assert [one.method for one in found.results] == ["spf"]
    assert found.problems[-1] == "what follows the first 50000 semicolons is not read"
    with pytest.raises(NotAuthenticationResults, match="does not end"):
        parse("mx.test " + '"' * 1_000_001)
    assert parse("mx.test " + '"" ' * 300_000).authserv_id == "mx.test"
    assert time.process_time() - begin < 5

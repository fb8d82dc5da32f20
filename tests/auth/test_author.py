"""The Author Domain: whatever stands in From:, one domain or a reason."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.author import author_of
from labkit.auth.domain_names import domain_name


def message(*froms: str) -> bytes:
    fields = "".join(f"From: {text}\r\n" for text in froms)
    return f"Subject: x\r\n{fields}To: b@b.test\r\n\r\nFrom: eve@body.test\r\n".encode()


@pytest.mark.parametrize(
    "text, domain, because",
    [
        ("ann@a.test", "a.test", "plain"),
        ("Ann <ann@A.Test>", "a.test", "names compare without case"),
        ('"ann@a.test" <eve@b.test>', "b.test", "the quoted name looks like an address"),
        ("=?utf-8?q?ann=40a=2Etest?= <eve@b.test>", "b.test", "the encoded name looks like one"),
        ("<ann@a.test> (eve@b.test)", "a.test", "a comment"),
        ("(eve@b.test) ann (x) @ (y (z)) a.test (w)", "a.test", "comments everywhere"),
        ('"ann@b.test"@a.test', "a.test", "an @ in a quoted local part"),
        ('"a,b" <ann@a.test>', "a.test", "a comma in quotes"),
        ("Ann Smith\r\n\t<ann@a.test>", "a.test", "folded"),
        ("ann@a.test, bob@A.test", "a.test", "two authors of one domain"),
        ("Team: ann@a.test, Bob <bob@a.test>;", "a.test", "a group (RFC 6854)"),
        ("ann@a.test,, ", "a.test", "gaps between commas (RFC 5322 §4.4)"),
        ("<@r.test,@s.test:ann@a.test>", "a.test", "an old source route"),
        ("ann@a.test.", "a.test", "the dot of the root"),
        ("ann@my_host.a.test", "my_host.a.test", "any atom is a domain's part in RFC 5322"),
        ("ann@Bücher.test", "xn--bcher-kva.test", "a U-label"),
        ("ann@XN--BCHER-KVA.test", "xn--bcher-kva.test", "its A-label"),
        ("ann@пример.рф", "xn--e1afmkfd.xn--p1ai", "Cyrillic"),
        ("ann@faß.test", "xn--fa-hia.test", "IDNA 2008 keeps the ß"),
        ("Änn <änn@a.test>", "a.test", "UTF-8 in the rest (RFC 6532)"),
    ],
)
def test_one_domain(text: str, domain: str, because: str) -> None:
    found = author_of(message(text))
    assert (found.domain, found.problem) == (domain, ""), because
    assert found


@pytest.mark.parametrize(
    "froms, words, domains",
    [
        ([], "no From:", ()),
        (["ann@a.test", "eve@b.test"], "2 From: fields", ("a.test", "b.test")),
        (["ann@a.test", "ann@a.test"], "2 From: fields", ("a.test",)),
        (["ann@a.test, eve@b.test"], "2 domains: a.test, b.test", ("a.test", "b.test")),
        ([""], "no address", ()),
        (["undisclosed:;"], "no address", ()),
        (["ann"], "no domain name", ()),
        (["<>"], "cannot be read", ()),
        (["ann@[203.0.113.9]"], "no domain name", ()),
        (["ann@a..test"], "cannot be read", ()),
        (["ann@" + "a" * 64 + ".test"], "no domain name", ()),
        (["alice@example.org)bob@evil.com"], "cannot be read", ()),
        (["ann@a.test <eve@b.test>"], "cannot be read", ()),
        (["ann@a.test eve@b.test"], "cannot be read", ()),
        (["ann@a.test, eve at b.test"], "cannot be read", ("a.test",)),
        (['"ann <ann@a.test>'], "cannot be read", ()),
        (["ann@a\x00b.test"], "cannot be read", ()),
        (["ann@a⒈b.test"], "no domain name", ()),
    ],
)
def test_no_domain_and_why(froms: list[str], words: str, domains: tuple[str, ...]) -> None:
    found = author_of(message(*froms))
    assert found.domain == "", found
    assert words in found.problem
    assert found.domains == domains
    assert not found


def test_octets_that_are_no_text() -> None:
    assert "no domain name" in author_of(b"From: ann@\xff\xfe.test\r\n\r\n").problem
    assert author_of(b"From: \xff <ann@a.test>\r\n\r\n").domain == "a.test"
    assert author_of(b"").problem == "there is no From: field"


@pytest.mark.parametrize(
    "piece", ["(", "a ", "a@b.test,", '"', "<", "g:;", "a@", "\\", ":", "(x)", ".", "@b,", ","]
)
def test_hostile_fields_take_linear_time(piece: str) -> None:
    """A tenth of a second; in quadratic time it would be minutes."""
    content = message(piece * (150_000 // len(piece)) + "@b.test")
    begun = time.process_time()
    author_of(content)
    assert time.process_time() - begun < 2


def test_many_fields_and_addresses() -> None:
    assert "more than 200" in author_of(message(", ".join(f"a@d{n}.test" for n in range(5000)))).problem
    assert "5000 From: fields" in author_of(message(*["a@a.test"] * 5000)).problem


@settings(max_examples=3000 if os.environ.get("LABKIT_THOROUGH") else 300, deadline=None)
@given(st.text(st.sampled_from(list('ab.@<>(),;:"\\ \t\0é[]')), max_size=40))
def test_any_text_gives_a_domain_or_a_reason(text: str) -> None:
    found = author_of(message(text))
    assert bool(found.domain) != bool(found.problem)
    assert all(name == domain_name(name) for name in found.domains)


@pytest.mark.parametrize(
    "text, name",
    [
        ("A.Test", "a.test"),
        ("a.test.", "a.test"),
        ("a。test", "a.test"),
        ("", None),
        (".", None),
        ("a..b", None),
        (".a", None),
        ("a b", None),
        ("a.b c", None),
        ("a.b\r\nX: y", None),
        ("a.test..", None),
        ("[203.0.113.9]", None),
        ("x" * 63 + ".test", "x" * 63 + ".test"),
        ("x" * 64 + ".test", None),
        (".".join(["x" * 49] * 5), ".".join(["x" * 49] * 5)),
        (".".join(["x" * 50] * 5), None),
        ("é" * 250, None),
    ],
)
def test_domain_names(text: str, name: str | None) -> None:
    assert domain_name(text) == name


@pytest.mark.parametrize(
    "text, words",
    [
        ("ann@a.test (hello", "a comment does not end"),
        ("ann@a.test (hello\\)", "a comment does not end"),
        ("ann@a.test ((hello)", "a comment does not end"),
        ('(a "quote) ann@a.test ("', "a comment does not end"),
        ("ann@a.test (x\ry)", "a bare CR"),
        ('"\rann"@a.test', "a bare CR"),
    ],
)
def test_where_programs_would_not_agree_there_is_no_author(text: str, words: str) -> None:
    found = author_of(message(text))
    assert not found and words in found.problem


@pytest.mark.parametrize(
    "text", ['"(" <ann@a.test>', "(\\() ann@a.test", 'ann@a.test (")', "ann@a.test (x)\r\n (y)"]
)
def test_brackets_that_open_nothing(text: str) -> None:
    assert author_of(message(text)).domain == "a.test"

"""What counts as a token, and what a hostile message can do to it: nothing."""

from __future__ import annotations

import base64
import os
import random
import time

import pytest

from labkit.filters.bayes import Bayes
from labkit.filters.parts import MOST_CHARACTERS, MOST_DEPTH, MOST_PARTS, read_parts
from labkit.filters.tokens import MOST_TOKENS, tokens_of, without_tags, words

from .letters_for_tests import letter, with_field


@pytest.mark.parametrize(
    "text, found, because",
    [
        ("Cheap cheap CHEAP", ["cheap"], "once, folded"),
        ("a an the 12345 99999", ["the"], "short words and bare numbers say little"),
        ("ＦＲＥＥ", ["free"], "compatibility letters (NFKC)"),
        ("v\u200bia\u00adgra", ["viagra"], "what nobody sees"),
        ("Straße STRASSE", ["strasse"], "casefold"),
        ("příliš žluťoučký", ["příliš", "žluťoučký"], "accents stay: another language, other words"),
        ("don't well-known", ["don't", "well-known"], "within a word"),
        ("$1000 now!!! €5,00", ["$1000", "now", "!!", "€5,00"], "money and shouting"),
        ("東京都に", ["東京", "京都", "都に"], "no blanks between words"),
        ("x" * 41, [], "too long to come again"),
    ],
)
def test_words(text: str, found: list[str], because: str) -> None:
    assert list(dict.fromkeys(words(text))) == found, because


@pytest.mark.parametrize(
    "content, token, because",
    [
        (with_field("Subject", "=?utf-8?q?Caf=C3=A9?= menu"), "subject:café", "an encoded word"),
        (with_field("From", "Ann <Ann@A.test>"), "from:ann@a.test", "an address"),
        (with_field("From", "Ann <Ann@A.test>"), "from:@a.test", "its domain"),
        (with_field("From", "Lottery Office <x@a.test>"), "from:lottery", "the words beside it"),
        (b"\r\nsee https://user@Shop.Evil.test:8080/x?meeting", "url:shop.evil.test", "a host"),
        (b"\r\nsee https://shop.evil.test/x", "url:evil.test", "and what is above it"),
        (
            with_field("Content-Type", "text/html", "<a href='http://c.test/'>d</a>"),
            "url:c.test",
            "a link of HTML",
        ),
        (with_field("Content-Type", "text/html", "che<b>ap</b>er"), "cheaper", "a tag does not cut a word"),
        (with_field("Content-Type", "text/html", "one<br>two<p>six"), "two", "another tag does"),
        (with_field("Content-Type", "text/html", "vi<!-- x -->gra"), "vigra", "nor does a comment"),
        (with_field("Content-Type", "text/html", "caf&eacute;"), "café", "an entity"),
        (b"\nplain lines of a stored file\n", "stored", "LF only"),
    ],
)
def test_tokens(content: bytes, token: str, because: str) -> None:
    assert token in tokens_of(content), (because, tokens_of(content))


@pytest.mark.parametrize(
    "content, hidden",
    [
        (with_field("X-Spam-Status", "Yes casino"), "casino"),
        (with_field("Received", "from casino.test"), "casino"),
        (with_field("Content-Type", "text/html", "<style>casino</STYLE><script>casino</script>ok"), "casino"),
        (with_field("Content-Type", "application/pdf", "casino"), "casino"),
        (b"\r\nhttp://a.test/casino", "casino"),
    ],
)
def test_does_not_count(content: bytes, hidden: str) -> None:
    assert not [token for token in tokens_of(content) if hidden in token]


def multipart(*parts: bytes, boundary: bytes = b"cut", kind: bytes = b"mixed") -> bytes:
    inside = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return (
        b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n\r\npreamble\r\n' + inside
        + b"--" + boundary + b"--\r\nepilogue"
    )  # fmt: skip


def test_multipart() -> None:
    plain = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9"
    coded = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: BASE64\r\n\r\n"
    coded += base64.encodebytes("<p>žádost".encode())
    pdf = b'Content-Type: application/pdf; name="invoice.PDF"\r\n\r\nsecret'
    forwarded = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nforwarded words"
    content = multipart(plain, multipart(coded, pdf, boundary=b"in.ner"), forwarded)
    found = tokens_of(content)
    assert {"café", "žádost", "kind:application/pdf", "kind:file:pdf", "forwarded"} <= set(found)
    assert not {"secret", "preamble", "epilogue"} & set(found)


def test_unknown_charsets_and_broken_codings() -> None:
    for charset in (b"zip_codec", b"utf-7", b"idna", b"unknown", b"utf-16", b"\xff\xfe", b"hex"):
        content = b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\nhello \xff\xfe world"
        assert isinstance(tokens_of(content), tuple)
    for body in (b"=", b"====", b"a", b"ab=cd", b"\x00", b"QUJD!RA"):
        content = b"Content-Transfer-Encoding: base64\r\n\r\n" + body
        assert isinstance(tokens_of(content), tuple)


BIG = 1_000_000
HOSTILE = {
    "one word of a megabyte": b"\r\n" + b"a" * BIG,
    "a million words": b"\r\n" + b" ".join(b"%07x" % i for i in range(BIG)),
    "10,000 parts": multipart(*[b"\r\nword%d" % i for i in range(10_000)]),
    "parts within parts": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(10_000)
    ),
    "the same boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 10_000,
    "messages within messages": b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
    "base64 of a megabyte": b"Content-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode(b"x y " * 250_000),
    "brackets": b"Content-Type: text/html\r\n\r\n" + b"<" * BIG,
    "comments": b"Content-Type: text/html\r\n\r\n" + b"<!--" * 250_000,
    "scripts": b"Content-Type: text/html\r\n\r\n" + b"<script>x</script " * 50_000,
    "a huge entity": b"Content-Type: text/html\r\n\r\n&#" + b"9" * 100_000 + b"; &#x" + b"f" * 100_000 + b";",
    "entities": b"Content-Type: text/html\r\n\r\n" + b"&amp" * 200_000,
    "hyphens": b"\r\n" + b"a-" * 500_000,
    "marks": b"\r\n" + "e\u0301\u0327\u0323".encode() * 100_000,
    "marks in the wrong order": b"\r\n" + b"a" + "\u0323\u0301".encode() * 100_000,
    "large ligatures": b"\r\n" + "\ufdfa".encode() * 150_000,
    "a subject of a megabyte": b"Subject: " + b"=?utf-8?q?a?= " * 70_000 + b"\r\n\r\n",
    "addresses": b"From: " + b"a@" * 500_000 + b"\r\n\r\n",
    "links": b"\r\n" + b"http://" * 140_000,
    "links with users": b"\r\n" + b"http://a@" * 110_000,
    "200,000 fields": b"a:\r\n" * 200_000,
    "parameters": b"Content-Type: text/plain" + b';a="' * 200_000 + b"\r\n\r\nx",
    "dashes": b'Content-Type: multipart/mixed; boundary="-"\r\n\r\n' + b"\r\n---" * 200_000,
    "empty boundary": b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\nx',
    "zeros": b"\0" * BIG,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile(what: str) -> None:
    """Each takes less than a second; what grows with the square takes minutes."""
    begin = time.process_time()
    bayes = Bayes()
    bayes.train(HOSTILE[what], True)
    bayes.train(letter("ham"), False)
    score = bayes.score(HOSTILE[what])
    assert time.process_time() - begin < 5.0
    assert len(bayes.in_spam) <= MOST_TOKENS and all(len(token) < 200 for token in bayes.in_spam)
    assert 0 <= score.probability <= 1


def test_limits_are_said() -> None:
    assert read_parts(HOSTILE["10,000 parts"]).is_cut
    assert len(read_parts(HOSTILE["10,000 parts"]).texts) < MOST_PARTS
    assert sum(len(each.text) for each in read_parts(HOSTILE["a million words"]).texts) == MOST_CHARACTERS
    assert read_parts(HOSTILE["messages within messages"]).is_cut
    assert not read_parts(letter("small")).is_cut


def nested(depth: int, word: bytes) -> bytes:
    """A message within a message and so on; the innermost says something."""
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\n" + word


def test_so_deep_and_no_deeper() -> None:
    seen, unseen = read_parts(nested(MOST_DEPTH, b"deep")), read_parts(nested(MOST_DEPTH + 1, b"deep"))
    assert [each.text for each in seen.texts] == ["deep"] and not seen.is_cut
    assert not unseen.texts and unseen.is_cut
    beside = read_parts(multipart(nested(MOST_DEPTH + 5, b"deep"), b"\r\nshallow"))
    assert [each.text for each in beside.texts] == ["shallow"] and beside.is_cut, (
        "what comes after it is read"
    )


def test_so_much_and_no_more() -> None:
    """All parts together have the room, and not each of them."""
    part = b"\r\n" + b"x" * (MOST_CHARACTERS // 2 + 1)
    cut = read_parts(multipart(part, part, b"\r\nlater"))
    assert [len(each.text) for each in cut.texts] == [MOST_CHARACTERS // 2 + 1, MOST_CHARACTERS // 2 - 1]
    assert cut.is_cut
    exact = read_parts(b"\r\n" + b"x" * MOST_CHARACTERS)
    assert len(exact.texts[0].text) == MOST_CHARACTERS and not exact.is_cut
    assert read_parts(b"\r\n" + b"x" * (MOST_CHARACTERS + 1)).is_cut


def test_names_of_files_are_seen_wherever_they_stand() -> None:
    for field in (
        b'Content-Type: application/x; name="a.exe"',
        b"Content-Type: application/x; name=a.exe",
        b'Content-Disposition: attachment; filename="a.EXE"',
        b"Content-Disposition: attachment; filename=a.exe",
        b"Content-Disposition: attachment; filename*=utf-8''a.exe",
    ):
        assert "kind:file:exe" in tokens_of(field + b"\r\n\r\nx"), field
    other = tokens_of(b"Content-Disposition: attachment; note=a.exe\r\n\r\nx")
    assert "kind:file:exe" not in other, "another parameter names no file"


@pytest.mark.parametrize(
    "written, read",
    [
        (b"Y2FzaW5v", "casino"),
        (b"Y2FzaW4", "casin"),
        (b"Y2FzaQ", "casi"),
        (b"Y2Fza", "cas"),
        (b"Y2 Fz\r\naW5v!", "casino"),
    ],
)
def test_base64_with_and_without_its_end(written: bytes, read: str) -> None:
    found = read_parts(b"Content-Transfer-Encoding: base64\r\n\r\n" + written)
    assert [each.text for each in found.texts] == [read]


def test_a_multipart_without_its_end() -> None:
    head = b"Content-Type: multipart/mixed; boundary=cut\r\n\r\npreamble"
    for body, wanted in (
        (b"", []),
        (b"\r\n--cut\r\n\r\none", ["one"]),
        (b"\r\n--cut\r\n\r\none\r\n--cut\r\n\r\ntwo", ["one", "two"]),
        (b"\r\n--cut--\r\n--cut\r\n\r\none", []),
    ):
        assert [each.text for each in read_parts(head + body).texts] == wanted


def test_any_octets() -> None:
    """Whatever stands in a message, tokens come out. More with LABKIT_THOROUGH=1."""
    dice = random.Random(7)
    pieces = [
        b"Content-Type: ", b"multipart/mixed", b"; boundary=", b'"', b"x", b"\r\n", b"\n", b"--x", b"--", b"text/html",
        b"<b", b">", b"<!--", b"-->", b"&#", b";", b"=?utf-8?b?", b"?=", b"Content-Transfer-Encoding: base64", b"=E9",
        b"charset=", b"utf-16", b"\xff", b"\0", b"Subject: ", b"From: ", b"@", b"http://", b" ", b"message/rfc822",
    ]  # fmt: skip
    for _ in range(20_000 if os.environ.get("LABKIT_THOROUGH") else 1_000):
        content = b"".join(dice.choices(pieces, k=dice.randrange(60)))
        found = tokens_of(content)
        assert len(set(found)) == len(found)


def test_without_tags_keeps_the_rest() -> None:
    assert without_tags("1 < 2 and <a>3</a> > 2") == "1 < 2 and 3 > 2"
    assert without_tags("x<!-- never closed") == "x"

"""What changed, with both copies; why it broke, with one."""

from __future__ import annotations

import quopri
import time

import pytest

from labkit.auth.dkim_sign import Signer
from labkit.auth.what_changed import first_difference, what_changed
from labkit.auth.why_broken import why_broken
from tests.auth.keys_for_tests import MESSAGE, NOW, pair, verified

SIMPLE, RELAXED = "simple/simple", "relaxed/relaxed"


def signed(forms: str = RELAXED, kind: str = "rsa", **options: object) -> bytes:
    signer = Signer("a.test", kind, pair(kind).private_key, canonicalization=forms, **options)  # type: ignore[arg-type]
    return signer.sign(MESSAGE, NOW) + MESSAGE


def compared(before: bytes, after: bytes) -> str:
    (result,) = verified(before)
    assert result.result == "pass" and result.signature
    changes = what_changed(before, after, result.signature)
    (now,) = verified(after)
    assert (now.result == "pass") == (not changes.breaks_body and not changes.breaks_header), str(changes)
    return str(changes)


@pytest.mark.parametrize(
    "old, new, forms, words",
    [
        (
            b"Hello Bob",
            b"Hello Eve",
            RELAXED,
            "breaks the signature: body, octet 6, line 1: was 'Bob,\\r\\n' and is 'Eve,",
        ),
        (
            b"this  is",
            b"this is",
            RELAXED,
            "survives: body, octet 19, line 3: differs in blanks or empty lines only",
        ),
        (
            b"this  is",
            b"this is",
            SIMPLE,
            "breaks the signature: body, octet 19, line 3: was ' is signed.\\t",
        ),
        (b"Ann\r\n\r\n", b"Ann\r\n____\r\nlist\r\n\r\n", RELAXED, "'____\\r\\n' was added at the end"),
        (b"-- \r\nAnn\r\n", b"", RELAXED, "'--\\r\\n' is missing at the end"),
        (
            b"of\r\n\tsig",
            b"of sig",
            RELAXED,
            "survives: subject: is written otherwise, 'Subject: a test of sig",
        ),
        (
            b"of\r\n\tsig",
            b"of sig",
            SIMPLE,
            "breaks the signature: subject: was 'Subject: a test of\\r\\n\\tsig",
        ),
        (b"Subject: a", b"Subject: [l] a", RELAXED, "and is 'Subject: [l] a test"),
        (b"To: bob@b.test\r\n", b"", RELAXED, "breaks the signature: to: is gone"),
        (b"To: bob", b"From: eve\r\nTo: bob", RELAXED, "from:"),
        (b"Received: from a", b"Received: from c", RELAXED, "nothing changed that this signature covers"),
    ],
)
def test_two_copies(old: bytes, new: bytes, forms: str, words: str) -> None:
    before = signed(forms)
    assert words in compared(before, before.replace(old, new))


def test_behind_the_length() -> None:
    before = signed(body_length="all")
    assert "stands behind what l= covers" in compared(before, before.rstrip() + b"\r\nmore\r\n")


def test_first_difference() -> None:
    assert first_difference(b"", b"") == first_difference(b"", b"a") == first_difference(b"a", b"b") == 0
    assert first_difference(b"abc", b"abd") == 2 and first_difference(b"abc", b"abcd") == 3
    for place in range(40):
        one = b"x" * 40
        assert first_difference(one, one[:place] + b"y" + one[place + 1 :]) == place


FOOTER = b"-- \r\nAnn\r\n\r\n\r\n____________\r\nUnsubscribe: https://lists.test/\r\n"


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
@pytest.mark.parametrize(
    "old, new, forms, words",
    [
        (
            b"-- \r\nAnn\r\n\r\n\r\n",
            FOOTER,
            RELAXED,
            ["lines were added at the end", "____________", "Unsubscribe"],
        ),
        (b"-- \r\nAnn\r\n\r\n\r\n", FOOTER, SIMPLE, ["lines were added at the end", "Unsubscribe"]),
        (b"Hello", b"[External mail]\r\nHello", RELAXED, ["lines were put on top", "[External mail]"]),
        (b"Bob,\r\n", b"Bob,  \r\n", SIMPLE, []),  # the message itself has blanks at an end that must stay
        (b"-- \r\nAnn", b"..-- \r\nAnn", RELAXED, []),
        (b"Subject: a", b"Subject: [sne] a", RELAXED, ["header: '[sne]' was put into Subject:"]),
        (b"Subject: a", b"Subject: Re: [sne] a", RELAXED, []),
        (b"of\r\n\tsig", b"of sig", SIMPLE, ["header: subject was unfolded", "with a tab"]),
        (b"of\r\n\tsig", b"of\r\n sig", SIMPLE, ["header: subject was folded anew", "with a tab"]),
        (b"To: bob", b"From: eve@x.test\r\nTo: bob", RELAXED, ["header: a field from was added"]),
        (
            b"From: Ann <ann@a.test>",
            b"From: list@l.test\r\nX-Original-From: Ann <ann@a.test>",
            RELAXED,
            ["replaced"],
        ),
        (b"bob@b.test", b"carol@b.test", RELAXED, ["header: changed, and nothing that was tried"]),
        (b"Hello Bob", b"Hello Eve", RELAXED, ["body: changed, and nothing that was tried"]),
    ],
)
def test_one_copy(kind: str, old: bytes, new: bytes, forms: str, words: list[str]) -> None:
    received = signed(forms, kind).replace(old, new)
    (result,) = verified(received)
    assert result.result == "fail"
    told = str(why_broken(result))
    for expected in words or ["nothing that was tried makes its hash fit"]:
        assert expected in told


def test_what_a_list_does() -> None:
    """Subject: gets a mark and the body a footer: both hashes are explained, and proved."""
    received = signed().replace(b"Subject: a", b"Subject: [sne] a") + FOOTER
    (result,) = verified(received)
    assert result.broken == "body and header"
    found = why_broken(result)
    assert [each.part for each in found.explanations] == ["body", "header"] and not found.unexplained


def test_an_encoded_body() -> None:
    message = MESSAGE.partition(b"\r\n\r\n")[0] + "\r\n\r\nJürgen\r\n".encode()
    field = Signer("a.test", "rsa", pair().private_key).sign(message, NOW)
    head, _, body = message.partition(b"\r\n\r\n")
    encoded = quopri.encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    (result,) = verified(field + head + b"\r\n\r\n" + encoded)
    assert "encoded as quoted-printable" in str(why_broken(result))


def test_nothing_to_explain() -> None:
    (result,) = verified(signed())
    assert str(why_broken(result)) == "nothing is broken"
    assert str(why_broken(verified(signed(), "v=DKIM1; p=")[0])) == "nothing is broken"


def test_it_is_bounded() -> None:
    began = time.perf_counter()
    for body in (b"-- \r\n" * 600_000, b"x" * 3_000_000, b" \r\n" * 900_000, b"\r\n>From " * 300_000):
        (result,) = verified(signed().replace(b"Subject: a", b"Subject: [x] b") + body)
        why_broken(result)
    assert time.perf_counter() - began < 6

"""Signing: what is signed verifies; what must not be signed is refused in plain words."""

from __future__ import annotations

import pytest

from labkit.auth.dkim_sign import Signer, SigningError, sign, sign_dual
from labkit.mail.plainly import SaidPlainly
from tests.auth.keys_for_tests import MESSAGE, NOW, pair, verified

FORMS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]


def signer(kind: str = "rsa", **options: object) -> Signer:
    return Signer("a.test", kind, pair(kind).private_key, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("body", [b"", b"\r\n", b"x", b"a b\r\n \t\r\n\r\n", b"\r\n\r\nx \r\n"])
def test_signed_and_verified(kind: str, forms: str, body: bytes) -> None:
    message = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
    for length in (None, "all", 0):
        field = signer(kind, canonicalization=forms, body_length=length).sign(message, NOW)
        assert field.startswith(b"DKIM-Signature: v=1; ") and field.endswith(b"\r\n")
        assert max(map(len, field.split(b"\r\n"))) <= 80
        (result,) = verified(field + message)
        assert result.result == "pass", result.reason
        assert f"{result.signature.header_form}/{result.signature.body_form}" == forms  # type: ignore[union-attr]


def test_two_signatures() -> None:
    """RFC 8463 §3: RSA for all, Ed25519 for who knows it."""
    both = sign_dual(MESSAGE, [signer("rsa"), signer("ed25519")], NOW)
    assert [result.result for result in verified(both + MESSAGE)] == ["pass", "pass"]


def test_one_call() -> None:
    options = {
        "domain": "a.test",
        "selector": "rsa",
        "key": pair().private_pem,
        "now": NOW,
        "expires": NOW + 60,
    }
    field = sign(MESSAGE, **options)  # type: ignore[arg-type]
    assert b"t=1700000000; x=1700000060" in field
    assert verified(field + MESSAGE, now=NOW + 60)[0].result == "pass"
    late = verified(field + MESSAGE, now=NOW + 61)[0]
    assert (late.result, late.broken) == ("policy", "time")
    early = verified(field + MESSAGE, now=NOW - 301)[0]
    assert early.result == "pass" and early.is_early
    assert "t= lies in the future" in early.steps[2].words
    assert not verified(field + MESSAGE, now=NOW - 300)[0].is_early, "clocks differ a little"


def test_no_time_no_tag() -> None:
    field = signer().sign(MESSAGE, None)
    assert b" t=" not in field and verified(field + MESSAGE)[0].result == "pass"


def test_oversigning() -> None:
    """A name signed once more than it comes keeps a second field away, for good (RFC 6376 §8.15)."""
    one = signer(oversign=("from", "subject", "list-id")).sign(MESSAGE, NOW)
    assert b"h=from:from:subject:subject:date:message-id:to:list-id;" in one.replace(b"\r\n\t", b"")
    two = signer(oversign=()).sign(MESSAGE, NOW)
    for field in (b"From: eve@evil.test\r\n", b"Subject: x\r\n", b"List-ID: <x>\r\n"):
        assert verified(one + field + MESSAGE)[0].broken == "header"
        loose = verified(two + field + MESSAGE)[0]
        assert loose.result == "pass"
        assert loose.unsigned_twins == (
            (field[: field.index(b":")].lower().decode(),) if field[0] != 0x4C else ()
        )


def test_repeated_fields_are_taken_bottom_up() -> None:
    message = b"X: 1\r\nX: 2\r\n" + MESSAGE
    field = signer(fields=("from", "x")).sign(message, NOW)
    assert verified(field + message)[0].result == "pass"
    (result,) = verified(field + message)
    assert result.canonical_header.index(b"x:2") < result.canonical_header.index(b"x:1")
    assert verified(field + b"X: 2\r\nX: 1\r\n" + MESSAGE)[0].broken == "header"
    assert verified(field + b"X: 0\r\n" + message)[0].result == "pass", "not named a third time"


def test_length() -> None:
    field = signer(body_length="all").sign(MESSAGE, NOW)
    longer = field + MESSAGE.rstrip() + b"\r\nmore\r\n"
    (result,) = verified(longer)
    assert (result.result, result.not_covered) == ("pass", 6)
    assert "anybody may have put them there" in "\n".join(map(str, result.steps))
    (shorter,) = verified((field + MESSAGE).replace(b"Ann\r\n\r\n\r\n", b""))
    assert (shorter.result, shorter.broken) == ("fail", "body")
    assert shorter.reason == "the body is shorter than l= says"
    with pytest.raises(SigningError, match="more than the"):
        signer(body_length=10_000).sign(MESSAGE, NOW)


def test_identity_is_quoted() -> None:
    field = signer(identity="Ann B;c=jürgen@x.a.test").sign(MESSAGE, NOW)
    assert b"i=Ann=20B=3Bc=3Dj=C3=BCrgen@x.a.test" in field
    (result,) = verified(field + MESSAGE)
    assert (result.result, result.identity) == ("pass", "Ann B;c=jürgen@x.a.test")
    strict = pair().record.replace("v=DKIM1;", "v=DKIM1; t=s;")
    assert verified(field + MESSAGE, strict)[0].result == "permerror"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"fields": ("to",)}, "From: must be among the signed fields"),
        ({"fields": ("from", "a\r\nBcc")}, "is no name of a header field"),
        ({"fields": ("from", "a;b")}, "is no name of a header field"),
        ({"oversign": ("from ; x=1",)}, "is no name of a header field"),
        ({"identity": "eve@evil.test"}, "must end in @a.test"),
        ({"identity": "eve@evila.test"}, "must end in @a.test"),
        ({"canonicalization": "nowsp"}, "a form is simple or relaxed"),
        ({"algorithm": "rsa-sha1"}, "this key signs by rsa-sha256"),
        ({"body_length": -1}, "body_length is a number"),
        ({"expires_after": 0}, "must be valid for a second"),
    ],
)
def test_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(SigningError, match=words) as told:
        signer(**options)
    assert isinstance(told.value, SaidPlainly)


@pytest.mark.parametrize(
    "domain", ["", "a.test\r\nBcc: x", "a b", "a..test", "-a.test", "a.test;x", "a" * 300]
)
def test_no_way_into_the_header(domain: str) -> None:
    for names in ((domain, "s"), ("a.test", domain)):
        with pytest.raises(SigningError):
            Signer(*names, pair().private_key)


@pytest.mark.parametrize("identity", ["a\r\nBcc: x@a.test", "a\n@a.test", "\0@a.test", "a@a.test\r\n@a.test"])
def test_nor_through_the_identity(identity: str) -> None:
    field = signer(identity=identity).sign(MESSAGE, NOW)
    assert b"Bcc: x" not in field and b"\0" not in field
    assert all(line[:1] in (b"\t", b"") for line in field.split(b"\r\n")[1:])


@pytest.mark.parametrize(
    "message, words",
    [
        (MESSAGE.replace(b"From:", b"X-From:"), "no From: field"),
        (MESSAGE.replace(b"\r\n", b"\n"), "line ends other than CR LF"),
        (MESSAGE + b"a\rb", "line ends other than CR LF"),
        (b"nonsense\r\n" + MESSAGE, "a line of the header is no field"),
        (b"", "no From: field"),
    ],
)
def test_messages_that_are_not_signed(message: bytes, words: str) -> None:
    with pytest.raises(SigningError, match=words):
        signer().sign(message, NOW)


def test_times_that_cannot_be() -> None:
    for now, expires in ((NOW, NOW), (NOW, NOW - 1), (-1.0, None), (float("nan"), None), (1e15, None)):
        with pytest.raises(SigningError):
            sign(MESSAGE, domain="a.test", selector="rsa", key=pair().private_key, now=now, expires=expires)


@pytest.mark.parametrize(
    "key, words",
    [
        (b"", "no private key in PEM"),
        (b"nonsense", "no private key"),
        (pair().public_pem, "this is a public key"),
    ],
)
def test_keys_that_are_none(key: bytes, words: str) -> None:
    with pytest.raises(SigningError, match=words):
        Signer("a.test", "s", key)

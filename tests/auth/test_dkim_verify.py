"""Verification: the word and the part for each thing that can be wrong, and the plain door."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth import LookupTimedOut, NoSuchName, verify_dkim
from labkit.auth.dkim_key import KeyRecordError, parse_key_record, public_key
from labkit.auth.dkim_sign import Signer
from labkit.auth.dkim_verify import MAX_SIGNATURES
from labkit.mail.questions import DnsOutcome
from tests.auth.keys_for_tests import FIELD, MESSAGE, NOW, RECORD, pair, rsa_record, verified

WHITE = re.compile(rb"\r\n\t")


def changed(old: bytes, new: bytes) -> bytes:
    flat = WHITE.sub(b" ", FIELD)
    assert old in flat
    return flat.replace(old, new) + MESSAGE


@pytest.mark.parametrize(
    "old, new, result, broken, words",
    [
        (b"v=1; ", b"", "neutral", "signature", "the tag v= is missing"),
        (b"v=1;", b"v=2;", "neutral", "signature", "only version 1 is known"),
        (b"v=1;", b"v=1; v=1;", "neutral", "signature", "comes twice"),
        (b"v=1;", b"v=1;;", "neutral", "signature", "nothing between two semicolons"),
        (b"v=1;", b"nonsense;", "neutral", "signature", "no tag=value pair"),
        (b"a=rsa-sha256", b"a=rsa-sha1", "permerror", "signature", "must not be used any more"),
        (b"a=rsa-sha256", b"a=rsa-sha512", "neutral", "signature", "no algorithm"),
        (b"a=rsa-sha256", b"a=ed25519-sha256", "permerror", "key", "the key is of type rsa"),
        (b"c=relaxed/relaxed", b"c=relaxed/x", "neutral", "signature", "a form is"),
        (b"c=relaxed/relaxed", b"c=/relaxed", "neutral", "signature", "a form is"),
        (b"c=relaxed/relaxed", b"c=relaxed", "fail", "body and header", ""),  # the body in simple form
        (b"d=a.test", b"d=b.test", "fail", "header", ""),
        (b"d=a.test", b"d=", "neutral", "signature", "no name in the DNS"),
        (b"d=a.test", b"d=a..test", "neutral", "signature", "no name in the DNS"),
        (b"d=a.test", b"d=a test", "neutral", "signature", "no name in the DNS"),
        (b"d=a.test", b"d=a.test; i=x@b.test", "permerror", "signature", "is not a.test (d=) or below it"),
        (b"d=a.test", b"d=a.test; i=x@evila.test", "permerror", "signature", "(d=)"),
        (b"d=a.test", b"d=a.test; i=a.test", "neutral", "signature", "i="),
        (b"d=a.test", b"d=a.test; i=@x.A.TEST", "fail", "header", ""),
        (b"d=a.test", b"d=a.test; q=x/y", "neutral", "signature", "only dns/txt is known"),
        (b"d=a.test", b"d=a.test; q=x : dns/txt", "fail", "header", ""),
        (b"d=a.test", b"d=a.test; unknown=7", "fail", "header", ""),
        (b"d=a.test", b"d=a.test; x=1699999999", "neutral", "signature", "not later than t="),
        (b"d=a.test", b"d=a.test; l=1e3", "neutral", "signature", "no number"),
        (b"d=a.test", b"d=a.test; l=-1", "neutral", "signature", "no number"),
        (b"d=a.test", b"d=a.test; l=" + b"9" * 76, "fail", "body and header", ""),
        (b"d=a.test", b"d=a.test; l=" + b"9" * 77, "neutral", "signature", "no number"),
        (b"t=1700000000", b"t=1700000301", "fail", "header", ""),  # the future is no reason to fail
        (b"t=1700000000", b"t=2; x=1", "neutral", "signature", "not later than t="),
        (b"t=1700000000", b"t=2; x=2", "neutral", "signature", "not later than t="),
        (b"t=1700000000", b"t=1; x=1699999999", "policy", "time", "expired"),
        (b"s=rsa;", b"", "neutral", "signature", "the tag s= is missing"),
        (b"s=rsa;", b"s=" + b"x" * 64 + b";", "permerror", "key", "cannot be a name"),
        (b"from:from:", b"", "permerror", "signature", "h= does not name From:"),
        (b"from:from:", b"from::", "neutral", "signature", "no list of field names"),
        (b"from:from:", b"From : FROM :", "fail", "header", ""),
        (b"bh=", b"bh=*", "neutral", "signature", "bh= is not base64"),
        (b" b=", b" b=;x=", "neutral", "signature", ""),
    ],
)
def test_what_is_wrong_with_a_field(old: bytes, new: bytes, result: str, broken: str, words: str) -> None:
    (found,) = verified(changed(old, new), RECORD)
    assert (found.result, found.broken) == (result, broken), found.reason
    assert words in found.reason
    assert found.steps[-1].words == f"{result}: {found.reason}"


@pytest.mark.parametrize(
    "records, result, broken, words",
    [
        (DnsOutcome.TIMEOUT, "temperror", "dns", "may tell it later"),
        (DnsOutcome.SERVFAIL, "temperror", "dns", "server failure"),
        (DnsOutcome.NXDOMAIN, "permerror", "key", "no such name"),
        (DnsOutcome.NODATA, "permerror", "key", "no data"),
        (RECORD, "pass", "", ""),
        (RECORD.replace("v=DKIM1; ", ""), "pass", "", "v= is optional"),
        (RECORD.replace("k=rsa; ", ""), "pass", "", "rsa is the default"),
        (RECORD.replace("; ", " ;\t"), "pass", "", "blanks"),
        (RECORD + ";", "pass", "", "a semicolon at the end"),
        (RECORD + "; g=*; x=y", "pass", "", "unknown tags"),
        (RECORD + "; h=sha1:sha256:new", "pass", "", "one of the hashes"),
        (RECORD + "; s=*", "pass", "", "all services"),
        (RECORD + "; s=tlsrpt:email", "pass", "", "mail among the services"),
        (RECORD + "; t=y:s:z", "pass", "", "flags"),
        (RECORD + "; h=sha1", "permerror", "key", "not for SHA-256"),
        (RECORD + "; s=tlsrpt", "permerror", "key", "not for mail"),
        (RECORD.replace("k=rsa", "k=x"), "permerror", "key", "of type x"),
        (RECORD.replace("k=rsa", "k=ed25519"), "permerror", "key", "of type ed25519"),
        (RECORD.replace("v=DKIM1", "v=DKIM2"), "permerror", "key", "must be DKIM1"),
        (RECORD.replace("v=DKIM1; ", "") + "; v=DKIM1", "permerror", "key", "stand first"),
        (RECORD.replace("p=", "p=*"), "permerror", "key", "not base64"),
        (RECORD.replace("p=M", "p=N"), "permerror", "key", "no RSA public key"),
        (RECORD + "; p=", "permerror", "key", "comes twice"),
        ("v=DKIM1; p=", "permerror", "key", "revoked"),
        ("v=DKIM1", "permerror", "key", "has no p="),
        ("v=spf1 -all", "permerror", "key", "v="),
        ("", "permerror", "key", "has no p="),
        (("v=spf1 -all", RECORD), "pass", "", "each record is tried"),
        ((pair(number=1).record, RECORD), "pass", "", "each key is tried"),
        (("v=DKIM1; p=", pair(number=1).record), "fail", "key", "the best of those that fail"),
    ],
)
def test_what_is_wrong_with_a_key(records: str, result: str, broken: str, words: str) -> None:
    (found,) = verified(FIELD + MESSAGE, records)
    assert (found.result, found.broken) == (result, broken), found.reason
    assert result in ("pass", "fail") or words in found.reason
    assert found.is_testing == (isinstance(records, str) and "t=y" in records)


def test_a_bare_rsa_key() -> None:
    """RFC 6376 §3.6.1 asks for RSAPublicKey; everybody publishes SubjectPublicKeyInfo; both are read."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    bare = pair().private_key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    record = f"p={b64encode(bare).decode()}"
    assert verified(FIELD + MESSAGE, record)[0].result == "pass"


@pytest.mark.parametrize(
    "bits, exponent, words",
    [
        (512, 65537, "has 512 bits; fewer than 1024 must not be accepted"),
        (1023, 65537, "has 1023 bits"),
        (1024, 65537, ""),
        (8192, 3, ""),
        (8200, 65537, "has 8200 bits, more than 8192"),
        (65536, 65537, "larger than 8192 bits"),
        (2048, 65536, "no RSA public key"),
        (2048, 1, "no RSA public key"),
        (2048, (1 << 32) - 1, ""),
        (2048, (1 << 32) + 1, "exponent is not an odd number"),
        (2048, (1 << 1024) + 1, "exponent is not an odd number"),
    ],
)
def test_sizes_of_rsa_keys(bits: int, exponent: int, words: str) -> None:
    record = parse_key_record(rsa_record((1 << (bits - 1)) + 1, exponent))
    if words:
        with pytest.raises(KeyRecordError, match=re.escape(words)):
            public_key(record)
    else:
        assert public_key(record).bits == bits


@pytest.mark.parametrize("size", [0, 31, 33, 44])
def test_sizes_of_ed25519_keys(size: int) -> None:
    record = f"k=ed25519; p={b64encode(b'x' * size).decode()}"
    with pytest.raises(KeyRecordError, match="32 octets" if size else "revoked"):
        public_key(parse_key_record(record))


def test_where_b_stands() -> None:
    """b= goes with the blanks around its value, wherever it stands (RFC 6376 §3.7)."""
    from labkit.auth.dkim_signature import without_b

    for before, after in (
        (b"DKIM-Signature: b=abc; v=1", b"DKIM-Signature: b=; v=1"),
        (b"DKIM-Signature: v=1; b = ab\r\n c ; bh=x", b"DKIM-Signature: v=1; b =; bh=x"),
        (b"DKIM-Signature: v=1; bh=b=; b=abc \r\n", b"DKIM-Signature: v=1; bh=b=; b="),
        (b"DKIM-Signature: v=1; h=from:b=x; \r\n\tb\t=\tabc", b"DKIM-Signature: v=1; h=from:b=x; \r\n\tb\t="),
        (b"DKIM-Signature: v=1; xb=1;b=2;", b"DKIM-Signature: v=1; xb=1;b=;"),
        (b"DKIM-Signature: v=1", b"DKIM-Signature: v=1"),
    ):
        assert without_b(before) == after


def test_its_own_field_is_never_signed() -> None:
    """h= may name DKIM-Signature: another one is meant (RFC 6376 §5.4)."""
    other = Signer("a.test", "ed25519", pair("ed25519").private_key).sign(MESSAGE, NOW)
    outer = Signer(
        "a.test", "rsa", pair().private_key, fields=("from", "dkim-signature"), oversign=("dkim-signature",)
    )
    field = outer.sign(other + MESSAGE, NOW)
    assert [result.result for result in verified(field + other + MESSAGE)] == ["pass", "pass"]
    assert verified(field + MESSAGE)[0].result == "fail"


def test_more_signatures_than_are_looked_at() -> None:
    found = verified(FIELD * 300 + MESSAGE, RECORD)
    assert [result.result for result in found] == ["pass"] * MAX_SIGNATURES + ["neutral"] * (
        300 - MAX_SIGNATURES
    )
    assert found[-1].broken == "limit" and "not evaluated" in found[-1].reason


def test_a_header_that_is_none() -> None:
    """RFC 6376 §3.8: what is no message is no valid input."""
    for message in (FIELD + b"this is no field\r\n" + MESSAGE, FIELD + b": empty\r\n" + MESSAGE):
        (found,) = verified(message, RECORD)
        assert (found.result, found.broken) == ("permerror", "message")
    assert verified(MESSAGE) == () and verified(b"") == ()


def lookup(name: str, rdtype: str) -> list[str]:
    assert (name, rdtype) == ("rsa._domainkey.a.test", "TXT")
    return [RECORD]


def test_the_plain_door() -> None:
    stored = (FIELD + MESSAGE).replace(b"\r\n", b"\n")
    for message in (FIELD + MESSAGE, stored, b"From ann@a.test Mon Jan  1 00:00:00 2024\n" + stored):
        for now in (NOW, datetime.fromtimestamp(NOW, timezone.utc)):
            (result,) = verify_dkim(message, lookup, now)
            assert (result.result, result.domain) == ("pass", "a.test")
    with pytest.raises(ValueError, match="needs a zone"):
        verify_dkim(stored, lookup, datetime(2024, 1, 1))
    for error, result in ((NoSuchName, "permerror"), (LookupTimedOut, "temperror")):

        def fails(name: str, rdtype: str, error: type[Exception] = error) -> list[str]:
            raise error(name)

        assert verify_dkim(stored, fails, NOW)[0].result == result
    assert verify_dkim(stored, lambda name, rdtype: [], NOW)[0].result == "permerror"


PARTS = b"b= v=1 a=rsa-sha256 d=a.test s=rsa h=from bh=AAAA b=AAAA c=simple i=@a.test l=1 t=1 x=9 q=dns/txt"
BLANKS = [b" ", b"\t", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\r", b"\n"]
BETWEEN = [b";", b"; ", b"=", b":", b"\0", b"\xff", b"\xc3\xa4", b"DKIM-Signature:", *BLANKS]
PIECES = st.sampled_from([*PARTS.split(b" "), *BETWEEN, b"From: a@a.test\r\n"])


@settings(max_examples=400)
@given(
    st.lists(PIECES, max_size=60).map(b"".join), st.text(alphabet="v=DKIM1;kprsaed25519+/ \0é", max_size=60)
)
def test_nothing_is_raised(message: bytes, record: str) -> None:
    for content in (
        message,
        b"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=AA==; b=AA==;" + message,
    ):
        for result in verified(content, (record, RECORD)):
            assert result.result in ("fail", "neutral", "permerror", "policy", "temperror")
            assert result.reason and result.steps and result.field is not None


@settings(max_examples=300)
@given(st.data())
def test_nothing_is_raised_for_a_damaged_message(data: st.DataObject) -> None:
    message = bytearray(FIELD + MESSAGE)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for result in verified(bytes(message), RECORD):
        assert result.steps[-1].words.startswith(result.result)


@pytest.mark.parametrize(
    "old, new, result",
    [
        (b"\r\nFrom: ", b"\r\nFrom : ", "pass"),  # obsolete, and relaxed form forgives it
        (b"\r\nFrom: ", b"\r\nFrom\r\n : ", "permerror"),  # for other programs the header ends here
        (b"\r\nFrom: ", b"\r\nFrom \r\n\t\r\n : ", "permerror"),
        (b"\r\nFrom: ", b"\r\nX : y\r\nFrom:\r\n ", "pass"),
    ],
)
def test_the_colon_stands_in_the_first_line(old: bytes, new: bytes, result: str) -> None:
    assert old in b"\r\n" + MESSAGE
    (found,) = verified(FIELD.removesuffix(b"\r\n") + (b"\r\n" + MESSAGE).replace(old, new), RECORD)
    assert found.result == result, found.reason
    assert result == "pass" or (found.broken == "message" and "is no field: 'From" in found.reason)

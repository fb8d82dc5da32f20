"""dkimpy signs and labkit verifies, labkit signs and dkimpy verifies; then something changes, and both say the same.

EXPLAINED  where dkimpy and labkit differ, the RFC decides, and DIFFERENCES shows each case. What is generated here
           has none of them.
HOW MANY   a few hundred messages; LABKIT_THOROUGH=1 makes it thousands.
"""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.auth.canonical import canonical_body, cut
from labkit.auth.dkim_sign import Signer
from labkit.auth.dkim_signature import header_input
from tests.auth.keys_for_tests import NOW, pair, verified

dkim = pytest.importorskip("dkim")
EXAMPLES = 2500 if os.environ.get("LABKIT_THOROUGH") == "1" else 80
FORMS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]

white = st.text(alphabet=" \t", max_size=3).map(str.encode)
fold = st.sampled_from([b"\r\n ", b"\r\n\t", b"\r\n  \t", b" \r\n\t"])
word = st.text(alphabet='abcXYZ09:;=<>@.[]()"äé', min_size=1, max_size=8).map(str.encode)
odd = st.sampled_from([b"\xff", b"\x01", b"b=", b"x\x0by", b"."])
piece = st.one_of(word, word, white, fold, odd)
value = st.builds(lambda parts, end: b"".join(parts) + end, st.lists(piece, max_size=8), word)
name = st.sampled_from(
    ["Subject", "To", "Cc", "Date", "X-a", "SUBJECT", "Received", "References", "List-ID", "Comments"]
)
field = st.builds(lambda n, w, v: n.encode() + b":" + w + v + b"\r\n", name, white, value)
line = st.one_of(word, white, st.just(b""), st.sampled_from([b".", b"..", b"-- ", b"\xff\x00", b"From x"]))
body = st.lists(st.builds(lambda parts: b"".join(parts), st.lists(line, max_size=4)), max_size=8).map(
    b"\r\n".join
)
end = st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"\r\n \r\n\t\r\n"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    fields = draw(st.lists(field, max_size=6))
    fields.insert(draw(st.integers(0, len(fields))), b"From: " + draw(value) + b"\r\n")
    text = draw(body) + draw(end)
    last = text.rpartition(b"\r\n")[2]
    assume(last == last.rstrip(b" \t"))  # DIFFERENCES: blanks at an end without line end
    return b"".join(fields) + b"\r\n" + text


def dkimpy_accepts(message: bytes, kind: str, record: str = "") -> bool:
    """dkim.verify tells False for what it cannot read; some messages make it raise other exceptions."""
    try:
        return bool(
            dkim.verify(message, dnsfunc=lambda name, timeout=5: (record or pair(kind).record).encode())
        )
    except Exception:
        return False


def dkimpy_signs(message: bytes, kind: str, forms: str, length: bool) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = pair(kind).private_key
    if kind == "rsa":
        key = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    else:
        key = base64.b64encode(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    signed: bytes = dkim.sign(
        message,
        kind.encode(),
        b"a.test",
        key,
        canonicalize=tuple(forms.encode().split(b"/")),
        signature_algorithm=f"{kind}-sha256".encode(),
        length=length,
    )
    return signed


CHANGES = [
    (b" ", b"  "),
    (b" ", b"\t"),
    (b"  ", b" "),
    (b"\r\n\t", b"\r\n "),
    (b"\r\n ", b" "),
    (b": ", b":"),
]
CHANGES += [
    (b"Subject", b"subject"),
    (b"To:", b"Cc:"),
    (b"a", b"b"),
    (b"x", b"X"),
    (b"\r\n\r\n", b"\r\n\r\nx\r\n"),
]
changes = st.sampled_from(CHANGES)
kinds, forms_of, yes = st.sampled_from(["rsa", "ed25519"]), st.sampled_from(FORMS), st.booleans()


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages(), kinds, forms_of, yes, yes)
def test_signed_here(message: bytes, kind: str, forms: str, length: bool, oversign: bool) -> None:
    signer = Signer(
        "a.test",
        kind,
        pair(kind).private_key,
        canonicalization=forms,
        body_length="all" if length else None,
        oversign=("from", "subject", "x-a") if oversign else (),
        fields=("from", "subject", "to", "x-a", "references", "received"),
    )
    signed = signer.sign(message, NOW) + message
    (result,) = verified(signed)
    assert result.result == "pass", result.reason
    assert dkimpy_accepts(signed, kind)


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages(), kinds, forms_of, yes)
def test_signed_there(message: bytes, kind: str, forms: str, length: bool) -> None:
    signed = dkimpy_signs(message, kind, forms, length) + message
    assert dkimpy_accepts(signed, kind)
    (result,) = verified(signed, now=4e9)
    assert result.result == "pass", result.reason


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages(), kinds, forms_of, st.data())
def test_changed_on_the_way(message: bytes, kind: str, forms: str, data: st.DataObject) -> None:
    """Blanks, folding, letters: whether the signature survives, both say alike."""
    signer = Signer(
        "a.test", kind, pair(kind).private_key, canonicalization=forms, fields=("from", "subject", "to")
    )
    own = signer.sign(message, NOW)
    changed, (old, new) = message, data.draw(changes)
    count = changed.count(old)
    assume(count)
    parts = changed.split(old)
    place = data.draw(st.integers(1, count))
    changed = old.join(parts[:place]) + new + old.join(parts[place:])
    assume(
        changed.partition(b"\r\n\r\n")[0].lower().count(b"\r\nfrom:") + changed.lower().startswith(b"from:")
        <= 1
    )
    last = changed.rpartition(b"\r\n")[2]
    assume(last == last.rstrip(b" \t"))
    theirs = dkimpy_accepts(own + changed, kind)
    (result,) = verified(own + changed)
    assert (result.result == "pass") == theirs, result.reason


PLAIN = b"From: a@a.test\r\nSubject: x\r\n\r\n"


def signed_by(message: bytes, **options: object) -> bytes:
    return Signer("a.test", "rsa", pair().private_key, **options).sign(message, NOW) + message  # type: ignore[arg-type]


def signed_as(tags: str, message: bytes = PLAIN, a: str = "rsa-sha256") -> bytes:
    """A signature whose tags are as given, with B and BH for what is computed: no signer writes such a field."""
    algorithm = hashes.SHA1() if a == "rsa-sha1" else hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(canonical_body(cut(message).body, "relaxed"))
    text = tags.replace("BH", base64.b64encode(digest.finalize()).decode())
    field = f"DKIM-Signature: v=1; a={a}; c=relaxed/relaxed; d=a.test; s=rsa; {text}".encode()
    names = tuple(tags.partition("h=")[2].partition(";")[0].split(":"))
    octets = header_input(cut(message), names, "relaxed", field.replace(b"b=B", b"b="))
    made = pair().private_key.sign(octets, PKCS1v15(), algorithm)  # type: ignore[call-arg, arg-type]
    return field.replace(b"b=B", b"b=" + base64.b64encode(made)) + b"\r\n" + message


STRICT = pair().record.replace("k=rsa", "t=s; k=rsa")
DIFFERENCES = [
    ("RFC 6376 §3.4.4: blanks at the end of the last line go", signed_by(PLAIN + b"a \t"), "pass", False),
    (
        "RFC 6376 §5.4.2: a From: too many is not signed; it is shown as unsigned_twins",
        b"From: b@b.test\r\n" + signed_by(PLAIN + b"a\r\n", oversign=()),
        "pass",
        False,
    ),
    (
        "RFC 5322 §4.5.8: blanks before the colon",
        signed_by(PLAIN.replace(b"Subject:", b"Subject :")),
        "pass",
        False,
    ),
    ("RFC 6376 §3.4.2: a form feed is no blank", signed_by(PLAIN.replace(b"x", b"x\f")), "pass", False),
    ("RFC 6376 §3.7: blanks around b= go with it", signed_as("h=from; bh=BH; b=B ; t=1"), "pass", False),
    ("RFC 6376 §3.5: l= is within the body", signed_as("h=from; bh=BH; l=9; b=B"), "fail", True),
    ("RFC 6376 §5.4: From: must be signed", signed_as("h=subject; bh=BH; b=B"), "permerror", True),
    ("RFC 8301 §3.1: rsa-sha1 is over", signed_as("h=from; bh=BH; b=B", a="rsa-sha1"), "permerror", True),
    ("RFC 6376 §3.6.1: t=s", signed_as("h=from; i=@x.a.test; bh=BH; b=B"), "permerror", True),
]


@pytest.mark.parametrize("because, message, ours, theirs", DIFFERENCES, ids=range(len(DIFFERENCES)))
def test_explained(because: str, message: bytes, ours: str, theirs: bool) -> None:
    strict = "t=s" in because
    assert verified(message, STRICT if strict else None)[0].result == ours, because
    assert dkimpy_accepts(message, "rsa", STRICT if strict else "") is theirs, because

"""Pairs of keys: what is published, what is kept, and that openssl agrees."""

from __future__ import annotations

import subprocess
from base64 import b64decode
from pathlib import Path

import dns.zone
import pytest

from labkit.auth.dkim_key import parse_key_record, public_key
from labkit.auth.dkim_sign import Signer
from labkit.lab.keys import KeyMistake, KeyPair, make_pair, zone_line
from tests.auth.keys_for_tests import MESSAGE, NOW, pair, verified


@pytest.mark.parametrize("kind, bits", [("rsa", 1024), ("rsa", 2048), ("ed25519", 256)])
def test_the_record_is_the_key(kind: str, bits: int) -> None:
    made = pair(kind, bits)
    assert made.bits == bits
    assert public_key(parse_key_record(made.record)).bits == bits
    again = KeyPair.read(made.private_pem)
    assert (again.record, again.public_pem, again.bits) == (made.record, made.public_pem, bits)
    assert "PRIVATE" not in repr(made) and "private" not in repr(made)


@pytest.mark.parametrize("kind, bits", [("rsa", 2048), ("rsa", 4096), ("ed25519", 256)])
def test_the_line_for_the_zone(kind: str, bits: int) -> None:
    """dnspython reads the line, and the strings joined are the record; none is longer than 255 octets."""
    made = pair(kind, bits) if bits < 4096 else make_pair(kind, bits)
    for ttl in (None, 300):
        text = f"$TTL 60\n@ IN SOA a b 1 1 1 1 1\n@ IN NS a\n{made.zone_line('s2026', ttl)}\n"
        zone = dns.zone.from_text(text, origin="a.test.", check_origin=False)
        (data,) = zone.find_rdataset("s2026._domainkey", "TXT")
        assert b"".join(data.strings).decode() == made.record
        assert max(map(len, data.strings)) <= 255


def test_two_keys_differ() -> None:
    assert make_pair("ed25519").record != make_pair("ed25519").record


@pytest.mark.parametrize(
    "kind, bits, words",
    [
        ("dsa", 1024, "no kind of DKIM key"),
        ("rsa", 512, "1024 to 8192 bits"),
        ("rsa", 16384, "1024 to 8192"),
        ("rsa", 2047, "multiple of 8"),
    ],
)
def test_keys_that_are_not_made(kind: str, bits: int, words: str) -> None:
    with pytest.raises(KeyMistake, match=words):
        make_pair(kind, bits)


def test_warnings() -> None:
    assert "2048" in pair(bits=1024).warning and not pair(bits=2048).warning
    assert "Ed25519" in pair("ed25519").warning


@pytest.mark.parametrize("selector", ["", "a b", "a\n", "-a", 'a"', "a;b", "ä"])
def test_selectors_that_are_none(selector: str) -> None:
    with pytest.raises(KeyMistake, match="is no selector"):
        zone_line(selector, "v=DKIM1; p=")


def test_a_record_that_is_none() -> None:
    with pytest.raises(KeyMistake, match="printable"):
        zone_line("s", "v=DKIM1\n")
    assert zone_line("s", 'n="x"; p=') == 's._domainkey IN TXT "n=\\"x\\"; p="'


def openssl(*arguments: object, text: bytes = b"") -> bytes:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=text, capture_output=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.needs("openssl")
class TestOpenSsl:
    def test_reads_what_is_made_here(self, tmp_path: Path) -> None:
        for made in (pair(bits=2048), pair("ed25519")):
            file = tmp_path / "key.pem"
            file.write_bytes(made.private_pem)
            assert openssl("pkey", "-in", file, "-pubout") == made.public_pem

    @pytest.mark.parametrize("traditional", [False, True])
    def test_makes_what_signs_here(self, traditional: bool, tmp_path: Path) -> None:
        file = tmp_path / "key.pem"
        pem = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        if traditional:
            file.write_bytes(pem)
            pem = openssl("rsa", "-in", file, "-traditional")
            assert b"BEGIN RSA PRIVATE KEY" in pem
        read = KeyPair.read(pem)
        field = Signer("a.test", "s", pem).sign(MESSAGE, NOW)
        assert verified(field + MESSAGE, read.record)[0].result == "pass"
        der = openssl("pkey", "-pubout", "-outform", "DER", text=pem)
        assert b64decode(read.record.partition("p=")[2]) == der

    def test_an_ed25519_key(self) -> None:
        pem = openssl("genpkey", "-algorithm", "ED25519")
        read = KeyPair.read(pem)
        assert (
            b64decode(read.record.partition("p=")[2])
            == openssl("pkey", "-pubout", "-outform", "DER", text=pem)[-32:]
        )
        field = Signer("a.test", "s", pem).sign(MESSAGE, NOW)
        assert verified(field + MESSAGE, read.record)[0].result == "pass"

    def test_signs_and_checks_the_same_octets(self, tmp_path: Path) -> None:
        """`openssl dgst -sha256 -sign` over the canonical header is the very signature."""
        made, key, text = pair(bits=2048), tmp_path / "key.pem", tmp_path / "header"
        key.write_bytes(made.private_pem)
        (result,) = verified(
            Signer("a.test", "s", made.private_key).sign(MESSAGE, NOW) + MESSAGE, made.record
        )
        assert result.result == "pass" and result.signature
        text.write_bytes(result.canonical_header)
        assert openssl("dgst", "-sha256", "-sign", key, text) == result.signature.signature
        assert openssl("dgst", "-sha256", "-binary", text=result.canonical_body) == result.signature.body_hash


@pytest.mark.parametrize("given", [None, 5, ["-----BEGIN PRIVATE KEY-----"]])
def test_what_is_no_text_is_no_key(given: object) -> None:
    with pytest.raises(KeyMistake, match="text of its PEM file"):
        KeyPair.read(given)  # type: ignore[arg-type]

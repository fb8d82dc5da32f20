"""Keys and signatures for stories about DKIM: dkimpy signs, so that neither engine judges its own work.

READ NEXT  stories_dkim.py
"""

from __future__ import annotations

import base64
from functools import cache

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

_RAW = serialization.Encoding.Raw
SIGNED = [b"from", b"to", b"subject", b"message-id"]


@cache
def rsa_key(name: str = "usual", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One for each name, for as long as the tests run: both engines get the same."""
    return rsa.generate_private_key(65537, bits)


@cache
def edwards_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    """A private key as the file has it."""
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if isinstance(key, rsa.RSAPrivateKey)
        else serialization.PrivateFormat.PKCS8
    )
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def published(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    """The p= of a key record."""
    public = key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        octets = public.public_bytes(_RAW, serialization.PublicFormat.Raw)
    else:
        octets = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    return base64.b64encode(octets).decode()


def record(name: str, text: str) -> str:
    """A TXT record in a master file, in strings of at most 200 octets."""
    strings = [text[start : start + 200] for start in range(0, len(text), 200)]
    return f"{name} IN TXT ( {' '.join(f'{chr(34)}{each}{chr(34)}' for each in strings)} )\n"


def signed(
    content: bytes,
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    *,
    selector: str = "one",
    domain: str = "stranger.test",
    fields: list[bytes] = SIGNED,
    canonicalization: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
    identity: str | None = None,
    length: bool = False,
    algorithm: bytes = b"rsa-sha256",
) -> bytes:
    """The message with dkimpy's signature on top. It says no time, so that two of them are equal."""
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey)
    secret = pem(key).encode()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        secret = base64.b64encode(
            key.private_bytes(_RAW, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        )
    signer = _Signer(content, minkey=512, signature_algorithm=b"ed25519-sha256" if is_edwards else algorithm)
    field: bytes = signer.sign(
        selector.encode(),
        domain.encode(),
        secret,
        canonicalize=canonicalization,
        identity=identity.encode() if identity else None,
        include_headers=fields,
        length=length,
    )
    return field + content


class _Signer(dkim.DKIM):  # type: ignore[misc]
    """dkimpy stamps t= from the clock of this machine; the lab has its own."""

    def gen_header(self, fields, *rest, **named):  # type: ignore[no-untyped-def]
        return super().gen_header([each for each in fields if each[0] != b"t"], *rest, **named)

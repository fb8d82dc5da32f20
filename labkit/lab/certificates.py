"""Certificates that one makes oneself: a key, a certificate of one's own, a request, and what the authority answers.

WHAT       `key = make_key()`; `key.self_signed(names)` and `key.request(names)` are what `openssl req` makes.
           `await have_signed(host, request)` lets the lab's authority sign a request, from Python or from openssl.
           `install(host, certificate, key)` puts both onto the host's disk, with the modes that they should have.
DECIDES    the authority signs for who controls the names, and says how it has found out, step by step: the host that
           asks is at the address that the DNS has for the name, or a TXT record at _acme-challenge.NAME has the text
           that belongs to this key. For a star only the record counts.
RULES      keys are random, so they are made here; a key shows its public half only. A certificate is valid now in real
           time, which labkit's own TLS goes by, and at the lab's present, which programs in the lab go by.
STANDARDS  RFC 2986 (requests), RFC 5280; RFC 8555 §8.3, §8.4 (how ACME has control proved; much simpler here)
LIKE       openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr
READ NEXT  authority.py, keys.py
"""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.clock import FIRST_MORNING
from labkit.lab.exim_engine import EximEngine
from labkit.lab.handshakes import pem_certificates
from labkit.lab.host import Host
from labkit.lab.whole_file import replace_file
from labkit.mail.plainly import SaidPlainly
from labkit.mail.questions import AddressesOf, TextOf
from labkit.net.certificate_check import Checked, Step
from labkit.net.certificate_facts import CertificateFacts, read_certificate

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

EC, RSA = "ec", "rsa"
LEAST_BITS, MOST_BITS = 1024, 8192
DAYS = 90
MOST_DAYS = 398  # what the authorities of the web allow at most
MOST_NAMES = 20
LARGEST_REQUEST = 64 * 1024
CERTIFICATE, KEY = "/etc/tls.crt", "/etc/tls.key"
CHALLENGE = "_acme-challenge"
_NAME = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


class CertificateMistake(SaidPlainly, ValueError):
    """Such a key, certificate or request cannot be made or read. The text says why, and what to do."""


class NotSigned(SaidPlainly, PermissionError):
    """The authority does not sign. `checked` has what it asked and found."""

    def __init__(self, words: str, checked: Checked) -> None:
        super().__init__(words)
        self.checked = checked


@dataclass(frozen=True, slots=True)
class TlsKey:
    """A private key for a server. `kind`: "ec" (P-256) or "rsa"."""

    private_key: EllipticCurvePrivateKey | RSAPrivateKey = field(repr=False)
    kind: str
    bits: int

    @property
    def private_pem(self) -> str:
        """The private key as PKCS#8 in PEM: who has it is the server."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(
            "ascii"
        )

    def self_signed(
        self, names: str | Sequence[str], days: int = DAYS, *, begin: datetime | None = None
    ) -> str:
        """A certificate that nobody else vouches for: `openssl req -x509`. Raises CertificateMistake."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        wanted, (start, end) = _names(names), _dates(days, begin)
        name = _common_name(wanted[0])
        builder = (
            x509.CertificateBuilder(name, name, self.private_key.public_key(), x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(_alternative(wanted), critical=False)
        )
        return _text(builder.sign(self.private_key, hashes.SHA256()))

    def request(self, names: str | Sequence[str]) -> str:
        """A signing request for these names: `openssl req -new`. Raises CertificateMistake."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        wanted = _names(names)
        builder = x509.CertificateSigningRequestBuilder(_common_name(wanted[0]))
        asked = builder.add_extension(_alternative(wanted), critical=False)
        return _text(asked.sign(self.private_key, hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class Issued:
    """What the authority has signed. `pem`: the certificate, then the authority's own. `checked`: how it knew."""

    pem: str
    names: tuple[str, ...]
    begin: datetime
    end: datetime
    checked: Checked


def make_key(kind: str = EC, bits: int = 2048) -> TlsKey:
    """A new key: EC P-256, or RSA with so many bits. Raises CertificateMistake."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if kind == EC:
        return TlsKey(ec.generate_private_key(ec.SECP256R1()), EC, 256)
    if kind != RSA:
        raise CertificateMistake(f"{kind!r} is no kind of key: there are 'ec' and 'rsa'")
    if not LEAST_BITS <= bits <= MOST_BITS or bits % 8:
        raise CertificateMistake(f"an RSA key has {LEAST_BITS} to {MOST_BITS} bits; 2048 is what to choose")
    return TlsKey(rsa.generate_private_key(65_537, bits), RSA, bits)


def read_key(pem: str | bytes) -> TlsKey:
    """A key that openssl made. Raises CertificateMistake."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, None)
    except TypeError:
        raise CertificateMistake(
            "the key is encrypted, and a server has nobody to type its password: make it with -nodes"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateMistake("this is no private key: -----BEGIN PRIVATE KEY-----") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return TlsKey(key, EC, key.key_size)
    if isinstance(key, rsa.RSAPrivateKey):
        return TlsKey(key, RSA, key.key_size)
    raise CertificateMistake("a server's key is EC or RSA; this is another kind")


def facts_of(pem: str) -> tuple[CertificateFacts, ...]:
    """What stands in the certificates of a PEM file. Raises CertificateMistake."""
    try:
        return tuple(read_certificate(each) for each in pem_certificates(pem.encode("utf-8", "replace")))
    except ValueError as problem:
        raise CertificateMistake(f"this holds no certificate that can be read: {problem}") from None


# --- the authority ----------------------------------------------------------------------------


def challenge(request: str | bytes) -> str:
    """The text that a TXT record at _acme-challenge.NAME must have: it belongs to the request's key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _read(request).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return urlsafe_b64encode(sha256(public).digest()).decode().rstrip("=")


async def have_signed(
    host: Host, request: str | bytes, days: int = DAYS, *, begin: datetime | None = None
) -> Issued:
    """Ask the lab's authority from that host. Raises NotSigned, CertificateMistake."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    asked = _read(request)
    names = _asked_names(asked)
    start, end = _dates(days, begin, host.world.now())
    key = asked.public_key()
    steps = [_step("Has who asks the key?", "the request is signed with it", asked.is_signature_valid)]
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise CertificateMistake("the authority signs for EC and RSA keys")
    strong = isinstance(key, ec.EllipticCurvePublicKey) or key.key_size >= 2048
    steps.append(_step("Is the key strong?", f"{key.key_size} bits", strong))
    for name in names if all(step.is_good for step in steps) else ():
        steps.append(await _controls(host, name, challenge(request)))
    checked = Checked(tuple(steps))
    if not checked.is_good:
        raise NotSigned(f"the authority does not sign this: {checked.reason}", checked)
    pem = host.world.authority.sign(key, names, start, end).decode("ascii")
    return Issued(pem, names, start, end, checked)


def _step(question: str, found: str, is_good: bool) -> Step:
    return Step(question, found if is_good else f"no: not true that {found}", is_good, "RFC 2986 §3")


async def _controls(host: Host, name: str, text: str) -> Step:
    """Whether who asks controls the name: by address, or by what he could write into the DNS."""
    world = host.world
    base = name.removeprefix("*.")
    written = await world.ask(TextOf(f"{CHALLENGE}.{base}"))
    if text in written.records:
        found = f"{CHALLENGE}.{base} has the text of this key"
        return Step(f"Does {host.name} control {name}?", found, True, "RFC 8555 §8.4")
    question = f"Does {host.name} control {name}?"
    if name != base:
        words = f"for a star there must be a TXT record {CHALLENGE}.{base} with {text}"
        return Step(question, words, False, "RFC 8555 §8.4; RFC 9525 §6.3")
    addresses = (await world.ask(AddressesOf(base))).records
    if host.address in addresses:
        return Step(question, f"yes: the DNS has {host.address} for it", True, "RFC 8555 §8.3")
    there = (
        f"the DNS has {', '.join(addresses)} for {name}"
        if addresses
        else f"the DNS has no address for {name}"
    )
    words = f"{there}, and who asks is {host.address}; no TXT record {CHALLENGE}.{base} either"
    return Step(question, words, False, "RFC 8555 §8.3")


# --- onto the disk ----------------------------------------------------------------------------


def install(
    host: Host,
    certificate: str,
    key: TlsKey | str,
    *,
    certificate_file: str = CERTIFICATE,
    key_file: str = KEY,
) -> tuple[Path, Path]:
    """Write both onto the host's disk: the key is for its owner alone, or the group of a real Exim that root started.

    A running MTA uses them from its next connection on. Raises ValueError for a path with `..`, OSError.
    """
    secret = key if isinstance(key, str) else key.private_pem
    files = (
        _write(host, certificate_file, certificate, 0o644),
        _write(host, key_file, secret, 0o600),
    )
    if isinstance(host.engine, EximEngine):
        user = host.world.programs.user
        for file in files if user is not None else ():
            os.chown(file, -1, user[1] if user else -1)
            file.chmod(file.stat().st_mode | 0o040)
    return files


def _write(host: Host, name: str, text: str, mode: int) -> Path:
    path = host.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode("ascii"), mode)
    return path


async def renew(host: Host, key: TlsKey, names: str | Sequence[str], days: int = DAYS) -> Issued:
    """Have a new certificate signed for the same key, and put it in the place of the old one. Raises as they do."""
    issued = await have_signed(host, key.request(names), days)
    install(host, issued.pem, key)
    return issued


# --- what stands in them ----------------------------------------------------------------------


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(each.lower().rstrip(".") for each in ([names] if isinstance(names, str) else names))
    return tuple(_checked_names(wanted))


def _checked_names(names: Sequence[str]) -> Iterator[str]:
    if not 0 < len(names) <= MOST_NAMES:
        raise CertificateMistake(f"a certificate is for one host name at least, and {MOST_NAMES} at most")
    for name in names:
        if len(name) > 253 or _NAME.fullmatch(name) is None:
            raise CertificateMistake(
                f"{name!r:.80} is no host name: letters, digits, hyphens, dots; or *.domain"
            )
        yield name


def _dates(
    days: int, begin: datetime | None, lab_time: datetime = FIRST_MORNING
) -> tuple[datetime, datetime]:
    if not 0 < days <= MOST_DAYS:
        raise CertificateMistake(f"{days} days: a certificate is valid for 1 to {MOST_DAYS} days")
    if begin is not None:
        return begin, begin + timedelta(days=days)
    now = datetime.now(timezone.utc)
    return min(now, lab_time) - timedelta(minutes=5), max(now, lab_time) + timedelta(days=days)


def _read(request: str | bytes) -> x509.CertificateSigningRequest:
    from cryptography import x509

    octets = request.encode("utf-8", "replace") if isinstance(request, str) else request
    try:
        if len(octets) > LARGEST_REQUEST:
            raise ValueError("too large")
        return x509.load_pem_x509_csr(octets)
    except ValueError:
        words = (
            "this is no signing request: -----BEGIN CERTIFICATE REQUEST-----; make one with openssl req -new"
        )
        raise CertificateMistake(words) from None


def _asked_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """The names in the request's subjectAltName; the common name counts for nothing (RFC 9525 §2)."""
    from cryptography import x509

    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = found.get_values_for_type(x509.DNSName)
    except Exception:  # none, or one of many kinds of broken ones
        names = []
    if not names:
        words = 'the request has no subjectAltName: openssl req -new … -addext "subjectAltName = DNS:mx.example.test"'
        raise CertificateMistake(words)
    return _names(names)


def _common_name(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(names: Sequence[str]) -> x509.SubjectAlternativeName:
    from cryptography import x509

    return x509.SubjectAlternativeName([x509.DNSName(each) for each in names])


def _text(signed: x509.Certificate | x509.CertificateSigningRequest) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return signed.public_bytes(Encoding.PEM).decode("ascii")

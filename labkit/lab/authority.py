"""The certificate authority of a lab: it vouches for the servers outside, and whoever has its certificate believes it.

WHAT       `Authority(folder).certificate_for("mx.bigmail.test")` gives a file with a chain and a key; `ca` is what a
           client needs to check it. A certificate may also be bad in one way, for who wants to see what a client does.
RULES      keys are made when they are first needed, and stay with the world's folder; only this user may read them.
           What is valid is valid at any lab time and in real time: programs from outside the lab have another clock.
STANDARDS  RFC 5280 (certificates), RFC 9525 §6 (names)
READ NEXT  aiosmtpd_engine.py
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.whole_file import replace_file

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

ON_HOSTS = "/etc/ssl/lab-authority.pem"  # where a host has the authority's certificate
CERTIFICATE = "/etc/ssl/host.pem"  # and where one that the authority has certified has its own, with the key
NAME = "labkit's lab authority"
KINDS = {
    "good": "the lab's authority vouches for it, under the host's name",
    "self-signed": "nobody vouches for it",
    "expired": "it was good once, and its time is over",
    "wrong name": "it is good, for another host",
}
_FROM, _UNTIL = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2049, 12, 31, tzinfo=timezone.utc)
_OVER = datetime(2021, 1, 1, tzinfo=timezone.utc)


class Authority:
    """The authority whose files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"

    def certificate_for(self, host: str, kind: str = "good") -> Path:
        """A file with the certificate (and the authority's) and the key of a host. `kind` is one of KINDS."""
        path = self.folder / f"{host}.{kind.replace(' ', '-')}.pem"
        if not path.exists():
            self.prepare()
            replace_file(path, self._issued(host, kind), 0o600)
        return path

    def prepare(self) -> Path:
        """Make the authority's own key and certificate if they are not there. Returns the certificate's file."""
        if not self.ca.exists():
            from cryptography.hazmat.primitives.asymmetric import ec

            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _signed(NAME, NAME, key.public_key(), key, key.public_key(), is_authority=True)
            replace_file(self.folder / "ca.key", _key_text(key), 0o600)
            replace_file(self.ca, _text(certificate), 0o644)
        return self.ca

    def sign(self, key: PublicKey, names: Sequence[str], begin: datetime, end: datetime) -> bytes:
        """A certificate for somebody else's key, and the authority's own behind it, as PEM.

        Who has the key and whose names these are is for the caller to have found out (certificates.py).
        """
        self.prepare()
        own = self._own_key()
        signed = _signed(names[0], NAME, key, own, own.public_key(), begin=begin, until=end, names=names)
        return _text(signed) + self.ca.read_bytes()

    def _own_key(self) -> ec.EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        own = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        assert isinstance(own, ec.EllipticCurvePrivateKey)
        return own

    def _issued(self, host: str, kind: str) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = f"other.{host}" if kind == "wrong name" else host
        if kind == "self-signed":
            return _text(_signed(name, name, key.public_key(), key, key.public_key())) + _key_text(key)
        own = self._own_key()
        until = _OVER if kind == "expired" else _UNTIL
        certificate = _signed(name, NAME, key.public_key(), own, own.public_key(), until=until)
        return _text(certificate) + self.ca.read_bytes() + _key_text(key)


def _signed(
    subject: str,
    issuer: str,
    key: PublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer_public: ec.EllipticCurvePublicKey,
    *,
    is_authority: bool = False,
    begin: datetime = _FROM,
    until: datetime = _UNTIL,
    names: Sequence[str] = (),
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])

    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in names or (subject,)]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _text(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, bare)

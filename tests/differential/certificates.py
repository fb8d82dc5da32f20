"""A certificate authority for the stories, valid from 2000 to 2100: lab time and real time are both inside."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN, END = datetime(2000, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)
_PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates for hosts."""

    def __init__(self, name: str = "the lab's authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(END)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )

    @property
    def pem(self) -> str:
        """The authority's own certificate: what those who trust it have in a file."""
        return self._certificate.public_bytes(_PEM).decode()

    def certify(self, name: str) -> tuple[str, str]:
        """Certificate and key for a host, as text of PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return certificate.public_bytes(_PEM).decode(), secret.decode()

    def equip(self, folder: Path, name: str) -> None:
        """Write tls.crt and tls.key of a host, and ca.crt, into its /etc."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self.certify(name)
        for file, text in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", self.pem)):
            (folder / file).write_text(text, encoding="ascii")
        (folder / "tls.key").chmod(0o600)

    def trusted(self) -> ssl.SSLContext:
        """A client's context that believes this authority only, and checks the name."""
        return ssl.create_default_context(cadata=self.pem)

"""A certificate that nobody vouches for: what a server shows that has been given none.

LIKE EXIM  it is Exim's last resort, too; subject CN=the host's name, O=the program, C=UK; it holds for two hours
STANDARDS  RFC 7435 (opportunistic security: better than no encryption)
READ NEXT  tls_contexts.py
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

LIFETIME = timedelta(hours=2)
LONGEST_NAME = 64  # RFC 5280, ub-common-name


class SelfSigned:
    """The certificate of one host, made when it is first needed and again when it has grown old."""

    def __init__(self, host_name: str, organisation: str) -> None:
        self.host_name, self.organisation = host_name, organisation
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._until = datetime.min.replace(tzinfo=timezone.utc)

    def file(self) -> Path:
        """A file with the certificate and its key. OpenSSL reads files only; nobody else may read this one."""
        now = datetime.now(timezone.utc)
        if self._folder is None or now + LIFETIME / 4 > self._until:
            self.close()
            self._folder = tempfile.TemporaryDirectory(prefix="labkit-tls-", ignore_cleanup_errors=True)
            self._until = now + LIFETIME
            path = Path(self._folder.name, "own.pem")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(self._made(now))
        return Path(self._folder.name, "own.pem")

    def close(self) -> None:
        """Forget it."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _made(self, now: datetime) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        attributes = (
            (NameOID.COUNTRY_NAME, "UK"),
            (NameOID.ORGANIZATION_NAME, self.organisation),
            (NameOID.COMMON_NAME, self.host_name[:LONGEST_NAME]),
        )
        name = x509.Name([x509.NameAttribute(kind, text) for kind, text in attributes])
        builder = (
            x509.CertificateBuilder(name, name, key.public_key(), int(now.timestamp()))
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + LIFETIME)
        )
        certificate = builder.sign(key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + secret

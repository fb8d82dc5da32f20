"""The client's side of TLS as a delivery wants it: whom to believe, whom to ask for, what to show.

WHAT       `ClientTls` says it in values; `layer()` makes a TlsLayer of them, and `objection` says, when its handshake
           is done, why it must not be used after all.
DECIDES    as Exim with GnuTLS does: SNI is what the configuration names, and the name in the certificate is looked at
           when the handshake is done.
STANDARDS  RFC 9525 §6 (names); Exim specification, section "Configuring an Exim client to use TLS"
READ NEXT  smtp_client.py
"""

from __future__ import annotations

import ssl
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.net.tls import Judge, TlsFailure, TlsLayer
from labkit.net.tls_contexts import TlsUnusable, Wants, client_context

if TYPE_CHECKING:
    from labkit.net.tls_trust import Trust

BAD_CERTIFICATE = "(certificate verification failed): certificate invalid"
BAD_NAME = "(certificate verification failed)"
NO_CERTIFICATE = "(certificate verification failed): certificate not supplied"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """`must`: no good certificate, no mail; `should`: it is looked at, and nothing follows. `name`: "" is any.

    `authorities`: a file or a folder; None: those of this machine. `judge` decides alone, where there is one (DANE): it
    says what is wrong with the certificates, and then there is no mail.
    """

    must: bool = False
    should: bool = False
    name: str = ""
    sni: str = ""
    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    ciphers: str = ""
    judge: Judge | None = None

    def layer(self) -> TlsLayer:
        """Raises TlsUnusable."""
        context = client_context(
            wants=Wants.GOOD if self.must and self.judge is None else Wants.NOTHING,
            authorities=self.authorities,
            checks_name=False,
            certificate=self.certificate,
            key=self.key,
            ciphers=self.ciphers,
        )
        judge = self.judge
        trust = _trust(self.authorities) if self.should and not self.must and judge is None else None
        if trust is not None:
            names = (self.name,) if self.name else ()

            def judge(chain: tuple[bytes, ...]) -> str:
                return trust.judge(chain, names)

        return TlsLayer(context, server_side=False, server_name=self.sni, judge=judge)

    def objection(self, layer: TlsLayer) -> str:
        """Why the other end is not who it should be, "" if nothing speaks against it."""
        if self.judge is not None:
            return layer.judgement if layer.certificates else NO_CERTIFICATE
        if not self.must or not self.name:
            return ""
        from cryptography import x509

        from labkit.net.tls_trust import is_for

        shown = layer.certificates
        return "" if shown and is_for(x509.load_der_x509_certificate(shown[0]), self.name) else BAD_NAME


def in_exims_words(problem: TlsFailure | TlsUnusable) -> str:
    """What Exim's log has behind "TLS session: "."""
    if isinstance(problem, TlsFailure):
        return BAD_CERTIFICATE if problem.of_certificate else f"(gnutls_handshake): {problem}"
    return f"({problem})"


def _trust(authorities: Path | None) -> Trust | None:
    """Whom to believe; None: nobody. Raises TlsUnusable."""
    if authorities is None:
        found = ssl.get_default_verify_paths()
        path = Path(found.cafile or found.openssl_cafile)
        if not path.exists():
            return None
    else:
        path = authorities
    try:
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if each.is_file())
            return _read(b"\n".join(each.read_bytes() for each in files))
        return _trusted(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as problem:
        if authorities is None:
            return None
        raise TlsUnusable(f"{authorities} holds no certificates of authorities: {problem}") from None


@lru_cache(maxsize=8)
def _trusted(path: Path, changed: int) -> Trust:
    """Read once, until the file changes."""
    return _read(path.read_bytes())


def _read(pem: bytes) -> Trust:
    from labkit.net.tls_trust import Trust

    with warnings.catch_warnings():  # this machine's authorities have their oddities
        warnings.simplefilter("ignore")
        return Trust(pem)

"""What TLS layers are made with: contexts for a server and for a client, from files of PEM.

WHAT       `server_context`, `client_context`. TLS 1.2 and 1.3 only; no compression, no renegotiation, no resumption.
RULES      paths are real ones: whoever calls has put them under the host's own root. What cannot be used is a
           TlsUnusable that names the file and says why in one sentence.
STANDARDS  RFC 8996 (nothing older than TLS 1.2), RFC 9325 (recommendations)
READ NEXT  tls_checks.py
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from labkit.mail.plainly import SaidPlainly
from labkit.net.tls import remember_name

_GNUTLS = re.compile(r"(?:NORMAL|PERFORMANCE|LEGACY|PFS|SECURE\d+|SUITEB\d+|NONE|@[A-Z]+)(?:[:,].*)?")
_ONLY = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}


class TlsUnusable(SaidPlainly, ValueError):
    """A file or a list of ciphers that no TLS can be made with."""


class Wants(Enum):
    """What one end wants of the other's certificate."""

    NOTHING = "it is not asked for, or not looked at"
    GOOD_IF_SHOWN = "a client may have none, but a bad one is refused"
    GOOD = "without a good one there is no connection"


def server_context(
    certificate: Path,
    key: Path | None = None,
    *,
    ciphers: str = "",
    wants: Wants = Wants.NOTHING,
    authorities: Path | None = None,
    others: Sequence[tuple[Path, Path | None]] = (),
) -> ssl.SSLContext:
    """For a server that shows `certificate` (a chain, its own first); `key` None: it is in the same file.

    `others`: further ones, for clients that cannot use the first; of two with keys of the same kind the first counts.
    `authorities` (a file, or a folder of hashed names; None: the system's) vouch for clients. Raises TlsUnusable.
    """
    context = _modern(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ciphers)
    for each in (*reversed(others), (certificate, key)):  # OpenSSL keeps the last one of a kind
        _load_own(context, *each)
    context.sni_callback = remember_name
    context.num_tickets = 0
    if wants is not Wants.NOTHING:
        context.verify_mode = ssl.CERT_REQUIRED if wants is Wants.GOOD else ssl.CERT_OPTIONAL
        _load_authorities(context, authorities)
    return context


def client_context(
    *,
    wants: Wants = Wants.GOOD,
    authorities: Path | None = None,
    checks_name: bool = True,
    certificate: Path | None = None,
    key: Path | None = None,
    ciphers: str = "",
) -> ssl.SSLContext:
    """For a client. `wants` GOOD: a server whose certificate is not believed is left; NOTHING: any will do.

    `checks_name`: the certificate must be for the name that the layer is given. `certificate`, `key`: the client's own.
    Raises TlsUnusable.
    """
    context = _modern(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ciphers)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if wants is not Wants.NOTHING:
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = checks_name
        _load_authorities(context, authorities)
    if certificate is not None:
        _load_own(context, certificate, key)
    return context


def check_ciphers(ciphers: str) -> None:
    """Raises TlsUnusable for a list that no TLS can be made with."""
    _modern(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ciphers)


def _modern(context: ssl.SSLContext, ciphers: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    if ciphers:
        _restrict(context, ciphers)
    return context


def _restrict(context: ssl.SSLContext, ciphers: str) -> None:
    """tls_require_ciphers: a list as OpenSSL reads it, or a priority string as GnuTLS does."""
    if _GNUTLS.fullmatch(ciphers.strip()):
        _prioritise(context, ciphers.strip())
        return
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise TlsUnusable(
            f'"{ciphers}" names no cipher: write a list as `openssl ciphers` reads it'
        ) from None


def _prioritise(context: ssl.SSLContext, text: str) -> None:
    """Of a GnuTLS priority string, the versions are obeyed; what else it takes out or puts in cannot be."""
    allowed = set(_ONLY)
    for word in re.split("[:,]", text)[1:]:
        version = word[1:].removeprefix("VERS-")
        if word.startswith("%") or not word:
            continue
        if version in ("ALL", "TLS-ALL"):
            allowed = set(_ONLY) if word.startswith("+") else set()
        elif version in _ONLY:
            allowed = allowed | {version} if word.startswith("+") else allowed - {version}
        elif not word[1:].startswith("VERS-"):
            raise TlsUnusable(f'"{word}" of a GnuTLS priority string is not read: only versions are')
    if not allowed:
        raise TlsUnusable(f'"{text}" leaves neither TLS 1.2 nor TLS 1.3')
    context.minimum_version = min(_ONLY[each] for each in allowed)
    context.maximum_version = max(_ONLY[each] for each in allowed)


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    for path in (certificate, key or certificate):
        try:
            path.open("rb").close()
        except OSError as problem:
            raise TlsUnusable(f"{path} cannot be read: {problem.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise TlsUnusable(
                f"the key in {key or certificate} does not belong to the certificate in {certificate}"
            ) from None
        raise TlsUnusable(
            f"{certificate} and {key or certificate} are no certificate and key: {_why(problem)}"
        ) from None


def _load_authorities(context: ssl.SSLContext, authorities: Path | None) -> None:
    if authorities is None:
        context.set_default_verify_paths()
        return
    try:
        if authorities.is_dir():
            context.load_verify_locations(capath=authorities)
        else:
            context.load_verify_locations(cafile=authorities)
    except ssl.SSLError as problem:
        raise TlsUnusable(f"{authorities} holds no certificates of authorities: {_why(problem)}") from None
    except OSError as problem:
        raise TlsUnusable(f"{authorities} cannot be read: {problem.strerror}") from None


def _why(problem: ssl.SSLError) -> str:
    return (problem.reason or str(problem)).replace("_", " ").lower()

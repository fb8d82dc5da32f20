"""The TLS of a server: what its configuration says becomes a context for one client.

WHAT       `context_for(session, name)`: the certificates, their keys, the ciphers and who must show a certificate, each
           expanded for this client. Files are the host's own: /etc/tls.crt is root/etc/tls.crt.
LIKE EXIM  of several certificates those for the very name that the client wants are preferred (SNI); without
           tls_certificate a self-signed one is shown; what cannot be used is found out by the first client, who hears
           454, and the log says why
UNLIKE     of an RSA and an EC certificate that are both possible a client gets the one that its own list prefers, from
           Exim (GnuTLS) the first
STANDARDS  Exim specification, section "Configuring an Exim server to use TLS"
READ NEXT  server_auth.py
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.eximconf.configuration import Options
from labkit.eximconf.expansion import Env, ForcedFailure, Value
from labkit.eximconf.lists import Match, split_list
from labkit.eximconf.place import Place
from labkit.mail.asking import Asking
from labkit.net.disk import Disk
from labkit.net.tls_contexts import TlsUnusable, Wants, server_context
from labkit.net.tls_selfsigned import SelfSigned

if TYPE_CHECKING:
    from labkit.mta.compiled import Compiled
    from labkit.mta.session import Session

SYSTEM = "system"  # tls_verify_certificates: those that OpenSSL itself knows


ONE_KEY_EACH = "name one key for each certificate, in the same order"


class Unavailable(Exception):
    """There is no TLS for this client; the text is what the log says."""


def is_offered(compiled: Compiled, client: str, env: Env) -> Asking[bool]:
    """tls_advertise_hosts. Of a host of the lab that says nothing about TLS, nobody makes a certificate."""
    main = compiled.configuration.main
    if (
        main.has("tls_certificate")
        or compiled.signs_itself
        or written(main, "tls_advertise_hosts") is not None
    ):
        return (yield from listed(main, "tls_advertise_hosts", client, env, else_=True))
    return False


def is_tls_port(main: Options, port: int) -> bool:
    """Whether TLS begins at once there: tls_on_connect_ports."""
    return port in (main.values.get("tls_on_connect_ports") or ())


def written(main: Options, name: str) -> Place | None:
    """Where the file sets that option."""
    return next((setting.place for row, setting in main.written if row.name == name), None)


def listed(main: Options, name: str, client: str, env: Env, *, else_: bool = False) -> Asking[bool]:
    """Whether the client is in that host list; `else_`: if that cannot be found out."""
    patterns = main.patterns(name)
    if patterns is None:
        return False
    found = yield from patterns.asking(client, env, name=env.variables.get("sender_host_name") or None)
    return found.found if isinstance(found, Match) else else_


def context_for(session: Session, server_name: str = "") -> Asking[ssl.SSLContext]:
    """The context for the client of a session. Raises Unavailable."""
    main, env = session.compiled.configuration.main, session.env
    env.variables["tls_in_sni"] = env.variables["tls_sni"] = server_name
    disk = session.state.answers.files.disk
    certificate = yield from _text(main, "tls_certificate", env)
    key = yield from _text(main, "tls_privatekey", env)
    ciphers = yield from _text(main, "tls_require_ciphers", env)
    wants = yield from _wants(main, session.peer.address, env)
    authorities: Path | None = None
    if wants is not Wants.NOTHING:
        named = yield from _text(main, "tls_verify_certificates", env)
        authorities = path_on(disk, named) if named and named != SYSTEM else None
    try:
        if not certificate:
            own = self_signed(session)
            return server_context(own, ciphers=ciphers, wants=wants, authorities=authorities)
        first, *others = _on_disk(disk, pairs(certificate, key), server_name)
        return server_context(*first, others=others, ciphers=ciphers, wants=wants, authorities=authorities)
    except TlsUnusable as problem:
        words = str(problem).replace(str(disk.root), "") if not disk.is_whole else str(problem)
        files = f"cert={certificate} key={key or certificate}"
        raise Unavailable(f"(cert/key setup: {files}): {words}") from None


def pairs(certificates: str, keys: str) -> list[tuple[str, str]]:
    """Each certificate's file and that of its key: tls_certificate and tls_privatekey are lists in the same order.

    Where no key is named, each is in the file of its certificate: "". Raises TlsUnusable for too few.
    """
    names, key_names = split_list(certificates), split_list(keys)
    if not key_names:
        return [(name, "") for name in names]
    if len(key_names) < len(names):
        raise TlsUnusable(f"out of keys: there are {len(names)} certificates and {len(key_names)} keys")
    return list(zip(names, key_names))


def _on_disk(
    disk: Disk, named: Sequence[tuple[str, str]], server_name: str
) -> Sequence[tuple[Path, Path | None]]:
    found = [(path_on(disk, name), path_on(disk, key) if key else None) for name, key in named]
    if len(found) == 1 or not server_name:
        return found
    from labkit.net.tls_checks import those_for  # loads cryptography

    return those_for(found, server_name)


def self_signed(session: Session) -> Path:
    state = session.state
    if state.own_certificate is None:
        state.own_certificate = SelfSigned(state.primary_hostname, "labkit")
    return state.own_certificate.file()


def path_on(disk: Disk, path: str) -> Path:
    """Where a file of the host really is. Raises TlsUnusable."""
    try:
        return Path(disk.place(path))
    except OSError as problem:
        raise TlsUnusable(f"{path} cannot be read: {problem.strerror}") from None


def _text(main: Options, name: str, env: Env) -> Asking[str]:
    """An option that is expanded; a forced failure is as if it were unset. Raises Unavailable."""
    compiled = main.expansion(name)
    if compiled is None:
        return ""
    outcome = yield from compiled.asking(env)
    if isinstance(outcome, ForcedFailure):
        return ""
    if not isinstance(outcome, Value):
        raise Unavailable(f'(expansion of "{name}"): {outcome.message}')
    return outcome.text.strip()


def _wants(main: Options, client: str, env: Env) -> Asking[Wants]:
    if (yield from listed(main, "tls_verify_hosts", client, env)):
        return Wants.GOOD
    if (yield from listed(main, "tls_try_verify_hosts", client, env)):
        return Wants.GOOD_IF_SHOWN
    return Wants.NOTHING

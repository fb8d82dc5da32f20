"""A TLS handshake of the lab from both sides: what went over the wire, and what the client knows.

WHAT       `await watch_handshake(world, world.laptop, "mx2.st11.sne21.test", 587)` calls, encrypts, says EHLO again and
           QUIT, and gives a `Handshake`: what an eavesdropper has seen of it, and what the client knows: version,
           cipher, certificates, and the check of chain and name in steps.
           `handshakes_in(world.capture(...))` gives those of mail that went by; of these nobody knows the inside.
DECIDES    port 465 begins with TLS, every other with STARTTLS. Without `insists` the client looks at the certificate
           and goes on; with it, it hangs up where the check fails.
STANDARDS  RFC 8446 §2; RFC 3207 §4; RFC 9525
READ NEXT  ../net/tls_seen.py, ../net/certificate_check.py, ../teach/views/handshake.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.capture import Capture
from labkit.lab.host import Host
from labkit.lab.reaching import IMPLICIT_TLS, address_of
from labkit.mail.encryption import Encryption
from labkit.net.certificate_chain import check_chain
from labkit.net.certificate_check import Checked, Step, check_name
from labkit.net.certificate_facts import CertificateFacts, read_certificate
from labkit.net.smtp_client import SmtpConnection
from labkit.net.talk import Talk
from labkit.net.tls_client import ClientTls
from labkit.net.tls_seen import LINE, Seen, seen_of

if TYPE_CHECKING:
    from labkit.lab.laptop import Laptop
    from labkit.lab.world import World

TLS_1_2_ONLY = "NORMAL:-VERS-TLS1.3"


@dataclass(frozen=True, slots=True, repr=False)
class Handshake:
    """One connection. `known`: what the client has agreed on, None if there is no TLS or nobody asked it.

    `inside`: the SMTP lines that only the two ends have read. `trouble`: why the client hung up, "" if it did not.
    """

    client: str
    server: str
    port: int
    name: str
    seen: tuple[Seen, ...]
    known: Encryption | None = None
    chain: tuple[bytes, ...] = field(default=())
    check: Checked | None = None
    inside: tuple[tuple[str, str], ...] = ()
    trouble: str = ""

    def __repr__(self) -> str:
        how = self.known.shown if self.known else "TLS" if self.is_encrypted else "in the clear"
        return f"<{self.client} to {self.server} port {self.port}: {how}>"

    @property
    def is_encrypted(self) -> bool:
        """A ClientHello went by."""
        return any(each.kind != LINE for each in self.seen)

    @property
    def lines_in_clear(self) -> tuple[tuple[str, str], ...]:
        """The SMTP lines that everybody on the way has read: who, and what."""
        return tuple((each.speaker, each.name) for each in self.seen if each.kind == LINE)

    @property
    def certificates(self) -> tuple[CertificateFacts, ...]:
        """What the client was shown, or, in TLS 1.2, what everybody on the way has read."""
        shown = self.chain or next((each.certificates for each in self.seen if each.certificates), ())
        return tuple(_readable(shown))


def _readable(chain: tuple[bytes, ...]) -> Iterator[CertificateFacts]:
    for each in chain:
        try:
            yield read_certificate(each)
        except ValueError:  # whoever made it
            continue


async def watch_handshake(
    world: World,
    caller: Host | Laptop,
    name: str,
    port: int = 587,
    *,
    authorities: Path | None = None,
    insists: bool = False,
    newest: str = "TLS1.3",
) -> Handshake:
    """See above. `authorities`: a PEM file of whom the client believes (the lab's). `newest`: TLS1.2 or TLS1.3.

    Raises LookupError for a name without an address, HostSilent, ConnectionRefusedError, ValueError.
    """
    if newest not in ("TLS1.2", "TLS1.3"):
        raise ValueError(
            f"newest={newest!r}: it is TLS1.2 or TLS1.3; older ones are not spoken any more (RFC 8996)"
        )
    address = address_of(world, name)
    believed = authorities or world.authority.prepare()
    ciphers = TLS_1_2_ONLY if newest == "TLS1.2" else ""
    tls = ClientTls(
        must=insists, should=not insists, name=name, sni=name, authorities=believed, ciphers=ciphers
    )
    before = len(_talks(world, caller, address, port))
    lines: list[tuple[str, str]] = []
    async with world.agenda.hold():
        connection = await SmtpConnection.open(
            world.network,
            caller.address,
            address,
            port,
            caller.name,
            on_line=lambda line: lines.append((line.speaker, line.text)),
            tls=tls if port == IMPLICIT_TLS else None,
        )
        offers = "STARTTLS" in connection.machine.extensions
        if port != IMPLICIT_TLS and offers and connection.machine.is_idle:
            await connection.start_tls(tls)
        known, chain, trouble = (
            connection.encryption,
            connection.certificates,
            connection.machine.broken or "",
        )
        await connection.quit()
    await world.settle()
    talks = _talks(world, caller, address, port)[before:]
    seen = seen_of(talks[-1]) if talks else ()
    read = sum(each.kind == LINE for each in seen)
    return Handshake(
        caller.name,
        world.names().get(address, address),
        port,
        name,
        seen,
        known,
        chain,
        judge(chain, believed, name) if chain else None,
        tuple(lines[read:]) if known else (),
        trouble,
    )


def judge(chain: tuple[bytes, ...], authorities: Path, name: str) -> Checked:
    """The check of a chain (DER) in steps, by the authorities of a PEM file and real time. Raises OSError."""
    return _judged(chain, pem_certificates(authorities.read_bytes()), name)


def judged_pem(chain: str, authorities: str, name: str) -> Checked:
    """The same of texts. Raises ValueError if one holds no certificate."""
    return _judged(pem_certificates(chain.encode()), pem_certificates(authorities.encode()), name)


def _judged(chain: tuple[bytes, ...], authorities: tuple[bytes, ...], name: str) -> Checked:
    """The name is looked at where the chain is good: of a stranger's certificate it proves nothing."""
    found = check_chain(chain, authorities, datetime.now(timezone.utc))
    return found + check_name(chain[0], name) if found.is_good else found


def pem_certificates(text: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM file as DER. Raises ValueError if there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(text))


def handshakes_in(capture: Capture) -> tuple[Handshake, ...]:
    """Of each captured connection that has TLS in it: what an eavesdropper knows."""
    found = []
    for talk in capture.talks:
        seen = seen_of(talk)
        if any(each.kind != LINE for each in seen):
            sni = next((dict(each.facts).get("server name", "") for each in seen if each.facts), "")
            found.append(Handshake(talk.client[0], talk.server[0], talk.server[1], sni, seen))
    return tuple(found)


def _talks(world: World, caller: Host | Laptop, address: str, port: int) -> list[Talk]:
    capture = world.capture(caller.address, address)
    place = (address, port)
    return [talk for talk in capture.talks if talk.server == place and talk.client[0] == caller.address]


__all__ = [
    "LINE",
    "CertificateFacts",
    "Checked",
    "Handshake",
    "Seen",
    "Step",
    "handshakes_in",
    "judge",
    "judged_pem",
    "pem_certificates",
    "watch_handshake",
]

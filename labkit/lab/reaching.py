"""Can one machine reach a port of another, and who is there? What `nc -v` and `openssl s_client` tell.

WHAT       `await knock(world.mine, world.host("mx.bigmail"), 25)`: answered, refused or silent, in which words, after
           how many seconds. `await who_is_there(world.mine, world.relay.host, 587)`: TLS with whoever answers, and what
           his certificate is worth.
DECIDES    who hears nothing waits for WAITS, in lab time: a refusal is known at once, and that tells them apart.
STANDARDS  RFC 9293 §3.5.2 (a refusal is an answer: RST), RFC 3207 (STARTTLS), RFC 9525 (names)
READ NEXT  world.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.lab.host import Host
from labkit.net.network import HostSilent
from labkit.net.smtp_client import SmtpConnection
from labkit.net.tls_client import ClientTls

if TYPE_CHECKING:
    from labkit.lab.laptop import Laptop
    from labkit.lab.world import World

WAITS = 30  # seconds
IMPLICIT_TLS = 465
ANSWERED, REFUSED, SILENT = "answered", "refused", "silent"


@dataclass(frozen=True, slots=True)
class Knock:
    """What came of a call. `words`: the banner, or the operating system's words."""

    caller: str
    host: str
    port: int
    outcome: str
    words: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Shown:
    """Who answered, in TLS. `version` "" if there is none; `objection` "" for a certificate that is good."""

    host: str
    port: int
    name: str
    offers_tls: bool
    version: str
    certificate_of: str
    objection: str
    offers_auth: str  # "", or where: in the clear, inside TLS


async def knock(caller: Host | Laptop, host: Host, port: int = 25) -> Knock:
    """Call that port and hang up: `nc -v -w 30 HOST PORT`. Lab time passes while nothing is heard."""
    world = host.world
    outcome, words, seconds = SILENT, "Connection timed out", WAITS
    try:
        async with world.agenda.hold():
            tls = ClientTls() if port == IMPLICIT_TLS else None
            connection = await SmtpConnection.open(
                world.network, caller.address, host.address, port, caller.name, tls=tls
            )
            await connection.quit()
        outcome, words, seconds = ANSWERED, f"220 {host.name}", 0
    except HostSilent:
        await world.advance(seconds=WAITS)
    except ConnectionRefusedError:
        outcome, words, seconds = REFUSED, "Connection refused", 0
    await world.settle()
    return Knock(caller.name, host.name, port, outcome, words, seconds)


async def who_is_there(world: World, caller: Host | Laptop, name: str, port: int = 587) -> Shown:
    """Ask the DNS for a name as `caller` does, connect there, and look at the certificate that is shown.

    `openssl s_client -starttls smtp -connect NAME:PORT -verify_hostname NAME -CAfile …`; the authority is the lab's.
    Raises LookupError for a name without an address, HostSilent, ConnectionRefusedError.
    """
    address = address_of(world, name)
    trust = ClientTls(should=True, name=name, sni=name, authorities=world.authority.prepare())
    async with world.agenda.hold():
        at_once = trust if port == IMPLICIT_TLS else None
        connection = await SmtpConnection.open(
            world.network, caller.address, address, port, caller.name, tls=at_once
        )
        extensions = connection.machine.extensions
        in_clear = "in the clear" if at_once is None and "AUTH" in extensions else ""
        offers = at_once is not None or "STARTTLS" in extensions
        if at_once is None and offers and connection.machine.is_idle:
            await connection.start_tls(trust)
        inside = "inside TLS" if connection.encryption and "AUTH" in connection.machine.extensions else ""
        found = connection.encryption
        judged = connection.objection
        await connection.quit()
    await world.settle()
    where = world.names().get(address, address)
    if found is None:
        return Shown(where, port, name, offers, "", "", "", in_clear)
    return Shown(where, port, name, offers, found.version, found.peer_name, judged, in_clear or inside)


def address_of(world: World, name: str) -> str:
    """What the DNS says now. Raises LookupError."""
    import dns.name
    import dns.rdatatype

    from labkit.net.dns_lookup import look_up

    found = look_up(world.zones, dns.name.from_text(name), dns.rdatatype.A)
    for rrset in found.answer:
        for record in rrset:
            if record.rdtype == dns.rdatatype.A:
                return str(record.to_text())
    raise LookupError(f"{name} has no address")

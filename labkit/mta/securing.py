"""What makes a client somebody we know: TLS begins, or AUTH is tried.

DOES       answers STARTTLS and AUTH; gives whoever carries the octets the context that TLS begins with.
RULES      when TLS has begun nothing that was said before counts: not the name, not the envelope, not AUTH.
STANDARDS  RFC 3207 §4.2; RFC 8314 §3 (TLS from the start); the log's words are Exim's
READ NEXT  server_tls.py, server_auth.py
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.eximconf.client_name import name_client
from labkit.mail import reply
from labkit.mail.asking import Asking, answer_later
from labkit.mail.encryption import Encryption
from labkit.mail.event import EventKind
from labkit.mail.reply import Reply
from labkit.mta.server_auth import ServerAuth
from labkit.mta.server_tls import Unavailable, context_for, is_offered
from labkit.mta.variables import encrypted
from labkit.smtp.acl import Phase
from labkit.smtp.decisions import Answer, StartTls

if TYPE_CHECKING:
    from labkit.mta.session import Session


class Securing:
    """TLS and AUTH of one session. `can_encrypt`: octets are carried by somebody who can begin TLS."""

    def __init__(self, session: Session, *, can_encrypt: bool = False) -> None:
        self.session = session
        self.can_encrypt = can_encrypt
        self.auth = ServerAuth(session)
        self.encryption: Encryption | None = None

    def offer_tls(self) -> Asking[None]:
        session = self.session
        session.machine.extensions.starttls = (
            self.can_encrypt
            and self.encryption is None
            and (yield from is_offered(session.compiled, session.peer.address, session.env))
        )

    def offer(self) -> Asking[None]:
        """What the next answer to EHLO offers."""
        yield from self.offer_tls()
        yield from self.auth.offer()

    def starttls(self, decision: StartTls) -> Asking[Answer]:
        """A context that cannot be made is better known before the client hears 220."""
        verdict = yield from self.session.judge(Phase.STARTTLS)
        if verdict is not None and not verdict.is_accepted:
            return self.session.answer_of(verdict)
        try:
            yield from context_for(self.session)
        except Unavailable as problem:
            self._log(str(problem))
            return Answer(reply.TLS_UNAVAILABLE)
        return Answer()

    # --- for whoever carries the octets -------------------------------------------------------

    def context(self, server_name: str, begin: Callable[[ssl.SSLContext | None], None]) -> None:
        """Find the context for a client that asks for this name, now or later."""
        asking = context_for(self.session, server_name)

        async def find() -> None:
            try:
                found = await answer_later(self.session.answer_question, asking, self.session.state.hear())
            except Unavailable as problem:
                self._log(str(problem))
                begin(None)
            else:
                begin(found)

        def decide(answer: Reply | None, *, close: bool = False) -> None:
            """A fault of ours."""
            begin(None)

        self.session.intake.later(find(), decide)

    def secured(self, encryption: Encryption) -> None:
        """The handshake is done."""
        session = self.session
        values, machine = session.env.variables, session.machine
        main = session.compiled.configuration.main
        self.encryption = encryption
        machine.secure(remembers_esmtp=main.flag("tls_remember_esmtp"))
        self.auth.forget()
        session.forget_message()
        encrypted(values, encryption)
        values.pop("sender_helo_name", None)
        values["received_protocol"] = machine.protocol()
        name_client(values)

    def not_secured(self, words: str) -> None:
        self._log(f"(SSL_accept): {words}")

    def _log(self, words: str) -> None:
        session = self.session
        client = session.env.variables.get("sender_fullhost") or f"[{session.peer.address}]"
        text = f"TLS error on connection from {client} {words}"
        session.state.note(EventKind.LOGGED, session=session.number, text=text)

"""AUTH at a server: which mechanisms a client is offered, and what is known of one that has proved who it is.

DOES       runs acl_smtp_auth and acl_smtp_mailauth; drives the exchange of an authenticator; sets $authenticated_id,
           $sender_host_authenticated, $authentication_failed, $authenticated_fail_id, $authenticated_sender.
LIKE EXIM  what fails is in the log with the name that was tried, never with the password
STANDARDS  RFC 4954; Exim specification, chapter "SMTP authentication"
READ NEXT  securing.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.asking import Asking
from labkit.mail.event import EventKind
from labkit.mta.server_tls import listed
from labkit.smtp.acl import Phase, Result
from labkit.smtp.auth.coding import undo_xtext
from labkit.smtp.auth.server import Challenge, Exchange, ServerAuthenticator, Step, find, holds
from labkit.smtp.auth.server_mechanisms import exchange
from labkit.smtp.decisions import Answer, AuthAnswered, AuthBegins, AuthWanted

if TYPE_CHECKING:
    from labkit.mta.session import Session


class ServerAuth:
    """The AUTH of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.by: ServerAuthenticator | None = None  # whom the client has satisfied
        self._exchange: Exchange | None = None

    def offer(self) -> Asking[None]:
        """What the next answer to EHLO offers."""
        session = self.session
        main, machine, env = session.compiled.configuration.main, session.machine, session.env
        known = session.compiled.authenticators
        offered: list[ServerAuthenticator] = []
        if known and (yield from listed(main, "auth_advertise_hosts", session.peer.address, env)):
            for each in known:
                if (yield from each.is_offered(env)):
                    offered.append(each)
        machine.extensions.mechanisms = tuple(each.mechanism for each in offered)
        unasked = session.scene.session.auth_unadvertised
        machine.known_mechanisms = tuple(each.mechanism for each in known) if unasked else ()

    def wanted(self, decision: AuthWanted) -> Asking[Answer]:
        return self.session.answer_of((yield from self.session.judge(Phase.AUTH)))

    def begins(self, decision: AuthBegins) -> Asking[Answer]:
        authenticator = find(self.session.compiled.authenticators, decision.mechanism)
        assert authenticator is not None, "the machine has looked"
        self._exchange = exchange(authenticator, self.session.env, self._challenge)
        return (yield from self._answer((yield from self._exchange.begin(decision.data))))

    def answered(self, decision: AuthAnswered) -> Asking[Answer]:
        assert self._exchange is not None
        return (yield from self._answer((yield from self._exchange.answered(decision.line))))

    def _challenge(self) -> str:
        """For CRAM-MD5: process, time and host, which never come together again."""
        around = self.session.state.surroundings
        return (
            f"<{around.next_process()}.{around.now().timestamp():.0f}@{self.session.state.primary_hostname}>"
        )

    def _answer(self, step: Step) -> Asking[Answer]:
        if isinstance(step, Challenge):
            return Answer(step.reply)
        assert self._exchange is not None
        authenticator = self._exchange.authenticator
        judgement = yield from self._exchange.end(step)
        self._exchange = None
        values = self.session.env.variables
        if not judgement.is_accepted:
            if judgement.failed_name:
                values["authenticated_fail_id"] = judgement.failed_name
            words = (
                f"{authenticator.name} authenticator failed for {values['sender_fullhost']}: {judgement.log}"
            )
            self.session.state.note(EventKind.LOGGED, session=self.session.number, text=words)
            return Answer(judgement.reply)
        self.by = authenticator
        values["sender_host_authenticated"] = authenticator.name
        values["received_protocol"] = f"esmtp{'s' * self.session.machine.is_encrypted}a"
        values.pop("authenticated_fail_id", None)
        if judgement.name is not None:
            values["authenticated_id"] = judgement.name
        return Answer(judgement.reply)

    def forget(self) -> None:
        """TLS has begun: what the client proved before, anybody may have said."""
        self.by = self._exchange = None
        for name in ("sender_host_authenticated", "authenticated_id"):
            self.session.env.variables.pop(name, None)

    def sender(self, written: str) -> Asking[Answer | None]:
        """AUTH= on MAIL: believed of a client that has authenticated, or of whom acl_smtp_mailauth says so."""
        session = self.session
        values = session.env.variables
        if written == "<>":
            return None
        sender = undo_xtext(written)
        if sender is None:
            return Answer(reply.INVALID_AUTH)
        verdict = yield from session.judge(Phase.MAILAUTH)
        if verdict is None:
            is_believed, why = self.by is not None, "client not authenticated"
        elif verdict.result is Result.DEFER:
            return session.answer_of(verdict)
        else:
            is_believed, why = verdict.is_accepted, "rejected by ACL"
        if is_believed and self.by is not None:
            is_believed = yield from holds(self.by.mail_auth_condition, session.env)
            why = "server_mail_auth_condition failed"
            if "authenticated_id" in values:
                why += f': authenticated ID="{values["authenticated_id"]}"'
        if is_believed:
            values["authenticated_sender"] = sender
        else:
            words = f"ignoring AUTH={written} from H={values['sender_fullhost']} ({why})"
            session.state.note(EventKind.LOGGED, session=session.number, text=words)
        return None

    @property
    def shown(self) -> str | None:
        """As the log has it after A=: the authenticator, and whom it found."""
        if self.by is None:
            return None
        name = self.session.env.variables.get("authenticated_id", "")
        return f"{self.by.name}:{name}" if name else self.by.name

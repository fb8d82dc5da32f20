"""What one session leaves in the log, in Exim's words: refusals, which are facts, and lines about the connection.

WHAT       `SessionLog`: `refused` for an ACL's verdict, `incident` for what the machine saw, `tell` for any other line.
RULES      the words of a line are made here and nowhere else; who writes the log only leaves out what log_selector
           does not want (`selector`), and which of the logs it goes into (`logs`)
LIKE EXIM  the lines, and which of them name the client with H=
STANDARDS  Exim specification, chapter "Log files"
READ NEXT  session.py
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from labkit.eximconf.log_selector import read_log_selector
from labkit.eximconf.place import Place
from labkit.mail.event import EventKind
from labkit.mail.reply import Reply
from labkit.mta import variables
from labkit.smtp.acl import AclVerdict, Phase, rejected
from labkit.smtp.acl.texts import host_and_ident, printed
from labkit.smtp.incidents import Incident, Refused

if TYPE_CHECKING:
    from labkit.mta.session import Session

BOTH = ("main", "reject")
_COMMANDS = {  # of a fact, as both engines call it
    Phase.PREDATA: "DATA",
    Phase.DATA: "after DATA",
    Phase.CONNECT: "connection",
    Phase.HELO: "EHLO",
    Phase.AUTH: "AUTH",
}
_OF_A_SENDER = (Phase.MAIL, Phase.RCPT, Phase.DATA)


class SessionLog:
    """The log of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._selected = _selected(session.main.text("log_selector"))

    @property
    def client(self) -> str:
        """Who it is, without H=."""
        values = self._session.env.variables
        ident = values.get("sender_ident", "")
        who = values.get("sender_fullhost") or f"[{self._session.peer.address}]"
        return f"{who} U={ident}" if ident else who

    @property
    def named_client(self) -> str:
        return host_and_ident(self._session.env)

    def tell(
        self, text: str, logs: tuple[str, ...] = ("main",), selector: str = "", *, has_id: bool = True
    ) -> None:
        """A line that is no fact about mail. One that log_selector does not want is not even an event.

        `has_id` False: Exim says it before the message has a name.
        """
        session = self._session
        if selector and selector not in self._selected:
            return
        session.state.note(
            EventKind.LOGGED,
            session=session.number,
            queue_id=self._queue_id if has_id else None,
            text=text,
            logs=_shown(logs),
            selector=selector or None,
        )

    def refused(self, verdict: AclVerdict, recipient: str | None) -> None:
        """An ACL has refused."""
        session = self._session
        scene, argument = session.scene, printed(session.machine.command_argument)
        phase = scene.phase
        assert verdict.reply is not None, "a refusal has words"
        if phase is Phase.AUTH:  # what follows is a secret
            argument = argument.partition(" ")[0]
        self._fact(
            Refused(
                verdict.reply,
                verdict.log_text,
                f"AUTH {argument}" if phase is Phase.AUTH else _COMMANDS.get(phase, phase.name),
                self._sender(phase) if phase in _OF_A_SENDER else None,
            ),
            rejected(verdict, scene, argument, self._encryption),
            scene.reject_logs,
            "connection_reject" if phase is Phase.CONNECT else "",
            recipient,
        )
        if verdict.closes:
            self.tell(f"{self._connection} closed by DROP in ACL", selector="smtp_connection")

    def _sender(self, phase: Phase) -> str:
        """Before the message is there the log has it as it was given, whatever verification has rewritten."""
        session = self._session
        envelope = session.machine.envelope
        if phase is not Phase.DATA and envelope is not None and session.scene.memory.has_rewritten_sender:
            return envelope.sender
        return session.env.variables.get("sender_address", "")

    def incident(self, incident: Incident) -> None:
        """The machine has refused or seen something by itself."""
        who = self.named_client if incident.named else self.client
        line = f"{incident.before} {who}{incident.after}"
        logs = BOTH if incident.rejects else ("main",)
        if incident.refused is not None:
            self._fact(incident.refused, line, logs, incident.selector)
        else:
            self.tell(line, logs, incident.selector)

    def refuse(self, reply: Reply, line: str, why: str, command: str, selector: str = "") -> None:
        """The session refuses for a reason of its own."""
        self._fact(Refused(reply, why, command), line, BOTH, selector)

    # --- the end of a session -----------------------------------------------------------------

    def closed(self) -> None:
        self.tell(f"{self._connection} closed by QUIT", selector="smtp_connection")

    def stopped(self) -> None:
        self.tell(f"{self._connection} closed after SIGTERM")

    def lost(self, seconds: int, *, in_transaction: bool, in_content: bool) -> None:
        """The client has gone without QUIT."""
        if in_content:
            self.tell(f"{self._connection} lost while reading message data", selector=_LOST)
        elif in_transaction:
            text = (
                f"unexpected disconnection while reading SMTP command from {self.client} D={_span(seconds)}"
            )
            self.tell(text, selector=_LOST)
        else:
            self.tell(f"{self._connection} lost D={_span(seconds)}", selector="smtp_connection")

    def timed_out(self, *, in_content: bool, sender: str) -> None:
        """The client was silent for too long."""
        if in_content:
            text = f"SMTP data timeout (message abandoned) on connection from {self.client} F=<{sender}>"
        else:
            tls = " TLS" if self._session.machine.is_encrypted else ""
            text = f"SMTP command timeout on{tls} connection from {self.client}"
        self.tell(text, selector=_LOST)

    def no_mail(self, seconds: int) -> None:
        """The session is over, and there was no MAIL in it."""
        session = self._session
        values = session.env.variables
        mechanism, login = values.get("sender_host_authenticated", ""), values.get("authenticated_id", "")
        proved = f" A={mechanism}{f':{login}' if login else ''}" if mechanism else ""
        text = f"no MAIL in SMTP connection from {self.client} D={_span(seconds)}{proved}"
        self.tell(f"{text}{session.machine.history.text}", selector="smtp_no_mail")

    @property
    def _encryption(self) -> str:
        encryption = self._session.securing.encryption
        return encryption.in_log(self._selected) if encryption is not None else ""

    @property
    def _connection(self) -> str:
        return f"SMTP connection from {self.client}"

    @property
    def _queue_id(self) -> str | None:
        return self._session.env.variables.get("message_exim_id") or None

    def _fact(
        self,
        refused: Refused,
        line: str,
        logs: tuple[str, ...],
        selector: str = "",
        recipient: str | None = None,
    ) -> None:
        session = self._session
        if "main" not in logs:  # an ACL's log_reject_target: no fact for whoever reads the main log
            if logs:
                self.tell(line, logs, selector)
            return
        client, name = variables.shown_client(session.env.variables)
        encryption = session.securing.encryption
        session.state.note(
            EventKind.REJECTED,
            queue_id=session.state.new_queue_id() if refused.of_message else self._queue_id,
            command=refused.command,
            sender=refused.sender,
            recipient=recipient,
            cipher=encryption.shown if encryption is not None else None,
            is_verified=encryption.is_verified if encryption is not None else None,
            authenticator=session.securing.auth.shown,
            remote_host=client,
            remote_name=name,
            remote_address=session.peer.address,
            code=refused.reply.code,
            text=refused.why,
            line=line,
            logs=_shown(logs),
            selector=selector or None,
        )


@cache
def _selected(text: str | None) -> frozenset[str]:
    """What the configuration says; it was checked when it was read."""
    return read_log_selector(text, Place("log_selector", 1))


_LOST = "lost_incoming_connection"


def _shown(logs: tuple[str, ...]) -> str | None:
    """As an event has it: None for the main log alone."""
    return None if logs == ("main",) else ",".join(logs)


def _span(seconds: int) -> str:
    """1h2m3s, as Exim writes it."""
    found = ""
    for unit, length in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        count, seconds = divmod(seconds, length)
        found += f"{count}{unit}" if count else ""
    return found + (f"{seconds}s" if seconds or not found else "")

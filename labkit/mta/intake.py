"""Taking mail in: one session for each client, policy by the ACL, 250 only after the disk agrees.

DOES       makes the machine for a caller, answers its decisions, and turns a received message into a queue item.
STANDARDS  RFC 5321 §6.1 (250 takes responsibility), §4.4 (Received)
READ NEXT  delivery_run.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakSet

from labkit.mail import reply
from labkit.mail.asking import answer_later
from labkit.mail.dates import header_date
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.mta.state import SOFTWARE, MtaState
from labkit.mta.surroundings import FROM_OUTSIDE
from labkit.net.network import Peer
from labkit.net.smtp_server import Decide, SmtpServerShell
from labkit.queue.item import Origin, QueueItem
from labkit.smtp.acl import Subject
from labkit.smtp.decisions import Connected, Decision, MessageReceived, RcptTo
from labkit.smtp.server import Server
from labkit.smtp.trace_fields import received_field
from labkit.smtp.transcript import Line


class Intake:
    """The door of one MTA. `on_received(queue_id)` hears of every message that was taken."""

    def __init__(self, state: MtaState, on_received: Callable[[str], None]) -> None:
        self.state = state
        self.sessions: set[SmtpServerShell] = set()
        self.typed: WeakSet[Server] = WeakSet()  # the machines of sessions without a connection
        self._on_received = on_received
        self._session_count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, peer: Peer) -> SmtpServerShell:
        """The server's side of a new connection (what Network.listen wants)."""
        if peer.is_foreign:
            FROM_OUTSIDE.set(True)  # in the context of this connection
        session = Session(self, peer)
        shell = SmtpServerShell(
            session.machine,
            peer,
            session.answer,
            idle_timeout=self.state.compiled.configuration.main.seconds("smtp_receive_timeout"),
            on_end=self.sessions.discard,
        )
        self.sessions.add(shell)
        return shell

    def close(self) -> None:
        """End all sessions, as a daemon that stops does."""
        for machine in tuple(self.typed):
            machine.end(Reply(421, (f"{self.state.primary_hostname}: SMTP service closing",)))
        for shell in tuple(self.sessions):
            shell.close(Reply(421, (f"{self.state.primary_hostname}: SMTP service closing",)))
        for task in tuple(self._tasks):
            task.cancel()

    def next_session(self) -> int:
        self._session_count += 1
        return self._session_count

    def taken(self, item: QueueItem) -> None:
        """The message is on disk: it is ours now."""
        self.state.queue[item.queue_id] = item
        self.state.note(
            EventKind.RECEIVED,
            queue_id=item.queue_id,
            sender=item.envelope.sender,
            remote_host=item.origin.helo_name or None,
            remote_address=item.origin.client_address or None,
            remote_port=item.origin.client_port or None,
            protocol=item.origin.protocol,
            size=item.size,
            message_id=Message.parse(item.content).first("Message-ID"),
        )
        self._on_received(item.queue_id)

    async def take_local(self, envelope: Envelope, content: bytes, login: str, queue_id: str) -> None:
        """Take a message that this host makes itself, or that its account `login` hands in. Raises OSError."""
        state, now = self.state, self.state.surroundings.now()
        trace = received_field(
            client_address="",
            helo_name="",
            by=state.primary_hostname,
            software=SOFTWARE,
            protocol="local",
            envelope=envelope,
            queue_id=queue_id,
            at=now,
            login=login,
        )
        whole = bytes(Message.parse(content).prepend(trace))
        item = QueueItem(queue_id, envelope, whole, now, Origin(protocol="local", login=login))
        await state.make_durable(item)
        self.taken(item)

    def later(self, work: Awaitable[None], decide: Decide) -> None:
        """Do `work`, which decides at its end; whatever goes wrong in it is a temporary local problem."""

        async def guarded() -> None:
            try:
                await work
            except Exception as problem:  # a fault of ours must not leave the client waiting
                self.state.note(EventKind.PROBLEM, text=repr(problem))
                decide(reply.LOCAL_PROBLEM)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Session:
    """One client's session: its machine, and the answers to what the machine asks."""

    def __init__(self, intake: Intake, peer: Peer) -> None:
        self.intake = intake
        self.state = intake.state
        self.peer = peer
        self.number = intake.next_session()
        compiled = self.state.compiled
        self.machine = Server(
            self.state.primary_hostname,
            peer.address,
            compiled.limits,
            qualify_domain=compiled.qualify_domain,
            enforce_sync=compiled.configuration.main.flag("smtp_enforce_sync"),
            on_line=self._heard,
            on_refused=lambda envelope, refusal, why: self._note_refusal(envelope.sender, None, refusal, why),
        )

    def answer(self, decision: Decision, decide: Decide) -> None:
        """Answer one decision of the machine, now or later."""
        if isinstance(decision, Connected):
            decide(self._greet())
        elif isinstance(decision, RcptTo):
            self.intake.later(self._answer_rcpt(decision, decide), decide)
        elif isinstance(decision, MessageReceived):
            self._take(decision, decide)
        else:
            decide(None)

    def _greet(self) -> Reply:
        if self.peer.address.startswith("127."):
            return localhost_refused(self.state.primary_hostname)
        if len(self.intake.sessions) > self.state.compiled.configuration.main.number("smtp_accept_max"):
            return reply.TOO_MANY_CONNECTIONS
        now = header_date(self.state.surroundings.now())
        return Reply(220, (f"{self.state.primary_hostname} ESMTP {SOFTWARE} {now}",))

    async def _answer_rcpt(self, decision: RcptTo, decide: Decide) -> None:
        acl = self.state.compiled.acl_rcpt
        refusal: Reply | None = reply.ADMINISTRATIVE_PROHIBITION  # Exim: without an ACL nobody may send
        acceptance: Reply | None = None
        if acl is not None:
            subject = Subject(
                self.peer.address, self.machine.helo_name, decision.reverse_path, decision.forward_path
            )
            asking = acl.decide(subject, self.state.compiled.here)
            verdict = await answer_later(self.state.answer, asking, self.state.hear())
            refusal, acceptance = verdict.refusal, verdict.acceptance
            for step in verdict.steps:
                verb = step.statement.verb
                text = f"{acl.name}: {verb}: {'applies' if step.applied else 'passed over'}: {step.because}"
                self.state.note(EventKind.ACL_STEP, session=self.number, text=text)
        if refusal is not None:
            sender = "" if decision.reverse_path is None else str(decision.reverse_path)
            self._note_refusal(sender, str(decision.forward_path), refusal)
        decide(refusal or acceptance)

    def _note_refusal(self, sender: str, recipient: str | None, refusal: Reply, why: str = "") -> None:
        self.state.note(
            EventKind.REJECTED,
            sender=sender,
            recipient=recipient,
            remote_host=self.machine.helo_name,
            remote_address=self.peer.address,
            code=refusal.code,
            text=why or refusal.text,
        )

    def _take(self, received: MessageReceived, decide: Decide) -> None:
        """Put the message into the spool, and say 250 when it is on disk."""
        state = self.state
        queue_id = state.new_queue_id()
        now = state.surroundings.now()
        trace = received_field(
            client_address=self.peer.address,
            helo_name=received.helo_name,
            by=state.primary_hostname,
            software=SOFTWARE,
            protocol=received.protocol,
            envelope=received.envelope,
            queue_id=queue_id,
            at=now,
        )
        content = bytes(Message.parse(received.content).prepend(trace))
        origin = Origin(self.peer.address, self.peer.port, received.helo_name, received.protocol)
        item = QueueItem(queue_id, received.envelope, content, now, origin)

        def on_durable(problem: OSError | None) -> None:
            if problem is not None:
                state.note(EventKind.PROBLEM, queue_id=queue_id, text=f"cannot write the spool: {problem}")
                decide(reply.LOCAL_PROBLEM)
                return
            self.intake.taken(item)
            decide(reply.received(queue_id))

        state.spool.accept(item, on_durable)

    def _heard(self, line: Line) -> None:
        self.state.note(
            EventKind.DIALOGUE,
            session=self.number,
            remote_address=self.peer.address,
            speaker=line.speaker,
            text=line.text,
            state=line.state,
        )


def localhost_refused(host: str) -> Reply:
    """A caller without a lab address would count as this very machine in every relay check, so it is sent away."""
    return Reply(
        554,
        (
            f"{host}: you call from 127.0.0.1, which is no host of this lab",
            "To every relay check you would be the server itself.",
            "Call from a laptop: smtplib.SMTP(*host.endpoint(), source_address=laptop.source_address),",
            "or swaks --local-interface, nc -s, with the addresses that ./lab shell prints.",
        ),
    )

"""One client's session with an outside host: a server of our own that follows no configuration.

DOES       takes mail for the domains and mailboxes of its host, refuses all else, misbehaves by the table of faults.
RULES      the journal gets the facts that any MTA gives; 250 is said when the mailbox file is synced.
STANDARDS  RFC 5321 §3.3 (mail transactions), §4.5.1 (postmaster), §6.1 (250 takes responsibility)
READ NEXT  outside_sending.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from labkit.mail import reply
from labkit.mail.dates import header_date
from labkit.mail.event import EventKind
from labkit.mail.message import HeaderField, Message
from labkit.mail.reply import Reply
from labkit.mta import log_details
from labkit.mta.fixups import message_id
from labkit.mta.misbehaving import Misbehaving, refusal_facts
from labkit.mta.queue_id import queue_id as new_queue_id
from labkit.mta.surroundings import FROM_OUTSIDE
from labkit.net.mailboxes import append_to_mbox
from labkit.net.network import Peer
from labkit.net.smtp_server import Decide, SmtpServerShell
from labkit.queue.item import Origin, QueueItem
from labkit.smtp.decisions import (
    Connected,
    DataBegins,
    Decision,
    Goodbye,
    Greeted,
    MailFrom,
    MessageReceived,
    RcptTo,
)
from labkit.smtp.misbehaviour import provoked
from labkit.smtp.server import Server
from labkit.smtp.trace_fields import received_field
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.lab.outside_engine import OutsideEngine

NAME = "outside host"  # of its software
POSTMASTER = "postmaster"
NO_SUCH_MAILBOX = Reply(550, ("no such mailbox here",))


class OutsideSession:
    """One client's session; `shell` is its connection."""

    def __init__(self, engine: OutsideEngine, peer: Peer, number: int) -> None:
        self.engine, self.peer, self.number = engine, peer, number
        self.host, self.world = engine.host, engine.host.world
        self.machine = Server(
            self.host.name, peer.address, qualify_domain=engine.domains[0], on_line=self._heard
        )
        faulty = Misbehaving(
            self.machine,
            self._answer,
            self.world.faults.of(self.host.name, by_address=True),
            sleep=self.world.sleep,
            later=self._later,
            refused=self._refused,
        )
        if peer.is_foreign:
            FROM_OUTSIDE.set(True)  # in the context of this connection
        self.shell = SmtpServerShell(self.machine, peer, faulty.answer, on_end=self._ended)
        faulty.hang_up = self.shell.close
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End it, as a server that stops does."""
        self.shell.close(Reply(421, (f"{self.host.name}: SMTP service closing",)))
        for task in tuple(self._tasks):
            task.cancel()

    def _ended(self, shell: SmtpServerShell) -> None:
        self.engine.sessions.discard(self)

    def _later(self, work: Awaitable[None], decide: Decide) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as problem:  # a fault of ours must not leave the client waiting
                self.world.note(self.host.name, EventKind.PROBLEM, text=repr(problem))
                decide(reply.LOCAL_PROBLEM)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- one answer for each decision ---------------------------------------------------------

    def _answer(self, decision: Decision, decide: Decide) -> None:
        if isinstance(decision, Connected):
            date = header_date(self.world.now())
            decide(Reply(220, (f"{self.host.name} ESMTP {NAME} {date}",)))
        elif isinstance(decision, RcptTo):
            refusal = self._judge(decision)
            if refusal is not None:
                self._refused(decision, refusal)
            decide(refusal)
        elif isinstance(decision, MessageReceived):
            self._take(decision, decide)
        elif isinstance(decision, (Greeted, MailFrom, DataBegins, Goodbye)):
            decide(None)
        else:  # VRFY, EXPN, ETRN
            decide(None)

    def _judge(self, decision: RcptTo) -> Reply | None:
        mailbox = decision.forward_path
        if mailbox.domain.lower() not in self.engine.domains:
            return Reply(550, ("relay not permitted",))
        if self.engine.mailbox_of(mailbox.local_part) is None:
            return NO_SUCH_MAILBOX
        return None

    def _refused(self, decision: Decision, answer: Reply) -> None:
        sender = self.machine.envelope.sender if self.machine.envelope is not None else None
        self.world.note(
            self.host.name,
            EventKind.REJECTED,
            remote_address=self.peer.address,
            remote_host=self.machine.helo_name or None,
            **refusal_facts(decision, answer, sender),
        )

    # --- the message --------------------------------------------------------------------------

    def _take(self, received: MessageReceived, decide: Decide) -> None:
        """Put it into the mailboxes, and say 250."""
        world, host, now = self.world, self.host, self.world.now()
        queue_id = new_queue_id(now, world.next_process())
        trace = received_field(
            client_address=self.peer.address,
            helo_name=received.helo_name,
            by=host.name,
            software=NAME,
            protocol=received.protocol,
            envelope=received.envelope,
            queue_id=queue_id,
            at=now,
        )
        message = Message.parse(received.content).prepend(trace)
        origin = Origin(self.peer.address, self.peer.port, received.helo_name, received.protocol)
        item = QueueItem(queue_id, received.envelope, bytes(message), now, origin)
        try:
            stored = [self._store(item, message, n) for n in range(len(item.envelope.forward_paths))]
        except OSError as problem:
            world.note(host.name, EventKind.PROBLEM, queue_id=queue_id, text=f"no mailbox: {problem}")
            decide(reply.LOCAL_PROBLEM)
            return
        note_received(self.engine, item, message)
        for details in stored:
            world.note(host.name, EventKind.DELIVERED, queue_id=queue_id, **details)
        world.note(host.name, EventKind.COMPLETED, queue_id=queue_id)
        decide(reply.received(queue_id))

    def _store(self, item: QueueItem, message: Message, at: int) -> dict[str, Any]:
        """Into the mailbox of one recipient; returns what the fact says."""
        recipient, sender = item.envelope.forward_paths[at], item.envelope.sender
        account = self.engine.mailbox_of(recipient.local_part)
        assert account is not None, "it was judged"
        fields = (("Envelope-to", str(recipient)), ("Return-path", f"<{sender}>"))
        complete = message
        for name, value in fields:
            complete = complete.prepend(HeaderField.make(name, value))
        append_to_mbox(
            self.host.mailbox_file(account),
            bytes(complete),
            sender,
            item.received_at,
            root=self.host.folder,
            delivery=f"{item.queue_id} {at}",
        )
        return {
            "recipient": str(recipient),
            "became": account,
            "router": "outside",
            "transport": "mailbox",
            "origin": sender,
            "return_path": sender,
        }

    def _heard(self, line: Line) -> None:
        self.world.note(
            self.host.name,
            EventKind.DIALOGUE,
            session=self.number,
            remote_address=self.peer.address,
            speaker=line.speaker,
            text=line.text,
            state=line.state,
        )


def note_received(engine: OutsideEngine, item: QueueItem, message: Message) -> None:
    """The fact that a message was taken."""
    origin = item.origin
    engine.host.world.note(
        engine.host.name,
        EventKind.RECEIVED,
        queue_id=item.queue_id,
        sender=item.envelope.sender,
        remote_host=origin.helo_name or None,
        remote_address=origin.client_address or None,
        remote_port=origin.client_port or None,
        protocol=origin.protocol,
        size=item.size,
        message_id=message_id(message),
        **log_details.of_message(item, message),
    )


def account_of(local_part: str, accounts: tuple[str, ...]) -> str | None:
    """Whose mailbox takes mail for this local part; postmaster's takes what addresses such as x-slow@ get."""
    name = local_part.lower()
    if name in accounts or name == POSTMASTER:
        return name
    return POSTMASTER if provoked(name) is not None else None

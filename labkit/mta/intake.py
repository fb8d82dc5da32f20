"""Taking mail in: one session for each client; 250 only after the disk agrees.

DOES       begins and ends sessions, and writes down every message that was taken.
STANDARDS  RFC 5321 §6.1 (250 takes responsibility), §4.4 (Received)
READ NEXT  session.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

from labkit.eximconf.client_name import name_client
from labkit.mail import reply
from labkit.mail.asking import answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.mta import log_details, variables
from labkit.mta.fixups import message_id
from labkit.mta.local_message import judged
from labkit.mta.misbehaving import Find, Misbehaving, refusal_facts
from labkit.mta.server_tls import is_tls_port
from labkit.mta.session import Session
from labkit.mta.session_end import STOPPED, ended
from labkit.mta.state import MtaState
from labkit.mta.surroundings import FROM_OUTSIDE
from labkit.net.network import Peer
from labkit.net.smtp_server import Decide, SmtpServerShell
from labkit.queue.item import Origin, QueueItem
from labkit.smtp.decisions import Decision
from labkit.smtp.server import Server

IN_SECRET = "taken, but the client was told that it is not"  # control = fakereject or fakedefer


class Intake:
    """The door of one MTA.

    `on_received(queue_id, waits)` hears of every message that was taken, and whether it waits for a queue run;
    `on_turn(text)` of a client that asks for its mail (ETRN).
    """

    def __init__(
        self, state: MtaState, on_received: Callable[[str, bool], None], on_turn: Callable[[str], None]
    ) -> None:
        self.state = state
        self.sessions: set[SmtpServerShell] = set()
        self.typed: WeakSet[Server] = WeakSet()  # the machines of sessions without a connection
        self.on_turn = on_turn
        self.misbehaves: Find | None = None  # the faults of a lab
        self._on_received = on_received
        self._session_count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, peer: Peer, port: int = 25) -> SmtpServerShell:
        """The server's side of a new connection to our `port`."""
        if peer.is_foreign:
            FROM_OUTSIDE.set(True)  # in the context of this connection
        session = Session(self, peer, port, can_encrypt=True)
        main = self.state.compiled.configuration.main
        faulty = self._faulty(session) if self.misbehaves is not None else None
        shell = SmtpServerShell(
            session.machine,
            peer,
            session.answer if faulty is None else faulty.answer,
            idle_timeout=main.seconds("smtp_receive_timeout"),
            on_end=partial(self._ended, session),
            security=session.securing,
            tls_at_once=is_tls_port(main, port),
        )
        if faulty is not None:
            faulty.hang_up = shell.close
        self.sessions.add(shell)
        return shell

    def _faulty(self, session: Session) -> Misbehaving:
        """The session as long as the lab may have faults for it."""
        assert self.misbehaves is not None

        def refused(decision: Decision, answer: Reply) -> None:
            machine, address = session.machine, session.peer.address
            sender = machine.envelope.sender if machine.envelope is not None else None
            details = refusal_facts(decision, answer, sender)
            client, name = variables.shown_client(session.env.variables)
            self.state.note(
                EventKind.REJECTED, remote_host=client, remote_name=name, remote_address=address, **details
            )

        return Misbehaving(
            session.machine,
            session.answer,
            self.misbehaves,
            sleep=self.state.surroundings.sleep,
            later=self.later,
            refused=refused,
        )

    def _ended(self, session: Session, shell: SmtpServerShell) -> None:
        self.sessions.discard(shell)
        ended(session)

    def close(self) -> None:
        """End all sessions, as a daemon that stops does."""
        for machine in tuple(self.typed):
            machine.end(Reply(421, (f"{self.state.primary_hostname}: SMTP service closing",)))
        for shell in tuple(self.sessions):
            shell.close(Reply(421, (f"{self.state.primary_hostname}: SMTP service closing",)), reason=STOPPED)
        for task in tuple(self._tasks):
            task.cancel()

    def next_session(self) -> int:
        self._session_count += 1
        return self._session_count

    def taken(
        self,
        item: QueueItem,
        *,
        waits: bool = False,
        in_secret: bool = False,
        in_pieces: bool = False,
        about: str | None = None,
        told: Mapping[str, Any] = {},
    ) -> None:
        """The message is on disk: it is ours now.

        `in_secret`: its client was told that it is not. `in_pieces`: it came by BDAT. `about`: what it reports on.
        `told`: more for the log.
        """
        message = Message.parse(item.content)
        origin = item.origin
        known = {"sender_host_address": origin.client_address, "sender_helo_name": origin.helo_name}
        name_client(known := known | {"sender_host_name": origin.client_name})
        client, name = variables.shown_client(known) if origin.client_address else (None, None)
        self.state.queue[item.queue_id] = item
        self.state.note(
            EventKind.RECEIVED,
            queue_id=item.queue_id,
            sender=item.envelope.sender,
            remote_host=client,
            remote_name=name,
            remote_address=origin.client_address or None,
            remote_port=origin.client_port or None,
            protocol=origin.protocol,
            is_chunked=in_pieces or None,
            size=log_details.size_of(item, message),
            about=about,
            message_id=message_id(message),
            cipher=origin.encryption.shown if origin.encryption is not None else None,
            is_verified=origin.encryption.is_verified if origin.encryption is not None else None,
            authenticator=":".join(filter(None, (origin.authenticator, origin.authenticated_id))) or None,
            **{**log_details.of_message(item, message), **told},
            text=IN_SECRET if in_secret else None,
        )
        if item.frozen:
            self.state.note(EventKind.FROZEN, queue_id=item.queue_id, text="frozen by ACL")
        self._on_received(item.queue_id, waits)

    async def take_local(
        self,
        envelope: Envelope,
        content: bytes,
        login: str,
        queue_id: str,
        about: str | None = None,
        authenticated_sender: str = "",
        origin: Origin | None = None,
    ) -> None:
        """Take a message that this host makes itself (a report `about` another), or that its account `login` hands in.

        `origin`: what a trusted caller says of where it came from. Raises NotTaken if an ACL refuses it, OSError.
        """
        asking = judged(self.state, envelope, Message.parse(content), login, queue_id, origin)
        taken = await answer_later(self.state.answer, asking, self.state.hear(queue_id))
        if about is not None:
            ours = replace(taken.item.origin, is_report=True, authenticated_sender=authenticated_sender)
            taken = replace(taken, item=replace(taken.item, origin=ours))
        await self.state.make_durable(taken.item)
        self.taken(taken.item, waits=taken.waits, about=about)

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

"""A host that is nobody's Exim: the internet outside, as far as the lab needs it.

WHAT       `OutsideEngine` is an engine without a configuration and without a queue: it takes mail for its domains into
           mailboxes, sends what it is given once, and misbehaves by the table of faults and by address (x-452@).
WHY        the student's hosts need somebody to talk to whose behaviour an instructor can choose.
READ NEXT  outside_session.py, faults.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from labkit.lab.engine import Engine, NotThisEngine, Output, QueueRun
from labkit.lab.exim_log import Style, main_log, reject_log
from labkit.lab.exim_queue import queue_listing, queue_summary
from labkit.lab.outside_sending import send_once
from labkit.lab.outside_session import NAME, OutsideSession, account_of, note_received
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.mta.fixups import completed
from labkit.mta.queue_id import queue_id as new_queue_id
from labkit.net.network import Listener, Peer
from labkit.net.resolver import Resolver
from labkit.queue.hints import Hint
from labkit.queue.item import Origin, QueueItem
from labkit.routing import Routed
from labkit.smtp.trace_fields import received_field

if TYPE_CHECKING:
    from labkit.lab.host import Host

PORTS = (25,)


class Session(Protocol):
    """A client's session, of whatever server."""

    def close(self) -> None: ...


class OutsideEngine(Engine):
    """The MTA of an outside host. `domains` are those it takes mail for."""

    name = "outside"
    _ports: tuple[int, ...] = PORTS

    def __init__(self, host: Host, domains: tuple[str, ...]) -> None:
        self.host = host
        self.domains = tuple(domain.lower() for domain in domains)
        self.sessions: set[Session] = set()
        world = host.world
        self.resolver = Resolver(
            world.network, host.address, world.scenario.nameserver, world.now, world.agenda.sleep
        )
        self._listeners: list[Listener] = []
        self._session_count = 0

    def mailbox_of(self, local_part: str) -> str | None:
        """Whose mailbox takes mail for this local part, None if there is none."""
        return account_of(local_part, tuple(self.host.accounts))

    # --- the daemon ---------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return bool(self._listeners)

    @property
    def ports(self) -> tuple[int, ...]:
        return self._ports

    def begins_with_tls(self, port: int) -> bool:
        """Whether nothing is said at this port before TLS."""
        return False

    async def start(self, *, queue_only: bool = False) -> None:
        """Listen. `queue_only` is for hosts with a queue: it changes nothing here."""
        if self.is_running:
            return
        network = self.host.world.network
        for port in self.ports:
            accept, waits = partial(self._accept, port), self.begins_with_tls(port)
            listener = await network.listen(self.host.address, port, accept, speaks_first=not waits)
            self._listeners.append(listener)
        self._note(EventKind.STARTED, text=f"listening on {', '.join(map(str, self.ports))}")

    async def stop(self) -> None:
        if self.is_running:
            self._hang_up()
            self._note(EventKind.STOPPED)

    async def reload(self) -> None:
        """There is no configuration to read."""

    def close(self) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        """Listen no more, and end all sessions."""
        while self._listeners:
            self._listeners.pop().close()
        for session in tuple(self.sessions):
            session.close()

    def _accept(self, port: int, peer: Peer) -> asyncio.BaseProtocol:
        session = OutsideSession(self, peer, self.next_session())
        self.sessions.add(session)
        return session.shell

    def next_session(self) -> int:
        self._session_count += 1
        return self._session_count

    def _note(self, kind: EventKind, text: str | None = None) -> None:
        self.host.world.note(self.host.name, kind, text=text)

    # --- mail ---------------------------------------------------------------------------------

    async def submit(self, envelope: Envelope, content: bytes, login: str) -> str:
        """Send a message: one attempt, now."""
        world, now = self.host.world, self.host.world.now()
        queue_id = new_queue_id(now, world.next_process())
        message = completed(
            Message.parse(content),
            queue_id=queue_id,
            host=self.host.name,
            sender=envelope.sender,
            now=now,
            keeps_sender=True,
        )
        trace = received_field(
            client_address="",
            helo_name="",
            by=self.host.name,
            software=NAME,
            protocol="local",
            envelope=envelope,
            queue_id=queue_id,
            at=now,
            login=login,
        )
        message = message.prepend(trace)
        item = QueueItem(queue_id, envelope, bytes(message), now, Origin(login=login))
        note_received(self, item, message)
        await send_once(self, item)
        return queue_id

    # --- the queue that is not there ----------------------------------------------------------

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        return ()

    def queue_listing(self) -> str:
        return queue_listing((), self.host.world.now())

    def queue_summary(self) -> str:
        return queue_summary(self.queue_listing())

    async def run_queue(self, run: QueueRun) -> None:
        """There is nothing to do."""

    def next_queue_run(self, instant: datetime) -> datetime | None:
        return None

    @property
    def queue_interval(self) -> timedelta | None:
        return None

    def retry_hints(self) -> Mapping[str, Hint]:
        return {}

    async def force(self, queue_id: str) -> None:
        raise self._no_exim("it has no queue")

    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        return None

    # --- looking ------------------------------------------------------------------------------

    async def route(self, address: str) -> Routed:
        raise self._no_exim("it has no routers")

    def log(self) -> str:
        return "\n".join(main_log(self._events(), Style()))

    def reject_log(self) -> str:
        return "\n".join(reject_log(self._events(), Style()))

    def _events(self) -> Iterator[MailEvent]:
        return (event for event in self.host.world.journal if event.host == self.host.name)

    async def command(self, arguments: Sequence[str], stdin: bytes, login: str) -> Output:
        raise self._no_exim("it knows no `exim` command")

    def _no_exim(self, why: str) -> NotThisEngine:
        return NotThisEngine(f"{self.host.name} is a host outside, nobody's Exim: {why}")

"""An outside host whose server is aiosmtpd: what the relay, the mailbox provider and the mailing list have in common.

WHAT       `AiosmtpdEngine` listens with net/aiosmtpd_server.py; who subclasses it says what each port offers, answers
           the decisions (`judge`), takes messages (`take`) and knows passwords (`knows`). It has a queue.
DOES       gives the journal what every MTA gives: dialogue, refusals, what was received; asks the table of faults
           before anybody else; limits connections; refuses what has been on its way for too many hops.
RULES      a message is in the spool before 250 is said. Lab time in all dates.
STANDARDS  RFC 5321 §3.8 (421), §6.1 (250 takes responsibility), §6.3 (loops: a limit of at least 100)
READ NEXT  outside_queue.py, relay_engine.py, provider_engine.py, list_engine.py
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.lab.engine import NoSuchMessage, QueueRun
from labkit.lab.exim_queue import queue_listing
from labkit.lab.outside_engine import OutsideEngine
from labkit.lab.outside_queue import OutsideQueue
from labkit.mail import reply
from labkit.mail.address import Mailbox
from labkit.mail.dates import header_date
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import HeaderField, Message
from labkit.mail.reply import Reply
from labkit.mta import log_details
from labkit.mta.fixups import completed, message_id
from labkit.mta.misbehaving import refusal_facts
from labkit.mta.queue_id import queue_id as new_queue_id
from labkit.mta.surroundings import FROM_OUTSIDE
from labkit.net.aiosmtpd_server import HangUp, Known, Offer, serve
from labkit.net.mailboxes import append_to_mbox
from labkit.net.network import Peer
from labkit.queue.item import Origin, QueueItem
from labkit.queue.report import FailedRecipient, failure_report
from labkit.smtp.decisions import Connected, Decision, MessageReceived
from labkit.smtp.trace_fields import received_field
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.lab.host import Host

MOST_HOPS = 100  # Received fields
MOST_SESSIONS, MOST_OF_ONE = 200, 20
LARGEST_HEADER = 256 * 1024  # octets
HEADER_TOO_LARGE = Reply(552, ("5.3.4 The header of this message is too large",))
TOO_MANY = Reply(421, ("4.7.0 Too many connections, come back later",))
LOOPING = Reply(554, ("5.4.6 Too many hops: this message is in a loop",))


class ServerSession:
    """One client's session: the owner of an aiosmtpd server (net/aiosmtpd_server.py)."""

    def __init__(self, engine: AiosmtpdEngine, peer: Peer, port: int, number: int) -> None:
        self.engine, self.peer, self.port, self.number = engine, peer, port, number
        self.host, self.world = engine.host, engine.host.world
        self.host_name = self.host.name
        self.input_ahead = b""  # aiosmtpd does not show it
        self._find = self.world.faults.of(self.host.name, by_address=engine.fails_by_address)
        self.smtp, self.protocol = serve(self, peer, self.host.name, engine.offer(port))

    @property
    def known(self) -> Known:
        """What the client has said and proved so far."""
        return self.smtp.known

    @property
    def messages_accepted(self) -> int:
        return self.known.messages_accepted

    def close(self) -> None:
        self.smtp.close(Reply(421, (f"4.3.2 {self.host.name} closing connection",)))

    # --- what the server asks -----------------------------------------------------------------

    async def answer(self, decision: Decision) -> Reply | None:
        if self.peer.is_foreign:
            FROM_OUTSIDE.set(True)  # in the context of this connection
        answer = await self._answer(decision)
        if answer is not None and not answer.is_positive:
            self._note_refusal(decision, answer)
        return answer

    async def _answer(self, decision: Decision) -> Reply | None:
        found = self._find(self, decision)
        if found is not None:
            if found.seconds:
                await self.world.sleep(timedelta(seconds=found.seconds))
            if found.hangs_up:
                raise HangUp
            if found.reply is not None:
                return found.reply
        if isinstance(decision, Connected):
            return self.engine.welcome(self)
        if isinstance(decision, MessageReceived):
            return await self._take(decision)
        return await self.engine.judge(self, decision)

    async def _take(self, received: MessageReceived) -> Reply:
        message = Message.parse(received.content)
        if len(message) - len(message.body) > LARGEST_HEADER:  # dkimpy takes time squared on folded fields
            return HEADER_TOO_LARGE
        hops = sum(1 for _ in message.all("Received"))
        if hops > MOST_HOPS:  # RFC 5321 §6.3
            return LOOPING
        try:
            return await self.engine.take(self, received)
        except OSError as problem:
            self.went_wrong(problem)
            return reply.LOCAL_PROBLEM

    async def authenticate(self, login: str, password: str) -> bool:
        is_right = self.engine.knows(login, password)
        if not is_right:
            self._refuse("AUTH", Reply(535, ("5.7.8 Authentication failed",)))
        return is_right

    def heard(self, line: Line) -> None:
        self.world.note(
            self.host.name,
            EventKind.DIALOGUE,
            session=self.number,
            remote_address=self.peer.address,
            speaker=line.speaker,
            text=line.text,
            state=line.state,
        )

    def ended(self) -> None:
        self.engine.sessions.discard(self)

    def went_wrong(self, problem: Exception) -> None:
        self.world.note(self.host.name, EventKind.PROBLEM, text=repr(problem))

    # --- what the journal hears ---------------------------------------------------------------

    def _note_refusal(self, decision: Decision, answer: Reply) -> None:
        facts = refusal_facts(decision, answer, self.known.envelope.sender)
        if isinstance(decision, MessageReceived):
            message = Message.parse(decision.content)
            facts["message_id"] = message_id(message)
        self._refuse(facts.pop("command"), answer, **facts)

    def _refuse(self, command: str, answer: Reply, **facts: Any) -> None:
        known = self.known
        facts = {"code": answer.code, "text": answer.text} | facts
        self.world.note(
            self.host.name,
            EventKind.REJECTED,
            command=command,
            remote_address=self.peer.address,
            remote_host=known.helo_name or None,
            authenticator=self.authenticator or None,
            cipher=known.encryption.shown if known.encryption is not None else None,
            **facts,
        )

    @property
    def authenticator(self) -> str:
        """As Exim's log has it after A=."""
        known = self.known
        return f"{known.mechanism.lower()}:{known.login}" if known.login else ""

    def item(self, received: MessageReceived, queue_id: str, content: bytes) -> QueueItem:
        """A message of this client, as the queue has it."""
        known = self.known
        origin = Origin(
            self.peer.address,
            self.peer.port,
            known.helo_name,
            known.protocol,
            encryption=known.encryption,
            authenticator=known.mechanism.lower(),
            authenticated_id=known.login,
        )
        return QueueItem(queue_id, received.envelope, content, self.world.now(), origin)

    def trace(self, envelope: Envelope, queue_id: str) -> HeaderField:
        """The Received field of this host."""
        known = self.known
        return received_field(
            client_address=self.peer.address,
            helo_name=known.helo_name,
            by=self.host.name,
            software=self.engine.software,
            protocol=known.protocol,
            envelope=envelope,
            queue_id=queue_id,
            at=self.world.now(),
            encryption=known.encryption,
        )


class AiosmtpdEngine(OutsideEngine):
    """An outside host on aiosmtpd."""

    software = "aiosmtpd"
    fails_by_address = True  # x-452@ is refused with 452
    sends_reports = True  # to the senders of what fails
    keeps_plaintext = False  # what was said before TLS

    def __init__(self, host: Host, domains: tuple[str, ...], certificate: str = "good") -> None:
        super().__init__(host, domains)
        self._certificate = certificate
        self._offers: dict[int, Offer] = {}
        self.waiting = OutsideQueue(self, self, host.path("/var/spool/outside"), self.name)

    # --- for subclasses to say ----------------------------------------------------------------

    def new_offer(self, port: int) -> Offer:
        """What a port offers."""
        return Offer(self.context(), keeps_plaintext=self.keeps_plaintext)

    async def judge(self, session: ServerSession, decision: Decision) -> Reply | None:
        """Answer all decisions but Connected and MessageReceived."""
        return None

    async def take(self, session: ServerSession, received: MessageReceived) -> Reply:
        """Take a message, or refuse it. Raises OSError."""
        raise NotImplementedError

    def knows(self, login: str, password: str) -> bool:
        return False

    # --- the daemon ---------------------------------------------------------------------------

    def show_certificate(self, kind: str) -> None:
        """From the next connection on, another certificate: one of authority.KINDS."""
        self._certificate = kind
        self._offers.clear()

    def context(self) -> Any:
        """The TLS context of this host: its certificate is the lab authority's."""
        from labkit.net.tls_contexts import server_context

        return server_context(self.host.world.authority.certificate_for(self.host.name, self._certificate))

    def offer(self, port: int) -> Offer:
        if port not in self._offers:
            self._offers[port] = self.new_offer(port)
        return self._offers[port]

    def begins_with_tls(self, port: int) -> bool:
        return self.offer(port).at_once

    def welcome(self, session: ServerSession) -> Reply:
        """The banner, or why there is none."""
        callers = Counter(each.peer.address for each in self.sessions if isinstance(each, ServerSession))
        if sum(callers.values()) > MOST_SESSIONS or callers[session.peer.address] > MOST_OF_ONE:
            return TOO_MANY
        date = header_date(self.host.world.now())
        return Reply(220, (f"{self.host.name} ESMTP {self.software} {date}",))

    async def start(self, *, queue_only: bool = False) -> None:
        was_running = self.is_running
        await super().start(queue_only=queue_only)
        if not was_running:
            self.waiting.start()

    def publish(self, origin: str, keys: Mapping[str, str]) -> None:
        """A zone of this host's own, with the records of keys by their names in it."""
        lines = [
            "$TTL 300",
            f"@ IN SOA ns.root. hostmaster.{self.domains[0]}. ( 1 7200 900 1209600 60 )",
            "  IN NS ns.root.",
        ]
        for name, text in keys.items():
            strings = " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
            lines.append(f"{name} IN TXT {strings}")
        self.host.world.write_zone(origin, "\n".join(lines) + "\n")

    def _accept(self, port: int, peer: Peer) -> asyncio.BaseProtocol:
        session = ServerSession(self, peer, port, self.next_session())
        self.sessions.add(session)
        return session.protocol

    def _hang_up(self) -> None:
        super()._hang_up()
        self.waiting.stop()

    def close(self) -> None:
        super().close()
        self.waiting.close()

    # --- mail ---------------------------------------------------------------------------------

    def next_queue_id(self) -> str:
        world = self.host.world
        return new_queue_id(world.now(), world.next_process())

    async def submit(self, envelope: Envelope, content: bytes, login: str) -> str:
        """Somebody of this host sends a message."""
        queue_id = self.next_queue_id()
        trace = received_field(
            client_address="",
            helo_name="",
            by=self.host.name,
            software=self.software,
            protocol="local",
            envelope=envelope,
            queue_id=queue_id,
            at=self.host.world.now(),
            login=login,
        )
        complete = completed(
            Message.parse(content),
            queue_id=queue_id,
            host=self.host.name,
            sender=envelope.sender,
            now=self.host.world.now(),
            keeps_sender=True,
        )
        message = self.signed(complete).prepend(trace)
        self.accept(QueueItem(queue_id, envelope, bytes(message), self.host.world.now(), Origin(login=login)))
        return queue_id

    def signed(self, message: Message) -> Message:
        """The message with a signature, where this host signs."""
        return message

    def accept(self, item: QueueItem, **more: Any) -> None:
        """Put it into the queue, and tell the journal. Raises OSError."""
        self.waiting.add(item)
        self.note_received(item, **more)

    def note_received(self, item: QueueItem, **more: Any) -> None:
        """The fact that a message was taken."""
        origin, message = item.origin, Message.parse(item.content)
        who = f"{origin.authenticator}:{origin.authenticated_id}" if origin.authenticated_id else None
        details: dict[str, Any] = {
            "queue_id": item.queue_id,
            "sender": item.envelope.sender,
            "remote_host": origin.helo_name or None,
            "remote_address": origin.client_address or None,
            "remote_port": origin.client_port or None,
            "protocol": origin.protocol,
            "authenticator": who,
            "cipher": origin.encryption.shown if origin.encryption is not None else None,
            "size": item.size,
            "message_id": message_id(message),
            **log_details.of_message(item, message),
        }
        self.host.world.note(self.host.name, EventKind.RECEIVED, **(details | more))

    # --- what the queue asks (outside_queue.Sender) -------------------------------------------

    def return_path(self, item: QueueItem, recipient: Mailbox) -> Mailbox | None:
        return item.envelope.reverse_path

    def store_here(self, item: QueueItem, recipient: Mailbox) -> bool:
        if recipient.domain.lower() not in self.domains:
            return False
        account = self.mailbox_of(recipient.local_part)
        if account is None:
            return False
        self.put_into_mailbox(item, Message.parse(item.content), recipient, account)
        return True

    def put_into_mailbox(
        self, item: QueueItem, message: Message, recipient: Mailbox, account: str, folder: str = ""
    ) -> None:
        """Final delivery. `folder` is another mailbox of the same account, "" its inbox. Raises OSError."""
        sender = item.envelope.sender
        for name, value in (("Envelope-to", str(recipient)), ("Return-path", f"<{sender}>")):
            message = message.prepend(HeaderField.make(name, value))
        append_to_mbox(
            self.host.mailbox_file(f"{account}.{folder}" if folder else account),
            bytes(message),
            sender,
            item.received_at,
            root=self.host.folder,
            delivery=f"{item.queue_id} {item.envelope.forward_paths.index(recipient)}",
        )
        self.host.world.note(
            self.host.name,
            EventKind.DELIVERED,
            queue_id=item.queue_id,
            recipient=str(recipient),
            became=account,
            router="outside",
            transport=f"mailbox {folder}".strip(),
            origin=sender,
            return_path=sender,
        )

    def failed(self, item: QueueItem, failures: tuple[FailedRecipient, ...]) -> None:
        """The sender hears of it, unless it is a report itself (RFC 5321 §4.5.5)."""
        if item.envelope.reverse_path is None or not self.sends_reports:
            return
        queue_id, now = self.next_queue_id(), self.host.world.now()
        content = failure_report(
            item,
            failures,
            queue_id=queue_id,
            host=self.host.name,
            qualify_domain=self.domains[0],
            now=now,
        )
        envelope = Envelope(None, (item.envelope.reverse_path,))
        self.accept(QueueItem(queue_id, envelope, content, now, Origin(is_report=True)), about=item.queue_id)

    # --- the queue ----------------------------------------------------------------------------

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        return self.waiting.items

    def queue_listing(self) -> str:
        return queue_listing(self.queue, self.host.world.now())

    async def run_queue(self, run: QueueRun) -> None:
        """Try what waits; without `forced`, only what is due."""
        now = self.host.world.now()
        for item in self.queue:
            attempt = self.waiting.next_try(item.queue_id)
            if run.domain is not None and not any(run.domain in str(each) for each in item.remaining):
                continue
            if run.forced or attempt is None or attempt.next_try <= now:
                await self.waiting.deliver(item.queue_id)

    async def force(self, queue_id: str) -> None:
        if queue_id not in {item.queue_id for item in self.queue}:
            raise NoSuchMessage(f"no message {queue_id} waits at {self.host.name}")
        await self.waiting.deliver(queue_id)

    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        return self.waiting.files(queue_id)

    def retry_hints(self) -> Mapping[str, Any]:
        return {}

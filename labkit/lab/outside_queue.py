"""The queue of an outside host: what it has taken and must hand on, tried again until its patience ends.

WHAT       `OutsideQueue.add` makes a message durable and writes its first attempt on the agenda; each attempt finds the
           exchangers of each recipient's domain and tries them in order, with TLS where it is offered.
DECIDES    a 5yz fails a recipient, a 4yz or a lost connection puts it off (RFC 5321 §4.2.1); an hour of tries every ten
           minutes, then every hour, three days in all, which is what commercial relays take.
RULES      under which path a recipient's copy goes, and what follows from a failure, the owner says. Certificates are
           not looked at: between mail servers TLS is opportunistic, and a handshake that fails means plain text.
STANDARDS  RFC 5321 §4.5.4.1 (sending strategy), §5.1 (exchangers); RFC 7435 (opportunistic security)
READ NEXT  relay_engine.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from labkit.lab.agenda import Entry
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.questions import OwnAddresses
from labkit.mail.reply import Reply
from labkit.net.network import HostSilent
from labkit.net.smtp_client import SmtpConnection
from labkit.net.spool import Spool
from labkit.net.tls_client import ClientTls
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient
from labkit.queue.schedule import Attempt, RetryRule, RetryStep, after_failure
from labkit.routing.mx import MxOutcome, NextHop, exchangers_of
from labkit.smtp.client import Client, Ending
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.lab.outside_engine import OutsideEngine

CONNECT_TIMEOUT = timedelta(minutes=5)  # of lab time
RULE = RetryRule(
    "*",
    (
        RetryStep("F", timedelta(hours=1), timedelta(minutes=10)),
        RetryStep("F", timedelta(days=3), timedelta(hours=1)),
    ),
    "* * F,1h,10m; F,3d,1h",
)
_PASSING = (MxOutcome.TRY_LATER, MxOutcome.INSECURE)


class Sender(Protocol):
    """Whose queue it is."""

    def return_path(self, item: QueueItem, recipient: Mailbox) -> Mailbox | None:
        """The envelope sender of this recipient's copy."""

    def store_here(self, item: QueueItem, recipient: Mailbox) -> bool:
        """Put it into a mailbox of this host. False: it is for another host."""

    def failed(self, item: QueueItem, failures: tuple[FailedRecipient, ...]) -> None:
        """These recipients have failed for good."""


@dataclass(slots=True)
class _Waiting:
    item: QueueItem
    attempt: Attempt | None = None
    entry: Entry | None = None
    is_under_way: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one attempt came to, for one recipient. `reply` is the other host's, if that decided."""

    kind: EventKind
    words: str
    reply: Reply | None = None
    hop: NextHop | None = None
    cipher: str | None = None


class OutsideQueue:
    """The messages for which an outside host is responsible. `transport` is a name for the journal."""

    def __init__(self, engine: OutsideEngine, sender: Sender, folder: Path, transport: str) -> None:
        self._engine, self._sender, self._transport = engine, sender, transport
        self._world, self._host = engine.host.world, engine.host
        self._spool = Spool(folder, threaded=False)
        self._waiting = {item.queue_id: _Waiting(item) for item in self._spool.recover()}

    @property
    def items(self) -> tuple[QueueItem, ...]:
        return tuple(sorted((w.item for w in self._waiting.values()), key=lambda item: item.received_at))

    def next_try(self, queue_id: str) -> Attempt | None:
        """What is known of the last attempt. Raises KeyError."""
        return self._waiting[queue_id].attempt

    def files(self, queue_id: str) -> tuple[Path, Path] | None:
        return self._spool.files(queue_id)

    def add(self, item: QueueItem) -> None:
        """Take responsibility. Raises OSError if it cannot be stored."""
        problems: list[OSError | None] = []
        self._spool.accept(item, problems.append)
        if problems and problems[0] is not None:
            raise problems[0]
        self._waiting[item.queue_id] = _Waiting(item)
        self._write_entry(item.queue_id)

    def start(self) -> None:
        """The host is up: what waits has its turn."""
        for queue_id in self._waiting:
            self._write_entry(queue_id)

    def stop(self) -> None:
        for waiting in self._waiting.values():
            if waiting.entry is not None:
                waiting.entry.cancel()

    def close(self) -> None:
        self.stop()
        self._spool.close()

    def _write_entry(self, queue_id: str) -> None:
        waiting = self._waiting[queue_id]
        if waiting.entry is not None:
            waiting.entry.cancel()
        instant = self._world.now() if waiting.attempt is None else waiting.attempt.next_try
        action, what = partial(self.deliver, queue_id), f"{self._host.name} sends {queue_id}"
        waiting.entry = self._world.at(instant, action, what)

    # --- one attempt --------------------------------------------------------------------------

    async def deliver(self, queue_id: str) -> None:
        """Try everything that is left of a message."""
        waiting = self._waiting.get(queue_id)
        if waiting is None or waiting.is_under_way or not self._engine.is_running:
            return
        waiting.is_under_way = True
        try:
            outcomes = await self._tried(waiting)
        finally:
            waiting.is_under_way = False
        self._settle(waiting, outcomes)

    async def _tried(self, waiting: _Waiting) -> dict[Mailbox, _Outcome]:
        outcomes: dict[Mailbox, _Outcome] = {}
        by_domain: dict[str, list[Mailbox]] = {}
        for recipient in waiting.item.remaining:
            if not self._sender.store_here(waiting.item, recipient):
                by_domain.setdefault(recipient.domain.lower(), []).append(recipient)
            else:
                outcomes[recipient] = _Outcome(EventKind.DELIVERED, "")
        for domain, recipients in by_domain.items():
            outcomes |= await self._to_domain(waiting.item, domain, recipients)
        return outcomes

    async def _to_domain(
        self, item: QueueItem, domain: str, recipients: list[Mailbox]
    ) -> dict[Mailbox, _Outcome]:
        found = await answer_later(self._answer, exchangers_of(domain))
        if not found.next_hops:
            why = found.outcome if found.outcome is not MxOutcome.FOUND else MxOutcome.NO_ADDRESSES
            kind = EventKind.DEFERRED if why in _PASSING else EventKind.FAILED
            return {recipient: _Outcome(kind, f"{domain}: {why.value}") for recipient in recipients}
        left = {recipient: _Outcome(EventKind.DEFERRED, "no host to try") for recipient in recipients}
        settled: dict[Mailbox, _Outcome] = {}
        for hop in found.next_hops:
            for path, some in self._by_path(item, left):
                tried = await self._to_host(item, Envelope(path, some), hop)
                for recipient, outcome in tried.items():
                    if outcome.kind is EventKind.DEFERRED:
                        left[recipient] = outcome
                    else:
                        settled[recipient] = outcome
                        del left[recipient]
        return settled | left

    def _by_path(
        self, item: QueueItem, recipients: Iterable[Mailbox]
    ) -> list[tuple[Mailbox | None, tuple[Mailbox, ...]]]:
        grouped: dict[Mailbox | None, list[Mailbox]] = {}
        for recipient in recipients:
            grouped.setdefault(self._sender.return_path(item, recipient), []).append(recipient)
        return [(path, tuple(some)) for path, some in grouped.items()]

    async def _answer(self, question: Question[Any]) -> Any:
        if isinstance(question, OwnAddresses):
            return (self._host.address,)
        return await self._engine.resolver.answer(question)

    async def _to_host(self, item: QueueItem, envelope: Envelope, hop: NextHop) -> dict[Mailbox, _Outcome]:
        """One transaction; if no TLS can be made, once more without."""
        try:
            connection = await self._connected(item, hop, may_encrypt=True)
            if connection.machine.ended is not None and connection.machine.ended.how is Ending.TLS:
                connection = await self._connected(item, hop, may_encrypt=False)
        except HostSilent:
            await self._world.sleep(CONNECT_TIMEOUT)
            return self._all(envelope, f"{hop.host} [{hop.address}]: Connection timed out", hop)
        except OSError as problem:
            return self._all(envelope, f"{hop.host} [{hop.address}]: {problem.strerror or problem}", hop)
        machine = connection.machine
        try:
            result = await connection.send(envelope, item.content) if machine.is_idle else None
            await connection.quit()
        except BaseException:
            connection.abort()
            raise
        verdicts = {v.recipient: v.reply for v in result.verdicts} if result is not None else {}
        cipher = connection.encryption.shown if connection.encryption is not None else None
        return {
            recipient: self._judged(machine, hop, verdicts.get(recipient) or machine.refusal, cipher)
            for recipient in envelope.forward_paths
        }

    def _judged(self, machine: Client, hop: NextHop, reply: Reply | None, cipher: str | None) -> _Outcome:
        if reply is None:
            return _Outcome(EventKind.DEFERRED, f"{hop.host}: {machine.broken or 'no answer'}", None, hop)
        if reply.is_positive:
            return _Outcome(EventKind.DELIVERED, reply.lines[-1], reply, hop, cipher)
        kind = EventKind.FAILED if reply.is_permanent else EventKind.DEFERRED
        return _Outcome(kind, f"host {hop.host} [{hop.address}] said: {reply}", reply, hop, cipher)

    def _all(self, envelope: Envelope, words: str, hop: NextHop) -> dict[Mailbox, _Outcome]:
        return {each: _Outcome(EventKind.DEFERRED, words, None, hop) for each in envelope.forward_paths}

    async def _connected(self, item: QueueItem, hop: NextHop, *, may_encrypt: bool) -> SmtpConnection:
        """A connection on which EHLO was said, encrypted if that is possible. Raises HostSilent, OSError."""
        world, host = self._world, self._host
        connection = await SmtpConnection.open(
            world.network, host.address, hop.address, 25, host.name, on_line=self._listener(item, hop)
        )
        if may_encrypt and connection.machine.is_idle and connection.machine.offers("STARTTLS"):
            await connection.start_tls(ClientTls())
        return connection

    def _listener(self, item: QueueItem, hop: NextHop) -> Callable[[Line], None]:
        number = self._world.next_process()

        def heard(line: Line) -> None:
            self._world.note(
                self._host.name,
                EventKind.DIALOGUE,
                queue_id=item.queue_id,
                session=number,
                remote_host=hop.host,
                remote_address=hop.address,
                speaker=line.speaker,
                text=line.text,
                state=line.state,
            )

        return heard

    # --- what came of it ----------------------------------------------------------------------

    def _settle(self, waiting: _Waiting, outcomes: dict[Mailbox, _Outcome]) -> None:
        item, now = waiting.item, self._world.now()
        if any(outcome.kind is EventKind.DEFERRED for outcome in outcomes.values()):
            waiting.attempt = after_failure(RULE, waiting.attempt, now, age=now - item.received_at)
            if waiting.attempt.has_expired:
                outcomes = {who: _given_up(outcome) for who, outcome in outcomes.items()}
        failures = []
        for recipient, outcome in outcomes.items():
            self._note(item, recipient, outcome)
            if outcome.kind is EventKind.FAILED:
                host = outcome.hop.host if outcome.hop is not None else None
                failures.append(FailedRecipient(recipient, outcome.words, host, outcome.reply))
        done = [who for who, outcome in outcomes.items() if outcome.kind is not EventKind.DEFERRED]
        if done:
            self._spool.finished(item.queue_id, done)
            waiting.item = item = item.with_finished(*done)
        if item.remaining:
            self._spool.update(item)
            self._write_entry(item.queue_id)
        else:
            del self._waiting[item.queue_id]
            self._spool.remove(item.queue_id)
        if failures:
            self._sender.failed(item, tuple(failures))
        if not item.remaining:
            self._world.note(self._host.name, EventKind.COMPLETED, queue_id=item.queue_id)

    def _note(self, item: QueueItem, recipient: Mailbox, outcome: _Outcome) -> None:
        if outcome.kind is EventKind.DELIVERED and outcome.hop is None:
            return  # who has stored it has noted it
        path = self._sender.return_path(item, recipient)
        self._world.note(
            self._host.name,
            outcome.kind,
            queue_id=item.queue_id,
            recipient=str(recipient),
            router="outside",
            transport=self._transport,
            remote_host=outcome.hop.host if outcome.hop is not None else None,
            remote_address=outcome.hop.address if outcome.hop is not None else None,
            code=outcome.reply.code if outcome.reply is not None else None,
            cipher=outcome.cipher,
            origin=item.envelope.sender,
            return_path="" if path is None else str(path),
            text=outcome.words,
        )


def _given_up(outcome: _Outcome) -> _Outcome:
    if outcome.kind is not EventKind.DEFERRED:
        return outcome
    words = f"{outcome.words}: retry timeout exceeded"
    return _Outcome(EventKind.FAILED, words, outcome.reply, outcome.hop, outcome.cipher)

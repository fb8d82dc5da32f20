"""What the parts of one MTA share: its configuration, its queue, its doors to the outside.

WHAT       `MtaState`, and how it answers the questions that decisions ask.
DOES       DNS questions go to the resolver, accounts to the host, VerifyRecipient to routing.
READ NEXT  intake.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from labkit.mail import reply
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asked, Question, answer_later
from labkit.mail.event import EventKind
from labkit.mail.questions import (
    Account,
    AccountNamed,
    AddressesOf,
    DnsAnswer,
    MxOf,
    NamesOf,
    OwnAddresses,
    TextOf,
    Verification,
    VerifyRecipient,
)
from labkit.mail.reply import Reply
from labkit.mta.compiled import Compiled
from labkit.mta.queue_id import queue_id
from labkit.mta.surroundings import Surroundings
from labkit.net.network import Network
from labkit.net.spool import Spool
from labkit.queue.hints import Hints
from labkit.queue.item import QueueItem
from labkit.routing.routers import Route, RouteOutcome, route

SOFTWARE = "labkit 0.1"


class AnswersDns(Protocol):
    """A resolver, as the MTA needs it."""

    async def answer(self, question: Any) -> DnsAnswer[Any]: ...


@dataclass
class MtaState:
    """One MTA's belongings. `root` is the host's own file system: /var/mail is root/var/mail."""

    name: str
    addresses: tuple[str, ...]
    compiled: Compiled
    network: Network
    resolver: AnswersDns
    accounts: Mapping[str, Account]
    root: Path
    spool: Spool
    surroundings: Surroundings
    queue: dict[str, QueueItem] = field(default_factory=dict)
    hints: Hints = field(default_factory=Hints)
    stored_hints: str = ""
    busy: set[str] = field(default_factory=set)
    is_running: bool = False

    @property
    def primary_hostname(self) -> str:
        return self.compiled.here.primary_hostname

    def note(self, kind: EventKind, **details: Any) -> None:
        """Write an event of this host into the journal."""
        self.surroundings.note(self.name, kind, **details)

    def new_queue_id(self) -> str:
        return queue_id(self.surroundings.now(), self.surroundings.next_process())

    async def answer(self, question: Question[Any]) -> Any:
        """Answer one question of a decision."""
        if isinstance(question, (MxOf, AddressesOf, TextOf, NamesOf)):
            return await self.resolver.answer(question)
        if isinstance(question, AccountNamed):
            return self.accounts.get(question.name)
        if isinstance(question, OwnAddresses):
            return self.addresses
        if isinstance(question, VerifyRecipient):
            return verification(await self.route(question.recipient))
        raise NotImplementedError(f"nobody here can answer {question!r}")

    def hear(self, queue_id: str | None = None) -> Callable[[Asked], None]:
        """A listener that writes questions and answers into the journal."""

        def heard(asked: Asked) -> None:
            self.note(EventKind.QUESTION, queue_id=queue_id, text=f"{asked.question} -> {asked.answer}")

        return heard

    async def route(self, address: Mailbox, queue_id: str | None = None) -> Route:
        """Route one address by this host's configuration."""
        configuration = self.compiled.configuration
        asking = route(address, configuration.routers, self.compiled.here)
        return await answer_later(self.answer, asking, self.hear(queue_id))

    def store_hints(self) -> None:
        """Bring the hints to disk, if anything has changed. Raises OSError."""
        text = self.hints.to_text()
        if text != self.stored_hints:
            self.spool.write_hints(text)
            self.stored_hints = text

    async def make_durable(self, item: QueueItem) -> None:
        """Put an item into the spool; returns when it is on disk. Raises OSError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_durable(problem: OSError | None) -> None:
            if done.cancelled():
                return
            if problem is None:
                done.set_result(None)
            else:
                done.set_exception(problem)

        self.spool.accept(item, on_durable)
        await done


def verification(found: Route) -> Verification:
    """What a route says about an address, as `verify = recipient` puts it."""
    steps = tuple(f"{step.router}: {step.because}" for step in found.steps)
    if found.outcome is RouteOutcome.ROUTED:
        return Verification(None, steps)
    if found.outcome is RouteOutcome.DEFERRED:
        return Verification(Reply(451, (found.reason,)), steps)
    refusal = Reply(550, tuple(found.reason.splitlines())) if found.reason else reply.UNROUTEABLE
    return Verification(refusal, steps)

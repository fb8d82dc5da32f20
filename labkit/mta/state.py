"""What the parts of one MTA share: its configuration, its queue, its doors to the outside.

WHAT       `MtaState`, and how it answers the questions that decisions ask.
DOES       what one room wants to know of another (VerifyRecipient, VerifySender) goes to routing, all else to Answers.
READ NEXT  session.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.place import Place, readable
from labkit.eximconf.rewriting import Note
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import Asked, Asking, Question, answer_later
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.questions import Account, SpfOf, VerifyRecipient, VerifySender
from labkit.mail.reply import Reply, shaped
from labkit.mta import rewriting, variables
from labkit.mta.answers import Answers, AnswersDns
from labkit.mta.callouts import expiry_of
from labkit.mta.compiled import Compiled
from labkit.mta.continuing import Waits
from labkit.mta.queue_id import queue_id
from labkit.mta.surroundings import Surroundings
from labkit.net.network import Network
from labkit.net.spool import Spool
from labkit.net.tls_selfsigned import SelfSigned
from labkit.queue.hints import Hints
from labkit.queue.item import QueueItem
from labkit.routing import Mode, Routed

SOFTWARE = "labkit 0.1"


@dataclass
class MtaState:
    """One MTA's belongings. `root` is the host's own file system: /var/mail is root/var/mail."""

    name: str
    addresses: tuple[str, ...]
    compiled: Compiled
    network: Network
    resolver: AnswersDns
    accounts: Mapping[str, Account] | None  # None: those of this machine
    root: Path
    spool: Spool
    surroundings: Surroundings
    queue: dict[str, QueueItem] = field(default_factory=dict)
    hints: Hints = field(default_factory=Hints)
    busy: set[str] = field(default_factory=set)
    for_each_run: set[str] = field(default_factory=set)  # messages that wait, and no hint says until when
    is_running: bool = False
    takes_localhost: bool = False  # whether 127.0.0.1 is a client like others: not in a lab
    waits: Waits = field(default_factory=Waits)
    has_real_clock: bool = False  # nobody waits for us: a time-out is as long as the configuration says
    own_certificate: SelfSigned | None = None  # shown where the configuration names none
    answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self.answers = Answers(
            root=self.root,
            addresses=self.addresses,
            resolver=self.resolver,
            network=self.network,
            accounts=self.accounts,
            now=self.surroundings.now,
            sleep=self.surroundings.sleep,
            beside=self.root / "etc",
            seed=self.name,
            rates=self.spool.folder / "db/labkit-rates",
            callout_expiry=lambda: expiry_of(self.compiled.configuration.main),
            lock_timeout=lambda: self.compiled.configuration.main.number("sqlite_lock_timeout"),
        )

    @property
    def primary_hostname(self) -> str:
        return self.compiled.here.primary_hostname

    def note(self, kind: EventKind, **details: Any) -> None:
        """Write an event of this host into the journal."""
        self.surroundings.note(self.name, kind, **details)

    def new_queue_id(self) -> str:
        return queue_id(self.surroundings.now(), self.surroundings.next_process())

    def env(self) -> Env:
        """What this host knows whatever it does; for a connection, a message, an address there is more to tell."""
        compiled = self.compiled
        return Env(
            variables=variables.of_host(compiled),
            here=compiled.here,
            named=compiled.configuration.lists,
            now=self.surroundings.now(),
            rewrite=rewriting.hook(compiled.rewriting, self.tell),
        )

    def tell(self, note: Note) -> None:
        """A line for the log that a rewriting rule asks for."""
        self.note(EventKind.LOGGED, text=note.text, selector=note.selector or None)

    def env_of(self, item: QueueItem, message: Message) -> Env:
        """What is known while a message is delivered."""
        env = self.env()
        env.headers = variables.header_of(message)
        variables.of_item(env.variables, item, message)
        return env

    async def answer(self, question: Question[Any], env: Env | None = None) -> Any:
        """Answer one question of a decision; `env` is what it knows. Raises CannotAnswer."""
        if isinstance(question, (VerifyRecipient, VerifySender)):
            asking = self.compiled.routers.verify(question, env or self.env(), watched=True)
            return await answer_later(self.answerer(env), asking, self.hear())
        if isinstance(question, SpfOf):
            return await self.answers.spf(question, self.hear())
        return await self.answers.answer(question)

    def answerer(self, env: Env | None) -> Callable[[Question[Any]], Awaitable[Any]]:
        """Whoever answers a decision that knows `env`."""
        return partial(self.answer, env=env)

    def hear(self, queue_id: str | None = None) -> Callable[[Asked], None]:
        """A listener that writes questions and answers into the journal."""

        def heard(asked: Asked) -> None:
            self.note(EventKind.QUESTION, queue_id=queue_id, text=f"{asked.question} -> {asked.answer}")

        return heard

    async def route(self, address: Mailbox | str) -> Routed:
        """Route one address by this host's configuration, as exim -bt does."""
        env = self.env()
        asking = self.compiled.routers.route(address, env, mode=Mode.TEST, watched=True)
        return await answer_later(self.answerer(env), asking, self.hear())

    async def test(self, addresses: Sequence[str], mode: Mode) -> tuple[int, str]:
        """What exim -bt, -bv or -bvs says of addresses: the exit status, and the text."""
        env = self.env()
        tester = self.compiled.routers.tester(env, mode)
        for address in addresses:
            await answer_later(self.answerer(env), tester.test(address), self.hear())
        return tester.status, tester.text

    async def expand(self, text: str, login: str) -> str:
        """What exim -be, called by `login`, says of a text."""
        env = self.env()
        variables.from_sender(env.variables, Mailbox(login, self.compiled.qualify_domain))
        compiled = compile_text(text.encode("utf-8", "surrogateescape").decode("latin-1"), Place("-be", 1))
        outcome = await answer_later(self.answerer(env), compiled.asking(env), self.hear())
        said = outcome.text if isinstance(outcome, Value) else f"Failed: {outcome.message}"
        return readable(said)

    async def route_all(
        self, recipients: Sequence[Mailbox], env: Env, queue_id: str | None = None
    ) -> Sequence[Routed]:
        """Route the recipients of a message."""
        asking = self.compiled.routers.route_all(recipients, env, watched=True)
        return await answer_later(self.answerer(env), asking, self.hear(queue_id))

    def expanded(self, text: str, env: Env) -> Asking[Reply]:
        """What EXPN tells of an address: what aliases make of it. Exim takes the text as it is, without brackets."""
        named = text if "@" in text else f"{text}@{self.compiled.qualify_recipient}"
        try:
            address = str(Mailbox.parse(named))
        except AddressSyntaxError:
            address = ""
        if address != named:
            return shaped(553, "", f"{named} is undeliverable")
        tester = self.compiled.routers.tester(env, Mode.EXPN)
        yield from tester.test(named)
        return shaped(553 if tester.status else 250, "", "\n".join(line.strip() for line in tester.lines))

    def look_at_hints(self) -> None:
        """Forget what is known of failures if an administrator has taken the file away: rm spool/db/*."""
        if self.hints.rows and not self.hints.has_changed and not self.spool.has_hints():
            self.hints = Hints()

    def store_hints(self) -> None:
        """Bring the hints to disk, and what ACLs remember, if anything has changed. Raises OSError."""
        self.answers.store()
        if self.hints.has_changed:
            self.spool.write_hints(self.hints.to_text())
            self.hints.has_changed = False

    def show(self, queue_id: str) -> None:
        """If this message waits, its files are in spool/input from now on, for everybody to see."""
        with suppress(OSError):  # a disk that is full: it is as safe without
            if queue_id in self.queue:
                self.spool.show(queue_id)

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

"""Trying out a host for an exercise of notebook 00c.

WHAT       `await examine("relay", world)` makes the student's host read its exim.conf again, calls it, sends it letters
           where that is due, and shows the verdict. A `Trial` is what came of it.
RULES      what the host answers, and which letter lands in which mailbox, is all that counts: how the file was written
           is nobody's business, and a real Exim is judged by the same.
READ NEXT  exim_conf.py
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from labkit.eximconf.place import ConfigurationError
from labkit.lab.engine import DoubtfulConfiguration
from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.routing import Routed
from labkit.teach.checks import CheckView, Seen, Verdict, check, exercises, hint, todo
from labkit.teach.views.probes_talk import ask_as, ask_whom, hand_in


@dataclass(slots=True)
class Trial:
    """What the host did when it was tried. `said` is by caller ("stranger", "laptop", …) and recipient."""

    world: World
    said: dict[tuple[str, str], str] = field(default_factory=dict)
    letters: dict[str, Message] = field(default_factory=dict)  # by recipient
    routes: dict[str, Routed] = field(default_factory=dict)
    refusal: str = ""  # the words for a configuration that was not taken
    before: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # what was said before the file was read again
    logged: int = 0  # how much was in the log then

    @property
    def host(self) -> Host:
        return self.world.mine

    @property
    def domain(self) -> str:
        return self.world.laptop.owner.partition("@")[2]

    def takes(self, caller: str, *recipients: str) -> bool:
        """Whether it said yes to that caller, for all of them."""
        return all(self.said.get((caller, each), "").startswith("2") for each in recipients)

    def stumbles(self, *recipients: str) -> bool:
        """Whether one of them was put off: 4yz."""
        return any(said.startswith("4") for (_, each), said in self.said.items() if each in recipients)

    def heard(self, caller: str, recipient: str) -> Seen:
        """As evidence."""
        reply = self.said.get((caller, recipient), "(not asked)").replace("\n", " ")
        return Seen(self.world.now(), self.host.name, f"RCPT TO:<{recipient}> by a {caller}: {reply}")

    def arrivals(self, recipient: str) -> list[MailEvent]:
        """The deliveries into mailboxes of the letter to that recipient."""
        events = self.world.journey(self.letters[recipient]).events if recipient in self.letters else ()
        return [e for e in events if e.kind is EventKind.DELIVERED and e.remote_host is None]

    def is_in_mailbox(self, recipient: str, host: Host, account: str) -> bool:
        """Whether the letter to that recipient lies there."""
        letter = self.letters.get(recipient)
        wanted = letter.first("Message-ID") if letter is not None else None
        return wanted is not None and wanted in [m.first("Message-ID") for m in host.mailbox(account)]

    # --- what a trial does ---

    async def ask(self, caller: str, laptop: Laptop, recipients: Sequence[str], sender: str = "") -> None:
        answers = await ask_whom(self.host, laptop, recipients, sender)
        self.said |= {(caller, each): reply for each, reply in zip(recipients, answers.replies)}

    async def ask_from(self, address: str, recipient: str) -> None:
        """As a caller from that address, which need not be a machine of the lab."""
        answers = await ask_as(self.host, address, [recipient])
        self.said[address, recipient] = answers.replies[0]

    async def write(self, laptop: Laptop, recipient: str) -> None:
        """A letter from that laptop to the host, and whatever follows, retry times or not."""
        letter = laptop.compose(f"<{recipient}>", "A letter of the check", "Does this arrive?\n")
        self.letters[recipient] = letter
        await hand_in(self.host, laptop, recipient, letter)
        await self.host.run_queue(forced=True)


Trying = Callable[[Trial], Awaitable[None]]

_TRYING: dict[str, Trying] = {}
_FIRST: dict[str, Trying] = {}


def tries(name: str, first: Trying | None = None) -> Callable[[Trying], Trying]:
    """The decorated function does what is to be tried for an exercise; `first` what before the file is read again."""

    def register(trying: Trying) -> Trying:
        _TRYING[name] = trying
        if first is not None:
            _FIRST[name] = first
        return trying

    return register


async def examine(name: str, world: World) -> CheckView:
    """Try the student's host for an exercise and judge it. Raises KeyError naming the exercises there are."""
    exercises()  # so that all are known
    if name not in _TRYING:
        raise KeyError(f"no exercise {name!r} to examine; there are: {', '.join(_TRYING)}")
    trial = Trial(world)
    if world.mine.is_running:
        if name in _FIRST:
            await _FIRST[name](trial)
            trial.before, trial.said = trial.said, {}
        trial.logged = len(world.mine.log())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DoubtfulConfiguration)
                await world.mine.reload()
        except ConfigurationError as problem:
            trial.refusal = str(problem)
        else:
            await _TRYING[name](trial)
    return check(name, trial)


def in_the_way(of: object, name: str) -> Verdict | None:
    """What stands in the way of any judgement."""
    if not isinstance(of, Trial):
        return todo(f'This exercise is judged by calling your host: await examine("{name}", world)')
    if of.refusal:
        return hint(f"Your host does not take the file, so it still works by the former one. {of.refusal}")
    if not of.host.is_running:
        return hint("Your host is stopped: await world.mine.start()")
    return None


STUMBLES = (
    "Your host answers 451: it stumbled over something in the file. In an ACL, 'hosts = +name' asks for a hostlist and "
    "'domains = +name' for a domainlist of that name. Is there one of that kind, spelt the same in both places?"
)

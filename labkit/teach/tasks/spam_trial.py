"""Trying out a host that defends itself: a lab of its own for the trial, in which the student's exim.conf runs.

WHAT       `async with trial_of(world) as trial` copies the student's exim.conf, and what is in /etc, into a
           fresh world of the same names, on the same engine. `await trial.write(client, sender, recipient)`
           is one attempt of one client.
WHY        what a greylist remembers, and what a block list says during a trial, stays out of the student's
           world.
RULES      what clients heard, and when they were let in, is all that counts. The text of the file is only
           looked at to find the right hint.
READ NEXT  spam_blocklist.py, spam_greylist.py
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from labkit.eximconf.place import ConfigurationError
from labkit.lab.engine import DoubtfulConfiguration
from labkit.lab.solutions import Solution, configuration, shipped, solution
from labkit.lab.traffic_client import Attempt, attempt
from labkit.lab.traffic_plan import Posting
from labkit.lab.traffic_senders import Sender
from labkit.lab.world import World
from labkit.mail.dates import header_date
from labkit.mail.visible import visible
from labkit.teach.checks import Seen, Verdict, hint, todo
from labkit.teach.markup import clip

_STUMBLED = "Temporary local problem"  # what a client hears then, and after a `defer` without a message
_WHY = re.compile(r"(?m) temporarily rejected [^\n]*?>: (.+)$")
LONGEST_WHY = 200
EXTRA = ("198.18.11.1", "198.18.12.1", "198.18.101.62")  # two firms, and a machine at somebody's home


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who calls: an address, and the name it says in EHLO."""

    address: str
    name: str


FIRM = Client("198.18.11.1", "mx.bakery.test")
OTHER_FIRM = Client("198.18.12.1", "mx.printer.test")
HOME = Client("198.18.101.62", "dsl-62.pool.isp.test")
BOT = Client("198.18.100.61", "bot.winner.test")
PROVIDER = (Client("198.18.22.1", "out1.cloudpost.test"), Client("198.18.23.1", "out2.cloudpost.test"))
SNOWSHOE = Client("198.18.65.1", "m1.deals.test")


@dataclass(slots=True)
class Trial:
    """A world for the trial. `heard` is what came of each attempt, by the name it was given."""

    world: World
    text: str
    heard: dict[str, Attempt] = field(default_factory=dict)
    refusal: str = ""
    untouched: bool = False
    host: str = ""
    domain: str = ""
    log: str = ""  # the main log of its host, when the trial is over

    @property
    def laptop(self) -> Client:
        return Client(self.world.laptop.address, self.world.laptop.name)

    async def write(self, what: str, client: Client, sender: str, recipient: str) -> Attempt:
        """One letter, one attempt. A recipient without a domain is one of the student's people."""
        to = recipient if "@" in recipient else f"{recipient}@{self.domain}"
        self.heard[what] = await one_attempt(self.world, client, sender, to, len(self.heard))
        return self.heard[what]

    def reply(self, what: str) -> str:
        """What decided, in a line."""
        return said(self.heard[what])

    def let_in(self, what: str) -> bool:
        return self.heard[what].is_accepted

    def stumbled(self, what: str) -> str:
        """Why the host could not decide, as its log says it; empty if it decided, were it by a bare `defer`."""
        if _STUMBLED not in self.reply(what):
            return ""
        found = _WHY.search(self.log)
        return clip(visible(found[1]), LONGEST_WHY) if found else ""

    def seen(self, *names: str) -> tuple[Seen, ...]:
        """As evidence."""
        return tuple(Seen(self.heard[name].at, self.host, f"{name}: {self.reply(name)}") for name in names)


def said(found: Attempt) -> str:
    """What decided, in a line."""
    if found.hung_up or found.reply is None:
        return f"no answer ({found.phase})"
    return " ".join((str(found.reply.code), *found.reply.lines))


async def one_attempt(
    world: World, client: Client, sender: str, to: str, number: int = 0, content: bytes | None = None
) -> Attempt:
    """One letter, one attempt: whatever the client hears, it does not come again."""
    now, mine, found = world.now(), world.mine, list[Attempt]()
    header = f"From: {sender or 'mailer-daemon@' + client.name}\r\nTo: {to}\r\nSubject: A letter\r\n"
    header += f"Date: {header_date(now)}\r\nMessage-ID: <{number}.{now:%d%H%M%S}@{client.name}>\r\n"
    caller = Sender("one attempt", False, (client.address,), client.name, client.name)
    letter = content or f"{header}\r\nDoes this arrive?\r\n".encode()
    posting = Posting(number, now, caller, 0, sender, (to,), letter)

    async def go() -> None:
        found.append(await attempt(world, posting, client.address, mine.address))

    await world.do(go, "one attempt")
    return found[0]


@asynccontextmanager
async def trial_of(world: World) -> AsyncIterator[Trial]:
    """A world for the trial of the student's host, which ends with it."""
    text, mine, first = world.mine.configuration, world.mine, world.scenario
    present = set(first.addresses)
    callers = (*first.callers, *(each for each in EXTRA if each not in present))
    engine = mine.engine.name
    fresh = World(
        replace(first, callers=callers, faults=(), agenda=()),
        network="loopback" if engine == "exim" else "memory",
        queue_interval=None,
        alongside=True,
        engine={"student": engine},
    )
    async with fresh:
        own = world.laptop.owner.partition("@")[2]
        trial = Trial(fresh, text, untouched=is_untouched(world), host=mine.name, domain=own)
        if not trial.untouched:
            shutil.copytree(mine.path("/etc"), fresh.mine.path("/etc"), dirs_exist_ok=True)
            fresh.mine.write_configuration(text)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DoubtfulConfiguration)
                    await fresh.mine.reload()
            except ConfigurationError as problem:
                trial.refusal = str(problem)
        yield trial
        trial.log = fresh.mine.log()


def is_untouched(world: World) -> bool:
    """Whether exim.conf is still that of the scenario, or one that the notebook has put there."""
    mine = world.mine
    names = {"host": mine.name, "domain": mine.name.partition(".")[2], "laptop": world.laptop.address}
    first = next(plan.configuration for plan in world.scenario.hosts if plan.name == mine.name)
    ours: list[Solution | None] = [None, *(solution(name) for name in shipped())]
    known = {_plain(first), *(_plain(configuration(each, **names)) for each in ours)}
    return _plain(mine.configuration) in known


def _plain(text: str) -> tuple[str, ...]:
    return tuple(
        " ".join(line.split()) for line in text.splitlines() if line.strip() and line.strip()[0] != "#"
    )


def in_the_way(of: object, name: str, probe: str) -> Verdict | None:
    """What stands in the way of any judgement."""
    if not isinstance(of, Trial):
        return todo(f'Let your host be tried: check("{name}", await {probe}(world)).')
    if of.untouched:
        return todo(
            "Your host still runs the first exim.conf, or one of the notebook's. Write your lines and put "
            "them to "
            'work: await defend(world, Solution("mine", mine)).'
        )
    if of.refusal:
        return hint(f"Your host does not take the file. {of.refusal}")
    return None


def says(trial: Trial, pattern: str) -> bool:
    """Whether a line of the file that is no comment has this. For hints only."""
    lines = [line for line in trial.text.splitlines() if not line.lstrip().startswith("#")]
    return re.search(pattern, "\n".join(lines)) is not None

"""What happens by itself in a scenario, and when: the lines of its agenda.

WHAT       `Happening` is one line; `read_instant` reads "+2h" and "day 2 10:00"; `carry_out` does it in a world.
RULES      lab time only; the first day is the one on which a world begins, at nine in the morning.
           What goes wrong (a laptop finds nobody) is written into the journal, and the lab goes on.
READ NEXT  scenario_file.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from labkit.lab.clock import FIRST_MORNING
from labkit.lab.engine import QueueRun
from labkit.lab.faults import KINDS, Fault
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import with_crlf

if TYPE_CHECKING:
    from labkit.lab.world import World

ACTIONS = {
    "down": "a host stops: `kill -TERM`",
    "up": "it starts again, with a queue run first",
    "fault": "something breaks: a fault with its place and details, as in `faults`",
    "clear": "all faults of a host or a name are over; `all`: those of everybody",
    "send": "somebody sends a message: from, to, by (a laptop, or a host), subject, text",
    "queue run": "a host runs its queue: `exim -q`",
    "forced queue run": "the same, and retry times do not count: `exim -qf`",
    "zone": "the nameserver has another text of a zone from now on: origin, text",
}
FORM = "write +30m, +2h, +1d12h after the beginning, or a day and a time, as in: day 2 10:00"
LONGEST = timedelta(days=366)
_SPAN = re.compile(r"\+(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
_DAY = re.compile(r"day (\d{1,3}) ([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that somebody sends by the agenda; `by` is a laptop or a host."""

    sender: str
    to: tuple[str, ...]
    by: str
    subject: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Happening:
    """So long `after` the first morning, this happens. `place` is a host, a name or a zone."""

    after: timedelta
    action: str
    place: str = ""
    fault: Fault | None = None
    letter: Letter | None = None
    text: str = ""

    def __str__(self) -> str:
        if self.fault is not None:
            return str(self.fault)
        if self.letter is not None:
            return f"{self.letter.sender} sends to {', '.join(self.letter.to)}"
        return f"{self.place}: {self.action}"


def read_instant(text: str) -> timedelta:
    """How long after the beginning of a world. Raises ValueError with the remedy."""
    if found := _DAY.fullmatch(text):
        day, hour, minute = map(int, found.groups())
        morning = FIRST_MORNING.replace(hour=0, minute=0)
        after = morning + timedelta(days=day - 1, hours=hour, minutes=minute) - FIRST_MORNING
        if day < 1 or after < timedelta(0):
            raise ValueError(f"a world begins on day 1 at {FIRST_MORNING:%H:%M}: write a later time")
    elif (found := _SPAN.fullmatch(text)) and any(found.groups()):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        after = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        raise ValueError(FORM)
    if after > LONGEST:
        raise ValueError(f"that is more than {LONGEST.days} days: no agenda goes on for so long")
    return after


async def carry_out(world: World, happening: Happening) -> None:
    """Do it now; it is a line of the agenda of this world that is its turn."""
    world.note("lab", EventKind.SCENE, text=str(happening))
    action, place = happening.action, happening.place
    if action in ("down", "up"):
        engine = world.host(place).engine
        await (engine.stop() if action == "down" else engine.start())
        world.show_doorplate()
    elif action == "fault" and (fault := happening.fault) is not None:
        details = {name: getattr(fault, name) for name in KINDS[fault.kind].details}
        world.faults.add(fault.place, fault.kind, **{n: v for n, v in details.items() if v != ""})
    elif action == "clear":
        world.faults.clear("" if place == "all" else place)
    elif action == "send" and happening.letter is not None:
        await _send(world, happening.letter)
    elif action in ("queue run", "forced queue run"):
        await world.host(place).engine.run_queue(QueueRun(forced=action == "forced queue run"))
    elif action == "zone":
        world.write_zone(place, happening.text)


async def _send(world: World, letter: Letter) -> None:
    if letter.by in world.laptops:
        laptop = world.laptops[letter.by]
        try:
            sent = await laptop.send(
                letter.to, letter.subject, letter.text, sender=letter.sender, settle=False
            )
        except OSError as problem:  # a mail program has no queue: its owner sees this
            world.note("lab", EventKind.SCENE, text=f"{laptop.name} could not send: {problem}")
        else:
            if sent.queue_id is None:
                world.note("lab", EventKind.SCENE, text=f"{laptop.name} could not send: {sent}")
        return
    host = world.host(letter.by)
    text = f"From: {letter.sender}\nTo: {', '.join(letter.to)}\nSubject: {letter.subject}\n\n{letter.text}"
    login = letter.sender.partition("@")[0] or "root"
    await host.engine.submit(Envelope.of(letter.sender, *letter.to), with_crlf(text.encode()), login)

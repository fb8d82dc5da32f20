"""Somebody writes once, and the view says what he heard: one line for each attempt.

WHAT       `await visit(world, "bot.winner.test", to="ann")` lets that machine of the lab hand one letter to
           the student's host, as itself or under another `sender`; the `Visit` it gives says what was
           replied, and how long it took.
LIKE       `swaks --server mx2… --ehlo … --from … --to …`, from that machine
RULES      one attempt: who is put off does not come again by itself. Ids are left out, so that all engines
           say the same.
READ NEXT  ../tasks/spam_trial.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from labkit.lab.traffic_client import Attempt
from labkit.lab.world import World
from labkit.mail.visible import visible
from labkit.teach.given import expect
from labkit.teach.markup import clip
from labkit.teach.tasks.spam_trial import Client, one_attempt, said

LONGEST = 100


@dataclass(frozen=True, slots=True, repr=False)
class Visit:
    """What one client heard."""

    name: str
    sender: str
    recipient: str
    at: datetime
    attempt: Attempt

    @property
    def is_accepted(self) -> bool:
        return self.attempt.is_accepted

    @property
    def reply(self) -> str:
        return clip(visible(said(self.attempt).partition(" id=")[0]), LONGEST)

    def __repr__(self) -> str:
        waited = f", after {self.attempt.seconds:g} s" if self.attempt.seconds else ""
        who = f"{self.name} as <{self.sender}>"
        return f"{self.at:%H:%M} {who} to {self.recipient}{waited}:\n      {self.reply}"


async def visit(
    world: World, name: str, to: str = "ann", *, sender: str | None = None, content: bytes | None = None
) -> Visit:
    """Let it write once. `content`: a whole message, else a short one. Raises KeyError naming the machines "
    "there are."""
    expect(world, World, "visit(world, name)")
    domain = world.laptop.owner.partition("@")[2]
    if name in world.laptops:
        laptop = world.laptops[name]
        address, owner = laptop.address, laptop.owner
    elif name in world.hosts:
        address, owner = world.hosts[name].address, f"postmaster@{name.partition('.')[2]}"
    else:
        raise KeyError(f"no machine {name}; there are {', '.join((*world.laptops, *world.hosts))}")
    sender = owner if sender is None else sender
    recipient = to if "@" in to else f"{to}@{domain}"
    found = await one_attempt(world, Client(address, name), sender, recipient, content=content)
    return Visit(name, sender, recipient.partition("@")[0], found.at, found)

"""What the exercises of notebook 04 know of loops: who came how often to which host, and what ended it.

WHAT       `turns_of(world)`: each message that somebody sent, with its hops and its end. Reports do not count.
           `aliases_of(host)`: the names in its /etc/aliases and what they become.
DECIDES    by facts of the journal and the files on the disks of the hosts.
STANDARDS  RFC 5321 §6.3
READ NEXT  loops.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from labkit.lab.hops import Hop, hops_of, in_order
from labkit.lab.host import Host
from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent

TOO_MANY = "Too many"  # … "Received" headers: how Exim begins the line
DEFAULT_LIMIT = 30  # Exim's
_LIMIT = re.compile(r"^\s*received_headers_max\s*=\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that was sent once, and every arrival of it. `came`: the events of its arrivals."""

    message_id: str
    hops: tuple[Hop, ...]
    came: tuple[MailEvent, ...]
    failed: tuple[MailEvent, ...]
    recipient: str  # for whom it was at its first host

    @property
    def is_loop(self) -> bool:
        """It came to some host a second time."""
        hosts = [hop.host for hop in self.hops]
        return len(set(hosts)) < len(hosts)

    def visits(self, host: Host) -> int:
        return sum(hop.host == host.name for hop in self.hops)

    @property
    def was_counted_out(self) -> MailEvent | None:
        """The failure because of too many Received fields."""
        return next((event for event in self.failed if (event.text or "").startswith(TOO_MANY)), None)


def turns_of(world: World) -> list[Turn]:
    """The messages of people, in the order of their coming; a message that only one host has seen is one, too."""
    facts = [event for event in world.journal.facts() if event.queue_id is not None]
    letters = [event for event in facts if event.kind is EventKind.RECEIVED and event.sender]
    names = dict.fromkeys(event.message_id for event in letters if event.message_id is not None)
    return [_turn(facts, name) for name in names]


def _turn(facts: list[MailEvent], name: str) -> Turn:
    life = life_of(facts, name)
    stays = in_order(life)
    said = [event for stay in stays for event in stay.events]
    return Turn(
        name,
        tuple(hops_of(life)),
        tuple(stay.events[0] for stay in stays),
        tuple(event for event in said if event.kind is EventKind.FAILED),
        next((event.recipient.lower() for event in stays[0].events if event.recipient), ""),
    )


def reports_about(world: World, turn: Turn) -> list[MailEvent]:
    """The reports that hosts wrote because this message failed."""
    ids = {event.queue_id for event in turn.came}
    return [event for event in world.journal.where(EventKind.RECEIVED) if event.about in ids]


def limit_on_disk(host: Host) -> int | None:
    """received_headers_max in the host's file; None: there is no such line."""
    found = _LIMIT.search(host.configuration)
    return int(found[1]) if found else None


def limit_of(host: Host) -> int:
    """What counts, if the daemon has read the file."""
    wanted = limit_on_disk(host)
    return DEFAULT_LIMIT if wanted is None else wanted


def aliases_of(host: Host) -> dict[str, list[str]]:
    """The names in the file of aliases on the host's disk, and what they become; comments are left out."""
    path = host.path("/etc/aliases")
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found: dict[str, list[str]] = {}
    for line in text.lower().splitlines():
        name, colon, becomes = line.partition(":")
        if colon and name.strip() and not name.startswith("#"):
            found[name.strip().strip('"')] = [each.strip() for each in becomes.split(",") if each.strip()]
    return found


def domain_of(host: Host) -> str:
    """The domain whose mail a host takes: that of its laptop's owner."""
    owners = (laptop.owner for laptop in host.world.laptops.values() if laptop.mail_host == host.name)
    return next(owners).partition("@")[2].lower()


def last(events: Iterable[MailEvent]) -> MailEvent | None:
    """The newest of them."""
    return max(events, key=lambda event: event.number, default=None)

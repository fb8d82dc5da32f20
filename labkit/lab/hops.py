"""The hops of a message that goes from host to host, and back: read from the journal.

WHAT       `hops_of` gives every arrival in order, with its size, how often the lab's hosts have stamped it, and how
           long it stayed; `arrows_of` counts them by who handed it to whom.
RULES      facts only. A hop belongs to the one before if the host that handed the message over was told the new queue
           id ("OK id=…"), as labkit and Exim say it.
STANDARDS  RFC 5321 §4.4 (each host adds a Received field), §6.3 (loops)
READ NEXT  lives.py
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.lab.lives import Life, Stay
from labkit.mail.event import EventKind, MailEvent

ORIGIN = "(handed in)"
_ID = re.compile(r"\bid=([0-9A-Za-z-]{16,23})\b")


@dataclass(frozen=True, slots=True)
class Hop:
    """One arrival. `stamps`: the Received fields that hosts of this lab have put on it so far, this host's included.

    `stayed`: lab time until it went on or ended here; None: it is still here.
    """

    number: int
    came_from: str
    host: str
    queue_id: str
    at: datetime
    size: int | None
    stamps: int
    stayed: timedelta | None
    ending: str  # what became of it here, in words


@dataclass(frozen=True, slots=True)
class Arrow:
    """From a host to another (or to itself), so often. `count` messages went there."""

    came_from: str
    host: str
    count: int


def hops_of(life: Life) -> list[Hop]:
    """Each arrival of a message, in order; one that was split has hops beside each other."""
    came_by = _came_by(life)
    stamps: dict[tuple[str, str], int] = {}
    hops = []
    for number, stay in enumerate(in_order(life), start=1):
        before = came_by.get(stay.queue_id)
        stamps[(stay.host, stay.queue_id)] = 1 + (stamps.get(before, 0) if before else 0)
        source = before[0] if before else stay.came_from or ORIGIN
        stayed = None if stay.ended is None else stay.ended - stay.began
        count, size = stamps[(stay.host, stay.queue_id)], stay.events[0].size
        hops.append(
            Hop(number, source, stay.host, stay.queue_id, stay.began, size, count, stayed, _ending(stay))
        )
    return hops


def in_order(life: Life) -> list[Stay]:
    """The stays as they came, and none before the one that it came from.

    What two real Exims have logged at the same instant is read from two files, perhaps the later one first.
    """
    came_by = _came_by(life)
    stays = {(stay.host, stay.queue_id): stay for stay in life.stays}
    found: dict[tuple[str, str], Stay] = {}
    for key in stays:
        line: list[tuple[str, str]] = []  # this one, the one before it …, as far as they are missing
        at: tuple[str, str] | None = key
        while at in stays and at not in found and at not in line:
            line.append(at)
            at = came_by.get(at[1])
        found |= {each: stays[each] for each in reversed(line)}
    return list(found.values())


def _came_by(life: Life) -> dict[str, tuple[str, str]]:
    """The host and queue id before, by the queue id."""
    return {
        named[1]: (stay.host, stay.queue_id)
        for stay in life.stays
        for event in stay.of(EventKind.DELIVERED)
        if (named := _ID.search(event.text or ""))
    }


def arrows_of(hops: Iterable[Hop]) -> list[Arrow]:
    """Who handed how often to whom, in the order of the first time."""
    counted = Counter((hop.came_from, hop.host) for hop in hops)
    return [Arrow(came_from, host, count) for (came_from, host), count in counted.items()]


def cycles_of(arrows: Iterable[Arrow]) -> list[tuple[str, ...]]:
    """The circles among the hosts, each once, beginning with the host that comes first in the alphabet."""
    following: dict[str, set[str]] = {}
    for arrow in arrows:
        following.setdefault(arrow.came_from, set()).add(arrow.host)
    found: set[tuple[str, ...]] = set()

    def walk(path: tuple[str, ...]) -> None:
        for host in sorted(following.get(path[-1], ())):
            if host == path[0]:
                found.add(path)
            elif host > path[0] and host not in path and len(path) < 8 and len(found) < 50:
                walk((*path, host))

    for host in sorted(following):
        walk((host,))
    return sorted(found)


def life_of_all(events: Iterable[MailEvent]) -> Life:
    """Every message of a journal at once; what hosts wrote themselves (reports) is left out."""
    stays: dict[tuple[str, str], list[MailEvent]] = {}
    for event in events:
        if not event.kind.is_fact or event.queue_id is None:
            continue
        key = (event.host, event.queue_id)
        if (event.kind is EventKind.RECEIVED and event.about is None) or key in stays:
            stays.setdefault(key, []).append(event)
    return Life("", tuple(Stay(host, queue_id, tuple(said)) for (host, queue_id), said in stays.items()))


def _ending(stay: Stay) -> str:
    failed = stay.of(EventKind.FAILED)
    if failed:
        return f"given up: {failed[-1].text or failed[-1].recipient}"
    delivered = stay.of(EventKind.DELIVERED)
    if stay.ended is None:
        return "waits"
    if not delivered:
        return "nothing was left to do"
    last = delivered[-1]
    return (
        f"handed over to {last.remote_host}"
        if last.remote_host
        else f"put into the mailbox of {last.recipient}"
    )

"""A large lab in memory: seconds and megabytes. python benchmarks/scale.py [hosts] [messages]

WHAT       so many domains with an MTA each; messages go from host to host, one after the other, as a notebook
           sends them.
MEASURES   the time to open the world, then for each tenth of the messages; the memory of this process.
NOTE       the disk counts: each message is synced at both hosts before 250 is said.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from dataclasses import dataclass

from labkit import neighbours
from labkit.mail.event import EventKind

PARTS = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds to open the world, for each part of the messages, to close it; megabytes; what arrived."""

    opened: float
    parts: tuple[float, ...]
    closed: float
    megabytes: float
    delivered: int
    events: int


def megabytes() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KB


async def measure(hosts: int, messages: int) -> Measured:
    """Send so many messages through a world of so many hosts."""
    before, began, parts = megabytes(), time.perf_counter(), list[float]()
    domains = [f"d{number}.test" for number in range(hosts)]
    world = await neighbours(*domains, network="memory", alongside=True).start()
    opened = time.perf_counter() - began
    try:
        senders = list(world.hosts.values())
        for part in range(PARTS):
            began = time.perf_counter()
            for number in range(messages * part // PARTS, messages * (part + 1) // PARTS):
                here, there = number % hosts, (number * 7 + 1) % hosts
                text = f"Subject: {number}\n\nhello\n"
                await senders[here].send(f"user@{domains[here]}", f"user@{domains[there]}", text)
            parts.append(time.perf_counter() - began)
        stored = [e for e in world.journal.where(EventKind.DELIVERED) if e.remote_host is None]
        waiting = sum(len(host.queue) for host in senders)
        assert not waiting, f"{waiting} messages wait"
        delivered, events = len(stored), len(world.journal)
    finally:
        began = time.perf_counter()
        await world.stop()
    return Measured(
        opened, tuple(parts), time.perf_counter() - began, megabytes() - before, delivered, events
    )


def main(hosts: int = 200, messages: int = 10_000) -> int:
    """Print what was measured; returns 0."""
    found = asyncio.run(measure(hosts, messages))
    print(f"{hosts} hosts opened in {found.opened:.1f} s, closed in {found.closed:.1f} s")
    print(
        f"{found.delivered} messages in {sum(found.parts):.1f} s, {found.events} events, {found.megabytes:.0f} MB"
    )
    print("each tenth took:", ", ".join(f"{seconds:.1f}" for seconds in found.parts), "s")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))

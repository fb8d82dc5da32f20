"""The same outage with real mail: the lab's own hosts, a few dozen messages, and what the journal says of them.

WHAT       `measured(outage)`: two hosts in memory, the messages of the outage sent at their instants, the other host
           stopped (or made to put off every recipient) and back again; returns a Played, like the model's.
WHY        a model that nobody has compared with the thing itself is a guess.
READ NEXT  labkit/teach/plots/scale.py
"""

from __future__ import annotations

from datetime import datetime, timedelta

from labkit.lab.host import Host
from labkit.lab.lives import is_only_a_look
from labkit.lab.whatif import ADDRESS, DELIVERED, GIVEN_UP, NEVER, Outage, Played
from labkit.lab.world import World, partners
from labkit.mail.event import EventKind, MailEvent

MOST_MESSAGES = 500
_RULE = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
_PUT_OFF = "check_rcpt:\n  defer message = come again later\n"


async def measured(outage: Outage, engine: str = "labkit") -> Played:
    """Do it with the mail itself, labkit's MTA or the real Exim as the one whose queue it is.

    Raises ValueError for more messages than a notebook wants to wait for; for "exim" what World raises.
    """
    if len(outage.arrivals) > MOST_MESSAGES:
        raise ValueError(
            f"{len(outage.arrivals):,} messages are for the model; the lab takes {MOST_MESSAGES}"
        )
    interval = timedelta(seconds=outage.every)
    network = "memory" if engine == "labkit" else "loopback"
    engines = {"student": engine, "partner": "labkit"}  # whatever else this lab runs
    async with partners(network=network, queue_interval=interval, alongside=True, engine=engines) as world:
        begin = world.now()
        mine = world.mine
        configuration = mine.configuration.replace(_RULE, outage.rule.text)
        if engine != "labkit":  # labkit's queue runs always are in order
            configuration = f"queue_run_in_order\n{configuration}"
        mine.write_configuration(configuration)
        await mine.reload()
        for at, number in _events(outage):
            await world.advance(seconds=at - (world.now() - begin).total_seconds())
            if number >= 0:
                await _send(world, number)
            else:
                await _turn(world.partner, outage.hints, is_down=number == _DOWN)
        await world.advance(seconds=outage.until - (world.now() - begin).total_seconds())
        facts = [event for event in world.journal.facts() if event.host == mine.name]
    return _played(facts, begin, outage)


_DOWN, _UP = -2, -1


def _events(outage: Outage) -> list[tuple[int, int]]:
    """When what happens, in order: the number of a message to send, or the beginning or the end of the outage."""
    arrivals = [(int(at), number) for number, at in enumerate(outage.arrivals) if at <= outage.until]
    turns = [(outage.down_from, _DOWN), (outage.down_until, _UP)]
    return sorted([*arrivals, *(turn for turn in turns if turn[0] <= outage.until)])


async def _send(world: World, number: int) -> None:
    mine, partner = world.mine, world.partner
    domain, other = mine.name.partition(".")[2], partner.name.partition(".")[2]
    text = f"Subject: number {number}\nMessage-ID: <{number}@{domain}>\n\nhello\n"
    await mine.send(f"sender{number}@{domain}", f"bob@{other}", text)


async def _turn(host: Host, hints: str, *, is_down: bool) -> None:
    if hints == ADDRESS:
        if is_down:
            host.write_configuration(host.configuration.replace("check_rcpt:\n", _PUT_OFF, 1))
        else:
            host.write_configuration(host.configuration.replace(_PUT_OFF, "check_rcpt:\n", 1))
        await host.reload()
    elif is_down:
        await host.stop()
    else:
        await host.start()


def _played(facts: list[MailEvent], begin: datetime, outage: Outage) -> Played:
    import numpy as np

    came = [event for event in facts if event.kind is EventKind.RECEIVED and event.about is None]
    number = {event.queue_id: row for row, event in enumerate(came)}
    left = np.full(len(came), NEVER, dtype=np.int64)
    fate = np.zeros(len(came), dtype=np.int8)
    calls: dict[int, int] = {}

    def seconds(event: MailEvent) -> int:
        return int((event.at - begin).total_seconds())

    for event in facts:
        row = number.get(event.queue_id)
        if row is None:
            continue
        if event.kind is EventKind.DEFERRED and not is_only_a_look(event):
            calls[seconds(event)] = calls.get(seconds(event), 0) + 1
        if event.kind in (EventKind.DELIVERED, EventKind.FAILED):
            fate[row] = DELIVERED if event.kind is EventKind.DELIVERED else GIVEN_UP
        if event.kind is EventKind.COMPLETED:
            left[row] = seconds(event)
    return Played(
        np.array([seconds(event) for event in came], dtype=np.int64), left, fate,
        np.array(sorted(calls), dtype=np.int64), np.array([calls[at] for at in sorted(calls)], dtype=np.int64),
        outage.every, outage.until,
    )  # fmt: skip

"""Two exercises of notebook 03: mail waits at the student's host and arrives by itself; and by force.

WHAT       `wait and arrive`: somebody outside wrote while the partner was down, the message waited at the student's
           host, and one of its daemon's queue runs delivered it. `by force`: one came before its time, by a command.
DECIDES    by facts of the journal: a delivery was by itself if it happened at one of the daemon's fixed times and the
           retry time was reached; else somebody had a hand in it. Proven by the partner's mailbox.
STANDARDS  RFC 5321 §4.5.4.1 (queues and retries); Exim specification, "The Exim command line" (-q, -qf, -M, -R)
READ NEXT  backup_read.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.lab.host import Host
from labkit.lab.lives import is_only_a_look
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.backup_zone import partner_domain

SHORTEST_WAIT = timedelta(minutes=15)  # of the retry rule that these hosts have
NEAR = timedelta(seconds=5)  # a real Exim needs moments


@dataclass(frozen=True, slots=True)
class Kept:
    """A message for the partner that a stranger left at the student's host: what happened to it there."""

    came: MailEvent
    tries: tuple[MailEvent, ...]
    looks: tuple[MailEvent, ...]
    delivered: MailEvent | None
    failed: MailEvent | None
    completed: MailEvent | None

    @property
    def waited(self) -> bool:
        return bool(self.tries)


@exercise("wait and arrive", "Mail for your partner waits at your host and arrives by itself")
def wait_and_arrive(world: World) -> Verdict:
    """Look for one message that did all of it; else say how far the last one came."""
    kept = _kept(world)
    for each in reversed(kept):
        if each.waited and each.delivered is not None and _by_itself(world, each) and _owner_has(world, each):
            return done(
                "It waited because Bob's host was down, and it left at a queue run, when its retry time was "
                "over. Nobody did anything.",
                [*_way(world, each)],
            )
    if not kept:
        return _never_here(world)
    last = kept[-1]
    if last.delivered is not None and not last.waited:
        return hint(
            "It came to your host and went on at once: Bob's host was up. Stop it first: await "
            "world.partner.stop().",
            last.delivered,
        )
    if last.delivered is not None and not _by_itself(world, last):
        return hint(
            f"It arrived, but at {last.delivered.at:%H:%M} somebody had a hand in it: that is no queue run "
            "of your daemon, or its retry time was not reached. Take another one, and let only lab time "
            "pass (advance).",
            *last.tries[-1:],
            last.delivered,
        )
    return _not_arrived(world, last)


def _not_arrived(world: World, last: Kept) -> Verdict:
    """The newest message is not in the partner's mailbox."""
    if last.delivered is not None:
        return hint(
            "Your log says that it left, and Bob has no such message. What became of "
            f"{last.delivered.text} there?",
            last.delivered,
        )
    if last.failed is not None:
        return hint(
            f"Your host gave it up: {last.failed.text}. It had waited too long, or Bob's host said no. "
            "Send another.",
            last.failed,
        )
    if last.completed is not None:
        return hint(
            "It left your queue, and nobody got it: somebody has removed it (-Mrm). Send another.",
            last.completed,
        )
    if not world.partner.is_running:
        return hint(
            "It waits at your host, and Bob's host is still down. Look at it; then start Bob's host and "
            "let time pass.",
            *last.tries[-1:],
        )
    run = world.mine.next_queue_run()
    if run is None:
        return hint("Bob's host is up again. Your daemon runs no queue now: is it up?", *last.tries[-1:])
    return hint(
        "Bob's host is up again and the message still waits. Two clocks: why_waiting(world.mine, ...) says "
        "when both are reached. Let that much time pass.",
        *(last.looks[-1:] or last.tries[-1:]),
    )


def _never_here(world: World) -> Verdict:
    """No stranger has left mail for the partner at the student's host: where did it go?"""
    domain, mine, theirs = partner_domain(world), world.mine, world.partner
    refused = [
        event
        for event in world.journal.where(EventKind.REJECTED, host=mine.name)
        if _is_for(event.recipient, domain)
        and event.remote_address != world.partner_laptop.address
        and _was_sent(world, event)
    ]
    own = [
        event
        for event in world.journal.where(EventKind.RECEIVED, host=mine.name)
        if _names(event, domain) and event.remote_address in (None, world.laptop.address)
    ]
    sent = [
        event
        for event in world.journal.facts()
        if event.kind in (EventKind.FAILED, EventKind.DELIVERED)
        and _is_for(event.recipient, domain)
        and world.hosts[event.host].engine.name == "outside"
    ]
    last = max([*refused, *own, *sent], key=lambda event: event.number, default=None)
    if last is None:
        return todo(
            f"Stop Bob's host, let Carol write to {world.partner_laptop.owner}, start it again, and let "
            "time pass."
        )
    if last.kind is EventKind.DELIVERED:
        return hint(
            f"Carol's message went straight to {theirs.name}, which was up: nothing ever waited. Bob's host "
            "must be down before she writes.",
            last,
        )
    if last.kind is EventKind.RECEIVED:
        return hint(
            "That message came from your own laptop (or was written on your host). Then you are the "
            "sender's MTA, and would have it in the queue without being anybody's backup. Let Carol write.",
            last,
        )
    if last.kind is EventKind.REJECTED or "relay not permitted" in (last.text or ""):
        return hint(
            "Carol's host came to yours, and yours said no. First the exercise before: your host must take "
            f"mail for {domain} from everybody.",
            last,
        )
    return hint(
        f"Carol's host tried only {theirs.name} and gave up. Who takes mail for {domain}, by the DNS as her "
        "host knows it at that minute? An answer is remembered for its TTL, an hour.",
        last,
    )


def _was_sent(world: World, refused: MailEvent) -> bool:
    """Whether the refusal was of a message somebody really wanted to send, and not of a check that asked."""
    return any(
        event.at == refused.at and _is_for(event.recipient, partner_domain(world))
        for event in world.journal.where(EventKind.FAILED)
    )


@exercise("by force", "Mail for your partner leaves your host before its time, by a command")
def by_force(world: World) -> Verdict:
    """Look for a message that waited and was delivered out of turn."""
    kept = [each for each in _kept(world) if each.waited]
    for each in reversed(kept):
        if each.delivered is not None and not _by_itself(world, each) and _owner_has(world, each):
            return done(
                "It did not wait for its retry time, and Bob has it: his mailbox proves it, your log alone "
                "does not.",
                [*_way(world, each)],
            )
    if not kept:
        return todo(
            "Let one more message wait at your host, start Bob's host, and make the message leave at once."
        )
    last = kept[-1]
    if last.delivered is not None:
        if not _owner_has(world, last):
            return hint(
                "Your log says that it left. Bob does not have it: look at his log and his queue.",
                last.delivered,
            )
        return hint(
            f"The last one arrived at {last.delivered.at:%H:%M} by a queue run of the daemon, in its time. "
            "Make another wait, and do not let lab time pass after Bob's host is up.",
            last.delivered,
        )
    if last.failed is not None or last.completed is not None:
        return hint(
            "The last one is gone, and Bob does not have it: given up or removed (-Mrm). Make another wait.",
            *filter(None, (last.failed, last.completed)),
        )
    up = _up_since(world.partner, world)
    if up is None:
        if len(last.tries) > 1 and last.tries[-1].at - last.tries[-2].at < SHORTEST_WAIT:
            return hint(
                "You forced it while Bob's host was down: it was tried, and refused again. Start his host "
                "first.",
                last.tries[-1],
            )
        return hint(
            "It waits, and Bob's host is down. Start his host, then make the message leave.", last.tries[-1]
        )
    vain = [look for look in last.looks if look.at >= up]
    if vain:
        return hint(
            'A queue run looked at it and let it be: "retry time not reached". exim -q respects retry times. Which '
            "form of it does not?",
            vain[-1],
        )
    return hint(
        "It waits, and Bob's host is up. Make it leave now: by the whole queue, by its id, or by its domain.",
        last.tries[-1],
    )


# -- what both look at -----------------------------------------------------------------------------------------


def _kept(world: World) -> list[Kept]:
    """The messages for the partner that came to the student's host from elsewhere, oldest first."""
    domain, host = partner_domain(world), world.mine.name
    facts: dict[str, list[MailEvent]] = {}
    for event in world.journal.facts():
        if event.host == host and event.queue_id is not None:
            facts.setdefault(event.queue_id, []).append(event)
    return [
        _kept_of(events, domain)
        for events in facts.values()
        if events[0].kind is EventKind.RECEIVED
        and events[0].remote_address not in (None, world.laptop.address)
        and _names(events[0], domain, events)
    ]


def _kept_of(events: list[MailEvent], domain: str) -> Kept:
    ours = [event for event in events if _is_for(event.recipient, domain)]
    put_off = [event for event in ours if event.kind is EventKind.DEFERRED]
    return Kept(
        events[0],
        tuple(event for event in put_off if not is_only_a_look(event)),
        tuple(event for event in put_off if is_only_a_look(event)),
        _last(ours, EventKind.DELIVERED),
        _last(ours, EventKind.FAILED),
        _last(events, EventKind.COMPLETED),
    )


def _last(events: Iterable[MailEvent], kind: EventKind) -> MailEvent | None:
    return next((event for event in reversed(list(events)) if event.kind is kind), None)


def _by_itself(world: World, kept: Kept) -> bool:
    """Whether it was delivered at one of the daemon's queue runs, when its retry time was reached."""
    assert kept.delivered is not None
    at, every = kept.delivered.at, world.mine.engine.queue_interval
    starts = [
        event.at for event in world.journal.where(EventKind.STARTED, host=world.mine.name) if event.at <= at
    ]
    if every is None or not starts:
        return False
    is_run = any((at - start) % every < NEAR for start in starts[-2:])
    return is_run and at - kept.tries[-1].at + NEAR >= SHORTEST_WAIT


def _owner_has(world: World, kept: Kept) -> bool:
    """Whether the message is in a mailbox of the partner's host, by its Message-ID."""
    wanted = kept.came.message_id
    return wanted is not None and any(
        message.first("Message-ID") in (wanted, f"<{wanted}>")
        for account in world.partner.accounts
        for message in world.partner.mailbox(account)
    )


def _way(world: World, kept: Kept) -> Iterable[MailEvent | Seen]:
    yield kept.came
    yield kept.tries[-1]
    up = _up_since(world.partner, world, kept.delivered)
    if up is not None:
        yield Seen(up, world.partner.name, "started again")
    assert kept.delivered is not None
    yield kept.delivered
    yield Seen(kept.delivered.at, world.partner.name, f"the message {kept.came.message_id} is in a mailbox")


def _up_since(host: Host, world: World, before: MailEvent | None = None) -> datetime | None:
    """Since when the host is up (or was, then); None: it is down."""
    up: datetime | None = None
    for event in world.journal.facts():
        if before is not None and event.number > before.number:
            break
        if event.host == host.name and event.kind is EventKind.STARTED:
            up = event.at
        elif event.host == host.name and event.kind is EventKind.STOPPED:
            up = None
    return up


def _is_for(recipient: str | None, domain: str) -> bool:
    return (recipient or "").lower().rpartition("@")[2] == domain


def _names(came: MailEvent, domain: str, events: Iterable[MailEvent] = ()) -> bool:
    """Whether the message is for that domain: as RCPT said, or as what happened to it shows."""
    said = (came.raw_recipients or "").split()
    return any(_is_for(each, domain) for each in (*said, *(event.recipient for event in events)))

"""The exercise of notebook 00: a blind copy.

WHAT       one message that reaches Bob and Ann while its To: names only one of them. It can be done only by who has
           understood that the envelope delivers and the header is read.
STANDARDS  RFC 5321 §2.3.1 (envelope), RFC 5322 §3.6.3 (Bcc)
"""

from __future__ import annotations

from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.teach.checks import Verdict, done, exercise, hint, todo


@exercise("blind copy", "One message, two mailboxes, one name in To:")
def blind_copy(world: World) -> Verdict:
    """Judge from the facts: which Message-ID arrived in which mailbox, and what its To: says there."""
    ann, bob = world.laptop.owner, world.partner_laptop.owner
    by_message = _arrivals(world, (ann, bob))
    both = {name: found for name, found in by_message.items() if set(found) == {ann, bob}}
    blind = {name: found for name, found in both.items() if not _names_both(_copy(world, name), ann, bob)}
    if blind:
        evidence = next(iter(blind.values()))
        return done(
            "The envelope named two recipients, the header one. Whoever reads it cannot see the other.",
            [evidence[ann], evidence[bob]],
        )
    if both:
        evidence = next(iter(both.values()))
        return hint(
            f"It reached both, but its To: names both: a carbon copy, not a blind one. Give header_to={bob!r}.",
            evidence[ann],
            evidence[bob],
        )
    to_ann = [found[ann] for found in by_message.values() if ann in found]
    if to_ann:
        return hint(
            f"A message reached {ann}, but Bob got another one: two messages, not one with two recipients. "
            f"Name both in one call: send([{bob!r}, {ann!r}], …).",
            to_ann[0],
        )
    refused = [
        event
        for event in world.journal.facts()
        if event.kind in (EventKind.REJECTED, EventKind.FAILED) and event.recipient is not None
    ]
    if refused:
        return hint(f"A recipient was refused: {refused[-1].recipient}. Look at the spelling.", refused[-1])
    return todo(
        f"Send one message to {bob} and to {ann} whose To: names only {bob}, then run this cell again."
    )


def _arrivals(world: World, people: tuple[str, ...]) -> dict[str, dict[str, MailEvent]]:
    """For each Message-ID, the deliveries into these people's mailboxes. Reports do not count."""
    received = {
        (event.host, event.queue_id): event
        for event in world.journal.where(EventKind.RECEIVED)
        if event.sender != ""
    }
    found: dict[str, dict[str, MailEvent]] = {}
    for event in world.journal.where(EventKind.DELIVERED):
        origin = received.get((event.host, event.queue_id))
        if event.remote_host is None and event.recipient in people and origin and origin.message_id:
            found.setdefault(origin.message_id, {})[event.recipient] = event
    return found


def _copy(world: World, message_id: str) -> Message | None:
    """The message of that id, from whichever mailbox has it."""
    for host in world.hosts.values():
        for account in host.accounts:
            for message in host.mailbox(account):
                if message.first("Message-ID") == message_id:
                    return message
    return None


def _names_both(message: Message | None, ann: str, bob: str) -> bool:
    shown = " ".join(field.value for name in ("To", "Cc") for field in message.all(name)) if message else ""
    return ann in shown and bob in shown

"""The exercise of notebook 00: a blind copy.

WHAT       one message that reaches Bob and Ann while its To: names only Bob. It can be done only by who has
           understood that the envelope delivers and the header is read.
DECIDES    by the newest message that left the student's laptop; the tour's own, the first one, does not count.
STANDARDS  RFC 5321 §2.3.1 (envelope), RFC 5322 §3.6.3 (Bcc)
"""

from __future__ import annotations

from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.teach.checks import Verdict, done, exercise, hint, todo


@exercise("blind copy", "One message, two mailboxes, one name in To:")
def blind_copy(world: World) -> Verdict:
    """Judge from the facts: where the newest message arrived, and what its To: says there."""
    ann, bob = world.laptop.owner, world.partner_laptop.owner
    sent = _handed_in(world)
    if len(sent) < 2 or sent[-1].message_id is None:
        return todo(
            f"Send one message to {bob} and to {ann} whose To: names only {bob}, then run this cell again."
        )
    newest = sent[-1]
    events = world.journey(newest.message_id or "").events
    arrived = {e.recipient: e for e in events if e.kind is EventKind.DELIVERED and e.remote_host is None}
    trouble = [e for e in events if e.kind is EventKind.FAILED]
    if trouble:
        return hint(
            f"Your last message named {trouble[-1].recipient}, and that address failed: {trouble[-1].text}. "
            "Compare it with the people on the card.",
            trouble[-1],
        )
    if not arrived:
        return hint("Your last message has not arrived anywhere yet. Does it wait in a queue?", *events[-1:])
    if ann not in arrived or bob not in arrived:
        other = bob if ann in arrived else ann
        earlier = (
            " Two messages are not one with two recipients." if _got_another(world, other, newest) else ""
        )
        names = " and ".join(str(name) for name in arrived)
        return hint(
            f"Your last message reached only {names}.{earlier} "
            f'Give both addresses in one call: send(["{bob}", "{ann}"], …).',
            *arrived.values(),
        )
    shown = _shown_recipients(world, newest.message_id or "")
    if ann in shown or bob not in shown:
        return hint(
            f"It reached both, but its To: says {shown or 'nothing'}. It should name only {bob}: "
            f'header_to="{bob}".',
            arrived[ann],
            arrived[bob],
        )
    return done(
        "The envelope named two recipients, the header one. Whoever reads it cannot see the other.",
        [arrived[ann], arrived[bob]],
    )


def _handed_in(world: World) -> list[MailEvent]:
    """The messages that the student's laptop handed to the student's MTA, oldest first."""
    return world.journal.where(EventKind.RECEIVED, host=world.mine.name, remote_address=world.laptop.address)


def _got_another(world: World, person: str, newest: MailEvent) -> bool:
    """Whether an earlier message of the exercise reached that person (the tour's own does not count)."""
    for event in _handed_in(world)[1:]:
        if event.message_id not in (None, newest.message_id):
            journey = world.journey(event.message_id or "")
            if any(e.kind is EventKind.DELIVERED and e.recipient == person for e in journey.events):
                return True
    return False


def _shown_recipients(world: World, message_id: str) -> str:
    """What To: and Cc: say in the copy that arrived."""
    for host in world.hosts.values():
        for account in host.accounts:
            for message in host.mailbox(account):
                if message.first("Message-ID") == message_id:
                    return _recipients(message)
    return ""


def _recipients(message: Message) -> str:
    return ", ".join(field.value for name in ("To", "Cc") for field in message.all(name))

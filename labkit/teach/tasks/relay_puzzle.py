"""An exercise of notebook 02a: Completed in my log, and nothing at my partner's.

WHAT       `await some_weeks(world)` lets some weeks pass, in which people write to each other by the relay; it gives
           the Message-ID of the letter that never arrived. `three logs` judges where it stopped, why,
           and whether a letter arrives now.
DECIDES    by the relay's list, the journal, and Dora's mailbox.
STANDARDS  RFC 5321 §6.1 (250 takes responsibility: who has said it last has the message)
READ NEXT  relay_ready.py
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

DORA = "dora"
PLACES = {"mine": "mine", "my host": "mine", "relay": "relay", "the relay": "relay", "partner": "partner"}
_FIRST, _SECOND = "New address?", "Thesis, chapter 3"


async def some_weeks(world: World) -> str:
    """What happens until Dora asks where chapter 3 is."""
    laptop, dora = world.laptop, dora_of(world)
    await laptop.send(dora, _FIRST, "Dora, are you at your new place already?\n")
    await world.advance(days=2)
    await laptop.send(world.partner_laptop.owner, "Lunch", "At noon?\n")
    world.partner.add_account(DORA)  # adduser dora, by Bob
    await world.partner.reload()
    await world.advance(days=19)
    sent = await laptop.send(dora, _SECOND, "Here it is. Please read it until Friday.\n")
    await world.advance(hours=3)
    return sent.mail_object.message.first("Message-ID") or ""


def dora_of(world: World) -> str:
    """Dora's address."""
    return f"{DORA}@{world.partner_laptop.owner.partition('@')[2]}"


@exercise("three logs", "Where a letter stopped, why, and the proof that the next one arrives")
def three_logs(answers: Mapping[str, object]) -> Verdict:
    """Judge the words, then what was done."""
    world = answers.get("world") if isinstance(answers, Mapping) else None
    if not isinstance(world, World):
        return todo('Put the lab under "world": answers = {"world": world, "stopped at": "", ...}.')
    where, why = _plain(answers.get("stopped at")), _plain(answers.get("because of"))
    if not where and not why:
        return todo(
            'At whose host did it stop: "mine", "relay" or "partner"? And which older message is the reason: its '
            "Message-ID, or its queue id at the host where it stopped."
        )
    return _wrong_place(world, where) or _wrong_reason(world, why) or _not_lifted(world)


def _wrong_place(world: World, where: str) -> Verdict | None:
    found = PLACES.get(where.removeprefix("the ").removeprefix("my ") or where, PLACES.get(where, ""))
    for role, host in (("mine", world.mine), ("relay", world.relay.host), ("partner", world.partner)):
        if where == host.name or (where and host.name.startswith(f"{where}.")):
            found = role
    if found == "relay":
        return None
    lost = _lost(world)
    ours = world.journal.where(EventKind.DELIVERED, host=world.mine.name, queue_id=lost.queue_id)
    if found == "mine":
        return hint(
            "Your host says => and Completed: somebody else has said 250, so it is his now (RFC 5321 §6.1). "
            "That reply "
            "has an id in it. Whose log knows that id?",
            *ours[-1:],
        )
    if found == "partner":
        return hint(
            "Look for the Message-ID in the log of your partner's host: it has never come there. Who should "
            "have brought "
            "it?",
            Seen(world.now(), world.partner.name, f"no line with {lost.message_id}"),
        )
    return hint(f'{where[:40] or "Nothing"!r} is none of the three: write "mine", "relay" or "partner".')


def _wrong_reason(world: World, why: str) -> Verdict | None:
    relay, dora = world.relay.host.name, dora_of(world)
    first = next(
        event
        for event in world.journal.where(EventKind.RECEIVED, host=relay)
        if dora in (event.raw_recipients or "").lower().split()
    )
    right = {_plain(first.message_id), _plain(first.queue_id)}
    at_home = world.journal.where(EventKind.RECEIVED, host=world.mine.name, message_id=first.message_id)
    right |= {_plain(event.queue_id) for event in at_home}
    if why in right:
        return None
    if not why:
        return hint(
            "Yes, at the relay. Now: why? Its event log says one word about this recipient, and its console "
            "has a list "
            "with that word in its name: world.relay.suppressions."
        )
    lost = _lost(world)
    if why in (_plain(lost.message_id), _plain(lost.queue_id)) or any(
        why == _plain(event.queue_id)
        for event in world.journal.where(EventKind.RECEIVED, host=relay, message_id=lost.message_id)
    ):
        return hint(
            "That is the letter that stopped. Something older is the reason: the relay's list says since "
            "when Dora is "
            "on it, and by which message."
        )
    return hint(
        f"{why[:60]!r} is not the message that brought Dora on the list. Each line there has a queue id of "
        f"the relay; "
        "the event log has its Message-ID."
    )


def _not_lifted(world: World) -> Verdict:
    """Dora is to come off the list, and then to get a letter."""
    dora, relay = dora_of(world), world.relay.host.name
    lost = _lost(world)
    listed = [each for each in world.relay.suppressions if each.address.lower() == dora]
    since = [
        event
        for event in world.journal.where(EventKind.FAILED, host=relay, after=lost.number)
        if (event.recipient or "").lower() == dora
    ]
    came = [
        event
        for event in world.journal.where(EventKind.DELIVERED, host=world.partner.name, after=lost.number)
        if (event.recipient or "").lower() == dora and event.remote_host is None
    ]
    if came:
        brought = world.journal.where(EventKind.RECEIVED, host=world.partner.name, queue_id=came[-1].queue_id)
        if any(event.remote_address == world.relay.host.address for event in brought):
            return done(
                "The relay had taken it and sent it nowhere: Dora was on its suppression list, since her "
                "address had "
                "refused a letter three weeks ago. Now the next one has arrived.",
                [lost, *brought[-1:], came[-1]],
            )
        return hint(
            "Dora has a letter, and it did not come by the relay: this shows nothing about it.", *brought[-1:]
        )
    if listed and len(since) > 1:
        return hint(
            "You sent again, and it met the same end: Dora is still on the list. "
            "world.relay.unsuppress(ADDRESS) takes "
            "an address off.",
            since[-1],
        )
    if listed:
        return hint(
            "Right, both. Dora is still on the list: take her off, with the address as it stands there. "
            "(world.relay.unsuppress says False for an address that is not on it.)",
            Seen(world.now(), relay, f"suppressed: {dora}, since {listed[0].since:%d %b %H:%M}"),
        )
    return hint(
        "She is off the list, and has no letter: what the relay threw away does not come back. Send it "
        "again, and look "
        f"into the mailbox of {DORA}.",
    )


def _lost(world: World) -> MailEvent:
    """How my host took the letter that was lost."""
    found = [
        event
        for event in world.journal.where(EventKind.RECEIVED, host=world.mine.name)
        if (event.message_id or "") and _went_to_dora(world, event)
    ]
    return found[1] if len(found) > 1 else found[-1]


def _went_to_dora(world: World, received: MailEvent) -> bool:
    about = world.journal.where(host=world.mine.name, queue_id=received.queue_id)
    return any((event.recipient or "").lower() == dora_of(world) for event in about)


def _plain(value: object) -> str:
    return value.strip().strip("<>").lower() if isinstance(value, str) else ""

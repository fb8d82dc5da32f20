"""An exercise of notebook 02c: the forwarder sends on under an envelope sender of its own, and reports find back.

WHAT       `await probe_forwarder(world)` sends a letter of Ann's by the forwarder, then a report to the envelope sender
           that the provider saw, then a forged one by Mallory. `srs forwarder` judges what came of them.
DECIDES    by what the provider, the mailboxes and the forwarder's replies show; however it is configured.
STANDARDS  RFC 7208 §2.4, RFC 5321 §4.5.5 (reports have a null reverse-path)
READ NEXT  survive_list.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.lab.provider_verdict import Verdict as Found
from labkit.lab.ways_to_carol import NotArrived, domain_of, results, send_along
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

FORWARDER, DOMAIN = "mx.forward.test", "forward.test"
_HASHED = re.compile(r"(?i)(SRS[01])([=+-])([^=+-]{1,30})=")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """`found`: what the provider thought of the letter; `report`, `forged`: what became of the two reports."""

    world: World
    is_changed: bool
    found: Found | None
    problem: str
    report: tuple[MailEvent, ...] = ()
    forged: tuple[MailEvent, ...] = ()


async def probe_forwarder(world: World) -> Forwarded:
    """Try the forwarder as it is configured now."""
    host = world.host(FORWARDER)
    (plan,) = (each for each in world.scenario.hosts if each.name == FORWARDER)
    is_changed = host.configuration != plan.configuration
    if not host.is_running:
        await host.start()
    try:
        found = await send_along(world, "forwarder")
    except NotArrived as problem:
        return Forwarded(world, is_changed, None, str(problem))
    report: tuple[MailEvent, ...] = ()
    forged: tuple[MailEvent, ...] = ()
    if found.sender and found.sender.lower() != world.laptop.owner.lower():
        report = await _report(world, world.provider.host.name, found.sender, "late")
        forged = await _report(world, "mx.spoof.test", _with_other_hash(found.sender), "forged")
    return Forwarded(world, is_changed, found, "", report, forged)


def _with_other_hash(address: str) -> str:
    """The same SRS address with another first letter in its hash; one that has none stays."""
    found = _HASHED.match(address)
    if found is None:
        return address
    other = "B" if found[3][0] in "Aa" else "A"
    return f"{found[1]}{found[2]}{other}{found[3][1:]}={address[found.end() :]}"


async def _report(world: World, by: str, to: str, name: str) -> tuple[MailEvent, ...]:
    """A report with a null reverse-path; its journey."""
    number = len(world.journal)
    message_id = f"<{name}.{number}@{by}>"
    text = (
        f"From: postmaster@{by}\nTo: {to}\nSubject: Your letter could not be kept ({name})\n"
        f"Message-ID: {message_id}\nAuto-Submitted: auto-replied\n\nThe mailbox is full.\n"
    )
    await world.host(by).send("", to, text)
    return tuple(world.journey(message_id).events)


@exercise("srs forwarder", "The forwarder uses its own envelope sender, and reports find their way back")
def srs_forwarder(tried: Forwarded) -> Verdict:
    """Judge what came of the letter and of the two reports."""
    if not isinstance(tried, Forwarded):
        return todo('Let it be tried: check("srs forwarder", await probe_forwarder(world)).')
    if not tried.is_changed:
        return todo(f"{FORWARDER} has its old configuration. Write yours, and reload the host.")
    return _letter(tried) or _rewritten(tried) or _way_back(tried) or _forged(tried) or _done(tried)


def _letter(tried: Forwarded) -> Verdict | None:
    if tried.found is None:
        return hint(f"The letter does not reach Carol any more: {tried.problem}")
    own = results(tried.found, domain_of(tried.world))
    if own["DKIM"] != "pass":
        return hint(
            "Ann's signature does not hold any more: something in the letter itself was changed. SRS is about the "
            "envelope only; leave header and body as they are.",
            _seen(tried.found),
        )
    return None


def _rewritten(tried: Forwarded) -> Verdict | None:
    found, world = tried.found, tried.world
    assert found is not None
    sender = found.sender.lower()
    if sender == world.laptop.owner.lower():
        return hint(
            "The provider still sees Ann's own address as the envelope sender. Which option of an smtp transport sets "
            "another one, and do forwarded letters take that transport?",
            _seen(found),
        )
    if not sender:
        return hint(
            "The letter goes on with a null reverse-path, as if it were a report: SPF is then asked about the HELO "
            "name, and nobody ever hears that it failed.",
            _seen(found),
        )
    if sender.rpartition("@")[2] != DOMAIN:
        return hint(
            f"The envelope sender is rewritten, but its domain is {found.spf.domain}: not the forwarder's, so the "
            f"wrong record is asked. Which domain was the letter sent to first ($original_domain), and which next?",
            _seen(found),
        )
    if domain_of(world) not in sender or not sender.startswith("srs"):
        return hint(
            "SPF passes. But the new sender is the same for everybody: when a report comes to it, how is the host to "
            "know that it is for Ann? The old address has to stand in the new one.",
            _seen(found),
        )
    if found.spf.result != "pass":
        return hint(f"SPF says {found.spf.result}: {found.spf.reason}. Was the record of {DOMAIN} changed?")
    return None


def _way_back(tried: Forwarded) -> Verdict | None:
    if _reached(tried.report, tried.world.mine.name):
        return None
    last = [each for each in tried.report if each.kind in (EventKind.REJECTED, EventKind.FAILED)]
    return hint(
        "SPF passes. A day later Carol's mailbox is full, and the provider reports that to the envelope sender it saw. "
        f"Ann never hears of it: {_words(last[-1]) if last else 'the report got stuck'}. Which router takes an "
        "SRS address apart again, with the same secret, and does it stand where it is asked (above any no_more)?",
        *last[-1:],
    )


def _forged(tried: Forwarded) -> Verdict | None:
    taken = [
        each
        for each in tried.forged
        if each.kind is EventKind.DELIVERED and each.host == tried.world.mine.name
    ]
    if not taken:
        return None
    return hint(
        "Mallory wrote an SRS address of his own, with a wrong hash, and your forwarder sent his mail on to Ann: so it "
        "relays for anybody. inbound_srs looks at the hash only if it is given the secret.",
        taken[-1],
    )


def _done(tried: Forwarded) -> Verdict:
    assert tried.found is not None
    home = _reached(tried.report, tried.world.mine.name)
    refused = [each for each in tried.forged if each.kind in (EventKind.REJECTED, EventKind.FAILED)]
    return done(
        "SPF passes for the forwarder's domain, Ann's signature holds, a report finds its way back to her, and a "
        "forged one goes nowhere.",
        [_seen(tried.found), *home[-1:], *refused[:1]],
    )


def _reached(events: tuple[MailEvent, ...], host: str) -> list[MailEvent]:
    """The delivery into a mailbox at that host."""
    return [e for e in events if e.kind is EventKind.DELIVERED and e.host == host and e.remote_host is None]


def _words(event: MailEvent) -> str:
    return f"{event.host} says {event.text or event.kind.value}"


def _seen(found: Found) -> Seen:
    return Seen(found.at, "mx.bigmail.test", f"MAIL FROM:<{found.sender}>: spf={found.spf.result}")

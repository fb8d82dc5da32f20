"""An exercise of notebook 02a: the relay's page says that the domain is verified, and a letter shows it.

WHAT       `await look_at_domain(world)` has the relay look at the DNS. `relay domain` judges what it found, and whether
           a letter to Carol came through since.
DECIDES    the worst first: what breaks mail that works today, then what is missing, then what is slightly wrong.
STANDARDS  RFC 7208 §3.2, §4.5, §5.2; RFC 6376 §3.6.2; RFC 1035 §5.1 (a name without a dot at its end is completed)
READ NEXT  relay_verdict.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.lab.relay_domains import FOUND, SELECTOR, UNKNOWN, DomainReport, RecordCheck
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.relay_ready import OURS, domain_of, first_zone


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What the relay found, and the zone as it is served."""

    world: World
    report: DomainReport
    zone: str


async def look_at_domain(world: World) -> LookedAt:
    """The relay's page, pressed "verify"."""
    report = await world.relay.verify_domain(domain_of(world))
    return LookedAt(world, report, world.zone(first_zone(world)[0]))


@exercise("relay domain", "The relay has verified your domain, and Carol has a letter that came by it")
def relay_domain(looked: LookedAt) -> Verdict:
    """Judge what stands in the DNS, then what came of it."""
    if not isinstance(looked, LookedAt):
        return todo('Let the relay look: check("relay domain", await look_at_domain(world)).')
    world, report = looked.world, looked.report
    if OURS in looked.zone:
        return todo("What is published now is the notebook's own. Put your lines below the zone as it was.")
    needed = [check for check in report.checks if check.record.is_needed]
    if looked.zone == first_zone(world)[1] and not any(check.state == FOUND for check in needed):
        return todo("Nothing is published yet. The relay's page says what it wants: put it into your zone.")
    found = {check.record.purpose: check for check in report.checks}
    for judge, purpose in ((_spf, "SPF"), (_key, "DKIM"), (_owner, "ownership"), (_bounces, "bounces")):
        check = found.get(purpose)
        if check is not None and check.record.is_needed and check.state != FOUND:
            return _doubled(looked, check) or judge(looked, check)
    return _arrived(looked)


def _seen(looked: LookedAt, check: RecordCheck) -> Seen:
    name, there = check.record.name, "; ".join(text[:80] for text in check.found) or "nothing"
    return Seen(looked.world.now(), "the DNS", f"{name} {check.record.type}: {there}")


def _doubled(looked: LookedAt, check: RecordCheck) -> Verdict | None:
    if check.state == UNKNOWN:
        return hint(f"The nameserver gave no answer for {check.record.name}. Is the zone still served?")
    found = re.search(r"it stands at (\S+):", check.words)
    if found is None:
        return None
    return hint(
        f"Your record is there, under the name {found[1]}. In a zone a name without a dot at its end gets "
        f"the zone's "
        "own name behind it.",
        Seen(looked.world.now(), "the DNS", f"{found[1]} {check.record.type} is there"),
    )


def _spf(looked: LookedAt, check: RecordCheck) -> Verdict:
    seen, words = _seen(looked, check), check.words
    records = [text for text in check.found if re.match(r"(?i)v=spf1(?: |$)", text)]
    if not records:
        quoted = re.search(r"(?im)^[^;\n]*\bTXT\s+v=spf1\b", looked.zone)
        if quoted:
            return hint(
                "An SPF record has blanks in it, and yours has no quotes around it: so it is several "
                "strings, which are "
                "joined without blanks between them. What does dig print?",
                seen,
            )
        return hint(
            f"There is no SPF record at {check.record.name}. The relay's mail says MAIL "
            f"FROM:<…@{looked.report.domain}>, "
            "and whoever gets it asks for the record of exactly that name: not of the host's, not of the "
            "zone's.",
            seen,
        )
    if len(records) > 1:
        return hint(
            f"{len(records)} records begin with v=spf1. Then no receiver takes any of them: permerror (RFC "
            f"7208 §4.5). "
            "One record names all who may send for you.",
            seen,
        )
    if "+all" in words:
        return hint("The record ends in +all: everybody in the world may send as you.", seen)
    if "behind" in words:
        return hint(
            "The include stands behind all. Terms are asked from left to right, and all always matches: "
            "what follows "
            "is never asked.",
            seen,
        )
    if "without a sign" in words:
        return hint("The include has a sign before it, so a match is no pass. Which sign means pass?", seen)
    return hint(
        "There is one SPF record, and the relay is not in it. You do not know from which addresses it "
        "sends; it "
        "publishes them itself, under a name that you can include.",
        seen,
    )


def _key(looked: LookedAt, check: RecordCheck) -> Verdict:
    seen, words, domain = _seen(looked, check), check.words, looked.report.domain
    if "cut off" in words:
        return hint(
            "A key is there, and its end is missing. A string in a zone has at most 255 octets: a long key "
            "is several "
            "strings in quotes, one after the other, all on one logical line.",
            seen,
        )
    if "another one" in words or "revokes" in words or "no p=" in words:
        return hint(
            "What stands there is not the key that the relay signs with, so each signature would fail. Take "
            "it from "
            "the relay's page as it is.",
            seen,
        )
    if "leads to" in words:
        return hint(
            "The alias is there and leads to a name at which there is nothing. Read the name to the end, as "
            "dig prints "
            "it: has something been added to it?",
            Seen(looked.world.now(), "the DNS", words[:200]),
        )
    if "TXT records" in words:
        return hint("Several records are at the key's name. A verifier takes any of them: leave one.", seen)
    at_domain = re.search(r"(?im)^\s*_domainkey\S*\s", looked.zone)
    other = re.search(rf"(?im)^\s*(?!{SELECTOR}\.)(\S+)\._domainkey\S*\s", looked.zone)
    if other or at_domain:
        name = other[1] if other else "(none)"
        return hint(
            f"There is a record below _domainkey, with the selector {name}. The relay signs with "
            f"s={SELECTOR}, and a "
            "verifier asks for the name SELECTOR._domainkey.DOMAIN with the selector of the signature.",
            seen,
        )
    return hint(
        f"Nothing is at {check.record.name}. That is where a verifier asks for the key of a signature with "
        f"d={domain} "
        f"and s={SELECTOR}.",
        seen,
    )


def _owner(looked: LookedAt, check: RecordCheck) -> Verdict:
    if check.found:
        return hint(
            "The token that shows whose domain it is stands there with another text. Is it the one of the "
            "relay's page?",
            _seen(looked, check),
        )
    return hint(
        "The relay cannot see yet that the domain is yours: the token is missing. Who can write into the "
        "zone has "
        "shown it.",
        _seen(looked, check),
    )


def _bounces(looked: LookedAt, check: RecordCheck) -> Verdict:
    return hint("The name for reports does not lead to the relay yet.", _seen(looked, check))


def _arrived(looked: LookedAt) -> Verdict:
    world, domain = looked.world, looked.report.domain
    verified = Seen(world.now(), world.relay.host.name, f"{domain}: verified")
    passed = [
        verdict
        for verdict in world.provider.verdicts
        if verdict.client == world.relay.host.address
        and verdict.disposition == "inbox"
        and any(each.result == "pass" and each.domain == domain for each in verdict.dkim)
    ]
    if passed:
        last = passed[-1]
        arrived = world.journal.where(
            EventKind.RECEIVED, host=world.provider.host.name, queue_id=last.queue_id
        )
        return done(
            f"The relay sends for {domain}, signs as {domain}, and Carol's provider found both in order.",
            [verified, *arrived[-1:]],
        )
    refused = world.journal.where(EventKind.REJECTED, host=world.relay.host.name)
    if refused and refused[-1].code == 454:
        return hint(
            "Everything is published, and the relay says 454: the quota of the day is used up.", refused[-1]
        )
    return hint(
        "Everything that the relay wants is published. Now let Ann write to Carol: world.laptop.send(CAROL, "
        "…), and "
        "run this cell again.",
        verified,
    )

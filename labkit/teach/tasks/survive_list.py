"""An exercise of notebook 02c: a mailing list whose letters pass DMARC, though their author's domain says p=reject.

WHAT       `await probe_list(world)` lets Ann write to the list; `list keeps dmarc` judges what Carol's provider found.
DECIDES    by the verdict. From: of the list, or a letter that is not changed at all: both are right. A seal helps only
           where the reader's provider trusts the list, and a weaker policy opens the door to Mallory.
STANDARDS  RFC 9989 (alignment), RFC 6377 §5 (lists and DKIM), RFC 8617 §7.2.1 (what a seal is worth)
READ NEXT  survive_report.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.lab.list_engine import ListEngine
from labkit.lab.outside_plans import ListPlan
from labkit.lab.provider_verdict import Verdict as Found
from labkit.lab.ways_to_carol import NotArrived, domain_of, send_along
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

HOST, NAME = "mx.lists.test", "mta"


@dataclass(frozen=True, slots=True)
class Posted:
    """What was changed, and what the provider found of a letter to the list."""

    world: World
    is_changed: bool
    are_members_kept: bool
    found: Found | None
    problem: str


async def probe_list(world: World) -> Posted:
    """Try the list as it is now."""
    (plan,) = (each for each in world.scenario.hosts if each.name == HOST)
    engine = world.host(HOST).engine
    assert isinstance(plan.outside, ListPlan) and isinstance(engine, ListEngine)
    (before,) = (each for each in plan.outside.lists if each.name == NAME)
    now = engine.lists[NAME]
    await world.advance(minutes=10)  # nobody remembers old records
    apex = domain_of(world).partition(".")[2]
    is_zone_changed = _policies(dict(world.scenario.zones)[apex]) != _policies(world.zone(apex))
    found, problem = None, ""
    try:
        found = await send_along(world, "mailing list")
    except NotArrived as wrong:
        problem = str(wrong)
    kept = {each.lower() for each in now.members} >= {each.lower() for each in before.members}
    return Posted(world, now != before or is_zone_changed, kept, found, problem)


def _policies(zone: str) -> list[str]:
    """The lines with SPF and DMARC records."""
    return sorted(line.strip() for line in zone.splitlines() if '"v=spf1' in line or '"v=DMARC1' in line)


@exercise("list keeps dmarc", "A letter to the list passes DMARC under p=reject")
def list_keeps_dmarc(posted: Posted) -> Verdict:
    """Judge the provider's verdict."""
    if not isinstance(posted, Posted):
        return todo('Let it be tried: check("list keeps dmarc", await probe_list(world)).')
    if not posted.is_changed:
        return todo("The list is as it was: its footer costs Ann's letter. Change its settings, and try it.")
    found = posted.found
    if found is None or not posted.are_members_kept:
        missing = posted.problem or "Ann and Carol must both stay members"
        return hint(f"A list is there to be read by its members, and written to: {missing}")
    return _policy(posted, found) or _good(found) or _why(posted, found)


def _policy(posted: Posted, found: Found) -> Verdict | None:
    """The domain's owner has disarmed."""
    record = found.dmarc.record
    is_own = found.findings.author.domain == domain_of(posted.world)
    if is_own and (record is None or record.p != "reject" or record.is_testing):
        return hint(
            "Your own domain asks for less than p=reject now. That lets the list through, and Mallory too. Leave the "
            "policy, and look at what the list does with the letter.",
            Seen(found.at, "mx.bigmail.test", f"dmarc={found.dmarc.result}, policy {found.dmarc.policy}"),
        )
    return None


def _good(found: Found) -> Verdict | None:
    if found.dmarc.result != "pass" or found.disposition != "inbox":
        return None
    by = (
        "From: is the list's now, and SPF and DKIM are, too"
        if found.dmarc.aligned_spf
        else ("the letter was not changed, so the author's signature holds")
    )
    return done(f"DMARC passes: {by}.", [_seen(found)])


def _why(posted: Posted, found: Found) -> Verdict:
    if found.arc.result == "pass":
        return hint(
            "The list seals what it saw, and this provider trusts the list: the letter is let in although DMARC still "
            "fails. A provider that does not know the list refuses it. Find a way that needs nobody's trust.",
            _seen(found),
        )
    own = [each for each in found.dkim if each.domain == domain_of(posted.world)]
    address = posted.world.host(HOST).address
    apex = domain_of(posted.world).partition(".")[2]
    if address in posted.world.zone(apex):
        return hint(
            f"You have put {address} into your own zone. But the envelope sender is {found.sender}, so SPF asks the "
            "list's record, and that passes already. What is missing is a name that is yours and passes.",
            _seen(found),
        )
    if own and own[0].broken == "header":
        return hint(
            f"The body is whole again, and still: {own[0].reason}. What has the list written into the header, and does "
            "the signature cover it? In part 5 changed(...) has named each field.",
            _seen(found),
        )
    broken = own[0].reason if own else "Ann's signature is gone"
    return hint(
        f"DMARC still fails: SPF passes for {found.spf.domain}, which is not the domain in From:, and Ann's signature "
        f"is broken ({broken}). Either what passes gets the name in From:, or From: gets the name that passes.",
        _seen(found),
    )


def _seen(found: Found) -> Seen:
    dkim = ", ".join(f"{each.result} {each.domain}" for each in found.dkim) or "none"
    what = f"From: {found.findings.author.domain}; spf={found.spf.result} {found.spf.domain}; dkim={dkim}; "
    return Seen(found.at, "mx.bigmail.test", f"{what}dmarc={found.dmarc.result}: {found.disposition}")

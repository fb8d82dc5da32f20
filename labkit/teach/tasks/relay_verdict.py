"""An exercise of notebook 02a: one letter, and whose name each test was about.

WHAT       `await other_letter(world)` sends one from a lab whose relay has another setting for reports. `whose name`
           judges what the student read in it.
DECIDES    by the letter itself: its Return-path, Received and From, and the provider's Authentication-Results.
STANDARDS  RFC 7208 §2.4 (MAIL FROM), RFC 6376 §3.5 (d=), RFC 9989 (alignment), RFC 5321 §4.1.1.1 (EHLO)
READ NEXT  relay_puzzle.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from labkit.auth import parse_authentication_results
from labkit.lab.outside_plans import RelayPlan
from labkit.lab.world import World
from labkit.mail.message import Message
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.relay_ready import domain_of, ready
from labkit.teach.tasks.relay_smarthost import CAROL

ASKED = ("EHLO", "SPF", "DKIM", "Carol sees", "DMARC passes by")
BY = ("SPF", "DKIM", "both")


async def other_letter(world: World) -> Message:
    """The same way in a lab of its own, where the relay has reports sent to itself."""
    hosts = tuple(
        replace(
            plan,
            outside=replace(
                plan.outside,
                customers=tuple(replace(each, bounces_to="relay") for each in plan.outside.customers),
            ),
        )
        if isinstance(plan.outside, RelayPlan)
        else plan
        for plan in world.scenario.hosts
    )
    async with World(replace(world.scenario, hosts=hosts), alongside=True) as lab:
        await ready(lab)
        origin = domain_of(lab).partition(".")[2]
        lab.write_zone(origin, f'{lab.zone(origin)}_dmarc.{domain_of(lab)}. IN TXT "v=DMARC1; p=none"\n')
        await lab.laptop.send(CAROL, "Whose name", "Who vouches for this?\n")
        return lab.provider.inbox("carol")[-1]


@exercise("whose name", "A letter's names, and which of them SPF, DKIM and DMARC were about")
def whose_name(answers: Mapping[str, object]) -> Verdict:
    """Compare what the student read with the letter."""
    letter = answers.get("letter") if isinstance(answers, Mapping) else None
    if not isinstance(letter, Message) or letter.first("Authentication-Results") is None:
        return todo('Put the letter itself under "letter": answers = {"letter": letter, ...}.')
    given = {name: _domain(answers.get(name)) for name in ASKED}
    given["EHLO"] = (
        given["EHLO"].removeprefix("helo=").partition(" ")[0]
    )  # as Received has it, with the address
    if not any(given.values()):
        return todo(f"Read the letter and fill in: {', '.join(ASKED)}. Domains will do.")
    if empty := [name for name in ASKED if not given[name]]:
        return hint(f"There is no answer yet for: {', '.join(empty)}.")
    truth = _truth(letter)
    for name in ASKED:
        if given[name] != truth[name]:
            return _wrong(name, given[name], truth)
    return done(
        "SPF spoke of the relay's domain, which Carol never sees; DKIM of yours, which she does. DMARC asks "
        "whether one "
        "that passes is also the one that she sees.",
        [Seen(None, name, truth[name]) for name in ASKED],
    )


def _truth(letter: Message) -> dict[str, str]:
    found = parse_authentication_results(letter.first("Authentication-Results") or "")
    helo = re.search(r"helo=([^\s)]+)", letter.first("Received") or "")
    author = _domain(letter.first("From"))
    spf = _domain(letter.first("Return-path"))
    dkim = next(
        (
            _domain(each.properties.get("header.i") or each.properties.get("header.d"))
            for each in found.results
            if each.method == "dkim" and each.result == "pass"
        ),
        "",
    )
    aligned = [name for name, domain in (("SPF", spf), ("DKIM", dkim)) if domain == author]
    by = "both" if len(aligned) == 2 else "".join(aligned)
    return dict(zip(ASKED, (helo[1].lower() if helo else "", spf, dkim, author, by.lower())))


def _domain(answer: object) -> str:
    text = answer.strip().strip("<>[]();").lower() if isinstance(answer, str) else ""
    return text.rpartition("@")[2].strip("<>.\"' ")


def _wrong(name: str, given: str, truth: Mapping[str, str]) -> Verdict:
    helo, dkim, author = truth["EHLO"], truth["DKIM"], truth["Carol sees"]
    if name == "EHLO" and given.endswith(author):
        return hint(
            f"{given} is on your side of the relay. bigmail was called by somebody else: read the uppermost "
            "Received."
        )
    if name == "EHLO":
        return hint(
            f"{given} is not what the client said of itself. The uppermost Received has it, behind helo=."
        )
    if name == "SPF" and given == author:
        return hint(
            f"{given} stands in From:, which SPF never looks at. It asks for the domain of MAIL FROM; the "
            f"last MTA wrote "
            "that one into the very first fields."
        )
    if name == "SPF" and given == helo:
        return hint(f"{given} said EHLO. SPF asks for that name only when MAIL FROM is empty (<>). Is it?")
    if name == "SPF":
        return hint(f"{given}: read smtp.mailfrom in Authentication-Results, and Return-path.")
    if name == "DKIM" and given != dkim:
        return hint(
            f"{given} has not signed. Who signs says so himself: d= in DKIM-Signature, header.i in the "
            f"results. That the "
            "relay made the signature does not make it the relay's."
        )
    if name == "Carol sees":
        return hint(f"{given} is not what a mail program shows. It shows one field, which the author wrote.")
    return hint(
        f"DMARC does not pass by {given.upper() if given in ('spf', 'dkim') else given}. A result counts "
        f"when it is pass "
        f"AND its domain is the one in From:, {author}. Write {', '.join(BY)}."
    )

"""An exercise of notebook 02b: a DMARC record that stops Mallory, and lets one's own mail through.

WHAT       `dmarc record` evaluates the record that is served for four messages: the student's own, and Mallory's in
           three ways (the student's envelope; his own envelope; his own envelope and his own signature).
DECIDES    the linter's errors first, then whether own mail passes, then whether the policy asks for anything.
STANDARDS  RFC 9989 §4.5 (where it stands), §4.7 (tags), §4.10 (tree walk)
READ NEXT  vouching_apex.py, ../../auth/dmarc_lint.py
"""

from __future__ import annotations

from labkit.auth import check_spf, evaluate_dmarc
from labkit.auth.dmarc import DmarcResult
from labkit.auth.dmarc_lint import lint_dmarc_of
from labkit.auth.door import answer_with
from labkit.lab.world import World
from labkit.teach.checks import Evidence, Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.vouching import (
    apex_of,
    host_of,
    lookup_in,
    names_with,
    own_domain,
    own_letters,
    seen_letter,
    seen_texts,
    texts_at,
)

LIED = "mallory@spoof.test"


def three_ways(world: World) -> dict[str, DmarcResult]:
    """What DMARC says of Mallory's three ways to write as the student, by what is served now."""
    domain, lookup = own_domain(world), lookup_in(world)
    mallory = host_of(world, "spoofer")
    assert mallory is not None, "the scenario has him"
    found = {}
    for words, sender, dkim in (
        ("your name in the envelope", f"ann@{domain}", None),
        ("his own envelope", LIED, None),
        ("his own signature", LIED, ("pass", "spoof.test")),
    ):
        spf = check_spf(mallory.address, mallory.name, sender, lookup)
        found[words] = evaluate_dmarc(domain, (spf.result, spf.domain), dkim, lookup)
    return found


@exercise("dmarc record", "What does not come from you is refused or put aside, and your own mail passes")
def dmarc_record(world: World) -> Verdict:
    """Judge by what is served, and by the newest own letter."""
    domain = own_domain(world)
    name = f"_dmarc.{domain}"
    texts = texts_at(world, name)
    if not texts:
        return _none(world, name)
    evidence = seen_texts(world, name)
    errors = [each for each in answer_with(lookup_in(world), lint_dmarc_of(domain)) if each.grade == "error"]
    if any(text.strip() == "v=DMARC1" for text in texts):
        return hint(
            f"The record at {name} ends behind v=DMARC1. Outside quotation marks a semicolon begins a comment "
            "of the zone file.",
            *evidence,
        )
    if errors:
        return hint(f"{errors[0].words} ({errors[0].source or 'RFC 9989 §4.7'})", *evidence)
    return _own(world, evidence) or _others(world, evidence)


def _none(world: World, name: str) -> Verdict:
    domain = own_domain(world)
    for place in names_with(world, "dmarc1"):
        if place != f"_dmarc.{apex_of(world)}":
            return hint(
                f"A DMARC record stands at {place}. Receivers ask for it at {name}, and, if nothing is "
                f"there, above.",
                *seen_texts(world, place),
            )
    own, theirs = texts_at(world, f"_dmarc.{apex_of(world)}"), "p=none"
    if any(theirs not in each.replace(" ", "") for each in own):
        return hint(
            f"You changed the record of {apex_of(world)}: that decides for your partner as well. Yours "
            f"stands at {name}.",
            *seen_texts(world, f"_dmarc.{apex_of(world)}"),
        )
    return todo(f"{domain} has no DMARC record of its own. Write one more line into the zone: a TXT record.")


def _own(world: World, evidence: list[Evidence]) -> Verdict | None:
    """Does own mail pass? By the newest letter, and the record that is served now."""
    domain = own_domain(world)
    letters = own_letters(world)
    if not letters:
        return hint(
            "The record is there. Send Carol a letter: the first whom a policy hits is often oneself.",
            *evidence,
        )
    newest = letters[-1]
    dkim = [(each.result, each.domain) for each in newest.dkim]
    spf = (newest.spf.result, newest.spf.domain)
    found = evaluate_dmarc(domain, spf, dkim, lookup_in(world))
    if found.result == "pass":
        return None
    if "pass" in (newest.spf.result, *(result for result, _ in dkim)):
        return hint(
            "Your own newest letter is authenticated, but nothing is aligned with From: "
            f"{domain}: {found.reason}. Compare the domains, and the mode (adkim, aspf).",
            seen_letter(newest, newest.line),
            *evidence,
        )
    return hint(
        "With this record your own mail fails: neither SPF nor DKIM passed for your newest letter. First "
        "let your own "
        "mail pass, then ask for refusals.",
        seen_letter(newest, newest.line),
        *evidence,
    )


def _others(world: World, evidence: list[Evidence]) -> Verdict:
    found = three_ways(world)
    if through := [words for words, result in found.items() if result.result == "pass"]:
        return hint(f"Mallory still passes as you, by {through[0]}: look at your SPF record.", *evidence)
    some = next(iter(found.values()))
    if some.record is not None and some.is_testing and some.record.p in ("quarantine", "reject"):
        return hint(
            f"The record asks for p={some.record.p}, and t=y takes it one step down: what applies is "
            f"{some.policy}. That "
            "is for a try-out. Is it over?",
            *evidence,
        )
    if some.policy == "none":
        return hint(
            "p=none asks for nothing: receivers report what fails, and deliver it. That is how one "
            "begins; now you know "
            "that your own mail passes.",
            *evidence,
        )
    seen = [
        Seen(world.now(), words, f"dmarc={result.result}, policy {result.policy}")
        for words, result in found.items()
    ]
    more = " Own mail that a list has changed is refused, too: see part 6." * (some.policy == "reject")
    return done(
        f"All three ways fail, and {some.policy_domain} asks for {some.policy}. Your own letter passes.{more}",
        [*evidence, *seen],
    )

"""An exercise of notebook 02b: the partner under the same apex is no longer taken for the student.

WHAT       `shared apex` evaluates DMARC for a message From: the student that the partner sends, with all that the
           partner can prove: SPF and a DKIM signature, both of the partner's own domain.
DECIDES    both cures are right: adkim=s with aspf=s, for every receiver; psd=n, for those of RFC 9989. What a receiver
           of RFC 7489 makes of the record is told with it.
STANDARDS  RFC 9989 §4.4 (alignment), §4.7 (adkim, aspf, psd), §4.10.2 (Organizational Domain); RFC 7489 §3.2
READ NEXT  ../../auth/dmarc_7489.py
"""

from __future__ import annotations

from labkit.auth import evaluate_dmarc
from labkit.auth.dmarc_7489 import evaluate_7489
from labkit.auth.dmarc_lint import lint_dmarc_of
from labkit.auth.dmarc_record import read_record
from labkit.auth.door import answer_with
from labkit.lab.world import World
from labkit.teach.checks import Evidence, Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.vouching import (
    apex_of,
    lookup_in,
    own_domain,
    own_letters,
    partner_domain,
    seen_letter,
    seen_texts,
    texts_at,
)


@exercise("shared apex", "Your partner, under the same apex, does not pass as you")
def shared_apex(world: World) -> Verdict:
    """Judge by the record that is served."""
    domain, lookup = own_domain(world), lookup_in(world)
    name = f"_dmarc.{domain}"
    texts = texts_at(world, name)
    record = read_record(texts[0]) if len(texts) == 1 else None
    if not texts:
        return _at_the_apex(world) or todo(f"There is no record at {name} yet: part 4 comes first.")
    evidence = seen_texts(world, name)
    errors = [each for each in answer_with(lookup, lint_dmarc_of(domain)) if each.grade == "error"]
    if record is None or errors:
        words = errors[0].words if errors else f"There are {len(texts)} records at {name}."
        return hint(f"{words} Receivers do not read the record as you mean it.", *evidence)
    if record.adkim == "r" and record.aspf == "r" and record.psd not in ("n", "y"):
        return _at_the_apex(world) or todo(
            f"The record at {name} says nothing of strictness yet: your partner's {partner_domain(world)} "
            f"still vouches "
            "for your name."
        )
    if record.psd == "y":
        return hint(
            "psd=y says that your domain is a public suffix, one under which strangers register names, as "
            "under com. You "
            "mean the contrary: all names below yours are your own, and nothing above counts.",
            *evidence,
        )
    return _partners_ways(world, evidence) or _still_me(world, evidence) or _done(world, evidence)


def _at_the_apex(world: World) -> Verdict | None:
    """Was the cure put into the record of the apex, which belongs to all?"""
    name = f"_dmarc.{apex_of(world)}"
    texts = texts_at(world, name)
    record = read_record(texts[0]) if texts else None
    if record is None or (record.psd != "y" and "s" not in (record.adkim, record.aspf) and record.psd != "n"):
        return None
    return hint(
        f"You changed the record of {apex_of(world)}. It is not yours: on a real server you could not "
        f"write there, and "
        "where your own record exists, its modes count. The cure belongs into your own.",
        *seen_texts(world, name),
    )


def _partners_ways(world: World, evidence: list[Evidence]) -> Verdict | None:
    domain, theirs, lookup = own_domain(world), partner_domain(world), lookup_in(world)
    proofs = ("pass", theirs)
    by_spf = evaluate_dmarc(domain, proofs, None, lookup).result == "pass"
    by_dkim = evaluate_dmarc(domain, None, proofs, lookup).result == "pass"
    if by_spf:
        return hint(
            f"Signatures are compared strictly now. But your partner's SPF for {theirs} still aligns with "
            f"From: {domain}: "
            "the mode of SPF is a tag of its own.",
            *evidence,
        )
    if by_dkim:
        return hint(
            f"SPF is compared strictly now. But a letter that your partner signs with d={theirs} still "
            f"aligns with From: "
            f"{domain}: the mode of DKIM is a tag of its own.",
            *evidence,
        )
    return None


def _still_me(world: World, evidence: list[Evidence]) -> Verdict | None:
    """Does the newest own letter pass with this record?"""
    letters = own_letters(world)
    if not letters:
        return hint("Send Carol a letter of your own: it must pass with the new record.", *evidence)
    newest = letters[-1]
    dkim = [(each.result, each.domain) for each in newest.dkim]
    found = evaluate_dmarc(own_domain(world), (newest.spf.result, newest.spf.domain), dkim, lookup_in(world))
    if found.result == "pass":
        return None
    return hint(
        f"Your partner is kept out, and so are you: with this record your newest letter fails "
        f"({found.reason}). In "
        "strict mode d= and the domain of MAIL FROM must be the very name in From:.",
        seen_letter(newest, newest.line),
        *evidence,
    )


def _done(world: World, evidence: list[Evidence]) -> Verdict:
    domain, theirs, lookup = own_domain(world), partner_domain(world), lookup_in(world)
    proof = ("pass", theirs)
    old = answer_with(lookup, evaluate_7489(domain, proof, proof)).result
    words = "Your partner's SPF and DKIM no longer align with your From:."
    if old == "pass":
        words += (
            " A receiver of the old RFC 7489 does not know psd=n and looks into a list of public suffixes "
            "instead: there "
            "your partner still passes. adkim=s and aspf=s reach both."
        )
    else:
        words += " That holds for receivers of RFC 9989 and of the old RFC 7489."
    seen = [
        Seen(
            world.now(),
            "a receiver of RFC 9989",
            f"From: {domain}, SPF and DKIM pass for {theirs}: dmarc=fail",
        ),
        Seen(world.now(), "a receiver of RFC 7489", f"the same: dmarc={old}"),
    ]
    return done(words, [*evidence, *seen])

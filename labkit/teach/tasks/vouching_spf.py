"""An exercise of notebook 02b: an SPF record that permits all who send for the domain, and nobody else.

WHAT       `spf record` asks SPF about the student's host, the newsletter service and strangers, by what is served now.
DECIDES    what is wrong with the record itself (the linter's words) before whom it permits. -all and ~all are right.
STANDARDS  RFC 7208 §3.2 (one record), §4.6.4 (ten look-ups), §5 (mechanisms), §2.4 (which name is asked about)
READ NEXT  vouching_dkim.py, ../../auth/spf_lint.py
"""

from __future__ import annotations

from labkit.auth import check_spf
from labkit.auth.domain_names import is_at_or_below
from labkit.auth.record_findings import RecordFinding
from labkit.auth.spf import SpfResult
from labkit.auth.spf_lint import lint_spf
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.vouching import (
    STRANGER,
    doubled_origin,
    host_of,
    lookup_in,
    names_with,
    own_domain,
    partner_domain,
    seen_texts,
    texts_at,
)

HARMLESS = ("ptr", "long")  # warnings that do not make a record wrong


@exercise("spf record", "SPF permits the two hosts that send for your domain, and nobody else")
def spf_record(world: World) -> Verdict:
    """Judge by what a receiver would find."""
    domain = own_domain(world)
    texts = texts_at(world, domain)
    if not any("spf" in text.lower() for text in texts):
        return _none(world)
    found = seen_texts(world, domain)
    if ran_together := next(
        (text for text in texts if text.lower().startswith("v=spf1ip") or _stuck(text)), ""
    ):
        return hint(
            f"The record of {domain} reads {ran_together[:80]!r}: without quotation marks around the "
            f"whole, each word "
            "is a string of its own, and receivers join strings without blanks. Put the whole text into "
            "quotes.",
            *found,
        )
    findings = lint_spf(texts)
    if errors := [each for each in findings if each.grade == "error"]:
        errors.sort(key=lambda each: each.code != "quotes")  # they hide what else there is
        return hint(_said(errors[0]), *found)
    return _whom(world, found_words=findings)


def _stuck(text: str) -> bool:
    """v=spf1 with something stuck to it, and all at the end."""
    return (
        text.lower().startswith("v=spf1")
        and not text.lower().startswith(("v=spf1 ", "v=spf10"))
        and " " not in text
    )


def _said(finding: RecordFinding) -> str:
    """The linter's words, without the cure: that is for the student."""
    return f"{finding.words} ({finding.source})" if finding.source else finding.words


def _none(world: World) -> Verdict:
    domain = own_domain(world)
    if name := doubled_origin(world, domain):
        return hint(
            f"There is a record at '{name}'. A name without a dot at its end is completed with the "
            f"origin: it was "
            "added once too often.",
            *seen_texts(world, name),
        )
    theirs = (partner_domain(world), world.partner.name)
    own = [name for name in names_with(world, "spf1") if name not in theirs]
    if own:
        name = own[0]
        if name in world.laptops:
            return hint(
                f"There is an SPF record at {name} now. A line that begins with a blank belongs to the "
                f"name of the line "
                "above it: write the name at the very beginning of yours.",
                *seen_texts(world, name),
            )
        return hint(
            f"There is an SPF record at {name}, and none at {domain}. Receivers ask for exactly the name "
            f"behind the @ of "
            "MAIL FROM (or the name in HELO), and look nowhere else: at no parent, at no subdomain.",
            *seen_texts(world, name),
        )
    return todo(
        f"{domain} has no SPF record. Write one more line into the zone: a TXT record at the name of your "
        f"domain."
    )


def _whom(world: World, found_words: tuple[RecordFinding, ...]) -> Verdict:
    domain = own_domain(world)
    evidence = seen_texts(world, domain)

    def result(address: str, helo: str) -> SpfResult:
        return check_spf(address, helo, f"ann@{domain}", lookup_in(world))

    mine = result(world.mine.address, world.mine.name)
    if mine.result in ("permerror", "temperror"):
        return hint(f"Receivers come to {mine.result}: {mine.reason}.", *evidence)
    if mine.result != "pass":
        return hint(
            f"Your own host is not permitted: {world.mine.name} at {world.mine.address} gets "
            f"{mine.result}. Whoever "
            "publishes a record has to name all who send, oneself first.",
            *evidence,
        )
    service = host_of(world, "service")
    if service is not None and (found := result(service.address, service.name)).result != "pass":
        return hint(
            f"Your host passes. But the newsletter comes from {service.name}, and it gets {found.result}: "
            f"the term that "
            "the service asks its customers to include is not there, or not before 'all'.",
            *evidence,
        )
    for host in (host_of(world, "spoofer"), world.partner):
        if host is not None and result(host.address, host.name).result == "pass":
            return hint(
                f"Too many are permitted: {host.name} at {host.address} may send as you, too. Which term "
                f"is so wide?",
                *evidence,
            )
    stranger = result(STRANGER, "nobody.test")
    if stranger.result not in ("fail", "softfail"):
        return hint(
            f"A stranger at {STRANGER} gets {stranger.result}: the record does not say what is to be "
            f"thought of all "
            "the others. What stands at its end?",
            *evidence,
        )
    if service is not None and not _is_named(service.name, result(service.address, service.name)):
        return hint(
            f"Your host and the newsletter pass today. But the address of {service.name} is copied into your "
            "record: when the service moves, its letters fail. Which term reads the service's own record?",
            *evidence,
        )
    if doubts := [each for each in found_words if each.code not in HARMLESS]:
        return hint(_said(doubts[0]), *evidence)
    end = "fail (-all)" if stranger.result == "fail" else "softfail (~all: receivers take it, with suspicion)"
    return done(
        f"Your host and the newsletter service pass, everybody else gets {end}.",
        [
            *evidence,
            Seen(world.now(), "the check", f"{mine.lookups} terms ask the DNS for your host; 10 are allowed"),
        ],
    )


def _is_named(host_name: str, found: SpfResult) -> bool:
    """Does a term name the domain of that host, or was something asked about it on the way to the result?"""
    domain = host_name.partition(".")[2]
    asked = (str(getattr(step.question, "name", "")).lower() for step in found.steps)
    published = (step.data.lower() for step in found.steps)
    return any(is_at_or_below(name, domain) for name in asked) or any(domain in data for data in published)

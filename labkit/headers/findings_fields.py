"""Findings about what the fields say: missing and doubled ones, names that do not fit together, marks of filters.

STANDARDS  RFC 5322 §3.6 (which fields, how often), §3.6.2 (From, Sender, Reply-To); RFC 5321 §4.4 (Return-Path);
           RFC 6376 §3.5 (d=), RFC 8601 §5 (foreign results)
READ NEXT  findings_way.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.headers.addresses import Addresses, addresses_of, in_text
from labkit.headers.catalogue import entry_of
from labkit.headers.findings import Evidence, Finding, Weight, and_more, finding, quoted, related
from labkit.headers.values import Field, Kind

_DANGEROUS = frozenset("from sender reply-to subject to date message-id content-type".split())
_ENVELOPE_TO = ("envelope-to", "delivered-to", "x-original-to", "x-envelope-to")
_YES = re.compile(r"\s*(?:yes|true|spam)\b", re.IGNORECASE)
_NO = re.compile(r"\s*(?:no|false|ham)\b", re.IGNORECASE)


def doubled(seen: Evidence) -> Iterator[Finding]:
    for name, fields in seen.by_name.items():
        if len(fields) > 1 and entry_of(name).most == 1:
            yield finding(
                "doubled", Weight.ALARM if name in _DANGEROUS else Weight.WARNING,
                f"{fields[0].name} stands {len(fields):,} times, and may stand only once: "
                "one program shows the first, another the last, and a signature may cover either.",
                [f.index for f in fields], entry_of(name).rfc, "Believe neither; a careful server refuses such mail.",
            )  # fmt: skip


def missing(seen: Evidence) -> Iterator[Finding]:
    for name, weight, words, rfc in (
        ("Date", Weight.WARNING, "There is no Date field; every message must have one.", "RFC 5322 §3.6"),
        ("From", Weight.ALARM, "There is no From field; every message must have one.", "RFC 5322 §3.6"),
        (
            "Message-ID",
            Weight.NOTE,
            "There is no Message-ID; without it, logs are hard to join.",
            "RFC 5322 §3.6.4",
        ),
    ):
        if seen.first(name.lower()) is None:
            yield finding(
                f"no-{name.lower()}",
                weight,
                words,
                [],
                rfc,
                "The submission server should have added it (RFC 6409 §8).",
            )


def _addresses(seen: Evidence, name: str) -> tuple[Field | None, Addresses]:
    field = seen.first(name)
    return field, addresses_of(field.value) if field else Addresses((), 0)


def author(seen: Evidence) -> Iterator[Finding]:
    field, addresses = _addresses(seen, "from")
    if field is None:
        return
    first = addresses.first
    if first is None or not first.domain:
        yield finding(
            "from-unreadable", Weight.ALARM, f"From names no address that can be read: {quoted(field.shown)}",
            [field.index], "RFC 5322 §3.6.2", "Do not believe what a mail program makes of it.",
        )  # fmt: skip
        return
    if addresses.count > 1 and seen.first("sender") is None:
        yield finding(
            "several-authors", Weight.WARNING,
            f"From names {addresses.count:,} authors, and no Sender says who sent it.",
            [field.index], "RFC 5322 §3.6.2", "DMARC may judge either domain: be careful.",
        )  # fmt: skip
    inside = in_text(first.display)
    if inside and inside.lower() != first.address.lower():
        weight = Weight.NOTE if related(inside.rpartition("@")[2], first.domain) else Weight.ALARM
        yield finding(
            "address-in-name", weight,
            f"The name in From looks like the address {quoted(inside)}, but the address is {quoted(first.address)}.",
            [field.index], "RFC 5322 §3.4", "Many mail programs show the name alone: look at the address.",
        )  # fmt: skip


def answers_elsewhere(seen: Evidence) -> Iterator[Finding]:
    field, reply_to = _addresses(seen, "reply-to")
    origin, addresses = _addresses(seen, "from")
    if field is None or origin is None or not (addresses.first and addresses.first.domain):
        return
    there = next(
        (a for a in reply_to.kept if a.domain and not related(a.domain, addresses.first.domain)), None
    )
    if there is not None:
        is_list = any(f.kind is Kind.LIST for f in seen.fields)
        yield finding(
            "reply-to-elsewhere", Weight.NOTE if is_list else Weight.WARNING,
            f"Answers go to {quoted(there.address)}, not to the domain of From, {quoted(addresses.first.domain)}.",
            [field.index, origin.index], "RFC 5322 §3.6.2",
            "Usual for mailing lists and forms; a stranger's trick as well. Look before you answer.",
        )  # fmt: skip


def domains(seen: Evidence) -> Iterator[Finding]:
    """Whom does each identity name? The envelope, the signature and From may be three different parties."""
    origin, addresses = _addresses(seen, "from")
    shown = addresses.first.domain if addresses.first else ""
    if origin is None or not shown:
        return
    back, envelope = _addresses(seen, "return-path")
    sender = envelope.first.domain if envelope.first else ""
    if back is not None and sender and not related(sender, shown):
        yield finding(
            "envelope-differs", Weight.NOTE,
            f"The envelope's sender is of {quoted(sender)}, From is of {quoted(shown)}: "
            "SPF speaks of the first alone, and the reader sees the second.",
            [back.index, origin.index], "RFC 7208 §11.3",
            "Usual for lists, forwarders and relays. A DKIM signature by From's domain would tie them.",
        )  # fmt: skip
    signatures = seen.all("dkim-signature")
    signers = list(dict.fromkeys(f.by for f in signatures if f.by))
    if not signatures:
        yield finding(
            "unsigned", Weight.NOTE, "There is no DKIM signature: no domain vouches for the text.",
            [], "RFC 6376 §1", "The sender's server should sign.",
        )  # fmt: skip
    elif not any(related(each, shown) for each in signers):
        named = ", ".join(map(quoted, signers[:3])) or "nobody that can be read"
        yield finding(
            "signed-by-another", Weight.WARNING,
            f"From is of {quoted(shown)}, but the signatures are by {named}: they do not vouch for From.",
            [origin.index, *(f.index for f in signatures)], "RFC 9989",
            "With DMARC only a signature by From's own domain counts (alignment).",
        )  # fmt: skip


def recipient(seen: Evidence) -> Iterator[Finding]:
    """Trap: an envelope recipient that stands nowhere in the header, and nobody noticed."""
    where, address = _envelope_recipient(seen)
    named = [f for name in ("to", "cc", "resent-to", "resent-cc") for f in seen.all(name)]
    if not address or not named:
        return
    for field in named:
        found = addresses_of(field.value)
        if found.count > len(found.kept) or any(a.address.lower() == address.lower() for a in found.kept):
            return
    yield finding(
        "to-differs", Weight.NOTE,
        f"The envelope's recipient {quoted(address)} stands neither in To nor in Cc.",
        [*where, *(f.index for f in named)], "RFC 5321 §2.3.1",
        "The envelope decides who gets it: a list, an alias, a forwarder or Bcc does this.",
    )  # fmt: skip


def _envelope_recipient(seen: Evidence) -> tuple[list[int], str]:
    for field in (f for name in _ENVELOPE_TO for f in seen.all(name)[:1]):
        first = addresses_of(field.value).first
        if first is not None and first.domain:
            return [field.index], first.address
    for hop in reversed(seen.hops[-1:]):
        if "@" in hop.received.recipient:
            return [hop.field], hop.received.recipient
    return [], ""


def secret_recipients(seen: Evidence) -> Iterator[Finding]:
    for field in seen.all("bcc")[:1]:
        if field.value:
            yield finding(
                "bcc", Weight.WARNING, "A Bcc field came along: everybody can read the secret recipients.",
                [field.index], "RFC 5322 §3.6.3", "The author's program should have taken it out.",
            )  # fmt: skip


def null_sender(seen: Evidence) -> Iterator[Finding]:
    field = seen.first("return-path")
    if field is not None and field.value.replace(" ", "") == "<>":
        yield finding(
            "null-sender", Weight.NOTE, "The envelope has no sender: this is a report, or wants to look like one.",
            [field.index], "RFC 5321 §4.5.5", "Do not answer it by a program; a report about it goes nowhere.",
        )  # fmt: skip


def filters(seen: Evidence) -> Iterator[Finding]:
    marks = [f for name in ("x-spam-flag", "x-spam-status", "x-spam") for f in seen.all(name)]
    spam = [f for f in marks if _YES.match(f.value) and not seen.trust.could_be_forged(f.index)]
    if spam:
        yield finding(
            "spam", Weight.WARNING, f"Your side's filter says that this is spam: {quoted(spam[0].value)}",
            [f.index for f in spam], "", "Look which tests hit.",
        )  # fmt: skip
    clean = [f for f in marks if _NO.match(f.value) and seen.trust.could_be_forged(f.index)]
    if clean:
        yield finding(
            "clean-by-own-word", Weight.NOTE,
            f"{quoted(clean[0].name)} in line {clean[0].first_line} says that this is no spam, but stands where a "
            f"stranger could have written it{and_more(len(clean))}.",
            [f.index for f in clean], "", "Filters take such fields out of what comes in.",
        )  # fmt: skip


def results(seen: Evidence) -> Iterator[Finding]:
    """Authentication-Results that carry our own name where we cannot have put them (RFC 8601 §5)."""
    fields = seen.all("authentication-results")
    below = [f for f in fields if seen.trust.could_be_forged(f.index)]
    ours = [f for f in below if seen.trust.has(f.by)]
    older = next((hop.field for hop in reversed(seen.hops) if seen.trust.could_be_forged(hop.field)), None)
    forged = [f for f in ours if older is not None and f.index > older]
    if forged:
        yield finding(
            "results-forged", Weight.ALARM,
            f"Authentication-Results in line {forged[0].first_line} bears the name of your own server "
            f"{quoted(forged[0].by)}, but stands below another host's Received field{and_more(len(forged))}: "
            "your server cannot have put it there.",
            [f.index for f in forged], "RFC 8601 §5", "Your server should take such fields out of what comes in.",
        )  # fmt: skip
    elif ours:
        yield finding(
            "results-doubtful", Weight.NOTE,
            f"Authentication-Results in line {ours[0].first_line} bears the name of your own server "
            f"{quoted(ours[0].by)}, but stands below its Received field{and_more(len(ours))}: some servers write "
            "there, and the client could have, too.",
            [f.index for f in ours], "RFC 8601 §5", "Believe it if your server takes out foreign ones with its name.",
        )  # fmt: skip
    others = [f for f in below if not seen.trust.has(f.by)]
    if others:
        yield finding(
            "results-foreign", Weight.NOTE,
            f"Authentication-Results in line {others[0].first_line} is by {quoted(others[0].by) or 'nobody'}, "
            f"beyond the boundary{and_more(len(others))}: it proves nothing here.",
            [f.index for f in others], "RFC 8601 §7.1", "Believe only what your own server found.",
        )  # fmt: skip


FIELD_CHECKS = (
    doubled, missing, author, answers_elsewhere, domains, recipient, secret_recipients, null_sender, filters, results,
)  # fmt: skip

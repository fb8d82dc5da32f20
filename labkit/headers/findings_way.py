"""Findings about the way: clocks, delays, encryption, names that do not fit, loops, and a way that may be invented.

STANDARDS  RFC 5321 §4.4 (Received), §4.1.4 (HELO), §4.5.4.1 (retries), §6.3 (loops), RFC 3207, RFC 3848, RFC 5322 §3.3
READ NEXT  trust.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from labkit.headers.dates import read_date
from labkit.headers.findings import Evidence, Finding, Weight, and_more, finding, quoted, related
from labkit.headers.hops import span
from labkit.headers.values import Hop, Kind, Received

HOUR, DAY = 3600.0, 86_400.0
MANY_HOPS = 30  # Exim's limit; RFC 5321 §6.3 asks for 100
INSIDE = tuple(  # RFC 1918, RFC 6598, RFC 4193, RFC 3927, RFC 4291 §2.5.3, §2.5.6
    ip_network(text)
    for text in "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 127.0.0.0/8 "
    "fc00::/7 fe80::/10 ::1/128".split()
)
BEFORE, AFTER = DAY, 300.0  # Date may be so much older and younger than the first hop


def clocks(seen: Evidence) -> Iterator[Finding]:
    wrong = [hop for hop in seen.hops if hop.skew is not None]
    if wrong:
        first = wrong[0]
        serious = any(abs(hop.skew or 0) >= 60 for hop in wrong)
        yield finding(
            "clock", Weight.WARNING if serious else Weight.NOTE,
            f"Hop {first.number} ({quoted(first.received.by)}): {first.words}{and_more(len(wrong))}.",
            [hop.field for hop in wrong], "RFC 5321 §4.4",
            "Times of that host say nothing about delays; servers should set their clocks by NTP.",
        )  # fmt: skip


def delays(seen: Evidence) -> Iterator[Finding]:
    slow = [hop for hop in seen.hops if hop.delay is not None and hop.delay >= HOUR]
    if slow:
        worst = max(slow, key=lambda hop: hop.delay or 0)
        yield finding(
            "delay", Weight.WARNING if (worst.delay or 0) >= DAY else Weight.NOTE,
            f"It took {span(worst.delay or 0)} to hop {worst.number} ({quoted(worst.received.by)})"
            f"{and_more(len(slow))}.",
            [hop.field for hop in slow], "RFC 5321 §4.5.4.1",
            "It waited in the queue of the host before: greylisting, a host that was down, or a full mailbox.",
        )  # fmt: skip


def dates(seen: Evidence) -> Iterator[Finding]:
    odd = [hop for hop in seen.hops if hop.received.date is not None and hop.received.date.oddities]
    lost = [hop for hop in seen.hops if hop.received.date is None or hop.received.date.instant is None]
    if lost:
        yield finding(
            "hop-without-date", Weight.NOTE,
            f"Hop {lost[0].number} ({quoted(lost[0].received.by)}) names no time that can be read"
            f"{and_more(len(lost))}.",
            [hop.field for hop in lost], "RFC 5321 §4.4", "Its delay is not known.",
        )  # fmt: skip
    odd = [hop for hop in odd if hop.at is not None]
    if odd:
        date = odd[0].received.date
        words = date.oddities[0] if date else ""
        yield finding(
            "odd-date", Weight.NOTE,
            f"The date of hop {odd[0].number} is odd: {quoted(words)}{and_more(len(odd))}.",
            [hop.field for hop in odd], "RFC 5322 §3.3", "Its instant may be understood differently elsewhere.",
        )  # fmt: skip


def date_field(seen: Evidence) -> Iterator[Finding]:
    field = seen.first("date")
    if field is None:
        return
    date = read_date(field.value)
    if date.instant is None:
        yield finding(
            "date-unreadable", Weight.WARNING, f"Date names no time: {quoted(date.oddities[-1])}.",
            [field.index], "RFC 5322 §3.3", "Programs sort such mail anywhere.",
        )  # fmt: skip
        return
    first = next((hop for hop in seen.hops if hop.at is not None and hop.skew is None), None)
    if first is None or first.at is None:
        return
    late = (first.at - date.instant).total_seconds()
    if late < -AFTER:
        yield finding(
            "date-in-future", Weight.WARNING,
            f"Date is {span(-late)} later than the first hop: it was sent before it was written.",
            [field.index, first.field], "RFC 5322 §3.6.1",
            "The author's clock is wrong, or the date is meant to keep the mail on top of the list.",
        )  # fmt: skip
    elif late > BEFORE:
        yield finding(
            "date-in-past", Weight.NOTE, f"Date is {span(late)} older than the first hop.",
            [field.index, first.field], "RFC 5322 §3.6.1",
            "It lay in an outbox, the clock is wrong, or it was sent once more.",
        )  # fmt: skip


def encryption(seen: Evidence) -> Iterator[Finding]:
    clear = [hop for hop in seen.hops if hop.received.is_encrypted is False and _is_network(hop.received)]
    if clear:
        hop = clear[0]
        yield finding(
            "unencrypted", Weight.NOTE,
            f"From {quoted(hop.received.client)} to {quoted(hop.received.by)} it travelled in the clear "
            f"({quoted(hop.received.protocol)}){and_more(len(clear))}.",
            [each.field for each in clear], "RFC 3207", "Both servers should offer STARTTLS, and use it.",
        )  # fmt: skip


def _is_inside(text: str) -> bool:
    """An address that no other network sees. (The addresses of examples, RFC 5737, are the lab's internet.)"""
    address = ip_address(text)
    return any(address in network for network in INSIDE)


def _is_network(received: Received) -> bool:
    if received.is_local or not received.client:
        return False
    return not (received.address and ip_address(received.address).is_loopback)


def helo(seen: Evidence) -> Iterator[Finding]:
    differ = [
        hop for hop in seen.hops
        if hop.received.reverse_name
        and hop.received.helo
        and not hop.received.helo.startswith("[")
        and not related(hop.received.helo, hop.received.reverse_name)
        and not hop.received.is_authenticated
        and _is_network(hop.received)
    ]  # fmt: skip
    if differ:
        received = differ[0].received
        yield finding(
            "helo-differs", Weight.NOTE,
            f"A client called itself {quoted(received.helo)}, but its address is that of "
            f"{quoted(received.reverse_name)}{and_more(len(differ))}.",
            [hop.field for hop in differ], "RFC 5321 §4.1.4",
            "HELO is only a claim. A server should use its own name; a stranger uses yours.",
        )  # fmt: skip
    nameless = [
        hop for hop in seen.hops[-1:]
        if hop.received.address
        and not hop.received.reverse_name
        and not hop.received.is_authenticated
        and not _is_inside(hop.received.address)
    ]  # fmt: skip
    if nameless:
        yield finding(
            "no-reverse-name", Weight.NOTE,
            f"The client {quoted(nameless[0].received.address)} has no reverse name, as far as your server says.",
            [nameless[0].field], "RFC 1912 §2.1", "Big providers refuse such clients; a server needs a PTR record.",
        )  # fmt: skip


def loops(seen: Evidence) -> Iterator[Finding]:
    if len(seen.hops) > MANY_HOPS:
        yield finding(
            "many-hops", Weight.WARNING, f"There are {len(seen.hops):,} Received fields: it went round, or nearly.",
            [hop.field for hop in seen.hops], "RFC 5321 §6.3", "Find the two hosts that send it to each other.",
        )  # fmt: skip
    visits: Counter[str] = Counter()
    before = ""
    for hop in seen.hops:
        by = hop.received.by
        if by and by != before:  # a content filter hands it back to the same host at once
            visits[by] += 1
        before = by or before
    again = [name for name, count in visits.items() if count > 1 and name != "localhost"]
    if again:
        most = max(again, key=lambda name: visits[name])
        yield finding(
            "came-back", Weight.WARNING,
            f"{quoted(most)} got it {visits[most]} times, with other hosts in between{and_more(len(again))}.",
            [hop.field for hop in seen.hops if hop.received.by in set(again)], "RFC 5321 §6.3",
            "A loop, if it goes on; a list or a forwarder may send it back once.",
        )  # fmt: skip
    places = Counter(f.value.strip(" <>").lower() for f in seen.all("delivered-to"))
    twice = [name for name, count in places.items() if count > 1]
    if twice:
        yield finding(
            "delivered-twice", Weight.WARNING, f"It was delivered to {quoted(twice[0])} more than once: a loop.",
            [f.index for f in seen.all("delivered-to")], "RFC 9228", "Look at the aliases of that address.",
        )  # fmt: skip


def broken_chain(seen: Evidence) -> Iterator[Finding]:
    """The client that a hop names should be who wrote the Received field below it."""
    broken = [
        (lower, upper) for lower, upper in zip(seen.hops, seen.hops[1:])
        if not _fits(lower.received, upper.received)
    ]  # fmt: skip
    forgeable = [pair for pair in broken if seen.trust.could_be_forged(pair[0].field)]
    if forgeable:
        lower, upper = forgeable[-1]
        yield finding(
            "broken-chain", Weight.WARNING,
            f"Hop {lower.number} says that {quoted(lower.received.by)} had it, but hop {upper.number} got it from "
            f"{quoted(upper.received.client)}{and_more(len(forgeable))}: it may be invented.",
            [pair[0].field for pair in forgeable], "RFC 5321 §7.1",
            "Beyond the boundary anybody can write Received fields. Believe the line above.",
        )  # fmt: skip
    ours = [
        hop for hop in seen.hops
        if seen.trust.could_be_forged(hop.field) and seen.trust.has(hop.received.by)
    ]  # fmt: skip
    if ours:
        yield finding(
            "our-name-below", Weight.WARNING,
            f"Hop {ours[0].number} bears the name of {quoted(ours[0].received.by)}, which you trust, but came in "
            f"from a stranger{and_more(len(ours))}.",
            [hop.field for hop in ours], "RFC 5321 §7.1",
            "Either it went out and came back, or somebody uses your name: look for its id in that host's log.",
        )  # fmt: skip


def _fits(lower: Received, upper: Received) -> bool:
    """Nothing speaks against it that the lower one's writer was the upper one's client."""
    if not lower.by or not upper.client or upper.is_local or lower.by == upper.by:
        return True
    if lower.by in ("localhost", upper.address) or lower.by_address == upper.address != "":
        return True
    if upper.address and _is_inside(upper.address):
        return True  # behind an address translation names say little
    return any(related(lower.by, name) for name in (upper.helo, upper.reverse_name) if name)


def misplaced(seen: Evidence) -> Iterator[Finding]:
    """Each server puts its trace on top: a Received field below the author's fields did not get there that way."""
    begun = next((f.index for f in seen.fields if f.kind in (Kind.SUBJECT, Kind.DESTINATION)), None)
    if begun is None:
        return
    bad: list[Hop] = [hop for hop in seen.hops if hop.field > begun]
    if bad:
        yield finding(
            "misplaced-received", Weight.WARNING,
            f"A Received field stands below the author's own fields{and_more(len(bad))}.",
            [hop.field for hop in bad], "RFC 5321 §4.4", "Servers write on top: the author's side wrote this one.",
        )  # fmt: skip


WAY_CHECKS = (
    clocks, delays, dates, date_field, encryption, helo, loops, broken_chain, misplaced,
)  # fmt: skip

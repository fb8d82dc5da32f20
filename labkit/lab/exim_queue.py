"""The queue listing, as `exim -bp` prints it, and its summary, as `exiqsumm` does.

STANDARDS  Exim specification, chapter "The Exim command line" (-bp)
READ NEXT  conversations.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from labkit.queue.item import QueueItem

_MESSAGE = re.compile(r"(?P<age>[\d\s]{2,3}[mhd])\s+(?P<size>\S+)\s\S+\s<(?P<sender>\S*)>")
_RECIPIENT = re.compile(r"(?!\s*D\s)\s+[^@]*@(?P<domain>[\w.-]+|\[[\d.]+\])")


def queue_listing(items: Iterable[QueueItem], now: datetime) -> str:
    """A block for each message: age, size, id, sender; then the recipients, those that are finished with a D."""
    blocks = []
    for item in items:
        frozen = " *** frozen ***" if item.frozen else ""
        lines = [
            f"{age_shown(now - item.received_at)} {size_shown(item.size):>5} "
            f"{item.queue_id} <{item.envelope.sender}>{frozen}"
        ]
        for recipient in dict.fromkeys(item.envelope.forward_paths):
            mark = "D" if recipient in item.finished else " "
            lines.append(f"        {mark} {recipient}")
        blocks.append("\n".join([*lines, "", ""]))
    return "".join(blocks)


def queue_summary(listing: str, options: str = "") -> str:
    """What `exiqsumm` makes of a listing: messages, octets, and the oldest and newest, by domain of the recipient.

    `options` are its letters: a and c sort by age and by count; f and b mark frozen messages and reports, s names the
    sender's domain.
    """
    domains: dict[str, list[tuple[int, str]]] = {}
    size, age, source, marks = 0, "0m", "", ""
    for line in listing.split("\n"):
        if message := _MESSAGE.match(line):
            age, size = message["age"].strip(), _octets(message["size"])
            source = message["sender"].partition("@")[2] or message["sender"] or "<>"
            marks = " (b)" if "b" in options and not message["sender"] else ""
            marks += " (f)" if "f" in options and "*** frozen ***" in line else ""
        elif recipient := _RECIPIENT.match(line):
            domain = recipient["domain"].lower()
            domain = f"{source.lower()} > {domain}" if "s" in options else domain
            domains.setdefault(domain + marks, []).append((size, age))
    lines = ["", "Count  Volume  Oldest  Newest  Domain", "-----  ------  ------  ------  ------", ""]
    names = sorted(domains)
    if "a" in options:
        names.sort(key=lambda name: -max(_seconds(age) for _, age in domains[name]))
    elif "c" in options:
        names.sort(key=lambda name: -len(domains[name]))
    lines += (_summary_line(domains[name], name) for name in names)
    everything = [entry for found in domains.values() for entry in found]
    lines += ["-" * 63, _summary_line(everything, "TOTAL"), ""]
    return "\n".join(lines) + "\n"


def _summary_line(found: Sequence[tuple[int, str]], domain: str) -> str:
    ages = [age for _, age in found]
    oldest = max(ages, key=_seconds) if ages else "0m"
    newest = min(ages, key=_seconds) if ages else "0000d"
    volume = _volume(sum(size for size, _ in found))
    return f"{len(found):5d}  {volume:.6}  {oldest:>6}  {newest:>6}  {domain:.80}"


def _seconds(age: str) -> int:
    return int(age[:-1]) * {"m": 60, "h": 3600, "d": 86400}[age[-1]]


def _octets(size: str) -> int:
    if size[-1] in "KM":
        return int(float(size[:-1]) * (1024 if size[-1] == "K" else 1024 * 1024))
    return int(size)


def _volume(octets: int) -> str:
    if octets < 10000:
        return f"{octets:6d}"
    if octets < 10_000_000:
        return f"{(octets + 512) // 1024:4d}KB"
    return f"{(octets + 512 * 1024) // (1024 * 1024):4d}MB"


def age_shown(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    if minutes <= 90:
        return f"{minutes:2d}m"
    hours = (minutes + 30) // 60
    return f"{hours:2d}h" if hours <= 72 else f"{(hours + 12) // 24:2d}d"


def size_shown(octets: int) -> str:
    if octets < 1024:
        return str(octets)
    if octets < 10 * 1024:
        return f"{octets / 1024:.1f}K"
    if octets < 1024 * 1024:
        return f"{(octets + 512) // 1024}K"
    return f"{octets / 1024 / 1024:.1f}M"

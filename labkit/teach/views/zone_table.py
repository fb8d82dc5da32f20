"""A zone as a table: every record with its names in full, as the nameserver understood the file.

WHAT       `zone_table(world, "sne21.test")`; what the file leaves out (the origin, the name of the line above, the TTL)
           stands in every row. Of the SOA only two numbers are shown: the serial, and how long "no" is remembered.
           `publish(world, "sne21.test", text)` gives the nameserver a file first; if it does not take it, the view
           shows the line and why. Records that the lab's own zone does not have come first.
STANDARDS  RFC 1035 §5.1 (master files), §3.3 (the types)
READ NEXT  zone_answers.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import dns.zone

from labkit.lab.world import World
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST_DATA = 200
MOST_RECORDS = 200
AROUND = 2  # lines shown above and below the one that was not understood
_HEAD = ("name", "TTL", "type", "data", "which means")
Row = tuple[str, str, str, str, str]  # as in the head


def zone_table(world: World, origin: str) -> ZoneView:
    """The records of a zone as they are served now. Raises KeyError naming the zones there are."""
    world.zone(origin)  # for its words
    return ZoneView(world.zones[origin].origin.to_text(), _rows(world, origin))


def publish(world: World, origin: str, text: str) -> ZoneView | RefusalView:
    """Give the nameserver a file, and show the zone that it made of it; or its refusal, and the former zone stays."""
    text = text.lstrip("\n")  # so that its lines are counted as they are seen
    try:
        world.write_zone(origin, text)
    except ValueError as problem:  # a ZoneError
        return RefusalView(origin, text, str(problem))
    former = next((text for name, text in world.scenario.zones if name == origin), None)
    if former is None:
        return zone_table(world, origin)
    rows, known = _rows(world, origin), set(_records(former, origin))
    new = [row for row in rows if (row[0].lower(), row[2], row[3]) not in known and row[2] != "SOA"]
    shown = [*new, *(row for row in rows if row not in new)]
    return ZoneView(world.zones[origin].origin.to_text(), shown, len(new))


def _rows(world: World, origin: str) -> list[Row]:
    return [
        (rrset.name.to_text(), str(rrset.ttl), rdata.rdtype.name, _data(rdata), meaning(rdata))
        for rrsets in world.zones[origin].records.values()
        for rrset in rrsets
        for rdata in rrset
    ]


def _records(text: str, origin: str) -> Iterator[tuple[str, str, str]]:
    """What makes each record of a file that record: its name, whose case does not matter, its type and its data."""
    zone = dns.zone.from_text(text, origin, relativize=False)
    for name, _, rdata in zone.iterate_rdatas():
        yield name.to_text().lower(), rdata.rdtype.name, _data(rdata)


def _data(rdata: Any) -> str:
    if rdata.rdtype.name == "SOA":
        return f"serial {rdata.serial}, no = {rdata.minimum} s"
    return clip(rdata.to_text(), LONGEST_DATA)


def meaning(rdata: Any) -> str:
    """What a record says, in words; nothing for a type that this course does not need."""
    kind = rdata.rdtype.name
    if kind == "SOA":
        return "the zone begins here"
    if kind == "MX" and rdata.exchange.to_text() == ".":
        return "takes no mail at all (RFC 7505)"
    words = {
        "NS": "this nameserver knows the zone",
        "A": "the address of that name",
        "MX": "this host takes its mail",
        "TXT": "text",
        "CNAME": "an alias: ask for this name instead",
        "PTR": "the name of that address",
    }
    return words.get(kind, "")


class ZoneView(View):
    """The table."""

    def __init__(self, origin: str, rows: list[Row], new: int = 0) -> None:
        """`new`: how many of the rows, the first ones, the zone of the lab did not have."""
        self.rows = rows[:MOST_RECORDS]
        more = f"; the first {MOST_RECORDS} are shown" if len(rows) > MOST_RECORDS else ""
        ahead = f"; {new} {'is' if new == 1 else 'are'} new and shown first" if new else ""
        self.title = f"The zone {origin} has {len(rows)} records{ahead}{more}"

    def html(self) -> Markup:
        return table(_HEAD, self.rows, self.title, code=[0, 2, 3], whole=[0, 1, 2])

    def text(self) -> str:
        return text_table(_HEAD, self.rows, self.title)


class RefusalView(View):
    """A file that the nameserver did not take: its words, and the lines around the one they name."""

    def __init__(self, origin: str, text: str, words: str) -> None:
        self.title = f"The nameserver did not take the zone {origin}, and nothing has changed"
        self.words = words
        found = re.search(r":(\d+): ", words)
        self.lines = "" if found is None else _around(text.splitlines(), int(found[1]))

    def html(self) -> Markup:
        listing = tag("pre", self.lines) if self.lines else None
        return join(tag("p", tag("b", self.title)), listing, tag("p", self.words))

    def text(self) -> str:
        return "\n".join(part for part in (self.title, self.lines, self.words) if part)


def _around(lines: list[str], number: int) -> str:
    """The lines around that one, numbered, with a mark before it."""
    first, last = max(1, number - AROUND), min(len(lines), number + AROUND)
    return "\n".join(
        f"{'>' if at == number else ' '} {at:3}  {clip(lines[at - 1], LONGEST_DATA)}"
        for at in range(first, last + 1)
    )

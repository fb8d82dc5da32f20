"""A DNS block list of the lab: a zone whose names are addresses, turned round.

WHAT       `Blocklist(world)` keeps the zone bl.test: `list`, `delist`, and what can go wrong with a list:
           `shut_down` (it lists everybody), `fall_silent` (it answers nobody). `entries` are its addresses and reasons.
DOES       writes the zone anew; the lab's nameserver has it with the next query, and who asked before believes what it
           was told until the TTL has passed: `ttl` seconds for who is listed, `negative_ttl` for who is not.
LIKE       real lists: 127.0.0.2 is listed, always, and 127.0.0.1 never is; so a list that answers both alike is dead,
           or lists everybody, and can be seen to (RFC 5782 §5). Each entry has a TXT record with its reason.
STANDARDS  RFC 5782 §2.1 (names), §2.3 (values), §5 (test entries); RFC 6471 §3.4 (how a list should end: not so)
READ NEXT  traffic_cast.py
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.lab.scenarios import is_domain

if TYPE_CHECKING:
    from labkit.lab.world import World

ORIGIN = "bl.test"
TEST_ENTRY = "127.0.0.2"  # always listed
NEVER_LISTED = "127.0.0.1"
TEST_REASON = "the test entry of RFC 5782: every list has it"
TTL, NEGATIVE_TTL = 300, 60  # seconds
MOST_ENTRIES = 10_000
LONGEST_REASON = 200
_FIRST_OCTET = "127."


class ListMistake(ValueError):
    """What cannot be listed. The words say what to write."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Why an address, or a network of 8, 16 or 24 bits, is on the list, and the answer's last number."""

    place: str
    reason: str
    value: str = TEST_ENTRY


def entry(place: str, reason: str, value: str = TEST_ENTRY) -> Entry:
    """Check what is to be listed. Raises ListMistake."""
    try:
        network = ipaddress.IPv4Network(place)
    except ValueError as problem:
        raise ListMistake(
            f"{place!r} cannot be listed ({problem}): write 203.0.113.9, or 203.0.113.0/24"
        ) from None
    if network.prefixlen not in (8, 16, 24, 32):
        raise ListMistake(f"{place}: a zone can list networks of 8, 16 or 24 bits, and single addresses")
    if ipaddress.IPv4Address(NEVER_LISTED) in network:
        raise ListMistake(
            f"{place}: {NEVER_LISTED} is never listed (RFC 5782 §5); who asks for it tests the list"
        )
    try:
        is_value = str(ipaddress.IPv4Address(value)).startswith(_FIRST_OCTET)
    except ValueError:
        is_value = False
    if not is_value:
        raise ListMistake(f"{value!r} is no answer of a list: write 127.0.0.2, or another one in 127.0.0.0/8")
    if not reason.isascii() or not reason.isprintable() or len(reason) > LONGEST_REASON:
        raise ListMistake(
            f"the reason goes into a TXT record: at most {LONGEST_REASON} printable ASCII characters"
        )
    shown = str(network.network_address) if network.prefixlen == 32 else str(network)
    return Entry(shown, reason, value)


def name_of(address: str, origin: str = ORIGIN) -> str:
    """What is asked about an address: 9.113.0.203.bl.test for 203.0.113.9 (RFC 5782 §2.1)."""
    return ".".join([*reversed(str(ipaddress.IPv4Address(address)).split(".")), origin])


def zone_text(
    entries: Iterable[Entry],
    *,
    ttl: int = TTL,
    negative_ttl: int = NEGATIVE_TTL,
    serial: int = 1,
    is_shut_down: bool = False,
) -> str:
    """The master file of a list. One that is shut down answers every name: its domain was sold, or its keeper wants
    to be left alone.
    """
    lines = [
        f"$TTL {ttl}",
        f"@ IN SOA ns.root. hostmaster.root. ( {serial} 7200 900 1209600 {negative_ttl} )",
        "  IN NS  ns.root.",
    ]
    if is_shut_down:
        return "\n".join([*lines, f"* IN A {TEST_ENTRY}", '* IN TXT "this list is no more"', ""])
    for each in (Entry(TEST_ENTRY, TEST_REASON), *entries):
        quoted = re.sub(r'(["\\])', r"\\\1", each.reason)
        name = _owner(each.place)
        lines += [f"{name} IN A {each.value}", f'{name} IN TXT "{quoted}"']
    return "\n".join([*lines, ""])


def _owner(place: str) -> str:
    """The owner name below the origin: a network is a wildcard over its addresses."""
    address, _, bits = place.partition("/")
    kept = address.split(".")[: int(bits or 32) // 8]
    return ".".join(["*"] * (len(kept) < 4) + kept[::-1])


class Blocklist:
    """The list `origin` of a world: it begins with `entries`, and takes the place of the zone that was there."""

    def __init__(
        self,
        world: World,
        origin: str = ORIGIN,
        entries: Iterable[Entry] = (),
        *,
        ttl: int = TTL,
        negative_ttl: int = NEGATIVE_TTL,
    ) -> None:
        if not is_domain(origin):
            raise ListMistake(f"{origin!r} is no name for a list: write bl.test")
        self.world, self.origin, self.ttl, self.negative_ttl = world, origin, ttl, negative_ttl
        self._entries = {each.place: each for each in entries}
        self._serial = 1
        self._is_shut_down = False
        self._write()

    @property
    def entries(self) -> Mapping[str, Entry]:
        return dict(self._entries)

    def list(self, place: str, reason: str, value: str = TEST_ENTRY) -> Entry:
        """Put an address, or a network, on the list. Raises ListMistake."""
        new = entry(place, reason, value)
        if new.place not in self._entries and len(self._entries) >= MOST_ENTRIES:
            raise ListMistake(f"the list is full: {MOST_ENTRIES:,} entries")
        self._entries[new.place] = new
        self._write()
        return new

    def list_all(self, places: Iterable[str], reason: str) -> None:
        """Several at once, for the same reason. Raises ListMistake, and none of them is listed then."""
        new = [entry(place, reason) for place in places]
        if len({*self._entries, *(each.place for each in new)}) > MOST_ENTRIES:
            raise ListMistake(f"the list is full: {MOST_ENTRIES:,} entries")
        self._entries |= {each.place: each for each in new}
        self._write()

    def delist(self, place: str) -> None:
        """Take it off again. Raises KeyError if it is not there."""
        if place not in self._entries:
            raise KeyError(f"{place} is not on the list {self.origin}")
        del self._entries[place]
        self._write()

    def shut_down(self, on: bool = True) -> None:
        """Answer every question with yes, as lists have done that were given up; or (`on=False`) be a list again."""
        self._is_shut_down = on
        self._write()

    def fall_silent(self, on: bool = True) -> None:
        """Answer nothing at all: everybody who asks waits."""
        self.world.nameserver.silent(self.origin, on)

    def _write(self) -> None:
        text = zone_text(
            self._entries.values(),
            ttl=self.ttl,
            negative_ttl=self.negative_ttl,
            serial=self._serial,
            is_shut_down=self._is_shut_down,
        )
        self._serial += 1
        self.world.write_zone(self.origin, text)

    def __repr__(self) -> str:
        state = ", shut down: it lists everybody" if self._is_shut_down else ""
        rows = [f"  {each.place:<18} {each.value:<10} {each.reason}" for each in self._entries.values()]
        return "\n".join([f"<block list {self.origin}, {len(rows)} entries{state}>", *rows])

"""A forged name: the DNS says that another host's name has our address.

WHAT       `ForgedName(world, victim, address)`: `forge()` leads those astray who ask for the victim's address, as
           somebody does who answers faster than the nameserver, or sits on the way; `relent()` takes that back.
RULES      caches keep either answer for its TTL. In a zone that is signed the lie is found out: nobody gets an address.
READ NEXT  impostor_engine.py, middle_engine.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.lab.world import World


class ForgedName:
    """The name of `victim`, a host of this world, and the `address` that is told in place of its own."""

    def __init__(self, world: World, victim: str, address: str) -> None:
        self.victim = victim
        self._world, self._address = world, address
        self._seen_before: tuple[str, str | None] | None = None

    @property
    def is_forged(self) -> bool:
        return self._seen_before is not None

    def forge(self) -> None:
        """Let the DNS lie. Raises LookupError if no zone has the victim's name."""
        if self._seen_before is not None:
            return
        world, (label, _, origin) = self._world, self.victim.partition(".")
        address = world.host(self.victim).address
        while origin not in world.zones and "." in origin:  # a zone may have names of several labels
            further, _, origin = origin.partition(".")
            label = f"{label}.{further}"
        world.zone(origin)  # for its words
        own = world.zones[origin]
        seen = world.zones.seen(own)
        text = seen.text
        line = re.compile(rf"(?m)^({re.escape(label)}\s.*\bA\s+){re.escape(address)}\b")
        forged, count = line.subn(rf"\g<1>{self._address}", text)
        if not count:
            raise LookupError(f"the zone {origin} has no line with the address of {self.victim}")
        world.forge_zone(origin, forged)
        self._seen_before = origin, None if seen is own else text

    def relent(self) -> None:
        """Let the DNS say the truth again."""
        if self._seen_before is not None:
            self._world.forge_zone(*self._seen_before)
            self._seen_before = None

"""A forged name: the DNS says that another host's name has our address.

WHAT       `ForgedName(world, victim, address)`: `forge()` leads those astray who ask for the victim's address, as
           somebody does who answers faster than the nameserver, or sits on the way; `relent()` takes that back.
RULES      caches keep either answer for its TTL. In a zone that is signed the lie is found out: nobody gets an address.
READ NEXT  impostor_engine.py, middle_engine.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.lab.world import World


class ForgedName:
    """The name of `victim`, a host of this world, and the `address` that is told in place of its own."""

    def __init__(self, world: World, victim: str, address: str) -> None:
        self.victim = victim
        self._world, self._address = world, address
        self._former: tuple[str, Callable[[str], str] | None] | None = None

    @property
    def is_forged(self) -> bool:
        return self._former is not None

    def forge(self) -> None:
        """Let the DNS lie. Raises LookupError if no zone has the victim's name."""
        if self._former is not None:
            return
        world, (label, _, origin) = self._world, self.victim.partition(".")
        address = world.host(self.victim).address
        while origin not in world.zones and "." in origin:  # a zone may have names of several labels
            further, _, origin = origin.partition(".")
            label = f"{label}.{further}"
        line = re.compile(rf"(?m)^({re.escape(label)}\s.*\bA\s+){re.escape(address)}\b")
        if not line.search(world.zone(origin)):
            raise LookupError(f"the zone {origin} has no line with the address of {self.victim}")
        former = world.forge_zone(origin, None)

        def lie(own: str) -> str:
            return line.sub(rf"\g<1>{self._address}", former(own) if former else own)

        world.forge_zone(origin, lie)
        self._former = origin, former

    def relent(self) -> None:
        """Let the DNS say the truth again."""
        if self._former is not None:
            self._world.forge_zone(*self._former)
            self._former = None

"""What the exercises about names share: the exchangers of a domain, what is wrong with one, evidence.

STANDARDS  RFC 5321 §5.1 (an MX names a host), RFC 2181 §10.3 (and no alias), RFC 7505 (null MX)
READ NEXT  dns.py, virtual_zone.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from labkit.lab.world import World
from labkit.mail.questions import DnsOutcome
from labkit.teach.checks import Evidence, Seen
from labkit.teach.views.zone_answers import Answer, served

ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\.")  # as a name, with the final dot


def exchangers(found: Answer) -> dict[str, int]:
    """The hosts that an answer names, with their preference, the best first."""
    pairs = sorted((int(data.split()[0]), data.split()[1].lower()) for data in found.data)
    best: dict[str, int] = {}
    for preference, exchange in pairs:
        best.setdefault(exchange, preference)
    return best


def trouble_with(world: World, name: str, exchange: str) -> str:
    """What keeps mail from this exchanger of `name`, as a hint; nothing if it has an address."""
    if exchange == ".":
        return f"{name} has a null MX now: it says that it takes no mail at all (RFC 7505)."
    if ADDRESS.match(exchange):
        return (
            f"The MX of {name} names '{exchange}'. That is taken for a host name, and there is no such host. "
            "An MX must name a host; the host's A record has the address (RFC 5321 §5.1)."
        )
    if doubled := _doubled_origin(world, exchange):
        return (
            f"The MX of {name} names '{exchange}'. The origin was added because the final dot is missing. "
            f"Write '{doubled}' with the dot."
        )
    found = served(world, exchange, "A")
    if found.is_alias:
        return (
            f"The MX of {name} names '{exchange}', and that is an alias (CNAME). An MX must name the host "
            "itself (RFC 2181 §10.3)."
        )
    if not found.data:
        why = "does not exist" if found.outcome is DnsOutcome.NXDOMAIN else "has no A record"
        return f"The MX of {name} names '{exchange}', which {why}. Nobody can connect to it."
    return ""


def _doubled_origin(world: World, exchange: str) -> str:
    """The name that was meant, if an origin stands twice at its end (or another zone's before it)."""
    origins = [zone.origin.to_text() for zone in world.zones if len(zone.origin) > 1]
    for outer in origins:
        inner = exchange.removesuffix(f".{outer}") + "."
        if inner != f"{exchange}." and any(
            inner.endswith(f".{origin}") or inner == origin for origin in origins
        ):
            return inner
    return ""


def is_there(world: World, *names: str, rdtypes: tuple[str, ...] = ("MX", "A")) -> Answer | None:
    """The first of these names that has records of those types, with the first it has."""
    for name in names:
        for rdtype in rdtypes:
            found = served(world, name, rdtype)
            if found.data:
                return found
    return None


def seen(world: World, found: Answer) -> list[Evidence]:
    """The records of an answer as evidence."""
    return [Seen(world.now(), "nameserver", str(record)) for record in found.answer]


def quoted(names: Iterable[str]) -> str:
    """Names with their final dots, in words: in quotes, so that a dot does not end the sentence."""
    return listed([f"'{name}'" for name in names])


def listed(names: object) -> str:
    """Addresses, or what was made of names, in words."""
    return " and ".join(map(str, names)) if isinstance(names, (list, tuple, dict)) and names else "none"

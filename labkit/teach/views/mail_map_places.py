"""Where things stand on the mail map: machines on an oval, domains outside of it with arrows to their exchangers.

WHAT       `drawing(world, busy)`: nodes with a place each, and MX arrows. The same world gives the same places.
LIMITS     MOST_HOSTS hosts, those with mail first; MOST_DOMAINS domains
STANDARDS  RFC 5321 §5.1 (MX), RFC 7505 (null MX)
READ NEXT  mail_map.py
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import cos, pi, sin

from dns.rdatatype import RdataType

from labkit.lab.world import World
from labkit.teach.hops import OUTSIDE
from labkit.teach.markup import clip, visible

WIDTH, HEIGHT = 960, 500
MOST_HOSTS = 12
MOST_DOMAINS = 16
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Node:
    """A machine or a domain and where its middle is. `kind`: host, laptop, outside, domain, missing (an exchanger
    that is no host of this lab)."""

    kind: str
    name: str
    address: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class MxArrow:
    """An MX record: mail for the domain goes to this exchanger. A null MX has the exchanger "."."""

    domain: str
    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class Drawing:
    nodes: tuple[Node, ...]
    arrows: tuple[MxArrow, ...]
    left_out: str  # words on what is not drawn


def mx_records(world: World) -> list[MxArrow]:
    """Every MX record of the world's zones, by domain and preference."""
    found = [
        MxArrow(
            rrset.name.to_text(omit_final_dot=True).lower(),
            int(rdata.preference),
            rdata.exchange.to_text(omit_final_dot=len(rdata.exchange) > 1).lower(),
        )
        for zone in world.zones
        for rrsets in zone.records.values()
        for rrset in rrsets
        if rrset.rdtype == RdataType.MX
        for rdata in rrset
    ]
    return sorted(found, key=lambda mx: (mx.domain, mx.preference, mx.exchange))


def drawing(world: World, busy: Collection[str], has_outside: bool) -> Drawing:
    """`busy` are the hosts that mail has touched; `has_outside`: somebody outside the lab has."""
    plans = world.scenario.hosts
    chosen = {plan.name for plan in sorted(plans, key=lambda plan: plan.name not in busy)[:MOST_HOSTS]}
    shown = [plan for plan in plans if plan.name in chosen]
    places = {plan.name: _place(number, len(shown)) for number, plan in enumerate(shown)}
    nodes = [Node("host", plan.name, plan.address, *places[plan.name]) for plan in shown]
    for laptop in world.scenario.laptops:
        if laptop.mail_host in places and len(shown) <= 6:
            x, y = _outward(places[laptop.mail_host], len(shown), 1)
            nodes.append(Node("laptop", laptop.name, laptop.address, x, y))
    if has_outside:
        nodes.append(Node("outside", OUTSIDE, "everybody else", WIDTH // 2, HEIGHT - 40))
    arrows = [arrow for arrow in mx_records(world) if len(shown) == len(plans) or arrow.exchange in chosen]
    domains = list(dict.fromkeys(arrow.domain for arrow in arrows))
    drawn = domains[:MOST_DOMAINS]
    arrows = [arrow for arrow in arrows if arrow.domain in drawn]
    missing = list(
        dict.fromkeys(a.exchange for a in arrows if a.exchange not in places and a.exchange != ".")
    )
    for number, name in enumerate(missing):
        nodes.append(Node("missing", _shown(name), "no host here", WIDTH // 2, 40 + 56 * number))
    nodes += _domain_nodes(drawn, arrows, places, len(shown))
    words = []
    if len(plans) > len(shown):
        words.append(f"{len(plans) - len(shown):,} more hosts are not drawn")
    if len(domains) > len(drawn):
        words.append(f"{len(domains) - len(drawn):,} more domains are not drawn")
    shown_arrows = (MxArrow(_shown(a.domain), a.preference, _shown(a.exchange)) for a in arrows)
    return Drawing(tuple(nodes), tuple(shown_arrows), "; ".join(words))


def _domain_nodes(
    domains: list[str], arrows: list[MxArrow], places: dict[str, tuple[int, int]], count: int
) -> list[Node]:
    """Each domain stands outside of its best exchanger; those of the same one side by side."""
    beside: dict[str, int] = {}
    nodes = []
    for domain in domains:
        best = next((a.exchange for a in arrows if a.domain == domain and a.exchange in places), "")
        nth = beside[best] = beside.get(best, -1) + 1
        x, y = _outward(places[best], count, -1) if best else (WIDTH // 2, HEIGHT - 90)
        nodes.append(Node("domain", _shown(domain), "a domain", x, min(max(y + 30 * nth, 20), HEIGHT - 20)))
    return nodes


def _place(number: int, count: int) -> tuple[int, int]:
    """The first on the left, the others clockwise."""
    if count == 1:
        return WIDTH // 2, HEIGHT // 2
    angle = pi + 2 * pi * number / count
    across = 250 if count == 2 else 260
    return round(WIDTH / 2 + across * cos(angle)), round(HEIGHT / 2 + 140 * sin(angle))


def _outward(place: tuple[int, int], count: int, side: int) -> tuple[int, int]:
    """A place near a host, away from the middle: above (-1) for a domain, below (1) for a laptop."""
    x, y = place
    if count <= 2:
        return x, y + side * 150
    away = -1 if x < WIDTH / 2 else 1
    return min(max(x + away * 150, 100), WIDTH - 100), min(max(y + side * 42, 20), HEIGHT - 20)


def _shown(name: str) -> str:
    return visible(clip(name, LONGEST_NAME))

"""Where things stand on the mail map: hosts on a ring, above each the domains whose mail it takes, below its laptop.

WHAT       `drawing(world, busy)`: nodes with a place each, and MX arrows. The same world gives the same places.
LIMITS     MOST_HOSTS hosts, those with mail first; MOST_DOMAINS domains
STANDARDS  RFC 5321 §5.1 (MX), RFC 7505 (null MX)
READ NEXT  mail_map.py
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import cos, pi, sin

from labkit.lab.world import World
from labkit.teach.markup import clip, visible
from labkit.teach.trail import OUTSIDE

WIDTH = 960
STOREY = 32  # between two domains of the same host
MOST_HOSTS = 12
MOST_WITH_LAPTOPS = 6  # hosts; where there are more, their laptops are not drawn
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
    height: int


def drawing(world: World, busy: Collection[str], has_outside: bool) -> Drawing:
    """`busy` are the hosts that mail has touched; `has_outside`: somebody outside the lab has."""
    plans = world.scenario.hosts
    chosen = {plan.name for plan in sorted(plans, key=lambda plan: plan.name not in busy)[:MOST_HOSTS]}
    hosts = [plan for plan in plans if plan.name in chosen]
    arrows = [
        MxArrow(domain, mx.preference, mx.exchange)
        for domain, mx in world.zones.mx_records()
        if len(hosts) == len(plans) or mx.exchange in chosen
    ]
    homes = _homes(arrows, chosen)
    drawn = {domain for domains in homes.values() for domain in domains}
    all_domains = {arrow.domain for arrow in arrows}
    arrows = [arrow for arrow in arrows if arrow.domain in drawn]

    storeys = max([1, *(len(domains) for host, domains in homes.items() if host)])
    places = {plan.name: _place(number, len(hosts), storeys) for number, plan in enumerate(hosts)}
    away = 130 if len(hosts) <= 2 else 75  # how far domains and laptops are from their host
    nodes = [Node("host", plan.name, plan.address, *places[plan.name]) for plan in hosts]
    for laptop in world.scenario.laptops:
        if laptop.mail_host in places and len(hosts) <= MOST_WITH_LAPTOPS:
            x, y = places[laptop.mail_host]
            nodes.append(Node("laptop", laptop.name, laptop.address, x, y + away))
    for host, (x, y) in places.items():
        for storey, domain in enumerate(homes.get(host, ())):
            nodes.append(Node("domain", _shown(domain), "a domain", x, y - away - STOREY * storey))
    bottom = max(node.y for node in nodes) + 30
    homeless = [("domain", domain, "a domain") for domain in homes.get("", ())]
    homeless += [("missing", name, "no host here") for name in _missing(arrows, chosen)]
    if has_outside:
        homeless.append(("outside", OUTSIDE, "everybody else"))
    for number, (kind, name, words) in enumerate(homeless):
        row, column = divmod(number, 4)
        nodes.append(Node(kind, _shown(name), words, 120 + 240 * column, bottom + 30 + 60 * row))
    said = [
        f"{more:,} more {what} are not drawn"
        for more, what in ((len(plans) - len(hosts), "hosts"), (len(all_domains) - len(drawn), "domains"))
        if more
    ]
    shown_arrows = (MxArrow(_shown(a.domain), a.preference, _shown(a.exchange)) for a in arrows)
    height = max(node.y for node in nodes) + 40
    return Drawing(tuple(nodes), tuple(shown_arrows), "; ".join(said), height)


def _homes(arrows: list[MxArrow], hosts: Collection[str]) -> dict[str, list[str]]:
    """The domains to draw at each host: those whose best exchanger it is; at "" those that have none here."""
    most = 5 if len(hosts) <= 2 else 2
    homes: dict[str, list[str]] = {}
    for domain in list(dict.fromkeys(arrow.domain for arrow in arrows))[:MOST_DOMAINS]:
        best = next((a.exchange for a in arrows if a.domain == domain and a.exchange in hosts), "")
        homes.setdefault(best, []).append(domain)
    return {host: domains[:most] if host else domains for host, domains in homes.items()}


def _missing(arrows: list[MxArrow], hosts: Collection[str]) -> list[str]:
    names = (arrow.exchange for arrow in arrows if arrow.exchange not in hosts and arrow.exchange != ".")
    return list(dict.fromkeys(names))


def _place(number: int, count: int, storeys: int) -> tuple[int, int]:
    """Up to six on a ring, the first on the left, the others clockwise; more in rows of four."""
    taller = STOREY * (storeys > 1)
    top = 20 + STOREY * (storeys - 1)
    if count == 1:
        return WIDTH // 2, top + 145
    if count == 2:
        return WIDTH // 2 - 250 + 500 * number, top + 145
    if count > MOST_WITH_LAPTOPS:
        return 120 + 240 * (number % 4), top + 85 + (140 + taller) * (number // 4)
    if count > 4:
        column, row = (number, 0) if number < 3 else (5 - number, 1)
        return 140 + 340 * column, top + 85 + (200 + taller) * row
    angle = pi + 2 * pi * number / count
    return round(WIDTH / 2 + 340 * cos(angle)), top + 85 + round(140 + 140 * sin(angle))


def _shown(name: str) -> str:
    return visible(clip(name, LONGEST_NAME))

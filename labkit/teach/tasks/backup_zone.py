"""An exercise of notebook 03: the zone gives the partner's domain a second exchanger, the student's host.

WHAT       `backup exchanger`: who takes the partner's mail, and in which order, as it is served now.
DECIDES    by what the nameserver answers; each mistake gets its own hint, the one that explains most comes first.
STANDARDS  RFC 5321 §5.1 (the lowest first), RFC 2181 §10.3 (an exchange is no alias), RFC 1035 §3.3.13 (serial)
READ NEXT  backup_relay.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.views.zone_answers import Answer, served

WALK_THROUGH = 1  # changes of the zone that the notebook makes before: each has raised the serial


def partner_domain(world: World) -> str:
    """The partner's domain."""
    return world.partner_laptop.owner.partition("@")[2]


@exercise("backup exchanger", "The zone names your host as the second exchanger of your partner's domain")
def backup_exchanger(world: World) -> Verdict:
    """Judge what is served."""
    domain, mine, theirs = partner_domain(world), f"{world.mine.name}.", f"{world.partner.name}."
    found = served(world, domain, "MX")
    listed = [(int(each.split()[0]), each.split()[1].lower()) for each in found.data]
    names = [name for _, name in listed]
    seen = _seen(world, found)
    if mine not in names:
        return _not_there(world, domain, names, seen)
    preference = {name: number for number, name in listed}
    if theirs not in preference:
        return hint(
            f"Now your host is the only one that takes mail for {domain}: {theirs} is gone from the list. A "
            "second exchanger is one more line, not another word in the first.",
            *seen,
        )
    if preference[mine] == preference[theirs]:
        return hint(
            f"Both have preference {preference[mine]}: senders choose either by chance, so half of Bob's "
            "mail comes to you although his host is up. And a backup hands mail on only to hosts with a "
            "LOWER number than its own.",
            *seen,
        )
    if preference[mine] < preference[theirs]:
        return hint(
            f"Your host has {preference[mine]}, Bob's has {preference[theirs]}. Which of them is tried "
            "first, and which should be?",
            *seen,
        )
    if len(names) > 2:
        more = ", ".join(name for name in names if name not in (mine, theirs))
        return hint(f"Two are wanted; the list also has {more}. Who reads the mail there?", *seen)
    if not served(world, mine, "A").data:
        return hint(f"{mine} has no address any more: its A record got lost in your change.", *seen)
    serial, least = _serial(world, domain)
    if serial is not None and serial < least:
        return hint(
            f"The records are right. The serial is still {serial}, as before your change: a second "
            "nameserver of this "
            "zone compares that number, finds it the same, and goes on serving the old zone.",
            *seen,
        )
    return done(
        f"Whoever has mail for {domain} tries {world.partner.name} first; when that is down, you get it.",
        [*seen, *_seen(world, served(world, mine, "A"))],
    )


def _not_there(world: World, domain: str, names: list[str], seen: list[Seen]) -> Verdict:
    """The partner's domain has no MX that names the student's host: what was done in its place?"""
    mine, theirs = f"{world.mine.name}.", f"{world.partner.name}."
    strange = next((name for name in names if name != theirs), None)
    if strange is not None:
        return _strange(world, strange, mine, seen)
    where = next((record for record in _astray(world, domain)), None)
    if where is not None:
        name, data = where
        if name == theirs:
            return hint(
                f"You gave {name} an MX: that is the name of Bob's host. People write to bob@{domain}, so "
                f"the record belongs to {domain}.",
                Seen(world.now(), "nameserver", f"{name} MX {data}"),
            )
        return hint(
            f"You gave {name} one more MX, {data}. It is {domain} whose mail you want to keep. Mind: a line "
            "that begins with a blank belongs to the name of the line above it.",
            Seen(world.now(), "nameserver", f"{name} MX {data}"),
        )
    if not names:
        return hint(f"{domain} has no MX record at all now. Bob's own line must stay, too.", *seen)
    return todo(
        f"Give {domain} a second MX record that names your host, raise the serial, and publish the zone."
    )


def _strange(world: World, name: str, mine: str, seen: list[Seen]) -> Verdict:
    """An exchange that is neither of the two hosts."""
    alias = served(world, name, "CNAME")
    if alias.data:
        return hint(
            f"{name} is an alias (CNAME) of {alias.data[0]}. An exchange must be a name that has an address "
            "of its own (RFC 2181 §10.3): some senders refuse aliases, and a backup may not recognise "
            "itself in the list.",
            *seen,
        )
    if re.match(r"\d+\.\d+\.\d+\.\d+\.", name):
        return hint(f"An MX record names a host, never an address: {name} is taken for a name.", *seen)
    apex = partner_domain(world).partition(".")[2]
    if name.endswith(f".{apex}.{apex}."):
        return hint(
            f"The zone now says {name}: a name without a dot at its end is completed with the origin.", *seen
        )
    if not served(world, name, "A").data:
        return hint(
            f"{name} has no address: no sender can reach it, and mail is as lost as without it. What is the "
            "name of your host, letter by letter?",
            *seen,
        )
    return hint(f"{name} exists, but it is not your host. Yours is {mine}", *seen)


def _astray(world: World, domain: str) -> Iterator[tuple[str, str]]:
    """MX records that neither the scenario nor the notebook has put there, at other names than the domain."""
    apex, own = domain.partition(".")[2], world.laptop.owner.partition("@")[2]
    usual = {(f"{own}.", f"{world.mine.name}."), (f"{own}.", f"{world.partner.name}.")}
    for rrsets in world.zones[apex].records.values():
        for rrset in rrsets:
            for rdata in rrset:
                if rdata.rdtype.name == "MX":
                    name, data = rrset.name.to_text().lower(), rdata.to_text()
                    preference, exchange = data.split()
                    is_usual = (name, exchange.lower()) in usual and (
                        exchange.lower() == f"{world.mine.name}."
                    ) == (int(preference) < 20)
                    if name != f"{domain}." and not is_usual:
                        yield name, data


def _serial(world: World, domain: str) -> tuple[int | None, int]:
    """The serial that is served, and the lowest that would be right."""
    apex, own = domain.partition(".")[2], world.laptop.owner.partition("@")[2]
    data = served(world, apex, "SOA").data
    text = next((text for origin, text in world.scenario.zones if origin == apex), "")
    first = re.search(r"SOA\s[^(]*\(\s*(\d+)", text)
    if not data or first is None:
        return None, 0
    walked = WALK_THROUGH if len(served(world, own, "MX").data) > 1 else 0
    return int(data[0].split()[2]), int(first[1]) + walked + 1


def _seen(world: World, answer: Answer) -> list[Seen]:
    return [Seen(world.now(), "nameserver", str(record)) for record in answer.answer]

"""An exercise of notebook 03b: a third exchanger that nobody needs any more goes out of the zone.

WHAT       `await probe_exchangers(world)` looks at what the nameserver serves, waits until nobody remembers
           the old answer, and lets Carol write three times: all up, the primary down, both down. `left over`
           judges it.
DECIDES    by who got the letters. That the third one is only asked later, or by another name, is not enough.
STANDARDS  RFC 5321 §5.1; RFC 1912 §2.2 (the serial goes up with each change)
READ NEXT  backup_retry.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dns.rdatatype import RdataType

from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.backup_unknown import domain_of
from labkit.teach.views.ways import write

_SERIAL = re.compile(r"SOA[^(]*\(\s*(\d+)")
ALL, FIRST, BOTH = "all are up", "the primary is down", "both are down"


@dataclass(frozen=True, slots=True)
class Probed:
    """`letters`: the facts about Carol's letter of each phase; `served`: the exchangers in the DNS."""

    world: World
    is_changed: bool
    serials: tuple[int, int]
    served: tuple[tuple[int, str], ...]
    letters: Mapping[str, tuple[MailEvent, ...]]

    def first_taker(self, phase: str) -> MailEvent | None:
        """The coming of the letter to the first host that took it from Carol's."""
        came = [e for e in self.letters[phase] if e.kind is EventKind.RECEIVED and e.remote_host is not None]
        return came[0] if came else None

    def mailbox(self, phase: str) -> MailEvent | None:
        """The delivery of the letter into a mailbox."""
        ends = [e for e in self.letters[phase] if e.kind is EventKind.DELIVERED and e.remote_host is None]
        return ends[-1] if ends else None


async def probe_exchangers(world: World) -> Probed:
    """Try the zone. Both hosts run afterwards."""
    domain = domain_of(world)
    apex = domain.partition(".")[2]
    for host in (world.mine, world.partner):
        if not host.is_running:
            await host.start()
    await world.advance(hours=2)  # longer than the TTL of what was served before
    letters = {}
    number = len(world.journal)
    for phase, stops in ((ALL, None), (FIRST, world.mine), (BOTH, world.partner)):
        if stops is not None:
            await stops.stop()
        name = f"{phase} {number}"
        await write(world.host("mx.bigmail"), "carol@bigmail.test", f"ann@{domain}", name)
        letters[phase] = f"<{name.replace(' ', '-')}@bigmail.test>"
    for host in (world.mine, world.partner):
        await host.start()
    await world.advance(hours=1)
    served = tuple(
        (record.preference, record.exchange.rstrip(".").lower())
        for name, record in world.zones.mx_records()
        if name == domain
    )
    before, now = dict(world.scenario.zones)[apex], world.zone(apex)
    zone = world.zones[apex]
    serials = _written_serial(before), int(zone.rrsets(zone.origin, RdataType.SOA)[0][0].serial)
    events = {phase: tuple(world.journey(name).events) for phase, name in letters.items()}
    return Probed(world, before != now, serials, served, events)


def _written_serial(text: str) -> int:
    """The serial in the zone of the scenario: the first number in the brackets of the SOA record."""
    found = _SERIAL.search(text)
    assert found is not None
    return int(found[1])


@exercise("left over", "No exchanger is left that takes mail and has no way back")
def left_over(probed: Probed) -> Verdict:
    """Judge who got the letters."""
    if not isinstance(probed, Probed):
        return todo('Let the zone be tried: check("left over", await probe_exchangers(world)).')
    if not probed.is_changed:
        return todo("The zone is as it was. Edit it, and give it to the nameserver: world.write_zone(...).")
    return (
        _primary(probed)
        or _backup(probed)
        or _nowhere(probed)
        or _others(probed)
        or _old_serial(probed)
        or _done(probed)
    )


def _primary(probed: Probed) -> Verdict | None:
    world, taker = probed.world, probed.first_taker(ALL)
    if taker is None:
        return hint(
            f"Now nobody takes mail for {domain_of(world)}, though all hosts are up. What does the "
            f"nameserver say: {_words(probed)}. Is there a record for your host, and does its name end in "
            "a dot, or none if the origin is to complete it?",
            *probed.letters[ALL][-1:],
        )
    lowest = [exchange for preference, exchange in probed.served if preference == probed.served[0][0]]
    if lowest != [world.mine.name]:
        return hint(
            "Of exchangers the one with the lowest number is asked first: that is "
            f"{lowest[0] or 'nobody (a null MX)'} now, and it must be yours alone. A backup that believes to be "
            "the best one has nobody to give the mail to.",
            taker,
        )
    return None


def _backup(probed: Probed) -> Verdict | None:
    world, taker = probed.world, probed.first_taker(FIRST)
    if taker is None:
        return hint(
            "With the primary down nobody takes the letter: the backup has gone as well. Leave "
            f"{world.partner.name} in the zone; it has a way back.",
            *probed.letters[FIRST][-1:],
        )
    if taker.host != world.partner.name:
        return hint(
            f"With the primary down the letter goes to {taker.host}, and not to your backup "
            f"{world.partner.name}.",
            taker,
        )
    return None


def _nowhere(probed: Probed) -> Verdict | None:
    """Both are down, and still somebody takes it."""
    lost = probed.mailbox(BOTH)
    taker = probed.first_taker(BOTH)
    if lost is not None and lost.host not in (probed.world.mine.name, probed.world.partner.name):
        return hint(
            f"Both are down, and {lost.host} takes the letter and keeps it: there it lies, and nobody "
            "reads it. A higher number only makes it come later, not never.",
            lost,
        )
    if taker is not None:
        return hint(f"Both are down, and {taker.host} takes the letter.", taker)
    return None


def _others(probed: Probed) -> Verdict | None:
    world = probed.world
    others = [
        exchange for _, exchange in probed.served if exchange not in (world.mine.name, world.partner.name)
    ]
    if others:
        return hint(
            "Nobody takes the letter by mistake, but the zone still names "
            f"{others[0] or 'nobody (a null MX)'}. The line is only broken: take it out."
        )
    return None


def _old_serial(probed: Probed) -> Verdict | None:
    before, now = probed.serials
    if now <= before:
        return hint(
            f"The records are right. The serial is {now}, and it was {before}: on the internet your zone "
            "has other nameservers as well, and they fetch it only if its serial has gone up."
        )
    return None


def _done(probed: Probed) -> Verdict:
    world = probed.world
    found = [each for each in (probed.first_taker(ALL), probed.first_taker(FIRST)) if each is not None]
    refused = [event for event in probed.letters[BOTH] if event.kind is EventKind.FAILED]
    return done(
        "When both are down nobody takes the letter: it stays with its sender, who has a queue, or hears "
        "at once that it did not go.",
        [*found, *refused[-1:], Seen(world.now(), "the nameserver", _words(probed))],
    )


def _words(probed: Probed) -> str:
    served = ", ".join(f"{preference} {exchange or '.'}" for preference, exchange in probed.served)
    return f"MX {served}" if served else "no MX at all"

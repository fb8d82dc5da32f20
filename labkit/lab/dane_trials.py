"""What an attacker on port 25 gets, and what DANE changes: each case played in a world of its own.

WHAT       `await play_dane("signed, stripped")` opens the scenario dane, lets Mallory attack, sends one letter from Ann
           to Carol, lets Mallory go away and some hours pass; `DanePlayed` says who has the letter, how it travelled,
           whether it waited, and what the MTA said. `await play_all_dane()`: all CASES.
RULES      the outcome is read from mailboxes and from facts of the journal: labkit and the real Exim are judged alike.
           Nothing is signed by anybody: what is signed is the word of the lab's nameserver (dns_lookup.py).
STANDARDS  RFC 7672 §1.3 (what it is against), §2.2, §3.1; RFC 7671 §8 (a new key: publish first, then use it)
READ NEXT  one_letter.py, mta_sts_trials.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from labkit.auth.dane import Tlsa
from labkit.lab.impostor_engine import OWN
from labkit.lab.mta_sts_trials import (
    DOMAIN,
    FORGES_MX,
    NOTHING,
    OWN_CERTIFICATE,
    STRIPS,
)
from labkit.lab.one_letter import AllPlayed, OneLetter, send_under_attack
from labkit.lab.scenario_file import read_scenario
from labkit.lab.scenarios import Scenario
from labkit.lab.tlsa import DANE_EE, DANE_TA, publish_tlsa, tlsa_line

if TYPE_CHECKING:
    from labkit.lab.world import World

HOST = "mx.bigmail.test"
RECORD = f"_25._tcp.{HOST}"
FORGES_ADDRESS, FORGES_TLSA = "forges the host's address", "forges the TLSA record"
HIDES_TLSA = "hides the TLSA record, and strips"
BREAKS_DNS = "lets the TLSA look-up fail, and strips"
RECORDS = {
    "": "no TLSA record",
    "3 1 1": "DANE-EE: the host's own key",
    "2 1 1": "DANE-TA: the key of the authority that signed",
    "old": "3 1 1 with the key of last year",
    "1 1 1": "PKIX-EE, which is no use for mail",
    "alias": "a CNAME to where a 3 1 1 stands",
}


@dataclass(frozen=True, slots=True)
class DaneCase:
    """One way to attack. `record`: one of RECORDS. `is_signed`: the zone of bigmail.test.

    `certificate`: what bigmail's host shows, one of authority.KINDS.
    """

    name: str
    attack: str
    record: str = "3 1 1"
    is_signed: bool = True
    certificate: str = "good"
    why: str = ""


CASES = {
    case.name: case
    for case in (
        DaneCase("no record, stripped", STRIPS, "", why="nothing tells the sender to expect TLS"),
        DaneCase("signed, no attacker", NOTHING, why="encrypted, and the key is the one in the DNS"),
        DaneCase("signed, stripped", STRIPS, why="a TLSA record says: not without TLS"),
        DaneCase("signed, own certificate", OWN_CERTIFICATE, why="Mallory's key is another one"),
        DaneCase(
            "authority named, own certificate",
            OWN_CERTIFICATE,
            "2 1 1",
            why="that authority has not signed it",
        ),
        DaneCase("authority named", NOTHING, "2 1 1", why="the chain leads to the authority in the DNS"),
        DaneCase(
            "not signed, stripped",
            STRIPS,
            is_signed=False,
            why="what is not signed may be a lie: it is not used",
        ),
        DaneCase(
            "not signed, forged TLSA",
            FORGES_TLSA,
            is_signed=False,
            why="Mallory's record counts for as little as Carol's: it is not used",
        ),
        DaneCase(
            "not signed, forged MX",
            FORGES_MX,
            is_signed=False,
            why="whoever answers for the MX gets the mail",
        ),
        DaneCase("signed, forged MX", FORGES_MX, why="its signature is wrong: the answer is SERVFAIL"),
        DaneCase("signed, forged address", FORGES_ADDRESS, why="as for the MX record"),
        DaneCase("signed, forged TLSA", FORGES_TLSA, why="as for the MX record"),
        DaneCase("signed, hidden TLSA", HIDES_TLSA, why="that there is no such record is signed, too"),
        DaneCase("look-up fails", BREAKS_DNS, why="no answer is not the answer no"),
        DaneCase("behind an alias", NOTHING, "alias", why="a CNAME is followed; both ends are signed"),
        DaneCase("expired", NOTHING, certificate="expired", why="with 3 1 1 only the key counts, no dates"),
        DaneCase(
            "authority named, expired", NOTHING, "2 1 1", certificate="expired", why="with 2 1 1 dates count"
        ),
        DaneCase("useless record, stripped", STRIPS, "1 1 1", why="TLS all the same, as there is a record"),
        DaneCase(
            "useless record, own certificate", OWN_CERTIFICATE, "1 1 1", why="but nobody can be checked by it"
        ),
        DaneCase(
            "old record",
            NOTHING,
            "old",
            why="a new key, and nobody told the DNS: who obeys DANE waits",
        ),
    )
}


@dataclass(frozen=True)
class DanePlayed(OneLetter):
    """What came of a case."""

    case: DaneCase

    @property
    def is_checked(self) -> bool:
        """It went to somebody whose certificate a TLSA record names."""
        deliveries = self.letter.deliveries
        return bool(deliveries) and all(event.is_dane for event in deliveries)

    @property
    def how(self) -> str:
        return "encrypted, checked" if self.is_checked else super().how

    def __str__(self) -> str:
        signed = "signed" if self.case.is_signed else "not signed"
        lines = [
            f"{self.case.name} ({self.letter.engine}): {self.outcome}",
            f"  Mallory {self.case.attack}; {DOMAIN} is {signed}; {RECORDS[self.case.record]}",
        ]
        lines += [f"  the MTA said: {self.why_waited}"] if self.why_waited else []
        return "\n".join([*lines, f"  because {self.case.why}"])


async def play_all_dane(
    names: Iterable[str] = tuple(CASES), *, engine: str | None = None, network: str = "auto"
) -> AllPlayed[DanePlayed]:
    """Play several cases, one after another."""
    return AllPlayed(tuple([await play_dane(name, engine=engine, network=network) for name in names]))


async def play_dane(name: str, *, engine: str | None = None, network: str = "auto") -> DanePlayed:
    """Play one case, in a world beside the present one. Raises KeyError for a name that is not in CASES."""
    from labkit.lab.world import World

    if name not in CASES:
        raise KeyError(f"no case {name!r}; there are {', '.join(CASES)}")
    case = CASES[name]
    async with World(_scenario(), engine=engine, network=network, alongside=True) as world:
        world.sign_zone(DOMAIN, case.is_signed)
        publish(world, case)
        await attack(world, case.attack)
        return DanePlayed(case, await send_under_attack(world, relent))


@lru_cache(maxsize=1)
def _scenario() -> Scenario:
    """The file, read once: a world takes nothing from it but values."""
    return read_scenario("dane")


def publish(world: World, case: DaneCase) -> None:
    """What Carol's administrator has done: certificate and record."""
    world.provider.show_certificate(case.certificate)
    if not case.record:
        return
    shown = world.authority.certificate_for(HOST, case.certificate).read_text(encoding="ascii")
    line = publish_tlsa(world, HOST, DANE_TA if case.record == "2 1 1" else DANE_EE, pem=shown)
    zone = world.zone(DOMAIN)
    if case.record == "old":
        world.write_zone(DOMAIN, zone.replace(line, f"{RECORD}. IN TLSA {Tlsa(3, 1, 1, bytes(32))}"))
    elif case.record == "1 1 1":
        world.write_zone(DOMAIN, zone.replace("IN TLSA 3 1 1", "IN TLSA 1 1 1"))
    elif case.record == "alias":
        world.write_zone(DOMAIN, zone.replace(f"{RECORD}. IN", f"{RECORD}. IN CNAME key\nkey IN"))


# --- what Mallory does -----------------------------------------------------------------------------------------------


async def attack(world: World, how: str) -> None:
    """Begin one of the attacks on mail for bigmail.test."""
    zone = world.zone(DOMAIN)
    if how in (STRIPS, OWN_CERTIFICATE, FORGES_TLSA, HIDES_TLSA, BREAKS_DNS):
        await world.impostor.hijack(offers_tls=how in (OWN_CERTIFICATE, FORGES_TLSA))
    if how == FORGES_ADDRESS:
        world.impostor.forge()
    elif how == FORGES_MX:
        world.forge_zone(DOMAIN, zone.replace("IN MX  10 mx\n", "IN MX  10 mx.mallory.test.\n"))
        world.impostor.show(certificate=OWN)
    elif how in (FORGES_TLSA, HIDES_TLSA):
        others = "".join(line for line in zone.splitlines(keepends=True) if not line.startswith(RECORD))
        own = world.authority.certificate_for(HOST, "self-signed").read_text(encoding="ascii")
        forged = f"{tlsa_line(HOST, own)}\n" if how == FORGES_TLSA else ""
        world.forge_zone(DOMAIN, others + forged)
    elif how == BREAKS_DNS:
        world.nameserver.servfail(RECORD)


async def relent(world: World) -> None:
    """End all attacks."""
    world.impostor.relent()
    await world.impostor.give_back()
    world.forge_zone(DOMAIN, None)
    world.nameserver.servfail(RECORD, on=False)

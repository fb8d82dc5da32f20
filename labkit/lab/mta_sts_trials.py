"""What an attacker on port 25 gets, and what MTA-STS changes: each case played in a world of its own.

WHAT       `await play("enforce, stripped")` opens the scenario mta_sts, lets Mallory attack, sends one letter from Ann
           to Carol, lets Mallory go away and some hours pass; `Played` says who has the letter, how it travelled,
           whether it waited, what the agent found, and what the TLS report tells. `await play_all()`: all CASES.
RULES      the outcome is read from mailboxes and from facts of the journal: labkit and the real Exim are judged alike.
STANDARDS  RFC 8461 §10 (what an attacker can do)
READ NEXT  one_letter.py, policy_agent.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from labkit.lab.impostor_engine import OWN
from labkit.lab.one_letter import AllPlayed, OneLetter, send_under_attack
from labkit.lab.policy_agent import PolicyAgent
from labkit.lab.scenario_file import read_scenario
from labkit.lab.scenarios import Scenario
from labkit.lab.tls_reporting import tls_report

if TYPE_CHECKING:
    from labkit.auth.tls_report import TlsReport
    from labkit.lab.world import World

DOMAIN = "bigmail.test"
STRIPS, OWN_CERTIFICATE, FORGES_MX = (
    "strips STARTTLS",
    "shows a certificate of its own",
    "forges the MX record",
)
NOTHING = "does nothing"
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Case:
    """One way to attack. `mode`: of the policy that bigmail.test publishes, "" for none.

    `hides_first`: the attacker keeps the agent from record and file from the beginning; `hides_later`: after the first
    fetch, for `days_later` days, and then the letter is sent.
    """

    name: str
    attack: str
    mode: str = ""
    hides_first: bool = False
    hides_later: bool = False
    days_later: int = 0
    max_age: int = 7 * DAY
    why: str = ""


CASES = {
    case.name: case
    for case in (
        Case("no attacker", NOTHING, why="port 25 is opportunistic: STARTTLS is offered, and taken"),
        Case("no policy, stripped", STRIPS, why="nobody told the sender to expect TLS"),
        Case("no policy, own certificate", OWN_CERTIFICATE, why="encrypted, but to whom? Nobody checks"),
        Case("testing, stripped", STRIPS, "testing", why="mode testing only reports"),
        Case("enforce, no attacker", NOTHING, "enforce", why="all is as the policy says"),
        Case("enforce, stripped", STRIPS, "enforce", why="no TLS, no mail: it waits, and nothing is lost"),
        Case("enforce, own certificate", OWN_CERTIFICATE, "enforce", why="nobody vouches for it: it waits"),
        Case(
            "enforce, forged MX",
            FORGES_MX,
            "enforce",
            why="Mallory's certificate is good for Mallory's name, which the policy does not name",
        ),
        Case("no policy, forged MX", FORGES_MX, why="whoever answers for the MX record gets the mail"),
        Case(
            "first contact hidden",
            STRIPS,
            "enforce",
            hides_first=True,
            why="trust on first use: who hides the policy from the first contact has won",
        ),
        Case(
            "hidden later",
            STRIPS,
            "enforce",
            hides_later=True,
            days_later=2,
            why="the remembered policy counts until max_age has passed",
        ),
        Case(
            "hidden for longer than max_age",
            STRIPS,
            "enforce",
            hides_later=True,
            days_later=2,
            max_age=DAY,
            why="what is over its max_age is forgotten: a policy should be remembered for weeks",
        ),
    )
}


@dataclass(frozen=True)
class Played(OneLetter):
    """What came of a case."""

    case: Case
    found: str  # what the agent had found when the letter was sent
    report: TlsReport = field(repr=False)

    def __str__(self) -> str:
        lines = [
            f"{self.case.name} ({self.letter.engine}): {self.outcome}",
            f"  Mallory {self.case.attack}; policy: {self.case.mode or 'none'}; the agent found: {self.found}",
        ]
        lines += [f"  the MTA said: {self.why_waited}"] if self.why_waited else []
        lines += [f"  {line}" for line in str(self.report).splitlines()[1:]]
        return "\n".join([*lines, f"  because {self.case.why}"])


async def play_all(
    names: Iterable[str] = tuple(CASES), *, engine: str | None = None, network: str = "auto"
) -> AllPlayed[Played]:
    """Play several cases, one after another."""
    return AllPlayed(tuple([await play(name, engine=engine, network=network) for name in names]))


async def play(name: str, *, engine: str | None = None, network: str = "auto") -> Played:
    """Play one case, in a world beside the present one. Raises KeyError for a name that is not in CASES."""
    from labkit.lab.world import World

    if name not in CASES:
        raise KeyError(f"no case {name!r}; there are {', '.join(CASES)}")
    case = CASES[name]
    async with World(_scenario(), engine=engine, network=network, alongside=True) as world:
        agent = PolicyAgent(world.mine)
        if case.mode:
            await world.publish_policy(DOMAIN, case.mode, max_age=case.max_age)
        if case.hides_first:
            hide(world)
        found = await agent.refresh(DOMAIN)
        if case.hides_later:
            hide(world)
            await world.advance(days=case.days_later)
            found = await agent.refresh(DOMAIN)
        attack(world, case.attack)
        letter = await send_under_attack(world, relent)
        return Played(case, letter, str(found), tls_report(agent))


@lru_cache(maxsize=1)
def _scenario() -> Scenario:
    """The file, read once: a world takes nothing from it but values."""
    return read_scenario("mta_sts")


# --- what Mallory does -----------------------------------------------------------------------------------------------


def attack(world: World, how: str) -> None:
    """Begin one of the attacks on mail for bigmail.test."""
    if how == FORGES_MX:
        zone = world.zone(DOMAIN)
        world.forge_zone(DOMAIN, zone.replace("IN MX  10 mx\n", "IN MX  10 mx.mallory.test.\n"))
        world.impostor.show(certificate=OWN)
    elif how != NOTHING:
        world.impostor.forge(offers_tls=how == OWN_CERTIFICATE)


def hide(world: World) -> None:
    """Keep everybody from the policy host: its port 443 is silent, and the DNS says that there is no record."""
    world.network.silence(world.policies[DOMAIN].address, 443)
    lines = world.zone(DOMAIN).splitlines(keepends=True)
    world.write_zone(DOMAIN, "".join(line for line in lines if not line.startswith("_mta-sts.")))


async def relent(world: World) -> None:
    """End all attacks."""
    world.impostor.relent()
    world.forge_zone(DOMAIN, None)
    address = world.host("mx.bigmail.test").address
    world.network.silence(address, 443, on=False)

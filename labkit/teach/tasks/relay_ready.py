"""What the exercises of notebook 02a begin with and end in: configurations and records for mail by the relay.

WHAT       `careless(world)` are changes of exim.conf as many a page tells them: mail leaves by the relay, and the
           password goes to whoever says he is it. `carry_on(world, verdict)` lets the notebook go on: with
           what the student has made if it is done, else with ours. `ready(world)` does
           everything, for a world that is used later.
READ NEXT  relay_smarthost.py
"""

from __future__ import annotations

import re

from labkit.lab.world import World
from labkit.teach.checks import CheckView, Progress
from labkit.teach.views.explained_diff import Edit, edited

OURS = "a solution of the notebook's own"  # stands in what was not written by the student

_ROUTER = """\
begin routers
by_the_relay:
  driver     = manualroute
  domains    = ! +local_domains
  route_list = * smtp.relay.test::587
  transport  = to_relay
  no_more"""
_AUTHENTICATOR = """\
*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h

begin authenticators
relay_login:
  driver      = plaintext
  public_name = PLAIN
  hide client_send = ^{login}^${{readfile{{/etc/relay.password}}{{}}}}"""
_CARELESS = """\
begin transports
to_relay:
  driver = smtp
  hosts_try_auth = *"""
_CAREFUL = """\
begin transports
to_relay:
  driver                  = smtp
  hosts_require_auth      = *
  hosts_require_tls       = *
  tls_verify_hosts        = *
  tls_verify_certificates = /etc/ssl/lab-authority.pem"""
_RETRY = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"


def _edits(transport: str, login: str) -> list[Edit]:
    return [
        ("begin routers", _ROUTER, "all mail for others goes to one host: the smarthost"),
        ("begin transports", transport, "how it goes there"),
        (
            _RETRY,
            _AUTHENTICATOR.format(login=login),
            "as a client, say who we are; the password is in a file",
        ),
    ]


def careless(world: World) -> list[Edit]:
    """The changes as many a page tells them."""
    return _edits(_CARELESS, login_of(world))


def login_of(world: World) -> str:
    """The student's name at the relay."""
    domain = domain_of(world)
    return next(each.login for each in world.relay.customers.values() if domain in each.domains)


def domain_of(world: World) -> str:
    """The student's domain."""
    return world.laptop.owner.partition("@")[2]


def first_configuration(world: World) -> str:
    """What the scenario gave the student's host."""
    return next(plan.configuration for plan in world.scenario.hosts if plan.name == world.mine.name)


def untouched(world: World) -> bool:
    """Whether exim.conf is still the scenario's, the careless one of the notebook, or its own solution."""
    if OURS in world.mine.configuration:
        return True
    first = first_configuration(world)
    return _plain(world.mine.configuration) in (_plain(first), _plain(edited(first, careless(world))))


def first_zone(world: World) -> tuple[str, str]:
    """The zone in which the student's domain stands, as the scenario gave it: its name and its text."""
    domain = domain_of(world)
    return next(
        (origin, text)
        for origin, text in world.scenario.zones
        if domain == origin or domain.endswith(f".{origin}")
    )


def _plain(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]


async def carry_on(world: World, verdict: CheckView) -> str:
    """After the exercise `smarthost` or `relay domain`: go on with the student's work if it is done, else "
    "with ours."""
    if verdict.progress is Progress.DONE:
        return "The notebook goes on with yours."
    if verdict.exercise.name == "smarthost":
        await _configure(world)
    else:
        await _publish(world)
    return "The notebook goes on with a solution of its own. Your exercise stays open: come back to it."


async def ready(world: World) -> World:
    """Mail of this world's student leaves by the relay, with everything published."""
    await _configure(world)
    await _publish(world)
    return world


async def _configure(world: World) -> None:
    edits = _edits(_CAREFUL, login_of(world))
    world.mine.write_configuration(f"# {OURS}\n{edited(first_configuration(world), edits)}")
    await world.mine.reload()


async def _publish(world: World) -> None:
    origin, text = first_zone(world)
    wanted = [record.line for record in world.relay.records(domain_of(world)) if record.is_needed]
    world.write_zone(origin, "\n".join([serial_up(text).rstrip("\n"), f"; {OURS}", *wanted, ""]))
    await world.relay.verify_domain(domain_of(world))


def serial_up(zone: str) -> str:
    """The text of a zone with a serial that is one higher."""
    return re.sub(r"\b(20\d{8})\b", lambda found: str(int(found[1]) + 1), zone, count=1)

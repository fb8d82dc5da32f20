"""Decisions of the lab, ready to be walked through: a route.

WHAT       `await step_route(world.mine, "bob@st2.sne21.test")`: `exim -bt`, one question at a time.
RULES      the answers are the lab's: its nameserver, the host's accounts and files.
READ NEXT  stepper.py
"""

from __future__ import annotations

from functools import partial

from labkit.lab.asking import routing
from labkit.lab.host import Host
from labkit.mail.lookups import FileLine
from labkit.mail.questions import AccountNamed, AddressesOf, MxOf, TextOf
from labkit.teach.views.stepper import About, Stepper, stepper


async def step_route(host: Host, address: str, *, predict: bool | str = True) -> Stepper:
    """Where mail for the address would go, router by router. Raises NotThisEngine for a host without labkit's MTA."""
    local, _, domain = address.rpartition("@")
    others = (
        AccountNamed(local or domain),
        MxOf(domain),
        AddressesOf(domain),
        FileLine("/etc/aliases", local or domain),
        TextOf(domain),
    )
    about = About(
        f"Routing {address} at {host.name}, one question at a time", (("address", address),), others=others
    )
    return await stepper(
        partial(routing, host, address),
        answer_with=partial(host.world.ask, at=host),
        predict=predict,
        about=about,
    )

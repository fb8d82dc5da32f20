"""The smtp transport: what to say to the next host, and at which port.

STANDARDS  Exim specification, chapter "The smtp transport"
READ NEXT  transports.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.delivery.generic import Trouble
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env, Value
from labkit.mail.asking import Asking


@dataclass(frozen=True, slots=True)
class SmtpPlan:
    """Hand the message to another host: what to say in EHLO, and which port."""

    helo_name: str
    port: int


def plan_smtp(transport: Driver, env: Env) -> Asking[SmtpPlan | Trouble]:
    """How to talk to the hosts of a route; `env` knows the route's variables."""
    options = transport.options
    text = options.expansion("helo_data")
    assert text is not None, "it has a default"
    outcome = yield from text.asking(env)
    if not isinstance(outcome, Value):
        return Trouble(f"failed to expand transport's helo_data: {outcome.message}")
    return SmtpPlan(outcome.text, options.number("port"))

"""Which recipients of a message travel together.

DECIDES    those that go the same way (legs.py) share a delivery; with multi_domain = false only those of one domain. A
           delivery has no more recipients than max_rcpt allows, or than the share of all that each of
           remote_max_parallel deliveries would have, if that is more: then it says MAIL several times.
STANDARDS  Exim specification, chapter "The smtp transport", options max_rcpt and multi_domain
READ NEXT  sending.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.eximconf.configuration import Configuration
from labkit.mta.legs import Leg, way

UNLIMITED = 999_999


def grouped(legs: Sequence[Leg], configuration: Configuration) -> list[list[Leg]]:
    """The deliveries, each begun by the first leg that is in none before it."""
    left = list(legs)
    count = sum(not leg.route.is_local for leg in legs)
    found: list[list[Leg]] = []
    while left:
        first = left.pop(0)
        same, most = _way(first, configuration), _most_together(first, configuration, count)
        group: list[Leg] = [first]
        others: list[Leg] = []
        for leg in left:
            fits = len(group) < most and _way(leg, configuration) == same
            (group if fits else others).append(leg)
        found.append(group)
        left = others
    return found


def _way(leg: Leg, configuration: Configuration) -> object:
    transport = configuration.transports.get(leg.route.transport or "")
    is_for_one_domain = transport is not None and transport.options.values.get("multi_domain") is False
    return way(leg), leg.address.domain.lower() if is_for_one_domain else ""


def _most_together(leg: Leg, configuration: Configuration, count: int) -> int:
    """How many recipients one delivery may have."""
    transport = configuration.transports.get(leg.route.transport or "")
    if transport is None or transport.driver != "smtp":
        return UNLIMITED
    most = transport.options.number("max_rcpt") or UNLIMITED
    share = count // max(configuration.main.number("remote_max_parallel"), 1)
    if most == 1 or most >= share:
        return most
    messages = transport.options.number("connection_max_messages") or UNLIMITED
    return min(share, most * messages)

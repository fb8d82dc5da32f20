"""Walk the routers: the first that takes an address decides what happens to it.

WHAT       `route(address, …)` gives a Route: a transport with its next hops, or a failure, or "try later";
           the steps say for each router why it took or passed the address.
STANDARDS  Exim specification, chapters "Generic options for routers", "The accept router", "The dnslookup router"
LIKE EXIM  local parts are looked at without case (the transport's RCPT keeps it); a router that cannot help
           declines and the next is asked; the words for an address nobody takes are those of a router that
           declined with words, else the cannot_route_message of the last router looked at
READ NEXT  the room delivery
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from labkit.eximconf.configuration import Driver
from labkit.eximconf.lists import Here
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AccountNamed
from labkit.routing.mx import MxOutcome, NextHop, exchangers_of


class RouteOutcome(Enum):
    """What routing an address came to."""

    ROUTED = "routed"
    FAILED = "failed"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class RouterStep:
    """One router looked at, and what came of it."""

    router: str
    took: bool
    because: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where an address goes. `values` are the expansion variables that the router set for its transport."""

    address: Mailbox
    outcome: RouteOutcome
    reason: str
    steps: tuple[RouterStep, ...]
    router: str | None = None
    transport: str | None = None
    next_hops: tuple[NextHop, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one router says: took it (perhaps only to defer it), or passed it on (`outcome` None).

    `declined`: its conditions were met, but it could not do anything; no_more counts only then.
    """

    because: str
    outcome: RouteOutcome | None = None
    next_hops: tuple[NextHop, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    declined: bool = False
    last_words: str = ""  # what to tell the sender, if no other router takes the address


UNROUTEABLE = "Unrouteable address"


def route(address: Mailbox, routers: Sequence[Driver], here: Here) -> Asking[Route]:
    """Route one address. Asks about DNS and accounts, as the routers need it."""
    steps: list[RouterStep] = []
    reason = UNROUTEABLE
    last_words = ""
    for router in routers:
        taken = yield from _try_router(router, address, here)
        steps.append(RouterStep(router.name, taken.outcome is not None, taken.because))
        if taken.outcome is RouteOutcome.ROUTED:
            return Route(
                address,
                RouteOutcome.ROUTED,
                taken.because,
                tuple(steps),
                router.name,
                router.options.text("transport"),
                taken.next_hops,
                taken.values,
            )
        if taken.outcome is not None:
            return Route(address, taken.outcome, taken.because, tuple(steps), router.name)
        words = router.options.expansion("cannot_route_message")
        reason = UNROUTEABLE if words is None else words.expand(_address_values(address, here))
        last_words = taken.last_words or last_words
        if taken.declined and not router.options.flag("more"):
            steps.append(RouterStep(router.name, False, "no_more: no other router is asked"))
            break
    return Route(address, RouteOutcome.FAILED, last_words or reason, tuple(steps))


def _try_router(router: Driver, address: Mailbox, here: Here) -> Asking[_Taken]:
    """First the conditions every router has, then what its driver does."""
    options = router.options
    values: dict[str, str] = dict(_address_values(address, here))
    met: list[str] = []
    domains, local_parts = options.patterns("domains"), options.patterns("local_parts")
    if domains is not None:
        match = domains.look(address.domain, here)
        if not match.found:
            return _Taken(f"domain {address.domain} is not in {domains.text}")
        values["domain_data"] = match.data
        met.append(f"domain {address.domain} is in {domains.text}")
    if local_parts is not None:
        match = local_parts.look(address.local_part, here)
        if not match.found:
            return _Taken(f"local part {address.local_part} is not in {local_parts.text}")
        values["local_part_data"] = match.data
        met.append(f"local part {address.local_part} is in {local_parts.text}")
    if options.flag("check_local_user"):
        account = yield from ask(AccountNamed(address.local_part.lower()))
        if account is None:
            return _Taken(f"{address.local_part} is no account of this host")
        values["local_part_data"] = account.name
        values["home"] = account.home
        met.append(f"{account.name} is an account of this host")
    if router.driver == "dnslookup":
        return (yield from _dnslookup(router, address, here, values))
    return _Taken("; ".join(met) or "it takes everything", RouteOutcome.ROUTED, (), values)


def _dnslookup(router: Driver, address: Mailbox, here: Here, values: Mapping[str, str]) -> Asking[_Taken]:
    ignored = router.options.patterns("ignore_target_hosts")
    found = yield from exchangers_of(
        address.domain.lower(), lambda target: ignored is not None and ignored.matches(target, here)
    )
    if found.outcome is MxOutcome.FOUND:
        return _Taken("; ".join(found.steps), RouteOutcome.ROUTED, found.next_hops, values)
    if found.outcome in (MxOutcome.TRY_LATER, MxOutcome.OURSELVES, MxOutcome.OUR_ADDRESS):
        return _Taken(found.outcome.value, RouteOutcome.DEFERRED)
    last_words = _LAST_WORDS[found.outcome]
    return _Taken(last_words or found.outcome.value, declined=True, last_words=last_words)


_LAST_WORDS = {
    MxOutcome.NO_SUCH_DOMAIN: "",
    MxOutcome.NULL_MX: "an MX or SRV record indicated no SMTP service",
    MxOutcome.NO_ADDRESSES: MxOutcome.NO_ADDRESSES.value,
}


def _address_values(address: Mailbox, here: Here) -> Mapping[str, str]:
    return {
        "local_part": address.local_part.lower(),
        "domain": address.domain.lower(),
        "primary_hostname": here.primary_hostname,
    }

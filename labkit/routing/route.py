"""What routing comes to: the values that the rest of the house sees.

WHAT       Routed is what became of one recipient; it has a Route for each address that it came to in the end.
READ NEXT  family.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from labkit.mail.address import Mailbox
from labkit.routing.mx import NextHop
from labkit.routing.trace import RouterStep, Trace


class RouteOutcome(Enum):
    """What routing an address came to."""

    ROUTED = "routed"
    FAILED = "failed"
    DEFERRED = "deferred"
    DISCARDED = "discarded"


class Route(NamedTuple):
    """Where an address goes, or why it goes nowhere. `values` are the expansion variables for its transport.

    `reason` is for the log; `words` are what a client or a report may tell. `hosts` are in the order of trying; those
    without an address cannot be tried. `text` is the address in its outer form, or the |program or /file (`is_target`);
    `address` is then the one that it was made of. `parents` are the addresses that it came from, nearest first.
    """

    address: Mailbox
    outcome: RouteOutcome
    reason: str
    steps: tuple[RouterStep, ...] = ()
    router: str | None = None
    transport: str | None = None
    hosts: tuple[NextHop, ...] = ()
    values: Mapping[str, str] = MappingProxyType({})
    text: str = ""
    parents: tuple[str, ...] = ()
    words: str = ""
    is_target: bool = False
    is_forbidden: bool = False  # a target that its router does not allow
    is_local: bool = False
    is_duplicate: bool = False  # another address came to the same; it is delivered once
    freezes: bool = False  # the message is frozen
    errors_to: str | None = None  # who hears of failures; None: the sender, "": nobody
    headers_add: tuple[str, ...] = ()
    headers_remove: tuple[str, ...] = ()
    unique: str = ""  # what tells it from others of the same text: delivered ones are remembered by it
    onetime_parent: str | None = None
    is_for_backup: bool = False  # we are one of its mail exchangers ourselves, and left ourselves out
    hides_child: bool = False  # a report names no address that was made here

    @property
    def next_hops(self) -> tuple[NextHop, ...]:
        """The hosts that can be tried, in order."""
        return tuple(hop for hop in self.hosts if hop.address)


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of one recipient, in the order in which exim -bt tells it: first what failed, waits, vanished or goes
    to a program or a file, as it was met; then what is delivered here, and what goes to other hosts, the last first.

    `remarks` are for the panic log. `trace` is there if somebody watched.
    """

    address: str
    routes: tuple[Route, ...]
    remarks: tuple[str, ...] = ()
    trace: Trace | None = None

    def _of(self, outcome: RouteOutcome) -> tuple[Route, ...]:
        return tuple(route for route in self.routes if route.outcome is outcome)

    @property
    def outcome(self) -> RouteOutcome:
        """The worst that became of it: a failure before what waits, what waits before what arrives."""
        return max(
            (route.outcome for route in self.routes), key=_SEVERITY.index, default=RouteOutcome.DISCARDED
        )

    @property
    def first(self) -> Route:
        """The route that `outcome` tells of."""
        outcome = self.outcome
        return next(route for route in self.routes if route.outcome is outcome)

    @property
    def reason(self) -> str:
        """Why `first` goes nowhere."""
        return self.first.words or self.first.reason

    @property
    def next_hops(self) -> tuple[NextHop, ...]:
        """The hosts that can be tried for `first`."""
        return self.first.next_hops

    @property
    def deliveries(self) -> tuple[Route, ...]:
        """What a transport gets: each once."""
        return tuple(route for route in self._of(RouteOutcome.ROUTED) if not route.is_duplicate)

    @property
    def failures(self) -> tuple[Route, ...]:
        return self._of(RouteOutcome.FAILED)

    @property
    def is_discarded(self) -> bool:
        """Nothing is left of it, on purpose."""
        return all(route.outcome is RouteOutcome.DISCARDED for route in self.routes)


_SEVERITY = (RouteOutcome.DISCARDED, RouteOutcome.ROUTED, RouteOutcome.DEFERRED, RouteOutcome.FAILED)

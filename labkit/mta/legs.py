"""The ways that one message takes: from each recipient that the sender named to each place where it is to arrive.

WHAT       `Leg`, and `Progress`: which legs a recipient still waits for.
LIKE EXIM  the names by which finished deliveries are known in the spool (`key`)
READ NEXT  outcomes.py
"""

from __future__ import annotations

from dataclasses import dataclass, field

from labkit.mail.address import Mailbox
from labkit.routing import Route, RouteOutcome


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """One way that a message takes: the recipient it is for, and the route of what the recipient became.

    `key` is what is written down when it is finished: the address; for a program or a file that with the address
    which named it; for an address that has the same text as one it came from, that with its transport.
    """

    recipient: Mailbox
    route: Route

    @property
    def address(self) -> Mailbox:
        return self.route.address

    @property
    def key(self) -> Mailbox:
        route = self.route
        if route.is_target:
            return Mailbox(route.unique, "")
        if route.unique.startswith("\\"):  # \\0\\ann@st11.sne21.test
            return Mailbox(f"{route.unique[3:]}/{route.transport}" if route.transport else route.unique, "")
        return normal(route.address)


@dataclass(slots=True)
class Progress:
    """What is still to be done for each recipient: the keys of the legs that are not finished."""

    left: dict[Mailbox, set[Mailbox]] = field(default_factory=dict)

    def finished(self, key: Mailbox) -> list[Mailbox]:
        """A leg is finished. Returns the keys to write down: this one, and the recipients that are done with it."""
        done = [key]
        for recipient, keys in list(self.left.items()):
            keys.discard(key)
            if not keys:
                del self.left[recipient]
                done += [recipient] if recipient != key else []
        return done


def normal(address: Mailbox) -> Mailbox:
    """The same, whatever the case of its domain was."""
    return Mailbox(address.local_part, address.domain.lower())


def unrouted(recipient: Mailbox) -> Leg:
    return Leg(recipient, Route(recipient, RouteOutcome.DEFERRED, ""))


def became(leg: Leg, *, is_local: bool) -> str | None:
    """What the log shows beside the address that the sender named; a delivery here shows a local part alone."""
    route = leg.route
    if route.is_target:
        return route.text
    if route.outcome is RouteOutcome.DISCARDED:
        return ":blackhole:"
    if is_local:
        local_part = route.values.get(
            "local_part", leg.address.local_part
        ).lower()  # without prefix and suffix
        return None if local_part == leg.recipient.local_part.lower() else local_part
    return None if leg.address.key == leg.recipient.key else str(leg.address)


def generation(leg: Leg) -> int:
    """How many addresses it came from."""
    return len(leg.route.parents)


def way(leg: Leg) -> object:
    """What must be the same for two legs to travel together: to mailboxes each goes alone."""
    route = leg.route
    if route.is_local:
        return id(leg)
    return (route.transport, route.next_hops, route.errors_to, route.headers_add, route.headers_remove)

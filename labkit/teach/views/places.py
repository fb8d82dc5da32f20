"""Views of places: where a message would go, what waits on a disk, what became of it.

READ NEXT  route_tree.py, card.py
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from labkit.lab.conversations import Journey
from labkit.lab.host import SpoolEntry
from labkit.mail.dates import log_date
from labkit.mail.event import EventKind, MailEvent
from labkit.routing import Route, Routed, RouteOutcome, RouterStep
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.show import shows
from labkit.teach.spool_words import explained as explain_spool
from labkit.teach.tables import table, text_table
from labkit.teach.view import View
from labkit.teach.views.route_tree_words import reason

LONGEST_FILE = 4000
_SPOOL_HEAD = ("line", "what it says")


class RouteView(View):
    """A route: each address that came of one, each router that was asked, and what it said."""

    def __init__(self, routed: Routed) -> None:
        self.routed = routed
        several = len(routed.routes) > 1
        self.rows = [
            (
                *((route.text or str(route.address),) if several else ()),
                step.router,
                step.verdict,
                reason(step),
            )
            for route in routed.routes
            for step in _own_steps(route, routed)
        ]
        self.head = (*(("address",) if several else ()), "router", "", "because")

    @property
    def _ends(self) -> list[str]:
        return [end_of(route) for route in self.routed.routes]

    def html(self) -> Markup:
        title = f"Routing {self.routed.address}"
        return join(table(self.head, self.rows, title), *(tag("p", tag("b", end)) for end in self._ends))

    def text(self) -> str:
        title = f"Routing {self.routed.address}"
        return "\n".join([text_table(self.head, self.rows, title), *(f"=> {end}" for end in self._ends)])


def _own_steps(route: Route, routed: Routed) -> Sequence[RouterStep]:
    """The steps of a route, without those that an earlier route has told already."""
    told: list[RouterStep] = []
    for earlier in routed.routes:
        if earlier is route:
            break
        told += earlier.steps
    return [step for step in route.steps if all(step is not each for each in told)]


def end_of(route: Route) -> str:
    """Where an address ended, in one line."""
    name = route.text or str(route.address)
    if route.outcome is RouteOutcome.DISCARDED:
        return f"{name.removeprefix('mail to ')} is discarded: nobody gets it, nobody is told"
    if route.outcome is not RouteOutcome.ROUTED:
        return f"{name} {route.outcome.value}: {route.words or route.reason}"
    hops = ", then ".join(
        f"{hop.host} [{hop.address}]" + ("" if hop.preference is None else f" (MX {hop.preference})")
        for hop in route.next_hops
    )
    where = f" to {hops}" if hops else ""
    twice = ", as an address before it does: it is delivered once" if route.is_duplicate else ""
    return f"{name} goes by the transport {route.transport}{where}{twice}"


@shows(SpoolEntry)
class SpoolView(View):
    """The two files of a message that waits; `explained`: each line with what it says."""

    def __init__(self, entry: SpoolEntry, *, explained: bool = False) -> None:
        self.entry = entry
        self.explained = explain_spool(entry) if explained else []
        self.parts = (
            (f"{entry.queue_id}-H: the envelope, where it came from, and the header", entry.envelope_file),
            (f"{entry.queue_id}-D: the body", entry.body_file),
        )

    def html(self) -> Markup:
        if self.explained:
            return join(*(table(_SPOOL_HEAD, lines, name, code=[0]) for name, lines in self.explained))
        return join(
            *(
                join(tag("p", tag("b", name)), tag("pre", clip(text, LONGEST_FILE)))
                for name, text in self.parts
            )
        )

    def text(self) -> str:
        if self.explained:
            return "\n\n".join(
                text_table(_SPOOL_HEAD, [(_folded(a, 64), _folded(b, 42)) for a, b in lines], name)
                for name, lines in self.explained
            )
        return "\n\n".join(f"{name}\n{clip(text, LONGEST_FILE)}".rstrip() for name, text in self.parts)


def _folded(text: str, width: int) -> str:
    """In lines of at most that width, as text; blanks at the beginning stay."""
    return (
        "\n".join(wrap(text, width, subsequent_indent=" ", drop_whitespace=True))
        if len(text) > width
        else text
    )


@shows(Journey)
class JourneyView(View):
    """What became of a message: the facts, host by host."""

    def __init__(self, journey: Journey) -> None:
        self.journey = journey
        self.rows = [(log_date(e.at), e.host, e.queue_id or "", in_words(e)) for e in journey.events]
        self.head = ("lab time", "host", "queue id", "what happened")

    @property
    def _title(self) -> str:
        return f"The journey of {self.journey.message_id}"

    def html(self) -> Markup:
        return table(self.head, self.rows, self._title, code=[2], whole=[0, 1, 2])

    def text(self) -> str:
        return text_table(self.head, self.rows, self._title)


def in_words(event: MailEvent) -> str:
    """A fact in one line."""
    remote = f"{event.remote_host} [{event.remote_address}]"
    if event.kind is EventKind.RECEIVED:
        source = f"from {remote}" if event.remote_address else "made here"
        return f"received {source}, sender {event.sender or '<> (a report)'}"
    if event.kind is EventKind.DELIVERED and event.remote_address:
        return f"handed {event.recipient} over to {remote}: {event.code} {event.text}"
    if event.kind is EventKind.DELIVERED:
        return f"put into the mailbox of {event.recipient}"
    if event.kind is EventKind.COMPLETED:
        return "completed: nothing left to do here"
    return " ".join(part for part in (event.kind.value, event.recipient or "", event.text or "") if part)

"""Who can be reached, who answers, and what somebody on the wire could read of it.

WHAT       `knocks([...])` is a table of calls with their outcome and how long that took; `certificates([...])` one of
           those who answered in TLS; `on_the_wire(world, a, b)` the newest conversation of two machines, as a stranger
           on the way sees it: line by line, and from the first TLS record on nothing.
RULES      sizes and numbers of TLS records are left out: they are another each time.
READ NEXT  labkit/lab/reaching.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.reaching import Knock, Shown
from labkit.lab.world import World
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, tag, visible
from labkit.teach.view import View
from labkit.teach.views.waiting_room import TableView

LONGEST_LINE = 100
MOST_LINES = 60


def knocks(found: Sequence[Knock]) -> TableView:
    """The outcome of each call."""
    _expect_each(found, Knock, "knocks([await knock(...)])")
    rows = [
        (each.caller, f"{each.host} port {each.port}", each.outcome, f"{each.seconds} s", each.words)
        for each in found
    ]
    return TableView("Who reaches whom", ("from", "to", "outcome", "after", "words"), rows)


def _expect_each(found: object, wanted: type, example: str) -> None:
    for each in found if isinstance(found, (list, tuple)) else [found]:
        expect(each, wanted, example)
    expect(found, Sequence, example)


def certificates(found: Sequence[Shown]) -> TableView:
    """Who answered for a name, and what his certificate is worth to somebody who wanted that name."""
    _expect_each(found, Shown, "certificates([await who_is_there(...)])")
    rows = [
        (
            each.host,
            each.version or "no TLS",
            (each.certificate_of or "-").removeprefix("CN="),
            _worth(each),
            each.offers_auth or "nowhere",
        )
        for each in found
    ]
    wanted = " and ".join(dict.fromkeys(each.name for each in found))
    head = ("who", "encrypted", "certificate for", "verified", "offers AUTH")
    return TableView(f"Who answers for {wanted}", head, rows)


def _worth(shown: Shown) -> str:
    if not shown.version:
        return "nothing to verify"
    if "name mismatch" in shown.objection:
        return "no: it is for another name"
    return f"no: {shown.objection}" if shown.objection else "yes"


def on_the_wire(world: World, one: Host | Laptop, other: Host | Laptop) -> WireView:
    """The newest conversation between the two."""
    expect(world, World, "on_the_wire(world, world.laptop, world.mine)")
    talks = [talk for talk in world.capture(one, other).talks if talk.server[1] != 53]
    if not talks:
        return WireView(f"{one.name} and {other.name} have not talked", [])
    talk, lines = talks[-1], list[tuple[str, str]]()
    for who, said in talk.said():
        if said.startswith("(TLS:"):
            lines.append(("", "(TLS from here on: somebody on the way sees octets, and cannot read them)"))
            break
        lines.append((who, said))
    names = world.names()
    client, server = (names.get(place[0], place[0]) for place in (talk.client, talk.server))
    return WireView(f"On the wire: {client} to {server} port {talk.server[1]}", lines)


class WireView(View):
    """Lines as they were on the wire."""

    def __init__(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        self.title = title
        self.lines = [
            visible(clip(f"{who}: {said}" if who else said, LONGEST_LINE)) for who, said in lines[:MOST_LINES]
        ]

    def html(self) -> Markup:
        return tag("div", tag("p", tag("b", self.title)), tag("pre", "\n".join(self.lines)))

    def text(self) -> str:
        return "\n".join([self.title, *self.lines])

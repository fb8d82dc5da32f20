"""A route as a tree: the address that was asked for, what routers made of it, down to mailboxes and hosts.

WHAT       each address is a box with the routers it met; what an alias or a .forward file made of it stands inside. At
           the end of each branch is what became of it. A route without children is shown as a table (places.py).
DECIDES    labkit's own routing tells every router; of a real Exim `exim -bt` tells the family and the last router.
LIKE EXIM  exim -d+route -bt ADDRESS
READ NEXT  places.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from labkit.routing import Route, Routed, RouteOutcome, RouterStep
from labkit.teach.markup import Markup, join, tag
from labkit.teach.show import shows
from labkit.teach.view import View
from labkit.teach.views.places import RouteView, end_of
from labkit.teach.views.route_tree_words import reason

_BOX = "border-left:3px solid var(--jp-border-color1, #bdbdbd); padding:2px 0 2px 12px; margin:4px 0 4px {indent}px"
_CELL = "text-align:left; vertical-align:top; padding:1px 12px 1px 0; white-space:pre-wrap"
_FAINT = f"{_CELL}; color:var(--jp-ui-font-color2, #616161)"
_END = "color:var({})"
_PLAIN, _BAD = "--jp-ui-font-color1, #212121", "--jp-error-color1, #b3261e"
_WELL = (RouteOutcome.ROUTED, RouteOutcome.DISCARDED)


@dataclass(slots=True)
class Node:
    """An address of the tree: the routers it met, what came of it, and what was made of it."""

    address: str
    steps: tuple[RouterStep, ...] = ()
    ends: list[Route] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def endings(self) -> list[tuple[str, str]]:
        """What became of it, in words, and the colour to say them in."""
        if not self.ends and not self.children and self.steps:
            return [(f"{self.address} is discarded: nobody gets it, nobody is told", _PLAIN)]
        return [(end_of(route), _PLAIN if route.outcome in _WELL else _BAD) for route in self.ends]


@shows(Routed)
def show_route(routed: Routed, *, tree: bool | None = None) -> View:
    """A table for an address that goes its way as it is, a tree for one that becomes others; `tree` decides else."""
    if tree is None:
        several = routed.trace is not None and len(routed.trace.addresses) > 1
        tree = (
            several or not routed.routes or any(route.parents or route.is_target for route in routed.routes)
        )
    return RouteTree(routed) if tree else RouteView(routed)


def tree_of(routed: Routed) -> Node:
    """The tree of a route. The root is the address that was asked for."""
    nodes: dict[tuple[str, ...], Node] = {}  # by the address and its parents, nearest first

    def node(family: tuple[str, ...]) -> Node:
        if family not in nodes:
            nodes[family] = Node(family[0])
            if len(family) > 1:
                node(family[1:]).children.append(nodes[family])
        return nodes[family]

    for each in () if routed.trace is None else routed.trace.addresses:
        node((each.address, *each.parents)).steps = tuple(each.steps)
    for route in routed.routes:
        name = route.text or str(route.address)
        parents = route.parents
        if route.is_target and parents[:1] != (
            str(route.address),
        ):  # a file or a program: who it was made of
            parents = (str(route.address), *parents)
        node((name, *parents)).ends.append(route)
    return next((found for family, found in nodes.items() if len(family) == 1), Node(routed.address))


class RouteTree(View):
    """The tree, in boxes or as indented text."""

    def __init__(self, routed: Routed) -> None:
        self.routed = routed
        self.root = tree_of(routed)

    @property
    def _title(self) -> str:
        return f"Routing {self.routed.address}"

    def html(self) -> Markup:
        return join(tag("p", tag("b", self._title)), _box(self.root, 0))

    def text(self) -> str:
        return "\n".join([self._title, *_lines(self.root, "", "")])


def _box(node: Node, depth: int) -> Markup:
    rows = [
        tag("tr", *(tag("td", cell, style=_CELL if step.took else _FAINT) for cell in _row(step)))
        for step in node.steps
    ]
    return tag(
        "div",
        tag("div", tag("b", node.address)),
        tag("table", tag("tbody", *rows), style="border-collapse:collapse; margin:0") if rows else None,
        *(tag("div", tag("b", f"=> {words}"), style=_END.format(colour)) for words, colour in node.endings),
        *(_box(child, depth + 1) for child in node.children),
        style=_BOX.format(indent=16 if depth else 0),
    )


def _lines(node: Node, first: str, rest: str) -> Iterator[str]:
    yield f"{first}{node.address}"
    stem = f"{rest}|   " if node.children else f"{rest}    "
    rows = [_row(step) for step in node.steps]
    widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
    for router, took, because in rows:
        for number, part in enumerate(because.split("\n")):
            cells = (
                (router.ljust(widths[0]), took.ljust(widths[1])) if not number else (" " * w for w in widths)
            )
            yield f"{stem}{'  '.join([*cells, part])}".rstrip()
    for words, _ in node.endings:
        yield f"{stem}=> {words}"
    for child in node.children:
        corner, below = ("`-- ", "    ") if child is node.children[-1] else ("|-- ", "|   ")
        yield from _lines(child, rest + corner, rest + below)


def _row(step: RouterStep) -> tuple[str, str, str]:
    return step.router, step.verdict, reason(step)

"""Who handed how many messages to whom: the hosts as a graph, and the circle in it that closes.

WHAT       `loop_graph(world)` for all mail of a world, `loop_graph(world, message)` for one message: an arrow for each
           pair of hosts with the number of times, circles in red; as text each arrow, each circle, and how it ended.
RULES      counted from the journal; reports that hosts write themselves are left out, unless you name one.
STANDARDS  RFC 5321 §6.3
READ NEXT  header_growth.py, labkit/lab/hops.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.lab.hops import ORIGIN, Arrow, Hop, arrows_of, cycles_of, hops_of, life_of_all
from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.message import Message
from labkit.teach.given import WrongKind
from labkit.teach.plots.picture import BLUE, GREY, RED, Picture, label
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_HOSTS = 16
MOST_ROWS = 40
_BOX = {"boxstyle": "round,pad=0.4", "facecolor": "#f2f2f2", "edgecolor": GREY}


class LoopGraph(Picture):
    """The picture; `arrows` and `cycles` are what it shows."""

    def __init__(self, title: str, hops: Sequence[Hop]) -> None:
        self.hops = tuple(hops)
        self.arrows = arrows_of(hops)
        self.cycles = cycles_of(self.arrows)
        self._hosts = list(
            dict.fromkeys(name for arrow in self.arrows for name in (arrow.came_from, arrow.host))
        )
        super().__init__(title, self._drawing, self._words(), (7.0, 4.2))

    def _words(self) -> str:
        if not self.arrows:
            return "No message has come yet."
        rows = [(label(a.came_from), label(a.host), str(a.count)) for a in self.arrows[:MOST_ROWS]]
        lines = [text_table(("from", "to", "messages"), rows)]
        if len(self.arrows) > MOST_ROWS:
            lines.append(f"and {len(self.arrows) - MOST_ROWS} more arrows")
        if len(self._hosts) > MOST_HOSTS:
            lines.append(f"the picture shows the first {MOST_HOSTS} of {len(self._hosts)} hosts")
        for cycle in self.cycles:
            lines.append(f"circle: {' -> '.join(label(host) for host in (*cycle, cycle[0]))}")
        if not self.cycles:
            lines.append("no circle: nothing comes back to where it was")
        last = self.hops[-1]
        lines.append(
            f"the last arrival, number {last.number}, at {label(last.host)}: {label(last.ending, 120)}"
        )
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
        axes.set_axis_off()
        axes.set_xlim(-1.75, 1.75)
        axes.set_ylim(-1.25, 1.25)
        shown = self._hosts[:MOST_HOSTS]
        places = _places(shown)
        closed = {pair for cycle in self.cycles for pair in zip(cycle, (*cycle[1:], cycle[0]))}
        for arrow in self.arrows:
            if arrow.came_from in places and arrow.host in places:
                colour = RED if (arrow.came_from, arrow.host) in closed else BLUE
                _draw(axes, arrow, places, colour)
        for host, (x, y) in places.items():
            axes.text(x, y, label(host, 26), ha="center", va="center", fontsize=9, bbox=_BOX, zorder=5)


def loop_graph(world: World, message: str | Message | None = None) -> LoopGraph:
    """The graph of all mail so far, or of one message: its queue id, its Message-ID or itself. Raises LookupError."""
    if message is None:
        return LoopGraph("Who handed how many messages to whom", hops_of(life_of_all(world.journal)))
    name = name_of(message)
    return LoopGraph(f"The way of message {label(name)}", hops_of(life_of(world.journal, name)))


def name_of(message: str | Message) -> str:
    """The Message-ID of a message, or the name as it is given."""
    if not isinstance(message, (str, Message)):
        raise WrongKind(
            f"name a message by its queue id or its Message-ID, not by a {type(message).__name__}"
        )
    name = message if isinstance(message, str) else message.first("Message-ID")
    if name is None:
        raise LookupError("the message has no Message-ID to follow it by: name its queue id")
    return name


def _places(hosts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Hosts on a circle, whoever hands in on the left."""
    around = [host for host in hosts if host != ORIGIN]
    places = {ORIGIN: (-1.45, 0.95)} if ORIGIN in hosts else {}
    if len(around) == 1:
        return {**places, around[0]: (0.0, 0.0)}
    for number, host in enumerate(around):
        angle = math.pi - 2 * math.pi * number / len(around)
        places[host] = (1.0 * math.cos(angle), 0.75 * math.sin(angle))
    return places


def _draw(axes: Axes, arrow: Arrow, places: dict[str, tuple[float, float]], colour: str) -> None:
    start, end = places[arrow.came_from], places[arrow.host]
    if start == end:  # to itself
        (x, y) = start
        ends = (x - 0.22, y + 0.08), (x + 0.22, y + 0.08)
        style, where = "arc3,rad=-1.6", (x, y + 0.46)
    else:
        ends, style = (start, end), "arc3,rad=0.25"
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        across = (end[1] - start[1], start[0] - end[0])  # to the right of the way, where the bow is
        where = (middle[0] + 0.15 * across[0], middle[1] + 0.15 * across[1])
    axes.annotate(
        "",
        xy=ends[1],
        xytext=ends[0],
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "connectionstyle": style,
            "shrinkA": 16,
            "shrinkB": 16,
            "linewidth": 1.5,
        },
    )
    axes.text(
        *where, f"{arrow.count}×", ha="center", va="center", fontsize=9, color=colour, backgroundcolor="white"
    )

"""What each hop adds: octets, Received fields, and lab time.

WHAT       `header_growth(world, message)`: for each arrival of one message its size, the Received fields that hosts of
           this lab have put on it, and how long it stayed.
RULES      sizes are those of the log (a line end counts once). What the message had before it came here is not counted.
STANDARDS  RFC 5321 §4.4 (Received), §6.3 (a loop is found by counting them)
READ NEXT  loop_graph.py, labkit/lab/hops.py
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from labkit.lab.hops import Hop, hops_of
from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.message import Message
from labkit.teach.plots.loop_graph import name_of
from labkit.teach.plots.picture import BLUE, GREEN, ORANGE, Picture, label
from labkit.teach.plots.time_axis import short, span
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 120
MOST_DRAWN = 3000
HANDED_OVER = "handed over to "  # how a hop ends; the column says where


class HeaderGrowth(Picture):
    """The picture; `hops` is what it shows."""

    def __init__(self, name: str, hops: Sequence[Hop]) -> None:
        self.hops = tuple(hops)
        super().__init__(
            f"What each hop adds to message {label(name)}", self._drawing, self._words(), (9.5, 5.0)
        )

    def _words(self) -> str:
        rows = []
        for before, hop in zip((None, *self.hops), self.hops):
            more = (
                ""
                if before is None or hop.size is None or before.size is None
                else f"{hop.size - before.size:+}"
            )
            stayed = "still there" if hop.stayed is None else span(hop.stayed)
            size = "?" if hop.size is None else str(hop.size)
            cells = (str(hop.number), short(hop.at), label(hop.host, 26), size, more, str(hop.stamps), stayed)
            rows.append(
                (*cells, "" if hop is self.hops[-1] else label(hop.ending.removeprefix(HANDED_OVER), 26))
            )
        if len(rows) > MOST_ROWS:
            rows = [*rows[: MOST_ROWS - 10], *rows[-10:]]
        head = ("hop", "lab time", "host", "octets", "more", "Received", "stayed", "next")
        lines = [text_table(head, rows)]
        if len(self.hops) > MOST_ROWS:
            lines.append(f"{len(self.hops)} hops; those in the middle are left out")
        if self.hops:
            lines.append(
                f"the last arrival, number {self.hops[-1].number}: {label(self.hops[-1].ending, 80)}"
            )
        sizes = [hop.size for hop in self.hops if hop.size is not None]
        if sizes:
            lines.append(f"from {sizes[0]} to {sizes[-1]} octets in {len(self.hops)} arrivals")
        whole = sum((hop.stayed for hop in self.hops if hop.stayed is not None), timedelta())
        lines.append(f"lab time on the way: {span(whole)}")
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        hops = self.hops[:MOST_DRAWN]
        numbers = [hop.number for hop in hops]
        panels: list[tuple[str, list[float], str]] = [
            ("octets", [hop.size or 0 for hop in hops], BLUE),
            ("Received fields", [hop.stamps for hop in hops], ORANGE),
            (
                "seconds stayed",
                [0.0 if hop.stayed is None else hop.stayed.total_seconds() for hop in hops],
                GREEN,
            ),
        ]
        for row, (name, values, colour) in enumerate(panels):
            axes = figure.add_axes((0.09, 0.72 - 0.3 * row, 0.88, 0.23))
            axes.bar(numbers, values, color=colour, width=0.7)
            axes.set_ylabel(name, fontsize=8)
            axes.set_xlim(0.3, max(numbers) + 0.7)
            axes.set_ylim(0, max([*values, 1]) * 1.1)
            if row == 2:
                axes.set_xlabel("hop")


def header_growth(world: World, message: str | Message) -> HeaderGrowth:
    """One message: its queue id at any host, its Message-ID, or itself. Raises LookupError."""
    name = name_of(message)
    return HeaderGrowth(name, hops_of(life_of(world.journal, name)))

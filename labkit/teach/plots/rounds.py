"""How many messages one message has become, round by round.

WHAT       `rounds(world, message)`: its arrivals by how many hosts have stamped them, and the growth.
RULES      counted from the journal. The scale of the drawing is logarithmic, so that what doubles is a straight line.
STANDARDS  RFC 5321 §6.3
READ NEXT  header_growth.py, labkit/lab/hops.py
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from labkit.lab.hops import hops_of
from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.message import Message
from labkit.teach.plots.loop_graph import name_of
from labkit.teach.plots.picture import BLUE, Picture, label
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROUNDS = 120


class Rounds(Picture):
    """The picture; `counts` is what it shows: messages in each round, the first round first."""

    def __init__(self, name: str, counts: list[int], given_up: int) -> None:
        self.counts = counts
        self.given_up = given_up
        title = f"What message {label(name)} has become, round by round"
        super().__init__(title, self._drawing, self._words(), (7.0, 3.0))

    def _words(self) -> str:
        rows, total = [], 0
        for number, count in enumerate(self.counts[:MOST_ROUNDS]):
            total += count
            before = self.counts[number - 1] if number else 0
            times = "" if not before else f"{count / before:g}"
            rows.append((str(number + 1), str(count), times, str(total)))
        lines = [text_table(("round", "messages", "times as many", "so far"), rows)]
        lines.append(
            f"{sum(self.counts)} arrivals in {len(self.counts)} rounds; {self.given_up} were given up"
        )
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.1, 0.16, 0.87, 0.78))
        numbers = range(1, len(self.counts) + 1)
        axes.bar(list(numbers), self.counts, color=BLUE, width=0.7)
        axes.set_yscale("log", base=2)
        ticks = [2**power for power in range(max(self.counts, default=1).bit_length())]
        axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_ylim(0.7, 2 * max(self.counts, default=1))
        axes.set_xlabel("round: Received fields on it")
        axes.set_ylabel("messages", fontsize=8)
        for number, count in zip(numbers, self.counts):
            axes.text(number, count, f"{count:,}", ha="center", va="bottom", fontsize=8)


def rounds(world: World, message: str | Message) -> Rounds:
    """One message: its queue id at any host, its Message-ID, or itself. Raises LookupError."""
    name = name_of(message)
    hops = hops_of(life_of(world.journal, name))
    found = Counter(hop.stamps for hop in hops)
    counts = [found[number] for number in range(1, max(found, default=0) + 1)]
    return Rounds(name, counts, sum(hop.ending.startswith("given up") for hop in hops))

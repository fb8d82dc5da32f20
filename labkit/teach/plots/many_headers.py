"""Many messages at a glance: how many hops they took, and how long that lasted.

WHAT       `many_headers(totals)`: what labkit/headers/totals.py has added up, as two distributions and their table;
           `many_headers("mail.mbox")` reads a file or a folder first.
RULES      the classes of delays grow like powers, so that a second and a day find room on one axis.
READ NEXT  hop_ladder.py, labkit/headers/totals.py
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from labkit.headers.hops import span
from labkit.headers.totals import CLASSES, Totals
from labkit.teach.given import expect
from labkit.teach.plots.picture import BLUE, GREEN, ORANGE, Picture, label
from labkit.teach.plots.reading import read_with_a_bar
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_HOPS = 15  # drawn one by one; those with more are one bar
MOST_DOMAINS = 8
CLASS_NAMES = (*(f"≤ {span(each)}" for each in CLASSES), f"> {span(CLASSES[-1])}")


class ManyHeaders(Picture):
    """The picture; `totals` is what it shows."""

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        super().__init__(
            f"Hops and delays of {totals.messages:,} messages", self._drawing, self._words(), (9.5, 3.4)
        )

    def _hops(self) -> list[tuple[str, int]]:
        top = min(max(self.totals.hops, default=0), MOST_HOPS)
        counts = [(str(number), self.totals.hops[number]) for number in range(top + 1)]
        more = sum(count for number, count in self.totals.hops.items() if number > MOST_HOPS)
        return [*counts, (f"> {MOST_HOPS}", more)] if more else counts

    def _words(self) -> str:
        totals = self.totals
        all_of_them = max(totals.messages, 1)
        hops = [(name, f"{count:,}", f"{count / all_of_them:.1%}") for name, count in self._hops()]
        steps = [
            (name, f"{one:,}", f"{whole:,}")
            for name, one, whole in zip(CLASS_NAMES, totals.delays, totals.totals)
        ]
        lines = [
            text_table(("hops", "messages", "share"), hops),
            text_table(("delay", "single steps", "whole journeys"), steps),
            f"wrong clocks: {totals.skewed:,} messages; no delay known: {totals.undated:,}; "
            f"signed by DKIM: {totals.signed:,}; from mailing lists: {totals.from_lists:,}",
        ]
        if totals.slowest[0]:
            lines.append(f"the slowest: {span(totals.slowest[0])}, Message-ID {label(totals.slowest[1])}")
        # ties by name, so that two runs say the same
        ranking = sorted(totals.domains.items(), key=lambda item: (-item[1], item[0]))[:MOST_DOMAINS]
        named = ", ".join(f"{label(name or '(none)', 30)} {count:,}" for name, count in ranking)
        lines.append(f"most often in From: {named or 'nobody'}")
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        self._bars(figure.add_axes((0.07, 0.2, 0.36, 0.72)), self._hops(), BLUE, "hops")
        axes = figure.add_axes((0.52, 0.28, 0.46, 0.64))
        self._pairs(axes)

    def _bars(self, axes: Axes, counts: list[tuple[str, int]], colour: str, name: str) -> None:
        axes.bar(range(len(counts)), [count for _, count in counts], color=colour, width=0.7)
        axes.set_xticks(range(len(counts)), [each for each, _ in counts], fontsize=7)
        axes.set_xlabel(name)
        axes.set_ylabel("messages", fontsize=8)

    def _pairs(self, axes: Axes) -> None:
        places = range(len(CLASS_NAMES))
        axes.bar([p - 0.2 for p in places], self.totals.delays, color=ORANGE, width=0.4, label="single steps")
        axes.bar(
            [p + 0.2 for p in places], self.totals.totals, color=GREEN, width=0.4, label="whole journeys"
        )
        axes.set_yscale("symlog", linthresh=1)
        most = max([*self.totals.delays, *self.totals.totals, 1])
        ticks = [0, *(10**power for power in range(len(str(most))))]
        axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])  # matplotlib's own are mathematics
        axes.minorticks_off()
        axes.set_xticks(places, CLASS_NAMES, fontsize=7, rotation=45, ha="right")
        axes.set_ylabel("how many", fontsize=8)
        axes.legend(frameon=False, fontsize=7)


def many_headers(mail: Totals | str | PathLike[str]) -> ManyHeaders:
    """The picture of what `survey_all` has added up; or of all mail at a path, with a bar while it is read.

    Raises FileNotFoundError.
    """
    if isinstance(mail, (str, PathLike)):
        mail = read_with_a_bar(mail)
    expect(mail, Totals, 'many_headers("mail.mbox"), or many_headers(totals),')
    return ManyHeaders(mail)

"""Views of a Local/Makefile: its lines explained, and the capability matrix as a heat table.

WHAT       rows are what this Exim cannot do, columns the points of the lab; a cross says which point needs it. The
           last row is of all. What Exim can do is only counted; what the points are about stands below.
RULES      every colour has a sign and a word beside it; the same signs in the text.
READ NEXT  ../tasks/install.py
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

from labkit.lab.own_exim import ABOUT, POINTS, Finding, Makefile, Matrix, points_of
from labkit.teach.markup import Markup, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

THERE, MISSING = "✓", "✗"
_LEFT = "text-align:left; vertical-align:top; padding:2px 10px 2px 0; white-space:pre-wrap"
_NAME = _LEFT.replace("pre-wrap", "nowrap")
_AFTER = _LEFT.replace("10px 2px 0", "0 2px 10px")
_CELL = "text-align:center; padding:2px 0; min-width:1.7em; border:1px solid #8a8f98"
_COLOURS = {
    THERE: "background:#cde8dc; color:#00402e",
    MISSING: "background:#8f2d00; color:#ffffff; font-weight:bold",
}


@shows(Matrix)
class MatrixView(View):
    """The capability matrix: which points of the lab become impossible, and for want of which option."""

    title = "What this Exim can do, and which points of the lab need it"

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        lacking = [row for row in matrix.findings if not row.is_there]
        self.rows = [(row.capability.name, _signs(row), shortened(row.because)) for row in lacking]
        self.last = tuple(MISSING if point in matrix.lost else THERE for point in POINTS)
        every, others = len(matrix.findings), len(matrix.findings) - len(lacking)
        if lacking:
            self.others = f"Of {every} capabilities, {others} are there and have no row here."
        else:
            self.others = f"All {every} capabilities are there, so none has a row."

    @property
    def _summary(self) -> str:
        if not self.matrix.lost:
            return f"{THERE} All points from 3 to 17 are possible."
        return f"{MISSING} Impossible with this Exim: {in_ranges(self.matrix.lost)}."

    def html(self) -> Markup:
        numbers = [tag("th", point, scope="col", style=_CELL) for point in POINTS]
        corner = tag("th", "capability", scope="col", style=_LEFT)
        body = [_row(name, signs, because) for name, signs, because in self.rows]
        return join(
            tag(
                "table",
                tag("caption", self.title, style="text-align:left; font-weight:bold; padding:4px 0"),
                tag("thead", tag("tr", corner, *numbers, tag("th", "because", scope="col", style=_AFTER))),
                tag("tbody", *body, _row("possible?", self.last, "")),
                style="border-collapse:collapse",
            ),
            tag("p", f"{THERE} possible, {MISSING} needs it and lacks it. {self.others} {LEGEND}"),
            tag("p", tag("b", self._summary)),
        )

    def text(self) -> str:
        head = ("capability", *POINTS, "because")
        rows = [(name, *signs, textwrap.fill(because, 25)) for name, signs, because in self.rows]
        shown = text_table(head, [*rows, ("possible?", *self.last, "")], self.title)
        return "\n".join([shown, self.others, textwrap.fill(LEGEND, 110), self._summary])


def _signs(lacking: Finding) -> tuple[str, ...]:
    needed = points_of(lacking.capability)
    return tuple(MISSING if point in needed else "" for point in POINTS)


def shortened(because: str) -> str:
    """ "A_X or A_Y or A_Z is not set" as "A_X or another A_… is not set"."""
    return re.sub(r"\b(([A-Z]+_)\w+)(?: or \2\w+){2,}", r"\1 or another \2…", because)


def _row(name: str, signs: Sequence[str], because: str) -> Markup:
    cells = [tag("td", sign, style=f"{_CELL}; {_COLOURS.get(sign, '')}") for sign in signs]
    return tag(
        "tr",
        tag("th", name, scope="row", style=f"{_NAME}; font-weight:normal"),
        *cells,
        tag("td", because, style=_AFTER),
    )


@shows(Makefile)
class MakefileView(View):
    """A Local/Makefile: each line that sets something, what it is for, and which points hang on it."""

    head = ("", "line", "is for", "points")

    def __init__(self, makefile: Makefile) -> None:
        self.rows = [
            (str(line.number), line.text, line.meaning, in_ranges(line.points)) for line in makefile.lines
        ]
        asleep = [f"{name} stands in a comment and sets nothing." for name in makefile.commented]
        asleep += [f"{name} is no option; is it {known}?" for name, known in makefile.misspelt.items()]
        asleep += [f"{name} is set, but no line names its library." for name in makefile.unlinked]
        self.notes = asleep

    def html(self) -> Markup:
        notes = tag("ul", *(tag("li", note) for note in self.notes)) if self.notes else None
        return join(table(self.head, self.rows, "Local/Makefile", code=[1], whole=[3]), notes)

    def text(self) -> str:
        return "\n".join([text_table(self.head, self.rows, "Local/Makefile"), *self.notes])


def in_ranges(points: Sequence[str]) -> str:
    """ "3", "9", "10", "11" as "3, 9–11"; all of them as "all"."""
    if tuple(points) == POINTS:
        return "all"
    runs: list[list[int]] = []
    for number in map(int, points):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def _legend() -> str:
    """What the points are about, neighbours with the same words together."""
    told = [f"{in_ranges(tuple(points))} {words}" for words, points in groupby(POINTS, key=ABOUT.__getitem__)]
    return f"The points: {'; '.join(told)}."


LEGEND = _legend()

"""Precision against recall: of what is called spam, how much is spam?

WHAT       `precision_recall({"Bayes": [(score, is_spam), …], …}, ham_costs=10)`: each filter a curve of steps, and a
           point with bars at its threshold.
READ       up and to the right is better; the dotted line is what calling everything spam would give: the share of spam
           in this mail. Precision depends on that share, so it does not transfer to other mail; recall does more so.
RULES      between two points the curve is a step: a straight line would promise what no threshold reaches.
STANDARDS  Davis and Goadrich, ICML 2006
READ NEXT  ../views/measured.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from labkit.filters.measures import Rate, average_precision
from labkit.filters.measures import precision_recall as points_of
from labkit.teach.plots.filter_curves import (
    COLOURS,
    DASHES,
    Judge,
    frame,
    mark,
    read_filters,
    share,
    value,
)
from labkit.teach.plots.picture import GREY, Picture
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 90  # characters of the text below the table


class PrecisionRecall(Picture):
    """The picture; `judges` are the filters with their points."""

    def __init__(self, judges: tuple[Judge, ...], ham_costs: float) -> None:
        self.judges = judges
        self.ham_costs = ham_costs
        super().__init__("How much of what is called spam is spam", self._drawing, self._words(), (6.2, 4.4))

    def _words(self) -> str:
        head = ("filter", "precision", "recall", "threshold", "average precision")
        rows = [
            (
                each.name,
                share(each.chosen.confusion.precision),
                share(each.chosen.confusion.recall),
                each.threshold,
                "one point" if each.is_yes_or_no else f"{average_precision(each.judged) or 0:.3f}",
            )
            for each in self.judges
        ]
        shares = ", ".join(f"{each.name} {100 * value(_share_of_spam(each)):.0f} %" for each in self.judges)
        wilson = "In brackets: Wilson's interval for 95 %."
        judged = fill(f"Spam in the mail that was judged: {shares}. Other mail, other precision.", WIDTH)
        return f"{text_table(head, rows)}\n{wilson}\n{judged}"

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.11, 0.13, 0.86, 0.83))
        levels = sorted({value(_share_of_spam(each)) for each in self.judges})
        for level in levels:
            axes.axhline(level, linestyle=":", color=GREY, linewidth=0.8)
        axes.text(0.0, levels[-1] + 0.015, "all are called spam", fontsize=7, color=GREY)
        for number, each in enumerate(self.judges):
            colour, found = COLOURS[number], each.chosen.confusion
            if not each.is_yes_or_no:
                x, y = zip(*points_of(each.judged))
                axes.step(
                    [0, *x], [y[0], *y], where="pre", color=colour, linestyle=DASHES[number], linewidth=1.4
                )
            mark(axes, number, each, found.recall, found.precision)
        frame(axes, "spam caught (recall)", "of what is called spam: spam (precision)", "lower left")


def _share_of_spam(judge: Judge) -> Rate:
    return judge.points[-1].confusion.precision


def precision_recall(
    filters: Mapping[str, Iterable[Sequence[float]]],
    *,
    ham_costs: float = 10.0,
    thresholds: Mapping[str, float] | None = None,
) -> PrecisionRecall:
    """Draw it. Raises NoJudgements for what cannot be drawn."""
    return PrecisionRecall(read_filters(filters, ham_costs, thresholds), ham_costs)

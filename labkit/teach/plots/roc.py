"""ROC curves: for each threshold, how much spam is caught and how much ham is lost.

WHAT       `roc({"Bayes": [(score, is_spam), …], "greylist": [(1, True), …]}, ham_costs=10)`: each filter a curve, and
           a point with bars at the threshold that it would work with: the cheapest if one lost ham is as bad as ten
           missed spams, or the one given in `thresholds`.
READ       up and to the left is better; the dotted line is a coin. What matters is the far left: nobody runs a filter
           that loses every fifth letter. Bars are Wilson's intervals for 95 %: where they overlap, more mail is wanted.
STANDARDS  Fawcett, Pattern Recognition Letters 27, 2006
READ NEXT  precision_recall.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from labkit.filters.measures import auc
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


class RocPicture(Picture):
    """The picture; `judges` are the filters with their points."""

    def __init__(self, judges: tuple[Judge, ...], ham_costs: float) -> None:
        self.judges = judges
        self.ham_costs = ham_costs
        super().__init__("Spam caught against ham lost (ROC)", self._drawing, self._words(), (6.2, 4.4))

    def _words(self) -> str:
        head = ("filter", "ham lost", "spam caught", "threshold", "AUC")
        rows = [
            (
                each.name,
                share(each.chosen.confusion.false_positive_rate),
                share(each.chosen.confusion.recall),
                each.threshold,
                "one point" if each.is_yes_or_no else f"{auc(each.judged) or 0:.3f}",
            )
            for each in self.judges
        ]
        cost = (
            f"Thresholds: the cheapest if a lost ham is as bad as {self.ham_costs:g} missed spams, or yours."
        )
        return f"{text_table(head, rows)}\nIn brackets: Wilson's interval for 95 %.\n{cost}"

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.11, 0.13, 0.86, 0.83))
        axes.plot([0, 1], [0, 1], linestyle=":", color=GREY, linewidth=0.8)
        axes.text(0.72, 0.66, "a coin", fontsize=7, color=GREY)
        for number, each in enumerate(self.judges):
            colour, found = COLOURS[number], each.chosen.confusion
            if not each.is_yes_or_no:
                rates = [
                    (point.confusion.false_positive_rate, point.confusion.recall) for point in each.points
                ]
                x, y = [value(one) for one, _ in rates], [value(other) for _, other in rates]
                axes.plot(x, y, color=colour, linestyle=DASHES[number], linewidth=1.4)
            mark(axes, number, each, found.false_positive_rate, found.recall)
        frame(axes, "ham lost (false positive rate)", "spam caught (recall)", "lower right")


def roc(
    filters: Mapping[str, Iterable[Sequence[float]]],
    *,
    ham_costs: float = 10.0,
    thresholds: Mapping[str, float] | None = None,
) -> RocPicture:
    """Draw it. Raises NoJudgements for what cannot be drawn."""
    return RocPicture(read_filters(filters, ham_costs, thresholds), ham_costs)

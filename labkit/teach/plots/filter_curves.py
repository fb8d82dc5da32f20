"""What the pictures of filters share: what was given, checked and named; and how each filter is drawn.

WHAT       `read_filters({"Bayes": [(score, is_spam), …], …})` -> for each filter its pairs and the threshold that is
           cheapest, or that was chosen. A filter that says only yes or no has scores 1 and 0: a point, not a curve.
           `mark` draws the point at which a filter works, `frame` the axes and the legend.
READ NEXT  roc.py, precision_recall.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from labkit.filters.measures import CurvePoint, Rate, best_threshold, confusion, curve
from labkit.mail.plainly import SaidPlainly
from labkit.teach.plots.picture import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_FILTERS = 6
MOST_JUDGED = 100_000
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKS = ("o", "s", "^", "D", "v", "P")

Judged = Sequence[Sequence[float]]


class NoJudgements(SaidPlainly, ValueError):
    """What was given cannot be drawn; the text says what can."""


@dataclass(frozen=True, slots=True)
class Judge:
    """One filter: its name, all points of its curve, and the one at which it would work."""

    name: str
    points: tuple[CurvePoint, ...]
    chosen: CurvePoint
    judged: Judged

    @property
    def threshold(self) -> str:
        """For a table; a filter that only says yes or no has none."""
        if self.is_yes_or_no:
            return "-"
        return "none" if self.chosen.threshold == float("inf") else f"{self.chosen.threshold:.3g}"

    @property
    def is_yes_or_no(self) -> bool:
        """Its scores are 1 and 0: there is no threshold to choose."""
        return {point.threshold for point in self.points[1:]} <= {0.0, 1.0}


def read_filters(
    given: Mapping[str, Iterable[Sequence[float]]], ham_costs: float, thresholds: Mapping[str, float] | None
) -> tuple[Judge, ...]:
    """Check what was given. Raises NoJudgements."""
    if not isinstance(given, Mapping) or not 1 <= len(given) <= MOST_FILTERS:
        raise NoJudgements(f'give 1 to {MOST_FILTERS} filters: {{"Bayes": [(score, is_spam), …]}}')
    thresholds = thresholds or {}
    if strange := set(thresholds) - set(given):
        raise NoJudgements(
            f"thresholds: there is no filter {sorted(strange)[0]!r}; there are {', '.join(given)}"
        )
    return tuple(_judge(name, list(pairs), ham_costs, thresholds.get(name)) for name, pairs in given.items())


def _judge(name: str, judged: list[Sequence[float]], ham_costs: float, threshold: float | None) -> Judge:
    if len(judged) > MOST_JUDGED:
        raise NoJudgements(f"{name}: at most {MOST_JUDGED:,} messages can be drawn")
    try:
        points = curve(judged)
        best = best_threshold(judged, ham_costs)
    except (ValueError, TypeError) as problem:
        raise NoJudgements(f"{name}: {problem}") from None
    last = points[-1].confusion
    if not (last.spam_caught and last.ham_caught):
        raise NoJudgements(f"{name}: at least one spam and one ham are wanted, else nothing can be compared")
    judge = Judge(label(name, 30), points, best, judged)
    if threshold is None and judge.is_yes_or_no:
        threshold = 1.0
    return (
        judge
        if threshold is None
        else replace(judge, chosen=CurvePoint(threshold, confusion(judged, threshold)))
    )


def share(rate: Rate) -> str:
    """A rate for a table: 97.5 % (94 to 99)."""
    if rate.value is None:
        return "-"
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.0f} to {100 * rate.high:.0f})"


def value(rate: Rate) -> float:
    return rate.value or 0.0


def mark(axes: Axes, number: int, judge: Judge, across: Rate, up: Rate) -> None:
    """The point with the bars of both intervals; in the legend stands its mark alone, with the line of its curve."""
    colour, line = COLOURS[number], "none" if judge.is_yes_or_no else DASHES[number]
    if across.value is not None and up.value is not None:
        axes.errorbar(
            [across.value],
            [up.value],
            xerr=_beyond(across),
            yerr=_beyond(up),
            color=colour,
            marker=MARKS[number],
            markersize=6,
            linewidth=0.9,
            capsize=2,
            linestyle="none",
        )
    axes.plot([], [], color=colour, marker=MARKS[number], markersize=6, linestyle=line, label=judge.name)


def frame(axes: Axes, across: str, up: str, corner: Literal["lower left", "lower right"]) -> None:
    """Rates from 0 to 1 on both axes, their names, and the legend in a corner that is empty."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(across, fontsize=8)
    axes.set_ylabel(up, fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc=corner)


def _beyond(rate: Rate) -> list[list[float]]:
    """How far the interval reaches to both sides, as matplotlib's error bars want it."""
    middle = value(rate)
    return [[max(middle - rate.low, 0.0)], [max(rate.high - middle, 0.0)]]

"""How good is a filter? Rates with their uncertainty, curves over all thresholds, and two filters compared.

WHAT       `confusion(judged, threshold)` -> Confusion with precision, recall, false positive rate, each a Rate with its
           interval; `roc`, `auc`, `precision_recall`, `average_precision`; `best_threshold(judged, ham_costs=10)`;
           `mcnemar(first, second)` for two filters that have judged the same messages.
JUDGED     pairs (score, is_spam) or triples with a weight: how many such messages there are. A message is called spam
           if its score is at least the threshold. "Positive" means: called spam. So a false positive is ham that was
           called spam: the dear mistake.
EDGES      without spam there is no recall, without ham no false positive rate: the value is None, never 0.
LITERATURE Wilson, J. Amer. Stat. Assoc. 22, 1927 (interval); McNemar, Psychometrika 12, 1947 (here the exact
           binomial form); Fawcett, Pattern Recognition Letters 27, 2006 (ROC); Davis and Goadrich, ICML
           2006 (why straight lines must not join the points of a precision-recall curve).
READ NEXT  bayes.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import inf, isfinite, isnan, sqrt

Z95 = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many; `low` and `high` are Wilson's interval for 95 %. `value` is None for nothing of nothing."""

    hits: float
    of: float

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    @property
    def low(self) -> float:
        return wilson(self.hits, self.of)[0]

    @property
    def high(self) -> float:
        return wilson(self.hits, self.of)[1]

    def __str__(self) -> str:
        if self.value is None:
            return "none of none"
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True, slots=True)
class Confusion:
    """What became of spam and ham."""

    spam_caught: float
    spam_missed: float
    ham_caught: float  # false positives
    ham_kept: float

    @property
    def recall(self) -> Rate:
        """Of the spam, what was caught."""
        return Rate(self.spam_caught, self.spam_caught + self.spam_missed)

    @property
    def precision(self) -> Rate:
        """Of what was called spam, what is spam. It depends on how much spam there is: it does not transfer."""
        return Rate(self.spam_caught, self.spam_caught + self.ham_caught)

    @property
    def false_positive_rate(self) -> Rate:
        """Of the ham, what was wrongly caught."""
        return Rate(self.ham_caught, self.ham_caught + self.ham_kept)

    @property
    def accuracy(self) -> Rate:
        right = self.spam_caught + self.ham_kept
        return Rate(right, right + self.spam_missed + self.ham_caught)

    def cost(self, ham_costs: float) -> float:
        """In missed spams, if one lost ham is as bad as so many of them."""
        return self.spam_missed + (ham_costs * self.ham_caught if self.ham_caught else 0.0)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one threshold does. The first one of a curve is infinite: nothing is called spam."""

    threshold: float
    confusion: Confusion


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two filters on the same messages: how often only one was right; `p` is how probable so unequal numbers are by
    chance if both are equally good (two-sided, exact)."""

    only_first: int
    only_second: int
    p: float


def wilson(hits: float, of: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for a proportion. It is honest where the usual one fails: 0 of 20 is "up to 16 %".

    Nothing of nothing: from 0 to 1, for nothing is known. Raises ValueError for more hits than trials.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"{hits:g} of {of:g} is no proportion")
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, z * z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = z * sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == of else min(1.0, middle + half)


def confusion(judged: Iterable[Sequence[float]], threshold: float) -> Confusion:
    """What this threshold does. Raises ValueError for a score that is no number or a weight below 0."""
    spam_caught = spam_missed = ham_caught = ham_kept = 0.0
    for score, is_spam, weight in _read(judged):
        if is_spam:
            spam_caught, spam_missed = _counted(spam_caught, spam_missed, score >= threshold, weight)
        else:
            ham_caught, ham_kept = _counted(ham_caught, ham_kept, score >= threshold, weight)
    return Confusion(spam_caught, spam_missed, ham_caught, ham_kept)


def _counted(caught: float, missed: float, is_caught: bool, weight: float) -> tuple[float, float]:
    return (caught + weight, missed) if is_caught else (caught, missed + weight)


def _read(judged: Iterable[Sequence[float]]) -> list[tuple[float, bool, float]]:
    out = []
    for each in judged:
        if len(each) not in (2, 3):
            raise ValueError(
                f"pairs (score, is_spam) are wanted, or triples with a weight, not {each!r}"[:200]
            )
        score, is_spam, weight = float(each[0]), bool(each[1]), float(each[2]) if len(each) == 3 else 1.0
        if isnan(score):
            raise ValueError("a score is no number (NaN)")
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(f"a weight is a number from 0 on, not {weight}")
        out.append((score, is_spam, weight))
    return out


def curve(judged: Iterable[Sequence[float]]) -> tuple[CurvePoint, ...]:
    """What each threshold does that makes a difference, from the strictest on. Equal scores fall together.

    The last one calls everything spam.
    """
    read = sorted(_read(judged), key=lambda each: -each[0])
    spam = sum(weight for _, is_spam, weight in read if is_spam)
    ham = sum(weight for _, is_spam, weight in read if not is_spam)
    caught = wrongly = 0.0
    points = [CurvePoint(inf, Confusion(0.0, spam, 0.0, ham))]
    for score, same in groupby(read, key=lambda each: each[0]):
        for _, is_spam, weight in same:
            caught, wrongly = (caught + weight, wrongly) if is_spam else (caught, wrongly + weight)
        points.append(
            CurvePoint(score, Confusion(caught, max(spam - caught, 0.0), wrongly, max(ham - wrongly, 0.0)))
        )
    return tuple(points)


def roc(judged: Iterable[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """The points (false positive rate, recall), from (0, 0) to (1, 1). Without spam, or ham, there is none."""
    points = [
        (each.confusion.false_positive_rate.value, each.confusion.recall.value) for each in curve(judged)
    ]
    return tuple((x, y) for x, y in points if x is not None and y is not None)


def auc(judged: Iterable[Sequence[float]]) -> float | None:
    """The area below the ROC: the chance that a spam has a higher score than a ham; equal scores count half."""
    points = roc(judged)
    if not points:
        return None
    return sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(points))


def precision_recall(judged: Iterable[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """The points (recall, precision) that a threshold can reach. Between two the curve is a step, no line."""
    points = [(each.confusion.recall.value, each.confusion.precision.value) for each in curve(judged)]
    return tuple((x, y) for x, y in points if x is not None and y is not None)


def average_precision(judged: Iterable[Sequence[float]]) -> float | None:
    """The area below those steps: each gain in recall at the precision where it is reached."""
    points = precision_recall(judged)
    if not points:
        return None
    before, area = 0.0, 0.0
    for recall, precision in points:
        area += (recall - before) * precision
        before = recall
    return area


def best_threshold(judged: Iterable[Sequence[float]], ham_costs: float = 10.0) -> CurvePoint:
    """The cheapest threshold if one lost ham is as bad as so many missed spams; of equally cheap ones the strictest."""
    if not ham_costs >= 0:
        raise ValueError("ham_costs is a number from 0 on")
    return min(curve(judged), key=lambda each: (each.confusion.cost(ham_costs), -each.threshold))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Compare two filters on the same messages; each sequence says, message by message, whether it was right.

    Only the messages count on which they differ: if both are equally good, each is as often the better as a coin
    shows heads. Raises ValueError unless both have the same length.
    """
    if len(first) != len(second):
        raise ValueError(f"the same messages are wanted for both: {len(first)} and {len(second)} were given")
    only_first = sum(bool(a) and not b for a, b in zip(first, second))
    only_second = sum(bool(b) and not a for a, b in zip(first, second))
    return McNemar(
        only_first, only_second, _both_tails(min(only_first, only_second), only_first + only_second)
    )


def _both_tails(fewer: int, tosses: int) -> float:
    """The chance that of so many tosses of a coin one side shows so seldom, or more seldom."""
    ways, term = 0, 1
    for i in range(fewer + 1):
        ways += term
        term = term * (tosses - i) // (i + 1)
    return min(1.0, 2 * ways / (1 << tosses))

"""Measures: figures worked out by hand, a slow and simple judge for the others, and the edges."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb, inf, nan

import pytest

from labkit.filters.measures import (
    Rate,
    auc,
    average_precision,
    best_threshold,
    confusion,
    curve,
    mcnemar,
    precision_recall,
    roc,
    wilson,
)

# Ten messages, S spam and H ham, from the most suspicious on: S S H S S H S H H H (one tie: the last two)
JUDGED = [(0.95, 1), (0.9, 1), (0.8, 0), (0.7, 1), (0.6, 1), (0.5, 0), (0.4, 1), (0.3, 0), (0.1, 0), (0.1, 0)]


def test_confusion_by_hand() -> None:
    found = confusion(JUDGED, 0.6)
    assert (found.spam_caught, found.spam_missed, found.ham_caught, found.ham_kept) == (4, 1, 1, 4)
    assert found.recall.value == 0.8 and found.precision.value == 0.8
    assert found.false_positive_rate.value == 0.2 and found.accuracy.value == 0.8
    assert found.cost(10) == 11


def test_curves_by_hand() -> None:
    assert list(roc(JUDGED)) == (
        [
            (0, 0),
            (0, 0.2),
            (0, 0.4),
            (0.2, 0.4),
            (0.2, 0.6),
            (0.2, 0.8),
            (0.4, 0.8),
            (0.4, 1),
            (0.6, 1),
            (1, 1),
        ]
    )
    assert auc(JUDGED) == pytest.approx((5 + 5 + 4 + 4 + 3) / 25), "for each spam the hams below it"
    assert average_precision(JUDGED) == pytest.approx((1 + 1 + 3 / 4 + 4 / 5 + 5 / 7) / 5)
    assert precision_recall(JUDGED)[0] == (0.2, 1.0) and precision_recall(JUDGED)[-1] == (1.0, 0.5)


def test_best_threshold_by_hand() -> None:
    assert best_threshold(JUDGED, 10).threshold == 0.9, "one lost ham costs more than three missed spams"
    assert best_threshold(JUDGED, 1).threshold == 0.6
    assert best_threshold(JUDGED, 0).threshold == 0.4, "ham is worth nothing, yet no more is lost than needed"
    assert best_threshold([(0.9, 0), (0.1, 1)], 10).threshold == inf, (
        "a filter that is wrong catches best nothing"
    )
    assert best_threshold([], 10).threshold == inf


@pytest.mark.parametrize(
    "hits, of, low, high",
    [  # the values of Newcombe, Statistics in Medicine 17, 1998, table I (method 3)
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)  # fmt: skip
def test_wilson(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


def test_wilson_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0 and wilson(0, 5)[0] == 0.0
    for hits, of in ((2, 1), (-1, 3)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson(hits, of)
    assert str(Rate(0, 0)) == "none of none" and Rate(0, 0).value is None
    assert str(Rate(1, 4)) == "25.0 % (4.6 to 69.9)"


@pytest.mark.parametrize(
    "judged, because", [([], "nothing"), ([(0.2, 0)] * 3, "no spam"), ([(0.2, 1)] * 3, "no ham")]
)
def test_one_kind_only(judged: list[tuple[float, int]], because: str) -> None:
    assert auc(judged) is None and roc(judged) == ()
    rates = confusion(judged, 0.1)
    assert (rates.recall.value is None) == (because != "no ham")
    assert (rates.false_positive_rate.value is None) == (because != "no spam")
    assert (average_precision(judged) is None) == (because != "no ham")


def test_all_the_same_score() -> None:
    judged = [(0.5, 1), (0.5, 0), (0.5, 1)]
    assert roc(judged) == ((0, 0), (1, 1)) and auc(judged) == 0.5
    assert average_precision(judged) == pytest.approx(2 / 3)
    assert len(curve(judged)) == 2


def test_weights_are_repetitions() -> None:
    once = [(0.9, 1, 3), (0.4, 0, 2), (0.4, 1, 1), (0.7, 0, 0)]
    often = [(0.9, 1)] * 3 + [(0.4, 0)] * 2 + [(0.4, 1)]
    assert confusion(once, 0.4) == confusion(often, 0.4)
    assert auc(once) == auc(often) and average_precision(once) == average_precision(often)


@pytest.mark.parametrize("wrong", [(nan, 1), (0.5, 1, -1), (0.5, 1, inf), (0.5,), (1, 2, 3, 4)])
def test_what_is_no_judgement(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"score|weight"):
        curve([wrong])


def test_against_counting() -> None:
    """The same by brute force: every pair for the area, every threshold for the cheapest, every precision."""
    dice = random.Random(11)
    for _ in range(200):
        judged = [
            (dice.choice((0.1, 0.2, 0.3, 0.5, 0.8)), dice.random() < 0.4)
            for _ in range(dice.randrange(1, 30))
        ]
        spam = [score for score, is_spam in judged if is_spam]
        ham = [score for score, is_spam in judged if not is_spam]
        if spam and ham:
            wins = sum(Fraction((a > b) * 2 + (a == b), 2) for a in spam for b in ham)
            assert auc(judged) == pytest.approx(float(wins / (len(spam) * len(ham))))
        if spam:
            steps, before = Fraction(0), Fraction(0)
            for limit in sorted({score for score, _ in judged}, reverse=True):
                caught = sum(score >= limit for score in spam)
                called = caught + sum(score >= limit for score in ham)
                recall = Fraction(caught, len(spam))
                steps += (recall - before) * Fraction(caught, called)
                before = recall
            assert average_precision(judged) == pytest.approx(float(steps))
        prices = [
            sum(score < limit for score in spam) + 3 * sum(score >= limit for score in ham)
            for limit in [inf, *(score for score, _ in judged)]
        ]
        assert best_threshold(judged, 3).confusion.cost(3) == min(prices)


def test_mcnemar() -> None:
    """The p value is the binomial test's: 1 to 9, two-sided, is 2 (1 + 10) / 2**10."""
    first, second = [1] * 9 + [0] + [1] * 50, [0] * 9 + [1] + [1] * 50
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 1) and found.p == pytest.approx(22 / 1024)
    assert mcnemar(second, first).p == found.p
    assert mcnemar([], []).p == 1.0 and mcnemar([1, 0], [1, 0]).p == 1.0
    assert mcnemar([1, 0], [0, 1]).p == 1.0, "no more than certain"
    for fewer, more in ((3, 12), (0, 7), (40, 61)):
        exact = Fraction(2 * sum(comb(fewer + more, i) for i in range(fewer + 1)), 2 ** (fewer + more))
        assert mcnemar([1] * more + [0] * fewer, [0] * more + [1] * fewer).p == pytest.approx(float(exact))
    with pytest.raises(ValueError, match="the same messages"):
        mcnemar([1], [1, 0])

"""The formulas of the Bayesian filter, each by itself: from counts to one probability.

HOW        1. A token w has stood in b of B spam messages and in g of G ham messages. By Bayes' rule, if spam and ham
              were equally frequent, a message with w is spam with the probability
                  p(w) = (b/B) / (b/B + g/G)
           2. A word seen once tells little. Robinson: believe x before anything is known, with strength s, and the
              n = b + g messages after that:
                  f(w) = (s·x + n·p(w)) / (s + n)
           3. Take the 150 tokens whose f is farthest from 1/2, if it is at least `min_deviation` from it.
           4. Combine them by Fisher's method. If the tokens were nothing but chance, -2·Σ ln f(w) would follow the
              chi-square distribution, 2N degrees of freedom; so would -2·Σ ln(1-f(w)). `tail` is the chance
              of a value so large or larger. S says how improbable so much evidence for spam is by chance, H for ham:
                  S = 1 - tail(-2·Σ ln(1-f), 2N)      H = 1 - tail(-2·Σ ln f, 2N)
                  probability = (1 + S - H) / 2
              Much evidence on both sides gives 1/2: unsure.
WHY FISHER Naive Bayes proper adds the log odds ln(f/(1-f)) of all tokens as if words came independently. They do
           not: so it is nearly always sure, and as sure where it is wrong. `log_odds` is the same figure; Fisher's two
           sums differ by just twice the sum of it. The evidence of a score has it as `weight`.
LITERATURE Graham, "A Plan for Spam", 2002; Robinson, "A Statistical Approach to the Spam Problem", Linux
           Journal 107, 2003; Fisher, "Statistical Methods for Research Workers", 1925 (combining tests). The numbers
           are those of SpamBayes; bogofilter computes the same with s = 0.0178, x = 0.52, min_deviation = 0.375 and all
           tokens.
READ NEXT  score.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

SURE = 1e-12  # no token is surer than that, so that no logarithm fails


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers of the method. From `spam_from` on a message is spam, up to `ham_to` it is ham, else unsure."""

    strength: float = 0.45  # s
    unknown: float = 0.5  # x
    min_deviation: float = 0.1
    most_tokens: int = 150
    spam_from: float = 0.9
    ham_to: float = 0.2

    def __post_init__(self) -> None:
        if not (self.strength > 0 and 0 < self.unknown < 1 and 0 <= self.min_deviation < 0.5):
            raise ValueError(
                "strength is above 0, unknown between 0 and 1, min_deviation from 0 to below 0.5"
            )
        if self.most_tokens < 1 or not 0 <= self.ham_to < self.spam_from <= 1:
            raise ValueError("most_tokens is at least 1, and 0 <= ham_to < spam_from <= 1")


@dataclass(frozen=True, slots=True)
class Combined:
    """H, S and the probability made of them. `ham_sum` is -2·Σ ln f, `spam_sum` -2·Σ ln(1-f), over `tokens` tokens."""

    tokens: int
    ham_sum: float
    spam_sum: float
    hamminess: float
    spamminess: float

    @property
    def probability(self) -> float:
        return (1 + self.spamminess - self.hamminess) / 2


def token_probability(in_ham: int, in_spam: int, hams: int, spams: int, settings: Settings) -> float:
    """f(w). `hams` and `spams` are how many messages of each kind were learned."""
    count = in_ham + in_spam
    if count == 0:
        return settings.unknown
    ham_rate, spam_rate = in_ham / max(hams, 1), in_spam / max(spams, 1)
    probability = spam_rate / (spam_rate + ham_rate)
    believed = (settings.strength * settings.unknown + count * probability) / (settings.strength + count)
    return min(max(believed, SURE), 1 - SURE)


def log_odds(probability: float) -> float:
    """ln(f/(1-f)): above 0 for spam, below for ham; what naive Bayes would add up."""
    return log(probability / (1 - probability))


def combined(probabilities: Sequence[float]) -> Combined:
    """Fisher's method, on both sides. Without any token both are 0 and the probability is 1/2."""
    ham_sum = -2.0 * sum(map(log, probabilities))
    spam_sum = -2.0 * sum(log(1 - each) for each in probabilities)
    count = len(probabilities)
    return Combined(
        count,
        ham_sum,
        spam_sum,
        1 - chi_square_tail(ham_sum, 2 * count),
        1 - chi_square_tail(spam_sum, 2 * count),
    )


def chi_square_tail(value: float, degrees: int) -> float:
    """The chance that a chi-square variable with so many (an even number of) degrees of freedom is at least `value`.

    For m = value/2 it is the sum of e^-m · m^i / i! for i below degrees/2; logarithms keep e^-m from vanishing.
    """
    half = value / 2
    if half <= 0:
        return 1.0
    total, term = 0.0, -half
    for i in range(degrees // 2):
        total += exp(term)
        term += log(half / (i + 1))
    return min(total, 1.0)

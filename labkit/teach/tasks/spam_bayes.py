"""The third exercise of notebook 07: a Bayesian filter that was trained well, and its threshold.

WHAT       `check("bayes", Trained(bayes, threshold))` tries the filter on the letters that the corpus holds
           out.
DECIDES    from what the filter says of letters, and from what it knows: words that stand only in held-out
           letters. A lost letter costs as much as LOST missed spams; the threshold must be cheaper than no
           filter, by some way.
READ NEXT  spam_combination.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from labkit.filters.bayes import Bayes, Letter
from labkit.filters.measures import Confusion, confusion
from labkit.filters.tokens import tokens_of
from labkit.lab.corpus import Corpus, read_corpus
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

NAME = "bayes"
LOST = 20.0  # missed spams that are as bad as one lost letter
SAVED = 30  # so much less than without a filter it must cost
_NEARLY_ALL = 0.7  # of the training letters: who has learned fewer hears that first
_KNOWS = 0.2  # of the words that only held-out letters have


@dataclass(frozen=True, slots=True)
class Trained:
    """What the student hands in: a filter, the probability from which on it says spam, and on what it is tried."""

    filter: Bayes
    threshold: float | None = None
    corpus: Corpus | None = None


@exercise(NAME, "Your filter catches spam that it has never seen, and loses no letter for it")
def bayes(trained: Trained) -> Verdict:
    """Judge a filter and its threshold."""
    if not isinstance(trained, Trained) or not isinstance(trained.filter, Bayes):
        return todo('Hand in your filter and your threshold: check("bayes", Trained(bayes, threshold)).')
    filter_, corpus = trained.filter, trained.corpus or read_corpus()
    if not filter_.hams and not filter_.spams:
        return todo(
            "The filter has learned nothing yet: bayes.train(letter.content, letter.is_spam), letter by "
            "letter."
        )
    return _training(filter_, corpus) or _threshold(trained, corpus)


def _training(filter_: Bayes, corpus: Corpus) -> Verdict | None:
    learned = Seen(None, "the filter", f"learned {filter_.hams} ham and {filter_.spams} spam")
    if filter_.why_not:
        kind = "spam" if filter_.spams else "ham"
        return hint(
            f"The filter knows {kind} only, so every word looks like {kind}, and it says of itself that it "
            "cannot judge. "
            "Both classes are in corpus.training.",
            learned,
        )
    if _knows_what_is_held_out(filter_, corpus):
        return hint(
            "The filter has learned from letters by which it is judged: of course it knows them. A pupil "
            "who has seen the "
            "exam shows nothing. Begin again with an empty Bayes() and corpus.training alone.",
            learned,
        )
    ham, spam = (
        _mean(filter_, (each for each in corpus.training if each.is_spam is truth)) for truth in (False, True)
    )
    if spam < ham:
        return hint(
            f"Spam that it has learned gets {spam:.2f} on average, ham {ham:.2f}: the other way round. "
            "Which of them did "
            "you tell it was spam?",
            learned,
        )
    if min(filter_.hams, filter_.spams) < len(corpus.training) / 10:
        return hint(
            "It has learned very few letters of one class. Let it learn all of corpus.training.", learned
        )
    return None


def _threshold(trained: Trained, corpus: Corpus) -> Verdict:
    threshold = trained.threshold
    if threshold is None:
        return hint(
            "Well trained. Now the threshold: from which probability on do you call a letter spam?",
            Seen(None, "the filter", f"learned {trained.filter.hams} ham and {trained.filter.spams} spam"),
        )
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        return hint(
            f"A threshold of {threshold!r}: this filter gives probabilities, from 0 to 1. (Points are "
            "SpamAssassin's.)"
        )
    found = _tried(trained.filter, corpus, float(threshold))
    shown = Seen(None, "held out", _figures(found))
    without = found.spam_caught + found.spam_missed
    if found.ham_caught and found.cost(LOST) > without - SAVED:
        costs = (
            f"At this threshold {found.ham_caught:g} honest letters are lost, and each is as bad as {LOST:g} "
            f"spams: {found.cost(LOST):g} in all; without any filter it would be {without:g}. "
        )
        learned, there_are = trained.filter.hams + trained.filter.spams, len(corpus.training)
        if learned < _NEARLY_ALL * there_are:
            return hint(
                f"{costs}The filter has learned {learned} of the {there_are} letters of corpus.training. Letters "
                "kept back are for choosing the threshold; after that, let it learn them, too.",
                shown,
            )
        return hint(f"{costs}Which way must the threshold go?", shown)
    if found.cost(LOST) > without - SAVED:
        return hint(
            "No letter is lost, but hardly any spam is caught either: the same could be had without a "
            "filter. How far down "
            "can you go before the first letter is lost? Try it on letters that you keep back from training.",
            shown,
        )
    return done(
        f"It costs {found.cost(LOST):g} instead of {without:g}. Your own mail would have other figures.",
        [shown],
    )


def _figures(found: Confusion) -> str:
    return f"ham lost {found.false_positive_rate}; spam caught {found.recall}; cost {found.cost(LOST):g}"


def _tried(filter_: Bayes, corpus: Corpus, threshold: float) -> Confusion:
    judged = [(filter_.score(each.content).probability, each.is_spam) for each in corpus.held_out]
    return confusion(judged, threshold)


def _mean(filter_: Bayes, letters: Iterable[Letter]) -> float:
    found = [filter_.score(each.content).probability for each in letters]
    return sum(found) / max(len(found), 1)


@lru_cache(maxsize=4)
def _only_held_out(training: tuple[bytes, ...], held_out: tuple[bytes, ...]) -> frozenset[str]:
    known = {token for content in training for token in tokens_of(content)}
    return frozenset(token for content in held_out for token in tokens_of(content)) - known


def _knows_what_is_held_out(filter_: Bayes, corpus: Corpus) -> bool:
    strange = _only_held_out(
        tuple(each.content for each in corpus.training), tuple(each.content for each in corpus.held_out)
    )
    known = sum(1 for token in strange if token in filter_.in_ham or token in filter_.in_spam)
    return known > _KNOWS * len(strange)

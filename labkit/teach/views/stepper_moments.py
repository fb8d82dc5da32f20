"""Where the walk through a decision stops: before a question, before its answer, before the verdict.

WHAT       `moments_of(walk, about, predict)` gives the stops in order, each with what is true and what can be chosen.
READ NEXT  stepper_choices.py, stepper.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from labkit.mail.asking import Question
from labkit.teach.views.stepper_choices import (
    answer_choices,
    answer_truth,
    next_choices,
    next_truth,
    verdict_choices,
)
from labkit.teach.views.stepper_walk import Walk

QUESTIONS, ANSWERS, WORDS = "questions", "answers", "words"
MOST_SHOWN = 60  # questions


@dataclass(frozen=True, slots=True)
class About:
    """What a decision is about. `client`: the address that calls; `others`: questions that somebody might expect.

    `verdicts` are those that it can come to; none: what is known of decisions with such a verdict.
    """

    title: str = "A decision, one question at a time"
    facts: tuple[tuple[str, str], ...] = ()
    client: str = ""
    others: tuple[Question[Any], ...] = ()
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A place where the walk stops: before question number `turn`, before its answer, or before the verdict."""

    what: str  # next, answer, verdict
    turn: int
    truth: str
    choices: tuple[str, ...] = ()


@dataclass(slots=True)
class Said:
    """What was predicted. `is_right` None: nobody has judged it yet."""

    text: str
    is_right: bool | None


def moments_of(walk: Walk, about: About, predict: bool | str) -> Iterator[Moment]:
    """The stops. Without predictions there is one before each question; with answers alone, one before each of them."""
    turns = walk.turns[:MOST_SHOWN]
    for number in range(len(turns) + 1):
        if predict != ANSWERS:
            choices = next_choices(walk, number, about.others) if predict else []
            yield Moment("next", number, next_truth(walk, number), tuple(choices))
        if predict not in (True, ANSWERS, WORDS):
            continue
        if number < len(turns):
            choices = answer_choices(turns[number], about.client)
            truth = answer_truth(turns[number], about.client)
            if truth in choices:
                yield Moment("answer", number, truth, tuple(choices))
        elif choices := verdict_choices(walk, about.verdicts):
            yield Moment("verdict", number, walk.verdict, tuple(choices))

"""The fourth exercise of notebook 07: a combination of defences that keeps within limits on a day nobody has seen.

WHAT       `await try_combination(mine)` lets a stream with another seed loose on the student's solution;
           `combination` judges what came of it.
DECIDES    in the order of what matters: honest mail lost, honest mail late, then spam caught.
READ NEXT  spam_choice.py
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from labkit.eximconf.place import ConfigurationError
from labkit.lab.solutions import Solution, SolutionMistake, shipped, solution
from labkit.lab.traffic import measure
from labkit.lab.traffic_content import scored_by
from labkit.lab.traffic_outcomes import THROWN_AWAY, Measured, Outcome
from labkit.mail.scored import Scorer
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

NAME = "combination"
SEED = 7  # of a day that the notebook does not show
MOST_LATE = 40.0  # minutes that 95 % of honest mail may be late
LEAST_CAUGHT = 2 / 3  # of the spam
_ASKS = re.compile(r"(?m)^[^#\n]*\bspam\s*=")
_PUT_TOGETHER = 'Pieces are put together by +: solution("helo") + solution("dnsbl") + Solution("own", "...").'
_NO_SCORER = (
    "Your solution asks a scorer (spam =), and there is none on that other day, so it could judge no letter at all. "
    "Bring one along: await try_combination(mine, bayes_scorer(corpus.training))."
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of the student's solution, or why it could not be tried."""

    measured: Measured | None = None
    refusal: str = ""


async def try_combination(
    mine: Solution | str | None, scorer: Scorer | None = None, *, seed: int = SEED
) -> Tried:
    """Measure it on another day: a Solution, the name of a shipped one, or lines for check_rcpt.

    `scorer` answers its `spam =`, if it has one.
    """
    try:
        if isinstance(mine, str):
            mine = solution(mine.strip()) if mine.strip() in shipped() else Solution("mine", mine)
        if mine is None or (isinstance(mine, Solution) and not any(map(str.strip, mine.pieces().values()))):
            return Tried()
        if not isinstance(mine, Solution):
            return Tried(refusal=_PUT_TOGETHER)
        if scorer is None and _ASKS.search(mine.text):
            return Tried(refusal=_NO_SCORER)
        prepare = None if scorer is None else scored_by(scorer)
        return Tried(await measure(mine, seed=seed, prepare=prepare))
    except (ConfigurationError, SolutionMistake) as problem:
        return Tried(refusal=f"The host does not take the file. {problem}")


@exercise(NAME, "A combination that loses no letter, is not late, and catches two thirds of the spam")
def combination(tried: Tried) -> Verdict:
    """Judge what came of it."""
    if not isinstance(tried, Tried) or (tried.measured is None and not tried.refusal):
        return todo(
            'Put solutions together and let them be tried: check("combination", await try_combination(mine)).'
        )
    if tried.measured is None:
        return hint(tried.refusal)
    return _judged(tried.measured)


def _judged(found: Measured) -> Verdict:
    lost = [each for each in found.ham if each.is_caught]
    shown = Seen(None, "another day", repr(found).strip("<>"))
    if len(lost) == len(found.ham):
        return hint(
            "No honest letter arrives at all. The first piece that refuses everybody decides: look at the "
            "replies.",
            shown,
            *_seen(lost),
        )
    if lost:
        return hint(
            f"{len(lost)} of {len(found.ham)} honest letters are lost. From: {_kinds(lost)}. Which piece "
            "was it (the reply says "
            "so), and how do you let them in without letting in everybody who takes their name?",
            shown,
            *_seen(lost),
        )
    late = found.delay(0.95) or 0.0
    if late > MOST_LATE:
        slow = [each for each in found.ham if (each.minutes or 0) > MOST_LATE]
        return hint(
            f"Nothing is lost, but honest mail is late: 95 % come within {late:g} minutes, {MOST_LATE:g} "
            "are allowed. It "
            f"concerns: {_kinds(slow)}. Whom do you know well enough not to let wait?",
            shown,
        )
    missed = [each for each in found.spam if not each.is_caught]
    if found.caught < LEAST_CAUGHT * len(found.spam):
        return hint(
            f"Kind to honest mail, but only {found.caught} of {len(found.spam)} spams are caught. What gets "
            "in: "
            f"{_kinds(missed)}. Begin with those who are many.",
            shown,
        )
    return done(
        f"No letter lost, 95 % within {late:g} minutes, {found.caught} of {len(found.spam)} spams caught. "
        "What still gets "
        f"in: {_kinds(missed) or 'nothing'}. That day was made by the same cast: real spammers would change "
        "their ways.",
        [shown],
    )


def _kinds(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(each.kind for each in outcomes).most_common(4)
    return ", ".join(f"{kind} ({number})" for kind, number in counts)


def _seen(outcomes: Iterable[Outcome]) -> list[Seen]:
    """A letter of each kind, with what its sender heard."""
    first = {each.kind: each for each in reversed(list(outcomes))}
    return [Seen(None, kind, _heard(each)) for kind, each in sorted(first.items())][:4]


def _heard(each: Outcome) -> str:
    return f"{each.reply} ({each.fate})" if each.fate == THROWN_AWAY else each.reply or each.fate

"""The last question of notebook 07: which of the measured solutions would you run, and why?

WHAT       `check("which one", Choice(measured, run="…", …))`: a name, the four figures that speak for it or
           against it, and who still gets in.
DECIDES    by the student's own measurements. Any choice will do for which no other one is better in
           everything, and that does not lose mail for nothing. A lead that may be chance (McNemar's test) is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.filters.measures import mcnemar
from labkit.lab.traffic_outcomes import Measured
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

NAME = "which one"
MOST_LOST = 0.03  # of honest mail
_CLOSE = 0.6  # minutes: figures may be rounded
_HOURS, _CLOSE_HOURS = 120.0, 3.1  # from so many on the table says hours, and rounds to a tenth of one
_BY_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Choice:
    """What the student says of the solution called `run`. `late`: minutes within which 95 % of honest mail came."""

    measured: Sequence[Measured]
    run: str = ""
    ham_lost: int | None = None
    late: float | None = None
    spam_caught: int | None = None
    gets_in: str = ""


@exercise(NAME, "You know which combination you would run, and why")
def which_one(choice: Choice) -> Verdict:
    """Judge a choice by what was measured."""
    if not isinstance(choice, Choice) or not choice.run:
        return todo(
            "Write the name of the solution that you would run, as it stands in the table, and its figures."
        )
    found = choice.measured
    if (
        not isinstance(found, (list, tuple))
        or not found
        or not all(isinstance(each, Measured) for each in found)
    ):
        return hint("Hand in all that you have measured, as a list: Choice(measured, run=..., ...).")
    names = [each.solution for each in choice.measured]
    if choice.run not in names:
        return hint(f"{choice.run!r} was not measured. There are: {', '.join(names)}")
    chosen = choice.measured[names.index(choice.run)]
    return _figures(choice, chosen) or _weighed(choice, chosen) or _who(choice, chosen)


def _figures(choice: Choice, chosen: Measured) -> Verdict | None:
    shown = _shown(chosen)
    if choice.ham_lost is None or choice.late is None or choice.spam_caught is None:
        return hint(
            "Say it in figures, all three: ham_lost, late, spam_caught. They stand in the table.", shown
        )
    figures = choice.ham_lost, choice.late, choice.spam_caught
    if not all(isinstance(each, (int, float)) for each in figures):
        return hint(
            "Figures are written without quotation marks: ham_lost=3, late=1.5, spam_caught=40.", shown
        )
    if choice.ham_lost != chosen.wrongly_caught:
        return hint(f"{choice.ham_lost} is not how many honest letters {choice.run} has lost.", shown)
    late = chosen.delay(0.95) or 0.0
    in_hours = late >= _HOURS
    if not abs(choice.late - late) <= (_CLOSE_HOURS if in_hours else _CLOSE):  # nor a figure that is none
        hours = " The table says this one in hours." if in_hours else ""
        return hint(
            f"{choice.late:g} minutes is not how late 95 % of honest mail were with {choice.run}.{hours}",
            shown,
        )
    if choice.spam_caught != chosen.caught:
        return hint(f"{choice.spam_caught} is not how many spams {choice.run} has caught.", shown)
    return None


def _weighed(choice: Choice, chosen: Measured) -> Verdict | None:
    if not chosen.caught:
        return hint("It loses nothing, and it does nothing. For that you need no solution.", _shown(chosen))
    kind = [
        each for each in choice.measured if each.wrongly_caught <= MOST_LOST * len(each.ham) and each.caught
    ]
    if chosen.wrongly_caught > MOST_LOST * len(chosen.ham) and kind:
        return hint(
            f"Of {len(chosen.ham)} honest letters {chosen.wrongly_caught} are lost. Nobody thanks you for "
            "the spam that did not "
            "come; everybody asks for the letter that did not. Is there none that is kinder?",
            _shown(chosen),
        )
    for each in choice.measured:
        if _is_better(each, chosen):
            return hint(
                f"{each.solution} loses no more, is no later and catches no less than yours, and one of the "
                "three is better. "
                "What speaks for yours?",
                _shown(chosen),
                _shown(each),
            )
    return None


def _who(choice: Choice, chosen: Measured) -> Verdict:
    through = sorted({each.kind for each in chosen.spam if not each.is_caught})
    if not through:
        return done("It has caught everything, on this day.", [_shown(chosen)])
    if not choice.gets_in:
        return hint(
            "And who still gets in? print(...) of a measurement has a line for each kind of sender.",
            _shown(chosen),
        )
    said = str(choice.gets_in).strip().removeprefix("spam ").lstrip()
    if said in {each.kind for each in chosen.ham}:
        return hint(f"{said!r} is honest, and shall get in. Which kind of spammer does, too?", _shown(chosen))
    if said not in through:
        return hint(
            f"{said[:60]!r} does not get in with {choice.run}. Look at its column 'inbox'.",
            _shown(chosen),
        )
    return done(
        "A choice that your figures bear out. On other days, and with real mail, the figures are others; "
        "the order of the "
        "questions stays: what is lost, what is late, then what is caught.",
        [_shown(chosen)],
    )


def _is_better(one: Measured, other: Measured) -> bool:
    """No worse in anything, and better in something, by more than chance may give."""
    a, b = _vector(one), _vector(other)
    if not all(x <= y for x, y in zip(a, b)):
        return False
    if b[1] - a[1] > _CLOSE or len(one.outcomes) != len(other.outcomes):
        return a != b
    return mcnemar(_right(one), _right(other)).p < _BY_CHANCE


def _right(found: Measured) -> list[bool]:
    return [each.is_caught == each.is_spam for each in found.outcomes]


def _vector(found: Measured) -> tuple[float, float, float]:
    return found.wrongly_caught, round(found.delay(0.95) or 0.0, 1), -found.caught


def _shown(found: Measured) -> Seen:
    return Seen(None, found.solution, repr(found).strip("<>").partition(": ")[2])

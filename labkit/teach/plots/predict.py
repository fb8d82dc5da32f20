"""First say what you expect, then look: a list of times beside those of the rule.

WHAT       `predict_schedule("* * F,1h,15m; F,4h,1h", ["0s", "15m", "30m", …], every="15m")`: yours and the real ones
           in one picture, and the difference in words: which are right, which come earlier or later, what is missing,
           what is too much. `predict_life(world, queue_id, […])` compares with what really was tried.
RULES      a guess counts as right within `within` (a minute); each real try is met by one guess at most.
READ NEXT  retry_schedule.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.message import Message
from labkit.queue.plan import plan_of
from labkit.teach.given import expect
from labkit.teach.markup import visible
from labkit.teach.plots.loop_graph import name_of
from labkit.teach.plots.picture import BLUE, GREEN, GREY, PURPLE, RED, Picture, label
from labkit.teach.plots.retry_schedule import RUN_EVERY, span_of
from labkit.teach.plots.time_axis import span, span_axis
from labkit.teach.plots.typed_rule import typed_rule
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_GUESSES = 300
MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class Pair:
    """A guess and the real instant it was meant for; None where there is no partner."""

    guess: timedelta | None
    real: timedelta | None

    def in_words(self, within: timedelta) -> str:
        if self.guess is None:
            return "you did not expect this one"
        if self.real is None:
            return "nothing happens here"
        if abs(self.guess - self.real) <= within:
            return "right"
        gap = span(self.guess - self.real)
        return f"it comes {gap} later" if self.guess < self.real else f"it comes {gap} earlier"


def paired(guesses: Sequence[timedelta], real: Sequence[timedelta], within: timedelta) -> list[Pair]:
    """Guesses and real instants in pairs: first those that agree, then, between them, in order."""
    mine, theirs = sorted(guesses), sorted(real)
    pairs: list[Pair] = []
    open_mine: list[timedelta] = []
    left = list(theirs)
    for guess in mine:
        nearest = min(left, key=lambda at: abs(at - guess), default=None)
        if nearest is not None and abs(nearest - guess) <= within:
            left.remove(nearest)
            pairs.append(Pair(guess, nearest))
        else:
            open_mine.append(guess)
    borders = [pair.real for pair in pairs if pair.real is not None]
    for guess in open_mine:  # a wrong guess is meant for an open one between the same right ones
        after = max((at for at in borders if at <= guess), default=timedelta.min)
        before = min((at for at in borders if at > guess), default=timedelta.max)
        nearest = min(
            (at for at in left if after < at < before), key=lambda at: abs(at - guess), default=None
        )
        if nearest is not None:
            left.remove(nearest)
        pairs.append(Pair(guess, nearest))
    pairs += [Pair(None, at) for at in left]
    return sorted(pairs, key=lambda pair: (_place(pair), pair.guess or timedelta()))


def _place(pair: Pair) -> timedelta:
    found = pair.real if pair.real is not None else pair.guess
    assert found is not None
    return found


class Prediction(Picture):
    """What somebody expected beside what is so."""

    def __init__(
        self, about: str, times: Sequence[timedelta], guesses: Sequence[timedelta], within: timedelta
    ) -> None:
        self.about = about
        self.times = tuple(times)
        self.guesses = tuple(sorted(guesses))
        self.within = within
        self.pairs = paired(self.guesses, self.times, within)
        self.right = sum(pair.in_words(within) == "right" for pair in self.pairs)
        super().__init__("What you expect, and what happens", self._drawing, self._words(), (9.5, 2.0))

    def _words(self) -> str:
        rows = [
            (
                "-" if pair.guess is None else span(pair.guess),
                "-" if pair.real is None else span(pair.real),
                pair.in_words(self.within),
            )
            for pair in self.pairs[:MOST_ROWS]
        ]
        total = len(self.times)
        missed = sum(pair.guess is None for pair in self.pairs)
        extra = sum(pair.real is None for pair in self.pairs)
        moved = len(self.pairs) - self.right - missed - extra
        lines = [
            text_table(("you expect", "it happens", "difference"), rows, visible(self.about)),
        ]
        if len(self.pairs) > MOST_ROWS:
            lines.append(f"and {len(self.pairs) - MOST_ROWS} more rows")
        lines.append(
            f"{self.right} of {total} tries as you expect; {moved} at another time, {missed} not expected, "
            f"{extra} that do not happen"
        )
        if self.right == total and not extra:
            lines.append("All of it is right.")
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.13, 0.28, 0.85, 0.58))
        for level, times, colour, mark in (
            (1, self.guesses, PURPLE, "D"),
            (0, self.times, BLUE, "o"),
        ):
            axes.plot(
                [at.total_seconds() for at in times], [level] * len(times), mark, color=colour, markersize=4
            )
        for pair in self.pairs:
            if pair.guess is not None and pair.real is not None:
                colour = GREEN if abs(pair.guess - pair.real) <= self.within else RED
                ends = [pair.guess.total_seconds(), pair.real.total_seconds()]
                axes.plot(ends, [1, 0], color=colour, linewidth=0.8)
        axes.set_yticks([1, 0], ["you expect", "it happens"])
        axes.set_ylim(-0.6, 1.6)
        axes.tick_params(colors=GREY)
        axes.set_title(label(self.about, 90))
        span_axis(axes, max((*self.guesses, *self.times, timedelta(minutes=1))))


def predict_schedule(
    rule: str,
    expected: str | Sequence[str | timedelta],
    *,
    every: str | timedelta = RUN_EVERY,
    within: str | timedelta = "1m",
) -> Prediction:
    """Compare the instants you expect (spans since the message came, the first is 0s) with those of the rule.

    Raises WrongRule, ValueError.
    """
    plan = plan_of(typed_rule(rule), span_of(every))
    return Prediction(plan.rule.text, plan.times, _guesses(expected), span_of(within))


def predict_life(
    world: World,
    message: str | Message,
    expected: str | Sequence[str | timedelta],
    *,
    within: str | timedelta = "1m",
) -> Prediction:
    """Compare the instants you expect a message to be tried at (spans since it came) with what its host did.

    The host that gave it this queue id; of a Message-ID or a message, the first that had it.

    Raises LookupError for a message that never came, ValueError.
    """
    name = name_of(message)
    stays = life_of(world.journal, name).stays
    stay = next((each for each in stays if each.queue_id == name), stays[0])
    times = sorted({event.at - stay.began for event in stay.tries})
    return Prediction(f"message {name} at {stay.host}", times, _guesses(expected), span_of(within))


def _guesses(expected: str | Sequence[str | timedelta]) -> list[timedelta]:
    if isinstance(expected, str):
        expected = expected.replace(",", " ").split()
    expect(expected, Sequence, '"0m 15m 30m"')
    if len(expected) > MOST_GUESSES:
        raise ValueError(f"{len(expected):,} instants: {MOST_GUESSES} are enough")
    return [span_of(each) for each in expected]

"""The schedule of any retry rule: every try until the message is given up, on two clocks.

WHAT       `retry_schedule("* * F,2h,15m; G,16h,1h,1.5; F,4d,6h", every="15m")`: for each rule the tries of the rule
           alone and those of a host that runs its queue so often, and what RFC 5321 says to it. Several rules stand
           side by side.
WHY        waiting is two clocks: when the retry time is reached nothing happens yet; the next queue run finds it.
STANDARDS  RFC 5321 §4.5.4.1; Exim specification, chapter "Retry configuration"
READ NEXT  predict.py, labkit/queue/plan.py
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from labkit.eximconf.options import read_time
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.dates import in_words
from labkit.queue.plan import AT_ONCE, MOST_TRIES, Plan, in_words_of_the_standard, plan_of
from labkit.teach.markup import visible
from labkit.teach.plots.picture import BLUE, GREEN, GREY, ORANGE, RED, Picture, label
from labkit.teach.plots.time_axis import span, span_axis
from labkit.teach.plots.typed_rule import typed_rule
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_RULES = 6
MOST_ROWS = 60
RUN_EVERY = timedelta(minutes=15)
_HEAD = ("try", "retry time", "waits for the run", "tried at", "step")


class RetrySchedule(Picture):
    """The picture; `plans` are those with queue runs, `alone` the same rules by themselves."""

    def __init__(self, texts: Sequence[str], every: timedelta) -> None:
        rules = [typed_rule(text) for text in texts]
        self.every = every
        self.plans = tuple(plan_of(rule, every) for rule in rules)
        self.alone = tuple(plan_of(rule, AT_ONCE) for rule in rules)
        twin = "\n\n".join(_twin(plan, alone) for plan, alone in zip(self.plans, self.alone))
        height = 1.2 + 0.85 * len(rules)
        super().__init__(
            f"When a message is tried that no host takes; queue runs every {span(every)}",
            self._drawing,
            twin,
            (9.5, height),
        )

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.03, 0.5 / self.size[1], 0.95, 1 - 1.0 / self.size[1]))
        longest = max(plan.tries[-1].at for plan in (*self.plans, *self.alone))
        for row, (plan, alone) in enumerate(zip(self.plans, self.alone)):
            top = -row * 3.0
            for level, one, colour, mark, name in (
                (top, alone, ORANGE, "|", "rule alone"),
                (top - 1, plan, BLUE, "o", "with queue runs"),
            ):
                times = [at.total_seconds() for at in one.times]
                axes.plot([0, longest.total_seconds()], [level, level], color="#e0e0e0", linewidth=1)
                axes.plot(times, [level] * len(times), mark, color=colour, markersize=8 if mark == "|" else 4)
                if one.given_up is not None:
                    axes.plot([times[-1]], [level], "x", color=RED, markersize=8, markeredgewidth=2)
                axes.text(0, level + 0.18, f"{name}: {len(times)} tries", fontsize=7, color="#404040")
            axes.text(0, top + 0.85, label(plan.rule.text, 90), fontsize=9, fontweight="bold")
        for days, colour in ((4, GREEN), (5, GREEN)):
            if longest >= timedelta(days=days):
                axes.axvline(days * 86400, color=colour, linestyle=":", linewidth=1)
        axes.set_ylim(-3.0 * len(self.plans) + 1.5, 1.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(colors=GREY)
        span_axis(axes, longest)
        axes.set_xlabel("since the message came (x: given up; dotted: 4 and 5 days, RFC 5321)", fontsize=8)


def retry_schedule(*rules: str, every: str | timedelta = RUN_EVERY) -> RetrySchedule:
    """The schedule of one rule or several. `every`: how often the queue is run, as Exim writes it (15m).

    Raises WrongRule, ValueError.
    """
    if not 1 <= len(rules) <= MOST_RULES:
        raise ValueError(f"name from 1 to {MOST_RULES} retry rules, each a text of its own")
    return RetrySchedule(rules, span_of(every))


def span_of(text: str | timedelta) -> timedelta:
    """A span as Exim writes it: 15m, 2h30m, 4d. Raises ValueError with the remedy."""
    if isinstance(text, timedelta):
        found = text
    elif isinstance(text, str):
        try:
            found = read_time(text.replace(" ", ""), Place("your span", 1))
        except ConfigurationError:
            raise ValueError(f'"{visible(text[:40])}" is no span: write it like 15m, 2h30m, 4d') from None
    else:
        raise TypeError(f"a span is a text like 15m or a timedelta, not a {type(text).__name__}")
    if not timedelta(seconds=0) <= found <= timedelta(days=366):
        raise ValueError(f"{found}: a span from 0s to one year")
    return found


def _twin(plan: Plan, alone: Plan) -> str:
    rows = []
    for each in plan.tries[:MOST_ROWS]:
        if each.step is None:
            step = "given up: the sender gets a report"
        else:
            step = f"then {each.step.letter}: {_step(plan, each.number)}"
        late = f"{span(each.late)}" if each.late >= timedelta() else "not at all: too old"
        rows.append((str(each.number), span(each.due), late, span(each.at), step))
    more = len(plan.tries) - MOST_ROWS
    caption = f"{visible(plan.rule.text)}   with queue runs every {span(plan.every)}"
    lines = [text_table(_HEAD, rows, caption)]
    if more > 0:
        lines.append(f"and {more} more tries, the last at {span(plan.tries[-1].at)}")
    lines.append(_ending("with queue runs", plan))
    lines.append(_ending("the rule alone", alone))
    lines += [f"- {sentence}" for sentence in in_words_of_the_standard(alone)]
    if any(step.letter == "H" for step in plan.rule.steps):
        lines.append("- H waits by chance; here each wait is the middle of what it can be")
    return "\n".join(lines)


def _step(plan: Plan, number: int) -> str:
    """How long the rule waits after that try."""
    following = plan.tries[number]
    return f"{span(following.due - plan.tries[number - 1].at)} more"


def _ending(name: str, plan: Plan) -> str:
    if plan.given_up is None:
        return f"{name}: more than {MOST_TRIES} tries, not shown"
    return f"{name}: {len(plan.tries)} tries, given up after {in_words(plan.given_up)}"

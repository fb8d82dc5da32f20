"""The same retry rule with a million messages behind an outage: how many wait, how old, and what it costs.

WHAT       `scale(rule, messages=1_000_000, per_hour=…, down=("2h", "5d"), every="15m")`: the length of the queue, the
           age of those who wait, and the work per hour, by the model of lab/whatif.py; with `hints="address"` for a
           host that puts off each recipient. `await beside_real_mail(…)` plays the same with some dozens of real
           messages too, and draws both curves in one plot.
RULES      what the model leaves out stands below the picture.
READ NEXT  labkit/lab/whatif.py
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from labkit.lab.whatif import ADDRESS, HOST, Outage, Played, play, steadily
from labkit.lab.whatif_measured import measured
from labkit.teach.markup import visible
from labkit.teach.plots.picture import BLUE, GREEN, ORANGE, RED, Picture, label
from labkit.teach.plots.retry_schedule import span_of
from labkit.teach.plots.time_axis import span, span_axis
from labkit.teach.plots.typed_rule import typed_rule
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 14
POINTS = 400
USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
_LEFT_OUT = (
    "Left out: that a delivery takes time and how many run side by side (here all leave at one instant), disks and"
    " their limits, other hosts and rules, delay warnings, and the reports themselves."
)
_SHARED = (
    "All messages for one host share its hint (as in Exim): one call fails, and the whole queue waits for the next."
    " When the hint's time is over, the whole queue is given up in one queue run, young messages too."
)
_OWN = "The host answers and puts off every recipient: each message has a hint and a schedule of its own."


class Scale(Picture):
    """The picture; `played` is the model's, `real` what the mail itself did, if it was asked."""

    def __init__(self, outage: Outage, played: Played, real: Played | None = None) -> None:
        self.outage = outage
        self.played = played
        self.real = real
        count = len(played.arrivals)
        title = f"{count:,} messages behind an outage of {_span(outage.down_until - outage.down_from)}"
        super().__init__(title, self._drawing, self._words(), (9.5, 6.2))

    @property
    def differences(self) -> int:
        """How many messages left at another instant, or otherwise, than the model says. Raises ValueError without."""
        if self.real is None:
            raise ValueError("nothing was measured: use beside_real_mail")
        if len(self.real.arrivals) != len(self.played.arrivals):
            return abs(len(self.real.arrivals) - len(self.played.arrivals))
        return int(((self.real.left != self.played.left) | (self.real.fate != self.played.fate)).sum())

    def _words(self) -> str:
        outage, played = self.outage, self.played
        down = f"down from {_span(outage.down_from)} until {_span(outage.down_until)}"
        caption = f"{visible(outage.rule.text)}   queue runs every {_span(outage.every)}; {down}"
        instants = _table_instants(outage)
        length, ages = played.length(instants), played.ages(instants)
        head = ["since the beginning", "wait", "median age", "oldest"]
        rows = [
            [_span(at), f"{n:,}", _span(int(a[0])), _span(int(a[1]))]
            for at, n, a in zip(instants, length, ages)
        ]
        if self.real is not None:
            head.append("really")
            for row, n in zip(rows, self.real.length(instants)):
                row.append(f"{n:,}")
        calls, looks = played.calls_per_hour(), played.looks_per_hour()
        most = played.length(_all_changes(played))
        lines = [
            text_table(head, rows, caption),
            f"At most {max(most, default=0):,} wait at once. {played.delivered:,} are delivered, "
            f"{played.given_up:,} given up, {played.waiting:,} still wait at {_span(outage.until)}.",
            f"Tries that failed: {int(played.together.sum()):,}, at most {max(calls, default=0):,} in one hour.",
            f"Messages that queue runs open: {int(looks.sum()):,}, at most {max(looks, default=0):,} in one hour.",
            _SHARED if outage.hints == HOST else _OWN,
        ]
        if self.real is not None:
            lines.append(self._comparison())
        return "\n".join([*lines, _LEFT_OUT])

    def _comparison(self) -> str:
        assert self.real is not None
        failed = f"{int(self.real.together.sum()):,} tries that failed"
        if self.differences == 0:
            return f"The mail itself ({failed}): every message left at the very second that the model says."
        return f"The mail itself ({failed}): {self.differences} messages left otherwise than the model says."

    def _drawing(self, figure: Figure) -> None:
        import numpy as np

        outage, played = self.outage, self.played
        grid = np.unique(
            np.concatenate([np.linspace(0, outage.until, POINTS).astype(np.int64), _turns(outage)])
        )
        length, ages = played.length(grid), played.ages(grid)
        panels = [figure.add_axes((0.1, 0.73 - 0.3 * row, 0.72, 0.22)) for row in range(3)]
        panels[0].plot(grid, length, color=BLUE, label="the model", drawstyle="steps-post")
        if self.real is not None:
            panels[0].plot(
                grid,
                self.real.length(grid),
                color=ORANGE,
                linestyle="--",
                label="the mail itself",
                drawstyle="steps-post",
            )
        panels[0].set_ylabel("messages")
        panels[1].plot(grid, ages[:, 1] / 3600, color=RED, label="the oldest")
        panels[1].plot(grid, ages[:, 0] / 3600, color=GREEN, label="median")
        panels[1].set_ylabel("age in hours")
        hours = np.arange(len(played.calls_per_hour())) * 3600
        panels[2].step(
            hours, played.looks_per_hour(), where="post", color=ORANGE, label="opened by\nqueue runs"
        )
        panels[2].step(hours, played.calls_per_hour(), where="post", color=BLUE, label="tries that\nfailed")
        panels[2].set_yscale("symlog", linthresh=1)
        _powers(panels[2], int(max(played.looks_per_hour().max(), played.calls_per_hour().max(), 1)))
        panels[0].yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panels[2].set_ylabel("per hour")
        for axes in panels:
            _finish(axes, outage)
        panels[2].set_xlabel(
            f"since the beginning (grey: the outage); {label(outage.rule.text, 70)}", fontsize=8
        )


def scale(
    rule: str = USUAL,
    *,
    messages: int = 1_000_000,
    per_hour: float | None = None,
    down: tuple[str | timedelta, str | timedelta] = ("2h", "5d"),
    until: str | timedelta | None = None,
    every: str | timedelta = "15m",
    hints: str = HOST,
) -> Scale:
    """`messages` that come steadily, `per_hour` of them (None: so that the last comes when the outage ends), for a host
    that is down from the first to the second instant of `down`; until twice as long after (or `until`).

    Raises WrongRule, ValueError.
    """
    outage = outage_of(rule, messages, per_hour, down, until, every, hints)
    return Scale(outage, play(outage))


async def beside_real_mail(
    rule: str = USUAL,
    *,
    messages: int = 60,
    per_hour: float | None = None,
    down: tuple[str | timedelta, str | timedelta] = ("2h", "9h"),
    until: str | timedelta | None = None,
    every: str | timedelta = "15m",
    hints: str = HOST,
) -> Scale:
    """The same with few messages, by the model and by two hosts of a lab of its own: both curves in one plot."""
    outage = outage_of(rule, messages, per_hour, down, until, every, hints)
    return Scale(outage, play(outage), await measured(outage))


def outage_of(
    rule: str,
    messages: int,
    per_hour: float | None,
    down: tuple[str | timedelta, str | timedelta],
    until: str | timedelta | None,
    every: str | timedelta,
    hints: str = HOST,
) -> Outage:
    """What somebody asks for, as the model takes it. Mail and outage begin at odd seconds, beside the queue runs."""
    if hints not in (HOST, ADDRESS):
        raise ValueError(f'hints "{hints}": it is "{HOST}" or "{ADDRESS}"')
    if len(down) != 2:
        raise ValueError('down: two spans since the beginning, such as ("2h", "5d")')
    down_from, down_until = (int(span_of(each).total_seconds()) + 1 for each in down)
    if down_until <= down_from:
        raise ValueError("the outage ends before it begins")
    end = (
        int(span_of(until).total_seconds())
        if until is not None
        else down_until + max(down_until - down_from, 86400)
    )
    rate = per_hour if per_hour is not None else max(messages, 1) * 3600 / down_until
    arrivals = steadily(messages, rate, start=7)
    return Outage(
        typed_rule(rule), arrivals, down_from, down_until, end, int(span_of(every).total_seconds()), hints
    )


def _finish(axes: Axes, outage: Outage) -> None:
    axes.axvspan(outage.down_from, min(outage.down_until, outage.until), color="#e8e8e8", zorder=0)
    axes.set_ylim(bottom=0)
    span_axis(axes, timedelta(seconds=outage.until))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), frameon=False, fontsize=7)


def _powers(axes: Axes, most: int) -> None:
    """0, 1, 10, 100, … up to `most`, with a few of them named."""
    ticks = [0, *(10**power for power in range(len(str(most))))]
    axes.set_yticks(
        ticks, [f"{tick:,}" if number % 2 or not tick else "" for number, tick in enumerate(ticks)]
    )
    axes.minorticks_off()


def _span(seconds: int) -> str:
    return span(timedelta(seconds=int(seconds)))


def _turns(outage: Outage) -> Sequence[int]:
    return [each for each in (outage.down_from, outage.down_until) if each <= outage.until]


def _table_instants(outage: Outage) -> list[int]:
    """Round instants, with the beginning and the end of the outage."""
    step = max(1, outage.until // ROWS)
    size = next(
        (each for each in (60, 300, 900, 1800, 3600, 7200, 21600, 43200, 86400) if each >= step), step
    )
    return sorted({*range(0, outage.until + 1, size), *_turns(outage)})


def _all_changes(played: Played) -> Any:
    """Every instant at which somebody comes: the queue is longest at one of these."""
    import numpy as np

    return np.unique(played.arrivals)

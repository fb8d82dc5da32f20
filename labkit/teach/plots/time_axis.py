"""The axis of lab time, and spans in short words.

RULES      lab time is UTC and is written as in the log: Mon 07 Sep 09:00.
READ NEXT  picture.py
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from labkit.mail.dates import header_date

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOUR = 3600.0
DAY = 24 * HOUR
_STEPS = [
    60,
    300,
    900,
    1800,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    30 * DAY,
]
_MOST_TICKS = 9


def short(instant: datetime) -> str:
    """Mon 07 Sep 09:00:00, without the seconds if there are none."""
    written = header_date(instant)  # Mon, 07 Sep 2026 09:00:00 +0000
    time = f"{instant:%H:%M:%S}" if instant.second else f"{instant:%H:%M}"
    return f"{written[:3]} {written[5:11]} {time}"


def span(length: timedelta) -> str:
    """A span as Exim writes it: 2d3h, 15m, 0s."""
    seconds = int(abs(length.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def lab_time_axis(axes: Axes, begin: datetime, end: datetime) -> None:
    """Ticks at round instants; positions are seconds after `begin`."""
    length = max((end - begin).total_seconds(), 60.0)
    step = _step(length)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    behind = (begin - midnight).total_seconds()
    first = -(-behind // step) * step - behind
    ticks = [first + number * step for number in range(_MOST_TICKS + 2) if first + number * step <= length]
    names = []
    for number, tick in enumerate(ticks):
        at = begin + timedelta(seconds=tick)
        is_new = (at - timedelta(seconds=step)).date() != at.date()
        if number == 0:  # two dates side by side would run into each other
            is_new = is_new or (at + timedelta(seconds=step)).date() == at.date()
        names.append(
            f"{at:%H:%M}\n{header_date(at)[:3]} {header_date(at)[5:11]}" if is_new else f"{at:%H:%M}"
        )
    axes.set_xticks(ticks, names)
    axes.set_xlim(-length * 0.01, length * 1.02)
    axes.set_xlabel("lab time")


def span_axis(axes: Axes, length: timedelta) -> None:
    """Ticks at round spans since the beginning."""
    seconds = max(length.total_seconds(), 60.0)
    step = _step(seconds)
    ticks = [number * step for number in range(int(seconds // step) + 1)]
    axes.set_xticks(ticks, [span(timedelta(seconds=tick)) if tick else "0" for tick in ticks])
    axes.set_xlim(-seconds * 0.01, seconds * 1.02)


def _step(length: float) -> float:
    return next((step for step in _STEPS if length / step <= _MOST_TICKS), length / _MOST_TICKS)

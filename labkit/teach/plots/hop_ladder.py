"""The way of one message as a ladder: a rung for each hop, the oldest at the bottom, time to the right.

WHAT       `hop_ladder(message)` (octets, or what `dissect` made of them). Wrong clocks are marked, and not drawn as
           delays; hops beyond the trust boundary, which a stranger could have invented, are hollow.
RULES      hops, delays and clocks are found by labkit/headers; nothing is computed here.
STANDARDS  RFC 5321 §4.4 (each server puts its Received field on top)
READ NEXT  many_headers.py, labkit/headers/hops.py
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from labkit.headers import Dissection, Hop, dissect
from labkit.headers.dates import read_date
from labkit.headers.hops import IMPLAUSIBLE
from labkit.headers.hops import span as short_span
from labkit.mail.dates import log_date
from labkit.teach.given import expect
from labkit.teach.plots.picture import BLUE, GREY, ORANGE, RED, Picture, label
from labkit.teach.plots.time_axis import span_axis
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUNGS = 60


class HopLadder(Picture):
    """The picture; `hops` are its rungs, the oldest first."""

    def __init__(self, dissection: Dissection) -> None:
        self.dissection = dissection
        self.hops = dissection.hops[-MOST_RUNGS:]
        self.written = _written(dissection, self.hops)
        subject = dissection.first("Message-ID")
        name = label(subject.value if subject else "(no Message-ID)")
        size = (9.5, 1.5 + 0.42 * max(len(self.hops), 2))
        super().__init__(f"Hops and delays of {name}", self._drawing, self._words(), size)

    def _words(self) -> str:
        if not self.hops:
            return "No Received field: nobody says how it came."
        rows = [self._row(hop) for hop in self.hops]
        if self.written is not None:
            rows.insert(0, ("0", log_date(self.written), "", "(Date: written)", "", ""))
        lines = [text_table(("hop", "time (UTC)", "after", "by", "from", "remark"), rows)]
        left_out = len(self.dissection.hops) - len(self.hops)
        if left_out:
            lines.append(f"{left_out} older hops are left out")
        known = [hop.delay for hop in self.dissection.hops if hop.delay is not None]
        wrong = sum(hop.skew is not None for hop in self.dissection.hops)
        total = short_span(sum(known)) if known else "not known"
        lines.append(
            f"{len(self.dissection.hops)} hops; on the way: {total}; hops with a wrong clock: {wrong}"
        )
        return "\n".join(lines)

    def _row(self, hop: Hop) -> tuple[str, ...]:
        after = "" if hop.delay is None else short_span(hop.delay)
        doubt = "could be forged" if self._is_doubtful(hop) else ""
        remark = "; ".join(part for part in (hop.words, doubt) if part)
        at = "?" if hop.at is None else log_date(hop.at)
        by, client = label(hop.received.by, 28), label(hop.received.client or hop.received.login, 28)
        return (str(hop.number), at, after, by, client, remark)

    def _is_doubtful(self, hop: Hop) -> bool:
        return self.dissection.trust.could_be_forged(hop.field)

    def _drawing(self, figure: Figure) -> None:
        axes = figure.add_axes((0.27, 0.2, 0.70, 0.74))
        if not self.hops:
            axes.text(0.5, 0.5, "no Received field", ha="center", va="center", transform=axes.transAxes)
            axes.set_axis_off()
            return
        places = self._places()
        self._draw_way(axes, places)
        for rung, (hop, place) in enumerate(zip(self.hops, places)):
            shape, colour = ("o", BLUE) if hop.skew is None and hop.at is not None else ("X", RED)
            face = "white" if self._is_doubtful(hop) else colour
            axes.plot([place], [rung], shape, color=colour, markerfacecolor=face, markersize=8)
            side = "right" if place > 0.6 * max(places) > 0 else "left"
            note_colour = GREY if shape == "o" else RED
            axes.text(place, rung + 0.22, self._note(hop), fontsize=7, color=note_colour, ha=side)
        axes.set_yticks(range(len(self.hops)), [self._name(hop) for hop in self.hops], fontsize=8)
        axes.set_ylim(-0.6, len(self.hops) - 0.3)
        span_axis(axes, timedelta(seconds=max(places)))
        since = "since it was written" if self.written else "since the first hop"
        axes.set_xlabel(f"{since} (hollow: could be forged; X: no time that can be believed)", fontsize=8)

    def _name(self, hop: Hop) -> str:
        return f"{hop.number}  {label(hop.received.by or '?', 26)}"

    def _note(self, hop: Hop) -> str:
        if hop.words:
            return label(hop.words)
        return "" if hop.delay is None else f"+{short_span(hop.delay)}"

    def _places(self) -> list[float]:
        """Seconds from the beginning. A hop whose clock is wrong stands where the one below it does."""
        begin, places, last = self._begin(), [], 0.0
        jump = 0.0  # what a gap that cannot be true would add
        for hop in self.hops:
            if hop.at is not None and begin is not None:
                if hop.skew is not None and hop.skew > IMPLAUSIBLE:
                    jump = (hop.at - begin).total_seconds() - last
                elif hop.skew is None:
                    last = max(last, (hop.at - begin).total_seconds() - jump)
            places.append(last)
        return places

    def _begin(self) -> datetime | None:
        return self.written or next((h.at for h in self.hops if h.at is not None and h.skew is None), None)

    def _draw_way(self, axes: Axes, places: list[float]) -> None:
        """Along a rung while it waits there, then up to the next."""
        for rung in range(len(places) - 1):
            here, there = places[rung], places[rung + 1]
            axes.plot([here, there], [rung, rung], color=ORANGE, linewidth=2, solid_capstyle="butt")
            axes.plot([there, there], [rung, rung + 1], color="#b0b0b0", linewidth=1)


def hop_ladder(message: bytes | Dissection) -> HopLadder:
    """The ladder of one message."""
    found = dissect(message) if isinstance(message, bytes) else message
    expect(found, Dissection, "hop_ladder(dissect(message))")
    return HopLadder(found)


def _written(dissection: Dissection, hops: tuple[Hop, ...]) -> datetime | None:
    """The Date field's instant, if it can be true: not after the first hop, and not weeks before."""
    field = dissection.first("Date")
    at = None if field is None else read_date(field.value).instant
    first = next((hop.at for hop in hops if hop.at is not None and hop.skew is None), None)
    if at is None or first is None or len(hops) < len(dissection.hops):
        return None
    return at if 0 <= (first - at).total_seconds() <= IMPLAUSIBLE else None

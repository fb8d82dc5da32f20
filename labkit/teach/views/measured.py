"""Ways to fight spam side by side: what they cost honest mail first, then what they catch.

WHAT       `measured_table(found, …)`: each is what a stream made of a solution (lab/traffic_outcomes.py), or a pair
           ("Bayes", confusion) of a filter that was tried on letters only. `ham_costs`: as how many missed spams a lost
           ham counts. The cheapest is marked.
           `kinds_table(found)`: of one of them, what became of each kind of sender's mail.
RULES      every share stands with Wilson's interval for 95 %; delays are of honest mail that arrived.
READ NEXT  why_spam.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.filters.measures import Confusion, Rate
from labkit.lab.traffic_outcomes import SHORT, Measured
from labkit.mail.plainly import SaidPlainly
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

MOST = 40
LONGEST_NAME = 24
LONGEST_SUMMARY = 300
_HEAD = ("solution", "delay, half", "delay, 95 %", "ham lost", "spam caught", "held", "cost")
_WHY_FIRST = "Delay and lost ham come first: a filter that catches everything is easy to write."


class NothingMeasured(SaidPlainly, ValueError):
    """What was given has no figures; the text says what has."""


@dataclass(frozen=True, slots=True)
class Row:
    """One solution. `delays`: minutes that half, and 95 %, of honest mail did not exceed; None where none was timed."""

    name: str
    confusion: Confusion
    delays: tuple[float, float] | None
    held: float | None  # seconds for which senders of honest mail were kept connected

    def cost(self, ham_costs: float) -> float:
        return self.confusion.cost(ham_costs)


class MeasuredTable(View):
    """The table; `rows` are its figures, `cheapest` the names of those that cost least."""

    def __init__(self, rows: Sequence[Row], ham_costs: float) -> None:
        self.rows = tuple(rows)
        self.ham_costs = ham_costs
        least = min(row.cost(ham_costs) for row in self.rows)
        self.cheapest = tuple(row.name for row in self.rows if row.cost(ham_costs) == least)

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                clip_name(row.name),
                "-" if row.delays is None else _minutes(row.delays[0]),
                "-" if row.delays is None else _minutes(row.delays[1]),
                _share(row.confusion.false_positive_rate),
                _share(row.confusion.recall),
                "-" if row.held is None else f"{row.held:.0f} s",
                f"{row.cost(self.ham_costs):g}{' *' if row.name in self.cheapest else ''}",
            )
            for row in self.rows
        ]

    @property
    def _notes(self) -> tuple[str, ...]:
        return (
            _WHY_FIRST,
            "In brackets: Wilson's interval for 95 %. held: how long senders of ham were kept connected, in all.",
            f"cost: missed spams, and {self.ham_costs:g} for each lost ham; *: the cheapest on this mail.",
        )

    def html(self) -> Markup:
        notes = (tag("p", note) for note in self._notes)
        return join(table(_HEAD, self._cells(), "Ways to fight spam, measured", whole=range(1, 7)), *notes)

    def text(self) -> str:
        return "\n".join([text_table(_HEAD, self._cells(), "Ways to fight spam, measured"), *self._notes])


class KindsTable(View):
    """One measurement by kinds of senders; its text is that of the measurement itself."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured

    def html(self) -> Markup:
        fates = self.measured.fates
        head = ("", "kind of sender", "messages", *(SHORT[fate] for fate in fates), "delay, half")
        rows = [
            (
                "spam" if row.is_spam else "ham",
                row.kind,
                str(row.messages),
                *(str(row.fates.get(fate, 0) or "-") for fate in fates),
                "" if row.median_minutes is None else f"{row.median_minutes:g} min",
            )
            for row in self.measured.by_kind()
        ]
        summary = clip(repr(self.measured).strip("<>"), LONGEST_SUMMARY)
        return table(head, rows, summary, whole=range(len(head)))

    def text(self) -> str:
        return visible(str(self.measured))


def clip_name(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _share(rate: Rate) -> str:
    if rate.value is None:
        return "-"
    return f"{rate.hits:g}/{rate.of:g} ({100 * rate.low:.0f}-{100 * rate.high:.0f} %)"


def measured_table(*found: Measured | tuple[str, Confusion], ham_costs: float = 10.0) -> MeasuredTable:
    """The table of these, in the order given. Raises NothingMeasured."""
    several = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    if not 1 <= len(several) <= MOST:
        raise NothingMeasured(f"give 1 to {MOST} measurements: measured_table(first, second, …)")
    return MeasuredTable([_row(each) for each in several], ham_costs)


def kinds_table(found: Measured) -> KindsTable:
    """What became of the mail of each kind of sender. Raises NothingMeasured."""
    if not isinstance(found, Measured):
        kind = clip(type(found).__name__, 40)
        raise NothingMeasured(f"one measurement is wanted: kinds_table(await measure(...)); this is a {kind}")
    return KindsTable(found)


def _row(each: object) -> Row:
    if isinstance(each, Measured):
        half, most = each.delay(0.5), each.delay(0.95)
        delays = None if half is None or most is None else (half, most)
        found = confusion_of(each)
        return Row(each.solution, found, delays, each.held(False))
    if isinstance(each, tuple) and len(each) == 2 and isinstance(each[1], Confusion):
        return Row(str(each[0]), each[1], None, None)
    kind = clip(type(each).__name__, 40)
    raise NothingMeasured(
        f"what a stream made of a solution is wanted, or (name, confusion); this is a {kind}"
    )


def confusion_of(measured: Measured) -> Confusion:
    """The four numbers of a stream."""
    spam, ham = len(measured.spam), len(measured.ham)
    return Confusion(
        measured.caught, spam - measured.caught, measured.wrongly_caught, ham - measured.wrongly_caught
    )

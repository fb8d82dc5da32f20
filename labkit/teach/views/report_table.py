"""An aggregate report as a table: from which address, how many, what SPF and DKIM said about whom, what was done.

WHAT       `report_table(message)` of the mail that brought it, or of an AggregateReport. The largest rows come first.
SAFE       a report comes over the network, from anybody: its words are cut, and control characters are made visible.
READ NEXT  verdict.py
"""

from __future__ import annotations

from datetime import datetime, timezone

from labkit.auth.aggregate_report import AggregateReport, Row, Seen
from labkit.lab.provider_reports import report_in
from labkit.mail.message import Message
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, visible
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

HEAD = ("from address", "letters", "SPF", "DKIM", "aligned", "done", "why")
MOST_ROWS = 60
SHOWN_SIGNATURES = 3


class ReportTable(View):
    """The table; `report` is what was read."""

    def __init__(self, report: AggregateReport) -> None:
        self.report = report
        ordered = sorted(report.rows, key=lambda row: (-row.count, row.source_ip))
        self.rows = [tuple(visible(clip(cell, 80)) for cell in _cells(row)) for row in ordered[:MOST_ROWS]]
        self.left_out = len(ordered) - len(self.rows)

    def _title(self) -> str:
        report = self.report
        policy = report.published
        title = (
            f"{report.org_name} about {policy.domain}, {_day(report.begin)} to {_day(report.end)}: "
            f"{report.count} letters, p={policy.p} adkim={policy.adkim} aspf={policy.aspf}"
        )
        return visible(clip(title, 200))

    def _ending(self) -> str:
        return f"and {self.left_out} more rows" if self.left_out > 0 else ""

    def html(self) -> Markup:
        return table(HEAD, self.rows, " ".join(filter(None, (self._title(), self._ending()))), code=(0,))

    def text(self) -> str:
        return "\n".join(filter(None, (text_table(HEAD, self.rows, self._title()), self._ending())))


def _cells(row: Row) -> tuple[str, ...]:
    aligned = [name for name, word in (("SPF", row.spf), ("DKIM", row.dkim)) if word == "pass"]
    spf = _seen(row.spf_seen) if row.spf_seen is not None else "none"
    signatures = list(dict.fromkeys(map(_seen, row.dkim_seen[:SHOWN_SIGNATURES])))
    why = ", ".join(reason.kind for reason in row.reasons[:3])
    return (
        row.source_ip,
        str(row.count),
        spf,
        ", ".join(signatures) or "none",
        " and ".join(aligned) or "nothing",
        row.disposition,
        why,
    )


def _seen(seen: Seen) -> str:
    return f"{seen.result} {seen.domain}"


def _day(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return "?"


def report_table(report: AggregateReport | Message) -> ReportTable:
    """The report, read from the mail if need be. Raises NoReport."""
    if isinstance(report, AggregateReport):
        return ReportTable(report)
    expect(report, Message, "report_table(report)")
    return ReportTable(report_in(report))

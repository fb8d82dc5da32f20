"""A header, explained: each field with who wrote it and a sentence; the way; the boundary; what is remarkable.

RULES      the text is no wider than 110 columns. Nothing is computed here: labkit/headers has found it all.
STANDARDS  RFC 5322 §3.6, RFC 5321 §4.4
READ NEXT  labkit/headers/dissect.py
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from labkit.headers import Dissection, Field, Hop
from labkit.headers.hops import span
from labkit.mail.dates import log_date
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

WIDTH = 110
MOST_FIELDS, MOST_HOPS, MOST_FINDINGS = 200, 60, 60
LONGEST_VALUE = 120
_FIELD_HEAD = ("line", "field", "written by", "says")
_FIELD_WIDTHS = (7, 36, 22, 39)
_HOP_HEAD = ("hop", "time (UTC)", "after", "from", "to", "how")
_HOP_WIDTHS = (3, 19, 12, 24, 24, 18)
_FINDING_HEAD = ("weight", "lines", "remarkable", "what to do")
_FINDING_WIDTHS = (7, 9, 50, 38)


@shows(Dissection)
class DissectionView(View):
    """A header, taken apart. `title` stands above it."""

    def __init__(self, dissection: Dissection, title: str = "The header, field by field") -> None:
        self.dissection = dissection
        self.title = title

    def _fields(self) -> list[tuple[str, str, str, str]]:
        shown = self.dissection.fields[:MOST_FIELDS]
        return [(_lines(field), _said(field), self._writer(field), _explained(field)) for field in shown]

    def _writer(self, field: Field) -> str:
        by = f"\n{field.by}" if field.by else ""
        doubt = "\n(could be forged)" if self.dissection.trust.could_be_forged(field.index) else ""
        return f"{field.writer.value}{by}{doubt}"

    def _hops(self) -> list[tuple[str, ...]]:
        return [_hop(hop) for hop in self.dissection.hops[-MOST_HOPS:]]

    def _findings(self) -> list[tuple[str, str, str, str]]:
        fields = self.dissection.fields
        return [
            (
                each.weight.value,
                ", ".join(str(fields[index].first_line) for index in each.fields[:4]),
                f"{each.words} [{each.rfc}]" if each.rfc else each.words,
                each.remedy,
            )
            for each in self.dissection.findings[:MOST_FINDINGS]
        ]

    def _left_out(self) -> str:
        more = len(self.dissection.fields) - MOST_FIELDS
        return f"{more:,} more fields are left out." if more > 0 else ""

    def html(self) -> Markup:
        return join(
            table(_FIELD_HEAD, self._fields(), self.title, code=[1]),
            tag("p", self._left_out()) if self._left_out() else None,
            table(_HOP_HEAD, self._hops(), "The way, the oldest hop first") if self._hops() else None,
            tag("p", tag("b", "Boundary: "), self.dissection.trust.words),
            table(_FINDING_HEAD, self._findings(), "What is remarkable") if self._findings() else None,
        )

    def text(self) -> str:
        parts = [_wrapped(_FIELD_HEAD, self._fields(), _FIELD_WIDTHS, visible(self.title)), self._left_out()]
        if self.dissection.hops:
            title = "The way, the oldest hop first"
            parts.append(_wrapped(_HOP_HEAD, self._hops(), _HOP_WIDTHS, title))
        parts.append("\n".join(wrap(f"Boundary: {visible(self.dissection.trust.words)}", WIDTH)))
        if self.dissection.findings:
            parts.append(_wrapped(_FINDING_HEAD, self._findings(), _FINDING_WIDTHS, "What is remarkable"))
        return "\n\n".join(part for part in parts if part)


def _lines(field: Field) -> str:
    first, last = field.first_line, field.last_line
    return str(first) if first == last else f"{first}-{last}"


def _said(field: Field) -> str:
    value = clip(field.shown.replace("\t", " "), LONGEST_VALUE)
    return f"{clip(visible(field.name), LONGEST_VALUE)}: {value}" if field.name else value


def _explained(field: Field) -> str:
    return f"{field.words} [{field.rfc}]" if field.rfc else field.words


def _hop(hop: Hop) -> tuple[str, ...]:
    received = hop.received
    after = hop.words or ("" if hop.delay is None else span(hop.delay))
    if hop.delay is not None and hop.since is not None and hop.since != hop.number - 1:
        after = f"{after} since hop {hop.since}"
    safety = {True: "encrypted", False: "in the clear", None: ""}[received.is_encrypted]
    login = "logged in" if received.is_authenticated else "local" if received.is_local else ""
    how = ", ".join(part for part in (received.protocol, safety, login) if part)
    at = "?" if hop.at is None else log_date(hop.at)
    return (
        str(hop.number), at, after, clip(received.client or received.login, 80), clip(received.by, 80), clip(how, 80)
    )  # fmt: skip


def _wrapped(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], widths: tuple[int, ...], title: str
) -> str:
    cells = [tuple(_fill(cell, width) for cell, width in zip(row, widths)) for row in rows]
    return text_table(head, cells, title)


def _fill(cell: str, width: int) -> str:
    lines = [part for line in visible(cell).split("\n") for part in (wrap(line, width) or [""])]
    return "\n".join(lines)

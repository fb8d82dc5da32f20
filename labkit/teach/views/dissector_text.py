"""The dissector's static forms: tables, in HTML and as text of at most 110 columns.

READ NEXT  dissector.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from labkit.headers import Dissection
from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.views import dissector_checks as checks
from labkit.teach.views import dissector_panels as panels
from labkit.teach.views.dissector_recheck import Recheck

NOTHING = "No message yet: paste one, upload one, or choose one from the lab's mailboxes."
WIDTH = 110
MOST_ROWS = 40
_LONGEST_VALUE = 240
_FORGED, _SIGNED = "could be forged", "signed"
_Part = tuple[
    str, Sequence[str], Sequence[Sequence[str]], Sequence[int]
]  # title, head, rows, widths of the text


def html_of_nothing() -> Markup:
    return tag("p", NOTHING)


def html_of(content: bytes, dissection: Dissection, found: Recheck | None, changes: Sequence[str]) -> Markup:
    pieces = [table(head, rows, title) for title, head, rows, _ in _parts(dissection, found)]
    pieces.insert(1, tag("p", panels.shown(dissection.trust.words)))
    if changes:
        pieces.append(tag("p", tag("b", "Changed by hand")))
        pieces.append(tag("ul", *(tag("li", words) for words in changes)))
    return join(*pieces)


def text_of(content: bytes, dissection: Dissection, found: Recheck | None, changes: Sequence[str]) -> str:
    pieces = [
        text_table(head, [_folded(row, widths) for row in rows], title)
        for title, head, rows, widths in _parts(dissection, found)
    ]
    pieces.insert(1, textwrap.fill(panels.shown(dissection.trust.words), WIDTH))
    if changes:
        lines = [textwrap.fill(f"- {words}", WIDTH, subsequent_indent="  ") for words in changes]
        pieces.append("\n".join(["Changed by hand", *lines]))
    return "\n\n".join(pieces)


def _parts(dissection: Dissection, found: Recheck | None) -> Iterator[_Part]:
    yield (
        _title(dissection),
        ("line", "field", "who writes it", "value", "trust"),
        _fields(dissection, found),
        (4, 20, 24, 38, 15),
    )
    if dissection.hops:
        head = ("", "from", "by", "how", "at", "delay")
        yield "The way, the oldest hop first", head, list(_hops(dissection)), (3, 29, 22, 14, 19, 13)
    findings = [
        (each.weight.value, panels.shown(each.words), each.rfc) for each in dissection.findings[:MOST_ROWS]
    ]
    if findings:
        yield "Findings", ("weight", "what", "rule"), findings, (8, 78, 20)
    if found is not None:
        rows = [
            (each["method"], each["result"], each["about"], each["reason"])
            for each in checks.checks_state(found)
        ]
        yield "Checked now, against the lab's DNS", ("", "result", "about", "because"), rows, (6, 10, 42, 46)


def _title(dissection: Dissection) -> str:
    return f"A message of {dissection.size:,} octets, {len(dissection.fields):,} fields"


def _fields(dissection: Dissection, found: Recheck | None) -> list[tuple[str, ...]]:
    signed = checks.vouched(dissection, found)
    rows: list[tuple[str, ...]] = [
        (
            str(field.first_line),
            panels.shown(field.name, 80),
            panels.writer_words(field),
            panels.shown(field.shown, _LONGEST_VALUE),
            _SIGNED
            if field.index in signed
            else _FORGED
            if dissection.trust.could_be_forged(field.index)
            else "",
        )
        for field in dissection.fields[:MOST_ROWS]
    ]
    more = len(dissection.fields) - MOST_ROWS
    return [*rows, ("", f"and {more:,} more", "", "", "")] if more > 0 else rows


def _hops(dissection: Dissection) -> Iterator[tuple[str, ...]]:
    for hop in dissection.hops[: panels.MOST_HOPS]:
        delay = " ".join(filter(None, (panels.delay_words(hop), panels.shown(hop.words))))
        at = panels.at_words(hop).removesuffix(" UTC")
        yield (
            str(hop.number),
            panels.client_words(hop),
            panels.shown(hop.received.by, 100),
            panels.how(hop),
            at,
            delay,
        )
    more = len(dissection.hops) - panels.MOST_HOPS
    if more > 0:
        yield "", f"and {more:,} more", "", "", "", ""


def _folded(row: Sequence[str], widths: Sequence[int]) -> tuple[str, ...]:
    return tuple(
        "\n".join(textwrap.wrap(cell.replace("\t", " "), width, break_on_hyphens=False) or [""])
        for cell, width in zip(row, widths)
    )

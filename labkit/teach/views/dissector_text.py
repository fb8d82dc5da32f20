"""The dissector's static forms: the header explained, what was checked, what was changed; at most 110 columns.

READ NEXT  dissection.py, dissector.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from labkit.headers import Dissection
from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.views.dissection import WIDTH, DissectionView
from labkit.teach.views.dissector_checks import checks_state, vouched
from labkit.teach.views.dissector_panels import shown
from labkit.teach.views.dissector_recheck import Recheck

NOTHING = "No message yet: paste one, upload one, or choose one from the lab's mailboxes."
CHECKED, CHANGED = "Checked now, against the lab's DNS", "Changed by hand"
_HEAD, _WIDTHS = ("", "result", "about", "because"), (6, 10, 42, 46)
_MOST_NAMED = 40


def html_of_nothing() -> Markup:
    return tag("p", NOTHING)


def html_of(dissection: Dissection, found: Recheck | None, changes: Sequence[str]) -> Markup:
    return join(
        DissectionView(dissection, _title(dissection)).html(),
        table(_HEAD, _checks(found), CHECKED) if found is not None else None,
        *(tag("p", line) for line in _signed(dissection, found)),
        tag("p", tag("b", CHANGED)) if changes else None,
        tag("ul", *(tag("li", words) for words in changes)) if changes else None,
    )


def text_of(dissection: Dissection, found: Recheck | None, changes: Sequence[str]) -> str:
    pieces = [DissectionView(dissection, _title(dissection)).text()]
    if found is not None:
        rows = [tuple(map(_folded, row, _WIDTHS)) for row in _checks(found)]
        pieces.append(text_table(_HEAD, rows, CHECKED))
    pieces += [_folded(line, WIDTH) for line in _signed(dissection, found)]
    if changes:
        lines = [textwrap.fill(f"- {words}", WIDTH, subsequent_indent="  ") for words in changes]
        pieces.append("\n".join([CHANGED, *lines]))
    return "\n\n".join(pieces)


def _title(dissection: Dissection) -> str:
    return f"A message of {dissection.size:,} octets, {len(dissection.fields):,} fields"


def _checks(found: Recheck) -> list[tuple[str, ...]]:
    return [
        (each["method"], each["result"], each["about"], "\n".join([each["reason"], *each["why"]]))
        for each in checks_state(found)
    ]


def _signed(dissection: Dissection, found: Recheck | None) -> list[str]:
    """Which fields a good signature covers, wherever the boundary is."""
    by_domain: dict[str, list[str]] = {}
    for index, domain in sorted(vouched(dissection, found).items()):
        by_domain.setdefault(domain, []).append(shown(dissection.fields[index].name, 80))
    return [
        f"A good signature of {shown(domain, 100)} covers {', '.join(names[:_MOST_NAMED])}."
        for domain, names in by_domain.items()
    ]


def _folded(text: str, width: int) -> str:
    lines = text.replace("\t", " ").split("\n")
    return "\n".join(
        part for line in lines for part in textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    )

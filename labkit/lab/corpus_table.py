"""What a corpus holds, as a table: styles down, languages across; what is held out is marked.

WHAT       `as_text` for a terminal and for reading aloud, `as_html` for a notebook: the same counts in both.
SAFE       names of folders are escaped, and cut where they are long
READ NEXT  corpus.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

LONGEST_NAME = 30
MOST_STYLES = 60  # rows of a table; the rest is counted
MOST_LANGUAGES = 8
MOST_TOLD = 10

Row = tuple[bool, str, str]  # is_spam, style, language


def as_text(training: Sequence[Row], held_out: Sequence[Row], left_out: Sequence[str]) -> str:
    """Lines: a summary, the table, what was left out."""
    head, rows = _cells(training, held_out)
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = [_summary(training, held_out)]
    for row in table:
        cells = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *_told(left_out)])


def as_html(training: Sequence[Row], held_out: Sequence[Row], left_out: Sequence[str]) -> str:
    """The same as a table for a notebook."""
    head, rows = _cells(training, held_out)
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = []
    for row in rows:
        texts = "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row[:3])
        counts = "".join(f"<td>{escape(cell)}</td>" for cell in row[3:])
        lines.append(f"<tr>{texts}{counts}</tr>")
    told = "".join(f"<p>{escape(words)}</p>" for words in _told(left_out))
    return (
        f"<table><caption>{escape(_summary(training, held_out))}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>{told}"
    )


def _summary(training: Sequence[Row], held_out: Sequence[Row]) -> str:
    def part(rows: Sequence[Row]) -> str:
        spam = sum(is_spam for is_spam, _, _ in rows)
        return f"{len(rows):,} ({len(rows) - spam:,} ham, {spam:,} spam)"

    total = len(training) + len(held_out)
    return f"{total:,} letters: {part(training)} to train on, {part(held_out)} held out"


def _cells(training: Sequence[Row], held_out: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """The head and the rows: which use, which class, which style, and the count in each language."""
    counts = {"to train on": Counter(training), "held out": Counter(held_out)}
    common = Counter(language for _, _, language in (*training, *held_out))
    languages = [name for name, _ in sorted(common.items(), key=lambda item: (-item[1], item[0]))]
    shown = languages[:MOST_LANGUAGES]
    rows: list[list[str]] = []
    for use, counted in counts.items():
        for is_spam, style in sorted({(is_spam, style) for is_spam, style, _ in counted}):
            numbers = [str(counted[is_spam, style, language] or "-") for language in shown]
            rows.append([use, "spam" if is_spam else "ham", _short(style), *numbers])
    if len(rows) > MOST_STYLES:
        rest = len(rows) - MOST_STYLES
        rows[MOST_STYLES:] = [["", "", f"and {rest} styles more", *("" for _ in shown)]]
    return ["use", "class", "style", *map(_short, shown)], rows


def _told(left_out: Sequence[str]) -> list[str]:
    if not left_out:
        return []
    more = [f"and {len(left_out) - MOST_TOLD:,} more: see left_out"] if len(left_out) > MOST_TOLD else []
    return [f"left out: {len(left_out):,}", *(_short(words, 160) for words in left_out[:MOST_TOLD]), *more]


def _short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name on one line and of a bearable length."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"

"""One DMARC record after another, tried out on paper: what today's receivers make of it, and those of the old RFC.

WHAT       `await old_and_new(world, records, author, spf=…, dkim=…)`: for each record, as if it stood at _dmarc.author,
           the verdict of RFC 9989 and that of RFC 7489. Nothing is published; all other names are asked for in the lab.
STANDARDS  RFC 9989 §4.10 (tree walk), RFC 7489 §3.2 (public suffixes)
READ NEXT  ../../auth/dmarc.py, ../../auth/dmarc_7489.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.auth.dmarc import evaluate
from labkit.auth.dmarc_7489 import evaluate_7489
from labkit.lab.world import World
from labkit.mail.asking import Question, answer_later
from labkit.mail.questions import DnsAnswer, DnsOutcome, TextOf
from labkit.teach.given import expect
from labkit.teach.markup import Markup
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

Pair = tuple[str, str]


async def old_and_new(
    world: World,
    records: Mapping[str, str],
    author: str,
    *,
    spf: Pair | None = None,
    dkim: Pair | None = None,
) -> OldAndNewView:
    """Try the records out; `records` maps a name for each to its text, "" for no record."""
    expect(world, World, "old_and_new(world, {...}, ...)")
    expect(records, Mapping, "old_and_new(world, {...}, ...)")
    rows = []
    for name, record in records.items():

        async def answer(question: Question[Any], record: str = record) -> Any:
            if isinstance(question, TextOf) and question.name == f"_dmarc.{author}":
                return DnsAnswer(
                    DnsOutcome.FOUND if record else DnsOutcome.NXDOMAIN, (record,) * bool(record)
                )
            return await world.ask(question)

        new = await answer_later(answer, evaluate(author, spf, dkim))
        old = await answer_later(answer, evaluate_7489(author, spf, dkim))
        rows.append((name, new.result, old.result))
    return OldAndNewView(rows)


class OldAndNewView(View):
    """A table of three columns; `rows` are its texts."""

    head = ("the record", "RFC 9989 (2026)", "RFC 7489 (2015)")

    def __init__(self, rows: list[tuple[str, str, str]]) -> None:
        self.rows = rows
        self.title = "The same message, by a new and by an old receiver"

    def html(self) -> Markup:
        return table(self.head, self.rows, self.title, code=[0])

    def text(self) -> str:
        return text_table(self.head, self.rows, self.title)

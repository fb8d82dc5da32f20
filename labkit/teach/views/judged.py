"""What the big provider thought of messages: the three names in each, the three checks, and what it did.

WHAT       `judged(world, "you", "Mallory")`: the last messages that came to its door, one for each label, oldest first.
RULES      all of it is what the provider noted when the message came: nothing is checked again.
STANDARDS  RFC 5321 §4.1.1.1, §4.1.1.2 (HELO, MAIL FROM), RFC 5322 §3.6.2 (From:)
READ NEXT  signatures.py, ../../lab/provider_verdict.py
"""

from __future__ import annotations

import textwrap

from labkit.lab.provider_verdict import REFUSED, Verdict
from labkit.lab.world import World
from labkit.teach.given import expect
from labkit.teach.markup import Markup
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

MOST_COLUMNS = 4
WIDTH = 108  # characters of a line of text
_ROWS = ("HELO", "MAIL FROM", "From:", "SPF", "DKIM", "DMARC", "bigmail", "because")


def judged(world: World, *labels: str) -> JudgedView:
    """The newest messages at the provider, one column for each label. Raises ValueError if fewer have come."""
    expect(world, World, 'judged(world, "you")')
    verdicts = world.provider.verdicts
    if not 1 <= len(labels) <= MOST_COLUMNS:
        raise ValueError(f"give 1 to {MOST_COLUMNS} labels: one for each of the last messages")
    if len(verdicts) < len(labels):
        raise ValueError(f"only {len(verdicts)} messages have come to the provider so far")
    return JudgedView(labels, verdicts[-len(labels) :])


class JudgedView(View):
    """A table: a column for each message. `verdicts` are the provider's."""

    def __init__(self, labels: tuple[str, ...], verdicts: tuple[Verdict, ...]) -> None:
        self.verdicts = verdicts
        self.head = ("", *labels)
        self.rows = list(zip(_ROWS, *map(_cells, verdicts)))
        self.title = "What bigmail.test saw, found and did"

    def html(self) -> Markup:
        return table(self.head, self.rows, self.title, code=range(1, len(self.head)), whole=[0])

    def text(self) -> str:
        width = (WIDTH - 9 - 2 * len(self.head)) // len(self.verdicts)
        rows = [[_folded(cell, width) for cell in row] for row in self.rows]
        return text_table(self.head, rows, self.title)


def _cells(verdict: Verdict) -> tuple[str, ...]:
    found = verdict.findings
    dkim = "\n".join(
        f"{each.result}: d={each.domain or '?'}"
        + ("" if each.result == "pass" else f" ({each.broken or each.reason})")
        for each in verdict.dkim
    )
    dmarc = verdict.dmarc
    if dmarc.result == "pass":
        aligned = [
            name for name, domain in (("SPF", dmarc.aligned_spf), ("DKIM", dmarc.aligned_dkim)) if domain
        ]
        compared = f": {' and '.join(aligned)} aligned"
    else:
        compared = f", {dmarc.policy_domain} asks for {dmarc.policy}" if dmarc.policy else ""
    return (
        verdict.helo,
        f"<{verdict.sender}>",
        ", ".join(found.author.addresses),
        f"{verdict.spf.result}: {verdict.spf.domain}",
        dkim or "none: not signed",
        f"{dmarc.result}{compared}",
        str(verdict.reply).split(" is not accepted")[0]
        if verdict.disposition == REFUSED
        else verdict.disposition,
        verdict.why,
    )


def _folded(cell: str, width: int) -> str:
    return "\n".join(part for line in cell.split("\n") for part in textwrap.wrap(line, width) or [""])

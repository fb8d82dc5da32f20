"""What the big provider found out about one letter: check by check, the word, whose name it is about, and why.

WHAT       `verdict_table(verdict)`: SPF, each DKIM signature, DMARC and ARC, and what was done with the letter;
           `verdict_table(verdict, steps="SPF")` shows the way to one of these words, step by step.
SAFE       domains and reasons are a stranger's words: they are shown without control characters.
READ NEXT  ../plots/verdict_matrix.py, report_table.py
"""

from __future__ import annotations

from textwrap import wrap

from labkit.auth.steps import Step
from labkit.lab.provider_verdict import Verdict
from labkit.lab.ways_to_carol import CHECKS
from labkit.mail.plainly import SaidPlainly
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, tag, visible
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

HEAD = ("check", "says", "about", "why")
ABOUT, WHY = 28, 56  # characters of a line
LONGEST = 300
MOST_STEPS = 60
MOST_SIGNATURES = 10


class NoSuchCheck(SaidPlainly, ValueError):
    """A check that has no steps here."""


class VerdictTable(View):
    """The table; `rows` are its cells."""

    def __init__(self, verdict: Verdict, steps: str = "") -> None:
        self.verdict = verdict
        self.rows = [
            tuple(clip(visible(cell).replace("\n", " "), LONGEST) for cell in row) for row in _rows(verdict)
        ]
        self.steps = _steps(verdict, steps)
        self.ending = (
            f"=> {verdict.disposition}: {verdict.why}. The client {verdict.client} heard: "
            f"{verdict.reply.code}"
        )

    def html(self) -> Markup:
        parts = [table(HEAD, self.rows, f"{self._title()}", code=(1,)), tag("p", self.ending)]
        if self.steps:
            parts.append(tag("ol", *[tag("li", visible(clip(line, LONGEST))) for line in self.steps]))
        return tag("div", *parts)

    def text(self) -> str:
        rows = [
            (check, word, "\n".join(wrap(about, ABOUT)), "\n".join(wrap(why, WHY)))
            for check, word, about, why in self.rows
        ]
        lines = [text_table(HEAD, rows, self._title()), *wrap(self.ending, 106)]
        for number, line in enumerate(self.steps, 1):
            lines += wrap(
                visible(clip(line, LONGEST)), 106, initial_indent=f"{number:2} ", subsequent_indent="   "
            )
        return "\n".join(lines)

    def _title(self) -> str:
        v = self.verdict
        return visible(
            clip(f"From: {v.findings.author.domain}; MAIL FROM:<{v.sender}>; client {v.client}", 160)
        )


def _rows(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    rows = [("SPF", verdict.spf.result, verdict.spf.domain, verdict.spf.reason)]
    rows += [("DKIM", each.result, each.domain, each.reason) for each in verdict.dkim[:MOST_SIGNATURES]]
    if not verdict.dkim:
        rows.append(("DKIM", "none", "", "the letter has no signature"))
    rows.append(("DMARC", verdict.dmarc.result, verdict.findings.author.domain, verdict.dmarc.reason))
    sealers = ", ".join(verdict.findings.sealers)
    return [*rows, ("ARC", verdict.arc.result, sealers, verdict.arc.reason)]


def _steps(verdict: Verdict, check: str) -> list[str]:
    if not check:
        return []
    found: dict[str, tuple[Step, ...]] = {
        "SPF": verdict.spf.steps,
        "DKIM": tuple(step for each in verdict.dkim for step in each.steps),
        "DMARC": verdict.dmarc.steps,
        "ARC": verdict.arc.steps,
    }
    if check.upper() not in found:
        raise NoSuchCheck(f"there is no check {check!r}; there are {', '.join(CHECKS)}")
    return [str(step) for step in found[check.upper()][:MOST_STEPS]]


def verdict_table(verdict: Verdict, *, steps: str = "") -> VerdictTable:
    """The verdict as a table; `steps` is SPF, DKIM, DMARC or ARC. Raises WrongKind, NoSuchCheck."""
    expect(verdict, Verdict, "verdict_table(verdict)")
    return VerdictTable(verdict, steps)

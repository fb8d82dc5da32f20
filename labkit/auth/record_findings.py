"""What can be said of a record that a domain publishes: the findings of both linters, SPF's and DMARC's.

READ NEXT  spf_lint.py, dmarc_lint.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class RecordFinding:
    """Something about a record. `code` names the kind, `term` is the text it is about, `cure` what to write instead."""

    code: str
    grade: str
    words: str
    term: str = ""
    source: str = ""
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.grade}: {self.words}" + (f" {self.cure}" if self.cure else "")


def errors_first(findings: Iterable[RecordFinding]) -> tuple[RecordFinding, ...]:
    """The errors before the warnings, else in their order; of very many the first ones."""
    return tuple(sorted(findings, key=lambda finding: finding.grade != "error")[:MOST_FINDINGS])

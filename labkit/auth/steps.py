"""A step on the way to a verdict: what was looked at, what was found, and which rule says so.

WHY        every evaluator of this room returns its steps; views and notebooks print them and never compute again.
READ NEXT  spf.py, dkim_verify.py, dmarc.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.mail.asking import Question


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at.

    `words` is a plain sentence, `source` the rule ("RFC 7208 §5.2"), `depth` how deep it stands (an SPF include is one
    deeper than the record that names it), `data` the text it is about (a record, canonical octets as latin-1),
    `question` what was asked of the DNS for it, if anything was.
    """

    words: str
    source: str = ""
    depth: int = 0
    data: str = ""
    question: Question[Any] | None = None

    def __str__(self) -> str:
        source = f"  [{self.source}]" if self.source else ""
        return f"{'  ' * self.depth}{self.words}{source}"

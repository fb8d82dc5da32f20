"""The ground that the readers of items and conditions stand on: a position in a text, and the first mistake.

READ NEXT  parser.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.variables import acl_advice, is_known

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_BLANKS = re.compile(f"[{BLANKS}]*")
_HEADER = re.compile(r"([rbl]?)h(?:eader)?_")
_HEADER_NAME = re.compile(r"[!-9;-~]*")
DEEPEST = 60


class Refused(Exception):
    """Exim can do this and labkit cannot; `what` is its name."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class TooDeep(Refused):
    """More than DEEPEST texts one inside the other."""


class Scanner:
    """A position in a text. After the first mistake nothing more is read."""

    def __init__(self, source: str, depth: int = 0) -> None:
        self.source = source
        self.at = 0
        self.depth = depth
        self.problem: str | None = None
        self.open_header = False

    if TYPE_CHECKING:

        def text(self, *, closes: bool, dollars: bool = True) -> tree.Text:
            """Parser.text"""

    def fail(self, message: str) -> None:
        """Note the first mistake and stop."""
        if self.problem is None:
            self.problem = message
        self.at = len(self.source)

    def refuse(self, what: str) -> None:
        raise Refused(what)

    def go_deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise TooDeep(f"{DEEPEST} expansions one inside the other")

    def blanks(self) -> None:
        found = _BLANKS.match(self.source, self.at)
        if found is not None:
            self.at = found.end()

    def sees(self, word: str) -> bool:
        return self.source.startswith(word, self.at)

    def name(self, at: int) -> str:
        found = _NAME.match(self.source, at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def argument(self, *, dollars: bool = True) -> tree.Text | None:
        """`{text}` with blanks before it. None: no brace here, or a mistake inside (then it stands in `broken`)."""
        self.blanks()
        if not self.sees("{"):
            return None
        self.at += 1
        found = self.text(closes=True, dollars=dollars)
        self.at += 1
        return found

    def is_variable(self, name: str) -> bool:
        return is_known(name)

    def variable(self, name: str) -> tree.Variable | tree.Header | None:
        """A name was just read: a header name goes on to its colon."""
        if header := _HEADER.match(name):
            return self.header(header, name)
        if is_known(name):
            return tree.Variable(name)
        self.fail(f'unknown variable name "{name}"{acl_advice(name)}')
        return None

    def header(self, prefix: re.Match[str], name: str) -> tree.Header:
        begin = self.at - len(name) + prefix.end()
        found = _HEADER_NAME.match(self.source, begin)
        assert found is not None, "it may be empty"
        self.at = found.end()
        if self.sees(":"):
            self.at += 1
        else:
            self.open_header = True
        return tree.Header(f"{prefix[1]}h", found[0])

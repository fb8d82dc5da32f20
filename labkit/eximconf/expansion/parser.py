"""Read a text into a tree, as Exim would while expanding it.

DOES       one pass from left to right; the first mistake ends it, in Exim's words; the tree keeps what stood before.
RULES      a `{` in text is not counted, the first `}` ends an argument; header names run to a colon or a blank;
           `\\N…\\N` and backslash escapes are read everywhere, also where dollars are not.
REFUSED    what Exim knows and labkit does not raises Refused with its name; so does nesting deeper than DEEPEST.
STANDARDS  Exim specification, chapter "String expansions" ("Literal text in expanded strings", "Expansion items")
READ NEXT  items.py, conditions.py (the two halves of the grammar), syntax.py (the tables), compiler.py
"""

from __future__ import annotations

import re

from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.conditions import ConditionReader
from labkit.eximconf.expansion.items import ItemReader
from labkit.eximconf.expansion.syntax import (
    ITEMS,
    OPERATORS,
    REFUSED_LOOKUPS,
    REFUSED_OPERATORS,
    split_operator,
)
from labkit.eximconf.reader import read_escape

_PLAIN = re.compile(r"[^\\$]+")
_PLAIN_INSIDE = re.compile(r"[^\\$}]+")
_BRACED_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_DIGITS = re.compile(r"[0-9]+")


class Parser(ItemReader, ConditionReader):
    """Walks over one text; `at` is where it stands, `problem` the mistake that ended the walk."""

    def text(self, *, closes: bool, dollars: bool = True) -> tree.Text:
        """Read to the end, or to the `}` that `closes` an argument (and stay on it)."""
        self.go_deeper()
        begin, text = self.at, self.source
        run = _PLAIN_INSIDE if closes else _PLAIN
        parts: list[tree.Node] = []
        literal: list[str] = []
        while self.problem is None and self.at < len(text):
            if plain := run.match(text, self.at):
                literal.append(plain[0])
                self.at = plain.end()
                continue
            char = text[self.at]
            if char == "}":
                break
            if char == "\\":
                self.backslash(literal)
            elif not dollars:
                literal.append(char)
                self.at += 1
            else:
                if literal:
                    parts.append(tree.Literal("".join(literal)))
                    literal = []
                node = self.dollar()
                if node is not None:
                    parts.append(node)
        if closes and self.problem is None and self.at >= len(text):
            hint = " - could be header name not terminated by colon" if self.open_header else ""
            self.fail(f"missing }} at end of string{hint}")
        if literal:
            parts.append(tree.Literal("".join(literal)))
        if self.problem is not None and not (parts and getattr(parts[-1], "problem", None)):
            parts.append(tree.Broken(self.problem))
        self.depth -= 1
        return tree.Text(tuple(parts), text[begin : self.at], self.problem)

    def backslash(self, literal: list[str]) -> None:
        if self.source.startswith("\\N", self.at):
            end = self.source.find("\\N", self.at + 2)
            literal.append(self.source[self.at + 2 : end if end >= 0 else None])
            self.at = end + 2 if end >= 0 else len(self.source)
        elif self.at + 1 == len(self.source):
            self.fail("\\ at end of string")
        else:
            char, last = read_escape(self.source, self.at)
            literal.append(char)
            self.at = last + 1

    def dollar(self) -> tree.Node | None:
        """What begins with the dollar sign at hand. None: it could not be read."""
        if name := self.name(self.at + 1):
            return self.variable(name)
        if number := _DIGITS.match(self.source, self.at + 1):
            self.at = number.end()
            return tree.Number(_small(number[0]))
        if self.source.startswith("{", self.at + 1):
            return self.braces()
        self.fail("$ not followed by letter, digit, or {")
        return None

    def braces(self) -> tree.Node | None:
        text, begin = self.source, self.at
        if number := _DIGITS.match(text, begin + 2):
            if not text.startswith("}", number.end()):
                self.fail("} expected after number")
                return None
            self.at = number.end() + 1
            return tree.Number(_small(number[0]))
        found = _BRACED_NAME.match(text, begin + 2)
        if found is None:
            self.fail("letter or digit expected after ${")
            return None
        name = found[0]
        self.at = found.end()
        if name in ITEMS:
            return self.item(name, begin)
        if text.startswith(":", self.at):
            return self.operator(name, begin)
        if text.startswith("}", self.at):
            self.at += 1
            if self.is_variable(name):
                return tree.Variable(name)
            self.fail(f'unknown variable in "${{{name}}}"')
            return None
        self.fail(f'"${{{name}" is not a known operator (or a }} is missing in a variable reference)')
        return None

    def operator(self, name: str, begin: int) -> tree.Node:
        base, suffix = split_operator(name)
        if base in REFUSED_OPERATORS or (base == "quote" and suffix in REFUSED_LOOKUPS):
            self.refuse(f"${{{name}:")
        self.at += 1
        argument = self.text(closes=True)
        self.at += 1
        if base not in OPERATORS:
            self.fail(f'unknown expansion operator "{name}"')
        return tree.Operator(base, suffix, argument, self.source[begin : self.at], self.problem)


def _small(digits: str) -> int:
    return int(digits[-9:]) if len(digits) < 10 else 999_999_999


def parse(text: str, depth: int = 0) -> tree.Text:
    """The tree of a text. Raises Refused; a mistake in the text is inside the tree."""
    return Parser(text, depth).text(closes=False)

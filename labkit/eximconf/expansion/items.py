"""Read the items `${name{argument}…}` into nodes: one method for each shape.

RULES      messages are Exim's; what stands before a mistake stays in the node, whose `problem` is the message.
STANDARDS  Exim specification, chapter "String expansions", section "Expansion items"
READ NEXT  conditions.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.scanner import Scanner
from labkit.eximconf.expansion.syntax import (
    BRANCHED_ITEMS,
    EACH_ITEMS,
    QUERIES,
    REFUSED_ITEMS,
    REFUSED_LOOKUPS,
    SINGLE_KEY,
    STRICT_ITEMS,
)

_LOOKUP_TYPE = re.compile(r"[^\s{]*")
_PARTIAL = re.compile(r"partial([0-9]{0,4})(?:\(([^A-Za-z0-9)]*)\)|-)(.*)", re.DOTALL)
_EACH_ARGUMENTS = {
    "map": ("first", "last"),
    "filter": ("first", "last"),
    "reduce": ("first", "second", "last"),
    "sort": ("list", "comparator", "extractor"),
}
_CURLY = "curly-bracket problem in conditional yes/no parsing"


class ItemReader(Scanner):
    """Reads what follows the name of an item."""

    if TYPE_CHECKING:

        def condition(self) -> tree.Condition:
            """ConditionReader.condition"""

    def item(self, name: str, begin: int) -> tree.Node:
        """The name was just read; `begin` is where its dollar sign stands."""
        if name in REFUSED_ITEMS:
            self.refuse(f"${{{name}{{")
        if name in STRICT_ITEMS:
            return self.strict(name, begin)
        if name in EACH_ITEMS:
            return self.each(name, begin)
        if name in BRANCHED_ITEMS:
            return self.branched(name, begin)
        return {"if": self.choice, "lookup": self.lookup, "extract": self.extract}[name](begin)

    def since(self, begin: int) -> str:
        return self.source[begin : self.at]

    def strict(self, name: str, begin: int) -> tree.Item:
        least, most = STRICT_ITEMS[name]
        arguments: list[tree.Text] = []
        while self.problem is None and len(arguments) < most:
            argument = self.argument()
            if argument is None:
                if len(arguments) < least:
                    self.fail(f"Not enough arguments for '{name}' (min is {least})")
                break
            arguments.append(argument)
        self.blanks()
        if self.sees("{"):
            self.fail(f"Too many arguments for '{name}' (max is {most})")
        elif not self.sees("}"):
            self.fail(f"missing '}}' after '{name}'")
        self.at += 1
        return tree.Item(name, tuple(arguments), source=self.since(begin), problem=self.problem)

    def branched(self, name: str, begin: int) -> tree.Item:
        arguments: list[tree.Text] = []
        for number in range(1 if name == "env" else 2):
            argument = self.argument()
            if argument is None:
                self.fail("" if name == "env" else f"missing '{{' for arg {number + 1} of {name}")
                break
            arguments.append(argument)
        branches = self.branches(name)
        return tree.Item(name, tuple(arguments), branches, self.since(begin), self.problem)

    def branches(self, name: str) -> tree.Branches:
        """`{yes}{no}}`, `{yes}fail}`, `{yes}}` or `}`."""
        self.blanks()
        if self.problem is not None or self.sees("}"):
            self.at += 1
            return tree.Branches()
        yes = self.argument()
        if yes is None:
            self.curly("'yes' part did not start with '{'")
            return tree.Branches()
        no = self.argument() if self.problem is None else None
        fails = no is None and self.problem is None and not self.sees("}") and self.says_fail(name)
        self.close_branches()
        return tree.Branches(yes, no, fails)

    def says_fail(self, name: str) -> bool:
        if self.name(self.at) == "fail":
            return True
        self.fail(f'syntax error in "{name}" item - "fail" expected')
        return False

    def close_branches(self) -> None:
        self.blanks()
        if not self.sees("}"):
            self.curly("did not close with '}'")
        self.at += 1

    def curly(self, what: str) -> None:
        if self.open_header:
            self.fail("missing or misplaced { or } - could be header name not terminated by colon")
        else:
            self.fail(f"{_CURLY}: {what}\n remaining string is '{self.source[self.at :]}'")

    def choice(self, begin: int) -> tree.If:
        condition = self.condition()
        branches = self.branches("if")
        return tree.If(condition, branches, self.since(begin), self.problem)

    def extract(self, begin: int) -> tree.Extract:
        texts: list[tree.Text] = []
        self.blanks()
        if re.compile(r"jsons?\b").match(self.source, self.at):
            self.refuse("${extract json")
        while self.problem is None and len(texts) < 5:
            argument = self.argument()
            if argument is None:
                break
            texts.append(argument)
        if not texts:
            self.fail("missing '{' for arg 1 of extract")
        fails = False
        if self.problem is None and not self.sees("}"):
            rest = self.at
            if len(texts) > 2 and self.name(self.at) == "fail":
                fails = True
                self.blanks()
            elif len(texts) in (1, 2) or (len(texts) == 3 and _is_number(texts[0])):
                if len(texts) == 1 or (len(texts) == 2 and _is_number(texts[0])):
                    self.fail(f"missing '{{' for arg {len(texts) + 1} of extract")
                self.curly("'yes' part did not start with '{'")
            elif len(texts) == (4 if _is_number(texts[0]) else 3):
                self.fail('syntax error in "extract" item - "fail" expected')
            else:
                self.at = rest
        self.close_branches()
        return tree.Extract(tuple(texts), fails, self.since(begin), self.problem)

    def each(self, name: str, begin: int) -> tree.Each:
        *before, last = _EACH_ARGUMENTS[name]
        arguments: list[tree.Text] = []
        for which in before:
            argument = self.argument()
            if argument is None:
                self.fail(f"missing '{{' for {which} arg of {name}")
                break
            arguments.append(argument)
        body: tree.Text | tree.Condition | None = None
        if self.problem is None:
            body = self.body(name, last)
            self.blanks()
            if not self.sees("}"):
                self.fail(f'missing }} at end of "{name}"')
            self.at += 1
        return tree.Each(name, tuple(arguments), body, self.since(begin), self.problem)

    def body(self, name: str, which: str) -> tree.Text | tree.Condition | None:
        if name != "filter":
            text = self.argument()
            if text is None:
                self.fail(f"missing '{{' for {which} arg of {name}")
            elif self.problem is not None and name != "sort":
                self.problem += f' inside "{name}" item'
            return text
        self.blanks()
        if not self.sees("{"):
            self.fail("missing '{' for last arg of filter")
            return None
        self.at += 1
        condition = self.condition()
        if self.problem is not None:
            self.problem += ' inside "filter" item'
        self.blanks()
        if not self.sees("}"):
            self.fail(
                'missing } at end of condition or expression inside "filter"; could be an unquoted } in the content'
            )
        self.at += 1
        return condition

    def lookup(self, begin: int) -> tree.Node | tree.Lookup:
        key = self.argument()
        if self.problem is not None:
            return tree.Item("lookup", (key,) if key else (), source=self.since(begin), problem=self.problem)
        self.blanks()
        kind = self.lookup_type(key is not None)
        where = self.argument() if self.problem is None else None
        if where is None:
            self.fail("missing '{' for lookup file-or-query arg")
        branches = self.branches("lookup")
        name, options, partial, affix, star = kind
        return tree.Lookup(
            name, options, partial, affix, star, key, where or tree.Text(()), branches, self.since(begin), self.problem
        )  # fmt: skip

    def lookup_type(self, has_key: bool) -> tuple[str, str, int | None, str, str]:
        found = _LOOKUP_TYPE.match(self.source, self.at)
        written = found[0] if found else ""
        nothing = ("", "", None, "", "")
        if not written[:1].isalpha():
            self.fail("missing lookup type")
            return nothing
        self.at += len(written)
        kind, _, options = written.partition(",")
        partial, affix, star = None, "*.", ""
        if (part := _PARTIAL.fullmatch(kind)) is not None:
            partial, affix, kind = int(part[1] or 2), "*." if part[2] is None else part[2], part[3]
        elif kind.startswith("partial"):
            self.fail(f'format error in lookup type "{kind}"')
            return nothing
        for ending in ("*@", "*"):
            if kind.endswith(ending):
                kind, star = kind.removesuffix(ending), ending
                break
        if kind in REFUSED_LOOKUPS:
            self.refuse(f"the look-up {kind}")
        if kind not in SINGLE_KEY and kind not in QUERIES:
            self.fail(f'unknown lookup type "{kind}"')
        elif kind in SINGLE_KEY and not has_key:
            self.fail(f'missing {{key}} for single-key "{kind}" lookup')
        elif kind in QUERIES and has_key:
            self.fail(
                f'a single key was given for lookup type "{kind}", which is not a single-key lookup type'
            )
        return kind, options, partial, affix, star


def _is_number(text: tree.Text) -> bool:
    return len(text.parts) == 1 and (
        isinstance(text.parts[0], tree.Literal)
        and re.fullmatch(r"\s*-?[0-9]+\s*", text.parts[0].text) is not None
    )

"""Read the conditions of `${if …}` and of filter, forany and forall.

RULES      the second argument of match_domain, match_ip, match_address and match_local_part is not expanded.
           Exim looks at a condition even where it skips it: an unknown name or a wrong truth value is always seen.
STANDARDS  Exim specification, chapter "String expansions", sections "Expansion conditions", "Combining …"
READ NEXT  compiler.py
"""

from __future__ import annotations

import re

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.numbers import is_boolean
from labkit.eximconf.expansion.scanner import Scanner
from labkit.eximconf.expansion.syntax import (
    CONDITIONS,
    ITERATING,
    LIST_CONDITIONS,
    NO_ARGUMENT,
    REFUSED_CONDITIONS,
    TWO_ARGUMENTS,
)
from labkit.eximconf.expansion.variables import acl_advice, is_known

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*|[<>]=?|==?")
_HEADER = re.compile(r"([rbl]?)h(?:eader)?_")


class ConditionReader(Scanner):
    """Reads one condition; it stands on the character behind it afterwards."""

    def condition(self) -> tree.Condition:
        self.go_deeper()
        found = self.one_condition()
        self.depth -= 1
        return found

    def one_condition(self) -> tree.Condition:
        begin = self.at
        negated = False
        self.blanks()
        while self.sees("!"):
            negated = not negated
            self.at += 1
            self.blanks()
        found = _NAME.match(self.source, self.at)
        name = found[0] if found else ""
        self.at += len(name)
        arguments: list[tree.Text] = []
        members: list[tree.Condition] = []
        of: tree.Variable | tree.Header | None = None
        if name in REFUSED_CONDITIONS:
            self.refuse(f"the condition {name}")
        if not name:
            self.fail(f'condition name expected, but found "{self.source[self.at : self.at + 16]}"')
        elif name not in CONDITIONS:
            self.fail(f'unknown condition "{name}"')
        elif name == "def":
            of = self.defined()
        elif name in ("and", "or"):
            self.group(name, members)
        elif name in ITERATING:
            self.iteration(name, arguments, members)
        elif name == "acl":
            self.acl(arguments)
        elif name not in NO_ARGUMENT:
            self.strict_arguments(name, arguments)
        return tree.Condition(
            name, negated, tuple(arguments), tuple(members), of, self.source[begin : self.at], self.problem
        )

    def strict_arguments(self, name: str, arguments: list[tree.Text]) -> None:
        for number in range(2 if name in TWO_ARGUMENTS else 1):
            argument = self.argument(dollars=not (number and name in LIST_CONDITIONS))
            if argument is None:
                self.fail(
                    f'missing 2nd string in {{}} after "{name}"' if number else f'missing {{ after "{name}"'
                )
            else:
                arguments.append(argument)
            if self.problem is not None:
                return
        if name == "bool" and len(arguments[0].parts) == 1:
            (literal,) = arguments[0].parts
            if isinstance(literal, tree.Literal) and not is_boolean(literal.text):
                self.fail(f'unrecognised boolean value "{literal.text.strip(BLANKS)}"')

    def defined(self) -> tree.Variable | tree.Header | None:
        if not self.sees(":"):
            self.fail('":" expected after "def"')
            return None
        begin = self.at + 1
        name = self.name(begin)
        if header := _HEADER.match(name):
            return self.header(header, name)
        if not name:
            found = re.compile(r"[A-Za-z0-9_]*").match(self.source, begin)
            name = found[0] if found else ""
        if is_known(name):
            return tree.Variable(name)
        self.fail(f'unknown variable "{name}" after "def:"{acl_advice(name)}')
        return None

    def group(self, name: str, members: list[tree.Condition]) -> None:
        self.blanks()
        if not self.sees("{"):
            return self.fail(f'missing {{ after "{name}"')
        self.at += 1
        while self.problem is None:
            self.blanks()
            if self.sees("}"):
                break
            if not self.sees("{"):
                return self.fail(
                    f'each subcondition inside an "{name}{{...}}" condition must be in its own {{}}'
                )
            self.at += 1
            members.append(self.condition())
            if self.problem is not None:
                self.problem += f' inside "{name}{{...}}" condition'
                return None
            self.blanks()
            if not self.sees("}"):
                return self.fail(f'missing }} at end of condition inside "{name}" group')
            self.at += 1
        self.at += 1
        return None

    def iteration(self, name: str, arguments: list[tree.Text], members: list[tree.Condition]) -> None:
        items = self.argument()
        if items is None:
            return self.fail(f'missing {{ after "{name}"')
        arguments.append(items)
        self.blanks()
        if not self.sees("{"):
            return self.fail(f'missing {{ after "{name}"')
        self.at += 1
        members.append(self.condition())
        if self.problem is not None:
            self.problem += f' inside "{name}" condition'
        self.blanks()
        if not self.sees("}"):
            return self.fail(f'missing }} at end of condition inside "{name}"')
        self.at += 1
        return None

    def acl(self, arguments: list[tree.Text]) -> None:
        self.blanks()
        if not self.sees("{"):
            return self.fail('missing { after "acl"')
        self.at += 1
        while self.problem is None and len(arguments) < 10 and (found := self.argument()) is not None:
            arguments.append(found)
        self.blanks()
        if not arguments:
            return self.fail('missing { after "acl"')
        if not self.sees("}"):
            return self.fail('missing } at end of condition inside "acl"')
        self.at += 1
        return None

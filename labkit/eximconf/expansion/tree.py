"""What a text means, as a value: the tree that the parser builds and the compiler walks.

WHAT       one frozen class for each shape. A linter, an editor and a trace read it, too.
PROBLEM    Exim reads and expands in one pass, so what stands before a mistake is still expanded (and may force a
           failure) before the mistake is seen. A node that holds a mistake says so in `problem`; nothing follows it.
STANDARDS  Exim specification, chapter "String expansions"
READ NEXT  parser.py
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Pieces that stand side by side; `source` is what was written."""

    parts: tuple[Node, ...]
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """`$h_subject:` and its like: `flavour` is h, rh, bh or lh."""

    flavour: str
    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """`$1`: a part of the last match."""

    number: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Where reading ended."""

    problem: str


@dataclass(frozen=True, slots=True)
class Operator:
    """`${name_suffix:argument}`"""

    name: str
    suffix: str
    argument: Text
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Branches:
    """What follows a question: `{yes}{no}`, `{yes}fail`, `{yes}` or nothing."""

    yes: Text | None = None
    no: Text | None = None
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """`${name{argument}{argument}…}`, perhaps with branches."""

    name: str
    arguments: tuple[Text, ...]
    branches: Branches = Branches()
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Extract:
    """`${extract{…}…}`: only the value of the first text tells how many of the others are arguments."""

    texts: tuple[Text, ...]
    fails: bool
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """`${lookup{key} type,options {file}…}` or `${lookup type,options {query}…}`."""

    kind: str
    options: str
    partial: int | None  # how many parts of the key must stay; None: no partial match
    affix: str
    star: str  # "", "*" or "*@"
    key: Text | None
    where: Text
    branches: Branches
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Each:
    """map, filter, reduce, sort: `body` is expanded for each item of the first argument."""

    name: str
    arguments: tuple[Text, ...]
    body: Text | Condition | None
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class If:
    condition: Condition
    branches: Branches
    source: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """`name{argument}…`; `members` are the conditions inside and, or, forany, forall; `of` is what def: names."""

    name: str
    negated: bool
    arguments: tuple[Text, ...] = ()
    members: tuple[Condition, ...] = ()
    of: Variable | Header | Number | None = None
    source: str = ""
    problem: str | None = None


Node = Literal | Variable | Header | Number | Broken | Operator | Item | Extract | Lookup | Each | If | Text

"""The parameters and values of a scenario file: `{domain}` stands for one of them.

WHAT       `read_values` gives all of them, with what whoever opens the world has set.
RULES      a value is one line; it may be made of those above it. A parameter that is a number in the file is a number
           from 1 to 254 (a student's); one that is a word without a dot is a word, or a few; any other one a name or an
           address.
READ NEXT  scenario_file.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from yaml.nodes import Node

from labkit.lab.data import fill_in
from labkit.lab.scenarios import is_domain
from labkit.lab.yaml_nodes import Reader, line_of, nearest

NAME = re.compile(r"[a-z][a-z0-9_]*")
PLACEHOLDER = re.compile(r"(?<![$\w{}])\{([a-z][a-z0-9_]*)\}")  # of ours: Exim's own have a $ in front
WORDS = re.compile(r"[a-z][a-z0-9_-]{0,30}(?: [a-z0-9_-]{1,30}){0,4}")
LARGEST_NUMBER = 254


class Values:
    """What stands for what. `fill` puts values into a text."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def fill(self, text: str) -> str:
        return fill_in(text, self.known) if "{" in text else text

    def unknown(self, text: str) -> tuple[str, int] | None:
        """The first `{name}` in a text that stands for nothing, and how many lines are above it."""
        found = next((each for each in PLACEHOLDER.finditer(text)), None)
        return None if found is None else (found[1], text.count("\n", 0, found.start()))

    def remedy(self, name: str) -> str:
        """What to write instead of an unknown value."""
        near = nearest(name, list(self.known))
        if near:
            return f"do you mean {{{near}}}?"
        return f"set it below values:, or take one of: {', '.join(self.known) or '(there are none)'}"


def read_values(top: Reader, values: Values, given: Mapping[str, object]) -> None:
    """Read the parameters and the values. Raises ValueError for a parameter that is given and cannot be."""
    parameters = dict(top.mapping("parameters"))
    for name in given:
        if name not in parameters:
            has = f"it has {', '.join(parameters)}" if parameters else "it has none"
            raise ValueError(f"this scenario has no parameter {name!r}: {has}")
    for name, node in parameters.items():
        text = _one(top, "parameters", name, node, values)
        if name in given and given[name] is not None:
            text = _given(
                name, given[name], is_number=text.isdigit(), is_word=WORDS.fullmatch(text) is not None
            )
        values.known[name] = text
    for name, node in top.mapping("values"):
        values.known[name] = _one(top, "values", name, node, values)


def _one(top: Reader, section: str, name: str, node: Node, values: Values) -> str:
    field = f"{section}, {name}"
    if not NAME.fullmatch(name):
        problem = "this cannot be the name of a value"
        top.problems.add(line_of(node), field, problem, "small letters, digits and _ only")
    elif name in values.known:
        top.problems.add(line_of(node), field, "it is there already", "take another name")
    text = top.scalar(node, field)
    return text


def _given(name: str, value: object, *, is_number: bool, is_word: bool) -> str:
    if is_number:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_NUMBER:
            raise ValueError(f"{name} is {value!r}: it must be a whole number from 1 to {LARGEST_NUMBER}")
        return str(value)
    text = str(value)
    if is_word:
        if not WORDS.fullmatch(text):
            raise ValueError(
                f"{name} is {text[:60]!r}: write a word in small letters, such as the one in the file"
            )
        return text
    if not is_domain(text):  # an address looks like one
        raise ValueError(
            f"{name} is {text!r}: write a domain in small letters, such as sne21.test, or an address"
        )
    return text

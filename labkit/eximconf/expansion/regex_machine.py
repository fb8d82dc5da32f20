"""Run a regular expression step by step, with a limit: what PCRE2 calls its match limit.

WHY        `re` may need longer than the universe for `^(a+)+$`, and nothing can stop it. This machine tries in the same
           order, remembers where it failed already, and gives up after MOST_STEPS.
HOW        the tree becomes a program: take a character, go two ways, save a position. A stack keeps the ways not yet
           tried. Without back references, a place and a position that failed once fail always: so time is linear.
READ NEXT  patterns.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.regex_syntax import (
    Assertion,
    Atomic,
    Back,
    Chars,
    Choice,
    Group,
    Look,
    Pattern,
    Regex,
    Repeat,
    Sequence,
)

MOST_STEPS = 500_000
LONGEST_PROGRAM = 20_000
Captures = tuple[int, ...]


@dataclass(slots=True)
class Program:
    """A list of instructions: (name, argument, argument)."""

    source: str
    code: list[tuple[str, Any, Any]] = field(default_factory=list)
    remembers: bool = True

    def add(self, name: str, first: Any = None, second: Any = None) -> int:
        if len(self.code) >= LONGEST_PROGRAM:
            raise failed(f'regular expression error in "{self.source}": it is too large')
        self.code.append((name, first, second))
        return len(self.code) - 1

    def aim(self, at: int, first: int, second: int) -> None:
        self.code[at] = ("split", first, second)


def assemble(pattern: Pattern) -> Program:
    """The program of an expression."""
    program = Program(pattern.source)
    _emit(program, pattern.root)
    program.add("done")
    return program


def _emit(program: Program, node: Regex) -> None:
    if isinstance(node, Chars):
        program.add("take", node.chars)
    elif isinstance(node, Sequence):
        for part in node.parts:
            _emit(program, part)
    elif isinstance(node, Choice):
        _emit_choice(program, node)
    elif isinstance(node, Repeat):
        _emit_repeat(program, node)
    elif isinstance(node, Group):
        program.add("save", 2 * node.number)
        _emit(program, node.part)
        program.add("save", 2 * node.number + 1)
    elif isinstance(node, Assertion):
        program.add("assert", node.kind)
    elif isinstance(node, Back):
        program.remembers = False
        program.add("again", node.number, node.caseless)
    else:
        inner = Program(program.source)
        _emit(inner, node.part)
        inner.add("done")
        program.remembers = program.remembers and inner.remembers
        if isinstance(node, Atomic):
            program.add("atomic", inner)
        else:
            program.add("look", inner, (node.negative, None if node.ahead else _widths(program, node.part)))


def _emit_choice(program: Program, node: Choice) -> None:
    ends = []
    for part in node.parts[:-1]:
        split = program.add("split")
        _emit(program, part)
        ends.append(program.add("jump"))
        program.aim(split, split + 1, len(program.code))
    _emit(program, node.parts[-1])
    for end in ends:
        program.code[end] = ("jump", len(program.code), None)


def _emit_repeat(program: Program, node: Repeat) -> None:
    if node.kind == "possessive":
        return _emit(program, Atomic(Repeat(node.part, node.least, node.most, "greedy")))
    for _ in range(node.least):
        _emit(program, node.part)
    skips = []
    for _ in range(1 if node.most is None else node.most - node.least):
        skips.append(program.add("split"))
        _emit(program, node.part)
        if node.most is None:
            program.add("jump", skips[-1])
    end = len(program.code)
    for skip in skips:
        program.aim(skip, *((skip + 1, end) if node.kind == "greedy" else (end, skip + 1)))
    return None


def _widths(program: Program, node: Regex) -> tuple[int, ...]:
    """How long the text of a look-behind may be: PCRE2 wants each alternative of one length."""
    parts = node.parts if isinstance(node, Choice) else (node,)
    return tuple(_width(program, part) for part in parts)


def _width(program: Program, node: Regex) -> int:
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Sequence):
        return sum(_width(program, part) for part in node.parts)
    if isinstance(node, (Group, Atomic)):
        return _width(program, node.part)
    if isinstance(node, (Assertion, Look)):
        return 0
    if isinstance(node, Repeat) and node.least == node.most:
        return node.least * _width(program, node.part)
    if isinstance(node, Choice) and len(widths := {_width(program, part) for part in node.parts}) == 1:
        return widths.pop()
    raise failed(f'regular expression error in "{program.source}": lookbehind assertion is not fixed length')


class Run:
    """One search in one text; the steps of all its parts are counted together."""

    def __init__(self, program: Program, groups: int, text: str) -> None:
        self.program = program
        self.text = text
        self.nothing: Captures = (-1,) * (2 * groups + 2)
        self.steps = MOST_STEPS

    def search(self, begin: int) -> Captures | None:
        """The positions of the whole and of each group; None: no match."""
        failed_before: set[int] = set()
        for at in range(begin, len(self.text) + 1):
            found = self.attempt(self.program, at, self.nothing, failed_before)
            if found is not None:
                return (at, found[0], *found[1][2:])
        return None

    def attempt(
        self, program: Program, at: int, captures: Captures, tried: set[int]
    ) -> tuple[int, Captures] | None:
        """Where the program ends if it starts here."""
        code, text, size = program.code, self.text, len(self.text) + 1
        stack = [(0, at, captures)]
        while stack:
            place, at, captures = stack.pop()
            while True:
                self.steps -= 1
                if self.steps < 0:
                    raise failed(
                        f'the regular expression "{program.source}" needs more than {MOST_STEPS} steps'
                    )
                name, first, second = code[place]
                if name == "take":
                    if at + 1 < size and text[at] in first:
                        at += 1
                        place += 1
                        continue
                    break
                if name == "split":
                    if program.remembers:
                        if (key := place * size + at) in tried:
                            break
                        tried.add(key)
                    stack.append((second, at, captures))
                    place = first
                elif name == "jump":
                    place = first
                elif name == "save":
                    captures = (*captures[:first], at, *captures[first + 1 :])
                    place += 1
                elif name == "done":
                    return at, captures
                else:
                    went = self.special(name, first, second, at, captures)
                    if went is None:
                        break
                    at, captures = went
                    place += 1
        return None

    def special(
        self, name: str, first: Any, second: Any, at: int, captures: Captures
    ) -> tuple[int, Captures] | None:
        if name == "assert":
            return (at, captures) if holds(first, self.text, at) else None
        if name == "atomic":
            return self.attempt(first, at, captures, set())
        if name == "again":
            begin, end = captures[2 * first], captures[2 * first + 1]
            if begin < 0 or end < 0:
                return None
            wanted, seen = self.text[begin:end], self.text[at : at + end - begin]
            same = wanted.lower() == seen.lower() if second else wanted == seen
            return (at + end - begin, captures) if same else None
        negative, widths = second
        found = None
        for width in (0,) if widths is None else widths:
            if at - width >= 0 and found is None:
                found = self.attempt(first, at - width, captures, set())
                if found is not None and widths is not None and found[0] != at:
                    found = None
        if negative:
            return (at, captures) if found is None else None
        return None if found is None else (at, found[1])


def holds(kind: str, text: str, at: int) -> bool:
    """Is this assertion true here?"""
    if kind in ("word", "inner"):
        before = at > 0 and _is_word(text[at - 1])
        after = at < len(text) and _is_word(text[at])
        return (before != after) == (kind == "word")
    if kind == "start":
        return at == 0
    if kind == "line start":
        return at == 0 or (text[at - 1] == "\n" and at < len(text))
    if kind == "very end":
        return at == len(text)
    if kind == "final":
        return at == len(text) or (at == len(text) - 1 and text[at] == "\n")
    return at == len(text) or text[at] == "\n"  # line end


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")

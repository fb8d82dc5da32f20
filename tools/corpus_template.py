"""The grammar of the texts in tools/corpus_texts: one style in one language each, from which letters are drawn.

WHAT       `read_style(path)` reads such a file; `style.draw(dice, known)` gives a subject and the lines of a body.
FILE       At the top `name: value`, one a line: `kind` (ham, spam), `use` (training, held_out), `count`, `dress`
           (see corpus_letter.py), `from`; every other name is a list of words, parted by ` | `. Then come the letters,
           each after a line `---`: a subject, an empty line, the body. A line is a paragraph. Before the subject
           lines `@name: value` may stand: words for this text alone.
GRAMMAR    {a|b|}        one of these, nested as deep as you like; spammers call it spintax
           {name}        a word of that list; the same one in the whole letter
           {name+}       a word of that list, drawn anew
           {####}        so many digits;  {3-9}  a number from 3 to 9;  {clock}  a time of day
           {price}       a price, {postage} a low one, and {total} the sum of those so far
           In a list, `Corner Books @ books.example` makes {shop} the first and {shop_domain} the second.
           [pick 2-3]    so many of the paragraphs down to [end], in any order
RULES      Dice are made of a hash: the same letters on every machine and with every Python.
READ NEXT  corpus_letter.py, make_corpus.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

_Thing = TypeVar("_Thing")
_RANGE = re.compile(r"(\d+)-(\d+)")
_PICK = re.compile(r"\[pick (\d+)(?:-(\d+))?\]")
_CENTS = {"price": (390, 6490), "postage": (290, 690)}  # from, to
_NAME = re.compile(r"[a-z_]+")
_HEAD = re.compile(r"(\w+):\s*(.*)")


class Dice:
    """Numbers that only look like chance: each is a hash of the name and of how many were drawn before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._drawn = 0

    def below(self, end: int) -> int:
        self._drawn += 1
        octets = blake2b(f"{self._name} {self._drawn}".encode(), digest_size=8).digest()
        return int.from_bytes(octets, "big") % end

    def between(self, first: int, last: int) -> int:
        return first + self.below(last - first + 1)

    def one(self, things: Sequence[_Thing]) -> _Thing:
        return things[self.below(len(things))]

    def happens(self, percent: int) -> bool:
        return self.below(100) < percent

    def some(self, things: Sequence[_Thing], count: int) -> list[_Thing]:
        """So many of them, each once, in any order."""
        rest = list(things)
        return [rest.pop(self.below(len(rest))) for _ in range(min(count, len(rest)))]

    def digits(self, count: int) -> str:
        return "".join(str(self.between(1 if place == 0 else 0, 9)) for place in range(count))


@dataclass(frozen=True)
class Text:
    """What a letter is drawn from, and the words of its own."""

    subject: str
    body: str
    head: Mapping[str, str]


@dataclass(frozen=True)
class Style:
    """One file: what its letters are, and the texts they are drawn from."""

    name: str
    language: str
    head: Mapping[str, str]
    texts: tuple[Text, ...]

    def __getitem__(self, name: str) -> str:
        return self.head[name]

    def turn(self, number: int) -> Style:
        """The style with one text only: they come in turn."""
        text = self.texts[number % len(self.texts)]
        return Style(self.name, self.language, {**self.head, **text.head}, (text,))

    def draw(self, dice: Dice, known: dict[str, str]) -> tuple[str, list[str]]:
        """A subject and the lines of a body. `known` are words that hold in the whole letter."""
        lines = _picked(self.texts[0].body, dice)
        drawn = [self.expand(line, dice, known) for line in [self.texts[0].subject, *lines]]
        return drawn[0], _without_holes(drawn[1:])

    def expand(self, text: str, dice: Dice, known: dict[str, str]) -> str:
        """The text with everything in braces drawn. Raises KeyError for a list that nobody knows."""
        # Braces are opened from the outside, so that what is not chosen is not drawn.
        while "{" in text:
            start = text.index("{")
            end = _closing(text, start)
            text = text[:start] + self._drawn(text[start + 1 : end], dice, known) + text[end + 1 :]
        return text

    def _drawn(self, inside: str, dice: Dice, known: dict[str, str]) -> str:
        choices = _parted(inside)
        if len(choices) > 1:
            return dice.one(choices)
        if set(inside) == {"#"}:
            return dice.digits(len(inside))
        if found := _RANGE.fullmatch(inside):
            return str(dice.between(int(found[1]), int(found[2])))
        name = inside.removesuffix("+")
        if not _NAME.fullmatch(name):
            return inside
        if name == "clock":
            return f"{dice.between(7, 22):02}:{dice.below(60):02}:{dice.below(60):02}"
        if name in _CENTS:
            return self._price(dice.between(*_CENTS[name]), known)
        if name in known and not inside.endswith("+"):
            return known[name]
        if name not in self.head:
            raise KeyError(f"{self.name}.{self.language}: nothing says what {{{inside}}} is")
        word = self.expand(dice.one(self.head[name].split(" | ")), dice, known)
        word, _, domain = word.partition(" @ ")
        if domain:
            known[f"{name}_domain"] = domain
        if not inside.endswith("+"):
            known[name] = word
        return word

    def _price(self, cents: int, known: dict[str, str]) -> str:
        """A price in the language's way of writing; the sum grows."""
        point = "." if self.language == "en" else ","
        total = cents + int(known.get("total", "0").replace(point, ""))
        known["total"] = f"{total // 100}{point}{total % 100:02}"
        return f"{cents // 100}{point}{cents % 100:02}"


def read_style(path: Path, common: Mapping[str, str]) -> Style:
    """Raises ValueError for a line at the top that is no `name: value`."""
    name, language = path.stem.split(".")
    head, *blocks = path.read_text(encoding="utf-8").split("\n---\n")
    lines = [line for line in head.splitlines() if line and not line.startswith("#")]
    return Style(
        name, language, {**common, **_fields(path, lines)}, tuple(_text(path, each) for each in blocks)
    )


def _text(path: Path, block: str) -> Text:
    lines = block.strip("\n").split("\n")
    own = 0
    while lines[own].startswith("@"):
        own += 1
    return Text(lines[own], "\n".join(lines[own + 1 :]), _fields(path, [line[1:] for line in lines[:own]]))


def _fields(path: Path, lines: Sequence[str]) -> dict[str, str]:
    fields = {}
    for line in lines:
        found = _HEAD.fullmatch(line.strip())
        if not found:
            raise ValueError(f"{path.name}: not `name: value`: {line}")
        fields[found[1]] = found[2]
    return fields


def _picked(body: str, dice: Dice) -> list[str]:
    """The lines of a body, after every [pick] chose among its paragraphs."""
    lines: list[str] = []
    group: list[str] | None = None
    count = 0
    for line in body.split("\n"):
        if found := _PICK.fullmatch(line.strip()):
            group, count = [], dice.between(int(found[1]), int(found[2] or found[1]))
        elif line.strip() == "[end]" and group is not None:
            for paragraph in dice.some("\n".join(group).strip("\n").split("\n\n"), count):
                lines += [*paragraph.split("\n"), ""]
            group = None
        elif group is not None:
            group.append(line)
        else:
            lines.append(line)
    return lines


def _without_holes(lines: list[str]) -> list[str]:
    """At most one empty line between two others, none at the ends; a choice may have left nothing."""
    kept: list[str] = []
    for line in "\n".join(lines).split("\n"):
        text = re.sub(r"^ (?! )", "", line.rstrip())  # two blanks and more are meant
        if text or (kept and kept[-1]):
            kept.append(text)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _closing(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place
    raise ValueError(f"a brace is not closed: {text[start : start + 60]}")


def _parted(inside: str) -> list[str]:
    """What stands between the | of this pair of braces, not of deeper ones."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(inside):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "|" and not depth:
            parts.append(inside[start:place])
            start = place + 1
    return [*parts, inside[start:]]

"""Read a Perl-compatible regular expression into a tree.

WHAT       characters become sets of octets: caseless matching, `.`, classes and \\d are settled here, so that what runs
           the tree needs no flags. Errors are PCRE2's, with their offset.
REFUSED    what neither `re` nor our own machine can do is refused by name: \\K, \\p, recursion, conditions, verbs.
STANDARDS  the manual page pcre2pattern; Exim specification, chapter "Regular expressions"
READ NEXT  regex_machine.py
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass

from labkit.eximconf.expansion.outcomes import failed

EVERYTHING = frozenset(map(chr, range(256)))
_CLASSES = {
    "d": frozenset(string.digits),
    "w": frozenset(string.ascii_letters + string.digits + "_"),
    "s": frozenset(" \t\n\v\f\r"),
    "h": frozenset(" \t\xa0"),
    "v": frozenset("\n\v\f\r\x85"),
    "N": EVERYTHING - {"\n"},
}
_CLASSES |= {name.upper(): EVERYTHING - chars for name, chars in _CLASSES.items() if name != "N"}
_POSIX = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "ascii": frozenset(map(chr, range(128))),
    "blank": frozenset(" \t"),
    "cntrl": frozenset([*map(chr, range(32)), "\x7f"]),
    "digit": frozenset(string.digits),
    "graph": frozenset(map(chr, range(33, 127))),
    "lower": frozenset(string.ascii_lowercase),
    "print": frozenset(map(chr, range(32, 127))),
    "punct": frozenset(string.punctuation),
    "space": _CLASSES["s"],
    "upper": frozenset(string.ascii_uppercase),
    "word": _CLASSES["w"],
    "xdigit": frozenset(string.hexdigits),
}
_ESCAPES = {"a": "\a", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ASSERTIONS = {"b": "word", "B": "inner", "A": "start", "Z": "final", "z": "very end"}
_QUANTIFIER = re.compile(r"\{([0-9]{1,5})(?:(,)([0-9]{1,5})?)?\}|[*+?]")
_SETTING = re.compile(r"\(\?([imsxn]*)(?:-([imsxn]*))?\)")
_NAMED_AGAIN = re.compile(r"\?P=([A-Za-z_]\w*)\)")
_NAMED = re.compile(r"\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_UNNUMBERED = re.compile(r"\?([imsxn]*)(?:-([imsxn]*))?:")
_MISNAMED = re.compile(r"\?P?<\w|\?'")
_OCTAL = re.compile("[0-7]{2,3}")
_REFERENCE = re.compile(
    r"g?\{?(-?[0-9]{1,4})\}?|[gk](?:\{([A-Za-z_]\w*)\}|<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')"
)
_HEX = re.compile(r"\{([0-9A-Fa-f]{1,2})\}|([0-9A-Fa-f]{0,2})")
_OCTAL_CHARACTER = re.compile("[0-7]{1,3}")
_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
DEEPEST = 50
LARGEST_REPEAT = 1000


@dataclass(frozen=True, slots=True)
class Chars:
    """One octet out of these."""

    chars: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple[Regex, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple[Regex, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`most` None: without end. `kind`: greedy, lazy or possessive."""

    part: Regex
    least: int
    most: int | None
    kind: str


@dataclass(frozen=True, slots=True)
class Group:
    part: Regex
    number: int


@dataclass(frozen=True, slots=True)
class Atomic:
    part: Regex


@dataclass(frozen=True, slots=True)
class Look:
    part: Regex
    ahead: bool
    negative: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """start, line start, end, line end, final, very end, word, inner"""

    kind: str


@dataclass(frozen=True, slots=True)
class Back:
    """The same text again that a group matched."""

    number: int
    caseless: bool


Regex = Chars | Sequence | Choice | Repeat | Group | Atomic | Look | Assertion | Back


@dataclass(frozen=True, slots=True)
class Pattern:
    """A whole expression."""

    source: str
    root: Regex
    groups: int


def parse_regex(source: str) -> Pattern:
    """Raises Stop with PCRE2's words, or with the name of what labkit does not read."""
    reader = _Reader(source)
    root = reader.choice()
    if reader.at < len(source):
        raise reader.wrong("unmatched closing parenthesis")
    for number, at in reader.references:
        if number > reader.groups:
            reader.at = at
            raise reader.wrong("reference to non-existent subpattern")
    return Pattern(source, root, reader.groups)


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.groups = 0
        self.depth = 0
        self.names: dict[str, int] = {}
        self.references: list[tuple[int, int]] = []
        self.flags: frozenset[str] = frozenset()

    def wrong(self, what: str) -> Exception:
        return failed(f'regular expression error in "{self.source}": {what} at offset {self.at}')

    def refused(self, what: str) -> Exception:
        return failed(f'regular expression error in "{self.source}": {what} is not read by labkit')

    def sees(self, text: str) -> bool:
        return self.source.startswith(text, self.at)

    def takes(self, text: str) -> bool:
        if self.sees(text):
            self.at += len(text)
            return True
        return False

    def choice(self) -> Regex:
        """Alternatives, up to a closing parenthesis or the end."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.refused(f"more than {DEEPEST} parentheses one inside the other")
        flags = self.flags
        parts = [self.sequence()]
        while self.takes("|"):
            parts.append(self.sequence())
        self.flags = flags
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def sequence(self) -> Regex:
        parts: list[Regex] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            if self.skips():
                continue
            parts.extend(self.quantified())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def skips(self) -> bool:
        """Comments, blanks under (?x), and settings such as (?i)."""
        if self.sees("(?#"):
            end = self.source.find(")", self.at)
            if end < 0:
                self.at = len(self.source)
                raise self.wrong("missing ) after (?# comment")
            self.at = end + 1
            return True
        if "x" in self.flags and self.source[self.at] in " \t\n\v\f\r":
            self.at += 1
            return True
        if "x" in self.flags and self.sees("#"):
            end = self.source.find("\n", self.at)
            self.at = end + 1 if end >= 0 else len(self.source)
            return True
        if found := _SETTING.match(self.source, self.at):
            self.flags = (self.flags | set(found[1])) - set(found[2] or "")
            self.at = found.end()
            return True
        return False

    def quantified(self) -> list[Regex]:
        """One element with what stands behind it; \\Q…\\E is many elements."""
        if self.takes("\\Q"):
            end = self.source.find("\\E", self.at)
            text = self.source[self.at : end if end >= 0 else None]
            self.at = end + 2 if end >= 0 else len(self.source)
            return [*map(self.literal, text[:-1]), self.repeated(self.literal(text[-1]))] if text else []
        if self.takes("\\E"):
            return []
        return [self.repeated(self.element())]

    def repeated(self, element: Regex) -> Regex:
        while self.at < len(self.source) and (found := _QUANTIFIER.match(self.source, self.at)):
            self.at = found.end()
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(found[0], (0, 0))
            if found[1]:
                least = int(found[1])
                most = least if not found[2] else (int(found[3]) if found[3] else None)
                if most is not None and most < least:
                    raise self.wrong("numbers out of order in {} quantifier")
                if max(least, most or 0) > LARGEST_REPEAT:
                    raise self.refused(f"a repetition of more than {LARGEST_REPEAT}")
            kind = "lazy" if self.takes("?") else "possessive" if self.takes("+") else "greedy"
            if isinstance(element, (Assertion, Look)):
                least = most = min(least, 1)
            element = Repeat(element, least, most, kind)
        return element

    def literal(self, char: str) -> Chars:
        if "i" in self.flags and char.isascii():
            return Chars(frozenset((char.lower(), char.upper())))
        return Chars(frozenset((char,)))

    def element(self) -> Regex:
        char = self.source[self.at]
        if _QUANTIFIER.match(self.source, self.at):
            raise self.wrong("quantifier does not follow a repeatable item")
        self.at += 1
        simple: dict[str, Callable[[], Regex]] = {
            "(": self.group,
            "[": self.charset,
            "\\": self.backslash,
            "^": lambda: Assertion("line start" if "m" in self.flags else "start"),
            "$": lambda: Assertion("line end" if "m" in self.flags else "final"),
            ".": lambda: Chars(EVERYTHING if "s" in self.flags else _CLASSES["N"]),
        }
        return simple[char]() if char in simple else self.literal(char)

    def group(self) -> Regex:
        """After `(`."""
        if found := _NAMED_AGAIN.match(self.source, self.at):
            self.at = found.end()
            if found[1] not in self.names:
                raise self.wrong("reference to non-existent subpattern")
            return Back(self.names[found[1]], "i" in self.flags)
        if self.sees("*"):
            raise self.refused("a verb (*…)")
        flags = self.flags
        build = self.group_kind()
        part = self.choice()
        if not self.takes(")"):
            raise self.wrong("missing closing parenthesis")
        self.flags = flags
        return build(part)

    def group_kind(self) -> Callable[[Regex], Regex]:
        if not self.sees("?"):
            return self.numbered() if "n" not in self.flags else (lambda part: part)
        if found := _NAMED.match(self.source, self.at):
            self.at = found.end()
            self.names[found[1] or found[2]] = self.groups + 1
            return self.numbered()
        for sign, ahead, negative in (
            ("?=", True, False), ("?!", True, True), ("?<=", False, False), ("?<!", False, True),
        ):  # fmt: skip
            if self.takes(sign):
                return lambda part: Look(part, ahead, negative)
        if self.takes("?>"):
            return Atomic
        if found := _UNNUMBERED.match(self.source, self.at):
            self.flags = (self.flags | set(found[1])) - set(found[2] or "")
            self.at = found.end()
            return lambda part: part
        if _MISNAMED.match(self.source, self.at):
            self.at = (
                len(self.source) if ")" not in self.source[self.at :] else self.source.index(")", self.at)
            )
            raise self.wrong("syntax error in subpattern name (missing terminator?)")
        raise self.refused(f"({self.source[self.at : self.at + 2]}…")

    def numbered(self) -> Callable[[Regex], Regex]:
        self.groups += 1
        number = self.groups
        return lambda part: Group(part, number)

    def backslash(self) -> Regex:
        if self.at == len(self.source):
            raise self.wrong("\\ at end of pattern")
        char = self.source[self.at]
        self.at += 1
        if char in _CLASSES:
            return Chars(_CLASSES[char])
        if char in _ASSERTIONS:
            return Assertion(_ASSERTIONS[char])
        if char == "R":
            return Choice((Sequence((self.literal("\r"), self.literal("\n"))), Chars(_CLASSES["v"])))
        if char in "gk" or (char in "123456789" and not self.is_octal()):
            self.at -= 1
            return self.reference()
        if char in "CGKXpP":
            raise self.refused(f"\\{char}")
        return self.literal(self.character(char))

    def is_octal(self) -> bool:
        found = _OCTAL.match(self.source, self.at - 1)
        return found is not None and int(found[0], 10) > max(9, self.groups)

    def reference(self) -> Back:
        found = _REFERENCE.match(self.source, self.at)
        if found is None:
            raise self.refused(f"\\{self.source[self.at]}")
        self.at = found.end()
        if name := found[2] or found[3] or found[4]:
            number = self.names.get(name, 0)
        else:
            number = int(found[1])
            number += self.groups + 1 if number < 0 else 0
        if number < 1:
            raise self.wrong("reference to non-existent subpattern")
        self.references.append((number, self.at - 1))
        return Back(number, "i" in self.flags)

    def character(self, char: str) -> str:
        """The single character that a backslash with `char` means."""
        if char == "x":
            found = _HEX.match(self.source, self.at)
            assert found is not None, "it may be empty"
            self.at = found.end()
            return chr(int(found[1] or found[2] or "0", 16))
        if char in string.octdigits:
            found = _OCTAL_CHARACTER.match(self.source, self.at - 1)
            assert found is not None, "there is one digit"
            self.at = found.end()
            return chr(int(found[0], 8) & 0xFF)
        if char == "c" and self.at < len(self.source):
            self.at += 1
            return chr(ord(self.source[self.at - 1].upper()) & 0x7F ^ 0x40)
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char.isascii() and char.isalnum():
            self.at -= 1
            raise self.wrong("unrecognized character follows \\")
        return char

    def charset(self) -> Regex:
        """After `[`."""
        negative = self.takes("^")
        chars: set[str] = set()
        first = True
        while first or not self.sees("]"):
            if self.at >= len(self.source):
                raise self.wrong("missing terminating ] for character class")
            first = False
            if found := _CLASS.match(self.source, self.at):
                self.at = found.end()
                if found[2] not in _POSIX:
                    raise self.wrong("unknown POSIX class name")
                chars |= EVERYTHING - _POSIX[found[2]] if found[1] else _POSIX[found[2]]
                continue
            chars |= self.range()
        self.at += 1
        if "i" in self.flags:
            chars |= {each for char in chars if char.isascii() for each in (char.lower(), char.upper())}
        return Chars(EVERYTHING - chars if negative else frozenset(chars))

    def range(self) -> frozenset[str]:
        low = self.member()
        if len(low) != 1 or not self.sees("-") or self.source[self.at + 1 : self.at + 2] in ("]", ""):
            return low
        dash = self.at
        self.at += 1
        high = self.member()
        if len(high) != 1:
            self.at = dash
            return low
        begin, end = ord(*low), ord(*high)
        if end < begin:
            self.at -= 1
            raise self.wrong("range out of order in character class")
        return frozenset(map(chr, range(begin, end + 1)))

    def member(self) -> frozenset[str]:
        if not self.takes("\\"):
            self.at += 1
            return frozenset(self.source[self.at - 1])
        if self.at == len(self.source):
            raise self.wrong("\\ at end of pattern")
        char = self.source[self.at]
        self.at += 1
        if char in _CLASSES and char != "N":
            return _CLASSES[char]
        if char in "pPRX":
            raise self.refused(f"\\{char}")
        return frozenset("\b" if char == "b" else self.character(char))

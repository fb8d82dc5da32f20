"""Reckon: `${eval:2*(3+4)}` and `${eval10:…}`.

LIKE EXIM  64 bits; / and % round towards zero as in C; a sum that does not fit is an error, others wrap around;
           eval reads 010 as octal and 0x10 as hexadecimal, eval10 only decimal; K, M and G multiply by 1024.
STANDARDS  Exim specification, chapter "String expansions", operators eval and eval10
READ NEXT  texts.py
"""

from __future__ import annotations

import re
from collections.abc import Callable

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.numbers import LARGEST
from labkit.eximconf.expansion.outcomes import Stop, failed

_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f]*|0[0-7]*|[1-9][0-9]*)([kKmMgG]?)")
_DECIMAL = re.compile(r"([0-9]+)([kKmMgG]?)")
_SUFFIX = {"": 0, "k": 10, "m": 20, "g": 30}
_DEEPEST = 50
_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))  # from weak to strong


def evaluate(text: str, *, decimal: bool = False) -> str:
    """The value as a decimal number. Raises Stop with Exim's words."""
    return str(_Reckoner(text, _DECIMAL if decimal else _NUMBER).result())


def _wrapped(value: int) -> int:
    return ((value + 2**63) & (2**64 - 1)) - 2**63


class _Reckoner:
    def __init__(self, text: str, number: re.Pattern[str]) -> None:
        self.text = text.partition("\0")[0]
        self.number = number
        self.at = 0
        self.depth = 0

    def result(self) -> int:
        value = self.level(0)
        self.blanks()
        if self.at < len(self.text):
            raise self.wrong("expecting operator")
        return value

    def wrong(self, what: str) -> Stop:
        done = self.text[: self.at]
        return failed(f'error in expression evaluation: {what} (after processing "{done}")')

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in BLANKS:
            self.at += 1

    def level(self, depth: int) -> int:
        """All operators of one strength, from left to right."""
        if depth == len(_LEVELS):
            return self.operand()
        value = self.level(depth + 1)
        while operator := self.operator(_LEVELS[depth]):
            self.at += len(operator)
            value = self.apply(operator, value, self.level(depth + 1))
        return value

    def operator(self, wanted: tuple[str, ...]) -> str:
        self.blanks()
        return next((each for each in wanted if self.text.startswith(each, self.at)), "")

    def operand(self) -> int:
        self.blanks()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise failed(
                f"error in expression evaluation: more than {_DEEPEST} signs or parentheses in a row"
            )
        try:
            return self.signed()
        finally:
            self.depth -= 1

    def signed(self) -> int:
        char = self.text[self.at : self.at + 1]
        if char in ("-", "+", "~") and char:
            self.at += 1
            value = self.operand()
            return {"-": _wrapped(-value), "+": value, "~": ~value}[char]
        if char == "(":
            self.at += 1
            value = self.level(0)
            self.blanks()
            if not self.text.startswith(")", self.at):
                raise self.wrong("expecting closing parenthesis")
            self.at += 1
            return value
        found = self.number.match(self.text, self.at)
        if found is None:
            raise self.wrong("expecting number or opening parenthesis")
        self.at = found.end()
        return self.literal(found[1], found[2])

    def literal(self, digits: str, suffix: str) -> int:
        if self.number is _DECIMAL:
            base = 10
        elif digits[:2] in ("0x", "0X"):
            base, digits = 16, digits[2:] or "0"
        else:
            base = 8 if digits.startswith("0") else 10
        small = digits.lstrip("0") or "0"
        value = LARGEST if len(small) > 30 else min(LARGEST, int(small, base))
        return _wrapped(value << _SUFFIX[suffix.lower()])

    def apply(self, operator: str, left: int, right: int) -> int:
        if operator in ("+", "-"):
            value = left + right if operator == "+" else left - right
            if operator == "+" and _wrapped(value) != value:
                raise self.wrong("overflow in sum")
            return _wrapped(value)
        if operator in ("/", "%") and right == 0:
            raise self.wrong("divide by zero" if operator == "/" else "modulo by zero")
        return min(LARGEST, _REST[operator](left, right))


def _quotient(left: int, right: int) -> int:
    value = abs(left) // abs(right)
    return value if (left < 0) == (right < 0) else -value


_REST: dict[str, Callable[[int, int], int]] = {
    "|": lambda left, right: left | right,
    "^": lambda left, right: left ^ right,
    "&": lambda left, right: left & right,
    "<<": lambda left, right: _wrapped(left << (right & 63)),
    ">>": lambda left, right: left >> (right & 63),
    "*": lambda left, right: _wrapped(left * right),
    "/": _quotient,
    "%": lambda left, right: left - _quotient(left, right) * right,
}

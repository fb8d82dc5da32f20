"""A retry rule as somebody types it, and what is wrong with it, with the place in the line.

WHAT       `typed_rule("* * F,2h,15m; G,16h,1h,1.5; F,4d,6h")`: the rule; WrongRule shows the line, a mark under the
           place, and what to write.
DECIDES    nothing: queue/schedule.py reads it, as it reads the file of a host. The place is found by reading less and
           less of the line.
READ NEXT  retry_schedule.py
"""

from __future__ import annotations

import re

from labkit.eximconf.place import ConfigurationError, LogicalLine, Place
from labkit.mail.plainly import SaidPlainly
from labkit.queue.schedule import RetryRule, read_rules
from labkit.teach.markup import clip, visible

LONGEST_RULE = 1000
_PLACE = Place("your rule", 1)
_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"]\S*)', re.DOTALL)
_SENDERS = re.compile(r"senders\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|\S+)")
_EXAMPLE = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"


class WrongRule(SaidPlainly, ValueError):
    """A retry rule that cannot be read. `position` counts characters from 1."""

    def __init__(self, text: str, position: int, problem: str, remedy: str) -> None:
        self.position = position
        shown = visible(text.replace("\n", " ").replace("\t", " "))
        at = len(visible(text[: position - 1].replace("\n", " ").replace("\t", " ")))
        super().__init__(
            f"at character {position}: {visible(problem)}\n  {shown}\n  {' ' * at}^\n  {visible(remedy)}"
        )


def typed_rule(text: str) -> RetryRule:
    """Read one rule. Raises WrongRule."""
    if not isinstance(text, str):
        raise TypeError(f'a retry rule is a text, such as "{_EXAMPLE}"')
    if len(text) > LONGEST_RULE:
        raise WrongRule(
            clip(text, 60), 1, f"a rule of {len(text):,} characters", f"{LONGEST_RULE} are enough"
        )
    stripped = text.strip()
    if not stripped:
        raise WrongRule(text, 1, "there is no rule", f"write it like: {_EXAMPLE}")
    if re.match(r"[FGHfgh]\s*,", stripped):
        remedy = f"first come an address and an error, mostly * and *: {_EXAMPLE}"
        raise WrongRule(
            text, len(text) - len(text.lstrip()) + 1, "this is a step, where the rule begins", remedy
        )
    try:
        return _read(stripped)
    except ConfigurationError as problem:
        at = len(text) - len(text.lstrip()) + _position(stripped)
        raise WrongRule(text, at + 1, problem.problem, problem.remedy) from None


def _read(text: str) -> RetryRule:
    return read_rules([LogicalLine(text, _PLACE)])[0]


def _fails(text: str) -> bool:
    try:
        _read(text)
    except ConfigurationError:
        return True
    return False


def _position(text: str) -> int:
    """Where the first word or step begins with which the rule cannot be read any more."""
    starts = _starts(text)
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(text)
        if number >= 1 and _fails(text[:end].rstrip().removesuffix(";")):
            return start
    return min(len(text), starts[-1] if len(starts) > 1 else len(text))


def _starts(text: str) -> list[int]:
    """Where pattern, error (with senders) and each step begin."""
    starts: list[int] = []
    at = 0
    for _ in range(2):
        found = _WORD.match(text, at)
        if found is None:
            return starts or [0]
        starts.append(at)
        at = found.end() + len(text[found.end() :]) - len(text[found.end() :].lstrip())
    if found := _SENDERS.match(text, at):
        at = found.end() + len(text[found.end() :]) - len(text[found.end() :].lstrip())
    while at < len(text):
        starts.append(at)
        end = text.find(";", at)
        if end < 0:
            break
        at = end + 1 + len(text[end + 1 :]) - len(text[end + 1 :].lstrip())
    return starts

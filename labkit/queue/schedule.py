"""When to try again, and when to give up.

WHAT       retry rules as the configuration writes them: `* * F,2h,15m; G,16h,1h,1.5; F,4d,6h`.
DECIDES    whom a rule is for, the next instant of trying a host or an address, or that its time is over.
RULES      a pattern is one item of an address list; a host, or a domain, is looked for as *@domain. A rule without
           a step: every failure is final. When the last step is over, its interval goes on for whoever still tries.
STANDARDS  Exim specification, chapter "Retry configuration"; RFC 5321 §4.5.4.1 (at least 30 minutes between
           tries and 4-5 days in all are what the standard asks for; Exim's usual rule is quicker)
READ NEXT  hints.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labkit.eximconf.expansion import Env
from labkit.eximconf.lists import ListKind, NamedLists, compile_list
from labkit.eximconf.lists.pattern_list import PatternList
from labkit.eximconf.options import read_time
from labkit.eximconf.reader import ConfigurationError, LogicalLine, Place, unquote
from labkit.mail.asking import Asking
from labkit.queue.errors import ANY_ERROR, ErrorCondition, read_condition

RETRY_INTERVAL_MAX = timedelta(hours=24)  # Exim's retry_interval_max, if the file does not say it
_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"]\S*)', re.DOTALL)
_EXAMPLE = "write it like: *  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
_ARGUMENT = re.compile(r",\s*([A-Za-z0-9.]*)(?=[\s,;]|$)")
_FACTOR = re.compile(r"([0-9]{1,6}(?:\.[0-9]{0,3})?)[0-9]*")
_NO_SEPARATOR = "\x01"


@dataclass(frozen=True, slots=True)
class RetryStep:
    """One step of a rule: until `until` after the first failure, wait `interval` (times `factor` for G and H)."""

    letter: str  # F fixed, G geometric, H geometric with chance
    until: timedelta
    interval: timedelta
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class RetryRule:
    """One line of the retry section."""

    pattern: str
    steps: tuple[RetryStep, ...]
    text: str
    addresses: PatternList | None = field(default=None, compare=False)  # the pattern, read
    error: ErrorCondition = ANY_ERROR
    senders: PatternList | None = field(default=None, compare=False)

    @property
    def give_up_after(self) -> timedelta:
        """At this age a message is given up; at once, if there is no step."""
        return self.steps[-1].until if self.steps else timedelta()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of a host or an address that failed: when first, when last, when to try next.

    `has_expired`: its rule has run out; who comes new is given up until `next_try`.
    """

    first_failed: datetime
    last_try: datetime
    next_try: datetime
    has_expired: bool = False


@dataclass(frozen=True, slots=True)
class Failing:
    """What fails, as a rule asks for it: a key of the hints without its letter, and how it failed.

    `alternate`: of a host the domain for which it was tried. `sender` None: there is none to look at.
    """

    key: str
    alternate: str = ""
    errno: int = 0
    more: int = 0
    sender: str | None = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """What patterns are matched with: of mx.b.test:192.0.2.1 the host, of |prog:ann@a.test the address."""
        key = self.key
        if ":" in key:
            key = key.partition(":")[0] if key[:1].isalnum() else key.rpartition(":")[2]
        named = key if "@" in key else f"*@{key}"
        return (named, f"*@{self.alternate}") if self.alternate else (named,)


def read_rules(lines: Sequence[LogicalLine], named: NamedLists | None = None) -> tuple[RetryRule, ...]:
    """Read the lines of the retry section. Raises ConfigurationError."""
    return tuple(_read_rule(line, named or {}) for line in lines)


def finding_rule(rules: Iterable[RetryRule], failing: Failing, env: Env) -> Asking[RetryRule | None]:
    """The first rule that applies, or None: without a rule every failure is final (as Exim has it)."""
    for rule in rules:
        if not rule.error.covers(failing.errno, failing.more):
            continue
        if rule.senders is not None and not (
            failing.sender is not None and (yield from rule.senders.contains(failing.sender, env))
        ):
            continue
        for address in failing.addresses:
            if rule.addresses is None or (yield from rule.addresses.contains(address, env)):
                return rule
    return None


def after_failure(
    rule: RetryRule,
    earlier: Attempt | None,
    now: datetime,
    dice: float = 0.5,
    *,
    age: timedelta = timedelta(),
    longest: timedelta = RETRY_INTERVAL_MAX,
) -> Attempt:
    """What to note after one more failure at `now`. `dice` (0 to 1) decides the chance in H steps; `age` is how old the
    message is, if that counts (it does, where no host is at fault).

    A step holds up to and including its limit; a G or H interval grows from the shorter of the planned and the real
    last gap; no interval is `longest` or more.
    """
    first = earlier.first_failed if earlier is not None else now
    failing = max(now - first, age)
    step = next((step for step in rule.steps if failing <= step.until), None)
    has_expired = step is None
    step = step or (rule.steps[-1] if rule.steps else None)
    if step is None:
        return Attempt(first, now, now, True)
    wait = step.interval
    if step.letter != "F" and earlier is not None:
        gap = min(earlier.next_try - earlier.last_try, now - earlier.last_try)
        grown = max(step.interval, gap * step.factor)
        if step.letter == "G":
            wait = step.interval if gap < step.interval else grown
        else:
            wait = step.interval + (grown - step.interval) * (0.5 + dice / 2)
    wait = min(wait, longest)
    return Attempt(first, now, now + timedelta(seconds=int(wait.total_seconds())), has_expired)


# --- reading ----------------------------------------------------------------------------------


def _read_rule(line: LogicalLine, named: NamedLists) -> RetryRule:
    place = line.place
    pattern, rest = _word(line.text, line)
    error, rest = _word(rest, line, "missing error type in retry rule")
    senders = None
    if rest.startswith("senders"):
        rest = rest[7:].lstrip()
        if not rest.startswith("="):
            raise ConfigurationError(
                place, '"=" expected after "senders" in retry rule', "write: senders = …"
            )
        text, rest = _word(rest[1:].lstrip(), line, "no senders in retry rule")
        senders = _addresses(text, place, named)
    condition = read_condition(error, place)
    return RetryRule(
        pattern, tuple(_steps(rest, place)), line.text, _one_item(pattern, place, named), condition, senders
    )


def _word(text: str, line: LogicalLine, problem: str = "a retry rule needs an address") -> tuple[str, str]:
    """The first word, which may stand in quotes, and the rest."""
    found = _WORD.match(text)
    if found is None:
        raise ConfigurationError(line.place, f"{problem}: {line.text!r}", _EXAMPLE)
    return unquote(found[0], line.place), text[found.end() :].lstrip()


def _addresses(text: str, place: Place, named: NamedLists) -> PatternList:
    """A list in it that is not there matches nothing; Exim finds that out when it looks."""
    return compile_list(ListKind.ADDRESS, text, place, named)


def _one_item(text: str, place: Place, named: NamedLists) -> PatternList:
    """A pattern is one item, colons and all."""
    return _addresses(f"<{_NO_SEPARATOR} {text}", place, named)


def _steps(text: str, place: Place) -> Iterable[RetryStep]:
    """`F,2h,15m; G,16h,1h,1.5`; a semicolon may end it."""
    while text:
        letter, text = text[0].upper(), text[1:]
        arguments: list[str] = []
        while len(arguments) < (3 if letter in "GH" else 2):
            found = _ARGUMENT.match(text)
            if found is None:
                raise ConfigurationError(place, f"comma expected in retry rule, not {text[:20]!r}", _EXAMPLE)
            arguments.append(found[1])
            text = text[found.end() :]
        yield _step(letter, arguments, place)
        text = text.lstrip()
        if text and not text.startswith(";"):
            raise ConfigurationError(place, f"semicolon expected in retry rule, not {text[:20]!r}", _EXAMPLE)
        text = text[1:].lstrip()


def _step(letter: str, arguments: Sequence[str], place: Place) -> RetryStep:
    if letter not in "FGH":
        raise ConfigurationError(
            place, "unknown retry rule letter", f"{letter} is none of F, G and H; {_EXAMPLE}"
        )
    until, interval = read_time(arguments[0], place), read_time(arguments[1], place)
    factor = 1.0
    if letter != "F":
        found = _FACTOR.fullmatch(arguments[2])
        factor = float(found[1]) if found else 0.0  # Exim reads three digits behind the point
    if not until or not interval or factor < 1:
        problem = f"bad parameters for retry rule: {letter},{','.join(arguments)}"
        raise ConfigurationError(place, problem, "times are longer than nothing, and a factor is 1 or more")
    return RetryStep(letter, until, interval, factor)

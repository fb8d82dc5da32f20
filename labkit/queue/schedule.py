"""When to try again, and when to give up.

WHAT       retry rules as the configuration writes them: `* * F,2h,15m; G,16h,1h,1.5; F,4d,6h`.
DECIDES    the next instant of trying a host or an address, or that its time is over.
STANDARDS  Exim specification, chapter "Retry configuration"; RFC 5321 §4.5.4.1 (at least 30 minutes between
           tries and 4-5 days in all are what the standard asks for; Exim's usual rule is quicker)
NOT YET    error conditions other than `*`: refused by name
READ NEXT  hints.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.eximconf.options import read_time
from labkit.eximconf.reader import ConfigurationError, LogicalLine, Place
from labkit.mail.address import Mailbox

RETRY_INTERVAL_MAX = timedelta(hours=24)  # Exim's retry_interval_max, whatever a rule says


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

    def applies_to(self, address: Mailbox) -> bool:
        """Whether the rule is for this address: `*`, a domain, `*suffix`, or local-part@domain."""
        local_part, at, domain = self.pattern.lower().rpartition("@")
        if at and not _matches(local_part, address.local_part):
            return False
        return _matches(domain, address.domain)

    @property
    def give_up_after(self) -> timedelta:
        return self.steps[-1].until


def _matches(pattern: str, text: str) -> bool:
    text = text.lower()
    return text.endswith(pattern[1:]) if pattern.startswith("*") else text == pattern


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of a host or an address that failed: when first, when last, when to try next.

    `next_try` None: the rule has run out, the time for it is over.
    """

    first_failed: datetime
    last_try: datetime
    next_try: datetime | None


def read_rules(lines: Sequence[LogicalLine]) -> tuple[RetryRule, ...]:
    """Read the lines of the retry section. Raises ConfigurationError."""
    return tuple(_read_rule(line) for line in lines)


def rule_for(address: Mailbox, rules: Iterable[RetryRule]) -> RetryRule | None:
    """The first rule that applies, or None: without a rule every failure is final (as Exim has it)."""
    return next((rule for rule in rules if rule.applies_to(address)), None)


def after_failure(rule: RetryRule, earlier: Attempt | None, now: datetime, dice: float = 0.5) -> Attempt:
    """What to note after one more failure at `now`. `dice` (0 to 1) decides the chance in H steps.

    Exim's computation (retry.c): a step holds up to and including its limit; a G or H interval grows from the
    shorter of the planned and the real last gap; no interval is longer than RETRY_INTERVAL_MAX.
    """
    first = earlier.first_failed if earlier is not None else now
    step = next((step for step in rule.steps if now - first <= step.until), None)
    if step is None:
        return Attempt(first, now, None)
    wait = step.interval
    if step.letter != "F" and earlier is not None and earlier.next_try is not None:
        gap = min(earlier.next_try - earlier.last_try, now - earlier.last_try)
        grown = max(step.interval, gap * step.factor)
        if step.letter == "G":
            wait = step.interval if gap < step.interval else grown
        else:
            wait = step.interval + (grown - step.interval) * (0.5 + dice / 2)
    wait = min(wait, RETRY_INTERVAL_MAX)
    return Attempt(first, now, now + timedelta(seconds=int(wait.total_seconds())))


def _read_rule(line: LogicalLine) -> RetryRule:
    words = line.text.split(None, 2)
    if len(words) < 3:
        raise ConfigurationError(
            line.place,
            f"a retry rule needs an address, an error and a schedule: {line.text!r}",
            "write it like: *  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h",
        )
    pattern, error, schedule = words
    if error != "*":
        raise ConfigurationError(
            line.place, f'the retry error condition "{error}" is not read by labkit yet', "write *"
        )
    if not re.fullmatch(r"[A-Za-z0-9_.*+-]+(?:@[A-Za-z0-9_.*-]+)?", pattern) or pattern.startswith("+"):
        raise ConfigurationError(
            line.place,
            f"the retry pattern {pattern!r} is not read by labkit yet",
            "write *, a domain, *.domain or local-part@domain",
        )
    steps = tuple(_read_step(text.strip(), line.place) for text in schedule.split(";") if text.strip())
    if not steps:
        raise ConfigurationError(line.place, "a retry rule without a step", "add: F,4d,6h")
    return RetryRule(pattern, steps, line.text)


def _read_step(text: str, place: Place) -> RetryStep:
    parts = [part.strip() for part in text.split(",")]
    letter = parts[0].upper()
    wanted = {"F": 3, "G": 4, "H": 4}.get(letter)
    if wanted is None or len(parts) != wanted:
        raise ConfigurationError(
            place, f"{text!r} is no step of a retry rule", "write F,until,interval or G,until,interval,factor"
        )
    until, interval = read_time(parts[1], place), read_time(parts[2], place)
    if not until or not interval:
        raise ConfigurationError(
            place, f"bad parameters for retry rule: {text}", "both times must be longer than nothing"
        )
    factor = 1.0
    if wanted == 4:
        if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3})?", parts[3]) or float(parts[3]) < 1:
            raise ConfigurationError(
                place,
                f"bad parameters for retry rule: {text}",
                "the factor is a number from 1 up, such as 1.5",
            )
        factor = float(parts[3])
    return RetryStep(letter, until, interval, factor)

"""What `exim -brt` says: the retry rule for an address or a host, maybe for one kind of failure.

STANDARDS  Exim specification, chapter "The Exim command line" (-brt)
READ NEXT  schedule.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from labkit.eximconf.expansion import Env
from labkit.eximconf.options import shown_time
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.asking import Asking
from labkit.queue import errors
from labkit.queue.errors import ANY_ERROR, ErrorCondition, read_condition
from labkit.queue.schedule import Failing, RetryRule, RetryStep, finding_rule

_REPLIES = (errors.MAIL_4XX, errors.RCPT_4XX, errors.DATA_4XX)


def shown_retry(rules: Iterable[RetryRule], words: Sequence[str], env: Env) -> Asking[tuple[int, str]]:
    """The exit status and the text for the words behind -brt: an address or a host, another domain, a failure."""
    if not words:
        return 1, "-brt needs a domain or address argument\n"
    key, *rest = words
    said = ""
    if "@" not in key and "." not in key:
        said = (
            f"Warning: \"{key}\" contains no '@' and no '.' characters. It is being \n"
            "treated as a one-component domain, not as a local part.\n\n"
        )
    alternate = rest.pop(0) if rest and "." in rest[0] else ""
    condition = ANY_ERROR
    if rest:
        try:
            condition = read_condition(rest[0], Place("-brt", 1))
        except ConfigurationError as problem:
            reason = "bad time value" if "time value" in problem.problem else problem.problem
            return 1, f"{said}{reason}\n"
    failing = Failing(key, alternate, condition.errno, _one_of(condition), sender=None)
    found = yield from finding_rule(rules, failing, env)
    return 0, said + ("No retry information found\n" if found is None else _shown(found))


def _one_of(condition: ErrorCondition) -> int:
    """A failure that the condition covers: for rcpt_4xx a 421, for rcpt_45x a 454."""
    digits = (condition.more >> 8) & 255
    if condition.errno not in _REPLIES:
        return condition.more
    return (21 if digits == 255 else digits - 96 if digits > 100 else digits) << 8


def _shown(rule: RetryRule) -> str:
    steps = "".join(_step(step) for step in rule.steps)
    return f"Retry rule: {rule.pattern}  {_condition(rule.error)}  {steps}\n"


def _condition(error: ErrorCondition) -> str:
    """Exim has no words for most of them, and shows a star."""
    letter = {errors.FROM_MX: "_MX", errors.FROM_A: "_A"}.get(error.more & 255, "")
    if error.errno == errors.QUOTA:
        return f"quota_{_time(error.more)}" if error.more else "quota"
    if error.errno == errors.REFUSED:
        return f"refused{letter}"
    if error.errno == errors.TIMED_OUT:
        return f"timeout{'_connect' if error.more & errors.CONNECTING else ''}{letter}"
    return "auth_failed" if error.errno == errors.AUTH_FAILED else "*"


def _time(seconds: int) -> str:

    return shown_time(timedelta(seconds=seconds))


def _step(step: RetryStep) -> str:
    text = f"{step.letter},{shown_time(step.until)},{shown_time(step.interval)}"
    if step.letter == "G":
        whole, rest = divmod(int(step.factor * 1000 + 0.5), 1000)
        digits = f"{rest:03d}".rstrip("0") or "0"
        text += f",{whole}.{digits}"
    return f"{text}; "

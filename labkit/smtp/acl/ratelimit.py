"""ratelimit = limit / period / options / key: does somebody send too much?

WHAT       `read_limit` reads the text; `check` asks RateOf (once for a command, a message or a connection, as the per_
           option says) and sets $sender_rate, $sender_rate_limit, $sender_rate_period.
RULES      true means: at the limit or above it. What is counted where it does not belong is only looked up (readonly).
LIKE EXIM  the key of the record has the period, the per_ option and "unique/" in front: other options, other record
STANDARDS  Exim specification, sections "Rate limiting incoming messages" and following
READ NEXT  rates.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.expansion.numbers import interval
from labkit.eximconf.expansion.splitting import split_at
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import RateOf
from labkit.smtp.acl.phases import Phase
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import NO, YES, Check, on_value_asking, wrong
from labkit.smtp.acl.verdicts import Found

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(.*)", re.DOTALL)
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_AFTER_RCPT = (Phase.PREDATA, Phase.DATA, Phase.DKIM, Phase.NOT_SMTP)


class _Wrong(Exception):
    """What is wrong, in Exim's words."""


@dataclass(slots=True)
class _Limit:
    """What was read. `per` is the name that goes into the key."""

    limit: float
    period: float
    per: str = ""
    count: float = 1
    key: str | None = None
    unique: str | None = None
    leaky: bool = False
    strict: bool = False
    readonly: bool = False
    noupdate: bool = False
    is_misplaced: bool = False


def check(line: Setting, is_negated: bool) -> Check:
    return on_value_asking(line, _over, turns=is_negated)


def _over(scene: Scene, text: str) -> Asking[Found]:
    try:
        limit = _read(text, scene)
        mode = _mode(limit, scene)
    except _Wrong as problem:
        return wrong(scene, f'error in arguments to "ratelimit" condition: {problem}')
    variables, memory = scene.env.variables, scene.memory
    key = limit.key if limit.key is not None else variables.get("sender_host_address", "")
    unique = "" if limit.unique is None else "unique/"
    key = f"{variables['sender_rate_period']}/{limit.per}/{unique}{key}"
    if mode == "readonly" or limit.per in ("per_cmd", "per_rcpt"):
        known = memory.rates_of_command
    elif limit.per == "per_conn":
        known = memory.rates_of_connection
    else:
        known = memory.rates_of_message
    if (mode != "readonly" and limit.per == "per_rcpt") and scene.phase in _AFTER_RCPT:
        known = memory.rates_of_message  # all recipients are counted at once, for the message
    rate = known.get(key)
    if rate is None:
        count = 0 if mode == "readonly" else limit.count
        unique_value = None if mode == "readonly" else limit.unique
        rate = yield from ask(RateOf(key, limit.limit, limit.period, count, mode, unique_value))
        if rate is None:
            scene.log = "ratelimit database not available"
            variables.pop("sender_rate", None)
            return Found.LATER
        known[key] = rate
    variables["sender_rate"] = f"{rate:.1f}"
    scene.because = f"rate {rate:.1f} / {variables['sender_rate_period']}, limit {limit.limit:g}"
    return NO if rate < limit.limit else YES


def _read(text: str, scene: Scene) -> _Limit:
    words = split_at(text, "/")
    variables = scene.env.variables
    if not words:
        raise _Wrong("sender rate limit not set")
    variables["sender_rate_limit"] = words[0]
    limit = _amount(words[0], sized=True)
    if limit is None:
        raise _Wrong(f'"{words[0]}" is not a positive number')
    period_text = words[1] if len(words) > 1 else ""
    period = interval(period_text)
    variables["sender_rate_period"] = period_text
    if not period:
        raise _Wrong(f'"{period_text if len(words) > 1 else "NULL"}" is not a time value')
    found = _Limit(limit, period)
    for word in words[2:]:
        _option(word, found, scene)
    return found


def _amount(text: str, *, sized: bool) -> float | None:
    """A number as C's strtod reads it, nothing at all is 0; K, M or G may follow."""
    found = _NUMBER.fullmatch(text)
    value, rest = (float(found[1]), found[2]) if found else (0.0, text)
    if sized and rest[:1].lower() in ("k", "m", "g"):
        value, rest = value * _SIZES[rest[0].lower()], rest[1:]
    return None if rest or value < 0 else value


def _option(word: str, found: _Limit, scene: Scene) -> None:
    lowered = word.lower()
    if lowered in ("leaky", "strict", "readonly", "noupdate"):
        setattr(found, lowered, True)
    elif lowered in _PER:
        _per(lowered, found, scene)
    elif lowered.startswith("count="):
        count = _amount(word[len("count=") :], sized=False)
        if count is None:
            raise _Wrong(f'"{word}" is not a positive number')
        found.count = count
    elif lowered.startswith("unique="):
        found.unique = word[len("unique=") :]
    else:
        found.key = word if found.key is None else f"{found.key}/{word}"


_PER = ("per_cmd", "per_conn", "per_mail", "per_rcpt", "per_byte", "per_addr")
_CLASH = "!"


def _per(name: str, found: _Limit, scene: Scene) -> None:
    """What is counted, and whether this is the place to count it."""
    phase, variables = scene.phase, scene.env.variables
    # per_byte is per_mail with a count of octets, per_addr is per_rcpt with each address counted once
    kept = {"per_byte": "per_mail", "per_addr": "per_rcpt"}.get(name, name)
    found.per = _CLASH if found.per else kept
    if name == "per_conn":
        found.is_misplaced = found.is_misplaced or phase is Phase.NOT_SMTP
    elif name in ("per_mail", "per_byte"):
        found.is_misplaced = found.is_misplaced or not phase.is_of_a_message
        if name == "per_byte" and phase.is_of_a_message:
            found.count = float(variables.get("message_size", "") or 0)
            found.count = max(found.count, 0.0)
    elif name == "per_rcpt":
        if phase in _AFTER_RCPT:
            found.count = float(variables.get("recipients_count", "") or 0)
        elif phase is not Phase.RCPT:
            found.is_misplaced = True
    elif name == "per_addr":
        is_here = phase is Phase.RCPT
        found.is_misplaced = found.is_misplaced or not is_here
        found.unique = f"{variables.get('local_part', '')}@{variables.get('domain', '')}" if is_here else "*"


def _mode(found: _Limit, scene: Scene) -> str:
    if found.per == _CLASH:
        raise _Wrong("conflicting per_* options")
    if found.leaky + found.strict + found.readonly > 1:
        raise _Wrong("conflicting update modes")
    if found.is_misplaced and (found.leaky or found.strict) and not found.noupdate:
        raise _Wrong(
            f'"{found.per}" must not have /leaky or /strict option, or cannot be used in '
            f"{scene.phase.called} ACL"
        )
    found.per = found.per or "per_mail"
    if found.noupdate or found.is_misplaced or found.readonly:
        return "readonly"
    return "strict" if found.strict else "leaky"

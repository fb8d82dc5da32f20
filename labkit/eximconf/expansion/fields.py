"""Variables that are not kept but worked out: the time, the whole header, what is set while an expansion goes on.

LIKE EXIM  $tod_epoch_l counts microseconds; $message_headers are decoded (RFC 2047), $message_headers_raw are octets
STANDARDS  Exim specification, chapter "String expansions", section "Expansion variables"
READ NEXT  compiler.py
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.headers import decode_words
from labkit.eximconf.expansion.outcomes import Tainted
from labkit.mail.dates import header_date, log_date, mbox_date

_MOMENTS: dict[str, Callable[[datetime], str]] = {
    "tod_bsdinbox": mbox_date,
    "tod_epoch": lambda now: str(int(now.timestamp())),
    "tod_epoch_l": lambda now: f"{int(now.timestamp())}{now.microsecond:06d}",
    "tod_full": header_date,
    "tod_log": log_date,
    "tod_logfile": lambda now: f"{now:%Y%m%d}",
    "tod_zone": lambda now: now.strftime("%z") or "+0000",
    "tod_zulu": lambda now: f"{now:%Y%m%d%H%M%SZ}",
}


def moment(env: Env, name: str) -> str:
    """A $tod_… variable. Without a time in the Env, what its variables say."""
    return env.variables.get(name, "") if env.now is None else _MOMENTS[name](env.now)


def _of_time(name: str) -> Callable[[Env], str]:
    return lambda env: moment(env, name)


def _header(env: Env) -> str:
    return "".join(f"{name}:{body.rstrip()}\n" for name, body in env.headers)


FIELDS: dict[str, Callable[[Env], str]] = {
    "value": lambda env: env.value,
    "item": lambda env: env.item,
    "srs_recipient": lambda env: Tainted(env.srs_recipient),
    "message_headers": lambda env: Tainted(decode_words(_header(env)).removesuffix("\n")),
    "message_headers_raw": lambda env: Tainted(_header(env)),
    **{name: _of_time(name) for name in _MOMENTS},
}

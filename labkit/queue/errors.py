"""What went wrong, as a retry rule asks for it: Exim's numbers for troubles, and the conditions that name them.

WHAT       the numbers (those of the system, and negative ones of Exim's own) with one more beside each;
           `read_condition` reads the second word of a retry rule.
MORE       of a refusal and a time-out: whether the host came from an MX or an A record, and whether it was the
           connection that timed out; of a 4xx reply: its last two digits; of a quota: since when the box was not read.
LIKE EXIM  a word may be cut short (`lost`, `timeout_conn`); quota stands for a full disk, too
STANDARDS  Exim specification, chapter "Retry configuration", section "Choosing which retry rule to use for which error"
READ NEXT  schedule.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.options import read_time
from labkit.eximconf.place import ConfigurationError, Place

NOT_PERMITTED, NO_SPACE, TIMED_OUT, REFUSED, SYSTEM_QUOTA = 13, 28, 110, 111, 122  # of the system
LOST_CONNECTION, QUOTA, HELD, UNKNOWN_HOST, LIST_DEFER = -18, -22, -23, -32, -35
DNS_LATER, TLS_FAILURE, TLS_REQUIRED, AUTH_FAILED, CONNECT_TIMEOUT = -36, -37, -38, -42, -43
RCPT_4XX, MAIL_4XX, DATA_4XX = -44, -45, -46
NOT_DUE, NOT_DUE_LOCAL, NOT_DUE_HOST, LOCAL_ONLY, QUEUE_DOMAIN = -52, -53, -54, -55, -56
NO_WARNING_FROM = NOT_DUE_LOCAL  # this and what is below it is no reason to tell the sender anything

CONNECTING = 0x100  # more_errno: the connection timed out, not a reply
FROM_MX, FROM_A = ord("M"), ord("A")
_ANY = 255
_OF_A_REPLY = {"mail": MAIL_4XX, "rcpt": RCPT_4XX, "data": DATA_4XX}
_WORDS = {"lost_connection": LOST_CONNECTION, "tls_required": TLS_REQUIRED, "lookup": UNKNOWN_HOST}
_TIMEOUTS = {
    "a": FROM_A, "mx": FROM_MX, "connect": CONNECTING, "connect_a": CONNECTING | FROM_A,
    "connect_mx": CONNECTING | FROM_MX,
}  # fmt: skip
_IN_WORDS = {
    REFUSED: "Connection refused", TIMED_OUT: "Connection timed out", NO_SPACE: "No space left on device",
    SYSTEM_QUOTA: "Disk quota exceeded", NOT_PERMITTED: "Permission denied",
}  # fmt: skip


def of_reply(code: int) -> int:
    """The second number for a 4xx reply: 451 is 51 in the upper octet."""
    return (code % 100) << 8


def in_words(errno: int) -> str:
    """What the system calls this number; "" for one of Exim's own."""
    return _IN_WORDS.get(errno, "")


@dataclass(frozen=True, slots=True)
class ErrorCondition:
    """The second word of a retry rule. `errno` 0: whatever it is (`*`)."""

    errno: int = 0
    more: int = 0
    word: str = "*"

    def covers(self, errno: int, more: int) -> bool:
        if self.errno == 0:
            return True
        if self.errno == QUOTA:
            return errno in (QUOTA, SYSTEM_QUOTA, NO_SPACE) and self.more <= more
        if self.errno == TLS_REQUIRED:
            return errno in (TLS_REQUIRED, TLS_FAILURE)
        if errno != self.errno:
            return False
        if errno in _OF_A_REPLY.values():
            return self._covers_digits((more >> 8) & 255)
        if errno == TIMED_OUT:
            return self._covers_timeout(more)
        return self.more in (0, more)

    def _covers_digits(self, digits: int) -> bool:
        wanted = (self.more >> 8) & 255
        if wanted == _ANY:
            return True
        return digits // 10 * 10 == wanted - 100 if wanted >= 100 else digits == wanted

    def _covers_timeout(self, more: int) -> bool:
        if self.more == CONNECTING:
            return bool(more & CONNECTING)
        return self.more in (0, more if self.more & CONNECTING else more & ~CONNECTING)


ANY_ERROR = ErrorCondition()


def read_condition(word: str, place: Place) -> ErrorCondition:
    """Raises ConfigurationError."""
    name, underscore, rest = word.partition("_")
    name, rest = name.lower(), rest.lower()
    if word == "*":
        return ANY_ERROR
    if name == "quota":
        since = int(read_time(rest, place).total_seconds()) if underscore else 0
        return ErrorCondition(QUOTA, since, word)
    if name == "refused":
        if underscore and not ("mx".startswith(rest) or "a".startswith(rest)):
            raise _wrong(place, 'A or MX expected after "refused"', "write refused, refused_A or refused_MX")
        return ErrorCondition(
            REFUSED, 0 if not underscore else FROM_MX if "mx".startswith(rest) else FROM_A, word
        )
    if name == "timeout":
        return ErrorCondition(TIMED_OUT, _timeout(rest, place) if underscore else 0, word)
    if word[:6].lower() in ("mail_4", "rcpt_4", "data_4"):
        return ErrorCondition(_OF_A_REPLY[name], _digits(word, place) << 8, word)
    if name == "auth" and underscore and "failed".startswith(rest):
        return ErrorCondition(AUTH_FAILED, 0, word)
    for known, errno in _WORDS.items():
        if known.startswith(word.lower()):
            return ErrorCondition(errno, 0, word)
    remedy = "write *, refused, timeout, lost_connection, rcpt_4xx, mail_4xx, data_4xx, quota, auth_failed, …"
    raise _wrong(place, f'unknown or malformed retry error "{word}"', remedy)


def _timeout(rest: str, place: Place) -> int:
    for name, more in _TIMEOUTS.items():
        if name.startswith(rest):
            return more
    if "dns".startswith(rest):  # it has never worked there; Exim takes it for timeout
        return 0
    raise _wrong(
        place, '"A", "MX", or "connect" expected after "timeout"', "write timeout_connect, for instance"
    )


def _digits(word: str, place: Place) -> int:
    """The last two digits of a reply; 255: any, 100 and more: the first one of them counts."""
    found = re.fullmatch(r"4(?:xx|([0-9])([0-9x]))", word[5:])
    if found is None:
        problem = f"{word[:4]}_4 must be followed by xx, dx, or dd, where x is literal and d is any digit"
        raise _wrong(place, problem, f"write {word[:4]}_4xx, {word[:4]}_45x or {word[:4]}_452")
    if found[1] is None:
        return _ANY
    return int(found[1]) * 10 + (100 if found[2] == "x" else int(found[2]))


def _wrong(place: Place, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(place, problem, remedy)

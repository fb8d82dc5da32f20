"""Read what a content filter answers: spamd's protocol, its older form, and Rspamd's.

WHAT       `read_answer` gives the verdict and the variables, or Exim's words for what cannot be read.
RULES      the score is a number of C: 5, .5, 1e3, 0x1p3, inf, nan. At the threshold a message is spam.
LIKE EXIM  a report becomes a text for a header field: CR go, and a blank begins each line after the first. $spam_bar
           has 51 signs at most. Blanks in the answer may be of any number and kind.
STANDARDS  Exim specification, section "Scanning with SpamAssassin and Rspamd"; spamd's PROTOCOL file
READ NEXT  labkit/net/spamd.py
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

LONGEST_BAR = 51
LONGEST_ACTION = 31
_LONGEST_NUMBER = 400
_FLOAT = r"([+-]?(?:inf(?:inity)?|nan|0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?))"
_S = r"[ \t\n\v\f\r]*"
_REPORT = re.compile(
    rf"SPAMD/{_S}[^\s]{{1,7}}{_S}0{_S}EX_OK{_S}Content-length:{_S}[+-]?[0-9]+{_S}{_FLOAT}/{_S}{_FLOAT}{_S}",
    re.IGNORECASE,
)
_OLDER = re.compile(
    rf"SPAMD/{_S}[^\s]{{1,7}}{_S}0{_S}EX_OK{_S}Spam:{_S}[^\s]+{_S};{_S}{_FLOAT}{_S}/{_S}{_FLOAT}{_S}",
    re.IGNORECASE,
)
_WORD = r"[^\s]{1,7}"
_PARTS = (
    rf"RSPAMD/{_S}{_WORD}",
    rf"{_S}0{_S}EX_OK{_S}Metric:{_S}default;{_S}{_WORD}",
    rf"{_S}{_FLOAT}",
    rf"{_S}/{_S}{_FLOAT}",
    rf"{_S}/{_S}{_FLOAT}",
)
_BEGINNINGS = tuple(re.compile("".join(_PARTS[:count]), re.IGNORECASE) for count in range(len(_PARTS) + 1))
_RSPAMD = re.compile("".join(_PARTS) + _S, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SpamAnswer:
    """What a filter says of a message, and Exim's variables for it."""

    is_spam: bool
    variables: dict[str, str]


def read_answer(said: str, *, is_rspamd: bool) -> SpamAnswer | str:
    """A text tells what Exim's log has behind the name of the server: it cannot be read."""
    said = said.partition("\0")[0]
    found = _RSPAMD.match(said) if is_rspamd else _REPORT.match(said) or _OLDER.match(said)
    if found is None or (is_rspamd and found.end() >= len(said)):
        return f", output: {_understood(said)}" if is_rspamd else " output"
    score, threshold = _number(found[1]), _number(found[2])
    report, action = said[found.end() :], "reject" if score >= threshold else "no action"
    variables = {
        "spam_score": _shown(score),
        "spam_score_int": str(_whole((score + 0.001) * 10)),
        "spam_bar": _bar(score),
        "spam_report": _as_field(report),
    }
    if not is_rspamd:
        variables["spam_action"] = action
    elif report.startswith("Action: "):
        variables["spam_action"] = report[8:].partition("\r")[0][:LONGEST_ACTION]
    return SpamAnswer(score >= threshold, variables)


def _understood(said: str) -> int:
    """How many values of Rspamd's first two lines could be read; -1 where there was nothing at all."""
    if not said.strip():
        return -1
    return max((count for count, pattern in enumerate(_BEGINNINGS) if pattern.match(said)), default=0)


def _number(text: str) -> float:
    """A number as strtod reads it."""
    text = text[:_LONGEST_NUMBER].lower()
    try:
        return float.fromhex(text) if "0x" in text else float(text)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


def _shown(score: float) -> str:
    return f"{score:.1f}"


def _whole(number: float) -> int:
    """As C makes an int of it."""
    if math.isnan(number) or not -(2**31) - 1 < number < 2**31:
        return -(2**31)
    return int(number)


def _bar(score: float) -> str:
    length = abs(_whole(score))
    if length == 0:
        return "/"
    if (
        length == 2**31
    ):  # too large for C's int: what comes of it there is not defined; Debian's Exim has one sign
        length = 1
    return ("+" if score > 0 else "-") * min(length, LONGEST_BAR)


def _as_field(report: str) -> str:
    return report.replace("\r", "").replace("\n", "\n ").rstrip("".join(map(chr, range(33))))

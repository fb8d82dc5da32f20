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
_HALF_EXPONENT = re.compile(r"^([+-]?[0-9.]+)e[+-]?$|p[+-]?$")
_S = r"[ \t\n\v\f\r]*"
_WORD, _LONG_WORD = r"[^\s]{1,7}", r"[^\s]+"
_HEX = r"0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]*)?"
_FLOAT = rf"[+-]?(?i:inf(?:inity)?|nan|{_HEX}|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]*)?)"


def _taken(name: str, pattern: str) -> str:
    """As scanf takes a value: as much as it can, and nothing of it is given back."""
    return rf"(?=(?P<{name}>{pattern}))(?P={name})"


_BEGIN = rf"SPAMD/{_S}{_taken('version', _WORD)}{_S}0{_S}EX_OK{_S}"
_SCORE, _THRESHOLD = _taken("score", _FLOAT), _taken("threshold", _FLOAT)
_REPORT = re.compile(rf"{_BEGIN}Content-length:{_S}[+-]?[0-9]+{_S}{_SCORE}/{_S}{_THRESHOLD}{_S}")
_OLDER = re.compile(
    rf"{_BEGIN}Spam:{_S}{_taken('word', _LONG_WORD)}{_S};{_S}{_SCORE}{_S}/{_S}{_THRESHOLD}{_S}"
)
_PARTS = (
    "R" + rf"SPAMD/{_S}{_taken('version', _WORD)}",
    rf"{_S}0{_S}EX_OK{_S}Metric:{_S}default;{_S}{_taken('word', _WORD)}",
    rf"{_S}{_SCORE}",
    rf"{_S}/{_S}{_THRESHOLD}",
    rf"{_S}/{_S}{_taken('rejects', _FLOAT)}",
)
_BEGINNINGS = tuple(re.compile("".join(_PARTS[:count])) for count in range(len(_PARTS) + 1))
_RSPAMD = re.compile("".join(_PARTS) + _S)


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
    score, threshold = _number(found["score"]), _number(found["threshold"])
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
    text = _HALF_EXPONENT.sub(lambda found: found[1] or "", text)
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

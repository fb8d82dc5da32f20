"""Kinds of values, and how each is read.

WHAT       one Kind for each sort of value that Exim's options take: a time, a number, a list, a text to be expanded.
STANDARDS  Exim specification, chapter "The Exim run time configuration file", sections "Integer values",
           "Octal integer values", "Fixed point numbers", "Time intervals", "String values", "Expanded strings"
LIKE EXIM  a number is read as C reads it (010 is 8); a text that is expanded is looked at when it is used
READ NEXT  table.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Compiled, compile_text
from labkit.eximconf.expansion.numbers import shown_interval
from labkit.eximconf.lists import ListKind, NamedLists, compile_list, split_list
from labkit.eximconf.place import ConfigurationError, Place, readable

_TIME = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_AMOUNT = re.compile(r"([0-9]+)([wdhms])")
_INTEGER = re.compile(r"(-?)(0x[0-9a-f]{1,15}|[0-9]{1,18})([KMG]?)", re.IGNORECASE)
_DECIMAL = re.compile(r"([0-9]{1,15})([KMG]?)", re.IGNORECASE)
_OCTAL = re.compile("[0-7]+")
_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)"
_FIXED_POINT = re.compile(r"([0-9]{1,6})(?:\.([0-9]{0,3}))?")
_PACE = re.compile(rf"\s*([0-9]{{1,9}}),\s*{_NUMBER}([smhdw]),\s*{_NUMBER},\s*{_NUMBER}([smhdw])\s*")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_MODE = re.compile("[0-7]{1,6}")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"(r_[A-Za-z0-9_]+)\s*=\s*(.*)", re.DOTALL)
_PORT = re.compile("[0-9]{1,6}")
_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LARGEST = 2**31 - 1  # Exim keeps times and most numbers in an int
_MOST_WARNINGS = 10
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}

ReadValue = Callable[[str, Place, NamedLists], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """`read` makes a value of what was written; None: a boolean option, which may stand alone.

    `shown` writes a value as exim -bP does; None: as it was written.
    """

    name: str
    read: ReadValue | None
    shown: Callable[[Any], str] | None = None


def read_time(text: str, place: Place) -> timedelta:
    """A time such as `4d6h` (Exim specification, "Time intervals"). Raises ConfigurationError."""
    if _TIME.fullmatch(text) is None:
        raise ConfigurationError(
            place, f"invalid time value {readable(text)!r}", "write it like 15m, 2h or 4d12h"
        )
    seconds = sum(int(count) * _UNITS[unit] for count, unit in _AMOUNT.findall(text))
    if seconds > _LARGEST:
        raise ConfigurationError(place, f"invalid time value {readable(text)!r}", "68 years are the most")
    return timedelta(seconds=seconds)


def shown_time(value: timedelta) -> str:
    """As Exim prints it: 4d6h, 0s."""
    return shown_interval(int(value.total_seconds()))


def _integer(text: str, place: Place, named: NamedLists) -> int:
    """As C reads it: 0x10 is 16, and 010 is 8."""
    found = _INTEGER.fullmatch(text)
    digits = found[2].lower() if found else ""
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    if found is None or (base == 8 and not _OCTAL.fullmatch(digits)):
        raise ConfigurationError(
            place, f"integer expected, not {readable(text)!r}", "write digits, then K, M, G or nothing"
        )
    value = int(digits, base) * _SIZES[found[3].upper()]
    if value > _LARGEST:
        problem = f'absolute value of integer "{text}" is too large (overflow)'
        raise ConfigurationError(place, problem, f"{_LARGEST} is the most")
    return -value if found[1] else value


def shown_integer(value: int) -> str:
    """As Exim prints a number that may carry a unit: 50M, 2K, 998."""
    for unit in ("G", "M", "K"):
        if value and value % _SIZES[unit] == 0:
            return f"{value // _SIZES[unit]}{unit}"
    return str(value)


def _limit(text: str, place: Place, named: NamedLists) -> int:
    return _above_zero(_integer(text, place, named), place)


def _size(text: str, place: Place, named: NamedLists) -> int:
    """Exim expands this option, so here 010 is ten."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            place, f"integer expected, not {readable(text)!r}", "write digits, then K, M, G or nothing"
        )
    return _above_zero(int(found[1]) * _SIZES[found[2].upper()], place)


def _above_zero(value: int, place: Place) -> int:
    if value <= 0:
        raise ConfigurationError(
            place, "0 (no limit) is not read by labkit yet", "write a number as large as you like"
        )
    return value


def _octal(text: str, place: Place, named: NamedLists) -> int:
    if not _MODE.fullmatch(text):
        raise ConfigurationError(place, f"file mode expected, not {readable(text)!r}", "write it like 0600")
    return int(text, 8)


def _string(text: str, place: Place, named: NamedLists) -> str:
    return text


def _host_name(text: str, place: Place, named: NamedLists) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ConfigurationError(
            place, f"{readable(text)!r} is no host name", "write one full name such as mx2.st11.sne21.test"
        )
    return text


def _strings(text: str, place: Place, named: NamedLists) -> tuple[str, ...]:
    return tuple(split_list(text))


def _expansion(text: str, place: Place, named: NamedLists) -> Compiled:
    return compile_text(text, place)


def _truth(text: str, place: Place, named: NamedLists) -> bool | Compiled:
    """A boolean that may be a text to be expanded."""
    if (word := text.lower()) in _TRUTHS:
        return _TRUTHS[word]
    if "$" not in text:
        raise ConfigurationError(
            place,
            f'"{text}" is not a valid value for the option',
            "write true or false, or what expands to it",
        )
    return compile_text(text, place)


def read_boolean(name: str, text: str | None, place: Place) -> bool:
    """The value of a boolean option; alone, or with an empty value, it is true. Raises ConfigurationError."""
    word = (text or "").lower()
    if not word:
        return True
    if word not in _TRUTHS:
        problem = f'"{text}" is not a valid value for the boolean option {name}'
        raise ConfigurationError(place, problem, "write true or false")
    return _TRUTHS[word]


def _set(text: str, place: Place, named: NamedLists) -> tuple[str, Compiled]:
    """`r_name = text`: a variable that a router sets for what comes after it."""
    found = _VARIABLE.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            place, f"invalid variable name in set: {readable(text)!r}", "write: set = r_name = value"
        )
    return found[1], compile_text(found[2], place)


def _ports(text: str, place: Place, named: NamedLists) -> tuple[int, ...]:
    ports = tuple(_port(item, place, named) for item in split_list(text))
    if not ports:
        raise ConfigurationError(place, "no port is given", "write a number, smtp or submission")
    return ports


def _port(text: str, place: Place, named: NamedLists) -> int:
    names = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}
    port = names.get(text) or (int(text) if _PORT.fullmatch(text) else 0)
    if not 0 < port < 65536:
        raise ConfigurationError(
            place, f"unknown port {readable(text)!r}", "write a number, smtp or submission"
        )
    return port


def _list_of(kind: ListKind) -> ReadValue:
    return lambda text, place, named: compile_list(kind, text, place, named)


def _size_expanded(text: str, place: Place, named: NamedLists) -> int | Compiled:
    """A size that may depend on the client."""
    return compile_text(text, place) if "$" in text else _size(text, place, named)


def _pace(text: str, place: Place, named: NamedLists) -> tuple[int, float, float, float]:
    """How many commands are free, how long the next one waits, by what that grows, and to what."""
    found = _PACE.fullmatch(text)
    if found is None:
        remedy = "write number, time, factor, time: 2, 0.5s, 1.05, 4m"
        raise ConfigurationError(place, f"malformed ratelimit data: {readable(text)}", remedy)
    first, most = (float(found[n]) * _SECONDS[found[n + 1]] for n in (2, 5))
    return int(found[1]), first, float(found[4]), most


def _fixed_point(text: str, place: Place, named: NamedLists) -> int:
    """Thousandths."""
    found = _FIXED_POINT.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            place, f"fixed-point number expected, not {readable(text)!r}", "write it like 2.5"
        )
    return int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0"))


def _time(text: str, place: Place, named: NamedLists) -> timedelta:
    return read_time(text, place)


def _span(text: str, place: Place, named: NamedLists) -> timedelta:
    if not (time := read_time(text, place)):
        raise ConfigurationError(place, f"{text} (no limit) is not read by labkit yet", "write a long time")
    return time


def _warnings(text: str, place: Place, named: NamedLists) -> tuple[timedelta, ...]:
    """Times that rise, with colons between them. 0s as the first: there are none."""
    times: list[timedelta] = []
    for item in text.split(":") if text else ():
        item = item.strip(BLANKS)
        if _TIME.fullmatch(item) is None:
            raise ConfigurationError(
                place, "invalid time value for delay_warning", "write times such as 4h:12h:24h"
            )
        time = read_time(item, place)
        if times and time <= times[-1]:
            raise ConfigurationError(
                place, "time value out of order for delay_warning", "write the shortest time first"
            )
        times.append(time)
        if len(times) > _MOST_WARNINGS:
            problem = "too many time values for delay_warning"
            raise ConfigurationError(place, problem, f"{_MOST_WARNINGS} are the most")
    return () if times and not times[0] else tuple(times)


def _shown_warnings(times: tuple[timedelta, ...]) -> str:
    return ":".join(map(shown_time, times))


BOOLEAN = Kind("boolean", None)
TRUTH = Kind("boolean, expanded", _truth)
STRING = Kind("string", _string)
HOST_NAME = Kind("host name", _host_name)
STRINGS = Kind("string list", _strings)
EXPANSION = Kind("string, expanded", _expansion)
SETTING = Kind("r_name = string, expanded", _set)
INTEGER = Kind("integer", _integer, shown_integer)
LIMIT = Kind("integer above 0", _limit, shown_integer)
SIZE = Kind("integer above 0", _size)
SIZE_EXPANDED = Kind("integer above 0, expanded", _size_expanded)
FIXED_POINT = Kind("fixed-point", _fixed_point, lambda value: f"{value / 1000:.1f}")
PACE = Kind("number, time, factor, time", _pace)
MODE = Kind("octal integer", _octal, lambda value: f"{value:04o}")
TIME = Kind("time", _time, shown_time)
SPAN = Kind("time above 0", _span, shown_time)
WARNINGS = Kind("times that rise", _warnings, _shown_warnings)
PORT = Kind("port", _port)
PORTS = Kind("ports", _ports)
SOME_PORTS = Kind("ports", lambda text, place, named: _ports(text, place, named) if text else ())
DOMAINS = Kind("domain list", _list_of(ListKind.DOMAIN))
HOSTS = Kind("host list", _list_of(ListKind.HOST))
LOCAL_PARTS = Kind("local part list", _list_of(ListKind.LOCAL_PART))
ADDRESSES = Kind("address list", _list_of(ListKind.ADDRESS))

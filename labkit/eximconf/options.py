"""The options labkit knows: one row each. What is not in this table is refused.

WHAT       name, where it may stand, what kind of value it takes, its default, and Exim's chapter about it.
RULES      a row is here only if the option takes effect; nothing is read and then forgotten.
READ NEXT  configuration.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from labkit.eximconf import exim_names
from labkit.eximconf.expand import compile_expansion
from labkit.eximconf.lists import ListKind, NamedLists, compile_list, split_list
from labkit.eximconf.reader import ConfigurationError, Place, Setting

_TIME = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LARGEST = 2**31 - 1  # Exim keeps times and most numbers in an int

ReadValue = Callable[[str, Place, NamedLists], Any]


def read_time(text: str, place: Place) -> timedelta:
    """A time such as `4d6h` (Exim specification, "Time intervals"). Raises ConfigurationError."""
    if _TIME.fullmatch(text) is None:
        raise ConfigurationError(place, f"invalid time value {text!r}", "write it like 15m, 2h or 4d12h")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9]+)([wdhms])", text))
    if seconds > _LARGEST:
        raise ConfigurationError(place, f"invalid time value {text!r}", "68 years are the most")
    return timedelta(seconds=seconds)


def _string(text: str, place: Place, named: NamedLists) -> str:
    return text


def _host_name(text: str, place: Place, named: NamedLists) -> str:
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", text):
        raise ConfigurationError(
            place, f"{text!r} is no host name", "write one full name such as mx2.st11.sne21.test"
        )
    return text


def _integer(text: str, place: Place, named: NamedLists) -> int:
    """As C reads it: 0x10 is 16, and 010 is 8."""
    found = re.fullmatch(r"(0x[0-9a-f]{1,15}|[0-9]{1,18})([KMG]?)", text, re.IGNORECASE)
    digits = found[1].lower() if found else ""
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    if found is None or (base == 8 and not re.fullmatch("[0-7]+", digits)):
        raise ConfigurationError(
            place, f"integer expected, not {text!r}", "write digits, then K, M, G or nothing"
        )
    value = int(digits, base) * _SIZES[found[2].upper()]
    if value > _LARGEST:
        problem = f'absolute value of integer "{text}" is too large (overflow)'
        raise ConfigurationError(place, problem, f"{_LARGEST} is the most")
    return value


def _size(text: str, place: Place, named: NamedLists) -> int:
    """Exim expands this option, so here 010 is ten."""
    found = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text, re.IGNORECASE)
    if found is None:
        raise ConfigurationError(
            place, f"integer expected, not {text!r}", "write digits, then K, M, G or nothing"
        )
    return _above_zero(int(found[1]) * _SIZES[found[2].upper()], place)


def _limit(text: str, place: Place, named: NamedLists) -> int:
    return _above_zero(_integer(text, place, named), place)


def _above_zero(value: int, place: Place) -> int:
    if value == 0:
        raise ConfigurationError(
            place, "0 (no limit) is not read by labkit yet", "write a number as large as you like"
        )
    return value


def _octal(text: str, place: Place, named: NamedLists) -> int:
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise ConfigurationError(place, f"file mode expected, not {text!r}", "write it like 0600")
    return int(text, 8)


def _expansion(text: str, place: Place, named: NamedLists) -> Any:
    return compile_expansion(text, place)


def _ports(text: str, place: Place, named: NamedLists) -> tuple[int, ...]:
    ports = tuple(_port(item, place, named) for item in split_list(text))
    if not ports:
        raise ConfigurationError(place, "no port is given", "write a number, smtp or submission")
    return ports


def _port(text: str, place: Place, named: NamedLists) -> int:
    names = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}
    port = names.get(text) or (int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0)
    if not 0 < port < 65536:
        raise ConfigurationError(place, f"unknown port {text!r}", "write a number, smtp or submission")
    return port


def _list_of(kind: ListKind) -> ReadValue:
    return lambda text, place, named: compile_list(kind, text, place, named)


def _time(text: str, place: Place, named: NamedLists) -> timedelta:
    if not (time := read_time(text, place)):
        raise ConfigurationError(place, f"{text} (no limit) is not read by labkit yet", "write a long time")
    return time


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table. `read` None: a boolean option. A default is given as it would be written, None: unset."""

    scope: str  # "main", "router", "router accept", "transport smtp" …
    name: str
    read: ReadValue | None
    default: str | bool | None
    chapter: str  # of the Exim specification
    effect: str


_MAIN = "Main configuration"
_ROUTER = "Generic options for routers"
_FILE = "The appendfile transport"

TABLE: tuple[Option, ...] = (
    Option(
        "main", "acl_smtp_rcpt", _string, None, _MAIN, "the ACL that answers RCPT; unset: all are refused"
    ),
    Option("main", "daemon_smtp_ports", _ports, "smtp", _MAIN, "the ports the daemon listens on"),
    Option("main", "message_size_limit", _size, "50M", _MAIN, "octets; a larger message is refused with 552"),
    Option(
        "main",
        "primary_hostname",
        _host_name,
        None,
        _MAIN,
        "the name of this host; unset: as the lab calls it",
    ),
    Option(
        "main", "qualify_domain", _host_name, None, _MAIN, "added to local parts; unset: primary_hostname"
    ),
    Option(
        "main", "received_headers_max", _integer, "30", _MAIN, "more Received fields than this: a mail loop"
    ),
    Option("main", "recipients_max", _limit, "1000", _MAIN, "recipients beyond it get 452"),
    Option("main", "smtp_accept_max", _limit, "1000", _MAIN, "sessions at once; beyond it: 421"),
    Option(
        "main", "smtp_accept_max_nonmail", _integer, "10", _MAIN, "commands that carry no mail, per session"
    ),
    Option("main", "smtp_enforce_sync", None, True, _MAIN, "refuse clients that do not wait for answers"),
    Option("main", "smtp_max_synprot_errors", _integer, "3", _MAIN, "errors before the session is closed"),
    Option("main", "smtp_max_unknown_commands", _integer, "3", _MAIN, "unknown commands before it is closed"),
    Option("main", "smtp_receive_timeout", _time, "5m", _MAIN, "real time a foreign client may stay silent"),
    Option("router", "driver", _string, None, _ROUTER, "which kind of router this is"),
    Option(
        "router", "cannot_route_message", _expansion, None, _ROUTER, "the words for an address nobody takes"
    ),
    Option("router", "check_local_user", None, False, _ROUTER, "only for local parts that are accounts here"),
    Option("router", "domains", _list_of(ListKind.DOMAIN), None, _ROUTER, "only for these domains"),
    Option(
        "router", "local_parts", _list_of(ListKind.LOCAL_PART), None, _ROUTER, "only for these local parts"
    ),
    Option(
        "router",
        "ignore_target_hosts",
        _list_of(ListKind.HOST),
        None,
        _ROUTER,
        "addresses never delivered to",
    ),
    Option("router", "more", None, True, _ROUTER, "no_more: if this router declines, the address fails"),
    Option("router", "transport", _string, None, _ROUTER, "who delivers what this router takes"),
    Option(
        "transport",
        "driver",
        _string,
        None,
        "Generic options for transports",
        "which kind of transport this is",
    ),
    Option(
        "transport smtp",
        "helo_data",
        _expansion,
        "$primary_hostname",
        "The smtp transport",
        "the name in EHLO",
    ),
    Option("transport smtp", "port", _port, "smtp", "The smtp transport", "the port to connect to"),
    Option("transport appendfile", "file", _expansion, None, _FILE, "the mailbox file (mbox)"),
    Option("transport appendfile", "directory", _expansion, None, _FILE, "the mailbox directory (Maildir)"),
    Option("transport appendfile", "maildir_format", None, False, _FILE, "the directory is a Maildir"),
    Option("transport appendfile", "delivery_date_add", None, False, _FILE, "add a Delivery-date field"),
    Option("transport appendfile", "envelope_to_add", None, False, _FILE, "add an Envelope-to field"),
    Option("transport appendfile", "return_path_add", None, False, _FILE, "add a Return-path field"),
    Option("transport appendfile", "mode", _octal, "0600", _FILE, "permissions of the mailbox file"),
)
DRIVERS = {"router": ("accept", "dnslookup"), "transport": ("appendfile", "smtp")}
_ROWS = {(row.scope, row.name): row for row in TABLE}


def find(scope: str, name: str) -> Option | None:
    """The row for `name` in `scope` ("transport smtp" also finds the rows of "transport")."""
    return _ROWS.get((scope, name)) or _ROWS.get((scope.partition(" ")[0], name))


def rows(scope: str) -> list[Option]:
    """All rows that apply in a scope."""
    return [row for row in TABLE if row.scope in (scope, scope.partition(" ")[0])]


def read_setting(scope: str, written: Setting, named: NamedLists) -> tuple[str, Any]:
    """The option's name and its value, read and compiled.

    Raises ConfigurationError for an option that labkit does not have, and for a value it cannot read.
    """
    name, value = written.name, written.value
    for prefix in ("no_", "not_"):
        stripped = find(scope, name.removeprefix(prefix)) if name.startswith(prefix) else None
        if stripped is not None and stripped.read is None and value is None:
            return stripped.name, False
    row = find(scope, name)
    if row is None:
        raise _no_such_option(scope, written)
    if row.read is None:
        truth = {"": True, "true": True, "yes": True, "false": False, "no": False}
        if (word := (value or "").lower()) not in truth:
            raise ConfigurationError(
                written.place,
                f'"{value}" is not a valid value for the boolean option {name}',
                "write true or false",
            )
        return row.name, truth[word]
    if value is None:
        raise ConfigurationError(written.place, f"the option {name} needs a value", f"write: {name} = …")
    return row.name, row.read(value, written.place, named)


def _no_such_option(scope: str, written: Setting) -> ConfigurationError:
    """A gap of ours, or a slip of the pen?"""
    name = written.name
    if exim_names.has(scope, name):
        problem = f'the option "{name}" is "real Exim only": labkit does not read it yet ({scope})'
        return ConfigurationError(
            written.place, problem, "leave the line out, or run the host on a real Exim"
        )
    problem = f'{"main " if scope == "main" else ""}option "{name}" unknown ({scope})'
    if similar := exim_names.similar(scope, name):
        return ConfigurationError(written.place, problem, f"did you mean {' or '.join(similar)}?")
    known = ", ".join(sorted(row.name for row in rows(scope)))
    return ConfigurationError(written.place, problem, f"Exim has none of that name; labkit has: {known}")


def defaults(scope: str) -> dict[str, Any]:
    """The values of all options of a scope that have a default."""
    place = Place("labkit's defaults", 0)
    found: dict[str, Any] = {}
    for row in rows(scope):
        if isinstance(row.default, str) and row.read is not None:
            found[row.name] = row.read(row.default, place, {})
        elif isinstance(row.default, bool):
            found[row.name] = row.default
    return found

"""The fast path: a few facts of each header, for a hundred thousand messages and more.

WHAT       `survey(message)` -> Survey, a small record of one message, or of its header alone.
AGREES     hops, delays and wrong clocks are those that `dissect` finds (a test holds that): what the quick patterns do
           not understand is given to the same readers, which take their time.
SAFE       linear; no more than 64 KB of a header and 200 hops are looked at; never raises. A Survey is plain and can be
           pickled, so any pool of processes, dask or Spark can map `survey` over a corpus (docs/many_messages.md).
READ NEXT  totals.py, benchmarks/headers.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from labkit.headers.addresses import addresses_of
from labkit.headers.dates import MONTHS, OLD_ZONES, read_date
from labkit.headers.dissect import name_and_value
from labkit.headers.hops import IMPLAUSIBLE, measured
from labkit.headers.received import read_received
from labkit.mail.message import octets_of

MOST_READ = 65_536
MOST_HOPS = 200
_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"\n([RFDMLrfdml][A-Za-z-]{3,13})[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)")
_RECEIVED, _FROM, _DATE, _ID, _DKIM, _LIST, _PATH = (
    b"received", b"from", b"date", b"message-id", b"dkim-signature", b"list-id", b"return-path",
)  # fmt: skip
_WANTED = frozenset((_RECEIVED, _FROM, _DATE, _ID, _DKIM, _LIST, _PATH))
_QUICK_DATE = re.compile(
    rb"\s*(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),\s+)?(\d{1,2} [A-Z][a-z]{2} (?:19|20)?\d\d) "
    rb"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?: ([+-][01]\d[0-5]\d|GMT|UTC|[ECMP][SD]T))?\s*(?:\([A-Z]{1,5}\)\s*)?\Z"
)
_QUICK_ADDRESS = re.compile(rb"[^<>,@\"():;=]*<[^<>@\s\"(),:]+@([A-Za-z0-9.-]+)>\s*\Z")
_D = re.compile(rb";\s*d\s*=\s*([A-Za-z0-9._-]{1,255})")
_IN_ANGLES = re.compile(rb"<([^<>\s]{1,255})>")


class Survey(NamedTuple):
    """One header in short. `delays`: seconds to each hop but the first, the oldest first; None: not known.

    `total` is their sum; `date` the instant of the Date field, in seconds since 1970; `size` the header's octets.
    """

    from_domain: str
    envelope_domain: str
    message_id: str
    list_id: str
    dkim_domains: tuple[str, ...]
    hops: int
    delays: tuple[float | None, ...]
    total: float | None
    has_skew: bool
    date: float | None
    size: int


def survey(message: bytes) -> Survey:
    """The facts of one message, or of its header alone. Never raises for its content; TypeError if it is not bytes."""
    message = octets_of(message)
    end = _END.search(message, 0, MOST_READ)
    header = message[: end.start() + 1] if end else message[:MOST_READ]
    instants: list[float | None] = []
    first: dict[bytes, bytes] = {}
    signers: dict[str, None] = {}
    for name, text in _FIELD.findall(b"\n" + header):
        small = name.lower()
        if small == _RECEIVED:
            if len(instants) < MOST_HOPS:
                instants.append(_hop_instant(text))
        elif small == _DKIM:
            signer = _D.search(b";" + text)
            if signer is not None:
                signers[signer[1].decode("ascii").lower()] = None
        elif small in _WANTED and small not in first:
            first[small] = text
    instants.reverse()
    delays, total, has_skew = _times(instants)
    return Survey(
        _domain(first.get(_FROM)),
        _domain(first.get(_PATH)),
        _in_angles(first.get(_ID)),
        _in_angles(first.get(_LIST)).lower(),
        tuple(signers),
        len(instants),
        delays,
        total,
        has_skew,
        _instant(first[_DATE]) if _DATE in first else None,
        len(header),
    )


def _times(instants: Sequence[float | None]) -> tuple[tuple[float | None, ...], float | None, bool]:
    """Delays, their sum, and whether a clock is wrong. Nearly always time just goes on; the rest is for hops.py."""
    delays: list[float] = []
    before: float | None = None
    for instant in instants:
        if instant is None or (before is not None and not 0 <= instant - before <= IMPLAUSIBLE):
            break
        if before is not None:
            delays.append(instant - before)
        before = instant
    else:
        return tuple(delays), sum(delays) if delays else None, False
    times = measured(instants)
    known = [delay for delay, _, _ in times if delay is not None]
    has_skew = any(skew is not None for _, _, skew in times)
    return tuple(delay for delay, _, _ in times[1:]), sum(known) if known else None, has_skew


def _hop_instant(text: bytes) -> float | None:
    before, semicolon, written = text.rpartition(b";")
    is_plain = semicolon and before.count(b"(") == before.count(b")") and b'"' not in before
    if is_plain and b"\\" not in before:  # the semicolon stands outside of comments and quotes
        return _instant(written)
    when = read_received(name_and_value(b":" + text)[1]).date
    return None if when is None or when.instant is None else when.instant.timestamp()


def _instant(text: bytes) -> float | None:
    found = _QUICK_DATE.match(text)
    if found is not None:
        day, hour, minute, second, zone = found.groups()
        midnight = _midnight(day, zone)
        if midnight is not None:
            return midnight + 3600 * int(hour) + 60 * int(minute) + int(second)
    instant = read_date(name_and_value(b":" + text)[1]).instant
    return None if instant is None else instant.timestamp()


@lru_cache(maxsize=8192)
def _midnight(day: bytes, zone: bytes | None) -> float | None:
    """The beginning of `12 Mar 2024` (or 24) in a zone. None: no such day, for the reader that says why."""
    number, month, year = day.decode("ascii").split()
    full_year = int(year) if len(year) == 4 else int(year) + (2000 if year < "50" else 1900)
    try:
        days = date(full_year, MONTHS[month.lower()], int(number)).toordinal() - 719_163
    except (KeyError, ValueError):
        return None
    return days * 86_400.0 - _offset(zone)


def _offset(zone: bytes | None) -> int:
    """Seconds ahead of UTC."""
    if zone is None:
        return 0
    if zone.isalpha():
        return 3600 * OLD_ZONES[zone.decode("ascii").lower()]
    seconds = 3600 * int(zone[1:3]) + 60 * int(zone[3:])
    return -seconds if zone[:1] == b"-" else seconds


def _domain(text: bytes | None) -> str:
    if text is None:
        return ""
    quick = _QUICK_ADDRESS.match(text)
    if quick is not None:
        return quick[1].decode("ascii").rstrip(".").lower()
    first = addresses_of(name_and_value(b":" + text)[1]).first
    return first.domain if first is not None else ""


def _in_angles(text: bytes | None) -> str:
    found = None if text is None else _IN_ANGLES.search(text)
    return "" if found is None else found[1].decode("utf-8", "backslashreplace")

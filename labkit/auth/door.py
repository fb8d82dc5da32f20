"""The plain door's hinge: a `lookup(name, rdtype)` function answers what the evaluators of this room ask.

WHAT       other programs bring a function that looks up names; `answer_with(lookup, asking)` runs an evaluator with it.
           What is given in a wrong type raises TypeError here, with words for what to give.
LOOKUP     `lookup(name, rdtype)` follows CNAME and returns a list of strings: addresses for A and AAAA, names for PTR,
           `10 host` for MX, the joined strings of each record for TXT, [] where the name has no such record. It raises
           NoSuchName where the name does not exist (NXDOMAIN), LookupTimedOut for SERVFAIL or silence.
MESSAGES   `seconds(now)` and `as_sent(message)` take what is at hand: a datetime, a file whose lines end in LF.
STANDARDS  RFC 1035 §3.5 (names of addresses), RFC 3596 §2.5 (the same for IPv6), RFC 2308 §2 (NXDOMAIN, NODATA)
READ NEXT  spf.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeVar

from labkit.mail.asking import Asking, Question, answer_by
from labkit.mail.message import CRLF, octets_of
from labkit.mail.questions import (
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    NamesOf,
    TextOf,
    V6AddressesOf,
)

T = TypeVar("T")
Instant = datetime | float  # an aware datetime, or seconds since 1970
Lookup = Callable[[str, str], Sequence[str]]

MOST_SECONDS = 1e15  # some 30 million years: beyond it, a number is no instant
_MX = re.compile(r"\s*([0-9]{1,5})\s+(\S+)\s*")


class NoSuchName(LookupError):
    """The name does not exist: NXDOMAIN (RFC 2308 §2.1)."""


class LookupTimedOut(LookupError):
    """Nobody could say: SERVFAIL, or no answer. It may be known later."""


def answer_with(lookup: Lookup, asking: Asking[T]) -> T:
    """Run an evaluator with the answers of `lookup`. Raises what `lookup` raises, save the two errors above."""
    if not callable(lookup):
        raise TypeError(f"lookup is a function lookup(name, rdtype), not {type(lookup).__name__}")
    return answer_by(lambda question: dns_answer(lookup, question), asking)


def dns_answer(lookup: Lookup, question: Question[Any]) -> DnsAnswer[Any]:
    """What `lookup` has for one question. Raises TypeError for a question that is not one of the DNS."""
    if isinstance(question, TextOf):
        return _looked_up(lookup, question.name, "TXT")
    if isinstance(question, MxOf):
        return _looked_up(lookup, question.domain, "MX", _mx_record)
    if isinstance(question, AddressesOf):
        return _looked_up(lookup, question.host, "A")
    if isinstance(question, V6AddressesOf):
        return _looked_up(lookup, question.host, "AAAA")
    if isinstance(question, NamesOf):
        return _looked_up(lookup, ip_address(question.address).reverse_pointer, "PTR", _name)
    raise TypeError(f"a lookup cannot answer {question!r}")


def _looked_up(
    lookup: Lookup, name: str, rdtype: str, read: Callable[[str], Any] = lambda text: text
) -> DnsAnswer[Any]:
    try:
        found = _texts(lookup(name, rdtype), name, rdtype)  # it may be a generator, which raises only now
    except NoSuchName:
        return DnsAnswer(DnsOutcome.NXDOMAIN)
    except LookupTimedOut:
        return DnsAnswer(DnsOutcome.TIMEOUT)
    records = tuple(map(read, found))
    return DnsAnswer(DnsOutcome.FOUND if records else DnsOutcome.NODATA, records)


def _texts(found: object, name: str, rdtype: str) -> tuple[str, ...]:
    """What a lookup returned. Raises TypeError if that is no list of strings."""
    texts = tuple(found) if isinstance(found, Iterable) and not isinstance(found, str | bytes) else None
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise TypeError(
            f"lookup({name[:80]!r}, {rdtype!r}) returned {repr(found)[:60]}: it returns a list of strings, one for "
            "each record, and [] where there is none"
        )
    return texts


def _mx_record(text: str) -> MxRecord:
    found = _MX.fullmatch(text)
    if found is None:
        raise ValueError(f"an MX record is given as '10 host', not as {text[:80]!r}")
    return MxRecord(int(found[1]), _name(found[2]))


def _name(text: str) -> str:
    """A name without the dot of the root at its end; the root itself stays "." (RFC 7505)."""
    return text.rstrip(".") or "."


def seconds(now: Instant) -> float:
    """An instant in seconds since 1970. Raises ValueError for a datetime that does not say its zone."""
    if isinstance(now, datetime):
        if now.utcoffset() is None:
            raise ValueError("now needs a zone, as datetime.now(timezone.utc) has one")
        return now.timestamp()
    if not isinstance(now, int | float):
        raise TypeError(f"now is an aware datetime, or seconds since 1970, not {type(now).__name__}")
    if not -MOST_SECONDS < now < MOST_SECONDS:
        raise ValueError(f"now is {str(now)[:40]}, which is no instant in seconds since 1970")
    return float(now)


def text_of(given: str | IPv4Address | IPv6Address, name: str) -> str:
    """An argument that is text; an address may be an object of `ipaddress`. Raises TypeError for anything else."""
    if isinstance(given, str):
        return given
    if isinstance(given, IPv4Address | IPv6Address):
        return str(given)
    raise TypeError(f"{name} is text (str), not {type(given).__name__}")


def as_sent(message: bytes) -> bytes:
    """A message as it travels. With bare LF only it is taken for a stored file, and mbox's first line goes."""
    message = octets_of(message)
    if b"\r" in message or b"\n" not in message:
        return message
    if message.startswith(b"From "):
        message = message.partition(b"\n")[2]
    return message.replace(b"\n", CRLF)

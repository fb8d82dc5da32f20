"""Facts from a real Exim's main log: the same events that labkit's own MTA notes.

WHAT       `fact_in(line)` reads one line; None for what is no fact about mail (queue runs, warnings, TLS notes).
RULES      reads what the log says and guesses nothing, with one exception: a refusal's code is not in the log, so it is
           the one an ACL gives by default, 550 or (temporarily rejected) 451.
STANDARDS  Exim specification, chapter "Log files"
READ NEXT  exim_engine.py
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.mail.event import EventKind

_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})? (?:\[\d+\] )?"
    r"(?:(?P<id>[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}) )?(?P<rest>.*)"
)
_FIELD = re.compile(r' ([A-Za-z]+)=("(?:[^"\\]|\\.)*"|\S+)')
_HOST = re.compile(
    r"\bH=(?:(?P<name>[^\s(\[][^\s]*) )?(?:\((?P<helo>[^)]*)\) )?\[(?P<address>[^\]]+)\](?::(?P<port>\d+))?"
)
_DELIVERY = re.compile(r"(?P<mark>=>|->|\*>|>>) (?P<address>.*?)(?= [A-Z][A-Za-z]*=)(?P<fields>.*)")
_DEFERRAL = re.compile(
    r"== (?P<address>\S+(?: <[^>]*>)?)(?P<fields>.*?) defer \((?P<number>-?\d+)\)"
    r"(?P<where> H=.*?\](?::\d+)?)?(?:: (?P<reason>.*))?$"
)
_FAILURE = re.compile(
    r"\*\* (?P<address>\S+(?: <[^>]*>)?)(?P<fields>(?: [A-Za-z]+=\S+(?: \[[^\]]*\](?::\d+)?)?)*?)"
    r"(?: \w+=\S+)*?: (?P<reason>.*)$"
)
_REJECTION = re.compile(
    r"(?P<who>.*?)(?:F=<(?P<sender>[^>]*)> )?(?:A=\S+ )?(?P<verb>temporarily rejected|rejected) "
    r"(?P<what>RCPT|MAIL|VRFY|ETRN|EHLO|HELO|EHLO or HELO|AUTH|STARTTLS|connection|after DATA|DATA)\b ?"
    r"(?:<(?P<address>[^>]*)>|(?P<words>[^:]*))(?: [A-Z]+=\S+)*(?:: (?P<reason>.*))?$"
)
_REMOTE_REPLY = re.compile(r"SMTP error from remote mail server after .*?: ([45]\d\d)\b")
_NO_GREETING = re.compile(r"rejected MAIL from .*?\[(?P<address>[^\]]+)\].*: (?P<reason>no \S+ given)$")
_TOO_BIG = re.compile(r"rejected from <(?P<sender>[^>]*)>(?P<who>.*?): (?P<reason>.*)$")


@dataclass(frozen=True, slots=True)
class Fact:
    """An event, still without number, time and host: its kind and details (fields of MailEvent)."""

    kind: EventKind
    details: dict[str, Any]

    @property
    def accepted_as(self) -> str:
        """The queue id that the next host gave, or "": there the message came first."""
        found = re.search(r"\bid=([0-9A-Za-z-]+)$", self.details.get("text") or "")
        return found[1] if self.kind is EventKind.DELIVERED and found else ""


def fact_in(line: str) -> Fact | None:
    """What a line of the main log states, or None."""
    parts = _LINE.fullmatch(line)
    if parts is None:
        return None
    queue_id, rest = parts["id"], parts["rest"]
    if queue_id is None:
        return _about_the_host(rest)
    read = next((read for start, read in _READERS if rest.startswith(start)), _rejection)
    fact = read(rest)
    if fact is not None:
        fact.details["queue_id"] = queue_id
    return fact


def in_order(heard: Mapping[str, Sequence[Fact]]) -> Iterator[tuple[str, Fact]]:
    """The facts of several hosts in an order that can be true: a message came in before its delivery there was noted.

    Each host's own facts keep their order. A delivery whose confirmation names a queue id that another host has still
    to report waits for that report.
    """
    left = {host: deque(facts) for host, facts in heard.items()}
    to_come = {
        f.details.get("queue_id") for facts in heard.values() for f in facts if f.kind is EventKind.RECEIVED
    }
    while any(left.values()):
        ready = [host for host, facts in left.items() if facts and facts[0].accepted_as not in to_come]
        host = ready[0] if ready else next(host for host, facts in left.items() if facts)
        fact = left[host].popleft()
        if fact.kind is EventKind.RECEIVED:
            to_come.discard(fact.details.get("queue_id"))
        yield host, fact


def _about_the_host(rest: str) -> Fact | None:
    if "daemon started: pid=" in rest:
        ports = re.findall(r"\]:(\d+)", rest) or re.findall(r"port (\d+)", rest)
        return Fact(EventKind.STARTED, {"text": f"listening on {', '.join(dict.fromkeys(ports))}"})
    if found := _NO_GREETING.match(rest):
        return Fact(
            EventKind.REJECTED, {"remote_address": found["address"], "code": 503, "text": found["reason"]}
        )
    return _rejection(rest)


def _received(rest: str) -> Fact | None:
    sender, _, more = rest.removeprefix("<= ").partition(" ")
    fields = _fields(more)
    details: dict[str, Any] = {"sender": "" if sender == "<>" else sender, "protocol": fields.get("P")}
    details |= _client(more)
    details["size"] = int(fields["S"]) if fields.get("S", "").isdigit() else None
    details["message_id"] = f"<{fields['id']}>" if "id" in fields else None
    return Fact(EventKind.RECEIVED, details)


def _delivered(rest: str) -> Fact | None:
    found = _DELIVERY.match(rest)
    if found is None:
        return None
    details = _way(found["address"], found["fields"])
    *_, confirmation = (
        _fields(found["fields"]).get("C", "").split(r"\n")
    )  # of several lines the last: it has the id
    if reply := re.match(r"([2-5]\d\d)[ -](.*)", confirmation):
        details |= {"code": int(reply[1]), "text": reply[2]}
    return Fact(EventKind.DELIVERED, details)


def _deferred(rest: str) -> Fact | None:
    found = _DEFERRAL.match(rest)
    if found is None:
        return None
    way = _way(found["address"], found["fields"] + (found["where"] or ""))
    return Fact(EventKind.DEFERRED, way | _reason(found["reason"] or ""))


def _failed(rest: str) -> Fact | None:
    found = _FAILURE.match(rest)
    if found is None:
        return None
    return Fact(EventKind.FAILED, _way(found["address"], found["fields"]) | _reason(found["reason"]))


def _reason(text: str) -> dict[str, Any]:
    """Why not: the text, and the code if another server said it."""
    reply = _REMOTE_REPLY.match(text)
    return {"text": text} | ({"code": int(reply[1])} if reply else {})


def _frozen(rest: str) -> Fact | None:
    return Fact(EventKind.FROZEN, {"text": rest})


def _completed(rest: str) -> Fact | None:
    return Fact(EventKind.COMPLETED, {})


def _rejection(rest: str) -> Fact | None:
    found = _REJECTION.match(rest)
    if found is None:
        return None
    verb, what = found["verb"], found["what"]
    details: dict[str, Any] = {
        "sender": found["sender"],
        "recipient": found["address"] if what == "RCPT" else None,
        "code": 451 if verb.startswith("temporarily") else 550,
        "text": found["reason"] or "",
    }
    if what == "MAIL" and details["sender"] is None:
        details["sender"] = found["address"]
    return Fact(EventKind.REJECTED, details | _client(found["who"]))


def _too_big(rest: str) -> Fact | None:
    found = _TOO_BIG.match(rest)
    if found is None:
        return None
    words = {
        "sender": found["sender"],
        "code": 552 if "big" in found["reason"] else 550,
        "text": found["reason"],
    }
    return Fact(EventKind.REJECTED, words | _client(found["who"]))


def _way(address: str, fields: str) -> dict[str, Any]:
    """Recipient, router, transport and host of a delivery: "bob <bob@st2>" is the address bob@st2."""
    inside = re.search(r"<([^>]*)>$", address)
    known = _fields(fields)
    details: dict[str, Any] = {
        "recipient": inside[1] if inside else address.strip(),
        "router": known.get("R"),
        "transport": known.get("T"),
    }
    if host := _HOST.search(fields):
        details |= {"remote_host": host["name"] or host["helo"], "remote_address": host["address"]}
    return details


def _client(text: str) -> dict[str, Any]:
    """Who called. As labkit notes it, the name is the one given in EHLO."""
    host = _HOST.search(text)
    if host is None:
        return {}
    details: dict[str, Any] = {"remote_host": host["helo"] or host["name"], "remote_address": host["address"]}
    return details | ({"remote_port": int(host["port"])} if host["port"] else {})


def _fields(text: str) -> dict[str, str]:
    """NAME=value pairs; a value in quotes loses them and the backslashes before quotes."""
    found: dict[str, str] = {}
    for name, value in _FIELD.findall(f" {text}"):
        quoted = value.startswith('"') and value.endswith('"') and len(value) > 1
        found.setdefault(name, re.sub(r'\\(["\\])', r"\1", value[1:-1]) if quoted else value)
    return found


_READERS: tuple[tuple[str, Callable[[str], Fact | None]], ...] = (
    ("<= ", _received),
    ("=> ", _delivered),
    ("-> ", _delivered),
    ("== ", _deferred),
    ("** ", _failed),
    ("Frozen", _frozen),
    ("frozen by ", _frozen),
    ("Completed", _completed),
    ("rejected from ", _too_big),
)

"""Facts from a real Exim's main log: the same events that labkit's own MTA notes.

WHAT       `fact_in(line)` reads one line; None for what is no fact about mail (queue runs, warnings, TLS notes).
RULES      reads what the log says and guesses nothing, with one exception: if the words of a refusal do not begin
           with its code, it is the one an ACL gives by default, 550 or (temporarily rejected) 451. Strangers choose
           addresses, names and replies: they are read from the left, quoted strings as single pieces, and can state
           no fact of their own.
           (Where helo_accept_junk_hosts lets any HELO name pass, one can pretend the rest of a refusal.)
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
from labkit.mta.intake import IN_SECRET

# Pieces of patterns. Blanks are only " ", digits only 0 to 9: those of other alphabets are part of an address.
_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_WORD = rf'(?:\\.|{_QUOTED}|[^ "\\])'  # of these a value consists, as sender or id; a blank ends it
_ADDRESS = rf'(?:\\.|{_QUOTED}|[^ "\\<>])*'  # between < and >
_FIELD = rf" (?:[A-Za-z0-9]+\*?={_WORD}*(?<!:)|[A-Z]{{1,3}}[.*-]*)"  # R=x, or a mark like K; a colon ends all fields
_HOST = (
    r" H=(?:(?P<name>[^ (\[][^ ]*) )?(?P<secure>DS )?(?:\((?P<helo>.*?)\) )?\[(?P<address>[0-9A-Fa-f.:]+)\]"
    r"(?::(?P<port>[0-9]{1,5}))?\*?(?![^ :])"  # *: not the first message of that connection
)
_NEXT_HOP = r" H=[^ (\[][^ ]* (?:DS )?\[[0-9A-Fa-f.:]+\](?::[0-9]+)?\*?(?![^ :])"
_FIELDS = rf"(?P<fields>(?:{_FIELD})*)"
_WAY = rf"(?P<fields>(?:{_NEXT_HOP}|{_FIELD})*)"

_LINE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?: [+-][0-9]{4})? (?:\[[0-9]+\] )?"
    r"(?:(?P<id>[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}) )?(?P<rest>.*)"
)
# A received line has to be fields to its end: so the true H= is told from one in a HELO name
_RECEIVED = re.compile(
    rf"(?P<mark>[<(])= (?P<sender>{_WORD}+)(?: R=(?P<about>[^ ]+))?(?:{_HOST})?{_FIELDS}(?: from <{_WORD}*)?"
    rf"(?: for(?: (?!\[){_WORD}+)+)?"
)
_RECEIVED_ODDLY = re.compile(
    rf"(?P<mark>[<(])= (?P<sender>{_WORD}+|[^ ]+)(?: R=(?P<about>[^ ]+))?(?:{_HOST})?{_FIELDS}.*"
)
_SHOWN = re.compile(r"(?P<address>[^ ]+?)(?P<end>)(?=:? )")
_ORIGINAL = re.compile(
    rf" (?=<(?P<address>{_ADDRESS})>(?P<end>)[ :])"
)  # looks ahead: one can be within another
_DEFERRAL = re.compile(
    rf"{_WAY}(?: [a-z_]+)*? defer \((?P<number>-?[0-9]{{1,9}})\)"
    rf"(?P<where>(?:{_NEXT_HOP}|{_FIELD})*)(?:: (?P<reason>.*))?"
)
# with a number of the system its words come first, then the host, then what happened
_BY_SYSTEM = re.compile(rf"(?P<words>[A-Z][a-z]+(?: [a-z]+)*)(?P<where>{_NEXT_HOP}): (?P<rest>.*)")
_FAILURE = re.compile(rf"{_WAY}: (?P<reason>.*)")
_REJECTION = re.compile(
    rf"(?:{_HOST})?{_FIELDS} (?P<verb>temporarily rejected|rejected) "
    r"(?P<what>RCPT|MAIL|VRFY|ETRN|EHLO|HELO|AUTH|STARTTLS|connection|after DATA|DATA|DKIM)\b(?P<more>.*)"
)
_REMOTE_REPLY = re.compile(rf"SMTP error from remote mail server after (?:{_WORD}| )*?: ([45][0-9][0-9])\b")
_NO_GREETING = re.compile(
    r"rejected MAIL from (?:[^ ]+ )?\[(?P<address>[^\]]+)\][^ ]*(?: I=[^ ]+)?: (?P<reason>no [^ ]+ given)"
)
_TOO_BIG = re.compile(
    rf"rejected (?:from |MAIL FROM: ?)<(?P<sender>{_ADDRESS})>(?:{_HOST})?{_FIELDS}: (?P<reason>.*)"
)
_PATH = re.compile(rf'(?:\\.|{_QUOTED}|[^"<\\])*<(?:@[^:<>" ]*:)?(?P<address>{_ADDRESS})>')


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
    if re.match("exim [^ ]+ daemon started: pid=[0-9]+", rest):
        ports = re.findall(r"\]:([0-9]+)", rest) or re.findall(r"port ([0-9]+)", rest)
        return Fact(EventKind.STARTED, {"text": f"listening on {', '.join(dict.fromkeys(ports))}"})
    if found := _NO_GREETING.fullmatch(rest):
        return Fact(
            EventKind.REJECTED,
            {
                "command": "MAIL",
                "remote_address": found["address"],
                "code": 503,
                "text": found["reason"],
            },
        )
    return _too_big(rest) or _rejection(rest)


def _received(rest: str) -> Fact | None:
    found = _RECEIVED.fullmatch(rest) or _RECEIVED_ODDLY.fullmatch(rest)
    if found is None:
        return None
    fields = _fields(found["fields"])
    size = fields.get("S", "")
    details: dict[str, Any] = {
        "sender": "" if found["sender"] == "<>" else found["sender"],
        "protocol": fields.get("P"),
        "size": int(size) if re.fullmatch("[0-9]{1,18}", size) else None,
        "message_id": f"<{fields['id']}>" if "id" in fields else None,
    }
    details |= _connection(fields)
    if "U" in fields:
        details["login"] = fields["U"]
    if found["about"] is not None:
        details["about"] = found["about"]
    if found["mark"] == "(":
        details["text"] = IN_SECRET
    return Fact(EventKind.RECEIVED, details | _client(found))


def _delivered(rest: str) -> Fact | None:
    recipient, shown, more = _recipient(rest)
    way = re.match(_WAY, more)
    if way is None or not way["fields"]:
        return None
    details = _way(recipient, shown, way["fields"])
    # of several lines the last: it has the id
    fields = _fields(way["fields"])
    details |= _connection(fields)
    if not rest.startswith("=>"):
        details["mark"] = rest[:2]
    *before, confirmation = fields.get("C", "").split(r"\n")
    if before:
        details["preamble"] = r"\n".join(before)
    if reply := re.match(r"([2-5][0-9][0-9])[ -](.*)", confirmation):
        details |= {"code": int(reply[1]), "text": reply[2]}
    return Fact(EventKind.DELIVERED, details)


def _deferred(rest: str) -> Fact | None:
    recipient, shown, more = _recipient(rest)
    found = _DEFERRAL.fullmatch(more)
    if found is None:
        return None
    where, reason, number = found["where"], found["reason"] or "", int(found["number"])
    if number > 0 and not where and (told := _BY_SYSTEM.fullmatch(reason)):
        where, reason = told["where"], f"{told['words']}: {told['rest']}"
    way = _way(recipient, shown, found["fields"] + where)
    return Fact(EventKind.DEFERRED, way | {"errno": number} | _reason(reason))


def _failed(rest: str) -> Fact | None:
    recipient, shown, more = _recipient(rest)
    found = _FAILURE.fullmatch(more)
    if found is None:
        return None
    way = _way(recipient, shown, found["fields"])
    return Fact(EventKind.FAILED, way | _connection(_fields(found["fields"])) | _reason(found["reason"]))


def _reason(text: str) -> dict[str, Any]:
    """Why not: the text, and the code if another server said it."""
    reply = _REMOTE_REPLY.match(text)
    return {"text": text} | ({"code": int(reply[1])} if reply else {})


def _frozen(rest: str) -> Fact | None:
    return Fact(EventKind.FROZEN, {"text": rest})


def _completed(rest: str) -> Fact | None:
    return Fact(EventKind.COMPLETED, {})


def _rejection(rest: str) -> Fact | None:
    found = _REJECTION.fullmatch(f" {rest}")
    if found is None:
        return None
    what = found["what"]
    argument, reason = _argument_and_reason(found["more"])
    details: dict[str, Any] = {
        "sender": _bare(_fields(found["fields"])["F"]) if " F=<" in found["fields"] else None,
        "recipient": _bare(argument) if what == "RCPT" else None,
        "command": what,
        "code": _code(found["verb"], what, reason),
        "text": reason,
    }
    if what == "MAIL" and details["sender"] is None:
        details["sender"] = _bare(argument)
    return Fact(EventKind.REJECTED, details | _client(found))


def _code(verb: str, what: str, reason: str) -> int:
    """With what it was refused: a code that the words begin with, or the usual one."""
    usual = 451 if verb.startswith("temporarily") else {"VRFY": 252, "ETRN": 458}.get(what, 550)
    own = re.match(r"([45][0-9][0-9])\s", reason)
    return int(own[1]) if own and own[1][0] == str(usual)[0] else usual


def _too_big(rest: str) -> Fact | None:
    found = _TOO_BIG.fullmatch(rest)
    if found is None:
        return None
    words = {
        "sender": found["sender"],
        "code": 552 if "big" in found["reason"] else 550,
        "text": found["reason"],
    }
    return Fact(EventKind.REJECTED, words | _client(found))


def _argument_and_reason(text: str) -> tuple[str, str]:
    """What a client wrote after a command, less its (comments), and what follows the first ": " outside quotes."""
    written, quoted, depth = "", False, 0
    for piece in re.finditer(r"\\.|.", text):
        char = piece[0]
        if not quoted and depth == 0 and text.startswith(": ", piece.start()):
            return written.strip(" "), text[piece.start() + 2 :]
        if char == '"' and depth == 0:
            quoted = not quoted
        closes = char == ")" and not quoted and depth > 0
        depth += (char == "(" and not quoted) - closes
        written += char if depth == 0 and not closes else ""
    argument, _, reason = text.partition(": ")
    return argument.strip(" "), reason


def _bare(written: str) -> str:
    """The address in what a client wrote: <it>, <@route:it> or Joe <it>, perhaps with parameters after it."""
    found = _PATH.match(written)
    return found["address"] if found else written


def _recipient(rest: str) -> tuple[str, str, str]:
    """The address that a line after its mark (=>, **, ==) is about, as the sender gave it; what it shows instead, if
    aliases made something else of it; and the rest of the line.

    Exim shows "a B"@st2 as `a b@st2 <"a B"@st2>` (or `a b <"a B"@st2>`): what it shows can hold anything, but it is
    the address in <> without quotes, in small letters. An alias is shown as `target <alias@st2>`.
    """
    text = rest.partition(" ")[2]
    originals = list(_ORIGINAL.finditer(text))
    for found in originals:
        shown, address = text[: found.start()], re.sub(r'\\(.)|"', r"\1", found["address"]).lower()
        if shown.lower() in (address, address.rpartition("@")[0]) and not re.search("[A-Z]", shown):
            return found["address"], "", text[found.end("end") :]
    if text.startswith(":blackhole: <") and originals:
        return originals[0]["address"], ":blackhole:", text[originals[0].end("end") :]
    last = _SHOWN.match(text)
    if last is None:
        return text, "", ""
    shown = ""
    if known_as := _ORIGINAL.match(text, last.end()):
        shown, last = last["address"], known_as
    elif originals and not re.match(r":| [A-Za-z]+=| [a-z_ ]*defer \(", text[last.end() :]):
        last = originals[0]  # a pipe, say, with blanks
        shown = text[: last.start()]
    return last["address"], shown, text[last.end("end") :]


def _way(recipient: str, shown: str, fields: str) -> dict[str, Any]:
    """Recipient and what became of it, router, transport and host of a delivery."""
    known = _fields(fields)
    shown, between = _without_parents(shown)
    details: dict[str, Any] = {
        "recipient": recipient,
        "became": shown or None,
        "router": known.get("R"),
        "transport": known.get("T"),
    }
    if between:
        details["parents"] = between
    hosts = (re.fullmatch(_HOST, part) for part in _parts(fields))
    host = next(filter(None, hosts), None)
    if host:
        details |= {"remote_host": host["name"], "remote_address": host["address"]}
        details |= {"is_secure": True} if host["secure"] else {}
    return details


def _without_parents(shown: str) -> tuple[str, str]:
    """`ann (root@a.test, all@a.test)`: what an address became, and the addresses between (+all_parents)."""
    found = re.fullmatch(r"([^ ]+) \(([^()]*@[^()]*)\)", shown)
    return (found[1], found[2]) if found else (shown, "")


def _connection(fields: Mapping[str, str]) -> dict[str, Any]:
    """How it was protected: X=, CV=, DN=, SNI=, A=, and K for a message that went in chunks."""
    details: dict[str, Any] = {
        "cipher": fields.get("X"),
        "is_verified": {"yes": True, "dane": True, "no": False}.get(fields.get("CV", "")),
        "is_dane": True if fields.get("CV") == "dane" else None,
        "peer_name": fields.get("DN"),
        "server_name": fields.get("SNI"),
        "authenticator": fields.get("A"),
        "is_chunked": True if "K" in fields else None,
    }
    return {name: value for name, value in details.items() if value is not None}


def _client(found: re.Match[str]) -> dict[str, Any]:
    """Who called: what it calls itself, and the name that was looked up for its address."""
    if found["address"] is None:
        return {}
    helo = found["helo"] if found["helo"] is not None else found["name"]
    details: dict[str, Any] = {"remote_host": helo, "remote_address": found["address"]}
    if found["name"] is not None:
        details["remote_name"] = found["name"]
    return details | ({"remote_port": int(found["port"])} if found["port"] else {})


def _fields(text: str) -> dict[str, str]:
    """NAME=value pairs, the first of each name; a value in quotes loses them and the backslashes before quotes."""
    found: dict[str, str] = {}
    for part in _parts(text):
        name, _, value = part[1:].partition("=")
        quoted = re.fullmatch(_QUOTED, value)
        found.setdefault(name, re.sub(r'\\(["\\])', r"\1", value[1:-1]) if quoted else value)
    return found


def _parts(fields: str) -> Iterator[str]:
    """One after the other what _FIELDS or _WAY matched."""
    return (part[0] for part in re.finditer(rf"{_NEXT_HOP}|{_FIELD}", fields))


_READERS: tuple[tuple[str, Callable[[str], Fact | None]], ...] = (
    ("<= ", _received),
    ("(= ", _received),
    ("=> ", _delivered),
    ("-> ", _delivered),
    (">> ", _delivered),
    ("*> ", _delivered),
    ("== ", _deferred),
    ("** ", _failed),
    ("Frozen", _frozen),
    ("frozen by ", _frozen),
    ("Completed", _completed),
    ("rejected from ", _too_big),
)

"""Everything that happens is one event; logs, views, checks and reports read events and keep no second record.

WHAT       `MailEvent` with two grades: facts (any MTA gives them) and insights (only labkit can).
RULES      checks use facts only, so that they judge a real Exim by the same rule.
READ NEXT  labkit/lab/journal.py keeps them; then the room smtp
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any


class EventKind(str, Enum):
    """What happened. The first group are facts, the second insights."""

    STARTED = "started"  # the daemon began to listen
    STOPPED = "stopped"
    RECEIVED = "received"  # responsibility taken, RFC 5321 §6.1
    REJECTED = "rejected"  # a command or a message refused
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"  # a recipient given up
    FROZEN = "frozen"
    COMPLETED = "completed"  # no recipient is left at this host
    DIALOGUE = "dialogue"  # a line of an SMTP conversation
    QUESTION = "question"  # a question a decision asked, and the answer
    ACL_STEP = "acl step"
    LOGGED = "logged"  # a line that the configuration itself wants in the log
    ROUTED = "routed"
    CLOCK = "clock"  # lab time moved
    FAULT = "fault"  # somebody has put a fault into the lab, or taken it out again
    SCENE = "scene"  # the agenda of a scenario: what happens by itself
    PROBLEM = "problem"  # something went wrong in labkit itself; no statement about mail, so no fact

    @property
    def is_fact(self) -> bool:
        return self not in INSIGHTS


INSIGHTS = frozenset(
    {
        EventKind.DIALOGUE,
        EventKind.QUESTION,
        EventKind.ACL_STEP,
        EventKind.LOGGED,
        EventKind.ROUTED,
        EventKind.CLOCK,
        EventKind.FAULT,
        EventKind.SCENE,
        EventKind.PROBLEM,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailEvent:
    """One thing that happened, at lab time `at` (UTC), on the host of that name. Absent details are None."""

    number: int
    at: datetime
    host: str
    kind: EventKind
    queue_id: str | None = None
    sender: str | None = None  # the reverse-path; "" is the null path
    recipient: str | None = None  # as the sender named it
    became: str | None = (
        None  # what aliases made of it: an address (at home its local part), a program, a file
    )
    command: str | None = None  # what was refused: RCPT, MAIL, EHLO, connection, DATA, after DATA
    router: str | None = None
    transport: str | None = None
    shadow: str | None = None  # of a delivery: the transport that has a copy, and what went wrong there
    remote_host: str | None = None
    remote_name: str | None = None  # of a client: the name that was looked up for its address
    remote_address: str | None = None
    remote_port: int | None = None
    protocol: str | None = None
    marks: str | None = None  # of a message: K if it came in pieces (BDAT), as Exim's log has it
    size: int | None = None
    about: str | None = None  # of a report: the queue id of the message that it is about
    message_id: str | None = None
    code: int | None = None  # of the SMTP reply that decided
    preamble: str | None = (
        None  # of that reply: its lines before the last, in the log with a backslash and n between
    )
    errno: int | None = None  # of a deferral: the number that Exim's log has for it
    cipher: str | None = (
        None  # of an encrypted connection: version, cipher and bits, as after X= in Exim's log
    )
    is_verified: bool | None = None  # of one that is encrypted: whether the other end's certificate is good
    is_secure: bool | None = None  # of a host: its name and address are signed in the DNS (DS, with +dnssec)
    is_dane: bool | None = None  # of one that is encrypted: TLSA records named the certificate (CV=dane)
    is_continued: bool | None = None  # of a delivery: another message had gone over that connection before
    authenticator: str | None = None  # with the name that it found: plain:ann
    peer_name: str | None = None  # of one that is encrypted: whose certificate it was (DN= in the log)
    server_name: str | None = None  # of one that is encrypted: which name the client asked for (SNI=)
    login: str | None = None  # of a message that did not come over a network: the account that handed it in
    own_address: str | None = None  # of a connection: our end of it
    own_port: int | None = None
    is_chunked: bool | None = None  # the message went by BDAT
    body_type: int | None = None  # of a message that came: 7 or 8 if MAIL said so, else 0
    subject: str | None = None
    dkim: str | None = None  # of a message that came: whose signature was good
    raw_sender: str | None = None  # of a message that came: as MAIL gave it, before rewriting
    raw_recipients: str | None = None  # the same of RCPT, with blanks between
    header: str | None = (
        None  # of a message that was refused: its envelope and header, as the reject log shows them
    )
    origin: str | None = None  # of a delivery or a failure: the sender of the message
    return_path: str | None = None  # of a delivery: the reverse-path under which it was sent
    parents: str | None = None  # the addresses between recipient and `became`, with commas
    mark: str | None = None  # of a delivery: "->" along with the one before, "*>" suppressed; None: "=>"
    took: float | None = None  # of a delivery: seconds
    session: int | None = None  # which conversation a dialogue line belongs to
    speaker: str | None = None  # "C" or "S"
    selector: str | None = (
        None  # of a logged line: the item of log_selector that it needs; None: it is always told
    )
    logs: str | None = None  # of a logged line: main, reject, panic with commas between; None: main
    line: str | None = (
        None  # of a refusal: the words of the log, where they are more than the other details tell
    )
    state: str | None = None  # where the server's session stood after a dialogue line
    text: str | None = None

    def to_json(self) -> str:
        """One line of JSON; absent details are left out."""
        details = [
            f'"{name}": {_quoted(value) if isinstance(value, str) else str(value).lower()}'  # true, or a number
            for name, value in zip(_DETAILS, _details_of(self))
            if value is not None
        ]
        first = f'{{"number": {self.number}, "at": "{_shown(self.at)}", "host": {_quoted(self.host)}'
        return ", ".join((first, f'"kind": "{self.kind._value_}"', *details)) + "}"

    @classmethod
    def from_json(cls, line: str) -> MailEvent:
        """Read a line that `to_json` wrote. Raises ValueError for anything else."""
        try:
            details: dict[str, Any] = json.loads(line)
            details["at"] = datetime.fromisoformat(details["at"])
            details["kind"] = EventKind(details["kind"])
            return cls(**{name: value for name, value in details.items() if name in _FIELDS})
        except (KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise ValueError(f"not an event: {line[:60]!r} ({problem})") from problem


_FIELDS = tuple(field.name for field in fields(MailEvent))
_DETAILS = tuple(name for name in _FIELDS if name not in ("number", "at", "host", "kind"))
_details_of = attrgetter(*_DETAILS)
_quoted = json.encoder.encode_basestring_ascii
_shown = lru_cache(datetime.isoformat)  # much happens at the same instant

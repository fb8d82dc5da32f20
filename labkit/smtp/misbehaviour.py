"""How a server may fall out of its role: the answer that it gives instead of its own, at a phase of a session.

WHAT       `Misbehaviour` is what happens: time passes, then a reply, or no reply and the connection is gone.
           `phase_of` names the moment of a decision; `provoked` reads an address that asks for trouble.
DECIDES    x-452@ is answered 452 at RCPT, x-550-data@ 550 at the end of DATA, x-drop-data@ loses the connection there,
           x-slow@ waits a minute, x-421-mail@ hears 421 at MAIL.
RULES      the phases have the names of Exim's ACLs. A sender's address counts at MAIL, a recipient's from RCPT on;
           one that comes along with MAIL (PIPELINING) counts there, too.
STANDARDS  RFC 5321 §3.8 (421), §4.2.1 (the first digit), §4.5.3.2 (how long a client waits)
READ NEXT  labkit/lab/faults.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from labkit.mail.reply import Reply
from labkit.smtp.decisions import Connected, DataBegins, Decision, Greeted, MailFrom, MessageReceived, RcptTo

PHASES = {
    "connect": "a client connects: instead of the banner",
    "helo": "after EHLO or HELO",
    "mail": "after MAIL",
    "rcpt": "after RCPT",
    "predata": "after DATA, before the message",
    "data": "the message was sent: at the end of DATA",
}
A_MINUTE = 60.0
LONGEST_WAIT = 299.0  # seconds: a client waits five minutes (RFC 5321 §4.5.3.2)
_OF: dict[type, str] = {
    Connected: "connect",
    Greeted: "helo",
    MailFrom: "mail",
    RcptTo: "rcpt",
    DataBegins: "predata",
    MessageReceived: "data",
}
_WISH = re.compile(r"x-(?:(?P<code>[45]\d\d)|(?P<word>drop|slow))(?:-(?P<phase>mail|rcpt|predata|data))?")
_PIPELINED = re.compile(rb"^RCPT TO:[ \t]*<([^<>@\r\n]{1,64})@", re.IGNORECASE | re.MULTILINE)
WISHES = {
    "x-CODE@": "answered CODE (400 to 599) at RCPT",
    "x-drop@": "the connection is lost after RCPT",
    "x-slow@": "the answer to RCPT takes a minute of lab time",
    "x-…-mail@": "the same at MAIL: as a sender, or as a recipient that comes along with MAIL (else at RCPT)",
    "x-…-predata@": "the same after DATA, before the message",
    "x-…-data@": "the same at the end of DATA, for all recipients of the message",
}


class Machine(Protocol):
    """What is to be known of a server: labkit's own machine is one, and any other may say as much."""

    host_name: str

    @property
    def messages_accepted(self) -> int: ...

    @property
    def input_ahead(self) -> bytes:
        """What the client has sent along, and was not read yet."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """`seconds` of lab time pass; then `reply` is the answer, or the connection is lost (`hangs_up`).

    With neither, the server goes on as usual.
    """

    reply: Reply | None = None
    hangs_up: bool = False
    seconds: float = 0.0


def phase_of(decision: Decision) -> str:
    """The name of the moment, "" for one in which nobody misbehaves."""
    return _OF.get(type(decision), "")


def provoked(local_part: str, default: str = "rcpt") -> tuple[str, Misbehaviour] | None:
    """What an address asks for, and in which phase; None for a usual one."""
    found = _WISH.fullmatch(local_part.lower())
    if found is None:
        return None
    phase = found["phase"] or default
    if found["word"] == "drop":
        return phase, Misbehaviour(hangs_up=True)
    if found["word"] == "slow":
        return phase, Misbehaviour(seconds=A_MINUTE)
    code = int(found["code"])
    return phase, Misbehaviour(Reply(code, (f"as {local_part.lower()} wished",)))


def by_address(machine: Machine, decision: Decision) -> Misbehaviour | None:
    """What the addresses of this transaction ask for at this moment; the first of them counts."""
    if isinstance(decision, MailFrom):
        sender = decision.reverse_path
        return _first("mail", ([] if sender is None else [sender.local_part]) + pipelined(machine), "")
    if isinstance(decision, RcptTo):
        wish = provoked(decision.forward_path.local_part)
        return wish[1] if wish is not None and wish[0] in ("mail", "rcpt") else None
    if isinstance(decision, (DataBegins, MessageReceived)):
        recipients = [path.local_part for path in decision.envelope.forward_paths]
        return _first(phase_of(decision), recipients)
    return None


def pipelined(machine: Machine) -> list[str]:
    """The local parts of the recipients that the client sent along with MAIL."""
    return [found.decode("latin-1") for found in _PIPELINED.findall(machine.input_ahead)]


def _first(phase: str, local_parts: Iterable[str], default: str = "rcpt") -> Misbehaviour | None:
    wishes = (provoked(each, default) for each in local_parts)
    return next((wish[1] for wish in wishes if wish is not None and wish[0] == phase), None)

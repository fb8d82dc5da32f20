"""A server that misbehaves: what stands between a connection and its owner while there are faults.

WHAT       `Misbehaving` is asked each decision before its owner; where a fault counts, the owner never hears of it.
           `refusal_facts` are the details that the journal has of a refusal.
RULES      knows no table of faults: `find` tells what happens at this moment, for any kind of server.
READ NEXT  labkit/lab/faults.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from labkit.mail.reply import Reply
from labkit.net.smtp_server import Decide
from labkit.smtp.decisions import (
    Connected,
    DataBegins,
    Decision,
    Greeted,
    MailFrom,
    MessageReceived,
    RcptTo,
)
from labkit.smtp.misbehaviour import Machine, Misbehaviour
from labkit.smtp.server import Server

Find = Callable[[Machine, Decision], "Misbehaviour | None"]
Later = Callable[[Awaitable[None], Decide], None]
_COMMANDS: dict[type, str] = {
    Connected: "connection",
    Greeted: "EHLO",
    MailFrom: "MAIL",
    RcptTo: "RCPT",
    DataBegins: "DATA",
    MessageReceived: "after DATA",
}


class Misbehaving:
    """`answer` of a session, with faults. `refused` hears of each reply that a fault has given."""

    def __init__(
        self,
        machine: Server,
        answer: Callable[[Decision, Decide], None],
        find: Find,
        *,
        sleep: Callable[[timedelta], Awaitable[None]],
        later: Later,
        refused: Callable[[Decision, Reply], None],
    ) -> None:
        self._machine, self._answer, self._find = machine, answer, find
        self._sleep, self._later, self._refused = sleep, later, refused
        self.hang_up: Callable[[], None] = machine.end  # of the connection, once there is one

    def answer(self, decision: Decision, decide: Decide) -> None:
        """Answer one decision of the machine, now or later."""
        found = self._find(self._machine, decision)
        if found is None:
            self._answer(decision, decide)
        elif found.seconds:
            self._later(self._wait(found, decision, decide), decide)
        else:
            self._act(found, decision, decide)

    async def _wait(self, found: Misbehaviour, decision: Decision, decide: Decide) -> None:
        await self._sleep(timedelta(seconds=found.seconds))
        if self._machine.pending is decision:  # the client is still there
            self._act(found, decision, decide)

    def _act(self, found: Misbehaviour, decision: Decision, decide: Decide) -> None:
        if found.hangs_up:
            self.hang_up()
        elif found.reply is not None:
            self._refused(decision, found.reply)
            decide(found.reply)
        else:
            self._answer(decision, decide)


def refusal_facts(decision: Decision, reply: Reply, envelope_sender: str | None) -> dict[str, Any]:
    """What a fact says of a refused command. `envelope_sender`: of the transaction so far."""
    sender = envelope_sender
    if isinstance(decision, MailFrom):
        sender = str(decision.reverse_path or "")
    return {
        "command": _COMMANDS.get(type(decision), "command"),
        "sender": sender,
        "recipient": str(decision.forward_path) if isinstance(decision, RcptTo) else None,
        "code": reply.code,
        "text": reply.text,
    }

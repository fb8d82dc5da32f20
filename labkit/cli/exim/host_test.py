"""`labkit-exim -bh ADDRESS`: an SMTP session on the standard input, as if from that host. Nothing is kept.

WHAT       the session machine and the ACLs of a host that runs, with this machine's files, accounts and names.
LIKE EXIM  the words before the session, and about the id of a message; what would be logged comes after LOG:, and
           what was looked at after >>>, on the standard error
SIMPLER    callouts are made with -bhc only; `delay` does not delay
STANDARDS  Exim specification, chapter "The Exim command line" (-bh, -bhc)
READ NEXT  the room teach
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from labkit.cli.exim.command_line import Command, split_host
from labkit.cli.exim.machine import Machine, now
from labkit.mail.asking import Question
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.questions import CallOut, CalloutAnswer, Pause, Standing
from labkit.mail.reply import Reply, lost_input
from labkit.mta.intake import Intake
from labkit.mta.session import Session
from labkit.mta.session_end import ended
from labkit.mta.state import MtaState
from labkit.net.network import Peer
from labkit.queue.item import QueueItem
from labkit.smtp.decisions import Decision
from labkit.smtp.states import State

OPENING = """
**** SMTP testing session as if from host {address}
**** but without any ident (RFC 1413) callback.
**** This is not for real!

"""
NOT_REAL = b"\n**** SMTP testing: that is not a real message id!\n\n"
NO_PORT = -1  # nobody has connected anywhere


async def test_host(machine: Machine, command: Command) -> int:
    """Carry on one session until its end. Returns 0. Raises CannotStart."""
    address, port = split_host(command.host)
    state = _State(machine, command)
    session = state.session(Peer(address, port))
    say = sys.stdout.buffer
    say.write(OPENING.format(address=address).encode())
    conversation = Conversation(session)
    await conversation.go_on()
    while not session.machine.is_closed:
        say.write(session.machine.bytes_to_send() + state.aside())
        say.flush()
        wanted = session.machine.octets_wanted
        # nothing else goes on meanwhile
        line = sys.stdin.buffer.read(wanted) if wanted else sys.stdin.buffer.readline()
        if not line:
            session.machine.end(lost_input(session.machine.host_name), reason="connection-lost")
            break
        if not wanted and line.endswith(b"\n") and not line.endswith(b"\r\n"):
            line = line[:-1] + b"\r\n"
        session.machine.receive(line)
        await conversation.go_on()
        if session.machine.state is State.TLS:
            say.write(session.machine.bytes_to_send())
            session.securing.not_secured("what is typed is no TLS")
            session.machine.end()
    say.write(session.machine.bytes_to_send() + state.aside())
    say.flush()
    ended(session)
    return 0


class Conversation:
    """Gets each decision of the machine decided."""

    def __init__(self, session: Session) -> None:
        self.session, self.machine = session, session.machine

    async def go_on(self) -> None:
        while (decision := self.machine.pending) is not None:
            decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.session.answer(decision, partial(self._decide, decision, decided))
            await decided

    def _decide(
        self, decision: Decision, decided: asyncio.Future[None], answer: Reply | None, *, close: bool = False
    ) -> None:
        if self.machine.pending is decision:
            self.machine.decide(answer, close=close)
        if not decided.done():
            decided.set_result(None)


class _AnybodysSession(Session):
    """A session that also 127.0.0.1 may have: in a test of a configuration it is an address like others."""

    takes_localhost = True


class _State:
    """The belongings of a host that keeps nothing."""

    def __init__(self, machine: Machine, command: Command) -> None:
        self.is_received = False
        self._calls_out = command.callouts
        self._answer = machine.answers.answer
        self.folder = Path(machine.configuration.main.text("spool_directory") or "/nowhere")  # of our spool
        self.files = machine.answers.files
        state = MtaState(
            machine.primary_hostname,
            machine.addresses,
            machine.compiled,
            machine.network,
            machine.answers.resolver,
            {},
            Path("/"),
            cast(Any, self),
            _Surroundings(shows_questions=command.traces),
        )
        state.answers = cast(Any, self)
        self.intake = Intake(state, lambda queue_id, waits: None, lambda text: None)

    def session(self, peer: Peer) -> Session:
        session = _AnybodysSession(self.intake, peer, NO_PORT)
        session.env.variables |= {"received_ip_address": "", "interface_address": ""}
        session.securing.can_encrypt = True
        session.machine.enforce_sync = False  # whoever types does not wait, nor does a file
        return session

    def aside(self) -> bytes:
        """What is said about a message that was taken."""
        was_received, self.is_received = self.is_received, False
        return NOT_REAL if was_received else b""

    async def answer(self, question: Question[Any]) -> Any:
        """As the machine answers; but nobody is kept waiting, and nobody called without leave."""
        if isinstance(question, Pause):
            return None
        if isinstance(question, CallOut) and not self._calls_out:
            return CalloutAnswer(Standing.GOOD)
        return await self._answer(question)

    def accept(self, item: QueueItem, on_durable: Callable[[OSError | None], None]) -> None:
        """In place of a spool: the message is forgotten."""
        self.is_received = True
        on_durable(None)


class _Surroundings:
    """Real time, no agenda, and a journal that is the standard error."""

    def __init__(self, *, shows_questions: bool) -> None:
        self.shows_questions = shows_questions

    def now(self) -> datetime:
        return now()

    def at(self, instant: datetime, action: Callable[[], Awaitable[None]], what: str) -> Any:
        return self

    def cancel(self) -> None:
        """An appointment that nobody made."""

    async def sleep(self, span: timedelta) -> None:
        """Nobody is kept waiting."""

    def next_process(self) -> int:
        return os.getpid()

    def note(self, host: str, kind: EventKind, **details: Any) -> None:
        from labkit.lab.exim_log import main_log

        text = details.get("text")
        if kind is EventKind.LOGGED:
            _tell(f"LOG: {text}")
        elif kind is EventKind.ACL_STEP or (kind is EventKind.QUESTION and self.shows_questions):
            _tell(f">>> {text}")
        elif kind in (EventKind.REJECTED, EventKind.RECEIVED, EventKind.PROBLEM):
            event = MailEvent(number=1, at=now(), host=host, kind=kind, **details)
            for line in main_log([event]):
                _tell(f"LOG: {line[20:]}")  # without the date


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

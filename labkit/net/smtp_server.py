"""The shell around an SMTP server machine: bytes in from a transport, bytes out to it.

DOES       feeds the machine, sends what it says, asks its owner for every pending decision, and ends a session
           whose client is silent for too long, too slow within one command, or will not read our answers.
RULES      decides nothing. Only a foreign client's patience is real time: between hosts of the lab nothing waits.
STANDARDS  RFC 5321 §4.5.3.2.7 (server timeout), §3.8 (421 before the connection is closed)
READ NEXT  smtp_client.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from labkit.mail import reply
from labkit.mail.reply import Reply
from labkit.net.network import Peer
from labkit.smtp.decisions import Decision
from labkit.smtp.server import Server
from labkit.smtp.states import State


class Decide(Protocol):
    """What an answer is given to. `close`: the session ends with this reply."""

    def __call__(self, answer: Reply | None, *, close: bool = False) -> None: ...


LONGEST_COMMAND = 300.0  # seconds a foreign client may take for one command line, however it drips
LONGEST_CONTENT = 3600.0  # and for one message
LINGER = 10.0  # for taking our last reply, once the session is over
MOST_UNREAD = 1024 * 1024  # octets taken from a client while a decision about it is pending
MOST_UNSENT = 256 * 1024  # octets of answers a client may leave unread


class SmtpServerShell(asyncio.Protocol):
    """One connection. `answer(decision, decide)` calls `decide(reply)` now or later, once."""

    def __init__(
        self,
        machine: Server,
        peer: Peer,
        answer: Callable[[Decision, Decide], None],
        *,
        idle_timeout: float = 300.0,
        on_end: Callable[[SmtpServerShell], None] | None = None,
    ) -> None:
        self.machine = machine
        self.peer = peer
        self._answer = answer
        self._idle_timeout = idle_timeout
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: tuple[object, float] | None = (
            None  # which command or message, and when it must be done
        )
        self._asked: Decision | None = None
        self._going_on = False
        self._no_more_input = False
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self.machine.receive(data)
        self._go_on()

    def eof_received(self) -> bool:
        """The client will send no more, but may still read: it gets the answers it has asked for."""
        self._no_more_input = True
        self._go_on()
        return True

    def connection_lost(self, problem: Exception | None) -> None:
        self.machine.end()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._on_end is not None:
            self._on_end(self)

    def close(self, last_reply: Reply | None = None) -> None:
        """End the session from our side; `last_reply` (421) tells the client why."""
        self.machine.end(last_reply)
        self._go_on()

    def _go_on(self) -> None:
        """Send what there is to send; ask for what is pending; close when the machine is done."""
        if self._going_on:  # an answer that came at once: the loop below sees it
            return
        self._going_on = True
        try:
            while (decision := self.machine.pending) is not None and decision is not self._asked:
                self._asked = decision
                self._answer(decision, partial(self._decided, decision))
        finally:
            self._going_on = False
        if self._no_more_input and self.machine.pending is None:
            self.machine.end()
        if self._transport is None or self._transport.is_closing():
            return
        self._pause(self.machine.pending is not None and self.machine.unread_octets > MOST_UNREAD)
        if octets := self.machine.bytes_to_send():
            self._transport.write(octets)
        if self.machine.is_closed:
            self._transport.close()
            if self.peer.is_foreign:  # who does not read what is left is cut off
                self._set_timer(LINGER, self._transport.abort)
        elif self._transport.get_write_buffer_size() > MOST_UNSENT:
            self._transport.abort()
        elif self.peer.is_foreign:
            self._wind_up_timer()

    def _pause(self, wanted: bool) -> None:
        """While a decision is pending, a client cannot fill our memory with what it pipelines."""
        assert self._transport is not None
        if wanted != self._is_paused:
            self._is_paused = wanted
            if wanted:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _decided(self, asked: Decision, answer: Reply | None, *, close: bool = False) -> None:
        if self.machine.pending is asked:  # else the session ended in the meantime
            self.machine.decide(answer, close=close)
            self._go_on()

    # --- the patience with foreign clients ----------------------------------------------------

    def _wind_up_timer(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        in_content = self.machine.state is State.CONTENT
        unit = (self.machine.messages_accepted, in_content, self.machine.commands_read)
        if self._deadline is None or self._deadline[0] != unit:
            self._deadline = (unit, now + (LONGEST_CONTENT if in_content else LONGEST_COMMAND))
        self._set_timer(max(min(self._idle_timeout, self._deadline[1] - now), 0.0), self._too_slow)

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _too_slow(self) -> None:
        self.close(reply.timed_out(self.machine.host_name))

"""The shell around an SMTP server machine: bytes in from a transport, bytes out to it.

DOES       feeds the machine, sends what it says, asks its owner for every pending decision, and ends a session
           whose client is silent for too long, too slow within one command, or will not read our answers.
TLS        when the machine waits for it, or from the start, what comes is a handshake: its first message tells which
           name the client asks for, the owner gives a context, and from then on a TLS layer stands between.
RULES      decides nothing. Only a foreign client's patience is real time: between hosts of the lab nothing waits.
STANDARDS  RFC 5321 §4.5.3.2.7 (server timeout), §3.8 (421 before the connection is closed); RFC 3207; RFC 8314 §3
READ NEXT  smtp_client.py
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from labkit.mail import reply
from labkit.mail.encryption import Encryption
from labkit.mail.reply import Reply
from labkit.net.client_hello import asked_name
from labkit.net.network import Peer
from labkit.net.tls import TlsFailure, TlsLayer
from labkit.smtp.decisions import Decision
from labkit.smtp.server import Server
from labkit.smtp.states import State


class Decide(Protocol):
    """What an answer is given to. `close`: the session ends with this reply."""

    def __call__(self, answer: Reply | None, *, close: bool = False) -> None: ...


class Security(Protocol):
    """Who makes TLS possible for one session."""

    def context(self, server_name: str, begin: Callable[[ssl.SSLContext | None], None]) -> None:
        """Call `begin`, now or later, once, with the context for a client that asks for this name; or with None."""

    def secured(self, encryption: Encryption) -> None:
        """The handshake is done."""

    def not_secured(self, words: str) -> None:
        """It failed; the connection ends."""


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
        security: Security | None = None,
        tls_at_once: bool = False,
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
        self._security = security
        self._hello: bytearray | None = (
            bytearray() if tls_at_once else None
        )  # ciphertext before there is a layer
        self._is_choosing = False  # the owner was asked for a context
        self._layer: TlsLayer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._hello is not None:
            self._hello += data
            self._look_at_hello()
        elif self._layer is not None:
            self._decrypt(data)
        else:
            self.machine.receive(data)
            self._go_on()

    def eof_received(self) -> bool:
        """The client will send no more, but may still read: it gets the answers it has asked for."""
        self._no_more_input = True
        if self._is_shaking_hands:
            self._fail("the client closed the connection in the middle of the handshake")
        else:
            self._go_on()
        return True

    def connection_lost(self, problem: Exception | None) -> None:
        if self._is_shaking_hands and self._security is not None:
            self._security.not_secured("the connection was lost in the middle of the handshake")
        self.machine.end(reason="connection-lost")
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._on_end is not None:
            self._on_end(self)

    def close(self, last_reply: Reply | None = None, *, reason: str = "") -> None:
        """End the session from our side; `last_reply` (421) tells the client why, `reason` the log."""
        self.machine.end(last_reply, reason=reason)
        self._go_on()

    def _go_on(self) -> None:
        """Send what there is to send; ask for what is pending; close when the machine is done."""
        if self._going_on:  # an answer that came at once: the loop below sees it
            return
        if self._is_shaking_hands and not self.machine.is_closed:
            self._watch()
            return
        self._going_on = True
        try:
            while (decision := self.machine.pending) is not None and decision is not self._asked:
                self._asked = decision
                self._answer(decision, partial(self._decided, decision))
        finally:
            self._going_on = False
        if self._no_more_input and self.machine.pending is None:
            self.machine.end(reply.lost_input(self.machine.host_name), reason="connection-lost")
        if self._transport is None or self._transport.is_closing():
            return
        self._pause(self.machine.pending is not None and self.machine.unread_octets > MOST_UNREAD)
        if self.peer.is_foreign or self.machine.pending is None or self.machine.is_closed:
            self._send(
                self.machine.bytes_to_send()
            )  # in the lab all of a group at once: two runs do the same
        if self.machine.is_closed:
            self._hang_up()
        elif self._transport.get_write_buffer_size() > MOST_UNSENT:
            self._transport.abort()
        else:
            if self.machine.state is State.TLS:  # what it has said is on its way, in the clear
                self._hello, self._layer = bytearray(), None
            self._watch()

    def _send(self, octets: bytes) -> None:
        assert self._transport is not None
        if self._hello is not None:  # a client that waits for TLS reads nothing else
            return
        if self._layer is not None:
            self._layer.send(octets)
            octets = self._layer.bytes_to_send()
        if octets:
            self._transport.write(octets)

    def _hang_up(self) -> None:
        assert self._transport is not None
        if self._layer is not None:
            self._layer.close()
            self._send(b"")
        self._transport.close()
        if self.peer.is_foreign:  # who does not read what is left is cut off
            self._set_timer(LINGER, self._transport.abort)

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

    # --- TLS ----------------------------------------------------------------------------------

    @property
    def _is_shaking_hands(self) -> bool:
        return self._hello is not None or (self._layer is not None and not self._layer.is_ready)

    def _look_at_hello(self) -> None:
        """Ask for a context as soon as the client has said which name it asks for."""
        assert self._hello is not None and self._security is not None
        if len(self._hello) > MOST_UNREAD:
            self._fail("too much was said before the handshake was done")
        elif not self._is_choosing and (name := asked_name(self._hello)) is not None:
            self._is_choosing = True
            self._security.context(name, self._begin_tls)

    def _begin_tls(self, context: ssl.SSLContext | None) -> None:
        self._is_choosing = False
        if self._hello is None or self._transport is None or self._transport.is_closing():
            return  # the client has gone
        hello, self._hello = bytes(self._hello), None
        if context is None:
            self.machine.end()
            self._hang_up()
            return
        self._layer = TlsLayer(context, server_side=True)
        self._decrypt(hello)

    def _decrypt(self, data: bytes) -> None:
        assert self._layer is not None and self._security is not None and self._transport is not None
        was_ready = self._layer.is_ready
        try:
            found = self._layer.receive(data)
        except TlsFailure as failure:
            self._fail(failure.words)
            return
        self._send(b"")  # what the handshake itself says
        if self._layer.is_ready and not was_ready:
            self._security.secured(self._layer.encryption)
        self._no_more_input = self._no_more_input or self._layer.is_ended
        if found:
            self.machine.receive(found)
        self._go_on()

    def _fail(self, words: str) -> None:
        """No TLS, or no more: the other end is told by an alert, and the connection ends."""
        assert self._security is not None
        self._security.not_secured(words)
        self._hello = None
        self.machine.end()
        if self._transport is not None and not self._transport.is_closing():
            if self._layer is not None and (octets := self._layer.bytes_to_send()):
                self._transport.write(octets)
            self._layer = None
            self._hang_up()

    # --- the patience with foreign clients ----------------------------------------------------

    def _watch(self) -> None:
        if self.peer.is_foreign:
            self._wind_up_timer()

    def _wind_up_timer(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        in_content = self.machine.state is State.CONTENT
        unit = (
            self.machine.messages_accepted,
            in_content,
            self.machine.commands_read,
            self._is_shaking_hands,
        )
        if self._deadline is None or self._deadline[0] != unit:
            self._deadline = (unit, now + (LONGEST_CONTENT if in_content else LONGEST_COMMAND))
        self._set_timer(max(min(self._idle_timeout, self._deadline[1] - now), 0.0), self._too_slow)

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _too_slow(self) -> None:
        if self._is_shaking_hands:
            self._fail("timed out")
            return
        if self.machine.state is State.CONTENT:
            self.close(reply.data_timed_out(self.machine.host_name), reason="data-timeout")
        else:
            self.close(reply.timed_out(self.machine.host_name), reason="command-timeout")

"""Answer CallOut: would the hosts of an address take it? No message is sent.

WHAT       `call_out` connects to the hosts in turn, says MAIL and RCPT, and tells what they said.
DECIDES    a 5xx to MAIL or RCPT ends it: the address is bad. With `is_random`, a local part that cannot exist comes
           first; where it is taken, more questions would tell nothing. With `postmaster`, <postmaster@domain> must be
           taken, too. Whatever else happens, the next host is asked, and at last nothing is decided.
           A silent host costs lab time, no real time; the patience with a program that is slow is real time.
LIKE EXIM  the words: `HOST [ADDRESS] : SMTP error from remote mail server after RCPT TO:<ann@b.test>: 550 no`, and for
           MAIL `HOST [ADDRESS] : response to "MAIL FROM:<>" was: 550 no`. The reply is what stands behind.
STANDARDS  RFC 5321 §3.3, §4.1.1.5 (RSET); Exim specification, section "Callout verification"
SIMPLER    one command at a time, no TLS, no SIZE; a host that hangs up after the random local part is not called again
READ NEXT  the room mta
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from labkit.mail.questions import CallOut, CalloutAnswer, Standing
from labkit.net.network import HostSilent, Network

PATIENCE = 30.0  # seconds of real time for one reply, and never more than the configuration has
LONGEST_REPLY = 8192  # octets; Exim's buffer is half as long
_LINE = re.compile(rb"([0-9]{3})([ -]?)(.*)", re.DOTALL)
_STRANGE = re.compile(r"[^\t\n -~]")


class _Over(Exception):
    """The conversation came to an end: the text says how."""


class _Refused(Exception):
    """The reply was not the one that we hoped for."""

    def __init__(self, reply: str, command: str) -> None:
        super().__init__(reply)
        self.reply, self.command = reply, command

    def __str__(self) -> str:
        reply = _shown(self.reply)
        if self.command.startswith("MAIL"):
            return f'response to "{self.command}" was: {reply}'
        return f"SMTP error from remote mail server after {self.command}: {reply}"

    @property
    def is_permanent(self) -> bool:
        return self.reply.startswith("5")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and how time is: `sleep` lets lab time pass."""

    network: Network
    source: str
    now: Callable[[], datetime]
    sleep: Callable[[timedelta], Awaitable[None]]


async def call_out(question: CallOut, caller: Caller) -> CalloutAnswer:
    """Ask the hosts in turn. The words tell the last reply, or what kept us from one."""
    words, failure = "no host to ask", "recipient"
    begun = caller.now()
    for name, address, port in question.hosts:
        if caller.now() - begun >= timedelta(seconds=question.how.overall):
            break
        talk = _Talk(min(PATIENCE, question.how.timeout))
        try:
            try:
                await _connect(caller, talk, address, port, question.how.connect)
                return await _ask_host(question, talk, caller.now())
            finally:
                await talk.end()
        except _Refused as refused:
            words = f"{name} [{address}] : {refused}"
            if refused.is_permanent:
                return CalloutAnswer(Standing.BAD, words, talk.asking)
            failure = "mail" if talk.asking == "mail" else "recipient"
        except (_Over, OSError) as problem:
            words = f"{name} [{address}] : {_reason(problem)}"
    # a failure even then: it tells that the routing was well
    return CalloutAnswer(Standing.UNDECIDED, words, failure)


async def _connect(caller: Caller, talk: _Talk, address: str, port: int, patience: float) -> None:
    """Raises OSError."""
    try:
        await asyncio.wait_for(
            caller.network.connect(caller.source, address, port, lambda: talk), min(patience, PATIENCE)
        )
    except HostSilent:
        await caller.sleep(timedelta(seconds=patience))
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out") from None
    except asyncio.TimeoutError:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out") from None


async def _ask_host(question: CallOut, talk: _Talk, now: datetime) -> CalloutAnswer:
    """The whole conversation. Raises _Refused, _Over, OSError."""
    how, address = question.how, question.address
    await talk.hear()
    try:
        await talk.say(f"EHLO {question.helo_name}")
    except _Refused:
        await talk.say(f"HELO {question.helo_name}")
    if how.is_random:
        nobody = f"{question.helo_name}-{int(now.timestamp())}-testing"
        try:
            await _mail_and_rcpt(talk, how.mail_from, f"{nobody}@{address.domain}")
            return CalloutAnswer(Standing.GOOD, failure="random")
        except _Refused as refused:
            if talk.asking == "mail" or not refused.is_permanent:
                raise
        await talk.say("RSET")
    await _mail_and_rcpt(talk, how.mail_from, str(address))
    if how.postmaster is not None:
        await talk.say("RSET")
        try:
            await _mail_and_rcpt(talk, how.postmaster, f"postmaster@{address.domain}")
        except _Refused:
            talk.asking = "postmaster"
            if not how.full_postmaster:
                raise
            await talk.say("RCPT TO:<postmaster>")
    return CalloutAnswer(Standing.GOOD)


async def _mail_and_rcpt(talk: _Talk, sender: str, recipient: str) -> None:
    talk.asking = "mail"
    await talk.say(f"MAIL FROM:<{sender}>")
    talk.asking = "recipient"
    await talk.say(f"RCPT TO:<{recipient}>")


class _Talk(asyncio.Protocol):
    """One connection. `asking` says what a refusal would be about: mail, recipient or postmaster."""

    def __init__(self, patience: float) -> None:
        self.asking = ""
        self._command = "initial connection"
        self._patience = patience
        self._received = bytearray()
        self._moved = asyncio.Event()
        self._end = ""
        self._transport: asyncio.Transport | None = None

    async def say(self, command: str) -> str:
        """Send a command and return the reply. Raises _Refused, _Over."""
        if any(c in command for c in "\r\n\0"):
            raise _Over("a line end in an address")
        self._command = command
        if self._transport is not None:
            self._transport.write(command.encode("latin-1", "replace") + b"\r\n")
        return await self.hear()

    async def hear(self) -> str:
        """The next reply, its lines joined by line feeds. Raises _Refused, _Over."""
        lines: list[str] = []
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            line = await self._line(deadline)
            found = _LINE.fullmatch(line)
            if found is None:
                said = _shown(line.decode("latin-1"))
                raise _Over(f"Malformed SMTP reply in response to {self._command}: {said}")
            lines.append(line.decode("latin-1"))
            if sum(map(len, lines)) > LONGEST_REPLY:
                raise _Over("SMTP reply without end")
            if found[2] != b"-":
                break
        reply = "\n".join(lines)
        if not reply.startswith("2"):
            raise _Refused(reply, self._command)
        return reply

    async def _line(self, deadline: float) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if self._end or len(self._received) > LONGEST_REPLY:
                if self._end:
                    raise _Over(f'response to "{self._command}" was: {self._end}')
                raise _Over("SMTP reply without end")
            self._moved.clear()
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._moved.wait(), max(left, 0))
            except (TimeoutError, asyncio.TimeoutError):
                raise _Over(f"SMTP timeout after {self._command}") from None
        line = bytes(self._received[:end]).removesuffix(b"\r")
        del self._received[: end + 1]
        return line

    async def end(self) -> None:
        """Say QUIT, if anybody is there, and hang up."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
            await asyncio.sleep(0)

    # --- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._moved.set()

    def connection_lost(self, problem: Exception | None) -> None:
        self._end = "connection dropped"
        self._moved.set()


def _shown(reply: str) -> str:
    """A reply that may be handed on: it ends where something unprintable begins, as Exim cuts it."""
    found = _STRANGE.search(reply)
    return reply if found is None else f"{reply[: found.start()]}(truncated)"


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno:
        return os.strerror(problem.errno)
    return str(problem)

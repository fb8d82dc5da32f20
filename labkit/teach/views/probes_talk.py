"""Ask a host whether it would take mail, and go away again; or send it one message.

WHAT       `ask_whom(host, laptop, recipients)` connects as that laptop, says EHLO, MAIL and a RCPT for each, and
           gives the greeting and the replies. `ask_as(host, address, recipients)` asks as somebody who calls from
           any address, even one that no machine of the lab has: `exim -bh ADDRESS`. `hand_in` sends a message.
           `say(host, caller, ["EHLO …", "ETRN …"])` says any commands, as a laptop or as another host.
RULES      one command at a time. The patience with a host is real time.
STANDARDS  RFC 5321 §3.3, §4.2 (replies); Exim specification, "Testing ACLs" (-bh)
READ NEXT  probes_table.py
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from labkit.lab.host import Host
from labkit.lab.labkit_engine import LabkitEngine
from labkit.lab.laptop import Laptop
from labkit.lab.scenarios import LaptopPlan
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.smtp.decisions import Connected

PATIENCE = 30.0  # seconds of real time for one reply
LONGEST_REPLY = 8192  # octets
BEFORE_RCPT = 3  # replies: to the connection, to EHLO, to MAIL
_REPLY = re.compile(r"(?m)^(?:\d{3}-.*\n)*\d{3}(?: .*)?$")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a host said to a caller: its greeting, and a reply for each recipient."""

    greeting: str
    replies: tuple[str, ...]

    @property
    def greets_as(self) -> str:
        """The name in the greeting (RFC 5321 §4.2: it follows the 220)."""
        words = self.greeting[4:].split()
        return words[0] if words and self.greeting.startswith("220") else ""


class _Over(Exception):
    """The conversation came to an end: the text says how."""


async def ask_whom(host: Host, caller: Laptop, recipients: Sequence[str], sender: str = "") -> Answers:
    """Ask from that laptop, over the network. A recipient stands in RCPT TO as it is, in angle brackets.

    `sender` is what MAIL FROM says, if it is not the address of who sits there.
    Who hangs up, refuses MAIL or does not listen gives that as the reply to all that is left to be asked.
    """
    commands = [f"EHLO {caller.name}", f"MAIL FROM:<{sender or caller.owner}>", *map(_rcpt, recipients)]
    return _answers(await _converse(host, caller, commands), len(recipients))


async def hand_in(host: Host, caller: Laptop, recipient: str, message: Message) -> str:
    """Send one message, even to a recipient without a domain. Returns the last reply."""
    stuffed = re.sub(r"(?m)^\.", "..", bytes(message).decode("latin-1")).replace("\r\n", "\n").rstrip("\n")
    content = stuffed.replace("\n", "\r\n") + "\r\n."
    commands = [f"EHLO {caller.name}", f"MAIL FROM:<{caller.owner}>", _rcpt(recipient), "DATA"]
    return (await _converse(host, caller, commands, content))[-1]


async def say(host: Host, caller: Laptop | Host, commands: Sequence[str]) -> tuple[str, ...]:
    """Connect as that machine and say these commands. The greeting, and the reply to each."""
    return tuple(await _converse(host, caller, commands))


async def _converse(
    host: Host, caller: Laptop | Host, commands: Sequence[str], content: str = ""
) -> list[str]:
    """The greeting, and the reply to each command; what kept us from one comes last. `content` follows DATA."""
    talk, heard = _Talk(), list[str]()
    world = host.world
    if any(c in command for command in commands for c in "\r\n\0"):
        raise ValueError("an address has no line end")
    async with world.agenda.hold():
        try:
            await world.network.connect(caller.address, host.address, 25, lambda: talk)
            heard.append(await talk.hear())
            for command in commands:
                if not heard[-1].startswith("2") and len(heard) <= BEFORE_RCPT:  # not welcome
                    break
                heard.append(await talk.say(command))
            if content and heard[-1].startswith("354"):
                heard.append(await talk.say(content))
        except (_Over, OSError) as problem:
            heard.append(_reason(problem))
        finally:
            await talk.end()
    await world.settle()
    return heard


async def ask_as(host: Host, address: str, recipients: Sequence[str]) -> Answers:
    """Ask as a caller from `address`: `exim -bh ADDRESS`. Nothing is sent over the network."""
    commands = ["EHLO caller.test", "MAIL FROM:<caller@caller.test>", *map(_rcpt, recipients)]
    if not isinstance(host.engine, LabkitEngine):
        printed = await host.exim("-bh", address, stdin="\r\n".join([*commands, "QUIT", ""]))
        return _answers(_REPLY.findall(printed.text.replace("\r\n", "\n")), len(recipients))
    plan = LaptopPlan("stranger", "caller.test", address, "caller@caller.test", host.name)
    session = host.open_session(Laptop(host.world, plan))
    if isinstance(
        session.machine.pending, Connected
    ):  # who calls from this machine itself is let in for once
        session.machine.decide(Reply(220, (f"{host.name} ESMTP",)))
    heard = ["\n".join(line.text for line in await session.banner())]
    for command in commands:
        said = await session.type(command)
        heard.append("\n".join(line.text for line in said if line.speaker == "S"))
    session.hang_up()
    return _answers(heard, len(recipients))


def _rcpt(recipient: str) -> str:
    return f"RCPT TO:<{recipient}>"


def _answers(heard: Sequence[str], count: int) -> Answers:
    """Sort the replies: greeting, EHLO, MAIL, then the recipients'; the last stands for what is missing."""
    greeting, replies = heard[0], list(heard[BEFORE_RCPT:])
    replies += [heard[-1]] * (count - len(replies))
    return Answers(greeting, tuple(replies[:count]))


def _reason(problem: Exception) -> str:
    if isinstance(problem, ConnectionRefusedError):
        return "nobody listens there"
    return str(problem) or type(problem).__name__


class _Talk(asyncio.Protocol):
    """One connection, from the client's side."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._moved = asyncio.Event()
        self._is_over = False
        self._transport: asyncio.Transport | None = None

    async def say(self, command: str) -> str:
        """Send a command and return the reply. Raises _Over."""
        if self._transport is not None:
            self._transport.write(command.encode("utf-8", "replace") + b"\r\n")
        return await self.hear()

    async def hear(self) -> str:
        """The next reply, its lines joined by line feeds. Raises _Over."""
        lines: list[str] = []
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not lines or lines[-1][3:4] == "-":
            lines.append(await self._line(deadline))
            if sum(map(len, lines)) > LONGEST_REPLY:
                raise _Over("a reply without end")
        return "\n".join(lines)

    async def _line(self, deadline: float) -> str:
        while (end := self._received.find(b"\n")) < 0:
            if self._is_over or len(self._received) > LONGEST_REPLY:
                raise _Over("it hung up" if self._is_over else "a reply without end")
            self._moved.clear()
            try:
                left = deadline - asyncio.get_running_loop().time()
                await asyncio.wait_for(self._moved.wait(), max(left, 0))
            except (TimeoutError, asyncio.TimeoutError):
                raise _Over("no reply came") from None
        line = bytes(self._received[:end]).removesuffix(b"\r")
        del self._received[: end + 1]
        return line.decode("utf-8", "replace")

    async def end(self) -> None:
        """Say QUIT, if anybody is there, wait for the goodbye, and hang up."""
        if self._transport is None:
            return
        try:
            if not self._is_over:
                await self.say("QUIT")
        except _Over:
            pass
        self._transport.close()

    # --- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._moved.set()

    def connection_lost(self, problem: Exception | None) -> None:
        self._is_over = True
        self._moved.set()

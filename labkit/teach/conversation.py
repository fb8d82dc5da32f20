"""A conversation between a client and a server: one that was recorded, one to be typed, or both.

WHAT       `Conversation` is what the dialogue player shows. A `TypingSession` lets somebody be the client by hand;
           `MachineSession` is one on the real server machine, in memory.
HOW        show(Conversation("bigmail.test", "mx2.st11.sne21.test", converse(client, server, decide)))
           show(Conversation("you.test", "mx2.st11.sne21.test", session=MachineSession(server, decide)))
           A session on a host of the lab needs the three members of TypingSession and nothing else.
READ NEXT  views/dialogue.py
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from labkit.mail.reply import Reply
from labkit.smtp.decisions import Answer, Decision
from labkit.smtp.pair import Exchange
from labkit.smtp.server import Server
from labkit.smtp.states import State, Step
from labkit.smtp.transcript import readable

HEARD_BANNER = (
    "has heard the banner"  # where somebody stands who types: no Step of the client machine says it
)

Decide = Callable[[Decision], "Reply | Answer | Awaitable[Reply | Answer | None] | None"]


class TypingSession(Protocol):
    """Connections to one server, one after the other, in which somebody types the client's lines."""

    @property
    def is_open(self) -> bool:
        """A line can be typed now. False before the first `connect` and after a goodbye."""

    async def connect(self) -> Sequence[Exchange]:
        """Call the server, hanging up first if need be, and return what it says: the banner."""

    async def type(self, text: str) -> Sequence[Exchange]:
        """Send `text` and CR LF; return this line and all that follows it until the server waits again."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Who talks, what was said, and (with a session) the chance to go on by hand."""

    client_name: str
    server_name: str
    exchanges: Sequence[Exchange] = ()
    session: TypingSession | None = field(default=None, repr=False)


class MachineSession:
    """Typing to the server machine itself. `decide` answers its questions, at once or as an awaitable.

    A server that has not spoken yet waits for `connect`; one in the middle of a session goes on there. To connect
    again makes a new server like the first.
    """

    def __init__(self, server: Server, decide: Decide) -> None:
        self._server = server
        self._decide = decide
        self._client = Step.BANNER.value if server.state is State.CONNECTED else Step.IDLE.value
        self._client_before = self._client  # where a refusal leads back to

    @property
    def is_open(self) -> bool:
        return self._server.state not in (State.CONNECTED, State.CLOSED)

    async def connect(self) -> Sequence[Exchange]:
        if self._server.state is not State.CONNECTED:
            self._server = _one_like(self._server)
        self._client = self._client_before = Step.BANNER.value
        return await self._answers()

    async def type(self, text: str) -> Sequence[Exchange]:
        """Send one line. Raises ValueError for a text that is more than one, RuntimeError without a connection."""
        if "\n" in text or "\r" in text:
            raise ValueError("one line at a time")
        if not self.is_open:
            raise RuntimeError("there is no connection: connect first")
        octets = text.encode("utf-8", "replace")
        before = self._server.state
        self._client_before, self._client = self._client, self._said(text)
        typed = Exchange("C", readable(octets), self._client, before.value)
        self._server.receive(octets + b"\r\n")
        return (typed, *await self._answers())

    async def _answers(self) -> Sequence[Exchange]:
        while (decision := self._server.pending) is not None:
            answer = self._decide(decision)
            found = await answer if inspect.isawaitable(answer) else answer
            told = found if isinstance(found, Answer) else Answer(found)
            self._server.decide(told.reply, close=told.closes)
        lines = self._server.bytes_to_send().splitlines()
        server = self._server.state.value
        said: list[Exchange] = []
        for line in lines:
            if line[3:4] != b"-":
                self._client = self._heard(line[:1] in (b"2", b"3"))
            said.append(Exchange("S", readable(line), self._client, server))
        return said

    def _said(self, text: str) -> str:
        """Where the client stands once it has said this."""
        if self._server.state is State.CONTENT:
            return Step.CONTENT.value if text == "." else self._client
        verb = text.partition(" ")[0].upper()
        return Step[verb].value if verb in _SAID else self._client

    def _heard(self, is_positive: bool) -> str:
        """Where the client stands once it has heard a reply."""
        if self._server.is_closed:
            return Step.CLOSED.value
        if self._client == Step.BANNER.value:
            return HEARD_BANNER
        if self._client == Step.CONTENT.value:
            return Step.IDLE.value
        if not is_positive:
            return self._client_before
        return Step.IDLE.value if self._client in _DONE else self._client


_SAID = frozenset({"HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT"})
_DONE = frozenset(step.value for step in (Step.HELO, Step.EHLO, Step.RSET))


def _one_like(server: Server) -> Server:
    return Server(
        server.host_name,
        server.client_address,
        server.limits,
        qualify_domain=server.qualify_domain,
        enforce_sync=server.enforce_sync,
        on_line=server.on_line,
    )


def in_step(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """The same lines, each state shown with the words it belongs to.

    The machines react at once, so a record may have a side already where its next line, not yet on the wire, leads.
    """
    shown: list[Exchange] = []
    client, server = Step.BANNER.value, State.CONNECTED.value
    for line, following in zip(exchanges, [*exchanges[1:], None]):
        turn = (line.speaker, following.speaker) if following is not None else ()
        if following is not None and turn == ("S", "C") and _names(following.text, line.client):
            line = replace(line, client=client)
        if following is not None and turn == ("C", "C") and client != Step.CONTENT.value:  # said in one go
            verb = line.text.partition(" ")[0].upper()
            if verb in _SAID and _names(following.text, line.client):
                line = replace(line, client=Step[verb].value)
        if following is not None and turn == ("C", "S") and following.server == line.server:
            line = replace(line, server=server)
        client, server = line.client, line.server
        shown.append(line)
    return shown


def _names(text: str, state: str) -> bool:
    """Does this state of the client say no more than what this line of it says?"""
    verb = text.partition(" ")[0].upper()
    return state == Step.CONTENT.value or (verb in _SAID and state == Step[verb].value)

"""Typing SMTP by hand: a session with a host's real machine, one line at a time.

WHAT       `LiveSession.type(text)` sends a line and returns what was said; policy, spool and delivery are real.
READ NEXT  laptop.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from labkit.mail.reply import Reply
from labkit.mta.session import Session
from labkit.smtp.decisions import Answer, Decision
from labkit.smtp.pair import Exchange
from labkit.smtp.transcript import readable


class LiveSession:
    """A session whose client is a person at `client_name`.

    `settle` lets the lab finish what a line has caused; `again` opens another session of the same kind.
    """

    def __init__(
        self,
        session: Session,
        client_name: str,
        settle: Callable[[], Awaitable[None]],
        again: Callable[[], LiveSession],
    ) -> None:
        self.machine = session.machine
        self.client_name = client_name
        self.settle = settle
        self.again = again
        self._session = session
        self._banner: tuple[Exchange, ...] | None = None

    @property
    def is_over(self) -> bool:
        return self.machine.is_closed

    def hang_up(self) -> None:
        """The client goes away without a word."""
        self.machine.end()

    async def banner(self) -> tuple[Exchange, ...]:
        """What the server says first."""
        if self._banner is None:
            await self._answer_all()
            self._banner = self._said()
        return self._banner

    async def type(self, text: str) -> tuple[Exchange, ...]:
        """Send one line (CR LF is added) and return it with the server's answers.

        Raises ValueError for text with a line end inside: a person types one line at a time.
        """
        if "\r" in text or "\n" in text:
            raise ValueError("one line at a time")
        await self.banner()
        octets = text.encode("utf-8", "surrogateescape")
        if self.is_over:
            return ()
        self.machine.receive(octets + b"\r\n")
        await self._answer_all()
        await self.settle()
        typed = Exchange("C", readable(octets), "", self.machine.state.value)
        return (typed, *self._said())

    async def _answer_all(self) -> None:
        while (decision := self.machine.pending) is not None:
            answer = await self.decide(decision)
            self.machine.decide(answer.reply, close=answer.closes)

    async def decide(self, decision: Decision) -> Answer:
        """What the host answers to a decision of the machine, and whether it hangs up with that."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def decide(answer: Reply | None, *, close: bool = False) -> None:
            if not answered.done():
                answered.set_result(Answer(answer, close))

        self._session.answer(decision, decide)
        return await answered

    def _said(self) -> tuple[Exchange, ...]:
        lines = self.machine.bytes_to_send().split(b"\r\n")[:-1]
        return tuple(Exchange("S", readable(line), "", self.machine.state.value) for line in lines)

"""Going on with an open connection: messages that wait for a host travel together when it is there again.

WHAT       `Waits` remembers which messages a host was not there for; `Kept` is a connection on which one was taken.
DECIDES    the message that came to wait last is the next one, as long as connection_max_messages allows and each of
           them gets anywhere. For these messages the retry time of the host does not count: it has just answered.
LIKE EXIM  "Waiting messages": there they are in wait-TRANSPORT in the spool, here they are forgotten at a restart, and
           every message then waits for its own time
STANDARDS  Exim specification, chapter "How Exim receives and delivers mail", section "Hints databases";
           chapter "The smtp transport", option connection_max_messages
READ NEXT  sending.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable
from dataclasses import dataclass, field

from labkit.mta.calling import Called, Caller

MOST_WAITING = 5000  # of one host

GoOn = Callable[[str, Called], Awaitable[None]]  # try this message over this connection


@dataclass(slots=True)
class Waits:
    """By transport and host: queue ids, those that came last at the end."""

    rows: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, transport: str, hosts: Iterable[str], queue_id: str) -> None:
        for host in dict.fromkeys(hosts):
            row = self.rows.setdefault((transport, host.lower()), [])
            if queue_id not in row and len(row) < MOST_WAITING:
                row.append(queue_id)

    def take(self, transport: str, host: str, queued: Container[str], but: Container[str]) -> str | None:
        """The next message for this host; it is taken off, and so is what is not in the queue any more."""
        row = self.rows.get((transport, host.lower()), [])
        while row:
            queue_id = row.pop()
            if queue_id in queued and queue_id not in but:
                return queue_id
        self.rows.pop((transport, host.lower()), None)
        return None


@dataclass(slots=True)
class Kept:
    """An open connection on which a message was taken."""

    called: Called
    caller: Caller
    most_messages: int

    async def use(self, waits: Waits, queued: Container[str], busy: Container[str], go_on: GoOn) -> None:
        """Send what waits for this host, then say goodbye."""
        called = self.called
        try:
            while called.is_open and called.made_progress and called.messages < self.most_messages:
                queue_id = waits.take(called.transport, called.hop.host, queued, busy)
                if queue_id is None:
                    break
                called.made_progress = False
                await go_on(queue_id, called)
        finally:
            await self.caller.leave(called)

"""Content filters of a host: what `spam =` in its exim.conf asks at 127.0.0.1 port 783.

WHAT       `await host.serve_spamd()` starts SpamAssassin's spamd on this host; `await host.serve_spamd(scorer)` serves
           a scorer of ours (a function from the octets of a message to Scored) by the same protocol. Both engines ask
           either of them without a change of the configuration.
           `await served.score(message)` and `await served.score_all(messages)` ask outside of SMTP.
RULES      a host has one filter at a port: a new one ends the former. All end with the world, or by `stop`.
MEMORY     a scorer of ours works in a world without sockets, too; spamd is a program and needs them.
READ NEXT  spamassassin.py, bogofilter.py
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from labkit.mail.questions import NoScore, SpamScore
from labkit.mail.scored import Scored, Scorer
from labkit.net.disk import Disk
from labkit.net.network import Listener
from labkit.net.spamd import Spamd
from labkit.net.spamd_server import SpamdServer

if TYPE_CHECKING:
    from labkit.lab.host import Host

__all__ = ["PORT", "FilterFailed", "Scored", "Scorer", "Serving", "serve_scorer"]

PORT = 783
AT_ONCE = 4  # questions of score_all under way
_VERDICT = re.compile(r"(?im)^Spam: \S+ ; (-?[0-9.]+) / (-?[0-9.]+)\r?$")


class FilterFailed(RuntimeError):
    """A content filter that cannot start, or does not answer; the text says what to do."""


class Serving:
    """A content filter that answers at a host's own 127.0.0.1.

    `started_in`: seconds of real time until it answered. `name`: for people.
    """

    def __init__(self, host: Host, port: int, name: str, end: Callable[[], Awaitable[None]]) -> None:
        self.host, self.port, self.name = host, port, name
        self.started_in = 0.0
        self.is_running = True
        self._end = end

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<{self.name} at 127.0.0.1 port {self.port} of {self.host.name}, {state}>"

    async def stop(self) -> None:
        """End it; may be called again."""
        if self.is_running:
            self.is_running = False
            await self._end()

    async def score(self, message: bytes) -> Scored:
        """What it says of one message. Raises FilterFailed."""
        said = await self._ask("SYMBOLS", message)
        found = _VERDICT.search(said)
        if not said.startswith("SPAMD/") or found is None:
            raise FilterFailed(f"{self.name} gives no score: {said[:100]!r}")
        symbols = tuple(filter(None, re.split(r"[,\s]+", said.partition("\r\n\r\n")[2])))
        return Scored(float(found[1]), float(found[2]), "", symbols)

    async def report(self, message: bytes) -> str:
        """Its report of one message: which rules hit, with their points. Raises FilterFailed."""
        return (await self._ask("REPORT", message)).partition("\r\n\r\n")[2].replace("\r\n", "\n")

    async def score_all(
        self,
        messages: Sequence[bytes],
        progress: Callable[[int, int], None] = lambda done, total: None,
        at_once: int = AT_ONCE,
    ) -> list[Scored]:
        """What it says of each; `progress` hears how many of how many are done. Raises FilterFailed."""
        turn, done = asyncio.Semaphore(at_once), 0

        async def one(message: bytes) -> Scored:
            nonlocal done
            async with turn:
                found = await self.score(message)
            done += 1
            progress(done, len(messages))
            return found

        asking = [asyncio.ensure_future(one(message)) for message in messages]
        try:
            return list(await asyncio.gather(*asking))
        finally:
            for task in asking:
                task.cancel()

    async def _ask(self, command: str, message: bytes) -> str:
        world, address = self.host.world, self.host.address

        async def resolve(name: str) -> Sequence[str]:
            return ()

        client = Spamd(Disk(self.host.folder), world.network, address, resolve, world.sleep)
        head = f"{command} SPAMC/1.2\r\nContent-length: {len(message)}\r\n\r\n".encode()
        question = SpamScore(f"127.0.0.1 {self.port}", head, message, most=1_000_000)
        found = await client.score(question)
        if isinstance(found, NoScore):
            raise FilterFailed(f"{self.name} does not answer: {found.words}")
        return found.said


async def serve_scorer(host: Host, scorer: Scorer, port: int) -> Serving:
    """Serve a scorer of ours. Raises OSError as Network.listen does."""
    listener: Listener = await host.world.network.listen(host.address, port, lambda peer: SpamdServer(scorer))

    async def end() -> None:
        listener.close()

    name = getattr(scorer, "name", "") or getattr(scorer, "__name__", type(scorer).__name__)
    return Serving(host, port, str(name), end)

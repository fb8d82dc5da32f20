"""The seam between a host and the MTA that runs on it: labkit's own, or the real Exim.

WHAT       `Engine` is what an administrator can do with an MTA; each method says which of Exim's commands it stands
           for. labkit_engine.py does it with labkit's MTA, exim_engine.py with Exim itself; outside_engine.py is
           a host that follows no configuration.
RULES      both work on the host's folder (its configuration, spool and mailboxes) and give the journal the same facts.
READ NEXT  labkit_engine.py, exim_engine.py
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from labkit.mail.envelope import Envelope
from labkit.mail.plainly import SaidPlainly
from labkit.queue.hints import Hint
from labkit.queue.item import QueueItem
from labkit.routing import Routed

ENGINES = ("labkit", "exim")  # of hosts that have an exim.conf
OUTSIDE = "outside"  # of those that are nobody's Exim: a scenario says which
OUTSIDE_ENGINES = (OUTSIDE, "relay", "provider", "list", "impostor", "middle")
STARTS_A_DAEMON = re.compile(r"-bd\w*|-bw.*|-q[A-Za-z]*\d\w*|-inetd")  # of Exim's options


class NoSuchMessage(SaidPlainly, KeyError):
    """A queue id that a host does not have in its queue."""


class DoubtfulConfiguration(UserWarning):
    """A line that an MTA loads and stumbles over later: told at once, so that nobody waits for it."""


class NotThisEngine(SaidPlainly, RuntimeError):
    """Something that only the other engine can do."""


class CommandFailed(SaidPlainly, RuntimeError):
    """A command of the MTA ended with an error; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, and its exit status (0: it worked)."""

    status: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class QueueRun:
    """One run over the queue.

    `forced`: retry times do not count (-qf); `thaws`: frozen messages are tried too (-qff); `domain`: only messages
    with a recipient whose address contains this text (-R TEXT, -Rff TEXT).
    """

    forced: bool = False
    thaws: bool = False
    domain: str | None = None

    @property
    def command(self) -> str:
        """What the administrator would type after `exim`."""
        flags = "f" * (self.forced + self.thaws)
        return f"-q{flags}" if self.domain is None else f"-R{flags} {self.domain}"


class Engine(ABC):
    """The MTA of one host."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether the daemon listens."""

    @property
    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """Where it listens, or would listen."""

    @abstractmethod
    async def start(self, *, queue_only: bool = False) -> None:
        """`exim -bd -q15m`, with `queue_only` `exim -bd -odq -q15m`. Raises ConfigurationError, OSError."""

    @abstractmethod
    async def stop(self) -> None:
        """`kill -TERM`."""

    @abstractmethod
    async def reload(self) -> None:
        """`kill -HUP`. Raises ConfigurationError, and the old configuration stays."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""

    @abstractmethod
    async def submit(self, envelope: Envelope, content: bytes, login: str) -> str:
        """`exim -f SENDER RECIPIENT…` as that account; `content` has CR LF line ends. Returns the queue id."""

    @property
    @abstractmethod
    def queue(self) -> tuple[QueueItem, ...]:
        """What waits, oldest first."""

    @abstractmethod
    def queue_listing(self) -> str:
        """`exim -bp`."""

    @abstractmethod
    def queue_summary(self) -> str:
        """`exim -bp | exiqsumm`."""

    @abstractmethod
    async def run_queue(self, run: QueueRun) -> None:
        """`exim -q`, -qf, -qff, -R."""

    @abstractmethod
    def next_queue_run(self, instant: datetime) -> datetime | None:
        """The daemon's first queue run that is not before; None if it has none."""

    @property
    @abstractmethod
    def queue_interval(self) -> timedelta | None:
        """What stands behind the daemon's -q; None if it was started without."""

    @abstractmethod
    def retry_hints(self) -> Mapping[str, Hint] | None:
        """`exim_dumpdb SPOOL retry`, by key (queue/hints.py). None: that program is not there."""

    @abstractmethod
    async def force(self, queue_id: str) -> None:
        """`exim -M ID`."""

    @abstractmethod
    async def route(self, address: str) -> Routed:
        """`exim -bt ADDRESS`."""

    @abstractmethod
    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        """The files ID-H and ID-D of a message that waits."""

    @abstractmethod
    def log(self) -> str:
        """The main log."""

    @abstractmethod
    def reject_log(self) -> str:
        """The log of what was refused."""

    @abstractmethod
    async def command(self, arguments: Sequence[str], stdin: bytes, login: str) -> Output:
        """`exim ARGUMENTS…`."""

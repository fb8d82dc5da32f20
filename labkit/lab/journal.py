"""The journal: everything that happened in a world, in order, in memory and on disk.

WHAT       `note` appends an event; `where` finds events; the file has one JSON object a line.
WHY        logs, views, checks and reports read this and keep no second record; the file outlives the kernel.
READ NEXT  host.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from labkit.mail.event import EventKind, MailEvent


class Journal:
    """The events of one world. `path` None keeps them in memory only.

    An existing file is read first: a resumed world goes on where it stopped. A torn last line is dropped.
    """

    def __init__(self, now: Callable[[], datetime], path: Path | None = None) -> None:
        self._now = now
        self._events: list[MailEvent] = []
        self._file: IO[str] | None = None
        self._listeners: list[Callable[[MailEvent], None]] = []
        if path is not None:
            self._events = _read(path)
            self._file = path.open("a", encoding="ascii", buffering=1)  # line by line: a crash loses none

    def note(self, host: str, kind: EventKind, **details: Any) -> MailEvent:
        """Append an event at the present lab time."""
        event = MailEvent(number=len(self._events) + 1, at=self._now(), host=host, kind=kind, **details)
        self._events.append(event)
        if self._file is not None:
            self._file.write(event.to_json() + "\n")
        for listener in tuple(self._listeners):
            listener(event)
        return event

    def flush(self) -> None:
        """Bring everything to the file, for readers in other processes."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def listen(self, listener: Callable[[MailEvent], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[MailEvent]:
        return iter(tuple(self._events))

    def where(self, kind: EventKind | None = None, *, after: int = 0, **details: Any) -> list[MailEvent]:
        """The events of that kind with those details, in order: `where(EventKind.DELIVERED, host="mx…")`.

        `after` is the number of an event: only those that followed it.
        """
        return [
            event
            for event in self._events[after:]
            if (kind is None or event.kind is kind)
            and all(getattr(event, name) == value for name, value in details.items())
        ]

    def facts(self) -> list[MailEvent]:
        """The events that any MTA can give: what checks may use."""
        return [event for event in self._events if event.kind.is_fact]


def read_journal(path: Path) -> list[MailEvent]:
    """The events of a journal file, for somebody who only reads: a last line that is half written is left out.

    Raises OSError, ValueError.
    """
    whole = path.read_text(encoding="ascii")
    return [MailEvent.from_json(line) for line in whole[: whole.rfind("\n") + 1].splitlines() if line]


def _read(path: Path) -> list[MailEvent]:
    """Read what is there; cut a torn last line off the file, so that the next event starts a line of its own."""
    if not path.exists():
        return []
    whole = path.read_bytes()
    complete = whole[: whole.rfind(b"\n") + 1]
    if len(complete) != len(whole):
        with path.open("r+b") as file:
            file.truncate(len(complete))
    return [MailEvent.from_json(line.decode("ascii")) for line in complete.splitlines() if line]

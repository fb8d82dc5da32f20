"""The greylist of a host, live: who came when, when he is let in, whether he was, how often he tried.

WHAT       `triplets_view(world)`: the rows of the SQLite table `greylist` (client, sender, recipient, first, last,
           passed, count) of the student's host, and the keys that the condition `seen` has written down.
LIVE       as queue_view: drawn anew while things happen in the world; static HTML and a text twin elsewhere. When the
           lab is stopped, and its disks are gone, what was read last stays in view.
LIMITS     what `seen` remembers is shown on labkit's own MTA; the real Exim keeps it in a hints file of its own, so
           there only the SQLite table is shown. So many rows are shown, those that moved last; the count is of all.
SAFE       the file is opened for reading only; what stands in it came from anybody, so it is clipped and escaped.
STANDARDS  RFC 6647 §2.4, §5 (the triplet)
READ NEXT  ../following.py, data/solutions/greylist_sqlite.conf
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from labkit.lab.host import Host
from labkit.lab.labkit_engine import LabkitEngine
from labkit.lab.world import World
from labkit.mail.dates import in_words
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.following import Part, WorldView
from labkit.teach.given import expect
from labkit.teach.markup import clip, visible

FILE = "/var/spool/exim/greylist.db"
MOST_ROWS = 40
LONGEST = 60  # characters of a cell
WAIT = timedelta(minutes=5)
_HEAD = ("client", "sender", "recipient", "first seen", "next allowed", "passed", "count", "age")
_SEEN_HEAD = ("key", "first seen", "next allowed", "age")
_ROWS = """SELECT client, sender, recipient, first, passed, count FROM greylist
           ORDER BY last DESC, client, sender, recipient LIMIT ?"""
_EMPTY = "The greylist is empty: nobody was put off yet."
_GONE = "The lab is stopped, and its disks are gone: nothing was read from the greylist before."
_REAL = "The real Exim keeps what `seen` remembers in a hints file of its own: ask exim_dumpdb."


def triplets_view(
    world: World, host: Host | None = None, *, file: str = FILE, wait: timedelta = WAIT
) -> TripletsView:
    """The greylist of a host (the student's). `file`: its database; `wait`: how long its ACL lets strangers wait."""
    expect(world, World, "triplets_view(world)")
    return TripletsView(world, host, file, wait)


@dataclass(slots=True)
class _Known:
    """What was read last: how many rows the table has, the last of them, and what `seen` remembers."""

    count: int = 0
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    met: dict[str, float] = field(default_factory=dict)


class TripletsView(WorldView):
    """What `triplets_view` gives."""

    script = "triplets.js"

    def __init__(self, world: World, host: Host | None, file: str, wait: timedelta) -> None:
        self._host = host or world.mine
        self._path, self._disk = self._host.path(file), self._host.path("/")
        self._wait = wait
        self._known = _Known()
        super().__init__(world)

    def takes(self, event: MailEvent) -> None:
        """The tables are read when they are drawn; and once more when the host stops: its disk may go with the lab."""
        if event.kind is EventKind.STOPPED and event.host == self._host.name:
            self._look()

    @property
    def title(self) -> str:
        return f"The greylist of {self._host.name}, {self.world.now():%a %d %b %Y %H:%M} lab time"

    def state(self) -> dict[str, Any]:
        return {
            "title": f"The greylist of {self._host.name}",
            "time": f"{self.world.now():%A %d %B %Y, %H:%M} lab time",
            "running": self.world.is_running,
            "tables": [
                {
                    "caption": caption.removeprefix(f"{self.title}: "),
                    "head": list(head),
                    "rows": [list(row) for row in rows],
                }
                for caption, head, rows in self.parts()
            ],
            "ending": self.ending,
        }

    def parts(self) -> list[Part]:
        found: list[Part] = []
        known = self._look()
        if known.count:
            more = f", the last {MOST_ROWS} of them" if known.count > MOST_ROWS else ""
            shown = [self._row(*row) for row in known.rows]
            found.append((f"{self.title}: {known.count:,} triplets{more}", _HEAD, shown))
        if known.met:
            last = sorted(known.met.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_ROWS]
            of_seen = [(_cell(key), *self._times(first)) for key, first in last]
            caption = f"What `seen` of {self._host.name} remembers: {len(known.met):,} keys"
            found.append((caption, _SEEN_HEAD, of_seen))
        return found

    @property
    def ending(self) -> str:
        is_ours = isinstance(self._host.engine, LabkitEngine)
        known, nothing = self._look(), ""
        if not known.count and not known.met:
            nothing = _EMPTY if self._disk.is_dir() else _GONE
        return " ".join(filter(None, (nothing, "" if is_ours else _REAL)))

    def _look(self) -> _Known:
        known, engine = self._known, self._host.engine
        if self._disk.is_dir():
            known.count, known.rows = _read(self._path)
            known.met = dict(engine.met()) if isinstance(engine, LabkitEngine) else {}
        return known

    def _row(
        self, client: Any, sender: Any, recipient: Any, first: Any, passed: Any, count: Any
    ) -> tuple[str, ...]:
        since, allowed, age = self._times(first)
        told = "yes" if passed == 1 else "no"
        return _cell(client), _cell(sender), _cell(recipient), since, allowed, told, _cell(count), age

    def _times(self, first: Any) -> tuple[str, str, str]:
        """First seen, next allowed, age; as it stands where it is no instant."""
        try:
            since = datetime.fromtimestamp(float(first), timezone.utc)
            allowed = since + self._wait
        except (TypeError, ValueError, OverflowError, OSError):
            return _cell(first), "", ""
        now = self.world.now()
        words = "now" if allowed <= now else f"{allowed:%a %H:%M:%S}"
        age = max(now - since, timedelta(0))
        return f"{since:%a %H:%M:%S}", words, in_words(timedelta(seconds=int(age.total_seconds())))


def _cell(value: Any) -> str:
    return visible(clip("" if value is None else str(value), LONGEST))


def _read(path: Path) -> tuple[int, list[tuple[Any, ...]]]:
    """How many rows the table has, and the last of them; nothing where there is no such file or table."""
    if not path.is_file():
        return 0, []
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1)
        ) as connection:
            connection.text_factory = lambda octets: octets.decode("utf-8", "replace")
            (count,) = connection.execute("SELECT count(*) FROM greylist").fetchone()
            return count, connection.execute(_ROWS, (MOST_ROWS,)).fetchall()
    except sqlite3.Error:
        return 0, []

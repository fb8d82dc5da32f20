"""Answer SqliteRows: a query to a database file of the host.

WHAT       `SqliteFiles` keeps one connection for each file and asks it.
LIKE EXIM  several statements run one after the other, and all their rows count; a statement that SQLite refuses gives
           no rows, as a query that finds nothing; NULL is <NULL>, numbers are written as SQLite writes them, a value
           ends at its first NUL; a database that is not there is made.
SAFE       only files below the disk's root, also by ATTACH; a query that does not end, or brings too much, is given up.
           A database that another program has locked is asked again for a while, and meanwhile others go on.
SIMPLER    a transaction ends with its query
STANDARDS  Exim specification, section "SQL lookups" and "SQLite"
READ NEXT  socket_lookup.py
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic

from labkit.mail.lookups import NoAnswer, SqliteRows, Unanswered, Unopened
from labkit.net.disk import Disk, is_below

Rows = tuple[tuple[tuple[str, str], ...], ...]
PATIENCE = 5.0  # seconds of real time for somebody else's lock, if sqlite_lock_timeout says nothing
_PAUSE = 0.02
MOST_FILES = 16
INSTRUCTIONS = 10_000  # of SQLite's machine, between two looks at how many there were
MOST_LOOKS = 3_000  # some seconds
MOST_OCTETS = 16_000_000  # of the rows of one query
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*]|--[^\n]*|/\*(?s:.*?)\*/|;""")
_TRIGGER = re.compile(r"\s*create\s+(?:temp\s+|temporary\s+)?trigger\b", re.IGNORECASE)
CANNOT_OPEN = Unopened("unable to open database file", is_missing=False)


class _TooMuch(Exception):
    """The query brings more than anybody wants."""


class SqliteFiles:
    """The databases of one host. `patience` in seconds: asked anew for each query, as a reload may change it."""

    def __init__(self, disk: Disk, patience: Callable[[], float] = lambda: PATIENCE) -> None:
        self.disk, self.patience = disk, patience
        self._open: dict[str, tuple[tuple[int, int], sqlite3.Connection]] = {}

    async def rows(self, question: SqliteRows) -> Rows | NoAnswer:
        """The rows that the statements of a query give, together."""
        deadline = monotonic() + self.patience()
        while True:
            try:
                connection = self._connection(question.file)
            except (OSError, sqlite3.Error):
                return CANNOT_OPEN
            try:
                return _asked(connection, question.query)
            except _TooMuch:
                return Unanswered("sqlite: the query takes too long or brings too much: labkit gave it up")
            except sqlite3.Error as error:
                if not _is_busy(error):
                    return CANNOT_OPEN if "unable to open database file" in str(error) else ()
                if monotonic() >= deadline:
                    return Unanswered("sqlite: database is locked")
            finally:
                with suppress(sqlite3.Error):
                    connection.rollback()
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Let go of all files."""
        for _, connection in self._open.values():
            connection.close()
        self._open.clear()

    def _connection(self, file: str) -> sqlite3.Connection:
        """The connection to a file; a new one if the file is another than it was."""
        place = self.disk.place(file)
        kept = self._open.get(place)
        if kept is not None and kept[0] == _identity(place):
            return kept[1]
        if kept is not None:
            kept[1].close()
            del self._open[place]
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(place).st_mode):  # a FIFO, a folder
                raise sqlite3.OperationalError("unable to open database file")
        connection = sqlite3.connect(place, timeout=0, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes
        connection.set_authorizer(self._may)
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_OCTETS)
        if len(self._open) >= MOST_FILES:
            self._open.pop(next(iter(self._open)))[1].close()
        self._open[place] = (_identity(place), connection)
        return connection

    def _may(self, action: int, what: str | None, *_: object) -> int:
        """Nothing but files of this disk may be attached, by the names that they really have."""
        if action != sqlite3.SQLITE_ATTACH or self.disk.is_whole or what in ("", ":memory:"):
            return sqlite3.SQLITE_OK
        inside = what is not None and is_below(os.path.realpath(what), os.path.realpath(self.disk.root))
        return sqlite3.SQLITE_OK if inside else sqlite3.SQLITE_DENY


def _identity(place: str) -> tuple[int, int]:
    try:
        status = os.stat(place)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _asked(connection: sqlite3.Connection, query: str) -> Rows:
    """Raises sqlite3.Error, _TooMuch."""
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        return int(looks > MOST_LOOKS)

    connection.set_progress_handler(look, INSTRUCTIONS)
    rows: list[tuple[tuple[str, str], ...]] = []
    size = 0
    try:
        for statement in statements(query):
            cursor = connection.execute(statement)
            names = [name.encode("utf-8").decode("latin-1") for name, *_ in cursor.description or ()]
            for values in cursor:
                row = tuple(zip(names, map(shown, values)))
                size += sum(len(name) + len(value) for name, value in row) + 1
                if size > MOST_OCTETS:
                    raise _TooMuch
                rows.append(row)
    except (sqlite3.OperationalError, MemoryError) as error:
        if looks > MOST_LOOKS:
            raise _TooMuch from error
        raise
    return tuple(rows)


def statements(query: str) -> Iterator[str]:
    """A query cut after each of its statements."""
    text = _plain(query)
    begin = 0
    for found in _TOKEN.finditer(text):
        if found[0] != ";":
            continue
        statement = text[begin : found.end()]
        if _TRIGGER.match(statement) and not sqlite3.complete_statement(
            statement
        ):  # it has statements inside
            continue
        yield statement
        begin = found.end()
    if text[begin:].strip():
        yield text[begin:]


def _plain(query: str) -> str:
    """Octets as the text that they are in UTF-8. What is none cannot be handed over, and is read as latin-1."""
    try:
        return query.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return query


def shown(value: object) -> str:
    """A value as SQLite's callback gives it: a text of C."""
    if value is None:
        return "<NULL>"
    if isinstance(value, bytes):
        return value.decode("latin-1").partition("\0")[0]
    if isinstance(value, float):
        return _shown_number(value)
    return str(value)


def _shown_number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return "Inf" if value > 0 else "-Inf"
    text = f"{value:.15g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{e}{exponent}"

"""The questions that look-ups ask: of files, folders, databases, sockets.

WHAT       one frozen dataclass for each thing that only a file, a socket or the DNS can tell. A dict answers in tests.
ANSWERS    None means "there is no such thing"; Unopened that the file could not be opened (Exim: a failure);
           Unanswered that nobody could say (Exim: a defer).
SYNTAX     the text of a look-up file is read by eximconf/expansion/files.py, which is pure: who answers a FileLine only
           brings the text.
READ NEXT  event.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.mail.asking import Question


@dataclass(frozen=True, slots=True)
class Unopened:
    """The file is not there, or must not be read; `reason` in the system's words: No such file or directory."""

    reason: str
    is_missing: bool = True  # False: it is there, but we may not or cannot read it


@dataclass(frozen=True, slots=True)
class Unanswered:
    """It could not be found out; `reason` is what Exim would say."""

    reason: str


NoAnswer = Unopened | Unanswered


@dataclass(frozen=True, slots=True)
class FileLine(Question["str | None | NoAnswer"]):
    """Which data has this key in a file of `key: data` lines (lsearch)? One question for each key that is tried."""

    file: str
    key: str


@dataclass(frozen=True, slots=True)
class FileText(Question["str | NoAnswer"]):
    """All of a file, octet for octet, as latin-1 (.include, wildlsearch, nwildlsearch, iplsearch, readfile).

    A path without a slash in front is relative to where the name of the configuration is relative to.
    """

    path: str


@dataclass(frozen=True, slots=True)
class FolderEntry(Question["bool | NoAnswer"]):
    """Is there an entry of this name in the folder (dsearch)? `wanted`: any, file, dir or subdir."""

    folder: str
    name: str
    wanted: str = "any"


@dataclass(frozen=True, slots=True)
class SqliteRows(Question["tuple[tuple[tuple[str, str], ...], ...] | NoAnswer"]):
    """The rows that a query gives, each a row of (column, value)."""

    file: str
    query: str


@dataclass(frozen=True, slots=True)
class PasswdLine(Question["tuple[int, int, str, str, str] | None | Unanswered"]):
    """The account of that name: uid, gid, full name, home, shell."""

    name: str


@dataclass(frozen=True, slots=True)
class DnsRecords(Question["tuple[str, ...] | None | NoAnswer"]):
    """The records of this type at this name, each as in a master file (TXT: its first string alone, unquoted).

    None: no such name, or no such record.
    """

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Exists(Question["bool | NoAnswer"]):
    """Is there such a path?"""

    path: str


@dataclass(frozen=True, slots=True)
class ReadSocket(Question["str | NoAnswer"]):
    """What a server says after this request. `where` as in the configuration: a path, or inet:host:port."""

    where: str
    request: str
    timeout: int = 5
    shuts_down: bool = True


@dataclass(frozen=True, slots=True)
class RandomNumber(Question[int]):
    """A number from 0 to below - 1."""

    below: int

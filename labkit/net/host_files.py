"""Answer what look-ups ask about a host's files: FileLine, FileText, FolderEntry, Exists.

WHAT       `HostFiles` answers from the disk of one host. Who finds a key in the text of a look-up file is handed in:
           the language of those files belongs to the configuration, which this room does not read.
DECIDES    a file is read again only when its time, its size or the file itself has changed; the look costs one call
           of the system.
LIKE EXIM  the words of a failure; a link that leads nowhere is an entry of a folder, but does not exist
STANDARDS  Exim specification, chapter "File and database lookups"
READ NEXT  sqlite_lookup.py
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable

from labkit.mail.lookups import Exists, FileLine, FileText, FolderEntry, Unopened
from labkit.net.disk import Disk, Outside, is_missing

FindLine = Callable[[str, str], "str | None"]  # the text of a file, a key: its data
MOST_FILES = 64  # kept in memory; each has at most disk.LARGEST octets
YOUNG = 50_000_000  # nanoseconds: a file written just now may be written again without a change of its time
_Version = tuple[int, int, int, int]


class HostFiles:
    """The files of one host. `find_line` is lsearch."""

    def __init__(self, disk: Disk, find_line: FindLine) -> None:
        self.disk = disk
        self._find_line = find_line
        self._texts: dict[str, tuple[_Version, str]] = {}  # what was used last comes last

    def line(self, question: FileLine) -> str | Unopened | None:
        """The data of a key."""
        text = self._remembered(question.file)
        return text if isinstance(text, Unopened) else self._find_line(text, question.key)

    def text(self, question: FileText) -> str | Unopened:
        """All of a file."""
        return self._remembered(question.path)

    def entry(self, question: FolderEntry) -> bool | Unopened:
        """Whether the folder has an entry of that name and kind."""
        try:
            folder = self.disk.place(question.folder)
            os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            return unopened(error)
        name = os.fsdecode(question.name.encode("latin-1", "replace"))
        if not name or "\0" in name or "/" in name:
            return False
        try:
            mode = os.lstat(f"{folder}/{name}").st_mode
        except OSError:
            return False
        is_folder = stat.S_ISDIR(mode)
        if question.wanted == "subdir":
            return is_folder and name not in (".", "..")
        return {"file": stat.S_ISREG(mode), "dir": is_folder}.get(question.wanted, True)

    def exists(self, question: Exists) -> bool | Unopened:
        """Whether there is such a path, or why that cannot be found out, in the system's words."""
        try:
            self.disk.status(question.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            return Unopened(error.strerror or str(error), is_missing=False)
        return True

    def _remembered(self, path: str) -> str | Unopened:
        try:
            kept = self._texts.get(path)
            # the same file as before was on this disk before
            if kept is not None and kept[0] == _version(os.stat(self.disk.joined(path))):
                self._texts[path] = self._texts.pop(path)
                return kept[1]
            text, status = self.disk.read(path)
        except OSError as error:
            self._texts.pop(path, None)
            return unopened(error)
        self._texts.pop(path, None)
        is_old = time.time_ns() - status.st_mtime_ns > YOUNG
        if is_old and len(text) == status.st_size:  # those of /proc tell no size
            if len(self._texts) >= MOST_FILES:
                del self._texts[next(iter(self._texts))]
            self._texts[path] = (_version(status), text)
        return text


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def unopened(error: OSError) -> Unopened:
    """Why a file was not opened, in Exim's words."""
    words = error.strerror or str(error)
    if error.errno == errno.EACCES and not isinstance(error, Outside):
        words += f" (euid={os.geteuid()} egid={os.getegid()})"
    return Unopened(words, is_missing(error))

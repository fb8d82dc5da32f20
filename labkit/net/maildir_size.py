"""How large a folder of messages is, and the file maildirsize that remembers it.

WHAT       `folder_size` looks at all files; `SizeFile` keeps the sum of a Maildir, a line for each delivery.
STANDARDS  Maildir++ (courier); Exim specification, chapter "The appendfile transport", "Using tags to record message
           sizes" and maildir_use_size_file
READ NEXT  mailboxes.py
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LARGEST = 5120  # octets of a maildirsize file; then it is made again
FRESH = 15 * 60  # seconds for which one that says "full" is believed
MOST_FILES, DEEPEST = 1_000_000, 20
_FIRST = re.compile(rb"(?:(?P<size>[0-9]{1,18})S)?,?(?:(?P<count>[0-9]{1,18})C)?")
Sizes = tuple[int, int]  # octets, files
SizeInName = Callable[[str], "int | None"]


def folder_size(path: Path, size_in_name: SizeInName = lambda name: None, depth: int = 0) -> Sizes:
    """The octets and the number of files below a folder, without symbolic links."""
    size = count = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
        for entry in entries:
            if count > MOST_FILES:
                break
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEEPEST:
                        below = folder_size(Path(entry.path), size_in_name, depth + 1)
                        size, count = size + below[0], count + below[1]
                elif entry.is_file(follow_symlinks=False):
                    told = size_in_name(entry.name)
                    size += entry.stat(follow_symlinks=False).st_size if told is None else told
                    count += 1
    return size, count


def maildir_size(path: Path, size_in_name: SizeInName, counts: Callable[[str], bool]) -> Sizes:
    """The same for the folders of a Maildir whose names count; a folder inside it is a Maildir, too."""
    size = count = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
        folders = [each for each in entries if each.is_dir(follow_symlinks=False) and counts(each.name)]
        for folder in folders:
            measure = folder_size(Path(folder.path), size_in_name)
            if folder.name not in ("cur", "new"):
                measure = maildir_size(Path(folder.path), size_in_name, counts)
            size, count = size + measure[0], count + measure[1]
    return size, count


class SizeFile:
    """The file maildirsize of a Maildir with these limits. `measure` looks at all messages."""

    def __init__(self, folder: Path, limit: int, file_limit: int, measure: Callable[[], Sizes]) -> None:
        self.path = folder / "maildirsize"
        self.head = b"%dS,%dC\n" % (limit, file_limit)
        self.limits = (limit, file_limit)
        self.measure = measure

    def sizes(self, is_full: Callable[[int, int], bool]) -> Sizes:
        """What it remembers; made again if it is not to be believed, or is old and says that the mailbox is full."""
        with suppress(OSError, ValueError):
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                text, changed = os.read(file, LARGEST), os.fstat(file).st_mtime
            finally:
                os.close(file)
            found = self._read(text)
            if found is not None:
                size, count, lines = found
                if not is_full(size, count) or (lines <= 1 and time.time() - changed <= FRESH):
                    return size, count
        return self._made_again()

    def _read(self, text: bytes) -> tuple[int, int, int] | None:
        first, _, rest = text.partition(b"\n")
        head = _FIRST.fullmatch(first)
        if len(text) >= LARGEST or head is None or not first:
            return None
        if (int(head["size"] or 0), int(head["count"] or 0)) != self.limits:
            return None
        pairs = [tuple(map(int, line.split())) for line in rest.splitlines()]
        size, count = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
        return None if size < 0 or count < 0 else (size, count, len(pairs))

    def _made_again(self) -> Sizes:
        size, count = self.measure()
        new = self.path.with_name("tmp") / f"maildirsize.{os.getpid()}"
        with suppress(OSError):
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(file, self.head + b"%d %d\n" % (size, count))
            finally:
                os.close(file)
            os.rename(new, self.path)
        return size, count

    def add(self, size: int) -> None:
        """One more message."""
        with suppress(OSError):
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            try:
                os.write(file, b"%d 1\n" % size)
            finally:
                os.close(file)

"""Read messages from files: one message, an mbox, a folder of .eml files, a Maildir.

WHAT       `read_messages(path)` yields (source, octets) one by one; source is `inbox.mbox:17` or a file's name.
DECIDES    a file whose first line begins with "From " is an mbox, any other file one message. In an mbox a message
           begins at a From_ line: after an empty line (or at the top), with a time and a year in it. That line is not
           part of the message, nor is the empty line that parts two; of `>From `, `>>From ` one > goes (mboxrd).
           A folder with `cur` and `new` is a Maildir; in others the files *.eml, *.mbox and *.mbx count, below it, too,
           and an mbox whose name has no dot, such as Inbox.
BOUNDED    one message at a time is in memory; one above 50 MB is left out, and that is said; above
           500 MB the rest of its file, too.
PROBLEMS   what cannot be read is told to `on_problem` with the file's name, and reading goes on. Without it: a warning.
SAFE       only regular files are opened; links are not followed inside a folder
STANDARDS  RFC 4155 (mbox)
READ NEXT  labkit/headers/dissect.py
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

LARGEST = 50_000_000  # octets of one message
HOPELESS = 10 * LARGEST  # octets of one message after which an mbox is read no further
LONGEST_PIECE = 1 << 20  # a line is read in pieces of this size, however long it is
MESSAGE_NAMES = (".eml", ".mbox", ".mbx")
_FROM_LINE = re.compile(rb"From .*\d\d:\d\d.*\b\d{4}\b")
_QUOTED_FROM = re.compile(rb">+From ")

OnProblem = Callable[[str], None]


class UnreadableMail(UserWarning):
    """A file or a message that could not be read."""


def read_messages(
    path: str | os.PathLike[str], on_problem: OnProblem | None = None
) -> Iterator[tuple[str, bytes]]:
    """Every message at `path`. Raises FileNotFoundError if there is nothing of that name; all else is told."""
    place = Path(path)
    tell = on_problem or _warn
    if not place.exists():
        raise FileNotFoundError(
            f"{place}: there is no such file or folder; give an .eml, an mbox or a Maildir"
        )
    if not place.is_dir():
        yield from _file(place, place.name, tell)
        return
    files, kinds = (
        (_maildir(place), "cur and new")
        if is_maildir(place)
        else (_files(place, tell), "*.eml, *.mbox and an mbox without a suffix")
    )
    is_empty = True
    for file in files:
        is_empty = False
        if file.is_symlink():
            tell(f"{file.relative_to(place).as_posix()}: a link, and none is followed")
            continue
        yield from _file(file, file.relative_to(place).as_posix(), tell)
    if is_empty:
        tell(f"{place}: no message in this folder; {kinds} are looked at")


def messages_in(
    content: bytes, name: str, on_problem: OnProblem | None = None
) -> Iterator[tuple[str, bytes]]:
    """The same for octets that are at hand, of a file that was uploaded, say."""
    if content.startswith(b"From "):
        yield from _mbox(BytesIO(content), name, on_problem or _warn)
    else:
        yield name, content


def is_maildir(folder: Path) -> bool:
    parts = folder / "cur", folder / "new"
    return all(part.is_dir() and not part.is_symlink() for part in parts)


def _maildir(folder: Path) -> Iterator[Path]:
    for part in ("new", "cur"):
        for name in sorted(os.listdir(folder / part)):
            if not name.startswith("."):
                yield folder / part / name


def _files(folder: Path, tell: OnProblem) -> Iterator[Path]:
    def failed(problem: OSError) -> None:
        tell(f"{problem.filename}: {problem.strerror}")

    for here, folders, names in os.walk(folder, onerror=failed):
        folders.sort()
        if is_maildir(Path(here)):
            folders[:] = [name for name in folders if name not in ("cur", "new", "tmp")]
            yield from _maildir(Path(here))
        for name in sorted(names):
            file = Path(here, name)
            if name.lower().endswith(MESSAGE_NAMES) or ("." not in name and _is_mbox(file)):
                yield file


def _is_mbox(file: Path) -> bool:
    """Whether a file begins as an mbox does; nothing but a regular file is opened."""
    try:
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return False
        with open(file, "rb") as stream:
            return stream.read(5) == b"From "
    except OSError:
        return False


def _file(file: Path, source: str, tell: OnProblem) -> Iterator[tuple[str, bytes]]:
    try:
        found = os.stat(file)
        if not stat.S_ISREG(found.st_mode):
            tell(f"{source}: not a regular file")
            return
        with open(file, "rb") as stream:
            is_mbox = stream.read(5) == b"From "
            stream.seek(0)
            if is_mbox:
                yield from _mbox(stream, source, tell)
            elif found.st_size > LARGEST:
                tell(
                    f"{source}: {found.st_size:,} octets are too many for one message; the limit is {LARGEST:,}"
                )
            else:
                yield source, stream.read(LARGEST)
    except OSError as problem:
        tell(f"{source}: {problem.strerror or problem}")


def _mbox(stream: BinaryIO, source: str, tell: OnProblem) -> Iterator[tuple[str, bytes]]:
    number, after_empty, at_line_start = 0, True, True
    message = _Growing()
    while piece := stream.readline(LONGEST_PIECE):
        if at_line_start and after_empty and (number == 0 or _FROM_LINE.match(piece)):
            if number:
                yield from message.finished(f"{source}:{number}", tell)
            number += 1
            message = _Growing()
            after_empty, at_line_start = False, piece.endswith(b"\n")
            message.skips_line = not at_line_start
            continue
        if message.skips_line:  # the rest of a From_ line without end
            message.skips_line = not piece.endswith(b"\n")
        else:
            message.add(piece[1:] if at_line_start and _QUOTED_FROM.match(piece) else piece)
            if message.size > HOPELESS:
                tell(f"{source}:{number}: more than {HOPELESS:,} octets without an end; reading ends here")
                return
        after_empty = at_line_start and piece in (b"\n", b"\r\n")
        at_line_start = piece.endswith(b"\n")
    if number:
        yield from message.finished(f"{source}:{number}", tell)


class _Growing:
    """A message while it is read. What is too big is counted and not kept."""

    def __init__(self) -> None:
        self.skips_line = False
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= LARGEST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def finished(self, source: str, tell: OnProblem) -> Iterator[tuple[str, bytes]]:
        if self.size > LARGEST:
            tell(f"{source}: {self.size:,} octets are too many for one message; the limit is {LARGEST:,}")
            return
        if len(self._pieces) > 1 and self._pieces[-1] in (b"\n", b"\r\n"):
            self._pieces.pop()
        yield source, b"".join(self._pieces)


def _warn(words: str) -> None:
    warnings.warn(words, UnreadableMail, stacklevel=3)

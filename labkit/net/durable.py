"""Files that survive a crash: whole texts, new names, one owner.

WHAT       `write_all`, `sync_folder`, `replace_file` and `read_regular`; `take_lock` for a folder that has one owner.
RULES      a file is on disk when it was synced; its name, or that a name is gone, when its folder was.
           `replace_file` leaves the old text or the new one, whatever happens.
READ NEXT  spool_journal.py
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o640, 0o750  # as Exim's


class NotRegular(OSError):
    """A link, a folder, a pipe where a file should be."""


class SpoolBusy(OSError):
    """Another process owns this folder; the text names it and says what can be done."""

    def __str__(self) -> str:
        return str(self.strerror)


def write_all(descriptor: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_all_at(descriptor: int, text: bytes, position: int) -> None:
    rest = memoryview(text)
    while rest:
        written = os.pwrite(descriptor, rest, position)
        rest, position = rest[written:], position + written


def sync_data(descriptor: int) -> None:
    """Bring to disk what was written to a file whose length stays. Raises OSError."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folder(folder: Path | int) -> None:
    """Make new names, and names taken away, durable: syncing a file does not do that. Raises OSError."""
    descriptor = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        if descriptor is not folder:
            os.close(descriptor)


def open_new(path: Path, flags: int = os.O_EXCL) -> int:
    """A file to write to, with the mode of the spool whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def replace_file(path: Path, text: bytes, temporary: Path, *, synced: bool = True) -> None:
    """Give a file a new content, in one step: a crash leaves the old one or the new one. Raises OSError.

    Without `synced` that holds while the machine runs on: for what can be found out again.
    """
    remove_file(temporary)
    try:
        descriptor = open_new(temporary)
        try:
            write_all(descriptor, text)
            if synced:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def sync_file(path: Path) -> None:
    """Bring to disk what was written to a file before. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_regular(path: Path) -> bytes:
    """The content of a file. Raises OSError: NotRegular for what is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise NotRegular(errno.EINVAL, "not a regular file", path) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegular(errno.EINVAL, "not a regular file", path)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def remove_file(path: Path) -> None:
    """Harmless if there is none."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def make_folder(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(FOLDER_MODE)


def take_lock(path: Path) -> int:
    """Lock a folder by flock on a file in it: unlike a POSIX lock, it is not lost when somebody here reads the file.

    Returns its descriptor. Raises SpoolBusy, OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            remedy = "close that Spool" if holder == str(os.getpid()) else f"stop it (kill {holder})"
            words = (
                f"the spool {path.parent} belongs to process {holder}: {remedy} first, or use another folder"
            )
            raise SpoolBusy(errno.EAGAIN, words) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def release_lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)

"""A host's disk: paths as the host knows them, opened below a folder.

WHAT       `Disk(root)` reads a file and looks for a path; /etc/aliases is root/etc/aliases.
           The command line has the root "/".
SAFE       a path with `..` and a symbolic link never leave `root`; what is no regular file is not opened, so a FIFO
           hangs nobody; a file of more than LARGEST octets is not read.
OCTETS     a path and a text are octets, as latin-1.
READ NEXT  host_files.py
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST = 16_000_000  # octets: as much as a configuration may have
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class NotAFile(OSError):
    """It is there and no regular file."""


class Outside(PermissionError):
    """It is not on this host's disk."""


class Disk:
    """What a host sees below `root`. Relative paths begin at `beside`; None: there are none."""

    def __init__(self, root: Path, beside: Path | None = None) -> None:
        self.root, self.beside = root, beside
        self.is_whole = root == Path("/")  # the machine's own: nothing can leave it
        self._prefix = "" if self.is_whole else str(root)

    def place(self, path: str) -> str:
        """Where it really is. Raises OSError: ENOENT for what cannot be a path, Outside for what is not this host's."""
        if "\0" in path or not path or (not path.startswith("/") and self.beside is None):
            raise problem(errno.ENOENT, path)
        found = self.joined(path)
        if self.is_whole:
            return found
        if ".." in path.split("/"):
            raise Outside(errno.EACCES, "a path with .. leaves the host's disk", path)
        if not is_below(os.path.realpath(found), os.path.realpath(self.root)):
            raise Outside(errno.EACCES, "a symbolic link leaves the host's disk", path)
        return found

    def joined(self, path: str) -> str:
        """The same, of a path that is known to be this host's."""
        name = os.fsdecode(path.encode("latin-1", "replace"))
        return f"{self._prefix}{name}" if name[0] == "/" else f"{self.beside}/{name}"

    def status(self, path: str, *, follows: bool = True) -> os.stat_result:
        """As stat or lstat. Raises OSError."""
        return os.stat(self.place(path), follow_symlinks=follows)

    def read(self, path: str) -> tuple[str, os.stat_result]:
        """The text of a regular file, and what it was when it was read. Raises OSError."""
        # a FIFO would keep us waiting for a writer
        file = os.open(self.place(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise NotAFile(errno.EINVAL, "not a regular file", path)
            if status.st_size > LARGEST:
                raise problem(errno.EFBIG, path)
            with open(file, "rb", closefd=False) as opened:
                octets = opened.read(LARGEST + 1)
        finally:
            os.close(file)
        if len(octets) > LARGEST:  # it grows while we read, or does not tell its size
            raise problem(errno.EFBIG, path)
        return octets.decode("latin-1"), status


def is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def problem(number: int, path: str) -> OSError:
    """The error that the system would give."""
    return OSError(number, os.strerror(number), path)


def is_missing(error: OSError) -> bool:
    return error.errno in _MISSING

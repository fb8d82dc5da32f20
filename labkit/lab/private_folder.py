"""The folder of a world that nobody wants to keep: made for it, and gone with it.

WHY        a kernel that is killed cannot tidy up; the next world does it for all that are dead.
MEMORY     `in_memory(octets)` is where such a folder may lie in memory: nobody waits for a disk there
LOCK       a folder that is kept serves one world at a time
READ NEXT  world.py
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

from labkit.lab.lifetime import began
from labkit.mail.plainly import SaidPlainly

PREFIX = "labkit-world-"
MEMORY = Path("/dev/shm")  # where Linux has files in memory
PART = 4  # of what is free there, one in so many may be taken
OLD = 600.0  # seconds
OWNER = "pid"  # a file that names the process that uses the folder, and when it began


class PrivateFolder:
    """A new folder for this process. `remove` takes it away; so does the end of this object or of the process."""

    def __init__(self, parent: Path | None = None) -> None:
        place = parent or Path(tempfile.gettempdir())
        _sweep(place)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        (self.path / OWNER).write_text(f"{os.getpid()} {began(os.getpid())}", encoding="ascii")
        self.remove = weakref.finalize(self, _remove, self.path, os.getpid())


def in_memory(octets: int) -> Path | None:
    """The place for folders in memory, if this machine has one with plenty of room for so many octets."""
    with contextlib.suppress(OSError):
        if os.access(MEMORY, os.W_OK | os.X_OK) and octets * PART <= shutil.disk_usage(MEMORY).free:
            return MEMORY
    return None


class FolderInUse(SaidPlainly, OSError):
    """Another world has the folder."""


class FolderLock:
    """Holds the folder of a world for this one, until `close` or the end of this object. Raises FolderInUse."""

    def __init__(self, folder: Path) -> None:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        self.close = weakref.finalize(self, os.close, lock)
        try:
            import fcntl  # not on every system

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            return
        except OSError:
            owner = os.read(lock, 20).decode("ascii", "replace")
            self.close()
            raise FolderInUse(
                f"{folder} belongs to process {owner}, where another world runs: stop that one, or take another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked copy of it
        shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the folders of ours whose processes are gone.

    One without a name in it was made again by a program that ended later than its world: it goes when it is old.
    """
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if _is_mine(path) and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    if (path / OWNER).exists():
        pid, _, when = (path / OWNER).read_text(encoding="ascii").partition(" ")
        return began(int(pid)) != (when or "a time")  # nothing began at no time
    return time.time() - path.lstat().st_mtime > OLD


def _is_mine(path: Path) -> bool:
    """Root's too are those of the user that it runs the real Exim as."""
    return not hasattr(os, "getuid") or os.getuid() in (0, path.lstat().st_uid)

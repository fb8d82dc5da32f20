"""The folder of a world that nobody wants to keep: made for it, and gone with it.

WHY        a kernel that is killed cannot tidy up; the next world does it for all that are dead.
READ NEXT  world.py
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from pathlib import Path

PREFIX = "labkit-world-"
OWNER = "pid"  # a file that names the process that uses the folder


class PrivateFolder:
    """A new folder for this process. `remove` takes it away; so does the end of this object or of the process."""

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        (self.path / OWNER).write_text(str(os.getpid()), encoding="ascii")
        self.remove = weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked copy of it
        shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the folders of ours whose processes are gone."""
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if _is_mine(path) and not _is_alive(int((path / OWNER).read_text(encoding="ascii"))):
                shutil.rmtree(path, ignore_errors=True)


def _is_mine(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

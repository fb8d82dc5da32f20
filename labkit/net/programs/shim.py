"""Build the library that puts other programs into the lab.

WHAT       `build_shim` compiles labshim.c, which lies beside this file, and gives the path of the result.
DOES       compiles on first use, into the user's cache folder; later calls only find it there. Two processes may
           do so at once: the result appears under its name in one step, and is never changed after.
RULES      the name has a hash of all that the result depends on; a running program keeps what it has mapped.
STANDARDS  XDG Base Directory Specification ($XDG_CACHE_HOME)
READ NEXT  labshim.c, labnet.py
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("labshim.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra")
REMEDY = "install gcc and the C library's headers (Debian: gcc libc6-dev; conda: gcc_linux-64)"


class ShimUnavailable(RuntimeError):
    """Other programs cannot be put into the lab here; the text is one sentence with the remedy."""


def build_shim() -> Path:
    """The shared object for LD_PRELOAD, compiled if it was not yet. Raises ShimUnavailable."""
    libc = _expect_glibc()
    source = SOURCE.read_bytes()
    facts = "\n".join((platform.machine(), libc, *FLAGS)).encode()
    name = f"labshim-{hashlib.sha256(source + facts).hexdigest()[:16]}.so"
    for folder in _folders():
        if _is_ours(folder / name):
            return folder / name
    for folder in _folders():
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            return _compile(folder, name)
        except OSError:  # a home that cannot be written: the next folder
            continue
    raise ShimUnavailable(
        "No folder can be written for the compiled shim: set XDG_CACHE_HOME to one that can be."
    )


def _expect_glibc() -> str:
    if not sys.platform.startswith("linux"):
        raise ShimUnavailable(
            "Other programs can live in the lab only on Linux: use a container or a virtual machine."
        )
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):  # musl has no such name
        libc = None
    if libc is None:
        raise ShimUnavailable(
            "Other programs can live in the lab only with glibc: use Debian, Ubuntu or Fedora."
        )
    return libc


def _folders() -> list[Path]:
    """Where the result may be, best first. A folder for temporary files is everybody's: one of our own inside."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    folders = [Path(cache_home) / "labkit"] if os.path.isabs(cache_home) else []
    home = os.path.expanduser("~")
    if not folders and os.path.isabs(home):
        folders.append(Path(home, ".cache", "labkit"))
    folders.append(Path(tempfile.gettempdir(), f"labkit-{os.geteuid()}"))
    return [folder for folder in folders if _serves_the_loader(folder)]


def _serves_the_loader(folder: Path) -> bool:
    """False where nothing can be executed; and for root below a closed home, as its programs run as another user.

    The loader only warns of what it cannot map, and the program would run outside the lab.
    """
    existing = [place for place in (folder, *folder.parents) if place.exists()]
    if os.statvfs(existing[0]).f_flag & os.ST_NOEXEC:
        return False
    return os.geteuid() != 0 or all(place.stat().st_mode & stat.S_IXOTH for place in existing)


def _is_ours(path: Path) -> bool:
    """True if it is there and nobody else can have put it there: what it holds runs in our programs."""
    try:
        return path.stat().st_uid in (0, os.geteuid()) and path.parent.stat().st_uid in (0, os.geteuid())
    except OSError:
        return False


def _compile(folder: Path, name: str) -> Path:
    compiler = next((found for one in COMPILERS if (found := shutil.which(one))), None)
    if compiler is None:
        raise ShimUnavailable(f"There is no C compiler, which other programs in the lab need: {REMEDY}.")
    if folder.stat().st_uid not in (0, os.geteuid()):
        raise PermissionError(f"{folder} is somebody else's")
    handle, draft = tempfile.mkstemp(suffix=".so", prefix=".labshim-", dir=folder)
    os.close(handle)
    try:
        words = [compiler, *FLAGS, "-o", draft, str(SOURCE), "-ldl"]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).splitlines()
            first = next(
                (line for line in lines if "error" in line), lines[0] if lines else "no reason given"
            )
            raise ShimUnavailable(f"The shim does not compile ({first.strip()}): {REMEDY}.")
        os.chmod(draft, 0o755)
        os.replace(draft, folder / name)
    finally:
        Path(draft).unlink(missing_ok=True)
    return folder / name

"""The doorplate of a running world: a small file that tells other programs who lives in it.

WHAT       written when a world starts, into the folder .lab of the student's working copy or else into a folder of this
           user for running programs; removed when the world stops. `read_doorplates` finds those whose kernel is alive.
           `./lab shell` and `labkit run` read them.
READ NEXT  world.py
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.lab.lifetime import began

LARGEST_PLATE = 1_000_000  # octets
KEPT = Path(".lab")  # in the student's working copy: what outlives a world


@dataclass(frozen=True, slots=True)
class Door:
    """A place where a host listens: its name, lab address and port, and where that really is."""

    name: str
    address: str
    port: int
    real_address: str
    real_port: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A host or laptop on which a program can be run.

    `real_address` is where its calls really come from; `labnet` the file that puts a program there, `login` who sits
    there; `disk` the folder that is its disk (empty for a laptop); `exim` the command line of the host's Exim, empty
    where none runs.
    """

    name: str
    role: str
    address: str
    real_address: str
    labnet: str
    login: str
    disk: str = ""
    exim: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Doorplate:
    """A running world, for people and programs outside of it. The first machine is the student's laptop.

    `pid` and `began` are those of its kernel.
    """

    pid: int
    began: str
    title: str
    doors: tuple[Door, ...]
    machines: tuple[Machine, ...]

    def machine(self, name: str) -> Machine | None:
        """The machine of that name or address; `mx2.st11` will do for mx2.st11.sne21.test."""
        for machine in self.machines:
            if name in (machine.name, machine.address) or machine.name.startswith(f"{name}."):
                return machine
        return None


def plate_folders() -> list[Path]:
    """Where doorplates may be: the working copy's folder, if we are in one, and this user's for running programs."""
    return [folder for folder in (KEPT.absolute(), _runtime_folder()) if folder.is_dir()]


def _runtime_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime) / "labkit"
    return Path(tempfile.gettempdir()) / f"labkit-of-{os.getuid() if hasattr(os, 'getuid') else 'me'}"


def _own_folder() -> Path:
    """The folder for a new plate. Raises OSError if somebody else can write there."""
    if KEPT.is_dir():
        folder = KEPT.absolute()
    else:
        folder = _runtime_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_ours(folder):
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def is_ours(path: Path) -> bool:
    """True for a file or folder, no link, that only we (or root) can have made or changed."""
    if not hasattr(os, "getuid"):
        return True
    found = path.lstat()
    return (
        found.st_uid in (os.getuid(), 0)
        and not stat.S_ISLNK(found.st_mode)
        and not found.st_mode & stat.S_IWOTH
    )


def write_doorplate(
    title: str, doors: Sequence[Door], machines: Sequence[Machine], path: Path | None = None
) -> Path:
    """Write the doorplate of a world of this process, or write the one at `path` anew.

    Returns the file, to be removed when the world stops. Raises OSError.
    """
    place = path or _free_place(_own_folder())
    plate = Doorplate(os.getpid(), began(os.getpid()), title, tuple(doors), tuple(machines))
    handle, fresh = tempfile.mkstemp(prefix=".world-", dir=place.parent)
    with open(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(plate), file, indent=1)
    os.replace(fresh, place)
    return place


def _free_place(folder: Path) -> Path:
    number = 1
    while (place := folder / f"world-{os.getpid()}-{number}.json").exists():
        number += 1
    return place


def read_doorplates(*folders: Path) -> list[Doorplate]:
    """The worlds that run now: those of the first folder, newest first, and so on.

    Plates of kernels that are gone are removed. What somebody else can have put there is passed over: a plate names
    what we load into our programs.
    """
    found: list[tuple[int, int, Doorplate]] = []
    for place, folder in enumerate(folders):
        for path in folder.glob("world-*.json"):
            try:
                if not is_ours(folder) or not is_ours(path) or path.lstat().st_size > LARGEST_PLATE:
                    continue
                if not stat.S_ISREG(path.lstat().st_mode):
                    continue
                written, plate = path.lstat(), _plate(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if began(plate.pid) == plate.began:
                found.append((place, -written.st_mtime_ns, plate))
            else:
                path.unlink(missing_ok=True)
    return [plate for _, _, plate in sorted(found, key=lambda row: row[:2])]


def _plate(text: str) -> Doorplate:
    known = json.loads(text)
    doors = tuple(Door(**door) for door in known["doors"])
    machines = tuple(Machine(**{**each, "exim": tuple(each["exim"])}) for each in known["machines"])
    return Doorplate(int(known["pid"]), str(known["began"]), str(known["title"]), doors, machines)

"""The doorplate of a running world: a small file that tells other programs who lives in it.

WHAT       written when a world starts, into the folder .lab of the student's working copy or else into a folder of this
           user for running programs; removed when the world stops. `read_doorplates` finds those whose kernel is alive.
           `./lab shell` and `labkit run` read them.
READ NEXT  world.py
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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
    there; `exim` the command line of the host's Exim, empty where none runs.
    """

    name: str
    role: str
    address: str
    real_address: str
    labnet: str
    login: str
    exim: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Doorplate:
    """A running world, for people and programs outside of it. The first machine is the student's laptop."""

    pid: int
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
    """The folder for a new plate. Raises OSError if it is somebody else's."""
    if KEPT.is_dir():
        return KEPT.absolute()
    folder = _runtime_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def write_doorplate(title: str, doors: Sequence[Door], machines: Sequence[Machine]) -> Path:
    """Write the doorplate of a world of this process; returns the file, to be removed when the world stops.

    Raises OSError.
    """
    folder = _own_folder()
    number = 1
    while (path := folder / f"world-{os.getpid()}-{number}.json").exists():
        number += 1
    plate = Doorplate(os.getpid(), title, tuple(doors), tuple(machines))
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(plate), indent=1), encoding="utf-8")
    os.replace(fresh, path)
    return path


def read_doorplates(*folders: Path) -> list[Doorplate]:
    """The worlds that run now: those of the first folder, newest first, and so on.

    Plates of kernels that are gone are removed.
    """
    found: list[tuple[int, int, Doorplate]] = []
    plates = [(place, path) for place, folder in enumerate(folders) for path in folder.glob("world-*.json")]
    for place, path in plates:
        try:
            written = path.stat()
            if hasattr(os, "getuid") and written.st_uid not in (os.getuid(), 0):
                continue  # it names programs that we would run
            known = json.loads(path.read_text(encoding="utf-8"))
            doors = tuple(Door(**door) for door in known["doors"])
            machines = tuple(Machine(**{**each, "exim": tuple(each["exim"])}) for each in known["machines"])
            plate = Doorplate(int(known["pid"]), str(known["title"]), doors, machines)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if _is_alive(plate.pid):
            found.append((place, -written.st_mtime_ns, plate))
        else:
            path.unlink(missing_ok=True)
    return [plate for _, _, plate in sorted(found, key=lambda row: row[:2])]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

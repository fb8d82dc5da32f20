"""The doorplate of a running world: a small file that tells other programs where its hosts really are.

WHAT       written into the folder .lab of the student's working copy when a world starts, removed when it stops;
           `read_doorplates` finds those whose kernel is alive. `./lab shell` reads them.
READ NEXT  world.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Door:
    """A place where a host listens: its name, lab address and port, and where that really is."""

    name: str
    address: str
    port: int
    real_address: str
    real_port: int


@dataclass(frozen=True, slots=True)
class Doorplate:
    """A running world, for people and programs outside of it. `callers`: name -> real source address."""

    pid: int
    title: str
    doors: tuple[Door, ...]
    callers: Mapping[str, str]


def write_doorplate(folder: Path, title: str, doors: Sequence[Door], callers: Mapping[str, str]) -> Path:
    """Write the doorplate of this process's world; returns the file, to be removed when the world stops."""
    path = folder / f"world-{os.getpid()}.json"
    plate = Doorplate(os.getpid(), title, tuple(doors), dict(callers))
    path.write_text(json.dumps(asdict(plate), indent=1), encoding="utf-8")
    return path


def read_doorplates(folder: Path) -> list[Doorplate]:
    """The worlds that run now, newest first; plates of kernels that are gone are removed."""
    found: list[tuple[float, Doorplate]] = []
    for path in folder.glob("world-*.json"):
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            doors = tuple(Door(**door) for door in known["doors"])
            plate = Doorplate(int(known["pid"]), str(known["title"]), doors, dict(known["callers"]))
            written = path.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if _is_alive(plate.pid):
            found.append((written, plate))
        else:
            path.unlink(missing_ok=True)
    return [plate for _, plate in sorted(found, key=lambda row: -row[0])]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

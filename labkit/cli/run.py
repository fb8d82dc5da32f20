"""`labkit run COMMAND…`: a program, not made for the lab, lives in it.

WHAT       finds the world that runs, and starts the program on one of its machines: the student's laptop, or the one
           that `--at NAME` names. It calls from that machine's address; names, ports and time are the lab's.
HOW        a small library is loaded before the program's own (labkit/net/programs/labshim.c).
CANNOT     programs that load no libraries (linked statically) or that run as another user (setuid)
READ NEXT  shell.py
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.lab.doorplate import Doorplate, Machine, is_ours, plate_folders, read_doorplates
from labkit.net.programs.labnet import lab_environment
from labkit.net.programs.shim import ShimUnavailable, build_shim

NO_WORLD = (
    "No world runs: open a notebook and run its first cells (or `await partners().start()` in Python), "
    "then try again."
)
# Programs of Exim that would look at this machine's mail system instead of the lab's
KEPT_AWAY = {
    "exiwhat": "it would signal every Exim process of this machine. "
    "In the lab: await host.exim('-bp'), or host.log()",
    "exinext": "it reads this machine's configuration. In the lab: exim_dumpdb, or await host.exim('-brt', ADDRESS)",
}


_NO_DAEMON = """\
for word in "$@"; do
    case $word in -bd* | -bw* | -q*[0-9]* | -inetd)
        echo "exim $word: the lab starts and stops this host's daemon, and runs its queue in lab time:" >&2
        echo "await host.start(), host.stop(), host.reload() in the notebook" >&2
        exit 1 ;;
    esac
done
"""


class CannotRun(RuntimeError):
    """A program that cannot live in the lab; the text says why and what to do."""


def run(arguments: Sequence[str]) -> int:
    """Become that program. Returns only for an error: 2 for a wrong command line, else 1, 126 or 127."""
    words = list(arguments)
    place = None
    if words[:1] == ["--at"] and len(words) > 1:
        place, words = words[1], words[2:]
    if not words or words[0].startswith("--at"):
        print("usage: labkit run [--at MACHINE] COMMAND...", file=sys.stderr)
        return 2
    plates = read_doorplates(*plate_folders())
    try:
        machine = choose(plates, place)
        environment = life_on(machine)
        program = find_program(words[0], environment["PATH"])
        sys.stdout.flush()
        if machine.disk and place is not None:
            os.chdir(machine.disk)  # the host's own files
        os.execve(program, words, environment)
    except (CannotRun, ShimUnavailable) as problem:
        print(f"labkit run: {problem}", file=sys.stderr)
        return 1
    except FileNotFoundError:
        print(f"labkit run: there is no program {words[0]}", file=sys.stderr)
        return 127
    except OSError as problem:
        print(f"labkit run: {words[0]} cannot be run: {problem.strerror}", file=sys.stderr)
        return 126


def choose(plates: Sequence[Doorplate], place: str | None) -> Machine:
    """The machine to run on. Raises CannotRun."""
    if not plates:
        raise CannotRun(NO_WORLD)
    if place is None:
        return plates[0].machines[0]
    machine = next((found for plate in plates if (found := plate.machine(place))), None)
    if machine is None:
        names = ", ".join(machine.name for machine in plates[0].machines)
        raise CannotRun(f"no machine {place} in the lab; there are {names}")
    return machine


def life_on(machine: Machine, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a program on that machine. Raises ShimUnavailable."""
    shim = lab_environment(
        labnet=Path(machine.labnet),
        shim=build_shim(),
        address=machine.address,
        name=machine.name,
        login=machine.login,
    )
    tools = _tools(machine)
    disk = Path(machine.disk) if machine.disk else None
    path = os.pathsep.join(
        [str(tools), str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    life = {**environment, **shim, "PATH": path, "USER": machine.login, "LOGNAME": machine.login, "TZ": "UTC"}
    if disk is None:
        return life
    home = disk / "home" / machine.login
    return {**life, "HOME": str(home if home.is_dir() else disk)}


def _tools(machine: Machine) -> Path:
    """A folder that comes first on PATH: the host's own exim, and a word for what must not be run here."""
    folder = Path(machine.labnet).with_suffix(".bin")  # beside what the world keeps for programs
    for place in (folder.parent.parent, folder.parent, Path(machine.labnet)):
        if not place.exists() or not is_ours(place):
            raise CannotRun(
                f"the world's folder {folder.parent} is gone or somebody else's: start the world again"
            )
    folder.mkdir(exist_ok=True)
    if not is_ours(folder):
        raise CannotRun(f"{folder} is somebody else's")
    scripts = {name: f'echo "{name}: not in the lab: {why}" >&2\nexit 1\n' for name, why in KEPT_AWAY.items()}
    if machine.exim:
        command = " ".join(f"'{word}'" for word in machine.exim)
        scripts |= dict.fromkeys(("exim", "exim4", "sendmail"), f'{_NO_DAEMON}exec {command} "$@"\n')
        scripts["mailq"] = f"exec {command} -bp\n"
    else:
        why = f"no real Exim runs on {machine.name}: choose a host that has one with --at"
        scripts |= {
            name: f'echo "{name}: {why}" >&2\nexit 1\n' for name in ("exim", "exim4", "sendmail", "mailq")
        }
    for name, text in scripts.items():
        script = folder / name
        handle, fresh = tempfile.mkstemp(dir=folder)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{text}")
        os.chmod(fresh, 0o755)
        os.replace(fresh, script)
    return folder


def find_program(name: str, path: str) -> str:
    """The file of a program. Raises FileNotFoundError, and CannotRun for one that the lab cannot reach."""
    found = shutil.which(name, path=os.pathsep.join([path, "/usr/local/sbin", "/usr/sbin", "/sbin"]))
    if found is None:
        raise FileNotFoundError(name)
    found = os.path.abspath(found)  # it is started from the host's disk
    if os.stat(found).st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise CannotRun(
            f"{found} runs as another user (setuid), so it would not live in the lab; copy it without that bit"
        )
    if is_static(Path(found)):
        raise CannotRun(
            f"{found} is linked statically: it loads no libraries, so the lab cannot reach it; use another program"
        )
    return found


def is_static(program: Path) -> bool:
    """True for an ELF program without an interpreter (PT_INTERP): the loader, which would load the shim, never runs."""
    with program.open("rb") as file:
        head = file.read(64)
        if head[:5] != b"\x7fELF\x02":  # a script, or not of 64 bits
            return False
        start, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        file.seek(start)
        table = file.read(size * count)
    return 3 not in {struct.unpack_from("<I", table, place)[0] for place in range(0, len(table), size)}

"""`labkit shell`: a terminal beside the lab.

WHAT       says which world runs and where its hosts really are, puts labkit's environment first on PATH, and starts
           the user's shell.
NOT YET    programs in it use the real addresses and ports; the lab's own come with the preload shim
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from labkit.lab.doorplate import Doorplate, read_doorplates


def shell() -> int:
    """Run a shell until it ends; returns its exit status."""
    plates = read_doorplates(Path.cwd() / ".lab")
    print(describe(plates[0]) if plates else NO_WORLD)
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    program = environment.get("SHELL") or "/bin/sh"
    try:
        return subprocess.run([program], env=environment, check=False).returncode
    except OSError as problem:
        print(
            f"labkit shell: cannot start {program}: {problem.strerror}; set SHELL to your shell",
            file=sys.stderr,
        )
        return 1


NO_WORLD = "No world runs in this folder: open a notebook, run its first cell, and start the shell again."


def describe(plate: Doorplate) -> str:
    """Where everything is, and how to call it."""
    lines = [f"The lab runs: {plate.title}", ""]
    lines += (
        f"  {door.name} [{door.address}] port {door.port:<4} is really {door.real_address} port {door.real_port}"
        for door in plate.doors
    )
    lines += ["", "Call from an address of the lab, or the servers take you for themselves and refuse:"]
    lines += (f"  {name} is really {address}" for name, address in plate.callers.items())
    mail = next((door for door in plate.doors if door.port == 25), None)
    names = next((door for door in plate.doors if door.port == 53), None)
    caller = next(iter(plate.callers.values()), "")
    if mail is not None:
        lines += ["", f"  nc -C -s {caller} {mail.real_address} {mail.real_port}"]
    if names is not None:
        lines.append(f"  dig @{names.real_address} -p {names.real_port} {mail.name if mail else ''}")
    lines += ["", "Leave with exit."]
    return "\n".join(lines)

"""`labkit shell`: a terminal inside the lab.

WHAT       a shell on the student's laptop (or `--at NAME`): swaks, dig, openssl, nc and scripts that are started in it
           call from that machine's address, find the lab's names, and use ports 25, 53, 465, 587 as on the internet.
WITHOUT    a C compiler the small library that makes this possible cannot be built; then the shell only says where
           everything really is.
READ NEXT  labkit/net/programs/labshim.c
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from labkit.cli.run import NO_WORLD, CannotRun, choose, life_on
from labkit.lab.doorplate import Doorplate, Machine, plate_folders, read_doorplates
from labkit.net.programs.shim import ShimUnavailable


def shell(arguments: Sequence[str] = ()) -> int:
    """Run a shell until it ends; returns its exit status."""
    if list(arguments[:1]) not in ([], ["--at"]) or len(arguments) not in (0, 2):
        print("usage: labkit shell [--at MACHINE]", file=sys.stderr)
        return 2
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    disk: str | None = None
    plates = read_doorplates(*plate_folders())
    if not plates:
        print(NO_WORLD)
    else:
        try:
            machine = choose(plates, arguments[1] if arguments else None)
            environment, disk = life_on(machine), machine.disk or None
            print(inside(plates[0], machine))
        except ShimUnavailable as problem:
            print(f"{problem}\n\n{outside(plates[0])}")
        except CannotRun as problem:
            print(f"labkit shell: {problem}", file=sys.stderr)
            return 1
    sys.stdout.flush()
    program = environment.get("SHELL") or "/bin/sh"
    try:
        return subprocess.run([program], env=environment, cwd=disk, check=False).returncode
    except OSError as problem:
        print(
            f"labkit shell: cannot start {program}: {problem.strerror}; set SHELL to your shell",
            file=sys.stderr,
        )
        return 1


def inside(plate: Doorplate, machine: Machine) -> str:
    """Who is there, seen from within the lab."""
    lines = [f"The lab runs: {plate.title}", "", f"You are on {machine.name} [{machine.address}]. There are:"]
    ports: dict[tuple[str, str], list[str]] = {}
    for door in plate.doors:
        ports.setdefault((door.name, door.address), []).append(str(door.port))
    lines += (f"  {name} [{address}] port {', '.join(found)}" for (name, address), found in ports.items())
    mail = next((door for door in plate.doors if door.port == 25), None)
    if mail is not None:
        lines += [
            "",
            "Try:",
            f"  dig {mail.name}",
            f"  nc -C {mail.name} 25",
            f"  swaks --server {mail.name} --to somebody",
        ]
    if machine.disk:
        lines += ["", f"Its disk is {machine.disk}: etc, home, var are there, and you are in it."]
    return "\n".join([*lines, "", "Leave with exit."])


def outside(plate: Doorplate) -> str:
    """Where everything really is, and how to call it from a shell that is not in the lab."""
    lines = [f"The lab runs: {plate.title}", ""]
    lines += (
        f"  {door.name} [{door.address}] port {door.port:<4} is really {door.real_address} port {door.real_port}"
        for door in plate.doors
    )
    lines += ["", "Call from an address of the lab, or the servers take you for themselves and refuse:"]
    lines += (f"  {machine.name} is really {machine.real_address}" for machine in plate.machines)
    mail = next((door for door in plate.doors if door.port == 25), None)
    names = next((door for door in plate.doors if door.port == 53), None)
    if mail is not None:
        lines += ["", f"  nc -C -s {plate.machines[0].real_address} {mail.real_address} {mail.real_port}"]
    if names is not None:
        lines.append(f"  dig @{names.real_address} -p {names.real_port} {mail.name if mail else ''}")
    return "\n".join([*lines, "", "Leave with exit."])

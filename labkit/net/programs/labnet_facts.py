"""Read the file of facts that LABNET names: the lab, as a program in a terminal of it finds it.

WHAT       `read_facts(path)` for a program of ours that is its own process; labshim.c reads the file for others.
RULES      a line that cannot be read is left alone, as the shim leaves unknown facts alone.
ALSO       files of labs that labkit has not made: `ports N` moves the ports below 1024 only, and `clock FILE` may name
           a file with seconds to add to the real time, as text, which may change at any moment.
READ NEXT  lab_time.py, ../this_machine.py
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

FIRST_UNPRIVILEGED = 1024  # ports below belong to root
LAST_PORT = 32767  # as in labshim.c
LONGEST_OFFSET = 64  # octets; a page that labkit's own labs share is longer


@dataclass(slots=True)
class Facts:
    """What the file says; labnet.py tells what each fact means."""

    base: int = 0
    addresses: list[str] = field(default_factory=list)
    dns: tuple[str, int] | None = None
    accounts: dict[str, str] = field(default_factory=dict)
    low_ports: int = 0  # added to ports below 1024; then `base` is 0
    clock: Path | None = None
    ticks: int = 0  # microseconds that a look at labkit's own clock takes
    patience: float | None = None  # seconds
    callers: list[int] = field(default_factory=list)

    def real_port(self, port: int) -> int:
        """Where a lab port really is: beyond LAST_PORT every port is its own, as for labshim.c."""
        if port and port < FIRST_UNPRIVILEGED and self.low_ports:
            return port + self.low_ports
        return port + self.base if port and port + self.base <= LAST_PORT else port

    def lab_port(self, real: int) -> int:
        """The other way round."""
        if self.low_ports:
            port = real - self.low_ports
            return port if 0 < port < FIRST_UNPRIVILEGED else real
        return real - self.base if 0 < real - self.base <= LAST_PORT else real

    def seconds_ahead(self) -> float:
        """How far lab time is ahead of real time now, by a clock that says so in text; else 0."""
        try:
            if self.clock is None or self.clock.stat().st_size > LONGEST_OFFSET:
                return 0.0
            ahead = float(self.clock.read_text(encoding="ascii"))
            return 0.0 if os.environ.get("LD_PRELOAD") and _is_nearer(ahead, _moved()) else ahead
        except (OSError, ValueError):
            return 0.0


def _moved() -> float:
    """By how much a library that was loaded before ours has moved this process's clock: a shim of that lab."""
    with open("/proc/stat", encoding="ascii") as file:
        started = next(float(line.split()[1]) for line in file if line.startswith("btime "))
    return time.time() - started - time.clock_gettime(time.CLOCK_BOOTTIME)


def _is_nearer(ahead: float, moved: float) -> bool:
    """Whether it is moved already, rather than not at all."""
    return abs(moved - ahead) < abs(moved)


def read_facts(path: Path) -> Facts:
    """Raises OSError."""
    facts = Facts()
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        name, _, rest = line.partition(" ")
        if name == "base" and rest.isdecimal():
            facts.base = int(rest)
        elif name == "ports" and rest.isdecimal():
            facts.low_ports = int(rest)
        elif name == "ticks" and rest.isdecimal():
            facts.ticks = int(rest)
        elif name == "caller" and rest.isdecimal():
            facts.callers.append(int(rest))
        elif name == "patience" and rest.replace(".", "", 1).isdecimal():
            facts.patience = float(rest)
        elif name == "clock":
            facts.clock = Path(rest)
        elif name == "host":
            facts.addresses.append(rest)
        elif name == "dns":
            address, _, port = rest.rpartition(":")
            facts.dns = (address, int(port)) if port.isdecimal() else None
        elif name == "user":
            login, _, home = rest.partition(" ")
            facts.accounts[login] = home
    if facts.base:
        facts.low_ports = 0
    return facts

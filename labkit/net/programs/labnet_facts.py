"""Read the file of facts that LABNET names: the lab, as a program in a terminal of it finds it.

WHAT       `read_facts(path)` for a program of ours that is its own process; labshim.c reads the file for others.
DECIDES    where a lab port really is: `base N` moves every port, `ports N` (a smaller shim's word) those below 1024.
RULES      a line that cannot be read is left alone, as the shim leaves unknown facts alone.
READ NEXT  lab_time.py, ../this_machine.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LAST_PORT = 32767  # as in labshim.c: above it are the ports of callers
LOW_PORTS = 1024


@dataclass(slots=True)
class Facts:
    """What the file says; labnet.py tells what each fact means."""

    base: int = 0
    moves_low_ports_only: bool = False
    addresses: list[str] = field(default_factory=list)
    dns: tuple[str, int] | None = None
    accounts: dict[str, str] = field(default_factory=dict)
    clock: Path | None = None
    ticks: int = 0
    patience: float | None = None
    callers: list[int] = field(default_factory=list)

    def real_port(self, port: int) -> int:
        """Where a lab port really is."""
        last = LOW_PORTS - 1 if self.moves_low_ports_only else LAST_PORT - self.base
        return port + self.base if port <= last else port


def read_facts(path: Path) -> Facts:
    """Raises OSError."""
    facts = Facts()
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        name, _, rest = line.partition(" ")
        if name in ("base", "ports") and rest.isdecimal():
            facts.base, facts.moves_low_ports_only = int(rest), name == "ports"
        elif name == "host":
            facts.addresses.append(rest)
        elif name == "dns":
            address, _, port = rest.rpartition(":")
            facts.dns = (address, int(port)) if port.isdecimal() else None
        elif name == "user":
            login, _, home = rest.partition(" ")
            facts.accounts[login] = home
        elif name == "clock":
            facts.clock = Path(rest)
        elif name == "ticks" and rest.isdecimal():
            facts.ticks = int(rest)
        elif name == "caller" and rest.isdecimal():
            facts.callers.append(int(rest))
        elif name == "patience":
            facts.patience = _number(rest)
    return facts


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

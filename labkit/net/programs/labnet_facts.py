"""Read the file of facts that LABNET names: the lab, as a program in a terminal of it finds it.

WHAT       `read_facts(path)` for a program of ours that is its own process; labshim.c reads the file for others.
RULES      a line that cannot be read is left alone, as the shim leaves unknown facts alone.
READ NEXT  ../this_machine.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Facts:
    """What the file says; labnet.py tells what each fact means."""

    base: int = 0
    addresses: list[str] = field(default_factory=list)
    dns: tuple[str, int] | None = None
    accounts: dict[str, str] = field(default_factory=dict)


def read_facts(path: Path) -> Facts:
    """Raises OSError."""
    facts = Facts()
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        name, _, rest = line.partition(" ")
        if name == "base" and rest.isdecimal():
            facts.base = int(rest)
        elif name == "host":
            facts.addresses.append(rest)
        elif name == "dns":
            address, _, port = rest.rpartition(":")
            facts.dns = (address, int(port)) if port.isdecimal() else None
        elif name == "user":
            login, _, home = rest.partition(" ")
            facts.accounts[login] = home
    return facts

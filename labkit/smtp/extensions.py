"""What EHLO offers one client: each extension is offered, or it is not.

WHAT       `Extensions`: who runs the machine says before each EHLO what this client is offered; `keywords`: the lines
LIKE EXIM  the order of the lines
STANDARDS  RFC 5321 §4.1.1.1 (EHLO); RFC 1870 (SIZE), 6152 (8BITMIME), 2920 (PIPELINING)
READ NEXT  content.py
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Extensions:
    """What is offered. `commands` are words for commands that not everybody has: ETRN, VRFY, EXPN."""

    eight_bit: bool = True
    pipelining: bool = True
    commands: tuple[str, ...] = ()

    def keywords(self, message_size: int) -> tuple[str, ...]:
        """The lines after the first of the answer to EHLO."""
        found = [f"SIZE {message_size}"]
        if self.eight_bit:
            found.append("8BITMIME")
        found += self.commands
        if self.pipelining:
            found.append("PIPELINING")
        return (*found, "HELP")

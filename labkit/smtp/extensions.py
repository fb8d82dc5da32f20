"""What EHLO offers one client: each extension is offered, or it is not.

WHAT       `Extensions`: who runs the machine says before each EHLO what this client is offered; `keywords`: the lines
LIKE EXIM  the order of the lines
STANDARDS  RFC 5321 §4.1.1.1 (EHLO); RFC 1870 (SIZE), 6152 (8BITMIME), 3461 (DSN), 2920 (PIPELINING),
           4954 (AUTH), 3030 (CHUNKING), 3207 (STARTTLS)
READ NEXT  content.py
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Extensions:
    """What is offered. `commands` are words for commands that not everybody has: ETRN, VRFY, EXPN."""

    eight_bit: bool = True
    dsn: bool = False
    commands: tuple[str, ...] = ()
    pipelining: bool = True
    mechanisms: tuple[str, ...] = ()  # of AUTH
    chunking: bool = False
    starttls: bool = False

    def keywords(self, message_size: int) -> tuple[str, ...]:
        """The lines after the first of the answer to EHLO; `message_size` 0: no limit is told."""
        words = (
            (True, f"SIZE {message_size}" if message_size else "SIZE"),
            (self.eight_bit, "8BITMIME"),
            (self.dsn, "DSN"),
            *((True, command) for command in self.commands),
            (self.pipelining, "PIPELINING"),
            (bool(self.mechanisms), " ".join(("AUTH", *self.mechanisms))),
            (self.chunking, "CHUNKING"),
            (self.starttls, "STARTTLS"),
            (True, "HELP"),
        )
        return tuple(word for is_offered, word in words if is_offered)

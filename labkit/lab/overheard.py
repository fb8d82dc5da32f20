"""What somebody overhears who has no business to: passwords and letters.

SAFE       a password is not kept: only its length, and whether it was the right one.
STANDARDS  RFC 4616 (PLAIN), RFC 4954 (AUTH)
READ NEXT  impostor_engine.py, middle_engine.py
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from labkit.mail.message import Message


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody has told his password. `is_right`: the real host would have let him in with it, or did."""

    at: datetime
    login: str
    characters: int
    is_right: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that went by and could be read. `was_encrypted`: only by who ended the TLS that it came in.

    `is_taken`: the real server has said 250 to it.
    """

    at: datetime
    sender: str
    recipients: tuple[str, ...]
    message: Message
    was_encrypted: bool
    is_taken: bool


@dataclass(slots=True)
class Confession:
    """AUTH as it is overheard: what the client has said so far, and whether a password can be in it."""

    mechanism: str
    answers: list[bytes]

    @classmethod
    def begun(cls, command: str) -> Confession:
        """By the command AUTH itself, with or without an initial response."""
        words = command.split()
        mechanism = words[1].upper() if len(words) > 1 else ""
        return cls(mechanism, [_decoded(word.encode("latin-1", "replace")) for word in words[2:3]])

    def say(self, line: bytes) -> None:
        self.answers.append(_decoded(line.strip()))

    @property
    def told(self) -> tuple[str, int] | None:
        """Login and the length of the password; None if no password was told (CRAM-MD5 tells none)."""
        if self.mechanism == "PLAIN" and self.answers:
            parts = self.answers[-1].split(b"\0")
            login, password = (parts[1], parts[2]) if len(parts) == 3 else (b"", b"")
        elif self.mechanism == "LOGIN" and len(self.answers) > 1:
            login, password = self.answers[0], self.answers[1]
        else:
            return None
        return (login.decode("utf-8", "replace"), len(password)) if password else None


def _decoded(octets: bytes) -> bytes:
    try:
        return base64.b64decode(octets, validate=True)
    except (binascii.Error, ValueError):
        return b""

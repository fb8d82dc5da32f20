"""How the relay hears of bounces: an envelope sender of its own for each recipient, and what comes back there.

WHAT       `Verp` writes bounce addresses (b+ID.N.MAC) and reads them again; `failed_for_good` reads a delivery report.
WHY        a report says in many ways whom it is about, if at all; the address that it comes to says it for sure.
SAFE       the address carries a code that only the relay can make: nobody else can have an address suppressed.
STANDARDS  RFC 3464 §2.3 (Action, Status); "variable envelope return path" is no standard, but common
READ NEXT  relay_engine.py
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path

from labkit.mail.address import Mailbox

SECRET = 32  # octets
MOST_READ = 200_000  # octets of a report that are looked at
_LOCAL = re.compile(r"b\+([0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2})\.([0-9]{1,4})\.([0-9a-f]{16})")
_ACTION = re.compile(rb"^Action:[ \t]*failed\b", re.MULTILINE | re.IGNORECASE)
_STATUS = re.compile(rb"^Status:[ \t]*5\.[0-9]{1,3}\.[0-9]{1,3}", re.MULTILINE | re.IGNORECASE)


class Verp:
    """Bounce addresses; the secret is in a file of this folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "bounce.secret"
        self._secret = b""

    def address(self, queue_id: str, number: int, domain: str) -> Mailbox:
        """Where a report about the `number`-th recipient of a message is to go."""
        return Mailbox(f"b+{queue_id}.{number}.{self._code(queue_id, number)}", domain)

    def read(self, local_part: str) -> tuple[str, int] | None:
        """Queue id and number; None for an address that this relay has not written."""
        found = _LOCAL.fullmatch(local_part)
        if found is None:
            return None
        queue_id, number = found[1], int(found[2])
        is_ours = hmac.compare_digest(found[3], self._code(queue_id, number))
        return (queue_id, number) if is_ours else None

    def _code(self, queue_id: str, number: int) -> str:
        if not self._secret:
            self._secret = self._kept()
        return hmac.new(self._secret, f"{queue_id} {number}".encode(), hashlib.sha256).hexdigest()[:16]

    def _kept(self) -> bytes:
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(os.urandom(SECRET))
        return self._file.read_bytes()


def failed_for_good(report: bytes) -> bool:
    """Whether a report says that a delivery has failed, and not only that it takes longer."""
    start = report[:MOST_READ]
    return _ACTION.search(start) is not None and _STATUS.search(start) is not None

"""The envelope: who gets the message and who hears of a failure.

WHAT       what SMTP's MAIL and RCPT commands say, and nothing that the header says.
STANDARDS  RFC 5321 §2.3.1 (envelope and content), §4.5.5 (the null reverse-path)
READ NEXT  message.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.mail.address import Mailbox


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope. `reverse_path` None is the null path `<>` of delivery reports."""

    reverse_path: Mailbox | None
    forward_paths: tuple[Mailbox, ...]

    @classmethod
    def of(cls, reverse_path: str, *forward_paths: str) -> Envelope:
        """Make an envelope from text: `Envelope.of("ann@a.test", "bob@b.test")`; "" is the null path.

        Raises AddressSyntaxError.
        """
        sender = Mailbox.parse(reverse_path) if reverse_path else None
        return cls(sender, tuple(Mailbox.parse(path) for path in forward_paths))

    @property
    def sender(self) -> str:
        """The reverse-path as text, "" for the null path."""
        return "" if self.reverse_path is None else str(self.reverse_path)

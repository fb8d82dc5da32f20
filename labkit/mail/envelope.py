"""The envelope: who gets the message and who hears of a failure.

WHAT       what SMTP's MAIL and RCPT commands say, and nothing that the header says.
STANDARDS  RFC 5321 §2.3.1 (envelope and content), §4.5.5 (the null reverse-path); RFC 3461 §4 (delivery reports)
READ NEXT  message.py
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from labkit.mail.address import Mailbox


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender wants to hear of one recipient (RFC 3461 §4.1, §4.2).

    `notify`: of NEVER, SUCCESS, FAILURE and DELAY those that were said, None if NOTIFY was not.
    `original`: ORCPT as it was given, "rfc822;ann@example.test" in xtext, or "".
    """

    notify: frozenset[str] | None = None
    original: str = ""


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope. `reverse_path` None is the null path `<>` of delivery reports.

    `returns` is RET (FULL, HDRS or ""), `identifier` is ENVID in xtext or "" (RFC 3461 §4.3, §4.4).
    """

    reverse_path: Mailbox | None
    forward_paths: tuple[Mailbox, ...]
    returns: str = ""
    identifier: str = ""
    wishes: tuple[tuple[Mailbox, Wishes], ...] = ()  # of those recipients about whom anything was said

    @classmethod
    def of(cls, reverse_path: str, *forward_paths: str) -> Envelope:
        """Make an envelope from text: `Envelope.of("ann@a.test", "bob@b.test")`; "" is the null path.

        Raises AddressSyntaxError.
        """
        sender = Mailbox.parse(reverse_path) if reverse_path else None
        return cls(sender, tuple(Mailbox.parse(path) for path in forward_paths))

    def wishes_of(self, recipient: Mailbox, number: int = 0) -> Wishes:
        """What the sender wants to hear of this recipient; of one named twice, what was said first (or `number`-th)."""
        found = (said for each, said in self.wishes if each.key == recipient.key)
        return next(islice(found, number, None), NO_WISHES)

    @property
    def sender(self) -> str:
        """The reverse-path as text, "" for the null path."""
        return "" if self.reverse_path is None else str(self.reverse_path)

"""One mail transaction as the server knows it so far: from MAIL to the end of the message, or to RSET.

WHAT       `Transaction`: the envelope that grows, and what the recipients were answered, which DATA tells.
STANDARDS  RFC 5321 §3.3; Exim's $rcpt_count, $rcpt_fail_count, $rcpt_defer_count
READ NEXT  content.py
"""

from __future__ import annotations

from labkit.mail.address import Mailbox
from labkit.mail.envelope import NO_WISHES, Envelope, Wishes
from labkit.mail.reply import Reply


class Transaction:
    """The transaction of one session; RSET and the end of a message put a new one in its place."""

    def __init__(self) -> None:
        self.reverse_path: Mailbox | None = None
        self.forward_paths: list[Mailbox] = []
        self.returns = self.identifier = ""
        self.wishes: list[tuple[Mailbox, Wishes]] = []
        self.has_too_many = False  # more recipients than may be
        self.rcpt_count = self.rcpt_fail_count = self.rcpt_defer_count = 0
        self._first_refusal: bytes | None = None  # what the first RCPT was answered
        self._refusals_are_alike = True

    @property
    def envelope(self) -> Envelope:
        return Envelope(
            self.reverse_path, tuple(self.forward_paths), self.returns, self.identifier, tuple(self.wishes)
        )

    def accept(self, recipient: Mailbox, wishes: Wishes) -> None:
        """One more recipient."""
        self.forward_paths.append(recipient)
        if wishes != NO_WISHES:
            self.wishes.append((recipient, wishes))

    def refused(self, octets: bytes, *, is_transient: bool = False) -> None:
        """A recipient was refused, with this answer."""
        if is_transient:
            self.rcpt_defer_count += 1
        else:
            self.rcpt_fail_count += 1
        if self._first_refusal is None:
            self._first_refusal = octets
        elif self._first_refusal != octets:
            self._refusals_are_alike = False

    @property
    def one_refusal(self) -> list[Reply]:
        """The answer that all recipients got, if it was the same each time."""
        lines = (self._first_refusal or b"").decode("utf-8", "surrogateescape").splitlines()
        return [Reply(503, tuple(lines))] if lines and self._refusals_are_alike else []

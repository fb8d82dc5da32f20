"""One message in the queue, with what is still to be done for it.

WHAT       envelope, content, where it came from, and which recipients are finished.
STANDARDS  RFC 5321 §4.5.4 (queues); Exim specification, chapter "Format of spool files"
READ NEXT  schedule.py
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from labkit.mail.address import Mailbox
from labkit.mail.encryption import Encryption
from labkit.mail.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from. An empty `client_address` means that this host made it (a report, a local user)."""

    client_address: str = ""
    client_port: int = 0
    helo_name: str = ""
    protocol: str = "local"  # Exim's words: smtp, esmtp, esmtps, esmtpa, esmtpsa, local
    login: str = ""  # the local account, when there is no client
    client_name: str = ""  # if it was looked up
    encryption: Encryption | None = None
    authenticator: str = ""  # which one of the configuration the client has passed
    authenticated_id: str = ""
    is_report: bool = False  # this host made it itself about another message
    authenticated_sender: str = ""  # what MAIL said after AUTH=, or who handed in a message here
    names_sender: bool = False  # a trusted account handed it in and said whose it is: no local sender to Exim


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A message for which this host is responsible (RFC 5321 §6.1)."""

    queue_id: str
    envelope: Envelope
    content: bytes  # CR LF line ends; the Received field of this host is on top
    received_at: datetime
    origin: Origin = Origin()
    finished: frozenset[Mailbox] = frozenset()  # delivered or given up: nothing left to do for these
    frozen: bool = False
    acl_variables: tuple[tuple[str, str], ...] = ()  # what ACLs have set: acl_c…, acl_m…, spam_…
    frozen_at: datetime | None = None  # since when it is frozen; None: nobody noted it
    is_thawed_by_hand: bool = False
    is_untried: bool = False  # nothing was tried for it yet (exim -qi)
    warnings: int = 0  # how many the sender got of its delay

    @property
    def is_report(self) -> bool:
        """A delivery report: its reverse-path is null, and no report is ever sent about it (RFC 5321 §4.5.5)."""
        return self.envelope.reverse_path is None

    @property
    def size(self) -> int:
        """The size in octets as Exim's log and listing give it: line ends count once, as they do on its disk."""
        return len(self.content) - self.content.count(b"\r\n")

    @property
    def remaining(self) -> tuple[Mailbox, ...]:
        """The recipients for whom something is left to do, each once, in the order of the envelope."""
        seen = {recipient.key for recipient in self.finished}
        left: dict[tuple[str, str], Mailbox] = {}
        for recipient in self.envelope.forward_paths:
            if recipient.key not in seen:
                left.setdefault(recipient.key, recipient)
        return tuple(left.values())

    def freeze(self, now: datetime) -> QueueItem:
        """The same, frozen: nothing is tried until somebody thaws it."""
        return replace(self, frozen=True, frozen_at=now.replace(microsecond=0), is_thawed_by_hand=False)

    def thaw(self, *, by_hand: bool) -> QueueItem:
        return replace(
            self, frozen=False, frozen_at=None, is_thawed_by_hand=by_hand or self.is_thawed_by_hand
        )

    def with_finished(self, *recipients: Mailbox) -> QueueItem:
        return replace(self, finished=self.finished | frozenset(recipients))

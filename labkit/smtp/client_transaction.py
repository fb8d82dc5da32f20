"""One message on its way to a server, as the client sees it.

WHAT       `Manner` is how it is to be sent; `Transaction` what was said and heard so far; `Result` what became of it.
DECIDES    the parameters of MAIL and RCPT: what the server has offered and nothing else.
STANDARDS  RFC 1870 (SIZE); RFC 6152 (8BITMIME); RFC 4954 §5 (AUTH= on MAIL); RFC 3461 §4 (DSN)
LIKE EXIM  SIZE is what the message has plus size_addition; the words of NOTIFY stand in a fixed order
READ NEXT  client.py
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.smtp.states import Step

_NOTIFY = ("NEVER", "SUCCESS", "FAILURE", "DELAY")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one recipient: the reply that decided, and the step it answered.

    `number` tells those apart that have the same address: 0 is the first one of the envelope.
    """

    recipient: Mailbox
    step: Step
    reply: Reply
    number: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message. `broken` says why the session ended in the middle of it, "" if it did not.

    When it is broken, the recipients without a verdict are in the dark: the message may or may not have been
    taken, so it must be sent again (RFC 5321 §4.5.4.1). `is_chunked`: it went in pieces, by BDAT.
    """

    envelope: Envelope
    verdicts: tuple[Verdict, ...]
    broken: str = ""
    is_chunked: bool = False

    @property
    def delivered(self) -> tuple[Mailbox, ...]:
        return tuple(v.recipient for v in self.verdicts if v.reply.is_positive)


@dataclass(frozen=True, slots=True)
class Manner:
    """`size_addition`: what is added to SIZE, None: SIZE is not said. `chunks`: BDAT, where it is offered.

    `authenticated_sender`: in xtext, what MAIL says after AUTH=, "" for nothing.
    """

    size_addition: int | None = 0
    authenticated_sender: str = ""
    chunks: bool = False


USUAL = Manner()


@dataclass(slots=True)
class Transaction:
    """`commands` are those that were said: words for people, by step, and by recipient for RCPT."""

    envelope: Envelope
    content: bytes
    recipients: tuple[Mailbox, ...]
    manner: Manner = USUAL
    accepted: list[int] = field(default_factory=list)  # by their number
    verdicts: list[Verdict] = field(default_factory=list)
    is_chunked: bool = False  # it goes by BDAT
    sent: int = 0  # octets of it that went so
    gave_up: bool = False  # MAIL, DATA or all RCPT were refused
    repeats: bool = field(init=False)  # some recipients have the same address

    def __post_init__(self) -> None:
        self.repeats = len({each.key for each in self.recipients}) < len(self.recipients)

    @property
    def has_more(self) -> bool:
        """A chunk of it was sent, and there is more to come."""
        return self.is_chunked and self.sent < len(self.content)

    def refuse(self, step: Step, reply: Reply, *, all_of_them: bool) -> None:
        """The reply is for all recipients, or for those that were taken so far."""
        whom = range(len(self.recipients)) if all_of_them else self.accepted
        self.verdicts += (Verdict(self.recipients[number], step, reply, number) for number in whom)

    def mail(self, offered: Mapping[str, str]) -> str:
        """The command MAIL with its parameters."""
        said = f"MAIL FROM:<{self.envelope.sender}>"
        addition = self.manner.size_addition
        if "SIZE" in offered and addition is not None:
            said += f" SIZE={len(self.content) + addition}"
        if "8BITMIME" in offered and not self.content.isascii():
            said += " BODY=8BITMIME"
        if "DSN" in offered:
            said += f" RET={self.envelope.returns}" if self.envelope.returns else ""
            said += f" ENVID={self.envelope.identifier}" if self.envelope.identifier else ""
        if self.manner.authenticated_sender:
            said += f" AUTH={self.manner.authenticated_sender}"
        return said

    def rcpt(self, number: int, offered: Container[str]) -> str:
        """The command RCPT with its parameters; of several of one address, each has its own wishes."""
        recipient = self.recipients[number]
        said = f"RCPT TO:<{recipient}>"
        before = sum(each.key == recipient.key for each in self.recipients[:number]) if self.repeats else 0
        wishes = self.envelope.wishes_of(recipient, before)
        if "DSN" in offered:
            if wishes.notify:
                said += f" NOTIFY={','.join(word for word in _NOTIFY if word in wishes.notify)}"
            said += f" ORCPT={wishes.original}" if wishes.original else ""
        return said

"""What a server machine stops for: the decisions it leaves to others, and the limits it keeps by itself.

WHAT       one frozen value for each decision; whoever runs the machine answers it with a reply, or None to accept.
STANDARDS  RFC 5321 §4.5.3.1 (sizes), Exim specification, chapter "Main configuration" (limits)
READ NEXT  server.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from labkit.mail.address import Mailbox
from labkit.mail.envelope import NO_WISHES, Envelope, Wishes
from labkit.mail.reply import Reply
from labkit.smtp.states import Verb


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a client may send. Counts are per session, sizes in octets. Exim's defaults where it has one."""

    message_size: int = 50 * 1024 * 1024  # message_size_limit
    header_size: int = 1024 * 1024  # Exim: header_maxsize
    command_line: int = 16384  # Exim's buffer; RFC 5321 §4.5.3.1.4 asks for 512, RFC 4954 for 12288
    recipients: int = 1000  # recipients_max; RFC 5321 §4.5.3.1.8 asks for at least 100
    unknown_commands: int = 3  # smtp_max_unknown_commands
    errors: int = 3  # smtp_max_synprot_errors
    nonmail_commands: int = 10  # smtp_accept_max_nonmail
    messages: int = 0  # smtp_accept_max_per_connection; 0: any number
    header_line: int = 0  # header_line_maxsize; 0: any length
    rejects_excess: bool = False  # recipients_max_reject: no recipient gets a message with too many of them


@dataclass(frozen=True, slots=True)
class Allowances:
    """What this client may do that others may not, and the other way round. Exim's options, asked about this host."""

    helo_characters: str = ""  # helo_allow_chars
    junk_helo: bool = False  # helo_accept_junk_hosts
    no_helo: bool = False  # not in hosts_require_helo
    many_nonmail: bool = False  # not in smtp_accept_max_nonmail_hosts
    unqualified_sender: bool = False  # sender_unqualified_hosts
    unqualified_recipient: bool = False  # recipient_unqualified_hosts


@dataclass(frozen=True, slots=True)
class Connected:
    """May this client talk to us? The answer is the banner (220) or a refusal (554, 421)."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """The client said who it is. None accepts."""

    verb: Verb
    name: str


@dataclass(frozen=True, slots=True)
class MailFrom:
    """A sender. None accepts."""

    reverse_path: Mailbox | None
    size: int | None  # what the client says the message will have, RFC 1870
    body: str  # "7BIT" or "8BITMIME"
    returns: str = ""  # RET, RFC 3461
    identifier: str = ""  # ENVID, in xtext
    auth: str | None = None  # what stands after AUTH=, as it was written; None: nothing does


@dataclass(frozen=True, slots=True)
class RcptTo:
    """A recipient. None accepts."""

    reverse_path: Mailbox | None
    forward_path: Mailbox
    wishes: Wishes = NO_WISHES


@dataclass(frozen=True, slots=True)
class DataBegins:
    """The client wants to send the message. None accepts."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """The message is here. The answer takes responsibility (250) or refuses; there is no default."""

    envelope: Envelope
    content: bytes  # dots undone, line ends canonical
    longest_line: int
    helo_name: str
    protocol: str  # "smtp", "esmtp", "esmtps", "esmtpa", "esmtpsa": RFC 3848
    last_chunk: int | None = None  # the size of the last of its pieces, if it came in pieces (BDAT)


@dataclass(frozen=True, slots=True)
class Verify:
    """VRFY with its argument. None gives the non-committal answer, RFC 5321 §3.5.3."""

    text: str


@dataclass(frozen=True, slots=True)
class Expand:
    """EXPN with its argument. None refuses."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnQueue:
    """ETRN with its argument (RFC 1985): may this client start a queue run for it? None refuses."""

    text: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """QUIT. It cannot be refused; an answer is other words for 221."""


@dataclass(frozen=True, slots=True)
class Dropping:
    """The machine ends the session, for a reason in Exim's words; an answer is other words for its reply."""

    reason: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207). None accepts."""


@dataclass(frozen=True, slots=True)
class AuthWanted:
    """AUTH: may this client try? None accepts."""


@dataclass(frozen=True, slots=True)
class AuthBegins:
    """AUTH with its mechanism. 334 asks the client for more, 235 believes it; there is no default."""

    mechanism: str
    data: str  # the initial response, "" for none


@dataclass(frozen=True, slots=True)
class AuthAnswered:
    """The client's answer to 334. The same again."""

    line: str


class Answer(NamedTuple):
    """What a machine is told: None is its own positive reply. `closes`: the session ends with this reply."""

    reply: Reply | None = None
    closes: bool = False


Decision: TypeAlias = (
    Connected
    | Greeted
    | MailFrom
    | RcptTo
    | DataBegins
    | MessageReceived
    | Verify
    | Expand
    | TurnQueue
    | StartTls
    | AuthWanted
    | AuthBegins
    | AuthAnswered
    | Goodbye
    | Dropping
)

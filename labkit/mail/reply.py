"""SMTP replies, each named once, in Exim's words.

WHAT       `Reply` is a code and its lines; the constants are what a server of this house says.
STANDARDS  RFC 5321 §4.2 (codes), §4.2.1 (first digit); the wording is that of Exim 4.96
READ NEXT  asking.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """The first digit of a reply code, RFC 5321 §4.2.1."""

    POSITIVE = 2
    INTERMEDIATE = 3
    TRANSIENT = 4
    PERMANENT = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: three digits and one or more lines of text."""

    code: int
    lines: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"{self.code} is no SMTP reply code")
        if not self.lines or any(c in line for line in self.lines for c in "\r\n\0"):
            raise ValueError("a reply needs text lines without line ends in them")

    @property
    def severity(self) -> Severity:
        return Severity(self.code // 100)

    @property
    def is_positive(self) -> bool:
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    def __bytes__(self) -> bytes:
        last = len(self.lines) - 1
        return b"".join(
            f"{self.code}{'-' if i < last else ' '}{line}\r\n".encode("utf-8", "surrogateescape")
            for i, line in enumerate(self.lines)
        )


# What the server machine says by itself. Exim's own replies carry no enhanced status codes.
OK = Reply(250, ("OK",))
RESET_OK = Reply(250, ("Reset OK",))
ACCEPTED = Reply(250, ("Accepted",))
ENTER_MESSAGE = Reply(354, ('Enter message, ending with "." on a line by itself',))
CANNOT_VERIFY = Reply(252, ("Administrative prohibition",))
CANNOT_EXPAND = Reply(550, ("Administrative prohibition",))
ETRN_WITHOUT_HASH = Reply(501, ("argument must begin with #",))
ETRN_IN_TRANSACTION = Reply(503, ("ETRN is not permitted inside a transaction",))
CANNOT_ETRN = Reply(458, ("Administrative prohibition",))
TOO_MANY_RECIPIENTS = Reply(452, ("too many recipients",))
TOO_MANY_RECIPIENTS_EVER = Reply(552, ("too many recipients",))
MESSAGE_WITH_TOO_MANY_RECIPIENTS = Reply(554, ("Too many recipients",))
TOO_MANY_MESSAGES = Reply(421, ("too many messages in this connection",))
LOCAL_PROBLEM = Reply(451, ("Temporary local problem - please try later",))
UNRECOGNIZED = Reply(500, ("unrecognized command",))
TOO_MANY_UNRECOGNIZED = Reply(500, ("Too many unrecognized commands",))
BARE_LINE_END = Reply(500, ("a command ends in CR LF: bare CR or LF refused (with nc, use nc -C)",))
NUL_REFUSED = Reply(501, ("NUL characters are not allowed in SMTP commands",))
UNEXPECTED_ARGUMENT = Reply(501, ("unexpected argument data",))
NO_ADDRESS = Reply(501, ("MAIL must have an address operand",))
NO_RECIPIENT_ADDRESS = Reply(501, ("RCPT must have an address operand",))
EMPTY_ADDRESS = Reply(501, ("empty address",))
INVALID_BODY = Reply(501, ("invalid data for BODY",))
HELO_REQUIRED = Reply(503, ("HELO or EHLO required",))
SENDER_ALREADY_GIVEN = Reply(503, ("sender already given",))
SENDER_NOT_YET_GIVEN = Reply(503, ("sender not yet given",))
NO_RECIPIENTS = Reply(503, ("valid RCPT command must precede DATA",))
NO_RECIPIENTS_FOR_BDAT = Reply(503, ("valid RCPT command must precede BDAT",))
NO_CHUNK_SIZE = Reply(501, ("missing size for BDAT command",))
EMPTY_CHUNK = Reply(504, ("zero size for BDAT command",))
ONLY_BDAT = Reply(503, ("only BDAT permissible after non-LAST BDAT",))
ONLY_RSET = Reply(503, ("only RSET accepted now",))
HEADER_NOT_CRLF = Reply(552, ("Message header not CRLF terminated",))
RET_TWICE = Reply(501, ("RET can be specified once only",))
INVALID_RET = Reply(501, ("Value for RET is invalid",))
INVALID_ENVID = Reply(501, ("Value for ENVID is invalid",))
INVALID_ORCPT = Reply(501, ("Value for ORCPT is invalid",))
ENVID_TWICE = Reply(501, ("ENVID can be specified once only",))
ORCPT_TWICE = Reply(501, ("ORCPT can be specified once only",))
NOTIFY_TWICE = Reply(501, ("NOTIFY can be specified once only",))
INVALID_NOTIFY = Reply(501, ("Invalid value for NOTIFY parameter",))
SMTPUTF8_NOT_OFFERED = Reply(501, ("SMTPUTF8 used when not advertised",))
TLS_GO_AHEAD = Reply(220, ("TLS go ahead",))
TLS_UNAVAILABLE = Reply(454, ("TLS currently unavailable",))
INVALID_BASE64 = Reply(501, ("Invalid base64 data",))
INVALID_AUTH = Reply(501, ("invalid data for AUTH",))
BAD_MECHANISM = Reply(501, ("invalid character in authentication mechanism name",))
ALREADY_AUTHENTICATED = Reply(503, ("already authenticated",))
AUTH_IN_TRANSACTION = Reply(503, ("not permitted in mail transaction",))
STARTTLS_NOT_OFFERED = Reply(503, ("STARTTLS command used when not advertised",))
AUTH_NOT_OFFERED = Reply(503, ("AUTH command used when not advertised",))
BDAT_NOT_OFFERED = Reply(503, ("BDAT command used when CHUNKING not advertised",))
MESSAGE_TOO_BIG = Reply(552, ("Message size exceeds maximum permitted",))
HEADER_TOO_LONG = Reply(552, ("Message header is ridiculously long",))
HEADER_LINE_TOO_LONG = Reply(552, ("A message header line is too long",))
SYNCHRONIZATION_ERROR = Reply(554, ("SMTP synchronization error",))
TOO_MANY_NONMAIL = Reply(554, ("Too many nonmail commands",))
UNROUTEABLE = Reply(550, ("Unrouteable address",))
UNEXPECTED_FAILURE = Reply(421, ("Unexpected failure, please try later",))
TOO_MANY_CONNECTIONS = Reply(421, ("Too many concurrent SMTP connections; please try again later.",))
TOO_MANY_OF_ONE_HOST = Reply(
    421, ("Too many concurrent SMTP connections from this IP address; please try again later.",)
)
NO_SERVICE = Reply(554, ("SMTP service not available",))
NO_CONFIGURATION = Reply(421, ("Local configuration error; please try again later.",))


def commands_supported(offers: Iterable[str] = (), *, starttls: bool = False) -> Reply:
    """The answer to HELP; `offers` are commands that not everybody has."""
    offers = sorted(offers)  # Exim has them in this order here, and in another one in the answer to EHLO
    words = " ".join(
        ["AUTH", *["STARTTLS"] * starttls, "HELO EHLO MAIL RCPT DATA BDAT NOOP QUIT RSET HELP", *offers]
    )
    return Reply(214, ("Commands supported:", words))


def unsupported_mechanism(name: str) -> Reply:
    return Reply(504, (f"{name} authentication mechanism not supported",))


def closing(host: str) -> Reply:
    """The answer to QUIT."""
    return Reply(221, (f"{host} closing connection",))


def timed_out(host: str) -> Reply:
    """What is said when the client stayed silent too long (RFC 5321 §3.8)."""
    return Reply(421, (f"{host}: SMTP command timeout - closing connection",))


def data_timed_out(host: str) -> Reply:
    """The same within a message."""
    return Reply(421, (f"{host} SMTP incoming data timeout - closing connection.",))


def lost_input(host: str) -> Reply:
    """For a client that sends no more, but may still read."""
    return Reply(421, (f"{host} lost input connection",))


def bad_greeting(verb: str) -> Reply:
    return Reply(501, (f"Syntactically invalid {verb} argument(s)",))


def bad_address(operand: str, problem: object) -> Reply:
    """501 with what was given and what is wrong with it; bytes that cannot be printed show as '?'."""
    shown = "".join(c if c.isprintable() and c.isascii() else "?" for c in f"{operand}: {problem}")
    return Reply(501, (shown,))


def line_too_long(limit: int) -> Reply:
    return Reply(550, (f"maximum allowed line length is {limit} octets",))


def received(queue_id: str) -> Reply:
    """The reply that takes responsibility for a message (RFC 5321 §6.1)."""
    return Reply(250, (f"OK id={queue_id}",))


def last_straw(reply: Reply) -> Reply:
    """The reply that ends a session in which too much went wrong."""
    return Reply(reply.code, (*reply.lines, "Too many syntax or protocol errors"))


def all_recipients_refused(errors: Iterable[Reply], verb: str = "DATA") -> Reply:
    """What DATA gets when every RCPT was refused: with the one reason, if it was the same each time."""
    texts = {error.lines for error in errors}
    why = ("All RCPT commands were rejected with this error:", *texts.pop()) if len(texts) == 1 else ()
    return Reply(503, (*why, f"Valid RCPT command must precede {verb}"))


def chunk_received(octets: int) -> Reply:
    """The answer to a piece of a message that is not the last one (RFC 3030)."""
    return Reply(250, (f"{octets} byte chunk received",))


def received_in_chunks(queue_id: str, last: int, total: int) -> Reply:
    """The reply that takes responsibility for a message that came in pieces."""
    return Reply(250, (f" {last} byte chunk, total {total}", f"OK id={queue_id}"))


_CODE = re.compile(r"([0-9]{3})\s((?:[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\s)?)")
_SKIPPED = " \t\n\v\f\r"  # at the beginning of a further line


def worded(code: int, text: str) -> Reply:
    """A reply in a configuration's words, shaped as Exim does it.

    A code at the start of the text counts if it begins with the digit of `code`, and is dropped else; an
    enhanced code (RFC 3463) behind it stands on every line. A long text becomes several lines.
    """
    text = folded(text)
    if (found := code_of(text)) is None:
        return shaped(code, "", text)
    own_code, enhanced, text = found
    return shaped(own_code, enhanced, text) if own_code // 100 == code // 100 else shaped(code, "", text)


def code_of(text: str) -> tuple[int, str, str] | None:
    """The code and the enhanced code (with its blank) that a text begins with, and the rest of it."""
    if found := _CODE.match(text):
        return int(found[1]), found[2], text[found.end() :]
    return None


def shaped(
    code: int, enhanced: str, text: str, *, before: Iterable[str] = (), multiline: bool = True
) -> Reply:
    """A reply of these octets (latin-1). `before` are texts for lines that go before; blank lines are left out.

    `multiline` False: the first line alone.
    """
    lines = [line for each in before for line in _lines(each)]
    lines += _lines(text) if multiline else _lines(text)[:1]
    return Reply(code, tuple([_as_text(enhanced + line) for line in lines]))


def _lines(text: str) -> list[str]:
    found = []
    while "\n" in text[:-1]:
        line, _, text = text.partition("\n")
        found.append(line)
        text = text.lstrip(_SKIPPED)
    return [*found, text.removesuffix("\n")]


def _as_text(octets: str) -> str:
    """Octets as the text that Reply writes out as these octets again; no line end or NUL may be in a line."""
    clean = octets.translate(_UNSENDABLE)
    return clean if clean.isascii() else clean.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


_UNSENDABLE = dict.fromkeys(map(ord, "\r\n\0"), " ")


def folded(text: str, width: int = 75) -> str:
    """Break lines longer than `width`: best behind a colon, else between words; never in the first 35 octets."""
    if len(text) <= width:
        return text
    found: list[str] = []
    for line in text.split("\n"):
        while len(line) > width:
            blanks = [i for i in range(width, 35, -1) if line[i] == " "]
            cut = next(
                (i for i in blanks if line[i - 1] == ":"), blanks[0] if blanks else line.find(" ", width)
            )
            if cut < 0:
                break
            found.append(line[:cut])
            line = line[cut + 1 :]
        found.append(line)
    return "\n".join(found)

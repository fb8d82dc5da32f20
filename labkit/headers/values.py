"""What the dissection of a message is made of: fields, hops, dates. Plain frozen values that can be pickled.

RULES      `Field.raw` is the truth, octet by octet; all else is read from it. What is meant to be looked at (`shown`,
           `words`) hides nothing and turns nothing: control and bidirectional characters are escapes.
READ NEXT  dissect.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Kind(str, Enum):
    """What a field is about."""

    TRACE = "trace"
    IDENTITY = "identity"
    DESTINATION = "destination"
    DATE = "date"
    SUBJECT = "subject"
    MIME = "MIME"
    LIST = "list"
    RESENT = "resent"
    AUTHENTICATION = "authentication"
    SPAM = "spam"
    DELIVERY = "delivery"
    REPORT = "report"
    VENDOR = "vendor"
    UNKNOWN = "unknown"


class Writer(str, Enum):
    """Who writes such a field, if nobody lies."""

    AUTHOR = "the author"
    PROGRAM = "the author's machine"
    SUBMISSION = "the submission server"
    MTA = "an MTA on the way"
    SIGNER = "the signing server"
    FINAL = "the last MTA"
    LIST = "a mailing list"
    FILTER = "the receiver's filter"
    AUTOMATON = "a program"
    GAVE_UP = "the MTA that gave up"
    STORE = "the mailbox's own program"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Field:
    """One header field where it stands. `start` and `end` are octets, `first_line` and `last_line` count from 1.

    `by` names the host or domain that says it wrote the field ("" if it does not say).
    """

    index: int
    name: str
    raw: bytes
    value: str
    kind: Kind
    writer: Writer
    by: str
    rfc: str
    words: str
    start: int
    end: int
    first_line: int
    last_line: int

    @property
    def shown(self) -> str:
        """The value for people: encoded words decoded (RFC 2047), what hides or turns letters made visible."""
        from labkit.mail.encoded_words import for_people

        return for_people(self.value)


@dataclass(frozen=True, slots=True)
class ReadDate:
    """A date as it was written, and what was understood. `instant` is in UTC; None: it names no instant at all.

    `is_certain` is False where the zone is missing or unknown and UTC was taken; `oddities` says what was odd.
    """

    text: str
    instant: datetime | None
    is_certain: bool
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """One Received field, read. An empty text: it does not say.

    `helo` is what the client called itself, `reverse_name` what the DNS says of its `address`; `login` is who had
    logged in. `is_encrypted` and `is_authenticated` are None where nothing tells. `is_local`: no network was used.
    """

    helo: str = ""
    reverse_name: str = ""
    address: str = ""
    login: str = ""
    by: str = ""
    by_address: str = ""
    software: str = ""
    via: str = ""
    protocol: str = ""
    is_encrypted: bool | None = None
    is_authenticated: bool | None = None
    tls: str = ""
    is_local: bool = False
    id: str = ""
    recipient: str = ""
    envelope_from: str = ""
    date: ReadDate | None = None
    comments: tuple[str, ...] = ()
    is_understood: bool = True

    @property
    def client(self) -> str:
        """The client in one word: its reverse name, its address, or else what it called itself."""
        return self.reverse_name or self.address or self.helo


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of the way. `number` counts from 1, the oldest; `field` is the index of its Received field.

    `delay` is in seconds since the hop `since` (the last one below whose clock fits); None: not known.
    `skew` is how many seconds its clock is off, at the least; positive: ahead. None: nothing is wrong with it.
    """

    number: int
    field: int
    received: Received
    delay: float | None
    since: int | None
    skew: float | None
    words: str

    @property
    def at(self) -> datetime | None:
        date = self.received.date
        return None if date is None else date.instant

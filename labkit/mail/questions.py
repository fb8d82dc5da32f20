"""The questions that decisions ask, and the values that answer them.

WHAT       DNS look-ups, accounts, files, and what one room wants to know of another.
WHY HERE   the deciding rooms do not import each other: `acl` asks VerifyRecipient, `mta` lets routing answer.
STANDARDS  RFC 1035 (DNS), RFC 2308 §2 (NXDOMAIN and NODATA are different answers), RFC 5321 §5.1 (MX)
READ NEXT  event.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from labkit.mail.address import Mailbox
from labkit.mail.asking import Question
from labkit.mail.reply import Reply

R = TypeVar("R")


class DnsOutcome(Enum):
    """How a look-up ended. The last two are failures that may pass: try again later."""

    FOUND = "found"
    NODATA = "no data"  # the name exists, but has no record of this type
    NXDOMAIN = "no such name"
    SERVFAIL = "server failure"
    TIMEOUT = "no answer"

    @property
    def is_temporary(self) -> bool:
        return self in (DnsOutcome.SERVFAIL, DnsOutcome.TIMEOUT)


@dataclass(frozen=True, slots=True)
class DnsAnswer(Generic[R]):
    """What the resolver found: the outcome, and the records when there are any (zone order)."""

    outcome: DnsOutcome
    records: tuple[R, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class MxRecord:
    """A mail exchanger: a lower preference value is tried first (RFC 5321 §5.1)."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class MxOf(Question[DnsAnswer[MxRecord]]):
    """Which hosts take mail for this domain?"""

    domain: str


@dataclass(frozen=True, slots=True)
class AddressesOf(Question[DnsAnswer[str]]):
    """Which IPv4 addresses does this host have?"""

    host: str


@dataclass(frozen=True, slots=True)
class TextOf(Question[DnsAnswer[str]]):
    """The TXT records at a name, the strings of each joined."""

    name: str


@dataclass(frozen=True, slots=True)
class NamesOf(Question[DnsAnswer[str]]):
    """Which names does this address have (PTR)?"""

    address: str


@dataclass(frozen=True, slots=True)
class Account:
    """A login account of a host, as check_local_user finds it."""

    name: str
    home: str


@dataclass(frozen=True, slots=True)
class AccountNamed(Question["Account | None"]):
    """Has this host an account of that name?"""

    name: str


@dataclass(frozen=True, slots=True)
class OwnAddresses(Question["tuple[str, ...]"]):
    """Which addresses does this host itself have (local_interfaces)?"""


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on an address: deliverable, or the reply that says why not; with the steps that led there."""

    refusal: Reply | None
    steps: tuple[str, ...] = field(default=())

    @property
    def is_good(self) -> bool:
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class VerifyRecipient(Question[Verification]):
    """Would this host know what to do with mail for that address? (Exim: verify = recipient)"""

    recipient: Mailbox


@dataclass(frozen=True, slots=True)
class NoFile:
    """There is no such text: the file is missing, or cannot be read for the reason given."""

    reason: str
    is_missing: bool = True


@dataclass(frozen=True, slots=True)
class FileText(Question["str | NoFile"]):
    """What does this file of the host say? (`.include` in a configuration)

    A path without a slash in front is relative to where the name of the including file is relative to.
    """

    path: str

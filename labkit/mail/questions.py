"""The questions that decisions ask, and the values that answer them.

WHAT       DNS look-ups, accounts, files, and what one room wants to know of another.
WHY HERE   the deciding rooms do not import each other: `acl` asks VerifyRecipient, `mta` lets routing answer.
STANDARDS  RFC 1035 (DNS), RFC 2308 §2 (NXDOMAIN and NODATA are different answers), RFC 5321 §5.1 (MX), RFC 8461
READ NEXT  lookups.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from labkit.mail.address import Mailbox
from labkit.mail.asking import Question

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
    """What the resolver found: the outcome, and the records when there are any (zone order).

    `canonical` is the name at which they stand, where a CNAME led to another one. `is_secure`: a validating resolver
    says that all of it is signed (DNSSEC).
    """

    outcome: DnsOutcome
    records: tuple[R, ...] = ()
    canonical: str = ""
    is_secure: bool = False


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
class V6AddressesOf(Question[DnsAnswer[str]]):
    """Which IPv6 addresses does this host have? Lab hosts have none; their zones may say so all the same."""

    host: str


@dataclass(frozen=True, slots=True)
class TlsaOf(Question[DnsAnswer[str]]):
    """The TLSA records at a name such as _25._tcp.mx.a.test, as in a master file: `3 1 1 9f86…`."""

    name: str


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
    """A login account of a host, as check_local_user finds it. `uid` and `gid` are None where nobody knows them."""

    name: str
    home: str
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class AccountNamed(Question["Account | None"]):
    """Has this host an account of that name?"""

    name: str


@dataclass(frozen=True, slots=True)
class OwnAddresses(Question["tuple[str, ...]"]):
    """Which addresses does this host itself have (local_interfaces)?"""


@dataclass(frozen=True, slots=True)
class Callout:
    """Ask the next host whether it would take the address, as a sender address without a message (Exim: callout).

    Times are seconds. `postmaster`: the sender of a second test for <postmaster@domain>, None for no such test.
    """

    timeout: float = 30
    connect: float = 30
    overall: float = 120
    uses_cache: bool = True
    is_random: bool = False  # first try a local part that cannot exist
    full_postmaster: bool = False
    postmaster: str | None = None
    mail_from: str = ""  # what stands in MAIL FROM: "" is the null reverse-path
    uses_sender: bool = False  # MAIL FROM is the sender of the message
    uses_postmaster: bool = False  # MAIL FROM is postmaster@qualify_domain


class Standing(Enum):
    """How a verification ended."""

    GOOD = "good"
    BAD = "bad"
    UNDECIDED = "undecided"  # it may be decided later: Exim defers


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on an address.

    `words` are what the client may hear ("Unrouteable address"), `reason` what the log says; an UNDECIDED one has
    words only if the client shall hear them (`:defer:` of a redirect router, a callout). `failure` is what
    $recipient_verify_failure or $sender_verify_failure become: qualify, route, mail, recipient or postmaster.
    `address_data` is what the router that took it has set. `steps` tell how the verdict was found. `rewritten` is the
    address that rewriting rules have made of it, if they have.
    """

    standing: Standing
    words: str = ""
    reason: str = ""
    failure: str = ""
    address_data: str = ""
    steps: tuple[str, ...] = field(default=())
    rewritten: str | None = None

    @property
    def is_good(self) -> bool:
        return self.standing is Standing.GOOD

    @property
    def is_bad(self) -> bool:
        return self.standing is Standing.BAD

    @property
    def is_of_callout(self) -> bool:
        """Whether routing was well, and what did not work was asking the next host."""
        return self.failure in ("mail", "recipient", "postmaster")


@dataclass(frozen=True, slots=True)
class VerifyRecipient(Question[Verification]):
    """Would this host know what to do with mail for that address? (Exim: verify = recipient)"""

    recipient: Mailbox
    callout: Callout | None = None
    callout_sender: str = ""  # the sender of the message, for Callout.uses_sender


@dataclass(frozen=True, slots=True)
class VerifySender(Question[Verification]):
    """Could a report be sent to that address? (Exim: verify = sender)"""

    sender: Mailbox
    callout: Callout | None = None


@dataclass(frozen=True, slots=True)
class CalloutAnswer:
    """What the hosts of an address said. `words` are the last reply or what kept us from one."""

    standing: Standing
    words: str = ""
    failure: str = ""  # mail, recipient or postmaster: which command was refused


@dataclass(frozen=True, slots=True)
class CallOut(Question[CalloutAnswer]):
    """Connect to these hosts, in order, until one tells whether it takes the address; send no message.

    `hosts` are (name, address, port).
    """

    hosts: tuple[tuple[str, str, int], ...]
    helo_name: str
    address: Mailbox
    how: Callout


@dataclass(frozen=True, slots=True)
class SpfFound:
    """What SPF says of a client and a sender, and how Exim words it (the $spf_… variables).

    `result` is RFC 7208's word: pass, fail, softfail, neutral, none, temperror, permerror.
    """

    result: str
    smtp_comment: str = ""
    header_comment: str = ""
    received: str = ""


@dataclass(frozen=True, slots=True)
class SpfOf(Question["SpfFound | None"]):
    """May this client use that sender's domain? None: `client` is no address (Exim: spf, spf_guess, the look-up spf).

    `sender` without a local part is the domain; an empty one: the name in HELO. `record` stands for the published one.
    `template` is what a client may hear, with SPF's macros (Exim: spf_smtp_comment_template).
    """

    client: str
    helo: str
    sender: str
    receiver: str
    template: str = ""
    record: str | None = None


@dataclass(frozen=True, slots=True)
class RateOf(Question["float | None"]):
    """Count `count` more under this key and tell the smoothed rate per `period` seconds (Exim: ratelimit).

    `mode`: "leaky" (Exim's default: what is over the limit does not count), "strict" (it does) or "readonly".
    `unique`: count only a value that was not counted within the period. None: nobody can tell.
    smtp/acl/rates.py says how to count; who answers keeps a record for each key.
    """

    key: str
    limit: float
    period: float
    count: float = 1
    mode: str = "leaky"
    unique: str | None = None


@dataclass(frozen=True, slots=True)
class SeenBefore(Question["float | None"]):
    """How many seconds ago was this key written down? None: never (Exim: seen).

    `is_before`: the condition asks for something older than `interval` seconds ("-5m"), else for something younger.
    `mode`: "" (Exim's default), "readonly" or "write". Who answers writes down afterwards: smtp/acl/rates.py,
    `age_afterwards`, says with which time. `refresh` is the age in seconds at which an old entry gets a new one.
    """

    key: str
    interval: float
    is_before: bool = False
    mode: str = ""
    refresh: float = 864_000


@dataclass(frozen=True, slots=True)
class NoScore:
    """A content filter that could not be asked. `words`: Exim's; `is_unreached`: there was no connection at all."""

    words: str
    is_unreached: bool = False


@dataclass(frozen=True, slots=True)
class FilterSaid:
    """All that a content filter answered, as latin-1; `shown` is how Exim's log calls it."""

    said: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class SpamScore(Question["FilterSaid | NoScore"]):
    """What does this content filter say of a message (Exim: spam)? The answer is cut off after `most` octets.

    `place`: "host port", or the path of a Unix socket. `head` are the lines of the protocol in front of the message.
    `hangs_up`: our half of the connection ends after the message. Times are seconds; `retry`: before a second call.
    """

    place: str
    head: bytes
    content: bytes = field(repr=False)
    timeout: float = 120
    retry: float = 0
    hangs_up: bool = True
    most: int = 32_599


@dataclass(frozen=True, slots=True)
class Pause(Question[None]):
    """Let this many seconds pass before going on (Exim: delay). It costs the client time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PageFetched:
    """What a GET by HTTPS brought. `problem`: why there is no answer; `of_certificate`: the server was not believed."""

    status: int = 0
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    problem: str = ""
    of_certificate: bool = False


@dataclass(frozen=True, slots=True)
class PolicyAt(Question[PageFetched]):
    """What does the policy host of this domain serve for MTA-STS (RFC 8461 §3.3)? One GET, no redirect followed."""

    domain: str

    @property
    def host(self) -> str:
        return f"mta-sts.{self.domain}"

    @property
    def url(self) -> str:
        return f"https://{self.host}/.well-known/mta-sts.txt"

"""An address on its way through the routers, and what it carries along.

WHAT       Address is the one mutable thing of this room: its text, its parents, the router that looks at it now, what
           earlier routers gave it (Carried), and where it came to. Said is what a router said.
           Walk holds what all addresses of one recipient share: the Env, and the lists of what is found.
STANDARDS  Exim specification, chapter "How Exim receives and delivers mail", "Generic options for routers"
READ NEXT  compile.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from labkit.eximconf.expansion import Env
from labkit.mail.asking import Asking
from labkit.mail.questions import Account
from labkit.routing.mx import NextHop

if TYPE_CHECKING:
    from labkit.routing.compile import Router
    from labkit.routing.trace import Trace

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
LONGEST_DYNASTY = 100  # parents that an address may have
MOST_ADDRESSES = 5000  # of one recipient: aliases that each name two more would never end


class Mode(Enum):
    """Why an address is routed. It decides which routers take part."""

    DELIVERY = "delivery"
    TEST = "address test"  # exim -bt
    VERIFY_RECIPIENT = "verify recipient"
    VERIFY_SENDER = "verify sender"
    EXPN = "EXPN"

    @property
    def is_verification(self) -> bool:
        return self in (Mode.VERIFY_RECIPIENT, Mode.VERIFY_SENDER, Mode.EXPN)


class Said(Enum):
    """What came of asking a router, or all of them."""

    OK = "took it"
    DECLINE = "declined"
    PASS = "passed it on"
    REROUTED = "gave it another domain"
    DISCARD = "discarded it"
    FAIL = "failed it"
    DEFER = "put it off"


@dataclass(slots=True)
class Carried:
    """What an address hands on to the addresses made of it."""

    address_data: str | None = None
    domain_data: str | None = None
    local_part_data: str | None = None
    errors_to: str | None = None
    headers_add: tuple[str, ...] = ()
    headers_remove: tuple[str, ...] = ()
    ignores_errors: bool = False
    variables: Mapping[str, str] = field(default_factory=lambda: NO_VARIABLES)  # r_… ; never changed in place


class Address:
    """One address. `text` is in its outer form, with quotes; `cased` and `lowered` are its local part without."""

    local_part = cased = lowered = domain = ""
    prefix = prefix_v = suffix = suffix_v = ""
    router: Router | None = None  # the last one that looked at it
    start: Router | None = None  # where routing begins; None: at the first
    message: str | None = None  # for the log
    user_message: str | None = None  # for who sent the mail
    may_tell = False  # the message for the log may be told, too
    freezes = False
    has_data = False  # a precondition has set variables, for its router alone
    is_target = False  # |program, /a/file
    is_forbidden = False  # such a target, and the router does not allow it
    is_misdirected = False  # its transport is not to be had
    hides_parent_child = False
    self_hostname: str | None = None
    local_host_removed = False
    home_is_expanded = False
    home: str | None = None
    transport: str | None = None
    hosts: tuple[NextHop, ...] = ()
    host_text: str | None = None  # what manualroute gives a local transport as $host
    onetime_parent: str | None = None

    def __init__(self, text: str, parent: Address | None = None, carried: Carried | None = None) -> None:
        self.text = text
        self.unique = text
        self.parent = parent
        self.carried = carried if carried is not None else Carried()

    def split(self) -> None:
        """Take local part and domain out of the text. Quotes and backslashes go: they are for the outside."""
        local, _, domain = self.text.rpartition("@")
        self.domain = domain.lower()
        self.cased = unquoted(local) if '"' in local or "\\" in local else local
        self.lowered = self.local_part = self.cased.lower()

    def copy(self) -> Address:
        """The same again, for a place in the line of parents."""
        twin = Address.__new__(Address)
        twin.__dict__.update(self.__dict__)
        return twin

    @property
    def next_hosts(self) -> tuple[NextHop, ...]:
        """Those that can be called."""
        return tuple(hop for hop in self.hosts if hop.address)

    @property
    def parents(self) -> tuple[str, ...]:
        """Where it came from, nearest first."""
        found: list[str] = []
        parent = self.parent
        while parent is not None:
            found.append(parent.text)
            parent = parent.parent
        return tuple(found)

    @property
    def eldest(self) -> Address:
        address = self
        while address.parent is not None:
            address = address.parent
        return address


def unquoted(local_part: str) -> str:
    """A local part as programs use it."""
    text, at = "", 0
    while at < len(local_part):
        if local_part[at] == "\\":
            at += 1
            text += local_part[at : at + 1] or "@"  # which follows it
        elif local_part[at] != '"':
            text += local_part[at]
        at += 1
    return text


ErrorsVerifier = Callable[[str, Env], Asking["str | None"]]


@dataclass(slots=True)
class Walk:
    """Routing one recipient and all that comes of it."""

    env: Env
    mode: Mode
    new: list[Address]  # still to be routed, the next one last
    verify_errors_to: ErrorsVerifier  # the address, qualified, if mail to it would arrive
    verify_mode: str = ""  # $verify_mode
    local: list[Address] = field(default_factory=list)  # in the order in which they were found
    remote: list[Address] = field(default_factory=list)
    done: list[tuple[Address, Said]] = field(default_factory=list)  # what did not come to a transport
    remarks: list[str] = field(default_factory=list)  # what Exim writes into its panic log
    accounts: dict[str, Account | None] = field(default_factory=dict)  # each is asked for once
    trace: Trace | None = None
    routed: int = 0  # addresses so far

    def add_new(self, address: Address) -> None:
        """It is routed next."""
        self.new.append(address)

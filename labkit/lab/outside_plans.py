"""What a scenario says of the servers outside: the relay's customers, the provider's demands, the lists' members.

RULES      plain values. A password is in no repr.
READ NEXT  scenario_outside.py, relay_engine.py, provider_engine.py, list_engine.py
"""

from __future__ import annotations

from dataclasses import dataclass, field

BOUNCES_TO = {
    "sender": "the envelope sender stays as it is: reports go to the customer, and SPF asks the customer's own record",
    "subdomain": "bounce.DOMAIN of the customer, a CNAME to the relay: SPF aligns, and the relay hears of bounces",
    "relay": "a domain of the relay's: SPF passes for the relay and aligns with nobody else",
}
DEMANDS = {
    "ptr": "a PTR record for the client's address, and a name that leads back to it",
    "tls": "an encrypted connection",
    "authentication": "SPF or DKIM that passes",
    "alignment": "DMARC that passes, whatever the domain publishes: as for bulk senders",
}
WEEK = 604_800  # seconds
LIST_MODES = {
    "plain": "footer and subject prefix are added, From: stays: a DKIM signature breaks",
    "munge": "and From: is the list's own address, with `via` behind the name",
    "arc": "and the list seals what it has seen with ARC",
    "untouched": "nothing is added, only the envelope is the list's: a DKIM signature survives",
}


@dataclass(frozen=True, slots=True)
class Customer:
    """Who may send by the relay. `quota`: messages in 24 hours. `bounces_to` is one of BOUNCES_TO."""

    login: str
    password: str = field(repr=False)
    domains: tuple[str, ...]
    quota: int = 200
    bounces_to: str = "sender"


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """`keeps_plaintext`: a defect, see net/aiosmtpd_server.Offer."""

    customers: tuple[Customer, ...]
    certificate: str = "good"
    keeps_plaintext: bool = False


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """`demands` are of DEMANDS: who does not meet them is refused. `rate`: messages in an hour from one address.

    `trusts`: domains whose ARC seals are believed. `keeps_plaintext`: a defect, see net/aiosmtpd_server.Offer.
    """

    demands: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    rate: int = 0
    certificate: str = "good"
    keeps_plaintext: bool = False


@dataclass(frozen=True, slots=True)
class MailingList:
    """One list: `name`@ the host's domain. `mode` is one of LIST_MODES; `footer` "" for none."""

    name: str
    members: tuple[str, ...]
    mode: str = "plain"
    footer: str = ""


@dataclass(frozen=True, slots=True)
class ListPlan:
    lists: tuple[MailingList, ...]
    certificate: str = "good"


@dataclass(frozen=True, slots=True)
class ImpostorPlan:
    """Who says to be `poses_as`, and shows what `certificate` says: by default one that nobody vouches for."""

    poses_as: str
    certificate: str = "self-signed"


@dataclass(frozen=True, slots=True)
class MiddlePlan:
    """Who stands before the host `stands_before` and passes everything on.

    `address`: where it wants letters that it makes a server write; `login` and `password`: its own account there.
    """

    stands_before: str
    certificate: str = "self-signed"
    address: str = ""
    login: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """What a scenario says: `mta_sts:` of a host. `mx` empty: the domain's own mail exchangers."""

    mode: str = "enforce"
    mx: tuple[str, ...] = ()
    max_age: int = WEEK
    fault: str = ""


OutsidePlan = RelayPlan | ProviderPlan | ListPlan | ImpostorPlan | MiddlePlan

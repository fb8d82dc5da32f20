"""Scenarios: which hosts, names, accounts and configurations a world begins with.

WHAT       a `Scenario` is plain data; `partners` is the one of the tour.
READ NEXT  host.py, world.py; scenario_file.py for those that are files
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import timedelta

from labkit.lab.data import data_path, fill_in
from labkit.lab.faults import Fault
from labkit.lab.happening import Happening
from labkit.lab.outside_plans import OutsidePlan, PolicyPlan

NAMESERVER = "192.0.2.53"  # RFC 5737: addresses for documentation, so they are nobody's
HOSTS_NETWORK = "203.0.113"
LAPTOPS_NETWORK = "198.51.100"
LONGEST_APEX = 200  # RFC 1035 §2.3.4 allows 255 octets, and our names stand in front of it
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


# The nameserver is all the DNS there is: with a root of its own it can say of any other name that it does not exist.
ROOT_ZONE = """\
$TTL 3600
@  IN SOA ns.root. hostmaster.root. ( 2026090701 7200 900 1209600 300 )
   IN NS  ns.root.
ns.root. IN A 192.0.2.53
"""

REVERSE_TOP = """\
$TTL 3600
@  IN SOA ns.root. hostmaster.root. ( 2026090701 7200 900 1209600 300 )
   IN NS  ns.root.
"""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host that runs an MTA: its name, address, accounts and exim.conf.

    `files` are others on its disk, path and text. `engine`: what it runs unless whoever opens the world says
    otherwise; "" is labkit. An outside host takes mail for its `domains`; `outside` says more of some kinds.
    `queue_interval`: between queue runs; None is the world's, zero a daemon without -q. `starts`: it is up when the
    world begins. `runs_programs`: pipe transports may start programs of this machine. `certified`: it has a certificate
    of the lab's authority and its key, one of authority.KINDS.
    """

    role: str
    name: str
    address: str
    accounts: tuple[str, ...]
    configuration: str
    runs_programs: bool = False
    files: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # a password may be in one
    engine: str = ""
    domains: tuple[str, ...] = ()
    queue_interval: timedelta | None = None
    starts: bool = True
    outside: OutsidePlan | None = None
    certified: str = ""
    mta_sts: PolicyPlan | None = None  # what the policy_domain publishes from the beginning

    @property
    def policy_domain(self) -> str:
        return self.domains[0] if self.domains else self.name.partition(".")[2]


@dataclass(frozen=True, slots=True)
class LaptopPlan:
    """A machine with a mail program and no MTA. It hands its mail to the host `mail_host`."""

    role: str
    name: str
    address: str
    owner: str  # the mail address of who sits there
    mail_host: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """The beginning of a world. `zones` are (origin, master file text).

    `callers` are addresses from which somebody calls, and no more is there: the senders of a stream (traffic.py).
    `faults` are there from the start; `agenda` is what happens by itself. `about` tells readers what it is for.
    `signed` are the origins of zones that are signed.
    """

    name: str
    title: str
    student_number: int
    nameserver: str
    hosts: tuple[HostPlan, ...]
    laptops: tuple[LaptopPlan, ...]
    zones: tuple[tuple[str, str], ...]
    faults: tuple[Fault, ...] = ()
    agenda: tuple[Happening, ...] = ()
    about: str = ""
    callers: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address of the world."""
        return (
            self.nameserver,
            *(host.address for host in self.hosts),
            *(laptop.address for laptop in self.laptops),
            *self.callers,
        )


def partners_scenario(
    st: int = 11,
    partner: int = 2,
    apex: str = "sne21.test",
    address: str | None = None,
    partner_address: str | None = None,
) -> Scenario:
    """Two domains with an MTA each: the student's st<X>.<apex> and the partner's.

    `st` and `partner` are student numbers from 1 to 254; the addresses follow from them, unless they are given
    (3.135.210.50, say). Raises ValueError with the remedy for numbers, names or addresses that cannot be.
    """
    for number in (st, partner):
        if not isinstance(number, int) or not 1 <= number <= 254:
            raise ValueError(f"student number {number!r}: it must be a whole number from 1 to 254")
    if st == partner:
        raise ValueError(f"you are your own partner: st and partner are both {st}")
    if not re.fullmatch(rf"{LABEL}(?:\.{LABEL})+", apex) or len(apex) > LONGEST_APEX:
        raise ValueError(f"apex {apex!r}: write a domain in small letters, such as sne21.test")
    names = {"student": f"st{st}.{apex}", "partner": f"st{partner}.{apex}"}
    addresses = {
        "student": _checked(address or f"{HOSTS_NETWORK}.{st}"),
        "partner": _checked(partner_address or f"{HOSTS_NETWORK}.{partner}"),
    }
    laptops = {"student": f"{LAPTOPS_NETWORK}.{st}", "partner": f"{LAPTOPS_NETWORK}.{partner}"}
    everybody = [NAMESERVER, *addresses.values(), *laptops.values()]
    if taken := next((each for each in addresses.values() if everybody.count(each) > 1), None):
        raise ValueError(f"two hosts would have the address {taken}: give your host another one")
    people = {"student": "ann", "partner": "bob"}
    template = data_path("scenarios", "partners", "host.conf").read_text(encoding="utf-8")
    zone = data_path("scenarios", "partners", "apex.zone").read_text(encoding="utf-8")
    zone_values = {"apex": apex, "nameserver": NAMESERVER}
    for role in names:
        zone_values |= {
            f"{role}_label": names[role].removesuffix(f".{apex}"),
            f"{role}_address": addresses[role],
            f"{role}_laptop": laptops[role],
        }
    hosts = []
    for role, domain in names.items():
        host = f"mx2.{domain}"
        values = {"host": host, "domain": domain, "laptop": laptops[role]}
        hosts.append(HostPlan(role, host, addresses[role], (people[role],), fill_in(template, values)))
    return Scenario(
        name="partners",
        title=f"{names['student']} and {names['partner']}",
        student_number=st,
        nameserver=NAMESERVER,
        hosts=tuple(hosts),
        laptops=tuple(
            LaptopPlan(
                role,
                f"laptop.{names[role]}",
                laptops[role],
                f"{people[role]}@{names[role]}",
                f"mx2.{names[role]}",
            )
            for role in names
        ),
        zones=(
            (".", ROOT_ZONE),
            (apex, fill_in(zone, zone_values)),
            *_reverse_zones(names, addresses, laptops),
        ),
    )


def neighbours_scenario(*domains: str) -> Scenario:
    """Any number of domains, each with an MTA, a laptop and a zone: mx.<domain> at 203.0.113.1, .2, …

    The first is the student's, the second the partner's; in each lives one person, `user`. Raises ValueError for
    names that cannot be, for a domain inside another, and for more than 200.
    """
    if not 1 <= len(domains) <= 200:
        raise ValueError("neighbours: name from 1 to 200 domains")
    for domain in domains:
        if not re.fullmatch(rf"{LABEL}(?:\.{LABEL})+", domain) or len(domain) > LONGEST_APEX:
            raise ValueError(f"domain {domain!r}: write it in small letters, such as a.test")
        if (
            any(other != domain and domain.endswith(f".{other}") for other in domains)
            or domains.count(domain) > 1
        ):
            raise ValueError(f"domain {domain!r} is there already, or inside another")
    template = data_path("scenarios", "partners", "host.conf").read_text(encoding="utf-8")
    hosts, laptops, zones = [], [], [(".", ROOT_ZONE)]
    pointers: dict[str, list[str]] = {}
    for number, domain in enumerate(domains, start=1):
        role = {1: "student", 2: "partner"}.get(number, f"neighbour {number}")
        host, laptop = f"mx.{domain}", f"laptop.{domain}"
        places = {host: f"{HOSTS_NETWORK}.{number}", laptop: f"{LAPTOPS_NETWORK}.{number}"}
        values = {"host": host, "domain": domain, "laptop": places[laptop]}
        hosts.append(HostPlan(role, host, places[host], ("user",), fill_in(template, values)))
        laptops.append(LaptopPlan(role, laptop, places[laptop], f"user@{domain}", host))
        records = "\n".join(f"{name}. IN A {address}" for name, address in places.items())
        top = (
            f"@ IN SOA ns.root. hostmaster.{domain}. ( 2026090701 7200 900 1209600 300 )\n  IN NS ns.root.\n"
        )
        zones.append((domain, f"$TTL 3600\n{top}@ IN MX 10 {host}.\n{records}\n"))
        for name, address in places.items():
            network, _, last = address.rpartition(".")
            pointers.setdefault(reverse_origin(network), []).append(f"{last} IN PTR {name}.")
    for origin, lines in pointers.items():
        zones.append((origin, REVERSE_TOP + "\n".join(lines) + "\n"))
    return Scenario(
        "neighbours", ", ".join(domains), 1, NAMESERVER, tuple(hosts), tuple(laptops), tuple(zones)
    )


def reverse_origin(network: str) -> str:
    return ".".join([*reversed(network.split(".")), "in-addr.arpa"])


def is_login(name: str) -> bool:
    """May an account of a host have this name?"""
    return name.isidentifier() and name.islower() and name.isascii()


def is_domain(name: str) -> bool:
    """A name of at least two labels in small letters, as hosts and domains of a lab have them."""
    return len(name) <= LONGEST_APEX and re.fullmatch(rf"{LABEL}(?:\.{LABEL})+", name) is not None


def _checked(address: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        raise ValueError(f"{address!r} is no IPv4 address: write it like 203.0.113.11") from None


def _reverse_zones(
    names: dict[str, str], addresses: dict[str, str], laptops: dict[str, str]
) -> list[tuple[str, str]]:
    """One reverse zone for each network that has a host in it."""
    pointers: dict[str, list[str]] = {}
    for role, domain in names.items():
        for owner, address in ((f"mx2.{domain}.", addresses[role]), (f"laptop.{domain}.", laptops[role])):
            a, b, c, d = address.split(".")
            pointers.setdefault(f"{c}.{b}.{a}.in-addr.arpa", []).append(f"{d:<4} IN PTR {owner}")
    nameserver = next(iter(names.values())).partition(".")[2]
    top = f"@    IN SOA ns.{nameserver}. hostmaster.{nameserver}. ( 2026090701 7200 900 1209600 300 )\n"
    return [
        (origin, f"$TTL 3600\n{top}     IN NS  ns.{nameserver}.\n" + "\n".join(lines) + "\n")
        for origin, lines in pointers.items()
    ]

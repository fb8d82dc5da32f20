"""What the exercises of notebook 02b share: the records of the student's domain, who sends for it, what was judged.

WHAT       `lookup_in(world)` answers as the nameserver would now, for the auth room's plain door. `texts_at` are the
           TXT records of a name. `own_letters` are the provider's verdicts on what came from the student's host.
DECIDES    nothing: the exercises do.
READ NEXT  vouching_spf.py, vouching_dkim.py, vouching_dmarc.py, vouching_apex.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dns.rdata import from_text
from dns.rdataclass import IN
from dns.rdatatype import TXT

from labkit.auth import LookupTimedOut, NoSuchName
from labkit.auth.domain_names import is_at_or_below
from labkit.lab.host import Host
from labkit.lab.provider_verdict import Verdict
from labkit.lab.world import World
from labkit.mail.questions import DnsOutcome
from labkit.teach.checks import Evidence, Seen
from labkit.teach.views.zone_answers import served

BIGMAIL = "bigmail.test"
STRANGER = "192.0.2.99"  # nobody's address
_LONGEST = 100


def own_domain(world: World) -> str:
    return world.laptop.owner.partition("@")[2]


def partner_domain(world: World) -> str:
    return world.partner_laptop.owner.partition("@")[2]


def apex_of(world: World) -> str:
    return own_domain(world).partition(".")[2]


def host_of(world: World, role: str) -> Host | None:
    """The host with that role, if the world has one."""
    return next((host for host in world.hosts.values() if host.role == role), None)


def lookup_in(world: World) -> Callable[[str, str], Sequence[str]]:
    """A `lookup(name, rdtype)` that asks the lab's nameserver, without the network and without a cache."""

    def lookup(name: str, rdtype: str) -> list[str]:
        found = served(world, name, rdtype)
        if found.outcome is DnsOutcome.NXDOMAIN:
            raise NoSuchName(name)
        if found.outcome in (DnsOutcome.SERVFAIL, DnsOutcome.TIMEOUT):
            raise LookupTimedOut(name)
        return [_joined(data) for data in found.data] if rdtype == "TXT" else list(found.data)

    return lookup


def texts_at(world: World, name: str) -> list[str]:
    """The TXT records of a name, each with its strings joined; none where there is no such name."""
    return [_joined(data) for data in served(world, name, "TXT").data]


def _joined(data: str) -> str:
    strings: Sequence[bytes] = from_text(IN, TXT, data).strings  # type: ignore[attr-defined]
    return b"".join(strings).decode("utf-8", "replace")


def seen_texts(world: World, name: str) -> list[Evidence]:
    """The TXT records of a name, as evidence."""
    return [Seen(world.now(), "nameserver", f"{name} TXT {_cut(text)}") for text in texts_at(world, name)[:5]]


def seen_letter(verdict: Verdict, words: str) -> Seen:
    return Seen(verdict.at, BIGMAIL, words)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def own_letters(world: World) -> list[Verdict]:
    """What the provider thought of the mail that the student's host brought, oldest first."""
    return [verdict for verdict in world.provider.verdicts if verdict.client == world.mine.address]


def names_with(world: World, *words: str) -> list[str]:
    """The names at or below the apex whose TXT records have one of these words, in order."""
    found = []
    for zone in world.zones:
        if is_at_or_below(zone.origin.to_text(omit_final_dot=True), apex_of(world)):
            names = [owner.to_text(omit_final_dot=True).lower() for owner in sorted(zone.records)]
            found += [
                name
                for name in names
                if any(word in text.lower() for text in texts_at(world, name) for word in words)
            ]
    return found


def doubled_origin(world: World, name: str) -> str:
    """A name that ends in the origin twice, if there is one with a TXT record: a final dot is missing."""
    apex = apex_of(world)
    candidates = (f"{name}.{apex}", f"{name}.{own_domain(world)}")
    return next((each for each in candidates if texts_at(world, each)), "")

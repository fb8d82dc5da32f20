"""Choose which mail exchangers to try, and in which order.

DECIDES    order by preference; implicit MX; null MX; never hand mail to ourselves or to a worse exchanger.
STANDARDS  RFC 5321 §5.1, RFC 7505 (null MX)
LIKE EXIM  ignored addresses are as if they did not exist; a null MX beside others is a host without address;
           of two records for one host, or two hosts at one address, the better one counts
SIMPLER    equal preferences keep the order of the zone (a real MTA shuffles them): two runs do the same
READ NEXT  routers.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf, DnsOutcome, MxOf, MxRecord, OwnAddresses


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host to try, with one of its addresses. `preference` is None for an implicit MX (an address record)."""

    host: str
    address: str
    preference: int | None


class MxOutcome(Enum):
    """What the look-up came to."""

    FOUND = "found"
    NO_SUCH_DOMAIN = "no mail exchanger and no address"
    NULL_MX = "the domain takes no mail"
    NO_ADDRESSES = "all relevant MX records point to non-existent hosts"
    OURSELVES = "lowest numbered MX record points to local host"
    OUR_ADDRESS = "remote host address is the local host"
    TRY_LATER = "host lookup did not complete"


@dataclass(frozen=True, slots=True)
class Exchangers:
    """The hosts to try in order, or why there are none; `steps` tells how it was found out."""

    outcome: MxOutcome
    next_hops: tuple[NextHop, ...] = ()
    steps: tuple[str, ...] = ()


def exchangers_of(
    domain: str, is_ignored: Callable[[str], bool] = lambda address: False
) -> Asking[Exchangers]:
    """Find the mail exchangers of a domain. Asks MxOf, AddressesOf and OwnAddresses.

    `is_ignored` says of an address that nothing is ever delivered to it (Exim: ignore_target_hosts).
    """
    answer = yield from ask(MxOf(domain))
    if answer.outcome.is_temporary:
        return Exchangers(MxOutcome.TRY_LATER, (), (f"MX of {domain}: {answer.outcome.value}",))
    if answer.outcome is DnsOutcome.NXDOMAIN:  # RFC 5321 §5.1: there is no such domain, so no address either
        return Exchangers(MxOutcome.NO_SUCH_DOMAIN, (), (f"MX of {domain}: {answer.outcome.value}",))
    if not answer.records:  # RFC 5321 §5.1: without MX the domain itself is the exchanger
        steps = [f"MX of {domain}: {answer.outcome.value}, so its own address counts"]
        return (yield from _with_addresses([(None, domain)], is_ignored, steps))
    steps = [f"MX of {domain}: {', '.join(f'{mx.preference} {mx.exchange}' for mx in answer.records)}"]
    named = [mx for mx in answer.records if mx.exchange not in ("", ".")]
    if not named:  # RFC 7505 §3
        return Exchangers(MxOutcome.NULL_MX, (), (*steps, "a null MX: the domain takes no mail"))
    best: dict[str, MxRecord] = {}
    for mx in sorted(named, key=_preference):
        best.setdefault(mx.exchange.lower().rstrip("."), mx)
    hosts: list[tuple[int | None, str]] = [(mx.preference, mx.exchange) for mx in best.values()]
    return (yield from _with_addresses(hosts, is_ignored, steps))


def _preference(record: MxRecord) -> int:
    return record.preference


def _with_addresses(
    hosts: list[tuple[int | None, str]], is_ignored: Callable[[str], bool], steps: list[str]
) -> Asking[Exchangers]:
    own = {"0.0.0.0", *(yield from ask(OwnAddresses()))}
    hops: list[NextHop] = []
    lowest: int | None = None  # the preference of the first host that is not ignored altogether
    undecided = False
    for preference, host in hosts:
        answer = yield from ask(AddressesOf(host))
        undecided = undecided or answer.outcome.is_temporary
        shown = ", ".join(answer.records) or answer.outcome.value
        steps.append(f"address of {host}: {shown}")
        addresses = [address for address in answer.records if not is_ignored(address)]
        if answer.records and not addresses:
            continue
        lowest = preference if lowest is None else lowest
        if not own.isdisjoint(addresses):
            # RFC 5321 §5.1: leave out ourselves and every exchanger that is not better than us
            steps.append(f"{host} is this host: it and everything after it is left out")
            if preference is None:
                return Exchangers(MxOutcome.OUR_ADDRESS, (), tuple(steps))
            if preference == lowest:
                return Exchangers(MxOutcome.OURSELVES, (), tuple(steps))
            hops = [hop for hop in hops if hop.preference is not None and hop.preference < preference]
            break
        known = {hop.address for hop in hops}
        hops += (NextHop(host, a, preference) for a in dict.fromkeys(addresses) if a not in known)
    if hops:
        return Exchangers(MxOutcome.FOUND, tuple(hops), tuple(steps))
    if undecided:
        return Exchangers(MxOutcome.TRY_LATER, (), tuple(steps))
    implicit = hosts[0][0] is None
    outcome = MxOutcome.NO_SUCH_DOMAIN if implicit else MxOutcome.NO_ADDRESSES
    return Exchangers(outcome, (), tuple(steps))

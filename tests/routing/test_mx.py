"""Mail exchangers: which hosts are tried, in which order, and why none is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.asking import Asking, answer_by, answer_from
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, MxOf, MxRecord, OwnAddresses
from labkit.routing.mx import Exchangers, Ignored, Manner, MxOutcome, exchangers_of

FOUND, NODATA, NXDOMAIN = DnsOutcome.FOUND, DnsOutcome.NODATA, DnsOutcome.NXDOMAIN
OWN = "203.0.113.2"

# a.test is at 192.0.2.1, b.test at 192.0.2.2 …; me.test is this host; two.test has two addresses
ADDRESSES = {letter: (f"192.0.2.{i}",) for i, letter in enumerate("abcdef", start=1)} | {
    "me": (OWN,),
    "both": ("192.0.2.9", OWN),
    "two": ("192.0.2.7", "192.0.2.8"),
    "twin": ("192.0.2.1",),
    "loop": ("127.0.0.1",),
    "zero": ("0.0.0.0",),
}


def zone(mx: str) -> dict[Any, Any]:
    """The answers for a line such as `10 a, 20 b, 30 gone?` (? is a server failure, ! no such name)."""
    answers: dict[Any, Any] = {OwnAddresses(): (OWN,)}
    records = []
    for item in filter(None, mx.split(", ")):
        preference, _, name = item.partition(" ")
        host = name.rstrip("?!")
        records.append(MxRecord(int(preference), host))
        outcome = {"?": DnsOutcome.SERVFAIL, "!": NXDOMAIN}.get(name[len(host) :], FOUND)
        addresses = ADDRESSES.get(host.lower().rstrip("."), ()) if outcome is FOUND else ()
        answers[AddressesOf(host)] = DnsAnswer(
            outcome if addresses or outcome is not FOUND else NODATA, addresses
        )
    answers[MxOf("x.test")] = DnsAnswer(FOUND if records else NODATA, tuple(records))
    return answers


def ignoring(start: str) -> Ignored:
    def ignored(host: str, address: str) -> Asking[bool]:
        return address.startswith(start)
        yield

    return ignored


def tried(found: Exchangers) -> str:
    return " ".join(dict.fromkeys(hop.host for hop in found.next_hops))


@pytest.mark.parametrize(
    "mx, hosts, outcome, because",
    [
        ("10 a, 20 b", "a b", MxOutcome.FOUND, "lower preference value first"),
        ("20 b, 10 a", "a b", MxOutcome.FOUND, "whatever the order of the zone"),
        ("10 c, 10 a, 10 b", "c a b", MxOutcome.FOUND, "equal ones keep the order of the zone (SIMPLER)"),
        ("0 two", "two", MxOutcome.FOUND, "zero is a preference; both addresses of the host"),
        (
            "10 a, 20 me, 30 b",
            "a",
            MxOutcome.FOUND,
            "RFC 5321 §5.1: a backup never relays to itself or to a worse one",
        ),
        ("10 a, 10 me, 30 b", "", MxOutcome.OURSELVES, "an equal one is not better, either"),
        ("10 me, 10 a", "", MxOutcome.OURSELVES, "in either order"),
        ("10 a, 20 b, 20 me, 20 c", "a", MxOutcome.FOUND, "equal ones before and after are left out"),
        ("10 a, 20 both, 30 b", "a", MxOutcome.FOUND, "one of several addresses is enough to be ourselves"),
        ("10 me", "", MxOutcome.OURSELVES, "we are the best: a configuration error"),
        (
            "10 zero",
            "",
            MxOutcome.OURSELVES,
            "0.0.0.0 reaches this host on many systems, so it counts as one",
        ),
        ("0 .", "", MxOutcome.NULL_MX, "RFC 7505: the domain takes no mail"),
        ("0 ", "", MxOutcome.NULL_MX, "the root as an empty name"),
        (
            "0 ., 10 a",
            "a",
            MxOutcome.FOUND,
            "RFC 7505 §3 forbids the mixture; Exim sees a host without address",
        ),
        ("10 a!, 20 b", "b", MxOutcome.FOUND, "a host that does not exist is passed over"),
        ("10 a?, 20 b", "b", MxOutcome.FOUND, "so is one that cannot be looked up now"),
        ("10 a!", "", MxOutcome.NO_ADDRESSES, "nothing left"),
        ("10 a!, 20 nowhere", "", MxOutcome.NO_ADDRESSES, "no address for any"),
        ("10 a?, 20 b!", "", MxOutcome.TRY_LATER, "one may come back"),
        ("10 a!, 20 me", "", MxOutcome.NO_ADDRESSES, "the better one does not exist, and we may not take it"),
        ("10 a?, 20 me", "", MxOutcome.TRY_LATER, "the better one cannot be looked up now"),
        ("10 a, 20 A.", "a", MxOutcome.FOUND, "one host twice: the better record counts"),
        ("20 a, 10 A", "A", MxOutcome.FOUND, "whichever comes first in the zone"),
        ("10 a, 20 twin, 30 b", "a b", MxOutcome.FOUND, "two names for one address: it is tried once"),
        ("10 192.0.2.1", "", MxOutcome.NO_ADDRESSES, "an address in an MX record is no host name"),
    ],
)
def test_order(mx: str, hosts: str, outcome: MxOutcome, because: str) -> None:
    found = answer_from(zone(mx), exchangers_of("x.test"))
    assert (found.outcome, tried(found)) == (outcome, hosts), because
    assert found.steps, "it tells how it was found out"


@pytest.mark.parametrize(
    "mx, address, hops, outcome, because",
    [
        (
            DnsAnswer(NODATA),
            DnsAnswer(FOUND, ("192.0.2.5",)),
            1,
            MxOutcome.FOUND,
            "RFC 5321 §5.1: the implicit MX",
        ),
        (
            DnsAnswer(FOUND, ()),
            DnsAnswer(FOUND, ("192.0.2.5",)),
            1,
            MxOutcome.FOUND,
            "found, but nothing in it",
        ),
        (
            DnsAnswer(NODATA),
            DnsAnswer(FOUND, ("192.0.2.5", "192.0.2.6")),
            2,
            MxOutcome.FOUND,
            "with all addresses",
        ),
        (DnsAnswer(NODATA), DnsAnswer(NODATA), 0, MxOutcome.NO_SUCH_DOMAIN, "neither MX nor address"),
        (DnsAnswer(NODATA), DnsAnswer(DnsOutcome.TIMEOUT), 0, MxOutcome.TRY_LATER, "not known now"),
        (
            DnsAnswer(NODATA),
            DnsAnswer(FOUND, (OWN,)),
            0,
            MxOutcome.OUR_ADDRESS,
            "we are the host, and not configured",
        ),
        (DnsAnswer(NXDOMAIN), None, 0, MxOutcome.NO_SUCH_DOMAIN, "no such name: no address is asked for"),
        (DnsAnswer(DnsOutcome.SERVFAIL), None, 0, MxOutcome.TRY_LATER, "never taken for 'no MX'"),
        (DnsAnswer(DnsOutcome.TIMEOUT), None, 0, MxOutcome.TRY_LATER, "nor is this"),
    ],
)
def test_without_mx(
    mx: DnsAnswer[MxRecord], address: DnsAnswer[str] | None, hops: int, outcome: MxOutcome, because: str
) -> None:
    answers: dict[Any, Any] = {MxOf("x.test"): mx, OwnAddresses(): (OWN,), AddressesOf("x.test"): address}
    if address is None:
        del answers[AddressesOf("x.test")]
    found = answer_from(answers, exchangers_of("x.test"))
    assert (found.outcome, len(found.next_hops)) == (outcome, hops), because
    assert all(hop.preference is None for hop in found.next_hops)


@pytest.mark.parametrize(
    "mx, hosts, outcome, because",
    [
        ("10 loop, 20 a", "a", MxOutcome.FOUND, "an ignored host is passed over"),
        ("10 loop", "", MxOutcome.NO_ADDRESSES, "nothing left"),
        ("10 loop, 20 me", "", MxOutcome.OURSELVES, "as if it did not exist: we are the best"),
    ],
)
def test_ignored_addresses(mx: str, hosts: str, outcome: MxOutcome, because: str) -> None:
    found = answer_from(zone(mx), exchangers_of("x.test", Manner(ignoring("127."))))
    assert (found.outcome, tried(found)) == (outcome, hosts), because


def test_our_own_address_can_be_ignored_too() -> None:
    found = answer_from(zone("10 me, 20 a"), exchangers_of("x.test", Manner(ignoring(OWN))))
    assert tried(found) == "a", "Exim takes ignored addresses away before it looks for itself"


def test_one_ignored_address_of_two() -> None:
    found = answer_from(zone("10 two"), exchangers_of("x.test", Manner(ignoring("192.0.2.7"))))
    assert [hop.address for hop in found.next_hops] == ["192.0.2.8"]


names = st.sampled_from([*ADDRESSES, "gone"])
records = st.lists(st.builds(MxRecord, st.integers(0, 5), names), max_size=8)


@settings(deadline=None)
@given(records, st.sets(names))
def test_rules_that_always_hold(mx: list[MxRecord], failing: set[str]) -> None:
    def answer(question: Any) -> Any:
        if isinstance(question, OwnAddresses):
            return (OWN,)
        if isinstance(question, MxOf):
            return DnsAnswer(FOUND if mx else NODATA, tuple(mx))
        assert isinstance(question, AddressesOf)
        if question.host in failing:
            return DnsAnswer(DnsOutcome.SERVFAIL)
        addresses = ADDRESSES.get(question.host, ())
        return DnsAnswer(FOUND if addresses else NODATA, addresses)

    found = answer_by(answer, exchangers_of("x.test"))
    assert (found.outcome is MxOutcome.FOUND) == bool(found.next_hops)
    preferences = [hop.preference or 0 for hop in found.next_hops]
    assert preferences == sorted(preferences), "never a worse one first"
    assert len({hop.address for hop in found.next_hops}) == len(found.next_hops), "no address twice"
    assert not {OWN, "0.0.0.0"} & {hop.address for hop in found.next_hops}, "never ourselves"
    ours = [r.preference for r in mx if r.exchange in ("me", "both", "zero") and r.exchange not in failing]
    if ours and found.next_hops:
        assert max(preferences) < min(ours), "never a host that is not better than we are"

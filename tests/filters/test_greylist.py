"""Greylisting: what becomes of a triplet, moment by moment."""

from __future__ import annotations

import pytest

from labkit.filters.greylist import DAY, HOUR, MINUTE, Policy, Standing, Triplet, decide, key_of

POLICY = Policy(delay=5 * MINUTE, retry_window=4 * HOUR, lifetime=36 * DAY)


@pytest.mark.parametrize(
    "seen, now, standing, remembered, wait",
    [
        (None, 0.0, Standing.NEW, Triplet(0, 0), 300),
        (Triplet(0, 0), 299, Standing.EARLY, Triplet(0, 299), 1),
        (Triplet(0, 299), 300, Standing.RETRIED, Triplet(0, 300, 1), 0),
        (Triplet(0, 0), 4 * HOUR, Standing.RETRIED, Triplet(0, 4 * HOUR, 1), 0),
        (Triplet(0, 0), 4 * HOUR + 1, Standing.LATE, Triplet(4 * HOUR + 1, 4 * HOUR + 1), 300),
        (Triplet(0, 300, 1), 36 * DAY + 300, Standing.KNOWN, Triplet(0, 36 * DAY + 300, 2), 0),
        (Triplet(0, 300, 1), 36 * DAY + 301, Standing.EXPIRED, Triplet(36 * DAY + 301, 36 * DAY + 301), 300),
    ],
)
def test_decide(
    seen: Triplet | None, now: float, standing: Standing, remembered: Triplet, wait: float
) -> None:
    found = decide(seen, now, POLICY)
    assert (found.standing, found.remembered, found.wait) == (standing, remembered, wait)
    assert found.passes == (wait == 0)
    told = "accepted" if wait == 0 else f"come again in {wait:.0f} s or later"
    assert found.words == f"{told}: {standing.value}"


@pytest.mark.parametrize("begun", [1.0, 5000.0, 1e9])
def test_only_differences_of_times_count(begun: float) -> None:
    """The clock of a mail system does not begin with its first message."""
    seen, told = None, []
    for at in (0, 299, 300, 301, 300 + 36 * DAY, 301 + 72 * DAY, 602 + 72 * DAY):
        found = decide(seen, begun + at, POLICY)
        seen = found.remembered
        told.append((found.standing, found.wait))
    assert told == [
        (Standing.NEW, 300),
        (Standing.EARLY, 1),
        (Standing.RETRIED, 0),
        (Standing.KNOWN, 0),
        (Standing.KNOWN, 0),
        (Standing.EXPIRED, 300),
        (Standing.RETRIED, 0),
    ]


def test_without_a_policy_the_usual_one() -> None:
    assert decide(None, 7.0) == decide(None, 7.0, Policy())


def test_impatient_client_gets_in() -> None:
    """Coming too soon does not begin the delay anew: else who tries each minute would never get in."""
    seen, at = None, 0.0
    while not (found := decide(seen, at, POLICY)).passes:
        seen, at = found.remembered, at + MINUTE
    assert at == 5 * MINUTE


def test_null_sender() -> None:
    assert not decide(None, 0, POLICY, is_null_sender=True).passes
    assert decide(None, 0, Policy(exempts_null_sender=True), is_null_sender=True).passes
    assert not decide(None, 0, Policy(exempts_null_sender=True)).passes


@pytest.mark.parametrize(
    "client, bits, place",
    [
        ("203.0.113.9", (32, 128), "203.0.113.9"),
        ("203.0.113.9", (24, 64), "203.0.113.0/24"),
        ("2001:db8::1:9", (24, 64), "2001:db8::/64"),
        ("::ffff:203.0.113.9", (24, 128), "::ffff:203.0.113.9"),
    ],
)
def test_key(client: str, bits: tuple[int, int], place: str) -> None:
    key = key_of(client, "Ann@A.test", "bob@b.test", Policy(network_bits=bits))
    assert key[0].replace("::ffff:cb00:7109", "::ffff:203.0.113.9") == place
    assert key[1:] == ("ann@a.test", "bob@b.test")


def test_provider_with_many_addresses() -> None:
    """By address each retry from another machine is a stranger; by network it is the same triplet."""
    by = {bits: Policy(network_bits=(bits, 64)) for bits in (32, 24)}
    keys = {
        bits: {key_of(f"203.0.113.{n}", "a@a.test", "b@b.test", by[bits]) for n in (1, 2, 3)} for bits in by
    }
    assert len(keys[32]) == 3 and len(keys[24]) == 1


def test_bad_policy_and_client() -> None:
    for wrong in ({"delay": 10, "retry_window": 10}, {"delay": -1}, {"lifetime": 0}, {"lifetime": -1}):
        with pytest.raises(ValueError, match="delay"):
            Policy(**wrong)  # type: ignore[arg-type]
    assert decide(Triplet(5, 5), 5, Policy(delay=0)).passes, "no delay at all: the second attempt is enough"
    assert Policy(lifetime=1).lifetime == 1
    with pytest.raises(ValueError, match="does not appear"):
        key_of("mx.a.test", "", "b@b.test", POLICY)

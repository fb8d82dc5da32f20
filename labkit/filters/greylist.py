"""Greylisting: who is not known yet shall come again. A decision over what is remembered of one triplet.

WHAT       `decide(seen, now, policy)` -> Decision: the reply to give and what to remember; `key_of(client, sender,
           recipient, policy)` is the triplet under which it is remembered.
WHY        a legitimate server keeps the message in its queue and tries again (RFC 5321 §4.5.4.1); many a spammer does
           not. It looks at no content. What it costs is time: each first letter is late by at least the delay.
WEAK       who retries gets through; a provider that retries from another address begins anew each time: remember the
           network (`network_bits`), and let known providers pass. Servers that never retry lose mail: allow lists.
VARIANTS   at RCPT the reply comes before the message is sent; after DATA (`is_after_data`) the whole message has come
           once, for nothing, but a callout, which stops before DATA, is not turned away.
STANDARDS  RFC 6647 §2.4 (at RCPT), §2.5 (after DATA), §4.2 (callouts), §5 (the triplet; a retry counts from a minute
           to a day, a known one is remembered for a week at least)
HERE       on a host Exim does it itself (`seen =` or sqlite in an ACL); this explains its table.
READ NEXT  blocklist.py
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds; `network_bits` of an IPv4 and an IPv6 address are remembered (24 and 64 for providers with many)."""

    delay: float = 5 * MINUTE
    retry_window: float = DAY  # counted from the first contact
    lifetime: float = 36 * DAY  # counted from the last message
    network_bits: tuple[int, int] = (32, 128)
    exempts_null_sender: bool = False
    is_after_data: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.delay < self.retry_window or self.lifetime <= 0:
            raise ValueError("a delay from 0 to below the retry window is wanted, and a lifetime above 0")


@dataclass(frozen=True, slots=True)
class Triplet:
    """What is remembered: when it was first seen, when last, and how many messages have passed since."""

    first: float
    last: float
    passed: int = 0


class Standing(Enum):
    """What a triplet is to us at that moment."""

    NEW = "never seen"
    EARLY = "came again too soon"
    LATE = "came again too late, so it begins anew"
    RETRIED = "came again in time"
    KNOWN = "has passed before"
    EXPIRED = "passed too long ago, so it begins anew"
    EXEMPT = "the null sender, which is let pass"


@dataclass(frozen=True, slots=True)
class Decision:
    """`remembered` is what the table has from now on; `wait` the seconds until a retry would pass, 0 if it passes."""

    standing: Standing
    remembered: Triplet | None
    wait: float = 0.0

    @property
    def passes(self) -> bool:
        return self.standing in (Standing.RETRIED, Standing.KNOWN, Standing.EXEMPT)

    @property
    def words(self) -> str:
        if self.passes:
            return f"accepted: {self.standing.value}"
        return f"come again in {self.wait:.0f} s or later: {self.standing.value}"


def key_of(client: str, sender: str, recipient: str, policy: Policy) -> tuple[str, str, str]:
    """The triplet: the client's network, MAIL FROM and RCPT TO. Raises ValueError for a client that is no address.

    Domains, and here the local parts too, are compared in small letters.
    """
    bits = policy.network_bits[ip_address(client).version == 6]
    network = ip_network(f"{client}/{bits}", strict=False)
    place = str(network.network_address) if bits == network.max_prefixlen else str(network)
    return place, sender.lower(), recipient.lower()


def decide(
    seen: Triplet | None, now: float, policy: Policy | None = None, *, is_null_sender: bool = False
) -> Decision:
    """What to do with a message of this triplet, and what to remember. the null sender is MAIL FROM:<>."""
    policy = policy or Policy()
    if policy.exempts_null_sender and is_null_sender:
        return Decision(Standing.EXEMPT, seen)
    if seen is None:
        return _begin(Standing.NEW, now, policy)
    if seen.passed:
        if now - seen.last > policy.lifetime:
            return _begin(Standing.EXPIRED, now, policy)
        return Decision(Standing.KNOWN, Triplet(seen.first, now, seen.passed + 1))
    age = now - seen.first
    if age < policy.delay:
        return Decision(Standing.EARLY, Triplet(seen.first, now), policy.delay - age)
    if age > policy.retry_window:
        return _begin(Standing.LATE, now, policy)
    return Decision(Standing.RETRIED, Triplet(seen.first, now, 1))


def _begin(standing: Standing, now: float, policy: Policy) -> Decision:
    return Decision(standing, Triplet(now, now), policy.delay)

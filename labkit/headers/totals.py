"""Many surveys added up, in memory that does not grow with their number.

WHAT       `Totals().add(survey)`; `merge` joins the totals of several processes; `survey_all(messages,
           progress)` surveys one after the other and keeps none.
BOUNDED    hops and delays are counted in classes. Domains are counted by name up to ten thousand; then the rarest half
           goes into one number, so that a name that becomes frequent late is counted from then on.
READ NEXT  fast.py
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from labkit.headers.fast import Survey, survey

MOST_DOMAINS = 10_000
EVERY = 1000  # messages between two calls of `progress`
# the upper ends of the classes of delays, in seconds; the last class is longer than all of them
CLASSES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 432_000.0)
Progress = Callable[[int], None]


@dataclass(slots=True)
class Totals:
    """How many messages, and how they came. `hops[n]`: messages with n hops; `delays[c]`: single steps of class c;
    `totals[c]`: whole journeys of class c; `slowest`: the longest journey in seconds, with its Message-ID."""

    messages: int = 0
    octets: int = 0
    skewed: int = 0
    undated: int = 0
    signed: int = 0
    from_lists: int = 0
    hops: Counter[int] = field(default_factory=Counter)
    delays: list[int] = field(default_factory=lambda: [0] * (len(CLASSES) + 1))
    totals: list[int] = field(default_factory=lambda: [0] * (len(CLASSES) + 1))
    slowest: tuple[float, str] = (0.0, "")
    domains: Counter[str] = field(default_factory=Counter)
    other_domains: int = 0

    def add(self, each: Survey) -> None:
        self.messages += 1
        self.octets += each.size
        self.skewed += each.has_skew
        self.undated += each.total is None
        self.signed += bool(each.dkim_domains)
        self.from_lists += bool(each.list_id)
        self.hops[each.hops] += 1
        for delay in each.delays:
            if delay is not None:
                self.delays[bisect_left(CLASSES, delay)] += 1
        if each.total is not None:
            self.totals[bisect_left(CLASSES, each.total)] += 1
            if each.total > self.slowest[0]:
                self.slowest = (each.total, each.message_id)
        self.domains[each.from_domain] += 1
        self._keep_bounds()

    def merge(self, other: Totals) -> None:
        """Add what another has counted."""
        self.messages += other.messages
        self.octets += other.octets
        self.skewed += other.skewed
        self.undated += other.undated
        self.signed += other.signed
        self.from_lists += other.from_lists
        self.hops.update(other.hops)
        self.delays = [a + b for a, b in zip(self.delays, other.delays)]
        self.totals = [a + b for a, b in zip(self.totals, other.totals)]
        self.slowest = max(self.slowest, other.slowest)
        self.domains.update(other.domains)
        self.other_domains += other.other_domains
        self._keep_bounds()

    def _keep_bounds(self) -> None:
        if len(self.domains) > MOST_DOMAINS:
            kept = Counter(dict(self.domains.most_common(MOST_DOMAINS // 2)))
            self.other_domains += sum(self.domains.values()) - sum(kept.values())
            self.domains = kept


def survey_all(messages: Iterable[bytes], progress: Progress | None = None, every: int = EVERY) -> Totals:
    """Survey message after message. `progress(so_far)` is called after each `every`, and at the end."""
    totals = Totals()
    for message in messages:
        totals.add(survey(message))
        if progress is not None and totals.messages % every == 0:
            progress(totals.messages)
    if progress is not None and totals.messages % every:
        progress(totals.messages)
    return totals

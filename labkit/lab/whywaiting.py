"""Why does a message still wait? Its retry time, and the queue run that will find it.

WHAT       `clocks_of(host, queue_id)`: for each recipient what is said of the last try, which hint holds it, its retry
           time, the first queue run at or after that, and when the time of the message is over.
DECIDES    nothing: labkit's own MTA is asked for its hints and its runner's times; of a real Exim, exim_dumpdb tells
           the retry times, and the queue runs go by the interval it was started with.
READ NEXT  lives.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from labkit.eximconf.place import readable
from labkit.lab.engine import NoSuchMessage
from labkit.lab.exim_engine import EximEngine
from labkit.lab.lives import life_of
from labkit.mail.event import EventKind, MailEvent
from labkit.mta.mta import Mta
from labkit.mta.runner import Runner
from labkit.mta.state import MtaState
from labkit.queue.item import QueueItem
from labkit.queue.schedule import Failing, RetryRule, finding_rule

if TYPE_CHECKING:
    from labkit.lab.host import Host

_STAMP = r"\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d"
_RECORD = re.compile(
    rf"^ *([RT]:.+?) -?\d+ -?\d+ (.*)\n({_STAMP})  ({_STAMP})  ({_STAMP}) *(\*?) *$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Held:
    """A hint: until when something is not tried. `what` is its key: T: a host or mailbox, R: an address."""

    what: str
    first_failed: datetime
    last_try: datetime
    next_try: datetime
    has_expired: bool = False
    words: str = ""

    @property
    def holds_until(self) -> datetime:
        """When the message is dealt with: a host that is dead for too long holds nobody, it is given up."""
        return self.last_try if self.has_expired and self.is_host else self.next_try

    @property
    def is_host(self) -> bool:
        return self.what.startswith("T:") and "@" not in self.what


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks of one message. `runs_every` None: the daemon runs no queue."""

    host: str
    queue_id: str
    now: datetime
    came: datetime
    recipients: tuple[str, ...]
    last: MailEvent | None  # the last deferral
    held: Held | None  # the hint that decides when it is tried; None: nothing holds one of its recipients
    due: datetime  # the retry time, or now if that is reached
    runs_every: timedelta | None
    next_run: datetime | None  # the first queue run that finds it due
    gives_up_after: timedelta | None
    is_running: bool
    is_frozen: bool


def clocks_of(host: Host, queue_id: str) -> Clocks:
    """Raises KeyError if it does not wait there."""
    item = next((each for each in host.queue if each.queue_id == queue_id), None)
    if item is None:
        raise NoSuchMessage(f"no message {queue_id} waits at {host.name}; see queue_listing()")
    stay = next(s for s in life_of(host.world.journal, queue_id).stays if s.queue_id == queue_id)
    put_off = stay.of(EventKind.DEFERRED)
    now = host.world.now()
    if isinstance(host.engine, EximEngine):
        mta: Runner | EximEngine = host.engine
        held, every, given_up = _of_exim(host.engine)
    else:
        mta = host.mta.runner
        held, every, given_up = _of_labkit(host.mta, item)
    deciding = _deciding(held, item, host)
    due = looked_at = now if deciding is None else max(now, deciding.holds_until)
    if given_up is not None:  # too old to wait for a retry time
        looked_at = min(due, max(now, stay.began + given_up + timedelta(seconds=1)))
    is_looked_at = host.is_running and not item.frozen
    return Clocks(
        host.name,
        queue_id,
        now,
        stay.began,
        tuple(str(each) for each in item.remaining),
        put_off[-1] if put_off else None,
        deciding,
        due,
        every,
        mta.next_run(max(looked_at, now + timedelta(microseconds=1))) if is_looked_at else None,
        given_up,
        host.is_running,
        item.frozen,
    )


Known = tuple[tuple[Held, ...], "timedelta | None", "timedelta | None"]


def _of_labkit(mta: Mta, item: QueueItem) -> Known:
    state = mta.state
    held = tuple(
        Held(
            key, h.attempt.first_failed, h.attempt.last_try, h.attempt.next_try, h.attempt.has_expired, h.text
        )
        for key, h in state.hints.rows.items()
    )
    rules = [_rule_of(state, str(each), item.envelope.sender) for each in item.remaining]
    ages = [rule.give_up_after for rule in rules if rule is not None]
    return held, mta.runner.interval, max(ages, default=None)


def _rule_of(state: MtaState, address: str, sender: str) -> RetryRule | None:
    """The rule for any error of an address; None if it takes a look-up to know."""
    asking = finding_rule(state.compiled.retry_rules, Failing(address, sender=sender), state.env())
    try:
        next(asking)
    except StopIteration as found:
        rule: RetryRule | None = found.value
        return rule
    asking.close()
    return None


def _of_exim(engine: EximEngine) -> Known:
    return tuple(_records(engine.retry_hints() or "")), engine.queue_interval, engine.gives_up_after


def _records(dump: str) -> Iterator[Held]:
    """What `exim_dumpdb SPOOL retry` prints: two lines for each hint."""
    for key, words, *stamps, star in _RECORD.findall(dump):
        first, last, following = (
            datetime.strptime(stamp, "%d-%b-%Y %H:%M:%S").replace(tzinfo=timezone.utc) for stamp in stamps
        )
        yield Held(readable(key), first, last, following, bool(star), readable(words))


def _deciding(held: Iterable[Held], item: QueueItem, host: Host) -> Held | None:
    """The hint that ends first, recipient by recipient: all that is said of an address must be over, and that of one of
    the hosts for it."""
    known = tuple(held)
    found = []
    for recipient in item.remaining:
        hosts = _hosts_for(recipient.domain.lower(), item, host)
        own = [each for each in known if _is_of(each, str(recipient).lower(), item.queue_id)]
        of_hosts = [
            each for each in known if each.is_host and each.what[2:].partition(":")[0].lower() in hosts
        ]
        of_hosts = [each for each in of_hosts if each not in own]
        decisive = [*own, *sorted(of_hosts, key=lambda each: each.holds_until)[:1]]
        if not decisive:
            return None
        found.append(max(decisive, key=lambda each: each.holds_until))
    return min(found, key=lambda each: each.holds_until, default=None)


def _is_of(held: Held, address: str, queue_id: str) -> bool:
    """Whether a hint is about this address, its domain, its mailbox, or this message at a host."""
    name = held.what[2:].lower()
    if held.what.startswith("R:"):
        return name in (address, address.rpartition("@")[2]) or name.startswith(f"{address}:")
    return name == address or name.endswith(f":{queue_id.lower()}")


def _hosts_for(domain: str, item: QueueItem, host: Host) -> set[str]:
    """Where mail for a domain goes: the hosts in its MX records, itself, and where this message was tried before."""
    tried = {
        event.remote_host.lower()
        for event in host.world.journal.where(host=host.name, queue_id=item.queue_id)
        if event.remote_host is not None and event.kind.is_fact
    }
    return {domain, *tried, *_exchanges(host, {domain})}


def _exchanges(host: Host, domains: set[str]) -> set[str]:
    """The mail exchanges of domains, as the lab's own zones have them."""
    found = set()
    for zone in host.world.zones:
        for rrsets in zone.records.values():
            for rrset in rrsets:
                if rrset.rdtype.name == "MX" and rrset.name.to_text(omit_final_dot=True).lower() in domains:
                    found |= {rdata.exchange.to_text(omit_final_dot=True).lower() for rdata in rrset}
    return found

"""Why does a message still wait? Its retry time, and the queue run that will find it.

WHAT       `clocks_of(host, queue_id)`: for each recipient what is said of the last try, which hint holds it, its retry
           time, the first queue run at or after that, and when the time of the message is over.
DECIDES    nothing: labkit's own MTA is asked for its hints and its runner's times; of a real Exim, exim_dumpdb tells
           the retry times, and the queue runs go by the interval it was started with.
READ NEXT  lives.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
_RECORD = re.compile(rf"^ *([RT]:\S+) .*\n({_STAMP})  ({_STAMP})  ({_STAMP})( \*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """A hint: until when something is not tried. `what` is its key: T: a host or mailbox, R: an address."""

    what: str
    first_failed: datetime
    last_try: datetime
    next_try: datetime
    has_expired: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks of one message. `runs_every` None: the daemon runs no queue."""

    host: str
    queue_id: str
    now: datetime
    came: datetime
    recipients: tuple[str, ...]
    last: MailEvent | None  # the last deferral
    held: tuple[Held, ...]  # the one that ends first at the front
    runs_every: timedelta | None
    next_run: datetime | None  # the first queue run that finds it due
    gives_up_after: timedelta | None
    is_running: bool
    is_frozen: bool

    @property
    def due(self) -> datetime | None:
        return self.held[0].next_try if self.held else None


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
    held = tuple(
        sorted((each for each in held if _concerns(each, item, host)), key=lambda each: each.next_try)
    )
    due = max(now, held[0].next_try) if held else now
    if given_up is not None:
        due = min(due, max(now, stay.began + given_up + timedelta(seconds=1)))
    return Clocks(
        host.name,
        queue_id,
        now,
        stay.began,
        tuple(str(each) for each in item.remaining),
        put_off[-1] if put_off else None,
        held,
        every,
        mta.next_run(max(due, now + timedelta(microseconds=1))) if host.is_running else None,
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
    for key, *stamps, star in _RECORD.findall(dump):
        first, last, following = (
            datetime.strptime(stamp, "%d-%b-%Y %H:%M:%S").replace(tzinfo=timezone.utc) for stamp in stamps
        )
        yield Held(readable(key), first, last, following, bool(star))


def _concerns(held: Held, item: QueueItem, host: Host) -> bool:
    """Whether a hint is about this message: its recipients, their domains, or a host that it was tried at."""
    name = held.what[2:].lower()
    for each in item.remaining:
        address = str(each).lower()
        if name == address or name.startswith(f"{address}:") or name == address.rpartition("@")[2]:
            return True
    if held.what.startswith("T:"):
        if name.endswith(item.queue_id.lower()):
            return True
        return _leads_to(name, item, host)
    return False


def _leads_to(name: str, item: QueueItem, host: Host) -> bool:
    """Whether mail for one of its domains goes to the host of this hint: by MX, address, or what was tried before."""
    exchange = name.partition(":")[0]
    domains = {each.domain.lower() for each in item.remaining}
    if exchange in domains:
        return True
    tried = {
        event.remote_host
        for event in host.world.journal.where(host=host.name, queue_id=item.queue_id)
        if event.remote_host is not None
    }
    return exchange in {each.lower() for each in tried} or exchange in _exchanges(host, domains)


def _exchanges(host: Host, domains: set[str]) -> set[str]:
    """The mail exchanges of domains, as the lab's own zones have them."""
    found = set()
    for zone in host.world.zones:
        for rrsets in zone.records.values():
            for rrset in rrsets:
                if rrset.rdtype.name == "MX" and rrset.name.to_text(omit_final_dot=True).lower() in domains:
                    found |= {rdata.exchange.to_text(omit_final_dot=True).lower() for rdata in rrset}
    return found

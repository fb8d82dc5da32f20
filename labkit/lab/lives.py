"""The life of a message, host by host, and who waited where and when: read from the journal.

WHAT       `life_of` gives the stays of one message: what was tried, what was only looked at, what ended it, and what
           its sender was told. `waits_of` gives everybody who waited at a host, by destination.
RULES      facts only, so that a real Exim's are read in the same way.
LIKE EXIM  a deferral with a number from -51 to -56 is no try: its retry time was not reached, or it was to wait
READ NEXT  whywaiting.py, hops.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.mail.event import EventKind, MailEvent
from labkit.queue import errors

NOT_TRIED = frozenset(
    {-51, errors.NOT_DUE, errors.NOT_DUE_LOCAL, errors.NOT_DUE_HOST, errors.LOCAL_ONLY, errors.QUEUE_DOMAIN}
)
WARNING, REPORT = "warning", "report"


@dataclass(frozen=True, slots=True)
class Told:
    """A message that a host wrote about another one: a `warning` that it takes long, or a `report` that it failed."""

    what: str
    event: MailEvent


@dataclass(frozen=True, slots=True)
class Stay:
    """One message at one host, from its coming until nobody is left to reach. `ended` None: it is still there."""

    host: str
    queue_id: str
    events: tuple[MailEvent, ...]
    told: tuple[Told, ...] = ()

    @property
    def began(self) -> datetime:
        return self.events[0].at

    @property
    def ended(self) -> datetime | None:
        return next((event.at for event in self.events if event.kind is EventKind.COMPLETED), None)

    @property
    def came_from(self) -> str | None:
        """The host it came from; None: it was handed in there."""
        return self.events[0].remote_host

    @property
    def tries(self) -> tuple[MailEvent, ...]:
        """What was really tried, well or not; that a recipient is given up after a try is not one more."""
        put_off = {(event.at, event.recipient) for event in self.of(EventKind.DEFERRED)}
        return tuple(
            event
            for event in self.events
            if event.kind in _TRIED
            and not is_only_a_look(event)
            and not (event.kind is EventKind.FAILED and _is_untried(event, put_off))
        )

    @property
    def looks(self) -> tuple[MailEvent, ...]:
        """What was found not to be due."""
        return tuple(event for event in self.events if is_only_a_look(event))

    def of(self, kind: EventKind) -> tuple[MailEvent, ...]:
        return tuple(event for event in self.events if event.kind is kind)


def _is_untried(failed: MailEvent, put_off: set[tuple[datetime, str | None]]) -> bool:
    return (failed.at, failed.recipient) in put_off or "retry time not reached" in (failed.text or "")


_TRIED = (EventKind.DEFERRED, EventKind.DELIVERED, EventKind.FAILED)


@dataclass(frozen=True, slots=True)
class Life:
    """The stays of one message, in the order of its coming."""

    name: str
    stays: tuple[Stay, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(stay.host for stay in self.stays))

    @property
    def began(self) -> datetime:
        return self.stays[0].began


@dataclass(frozen=True, slots=True)
class Waited:
    """A message that waited at a host for a domain; `until` None: it still does."""

    queue_id: str
    domain: str
    since: datetime
    until: datetime | None

    def age(self, now: datetime) -> timedelta | None:
        """How long it had waited at `now`; None: it was not there."""
        return now - self.since if self.since <= now and (self.until is None or now < self.until) else None


def is_only_a_look(event: MailEvent) -> bool:
    return event.kind is EventKind.DEFERRED and event.errno in NOT_TRIED


def life_of(events: Iterable[MailEvent], name: str) -> Life:
    """Follow a message by its queue id at any host, or by its Message-ID. Raises LookupError."""
    facts = [event for event in events if event.kind.is_fact and event.queue_id is not None]
    came = [event for event in facts if event.kind is EventKind.RECEIVED]
    named = [event for event in came if name in (event.queue_id, event.message_id)]
    if not named:
        known = ", ".join(dict.fromkeys(str(event.queue_id) for event in came[-5:]))
        raise LookupError(f"no message {name!r} ever came; the last ones are {known or 'none'}")
    ids = {event.message_id for event in named if event.message_id is not None}
    ours = {(e.host, e.queue_id) for e in came if e.message_id in ids or e.queue_id == name}
    return Life(name, tuple(_stays(facts, ours)))


def _stays(facts: list[MailEvent], wanted: set[tuple[str, str | None]]) -> Iterable[Stay]:
    found: dict[tuple[str, str | None], list[MailEvent]] = {}
    about: dict[tuple[str, str | None], list[MailEvent]] = {}
    for event in facts:
        key = (event.host, event.queue_id)
        if key in wanted:
            if event.kind is EventKind.RECEIVED or key in found:
                found.setdefault(key, []).append(event)
        elif event.kind is EventKind.RECEIVED and (event.host, event.about) in wanted:
            about.setdefault((event.host, event.about), []).append(event)
    for (host, queue_id), events in found.items():
        failed = {event.at for event in events if event.kind is EventKind.FAILED}
        told = tuple(
            Told(REPORT if each.at in failed else WARNING, each) for each in about.get((host, queue_id), ())
        )
        yield Stay(host, queue_id or "", tuple(events), told)


def waits_of(events: Iterable[MailEvent], host: str) -> list[Waited]:
    """Everybody who ever waited at a host, oldest first; a message counts once for each domain it waits for.

    Who was gone at the instant of coming did not wait.
    """
    stays: dict[str, list[MailEvent]] = {}
    for event in events:
        if event.host != host or event.queue_id is None or not event.kind.is_fact:
            continue
        if event.kind is EventKind.RECEIVED:
            stays[event.queue_id] = [event]
        elif event.queue_id in stays:
            stays[event.queue_id].append(event)
    found = [waited for queue_id, said in stays.items() for waited in _waited(queue_id, said)]
    return sorted(
        (each for each in found if each.until is None or each.until > each.since), key=lambda w: w.since
    )


def _waited(queue_id: str, events: list[MailEvent]) -> Iterable[Waited]:
    came = events[0]
    completed = next((event.at for event in events if event.kind is EventKind.COMPLETED), None)
    last: dict[str, MailEvent] = {}  # of each recipient
    domains: dict[str, set[str]] = {}
    for event in events:
        if event.kind in _TRIED and event.recipient is not None:
            last[event.recipient] = event
            domains.setdefault(domain_of(event), set()).add(event.recipient)
    if not last:
        names = {address.rpartition("@")[2].lower() for address in (came.raw_recipients or "").split()}
        for domain in sorted(names) or ["?"]:
            yield Waited(queue_id, domain, came.at, completed)
        return
    for domain, recipients in domains.items():
        ends = [completed if last[r].kind is EventKind.DEFERRED else last[r].at for r in recipients]
        until = None if None in ends else max(end for end in ends if end is not None)
        yield Waited(queue_id, domain, came.at, until)


def domain_of(event: MailEvent) -> str:
    """Where somebody is to be reached: the domain of what aliases made of the address."""
    address = event.became if event.became and "@" in event.became else event.recipient or ""
    return address.rpartition("@")[2].lower() or "?"

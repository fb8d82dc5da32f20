"""The way of messages through the lab, as steps: what the mail map and its text show.

WHAT       `Trail` follows the journal's facts: each is a `Step` with the host where it happened, the hop it is (from
           where to where) and the message it belongs to. Totals (hops on each way, what waits where, who is up) are
           kept beside, so that what came before the first step is not lost.
DECIDES    one message is what has one Message-ID, on all hosts. A report that its log does not name is known by the
           Message-ID that its MTA gives it. A copy that comes to a host where it was before has turned: a loop. What
           went before is told by the copy that the sending host has; two copies side by side are no loop.
RULES      a hop is told where it arrives; by who sends only if it arrives outside the lab.
LIMITS     MOST_STEPS steps and MOST_MESSAGES messages are kept, the newest; the rest is counted.
READ NEXT  views/mail_map.py
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.mail.event import EventKind, MailEvent
from labkit.teach.markup import clip, visible

MOST_STEPS = 400
MOST_MESSAGES = 60
LONGEST_WORDS = 200
LONGEST_NAME = 80
OUTSIDE = "outside"  # whoever is no machine of the lab

_CALLED = re.compile(r"H=\S+ \[([0-9.]+)\]")
_KINDS = frozenset(
    {
        EventKind.STARTED,
        EventKind.STOPPED,
        EventKind.RECEIVED,
        EventKind.DELIVERED,
        EventKind.DEFERRED,
        EventKind.FAILED,
        EventKind.FROZEN,
        EventKind.COMPLETED,
        EventKind.REJECTED,
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One fact. `source` and `target` are names of machines if something moved, else ""; `tried`: the one that was
    called in vain, if that is known. `turn`: how many times the message has come to this host; 2 and more is a loop."""

    number: int  # of the event
    at: str
    kind: str
    host: str
    words: str
    message: int = 0  # 0: no message
    queue_id: str = ""
    source: str = ""
    target: str = ""
    tried: str = ""
    turn: int = 0


Visits = Counter[str]


@dataclass(slots=True)
class Traveller:
    """A message on its way. `hops` counts how often it was received; a copy knows how often it was at each host."""

    number: int
    subject: str
    sender: str
    recipients: str
    is_report: bool
    hops: int = 0
    most_turns: int = 0
    ending: str = "on its way"
    open: dict[tuple[str, str], Visits] = field(default_factory=dict)  # copies that wait: host and queue id
    last: dict[str, Visits] = field(default_factory=dict)  # the newest copy of each host


@dataclass(slots=True)
class Totals:
    """How things stand: hops by way, copies that wait by host, and who is down."""

    hops: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    down: set[str] = field(default_factory=set)

    def take(self, step: Step) -> None:
        if step.source:
            self.hops[step.source, step.target] += 1
        if step.kind == EventKind.RECEIVED.value:
            self.waiting[step.host] += 1
        elif step.kind == EventKind.COMPLETED.value:
            self.waiting[step.host] -= 1
        elif step.kind == EventKind.STARTED.value:
            self.down.discard(step.host)
        elif step.kind == EventKind.STOPPED.value:
            self.down.add(step.host)


class Trail:
    """Follows the facts of a world. `machines` has the name for an address; `hosts` are those that run an MTA."""

    def __init__(self, machines: Mapping[str, str], hosts: frozenset[str]) -> None:
        self._machines = machines
        self._hosts = hosts
        self.steps: deque[Step] = deque()
        self.before = Totals()  # the steps that are not kept any more
        self.before.down |= hosts
        self.left_out = 0
        self.messages: OrderedDict[int, Traveller] = OrderedDict()
        self.count = 0  # of all messages
        self._by_id: dict[str, Traveller] = {}
        self._ids: dict[int, str] = {}
        self._of_queue: dict[tuple[str, str], Traveller] = {}
        self._called: tuple[str, str | None, str] = (
            "",
            "",
            "",
        )  # the last call that failed: host, queue id, whom

    def take(self, event: MailEvent) -> None:
        if event.kind is EventKind.LOGGED and (called := _CALLED.match(event.text or "")):
            self._called = event.host, event.queue_id, self._name(called[1])
        if event.kind not in _KINDS or event.host not in self._hosts:
            return
        traveller = self._traveller(event)
        source, target = self._hop(event)
        turn = 0
        if traveller is not None:
            turn = self._note(traveller, event, source)
        self._keep(
            Step(
                number=event.number,
                at=f"{event.at:%a %d %b %H:%M}" + (f":{event.at:%S}" if event.at.second else ""),
                kind=event.kind.value,
                host=event.host,
                words=visible(clip(self._words(event, source, target, turn), LONGEST_WORDS)),
                message=traveller.number if traveller else 0,
                queue_id=visible(event.queue_id or ""),
                source=source,
                target=target,
                tried=self._tried(event),
                turn=turn,
            )
        )

    def _keep(self, step: Step) -> None:
        self.steps.append(step)
        if len(self.steps) > MOST_STEPS:
            self.before.take(self.steps.popleft())
            self.left_out += 1

    # --- whose step it is ---------------------------------------------------------------------

    def _traveller(self, event: MailEvent) -> Traveller | None:
        if event.queue_id is None:
            return None
        key = event.host, event.queue_id
        if event.kind is not EventKind.RECEIVED:
            return self._of_queue.get(key)
        message_id = event.message_id or f"<E{event.queue_id}@{event.host}>"
        traveller = self._by_id.get(message_id) or self._new(event, message_id)
        self._of_queue[key] = traveller
        return traveller

    def _new(self, event: MailEvent, message_id: str) -> Traveller:
        if len(self.messages) >= MOST_MESSAGES:
            self._forget()
        self.count += 1
        traveller = Traveller(
            self.count,
            visible(clip(event.subject or "", LONGEST_NAME)),
            visible(clip(event.sender or "", LONGEST_NAME)),
            visible(clip(event.raw_recipients or "", LONGEST_NAME)),
            event.sender == "",
        )
        self.messages[traveller.number] = self._by_id[message_id] = traveller
        self._ids[traveller.number] = message_id
        return traveller

    def _forget(self) -> None:
        """The oldest that waits nowhere; the oldest, if all do."""
        number = next(
            (number for number, one in self.messages.items() if not one.open), next(iter(self.messages))
        )
        traveller = self.messages.pop(number)
        self._by_id.pop(self._ids.pop(number), None)
        for key in traveller.open:
            self._of_queue.pop(key, None)

    def _note(self, traveller: Traveller, event: MailEvent, source: str) -> int:
        """Bring what is known of the message up to date; how many times this copy has come to this host."""
        key = event.host, event.queue_id or ""
        if event.kind is EventKind.RECEIVED:
            before = next((v for (host, _), v in reversed(traveller.open.items()) if host == source), None)
            visits = (before or traveller.last.get(source) or Counter[str]()) + Counter([event.host])
            traveller.open[key] = traveller.last[event.host] = visits
            traveller.hops += 1
            traveller.most_turns = max(traveller.most_turns, visits[event.host])
        visits = traveller.open.get(key, Counter[str]())
        if event.kind is EventKind.COMPLETED:
            traveller.open.pop(key, None)
            self._of_queue.pop(key, None)
        traveller.subject = traveller.subject or visible(clip(event.subject or "", LONGEST_NAME))
        traveller.recipients = traveller.recipients or visible(clip(event.recipient or "", LONGEST_NAME))
        traveller.ending = self._ending(event) or traveller.ending
        return visits[event.host]

    def _ending(self, event: MailEvent) -> str | None:
        if event.kind is EventKind.DELIVERED:
            if not event.remote_address:
                return f"in a mailbox at {event.host}"
            return (
                None if self._name(event.remote_address) in self._hosts else "handed over to somebody outside"
            )
        if event.kind is EventKind.RECEIVED:
            return "on its way"
        return {
            EventKind.DEFERRED: f"waits at {event.host}",
            EventKind.FAILED: f"given up at {event.host}",
            EventKind.FROZEN: f"frozen at {event.host}",
        }.get(event.kind)

    # --- where it went ------------------------------------------------------------------------

    def _hop(self, event: MailEvent) -> tuple[str, str]:
        if event.kind is EventKind.RECEIVED and event.remote_address:
            source = self._name(event.remote_address)
            return ("", "") if source == event.host else (source, event.host)
        if event.kind is EventKind.DELIVERED and event.remote_address:
            target = self._name(event.remote_address)
            if target not in self._hosts:
                return event.host, target
        return "", ""

    def _tried(self, event: MailEvent) -> str:
        if event.kind is not EventKind.DEFERRED:
            return ""
        if event.remote_address:
            return self._name(event.remote_address)
        host, queue_id, name = self._called
        return name if (host, queue_id) == (event.host, event.queue_id) else ""

    def _name(self, address: str) -> str:
        return self._machines.get(address, OUTSIDE)

    def _words(self, event: MailEvent, source: str, target: str, turn: int) -> str:
        remote = f"{event.remote_host or 'a host'} [{event.remote_address}]"
        match event.kind:
            case EventKind.STARTED:
                return "the daemon is up"
            case EventKind.STOPPED:
                return "the daemon is down"
            case EventKind.RECEIVED:
                about = f", a report about {event.about}" if event.about else ""
                back = f", for the {_ordinal(turn)} time" if turn > 1 else ""
                size = f", {event.size:,} octets" if event.size is not None else ""
                return f"received from {remote if event.remote_address else 'this host itself'}{size}{about}{back}"
            case EventKind.DELIVERED if event.remote_address:
                return f"handed over to {remote}: {event.code or ''} {event.text or ''}".rstrip()
            case EventKind.DELIVERED:
                return f"put into the mailbox of {event.became or event.recipient or 'somebody'}"
            case EventKind.DEFERRED:
                return f"deferred, {event.recipient or ''} waits: {event.text or ''}"
            case EventKind.FAILED:
                return f"given up for {event.recipient or ''}: {event.text or ''}"
            case EventKind.FROZEN:
                return f"frozen: {event.text or 'nobody tries it any more'}"
            case EventKind.REJECTED:
                asked = f"{event.command} of {remote}" if event.command else remote
                return f"refused {asked}: {event.text or event.code or ''}"
        return "completed: nothing is left to do here"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"

"""Why does a message still wait? Its retry time, and the queue run that will find it.

WHAT       `clocks_of(host, queue_id)`: for each recipient what is said of the last try, which hint holds it, its retry
           time, the first queue run at or after that, and when the time of the message is over.
DECIDES    nothing: the host's engine is asked for its hints and its queue runs, labkit's own MTA or a real Exim.
READ NEXT  waiting.py, lives.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from labkit.lab.engine import Engine, NoSuchMessage
from labkit.lab.exim_engine import EximEngine
from labkit.lab.labkit_engine import LabkitEngine
from labkit.lab.lives import life_of
from labkit.lab.waiting import Held, Trying, exchangers, held_by
from labkit.mail.event import EventKind, MailEvent
from labkit.mta.state import MtaState
from labkit.queue.item import QueueItem
from labkit.queue.schedule import Failing, RetryRule, finding_rule

if TYPE_CHECKING:
    from labkit.lab.host import Host


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
    trying = Trying()
    for event in host.world.journal.where(host=host.name, queue_id=queue_id):
        trying.take(event)
    hints = host.engine.retry_hints() or {}
    deciding = held_by(item, trying.hosts, hints, exchangers(host.world.zones))
    given_up = _gives_up_after(host.engine, item)
    due = looked_at = now if deciding is None else max(now, deciding.holds_until)
    if given_up is not None:  # too old to wait for a retry time
        looked_at = min(due, max(now, stay.began + given_up + timedelta(seconds=1)))
    return Clocks(
        host.name,
        queue_id,
        now,
        stay.began,
        tuple(str(each) for each in item.remaining),
        put_off[-1] if put_off else None,
        deciding,
        due,
        host.engine.queue_interval,
        None if item.frozen else host.next_queue_run(looked_at),
        given_up,
        host.is_running,
        item.frozen,
    )


def _gives_up_after(engine: Engine, item: QueueItem) -> timedelta | None:
    """How old its retry rules let it become; None: nobody says."""
    if isinstance(engine, EximEngine):
        return engine.gives_up_after
    if not isinstance(engine, LabkitEngine):
        return None
    rules = [_rule_of(engine.mta.state, str(each), item.envelope.sender) for each in item.remaining]
    return max((rule.give_up_after for rule in rules if rule is not None), default=None)


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

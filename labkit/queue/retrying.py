"""May this be tried now, and what follows from a failure: one message against the hints of its host.

WHAT       `Retrying` knows the rules, the hints, and the message: `host_status` before a host is called, `waits` before
           an address is routed, `updating` when the run is over.
RULES      what fails is not written down at once, but at the end of a run (RetryItem): only then is it known whether
           everything that was tried has run out. Then the address is given up.
           A message that is older than its rule allows is tried once more, whatever the hints say; a host that has
           been dead for longer than its rule is not tried for new messages before its time: they are given up at once.
STANDARDS  Exim specification, chapter "Retry configuration", sections "Retry rule examples", "Timeout of retry data",
           "Long-term failures", "Deliveries that work intermittently"
READ NEXT  report.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from zlib import crc32

from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.queue.errors import in_words
from labkit.queue.hints import RETRY_DATA_EXPIRE, Hint, Hints, address_key, domain_key
from labkit.queue.schedule import (
    RETRY_INTERVAL_MAX,
    Attempt,
    Failing,
    RetryRule,
    finding_rule,
)


class HostStatus(Enum):
    """Whether a host may be called now."""

    USABLE = "usable"
    USABLE_AGAIN = "its time is over, but it may be tried once more"
    NOT_DUE = "its retry time is not reached"
    EXPIRED = "its time is over, and its retry time is not reached"

    @property
    def is_usable(self) -> bool:
        return self in (HostStatus.USABLE, HostStatus.USABLE_AGAIN)


@dataclass(frozen=True, slots=True)
class RetryItem:
    """One line for the hints: a failure under this key, or (`forgets`) that there is none any more.

    `domain` is the one for which a host was tried; "": it is no host that failed. `is_of_message`: the host took it
    ill with this message alone.
    """

    key: str
    errno: int = 0
    more: int = 0
    words: str = ""
    domain: str = ""
    is_of_message: bool = False
    forgets: bool = False


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """retry_interval_max and retry_data_expire."""

    interval: timedelta = RETRY_INTERVAL_MAX
    expire: timedelta = RETRY_DATA_EXPIRE


@dataclass(slots=True)
class Retrying:
    """One message in one run. Exim counts whole seconds, and so does this."""

    rules: tuple[RetryRule, ...]
    hints: Hints
    limits: RetryLimits
    env: Env
    sender: str
    received_at: datetime
    seed: str = ""

    def __post_init__(self) -> None:
        self.received_at = self.received_at.replace(microsecond=0)

    def row(self, key: str, now: datetime) -> Hint | None:
        return self.hints.row(key, now.replace(microsecond=0), self.limits.expire)

    def host_status(self, key: str, of_message: str, domain: str, now: datetime) -> Asking[HostStatus]:
        """May the host of this key be called for this message? (`of_message` is the key of the two.)"""
        now = now.replace(microsecond=0)
        status = HostStatus.USABLE
        if known := self.row(key, now):
            attempt = known.attempt
            if now < attempt.next_try:
                if attempt.has_expired:
                    return HostStatus.EXPIRED
                is_old = yield from self._is_too_old(key, domain, known, now)
                return HostStatus.USABLE if is_old else HostStatus.NOT_DUE
            status = HostStatus.USABLE_AGAIN if attempt.has_expired else HostStatus.USABLE
        if (known := self.row(of_message, now)) and now < known.attempt.next_try:
            is_old = yield from self._is_too_old(key, domain, known, now)
            return HostStatus.USABLE if is_old else HostStatus.NOT_DUE
        return status

    def waits(self, address: Mailbox, now: datetime) -> Asking[Hint | None]:
        """The hint for which this address is not routed now; None: it may be."""
        now = now.replace(microsecond=0)
        of_domain = self.row(domain_key(address.domain), now)
        of_address = self.row(address_key(address), now) or self.row(address_key(address, self.sender), now)
        is_early = (
            of_domain is not None and now < of_domain.attempt.next_try and not of_domain.attempt.has_expired
        )
        if not is_early and (of_address is None or now >= of_address.attempt.next_try):
            return None
        if of_domain is None and of_address is not None:
            key = address_key(address)
            if (yield from self._is_too_old(key, address.domain, of_address, now)):
                return None
        return of_domain or of_address

    def mailbox_waits(self, key: str, domain: str, now: datetime) -> Asking[bool]:
        """Whether a mailbox of this host is not tried now."""
        now = now.replace(microsecond=0)
        known = self.row(key, now)
        if known is None or now >= known.attempt.next_try or known.attempt.has_expired:
            return False
        return not (yield from self._is_too_old(key, domain, known, now))

    def of_routing(self, address: Mailbox) -> Iterable[RetryItem]:
        """What is forgotten once an address is routed."""
        keys = (address_key(address, self.sender), address_key(address), domain_key(address.domain))
        return (RetryItem(key, forgets=True) for key in keys if key in self.hints.rows)

    def updating(self, item: RetryItem, now: datetime) -> Asking[bool]:
        """Write a failure into the hints; whether the time of what failed is over."""
        now = now.replace(microsecond=0)
        rule = yield from self._rule(item.key, item.domain, item.errno, item.more)
        if rule is None:
            return True
        age = now - self.received_at
        attempt = self.hints.note_failure(
            item.key,
            rule,
            in_words(item.errno) or item.words,
            now,
            errno=item.errno,
            more=item.more,
            dice=crc32(f"{self.seed} {item.key} {now.timestamp():.0f}".encode()) / 2**32,
            age=timedelta() if item.domain else age,
            longest=self.limits.interval,
            expire=self.limits.expire,
        )
        if attempt.has_expired:
            return True
        if self.received_at <= attempt.first_failed and age > rule.give_up_after:
            known = self.hints.rows[item.key]
            at_once = Attempt(attempt.first_failed, now, now)
            self.hints.store(item.key, Hint(at_once, known.text, known.errno, known.more))
            return True
        return False

    def is_older_than(self, host: str, now: datetime) -> Asking[bool]:
        """Whether the message is older than the rule for this host allows, whatever its failure."""
        rule = yield from self._rule(f"T:{host}", "", 0, 0)
        return rule is None or not rule.steps or now - self.received_at > rule.give_up_after

    def _is_too_old(self, key: str, domain: str, known: Hint, now: datetime) -> Asking[bool]:
        """Whether the message is older than the rule allows for this failure: then it is tried, and given up."""
        rule = yield from self._rule(key, domain, known.errno, known.more)
        return rule is None or not rule.steps or now - self.received_at > rule.give_up_after

    def _rule(self, key: str, domain: str, errno: int, more: int) -> Asking[RetryRule | None]:
        return (
            yield from finding_rule(self.rules, Failing(key[2:], domain, errno, more, self.sender), self.env)
        )

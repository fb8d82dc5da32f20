"""What a host remembers about failures, across messages and restarts.

WHAT       for each host that could not be reached, and each address that was put off: when to try again.
WHY        one dead host must not be called once for every message that waits for it.
LIKE EXIM  keys begin with T: for a host, or for a mailbox here, and R: for an address or a domain that is not easily
           routed or accepted (what exim_dumpdb SPOOL retry shows); what was not touched for a week is forgotten
           (retry_data_expire)
READ NEXT  retrying.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.mail.address import Mailbox
from labkit.queue.schedule import RETRY_INTERVAL_MAX, Attempt, RetryRule, after_failure

RETRY_DATA_EXPIRE = timedelta(days=7)
LONGEST_TEXT = 900


@dataclass(frozen=True, slots=True)
class Hint:
    """One row: the attempt, and the words and numbers of the last failure."""

    attempt: Attempt
    text: str
    errno: int = 0
    more: int = 0


def host_key(host: str, address: str, port: int = 25, interface: str = "") -> str:
    """A host at an address (and at a port, if it is not the usual one), called from an interface, if one is named.

    Without an address: the host, whatever its address (retry_include_ip_address = false).
    """
    where = f"T:{host.lower()}" + (f":{address}" if address else "") + (f":{port}" if port != 25 else "")
    return f"{where}/{interface}" if interface else where


def message_key(host: str, queue_id: str) -> str:
    """One message at one host (`host` is a host_key): the host took others."""
    return f"{host}:{queue_id}"


def address_key(recipient: Mailbox, sender: Mailbox | str | None = None) -> str:
    """An address; with the sender, if it is for his mail that it is put off ("" or None with brackets: <>)."""
    key = f"R:{recipient.local_part.lower()}@{recipient.domain.lower()}"
    return key if sender is None else f"{key}:<{sender}>"


def domain_key(domain: str) -> str:
    return f"R:{domain.lower()}"


def mailbox_key(recipient: Mailbox, *, of_domain: bool = False) -> str:
    """A mailbox of this host (or all those of a domain, if its transport says so)."""
    return "T" + (domain_key(recipient.domain) if of_domain else address_key(recipient))[1:]


class Hints:
    """The table of hints of one host."""

    def __init__(self) -> None:
        self.rows: dict[str, Hint] = {}
        self.has_changed = False

    def row(self, key: str, now: datetime, expire: timedelta = RETRY_DATA_EXPIRE) -> Hint | None:
        """What is known; what was not touched for so long is not."""
        hint = self.rows.get(key)
        return None if hint is None or now - hint.attempt.last_try > expire else hint

    def note_failure(
        self,
        key: str,
        rule: RetryRule,
        text: str,
        now: datetime,
        *,
        errno: int = 0,
        more: int = 0,
        dice: float = 0.5,
        age: timedelta = timedelta(),
        longest: timedelta = RETRY_INTERVAL_MAX,
        expire: timedelta = RETRY_DATA_EXPIRE,
    ) -> Attempt:
        """Remember a failure; returns when to try next."""
        known = self.row(key, now, expire)
        attempt = after_failure(rule, known.attempt if known else None, now, dice, age=age, longest=longest)
        self.store(key, Hint(attempt, text[:LONGEST_TEXT], errno, more))
        return attempt

    def store(self, key: str, hint: Hint) -> None:
        self.rows[key] = hint
        self.has_changed = True

    def forget(self, key: str) -> None:
        if self.rows.pop(key, None) is not None:
            self.has_changed = True

    def to_text(self) -> str:
        """For storing: JSON, one row a line, sorted."""
        rows = {
            key: [
                *(
                    at.isoformat()
                    for at in (hint.attempt.first_failed, hint.attempt.last_try, hint.attempt.next_try)
                ),
                hint.attempt.has_expired,
                hint.errno,
                hint.more,
                hint.text,
            ]
            for key, hint in sorted(self.rows.items())
        }
        return json.dumps(rows, indent=0)

    @classmethod
    def from_text(cls, text: str) -> Hints:
        """Read what `to_text` wrote; damaged hints are only hints, so they are dropped."""
        hints = cls()
        try:
            for key, (first, last, following, has_expired, errno, more, words) in json.loads(
                text or "{}"
            ).items():
                times = tuple(datetime.fromisoformat(at) for at in (first, last, following))
                if any(at.tzinfo is None for at in times):
                    raise ValueError("a time without its zone")
                hints.rows[key] = Hint(
                    Attempt(times[0], times[1], times[2], bool(has_expired)),
                    str(words),
                    int(errno),
                    int(more),
                )
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return cls()
        return hints

"""What a host remembers about failures, across messages and restarts.

WHAT       for each host that could not be reached, and each address that was put off: when to try again.
WHY        one dead host must not be called once for every message that waits for it.
LIKE EXIM  keys begin with T: for a host and R: for an address (what exim_dumpdb SPOOL retry shows);
           what was not touched for a week is forgotten (retry_data_expire)
READ NEXT  report.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.mail.address import Mailbox
from labkit.queue.schedule import Attempt, RetryRule, after_failure

RETRY_DATA_EXPIRE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Hint:
    """One row: the attempt and the words of the last failure."""

    attempt: Attempt
    text: str


def host_key(host: str, address: str) -> str:
    return f"T:{host.lower()}:{address}"


def address_key(recipient: Mailbox) -> str:
    return f"R:{Mailbox(recipient.local_part, recipient.domain.lower())}"


class Hints:
    """The table of hints of one host."""

    def __init__(self) -> None:
        self.rows: dict[str, Hint] = {}

    def is_due(self, key: str, now: datetime) -> bool:
        """Whether this may be tried at `now`. What has run out may be tried: its failure will be final."""
        hint = self.rows.get(key)
        return hint is None or hint.attempt.next_try is None or hint.attempt.next_try <= now

    def has_run_out(self, key: str) -> bool:
        hint = self.rows.get(key)
        return hint is not None and hint.attempt.next_try is None

    def note_failure(self, key: str, rule: RetryRule | None, text: str, now: datetime) -> Attempt:
        """Remember a failure; returns when to try next (never, if there is no rule)."""
        earlier = self.rows[key].attempt if key in self.rows else None
        if earlier is not None and now - earlier.last_try > RETRY_DATA_EXPIRE:
            earlier = None
        attempt = Attempt(now, now, None) if rule is None else after_failure(rule, earlier, now)
        self.rows[key] = Hint(attempt, text)
        return attempt

    def forget(self, key: str) -> None:
        self.rows.pop(key, None)

    def to_text(self) -> str:
        """For storing: JSON, one row a line, sorted."""
        rows = {
            key: [
                hint.attempt.first_failed.isoformat(),
                hint.attempt.last_try.isoformat(),
                hint.attempt.next_try.isoformat() if hint.attempt.next_try else None,
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
            for key, (first, last, following, words) in json.loads(text or "{}").items():
                when = datetime.fromisoformat(following) if following else None
                attempt = Attempt(datetime.fromisoformat(first), datetime.fromisoformat(last), when)
                if None in (
                    attempt.first_failed.tzinfo,
                    attempt.last_try.tzinfo,
                    (when or attempt.last_try).tzinfo,
                ):
                    raise ValueError("a time without its zone")
                hints.rows[key] = Hint(attempt, str(words))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        return hints

"""When is the next queue run of a real Exim that can find anything to do?

WHY        a daemon with -q15m looks 480 times in five days, and nearly every time all it finds is "retry time not
           reached". The lab carries out the runs that can change something, at the very instants the daemon would.
DECIDES    as queue/due.py; retry times are what Exim's own hints database says, the rest is in its configuration.
           What was not yet tried, or is frozen, is looked at in every run; so is what waits and left no hint when it
           was put off (a held domain, a field of a transport that cannot be expanded).
STANDARDS  Exim specification, chapters "Retry configuration", "Exim utilities" (exim_dumpdb); option delay_warning
READ NEXT  exim_engine.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from labkit.eximconf.options import read_time
from labkit.eximconf.place import Place, readable
from labkit.queue import errors
from labkit.queue.due import warning_ages
from labkit.queue.hints import Hint
from labkit.queue.schedule import Attempt

SAID = Place("exim -bP", 1)  # where these times come from, should one be unreadable
_STAMP = r"\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d"
_RECORD = re.compile(  # key, error, words; first failed, last tried, next try, and a star if its time is over
    rf"^ *([RT]:.+?) (-?\d+) (-?\d+) (.*)\n({_STAMP})  ({_STAMP})  ({_STAMP}) *(\*?) *$", re.MULTILINE
)
_RULE = re.compile(r"\b[FGH]\s*,\s*((?:\d+[wdhms])+)")


@dataclass(frozen=True, slots=True)
class PutOff:
    """A recipient that waits, as the log tells of it: its last `==` line."""

    queue_id: str
    recipient: str
    host: str  # the last one that was tried, or ""
    errno: int
    words: str
    at: datetime

    def is_kept_by(self, hints: Mapping[str, Hint]) -> bool:
        """Whether a hint tells when it is tried again: it was looked at for its hint, or has left one."""
        if self.errno in (errors.NOT_DUE, errors.NOT_DUE_LOCAL):
            return True
        if self.errno == errors.NOT_DUE_HOST:
            return "retry time not reached" in self.words
        domain = self.recipient.rpartition("@")[2]
        told = [name.lower() for name in (self.queue_id, domain, self.host) if name]
        at = self.at.replace(microsecond=0)
        return any(
            hint.attempt.last_try >= at and any(name in key.lower() for name in told)
            for key, hint in hints.items()
        )


def read_hints(dump: str) -> dict[str, Hint]:
    """What `exim_dumpdb SPOOL retry` prints, two lines for each hint: of hosts and addresses that failed."""
    found = {}
    for key, errno, more, words, *stamps, star in _RECORD.findall(dump):
        first, last, following = (
            datetime.strptime(stamp, "%d-%b-%Y %H:%M:%S").replace(tzinfo=timezone.utc) for stamp in stamps
        )
        attempt = Attempt(first, last, following, bool(star))
        found[readable(key)] = Hint(attempt, readable(words), int(errno), int(more))
    return found


def cutoffs(configuration: str) -> list[timedelta]:
    """The ages up to which the retry rules of a configuration (as `exim -bP config` prints it) reach."""
    _, _, section = configuration.partition("begin retry")
    return [read_time(text, SAID) for text in _RULE.findall(section.partition("\nbegin ")[0])]


def warnings(delay_warning: str, until: timedelta) -> list[timedelta]:
    """The ages at which a warning is sent: those listed, and then again and again after the last interval."""
    ages = [read_time(item.strip(), SAID) for item in delay_warning.split(":") if item.strip()]
    return warning_ages(ages, until)

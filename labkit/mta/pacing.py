"""smtp_ratelimit_mail, smtp_ratelimit_rcpt: a client of smtp_ratelimit_hosts waits longer with each command.

WHAT       `Pace` is one such setting: how many commands are free, and how long the next one waits; `Paces` are those
           of a session.
STANDARDS  Exim specification, chapter "Main configuration" (smtp_ratelimit_hosts)
READ NEXT  session.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.eximconf.configuration import Options
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import Pause
from labkit.mta.connecting import matches

if TYPE_CHECKING:
    from labkit.mta.session import Session


@dataclass(slots=True)
class Pace:
    """After `threshold` commands each waits, the first of them `delay` seconds."""

    threshold: int
    delay: float
    factor: float
    limit: float

    def pause(self) -> float:
        """Seconds that this command waits; the next one waits longer."""
        now, self.delay = self.delay, min(self.delay * self.factor, self.limit)
        return now


class Paces:
    """The two settings. The delays of RCPT begin anew with each message."""

    def __init__(self, main: Options) -> None:
        self._main = main
        self._mail = self._read("smtp_ratelimit_mail")
        self._rcpt = self._read("smtp_ratelimit_rcpt")

    def _read(self, option: str) -> Pace | None:
        value = self._main.several(option) if self._main.has(option) else ()
        return Pace(*value) if value else None

    def mail(self, session: Session) -> Asking[None]:
        self._rcpt = self._read("smtp_ratelimit_rcpt")
        yield from _wait(session, self._mail, session.machine.counting.mails)

    def rcpt(self, session: Session) -> Asking[None]:
        yield from _wait(session, self._rcpt, session.machine.transaction.rcpt_count)


def _wait(session: Session, pace: Pace | None, count: int) -> Asking[None]:
    if pace is None or count <= pace.threshold:
        return
    if (yield from matches(session, "smtp_ratelimit_hosts")):
        yield from ask(Pause(pace.pause()))

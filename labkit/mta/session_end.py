"""A session is over: what the log hears of it, and the ACL for those who did not say QUIT.

WHAT       `ended(session)` is called once, when nothing more will be read from the client.
LIKE EXIM  a client that goes away in the middle of something is told of; one that was idle only where log_selector
           has smtp_connection
STANDARDS  Exim specification, section "The not-QUIT ACL"
READ NEXT  session_log.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.mail.asking import Asking, answer_later
from labkit.smtp.acl import Phase
from labkit.smtp.states import State

if TYPE_CHECKING:
    from labkit.mail.reply import Reply
    from labkit.mta.session import Session

LOST, COMMAND_TIMEOUT, DATA_TIMEOUT, STOPPED = (
    "connection-lost",
    "command-timeout",
    "data-timeout",
    "signal-exit",
)
_WITHIN_MESSAGE = (State.CONTENT, State.CHUNKS, State.STUCK)


def ended(session: Session) -> None:
    """Tell the log, and let the ACL be run."""
    machine, log, ending = session.machine, session.log, session.machine.ending
    seconds = max(int((session.state.surroundings.now() - session.begun).total_seconds()), 0)
    if ending.reason == LOST:
        in_content = ending.state in _WITHIN_MESSAGE
        log.lost(seconds, in_transaction=ending.envelope is not None, in_content=in_content)
    elif ending.reason in (COMMAND_TIMEOUT, DATA_TIMEOUT):
        sender = ending.envelope.sender if ending.envelope is not None else ""
        log.timed_out(in_content=ending.reason == DATA_TIMEOUT, sender=sender)
    elif ending.reason == STOPPED:
        log.stopped()
    if machine.counting.mails == 0:
        log.no_mail(seconds)
    if ending.reason and session.main.has("acl_smtp_notquit"):
        _run(session, ending.reason)


def not_quit(session: Session, reason: str) -> Asking[Reply | None]:
    """Run the ACL; its message, if it has one, goes to a client that is still there."""
    session.env.variables["smtp_notquit_reason"] = reason
    verdict = yield from session.judge(Phase.NOTQUIT)
    return verdict.reply if verdict is not None else None


def _run(session: Session, reason: str) -> None:
    async def run() -> None:
        asking = not_quit(session, reason)
        await answer_later(session.answer_question, asking, session.state.hear())

    def decide(answer: Reply | None, *, close: bool = False) -> None:
        """Nobody is there to be told."""

    session.intake.later(run(), decide)

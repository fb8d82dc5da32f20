"""An autoreply transport answers a message.

DOES       looks who has had an answer (once), sends it, remembers that, and writes the transport's own log.
SAFE       it is remembered after the answer is on disk: a crash in between may answer twice
READ NEXT  piping.py
"""

from __future__ import annotations

from pathlib import Path

from labkit.delivery.transports import ReplyPlan, Trouble
from labkit.mta.intake import Intake
from labkit.mta.local_message import NotTaken
from labkit.mta.own_mail import send
from labkit.mta.state import MtaState
from labkit.net.once_file import OnceFile, write_log


async def answer(
    state: MtaState, intake: Intake, plan: ReplyPlan, transport: str, about: str
) -> Trouble | None:
    """Carry out the plan for the message `about`. Returns why it could not be, or None."""
    now, once = state.surroundings.now().timestamp(), None
    if plan.once:
        once = OnceFile(_place(state, plan.once), state.root, plan.mode, plan.once_size)
        try:
            last = once.last(plan.to)
        except OSError as problem:
            return _trouble(problem, f'Failed to open "once" file {plan.once}', transport)
        if last is not None and (plan.repeat <= 0 or now - last < plan.repeat):
            _log(state, plan, plan.again)
            return None
    if plan.trouble is not None:
        return plan.trouble
    try:
        await send(state, intake, plan.content, about)
        sent = True
    except NotTaken:
        sent = False
    if once is not None:
        try:
            once.note(plan.to, now)
        except OSError as problem:
            return _trouble(problem, f'Failed to write "once" file {plan.once}', transport)
    if not sent:
        return Trouble(f"Failed to send message from {transport} transport (1)")
    _log(state, plan, plan.sent)
    return None


def _place(state: MtaState, path: str) -> Path:
    return state.root / path.lstrip("/")


def _log(state: MtaState, plan: ReplyPlan, text: str) -> None:
    if plan.log:
        write_log(_place(state, plan.log), state.root, text, plan.mode)


def _trouble(problem: OSError, words: str, transport: str) -> Trouble:
    why = problem.strerror or str(problem)
    return Trouble(
        f"{why}: {words} when sending message from {transport} transport: {why}", problem.errno or 0
    )

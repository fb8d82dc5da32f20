"""A pipe transport hands a message to a program.

DOES       runs it, writes what it said into the log if the transport wants that, and decides whether it goes back.
READ NEXT  local_delivery.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.delivery.pipe import Ended, not_found, verdict
from labkit.delivery.transports import PipePlan, Trouble
from labkit.eximconf.configuration import Driver
from labkit.mail.event import EventKind
from labkit.mta.legs import Leg
from labkit.mta.state import MtaState
from labkit.net import program_run

_LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Piped:
    """What came of it: why it does not have the message (None: it has), and what goes back to the sender."""

    trouble: Trouble | None
    output: bytes = b""


async def pipe(state: MtaState, plan: PipePlan, transport: Driver, leg: Leg, *, can_return: bool) -> Piped:
    """Carry out the plan. `can_return`: there is somebody to whom its output may go back."""
    program = program_run.find(plan.words[0], plan.path, state.root)
    if program is None:
        return Piped(not_found(plan))
    try:
        status, output, broke = await program_run.run(
            program,
            plan.words,
            plan.octets,
            environment=dict(plan.environment),
            directory=plan.directory,
            root=state.root,
            umask=plan.umask,
            timeout=plan.timeout,
            most_output=plan.most_output,
        )
    except OSError as problem:
        words = f"Failed to create child process for {transport.name} transport: {problem.strerror}"
        return Piped(Trouble(words))
    trouble = verdict(plan, Ended(status, output, broke))
    if not output:
        return Piped(trouble)
    _log(state, transport, leg, trouble, output)
    options, fails = transport.options, trouble is not None and trouble.fails
    if can_return and options.flag("return_output"):
        return Piped(_as_failure(trouble), output)
    return Piped(trouble, output if can_return and fails and options.flag("return_fail_output") else b"")


def _as_failure(trouble: Trouble | None) -> Trouble:
    """return_output: what a program says goes back, and that is a failure, however it ended."""
    if trouble is None:
        return Trouble("return message generated", fails=True, told="")
    return Trouble(trouble.words, trouble.errno, fails=True, told=trouble.told)


def _log(state: MtaState, transport: Driver, leg: Leg, trouble: Trouble | None, output: bytes) -> None:
    options = transport.options
    fails, waits = trouble is not None and trouble.fails, trouble is not None and not trouble.fails
    if not (
        options.flag("log_output")
        or (fails and options.flag("log_fail_output"))
        or (waits and options.flag("log_defer_output"))
    ):
        return
    line = output.decode("utf-8", "backslashreplace").split("\n")[0].rstrip()[:_LONGEST_LINE]
    shown = leg.route.text or leg.address
    state.note(EventKind.LOGGED, text=f"<{shown}>: {transport.name} transport output: {line}")

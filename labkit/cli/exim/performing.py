"""Do what a command asks for, in the process that owns the spool.

READ NEXT  submission.py, local_session.py, actions.py
"""

from __future__ import annotations

from contextlib import suppress

from labkit.cli.exim.command import Mode
from labkit.cli.exim.views import Work


async def perform(work: Work) -> None:
    """Do it, and tell the console the exit status. What goes on afterwards belongs to `work.time`."""
    mode = work.command.mode
    if mode is Mode.MESSAGE:
        from labkit.cli.exim.submission import submit

        await submit(work)
    elif mode in (Mode.SMTP, Mode.BATCH):
        from labkit.cli.exim.local_session import converse

        await converse(work)
    elif mode in (Mode.DELIVER, Mode.ACT, Mode.RUN_QUEUE):
        from labkit.cli.exim.actions import act

        await act(work)
    elif mode is Mode.LIST:  # whoever asks reads the files then
        for queue_id in tuple(work.mta.state.queue):
            with suppress(OSError):
                work.mta.state.spool.show(queue_id)
        work.console.end(0)
    else:
        raise ValueError(f"a command of the kind {mode.value} is not for the owner of a spool")

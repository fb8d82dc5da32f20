"""An owner of the spool for a while: the child of a command that found none.

DOES       takes the spool, serves the command that started it and all who come meanwhile, and ends when nothing is
           under way.
READ NEXT  daemon.py
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path

from labkit.cli.exim.command import Command
from labkit.cli.exim.files import CannotStart
from labkit.cli.exim.frames import ERR, STATUS, frame
from labkit.cli.exim.main_settings import Settings
from labkit.cli.exim.owner import Owner
from labkit.cli.exim.views import View
from labkit.net.spool import SpoolBusy


def own(spool: Path, command: Command, settings: Settings, connected: socket.socket) -> int:
    """Until nothing is under way. Returns the exit status of this process."""
    try:
        view = View.read(command, settings.fingerprint, spool)
        asyncio.run(_own(view, spool, connected))
        return 0
    except SpoolBusy:  # somebody was quicker: the command asks him
        return 1
    except Exception as problem:  # else the command would ask again and again
        words = (
            str(problem)
            if isinstance(problem, CannotStart)
            else f"labkit-exim: internal problem: {problem!r}"
        )
        words = f"exim: {problem}" if isinstance(problem, OSError) else words
        with suppress(OSError):
            connected.setblocking(True)
            connected.sendall(frame(ERR, f"{words}\n".encode()) + frame(STATUS, json.dumps(1).encode()))
        return 1


async def _own(view: View, spool: Path, connected: socket.socket) -> None:
    owner = Owner(view, spool)
    try:
        owner.views.mta.state.is_running = True
        await owner.open()
        await owner.serve(connected)
        await owner.until_idle()
    finally:
        await owner.close()

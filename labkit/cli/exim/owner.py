"""The process that owns a spool: a daemon, or whoever came first while there is none.

WHAT       `Owner` has the MTA, listens at the control socket in the spool directory, and does what commands ask for.
WHY        one process at a time works on a spool (net/spool.py). Whoever comes second asks the first: so a command is
           done in one way, whether a daemon runs or not.
DECIDES    a command is done under the configuration that it names, as it is on disk now (views.py).
RULES      only this user may ask, and root. What is asked for is bounded: the length of frames and requests, the
           number of callers, the time for a request.
READ NEXT  views.py, performing.py, daemon.py
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from labkit.cli.exim.command import Command
from labkit.cli.exim.console import Console
from labkit.cli.exim.files import CannotStart
from labkit.cli.exim.frames import NAME, REQUEST, BadFrame, at_socket, caller_of
from labkit.cli.exim.performing import perform
from labkit.cli.exim.views import Caller, View, Views
from labkit.mail.event import EventKind

MOST_CALLERS = 200
PATIENCE = 30.0  # seconds for a request to arrive


class Owner:
    """Works on a spool until it is closed."""

    def __init__(self, view: View, folder: Path) -> None:
        self.folder = folder
        self.views = Views(view, folder)
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen at the control socket. Raises OSError."""
        self._unlink()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            at_socket(self.folder, "bind", made)
        finally:
            os.umask(mask)
        made.listen(128)
        made.setblocking(False)
        self._server = await asyncio.start_unix_server(self._called, sock=made)

    async def serve(self, connected: socket.socket) -> None:
        """Serve a caller who is connected already."""
        connected.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connected)
        await self._called(reader, writer)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._callers.add(task)
        try:
            if len(self._callers) <= MOST_CALLERS and _may_ask(writer):
                await self._serve(reader, writer)
        except (BadFrame, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError, OSError):
            pass  # whoever cannot ask, or has gone, gets no answer
        except asyncio.CancelledError:
            pass
        finally:
            self._callers.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        console = Console(reader, writer)
        kind, octets = await asyncio.wait_for(console.next_frame(), PATIENCE)
        if kind != REQUEST:
            raise BadFrame(kind)
        command, caller = _read_request(octets)
        console.is_verbose = command.is_verbose
        try:
            work = self.views.work(command, caller, console)
            await perform(work)
        except CannotStart as problem:
            console.complain(str(problem))
            console.end(1)
            return
        except (asyncio.IncompleteReadError, OSError, BadFrame):
            raise  # the command has gone
        except Exception as problem:  # a mistake of ours must not end the owner
            self.views.time.note("", EventKind.PROBLEM, text=repr(problem))
            console.complain(f"labkit-exim: internal problem: {problem!r}")
            console.end(1)
        await console.drain()
        await work.idle()

    async def until_idle(self) -> None:
        """Return when nobody asks and nothing is under way."""
        while self._callers or self.views.is_busy:
            others = [task for task in self._callers if task is not asyncio.current_task()]
            if others:
                await asyncio.wait(others)
            else:
                await asyncio.sleep(0.01)

    async def close(self, patience: float = 0.0) -> None:
        """Ask nobody in any more; wait for work that is under way, at most that long; let go of the spool."""
        self._unlink()
        if self._server is not None:
            self._server.close()
        if patience:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.until_idle(), patience)
        for task in tuple(self._callers):
            task.cancel()
        self.views.mta.close()

    def _unlink(self) -> None:
        with suppress(FileNotFoundError):
            (self.folder / NAME).unlink()


def _may_ask(writer: asyncio.StreamWriter) -> bool:
    connected: Any = writer.get_extra_info("socket")
    raw = socket.socket(fileno=os.dup(connected.fileno()))
    with raw:
        return caller_of(raw) in (0, os.getuid())


def _read_request(octets: bytes) -> tuple[Command, Caller]:
    """Raises ValueError."""
    try:
        told = json.loads(octets)
        return Command.from_json(told["command"]), Caller(**told["caller"])
    except (KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError(f"no request: {problem}") from problem

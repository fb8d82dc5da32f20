"""A command that works on the spool: hand it to the process that owns the spool, or start one.

WHAT       `ask(command, settings)` carries input there and output back, and returns the exit status.
DOES       nobody owns the spool: a child of ours becomes its owner, does this command, and whatever others ask of it
           in the meantime, and ends when nothing is under way. A daemon is an owner that stays.
LIKE EXIM  the command returns when a message is accepted; who reads its output to the end hears of the delivery, too,
           because a process that delivers keeps it open.
FAST       nothing of the MTA is loaded here, and no event loop.
READ NEXT  frames.py, owner.py
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli.exim.command import Command
from labkit.cli.exim.files import CannotStart
from labkit.cli.exim.frames import (
    END,
    ERR,
    INPUT,
    LONGEST,
    OUT,
    REQUEST,
    STATUS,
    WANTED,
    Frames,
    at_socket,
    frame,
)
from labkit.cli.exim.main_settings import Settings, login

if TYPE_CHECKING:
    pass

PATIENCE = 60.0  # seconds for an owner that comes or goes
_PAUSE = 0.02
_FOLDER_MODE = 0o750  # as Exim's


class _Gone(OSError):
    """The owner ended before it did anything for us."""


def ask(command: Command, settings: Settings) -> int:
    """Have it done. Returns the exit status. Raises CannotStart."""
    spool = settings.spool
    try:
        spool.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as problem:
        raise CannotStart(f"exim: unable to create the spool directory {spool}: {problem.strerror}") from None
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return _converse(_reach(spool, command, settings, until), command, settings)
        except _Gone:
            if time.monotonic() > until:
                raise CannotStart(f"labkit-exim: whoever works on {spool} does not answer") from None
            time.sleep(_PAUSE)


def caller(settings: Settings) -> dict[str, object]:
    """What the owner is told of us."""
    return {
        "login": login(),
        "pid": os.getpid(),
        "folder": os.getcwd(),
        "fingerprint": settings.fingerprint,
        "is_trusted": settings.is_trusted,
        "is_admin": settings.is_admin,
    }


def _reach(spool: Path, command: Command, settings: Settings, until: float) -> socket.socket:
    """A connection to the owner, who may be a new one. Raises CannotStart."""
    while True:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            at_socket(spool, "connect", made)
            return made
        except PermissionError:
            made.close()
            raise CannotStart(f"labkit-exim: the spool {spool} belongs to somebody else") from None
        except OSError:
            made.close()
        if not _is_owned(spool):
            return _start_owner(spool, command, settings)
        if time.monotonic() > until:
            raise CannotStart(f"labkit-exim: another process works on {spool} and does not answer")
        time.sleep(_PAUSE)


def _is_owned(spool: Path) -> bool:
    """Whether somebody holds the lock of the spool (net/spool.py)."""
    import fcntl

    try:
        descriptor = os.open(spool / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise CannotStart(f"labkit-exim: the spool {spool} cannot be used: {problem.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _start_owner(spool: Path, command: Command, settings: Settings) -> socket.socket:
    """A child that owns the spool from now on; the other end of a connection to it."""
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        theirs.close()
        return ours
    status = 1
    try:
        ours.close()
        os.setsid()
        let_go_of_the_terminal()
        from labkit.cli.exim.passing_owner import own

        status = own(spool, command, settings, theirs)
    finally:
        os._exit(status)


def let_go_of_the_terminal() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _converse(connected: socket.socket, command: Command, settings: Settings) -> int:
    """Ask, carry, and return the exit status. Raises _Gone if nobody has heard us."""
    request = json.dumps({"command": command.to_json(), "caller": caller(settings)}).encode()
    talk = _Talk(connected, frame(REQUEST, request))
    with connected:
        while talk.status is None:
            if not talk.go_on():
                if talk.has_begun:
                    print("exim: the process that works on the spool has ended", file=sys.stderr)
                    return 1
                raise _Gone
        sys.stdout.flush()
        if talk.is_over() or os.fork():
            return talk.status
        try:  # as Exim's delivery process, which has our output, too
            while talk.go_on():
                pass
        finally:
            os._exit(0)


class _Talk:
    """One connection: what is to be sent, what came."""

    def __init__(self, connected: socket.socket, first: bytes) -> None:
        self._socket = connected
        self._unsent = bytearray(first)
        self._frames = Frames()
        self._reads_input = False
        self.has_begun = False
        self.status: int | None = None
        connected.setblocking(False)

    def is_over(self) -> bool:
        """Whether the other end has nothing more to do for us, as far as we see now."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable) and not self.go_on()

    def go_on(self) -> bool:
        """Wait for something and carry it on. False at the end of the connection."""
        takes_input = self._reads_input and len(self._unsent) < 4 * LONGEST
        sources: list[socket.socket | int] = [self._socket, *([0] if takes_input else [])]
        readable, writable, _ = select.select(sources, [self._socket] if self._unsent else [], [])
        try:
            if writable:
                self._send()
            if 0 in readable:
                self._input()
            if self._socket in readable:
                octets = self._socket.recv(LONGEST)
                if not octets:
                    return False
                for kind, piece in self._frames.feed(octets):
                    self._take(kind, piece)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _send(self) -> None:
        """An owner that wants no more may have hung up; what he has said is still to be read."""
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()
            self._reads_input = False

    def _input(self) -> None:
        octets = os.read(0, LONGEST - 1024)
        self._reads_input = bool(octets)
        self._unsent += frame(INPUT, octets) if octets else frame(END)

    def _take(self, kind: bytes, octets: bytes) -> None:
        self.has_begun = True
        if kind == WANTED:
            self._reads_input = True
        elif kind == STATUS:
            self.status = int(json.loads(octets))
        elif kind in (OUT, ERR):
            stream = sys.stdout.buffer if kind == OUT else sys.stderr.buffer
            stream.write(octets)
            stream.flush()

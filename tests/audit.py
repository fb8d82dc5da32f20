"""What Python itself tells of sockets and files (PEP 578): nothing of a test leaves the machine.

WHAT       `audit()` begins to look on, once a process: from then on a socket that is bound, connected or sent to
           outside loopback raises Outside, and so does the question for a name that is not of this machine.
           `with going_out():` is for a test that itself takes a socket elsewhere on this machine.
           `with writing() as places:` collects where files are made, changed, moved or taken away meanwhile.
LIMITS     other programs that a test starts are not seen.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

_SOCKETS = frozenset({"socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMES = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_OWN_NAMES = {socket.gethostname(), socket.gethostname().partition(".")[0]}  # smtplib asks for it
_CHANGES = {  # how many of the first arguments are paths
    "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.truncate": 1,
    "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1, "sqlite3.connect": 1,
}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HERE = re.compile(r"127\..*|::1|::ffff:127\..*|localhost")
_collected: list[list[str]] = []
_is_on = False
_may_go_out = 0


class Outside(AssertionError):
    """Something left the machine."""


def audit() -> None:
    """Look on until the process ends: a hook cannot be taken away."""
    global _is_on
    if not _is_on:
        _is_on = True
        sys.addaudithook(_hook)


@contextlib.contextmanager
def going_out() -> Iterator[None]:
    """A socket of the test itself may be bound elsewhere meanwhile."""
    global _may_go_out
    _may_go_out += 1
    try:
        yield
    finally:
        _may_go_out -= 1


@contextlib.contextmanager
def writing() -> Iterator[list[str]]:
    """Collects the paths that are written meanwhile."""
    found: list[str] = []
    _collected.append(found)
    try:
        yield found
    finally:
        _collected.remove(found)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _SOCKETS:
        _expect_here(event, args[1])
    elif event in _NAMES:
        if args[0] not in _OWN_NAMES:
            _expect_here(event, (args[0], 0))
    elif _collected:
        if event == "open":
            _note_open(*args)
        elif event in _CHANGES:
            for path in args[: _CHANGES[event]]:
                _note(path)
        elif event in ("os.link", "os.symlink"):
            _note(args[1])


def _expect_here(event: str, place: object) -> None:
    """`place` is a tuple for the internet's sockets; those of Unix have a path."""
    if isinstance(place, tuple):
        host = os.fsdecode(place[0]) if isinstance(place[0], bytes) else place[0]
        if isinstance(host, str) and not _HERE.fullmatch(host) and not _may_go_out:
            raise Outside(f"{event} of {host!r}: that is outside loopback")


def _note_open(path: object, mode: object, flags: object) -> None:
    in_words = isinstance(mode, str) and any(letter in mode for letter in "wax+")
    if in_words or (isinstance(flags, int) and flags & _WRITES):
        _note(path)


def _note(path: object) -> None:
    if isinstance(path, (str, bytes, os.PathLike)):
        name = os.fsdecode(path)
        for found in _collected:
            found.append(name)

"""What a command and the process that owns the spool say to each other over a Unix socket.

WHAT       frames: one octet for the kind, four for the length, then the octets.
           command -> owner   R the request, as JSON; I a piece of its standard input; E the end of it
           owner -> command   W the input is wanted; O, X pieces of its output and error output;
                              S the exit status, as JSON; the connection ends when all work for it is done
RULES      a frame is at most LONGEST octets, a request at most LONGEST_REQUEST. Only this user may speak here.
READ NEXT  client.py, owner.py
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

REQUEST, INPUT, END, WANTED, OUT, ERR, STATUS = b"R", b"I", b"E", b"W", b"O", b"X", b"S"
LONGEST = 64 * 1024
LONGEST_REQUEST = 4 * 1024 * 1024
HEAD = struct.Struct("!cI")
NAME = "control"  # of the socket, in the spool directory


class BadFrame(ValueError):
    """What is no frame of ours."""


def frame(kind: bytes, octets: bytes = b"") -> bytes:
    return HEAD.pack(kind, len(octets)) + octets


def length_of(head: bytes) -> tuple[bytes, int]:
    """Kind and length. Raises BadFrame for one that is too long."""
    kind, length = HEAD.unpack(head)
    if length > (LONGEST_REQUEST if kind == REQUEST else LONGEST):
        raise BadFrame(f"a frame of {length} octets")
    return kind, length


class Frames:
    """Cuts what comes in into frames."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def feed(self, octets: bytes) -> list[tuple[bytes, bytes]]:
        """The frames that are complete. Raises BadFrame."""
        self._octets += octets
        found = []
        while len(self._octets) >= HEAD.size:
            kind, length = length_of(bytes(self._octets[: HEAD.size]))
            end = HEAD.size + length
            if len(self._octets) < end:
                break
            found.append((kind, bytes(self._octets[HEAD.size : end])))
            del self._octets[:end]
        return found


def at_socket(spool: Path, use: str, made: socket.socket) -> None:
    """Bind or connect to the socket in the spool, whose path may be longer than the system allows. Raises OSError."""
    folder = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        getattr(made, use)(f"/proc/self/fd/{folder}/{NAME}")
    finally:
        os.close(folder)


def caller_of(connected: socket.socket) -> int:
    """The uid of the process at the other end."""
    octets = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", octets)[1]
    return uid

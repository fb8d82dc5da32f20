"""Find out which Unix user is at the other end of a loopback connection.

WHAT       `owner_of_caller` reads the kernel's tables of TCP sockets, where each line names its owner.
DECIDES    `may_call`: the lab's own user may, root may; other users of a shared machine may not.
WHY        a server believes some addresses (relay_from_hosts), and every user of a machine has all of 127/8.
STANDARDS  proc(5), /proc/net/tcp; RFC 4291 §2.5.5.2 (an IPv6 socket that speaks IPv4)
READ NEXT  loopback.py
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from labkit.net.listeners import Place

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
GONE = -1  # no process has the caller's socket any more
_ESTABLISHED = "01"
_MAPPED = "0000000000000000FFFF0000"  # ::ffff:0:0/96 as the table writes it


def owner_of_caller(caller: Place, listener: Place, tables: Iterable[str]) -> int | None:
    """The uid of the caller's socket; GONE if the caller hung up; None if the tables do not tell.

    The connection has two lines, ours and the caller's. Ours shows that the table is good for anything.
    """
    ends = {(_written(caller), _written(listener)): False, (_written(listener), _written(caller)): True}
    is_listed = False
    for table in tables:
        for line in table.splitlines()[1:]:
            columns = line.split()
            if len(columns) < 10:
                continue
            is_ours = ends.get((columns[1].removeprefix(_MAPPED), columns[2].removeprefix(_MAPPED)))
            if is_ours:
                is_listed = True
            elif is_ours is False:
                has_owner = columns[9] != "0"  # without an inode it is closed, and listed as root's
                return int(columns[7]) if has_owner else GONE
    return GONE if is_listed else None


def may_call(caller: Place, listener: Place, users: Collection[int] = ()) -> bool:
    """True if the caller is this process's user, root or one of `users`; and where nothing can be known."""
    owner = owner_of_caller(caller, listener, _read_tables())
    return owner is None or owner in (0, os.geteuid()) or owner in users


def callers_of(listeners: Collection[Place]) -> list[Place]:
    """From where somebody is connected to these places right now; nobody, if the kernel's tables do not tell."""
    wanted = {_written(place) for place in listeners}
    found = []
    for table in _read_tables() if wanted else ():
        for line in table.splitlines()[1:]:
            columns = line.split()
            if (
                len(columns) >= 10
                and columns[3] == _ESTABLISHED
                and columns[1].removeprefix(_MAPPED) in wanted
            ):
                found.append(_read(columns[2].removeprefix(_MAPPED)))
    return found


def _read_tables() -> Iterable[str]:
    for path in TABLES:
        try:
            yield path.read_text("ascii")
        except OSError:
            continue


def _written(place: Place) -> str:
    """An address and port as the table has them: hexadecimal, the address in the machine's byte order."""
    numbers = bytes(map(int, place[0].split(".")))
    return f"{int.from_bytes(numbers, sys.byteorder):08X}:{place[1]:04X}"


def _read(written: str) -> Place:
    """The inverse of `_written`."""
    number, _, port = written.partition(":")
    return ".".join(map(str, int(number, 16).to_bytes(4, sys.byteorder))), int(port, 16)

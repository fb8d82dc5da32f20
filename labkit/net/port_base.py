"""Claim the ports of one world: a base that no other world on this machine has.

WHAT       lab port p is really base + p; the claim is a listener on 127.0.0.1:base, held as long as the world lives.
DECIDES    the first free base from 4000 in steps of 509, all below the ports that systems hand out by themselves.
WHY HELD   to look for a free port and close it again lets two worlds find the same one. A held listener blocks
           the others, and goes away with its process, however that ends.
WHY 509    with this step no two of the lab's ports of two worlds ever meet (tests/net/test_network.py tries all).
READ NEXT  listeners.py
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection

from labkit.net.network import LoopbackUnavailable
from labkit.net.translation import LAB_PORTS, LOCALHOST

FIRST_BASE = 4000
STEP = 509
FIRST_EPHEMERAL = 32768  # from here on Linux gives ports to callers (ip_local_port_range)
BASES = range(FIRST_BASE, FIRST_EPHEMERAL - max(LAB_PORTS), STEP)
_AN_ALIAS = "127.0.113.11"


class PortBase:
    """A claimed base. Holds it until `close`, or until the process ends."""

    def __init__(self, number: int, holder: socket.socket) -> None:
        self.number = number
        self._holder = holder

    def close(self) -> None:
        self._holder.close()


def claim_base(first: int = FIRST_BASE, skip: Collection[int] = ()) -> PortBase:
    """Claim the first free base that is not below `first` and not in `skip`. Raises LoopbackUnavailable."""
    _expect_aliases()
    for number in BASES:
        if number >= first and number not in skip:
            holder = _hold(number)
            if holder is not None:
                return PortBase(number, holder)
    raise LoopbackUnavailable("No base for a lab's ports is free on this machine: other labs hold them all.")


def _hold(number: int) -> socket.socket | None:
    """Listen on 127.0.0.1:number; None if somebody has it.

    Without SO_REUSEADDR, so that a socket that is only bound blocks as well as one that listens.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        holder.bind((LOCALHOST, number))
        holder.listen(1)
    except OSError as problem:
        holder.close()
        if problem.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    return holder


def _expect_aliases() -> None:
    """Raise LoopbackUnavailable where only 127.0.0.1 works (macOS) or sockets differ too much (Windows)."""
    if os.name != "posix":
        raise LoopbackUnavailable("The lab on real sockets needs Linux.")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.bind((_AN_ALIAS, 0))
    except OSError as problem:
        words = f"This machine has no loopback address {_AN_ALIAS}: {problem.strerror}."
        raise LoopbackUnavailable(words) from problem

"""Translate between the lab's addresses and ports and the loopback ones they really are.

WHAT       lab address a.b.c.d really is 127.b.c.d; lab port p really is base + p; `AddressTable` is the way back.
DECIDES    which addresses a lab host may have: each must have a loopback address of its own.
WHY        inside the lab everybody sees addresses like the internet's, and 127/8 is free for every user.
STANDARDS  RFC 1122 §3.2.1.3 (127/8 never leaves the host), RFC 5735 (which numbers are no host's)
READ NEXT  network.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address

LAB_PORTS = (25, 53, 443, 465, 587, 2525)  # smtp, domain, https, submissions, submission, and of relays
LOCALHOST = "127.0.0.1"


def real_address(lab_address: str) -> str:
    """The loopback address of a lab address: the first number becomes 127.

    Raises ValueError for text that is no IPv4 address, and for an address that no lab host can have.
    """
    try:
        numbers = IPv4Address(lab_address).packed
    except AddressValueError as problem:
        raise ValueError(f"{lab_address!r} is no IPv4 address: {problem}") from None
    first, rest = numbers[0], tuple(numbers[1:])
    if not 1 <= first <= 223 or first == 127:
        raise ValueError(f"{lab_address} cannot be a lab host's: take one that starts with 1-126 or 128-223")
    if rest in ((0, 0, 0), (0, 0, 1), (255, 255, 255)):
        real = ".".join(map(str, (127, *rest)))
        raise ValueError(f"{lab_address} cannot be a lab host's: it would really be {real}, which is taken")
    return ".".join(map(str, (127, *rest)))


def real_port(base: int, lab_port: int) -> int:
    """The port on this machine of a lab port. Raises ValueError for a port that does not exist."""
    if not 1 <= lab_port <= 65535 - base:
        raise ValueError(f"there is no lab port {lab_port} (1 to {65535 - base})")
    return base + lab_port


class AddressTable:
    """The addresses of a world's hosts: both directions of the translation.

    Two lab addresses that are really the same one raise ValueError naming both.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self._real: dict[str, str] = {}
        self._lab: dict[str, str] = {}
        for address in addresses:
            self.add(address)

    def add(self, lab_address: str) -> None:
        """Take an address in; one that is in already changes nothing. Raises ValueError."""
        real = real_address(lab_address)
        other = self._lab.setdefault(real, lab_address)
        if other != lab_address:
            raise ValueError(f"{other} and {lab_address} cannot be in one lab: both would really be {real}")
        self._real[lab_address] = real

    def discard(self, lab_address: str) -> None:
        """Take an address out, if it is in."""
        if real := self._real.pop(lab_address, None):
            del self._lab[real]

    def lab_address(self, real: str) -> str | None:
        """The lab address which really is `real`, or None if no host of this world has it."""
        return self._lab.get(real)

    def __contains__(self, lab_address: object) -> bool:
        return lab_address in self._real

    def __iter__(self) -> Iterator[str]:
        return iter(self._real)

    def __len__(self) -> int:
        return len(self._real)

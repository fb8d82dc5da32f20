"""Addresses of hosts as texts: mask, reverse_ip, ipv6norm, isip.

LIKE EXIM  a masked IPv6 address is written with dots, so that it can be a key in a file whose keys end at colons.
STANDARDS  RFC 4291 §2.2; Exim specification, chapter "String expansions"
READ NEXT  operators.py
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from labkit.eximconf.expansion.outcomes import failed

_SCOPE = re.compile(r"%[!-.0-~]*\Z")
_V4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_V6 = re.compile(r"[0-9A-Fa-f:]+(?:[0-9.]*)?")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read(text: str) -> Address | None:
    """An address without mask."""
    try:
        if _V4.fullmatch(text):
            return ipaddress.IPv4Address(text)
        if ":" in text and _V6.fullmatch(text):
            return ipaddress.IPv6Address(text)
    except ValueError:
        pass
    return None


def is_ip(text: str, version: int | None = None) -> bool:
    """isip, isip4, isip6: a scope as in fe80::1%eth0 is allowed."""
    found = read_with_scope(text)
    return found is not None and version in (None, found.version)


@lru_cache(maxsize=1024)
def read_with_scope(text: str) -> Address | None:
    """An address; one of IPv6 may name the interface that leads to it (fe80::1%eth0), which is forgotten."""
    bare = _SCOPE.sub("", text) if "%" in text else text
    return read(bare) if bare is text or ":" in bare else None


def without_mapping(address: Address | None) -> Address | None:
    """The same; but one of IPv4 in IPv6 becomes IPv4."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def mask(text: str) -> str:
    bare, slash, bits = text.partition("/")
    found = read(bare)
    if found is None or (slash and not bits.isascii()) or (slash and not bits.isdigit()):
        raise failed(f'"{text}" is not an IP address')
    if not slash:
        raise failed(f'missing mask value in "{text}"')
    size = int(bits[:4])
    if size > found.max_prefixlen:
        raise failed(f'mask value too big in "{text}"')
    network = int(found) >> (found.max_prefixlen - size) << (found.max_prefixlen - size)
    if found.version == 4:
        return f"{ipaddress.IPv4Address(network)}/{size}"
    return f"{ipaddress.IPv6Address(network).exploded.replace(':', '.')}/{size}"


def reverse_ip(text: str) -> str:
    bare = text.partition("/")[0]
    found = without_mapping(read_with_scope(bare))
    if found is None:
        raise failed(f"reverse_ip() not given an IP address [{text}]")
    if found.version == 4:
        return ".".join(reversed(str(found).split(".")))
    return ".".join(reversed(found.exploded.replace(":", "")))


def ipv6(text: str) -> ipaddress.IPv6Address:
    """The address as IPv6; IPv4 is mapped."""
    found = read_with_scope(text)
    if found is None:
        raise failed(f'"{text}" is not an IP address')
    return (
        found
        if isinstance(found, ipaddress.IPv6Address)
        else ipaddress.IPv6Address(0xFFFF << 32 | int(found))
    )


def ipv6denorm(text: str) -> str:
    return ipv6(text).exploded


def ipv6norm(text: str) -> str:
    """Short, in small letters; the first longest run of zeros is `::`, even of one group."""
    groups = [f"{int(ipv6(text)) >> shift & 0xFFFF:x}" for shift in range(112, -16, -16)]
    best, begin = 0, 0
    for first in range(8):
        length = 0
        while first + length < 8 and groups[first + length] == "0":
            length += 1
        if length > best:
            best, begin = length, first
    if not best:
        return ":".join(groups)
    if best == 8:
        return ":"  # sic
    return f"{':'.join(groups[:begin])}::{':'.join(groups[begin + best :])}"

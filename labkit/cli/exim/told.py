"""What a trusted caller tells about a message with -oM…, looked at.

LIKE EXIM  an address may bring its port, 192.0.2.1.25 or [192.0.2.1]:25; nobody else may name another message. What
           callers tell who are not trusted is left out without a word, so it is not looked at either.
STANDARDS  Exim specification, chapter "The Exim command line", -oMa to -oMt
READ NEXT  submission.py
"""

from __future__ import annotations

import ipaddress
import re

from labkit.cli.exim.command import Told
from labkit.cli.exim.files import CannotStart

_BRACKETED = re.compile(r"\[([^]]*)\](?::([0-9]{1,5}))?")
_WITH_POINT = re.compile(r"([0-9]+(?:\.[0-9]+){3})\.([0-9]{1,5})")


def check_told(told: Told, *, is_trusted: bool) -> None:
    """Takes ports off addresses. Raises CannotStart."""
    if not is_trusted:
        if told.about is not None:
            raise CannotStart("-oMm must be called by a trusted user/config")
        return
    if told.address is not None:
        told.address, told.port = _address(told.address)
    if told.interface is not None:
        told.interface, _ = _address(told.interface)


def _address(text: str) -> tuple[str, int]:
    found = _BRACKETED.fullmatch(text) or _WITH_POINT.fullmatch(text)
    address, port = (found[1], int(found[2] or 0)) if found else (text, 0)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise CannotStart(f'exim abandoned: "{text}" is not an IP address') from None
    return address, port

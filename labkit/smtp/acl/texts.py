"""Small texts that logs and conditions are made of.

WHAT       `printed` makes octets printable, `host_and_ident` says who the client is, `pieces` cuts a list at a given
           separator, `seconds` reads a time.
LIKE EXIM  a doubled separator stands for itself; blanks around a piece go; a separator at the end begins no piece
READ NEXT  replies.py
"""

from __future__ import annotations

import re
from functools import lru_cache

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Env
from labkit.eximconf.expansion.numbers import interval

_ODD = re.compile(r"[^ -~]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\b": "\\b", "\v": "\\v", "\f": "\\f", "\t": "\\t"}


def printed(text: str) -> str:
    """Nothing but printable ASCII."""
    return _ODD.sub(lambda found: _NAMED.get(found[0], f"\\{ord(found[0]):03o}"), text)


def host_and_ident(env: Env) -> str:
    """H=name (helo) [address] U=ident, as in Exim's log."""
    full = env.variables.get("sender_fullhost", "") or full_host(env)
    ident = env.variables.get("sender_ident", "")
    return " ".join(filter(None, (f"H={full}" if full else "", f"U={ident}" if ident else "")))


def full_host(env: Env) -> str:
    """What $sender_fullhost is to be: the name that was looked up, what was said in HELO, the address."""
    variables = env.variables
    name, helo = variables.get("sender_host_name", ""), variables.get("sender_helo_name", "")
    address = variables.get("sender_host_address", "")
    said = f"({helo})" if helo and helo.lower() != name.lower() else ""
    return " ".join(filter(None, (name, said, f"[{address}]" if address else "")))


@lru_cache(maxsize=512)
def pieces(text: str, separator: str) -> tuple[str, ...]:
    """Cut at the separator; it may be doubled to stand for itself."""
    found: list[str] = []
    at, piece = 0, ""
    body = text.lstrip(BLANKS)
    while at < len(body):
        end = body.find(separator, at)
        if end < 0:
            piece += body[at:]
            at = len(body)
        elif body.startswith(separator, end + 1):
            piece += body[at : end + 1]
            at = end + 2
            if at < len(body):
                continue
        else:
            piece += body[at:end]
            at = end + 1
        found.append(piece.strip(BLANKS))
        piece = ""
    return tuple(found)


def seconds(text: str) -> int | None:
    """A time like 1h30m; None if it is none."""
    return interval(text)

"""Small texts that logs are made of.

WHAT       `printed` makes octets printable, `host_and_ident` says who the client is.
READ NEXT  replies.py
"""

from __future__ import annotations

import re

from labkit.eximconf.client_name import client_in_words, interface_in_words
from labkit.eximconf.expansion import Env

_ODD = re.compile(r"[^ -~]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\b": "\\b", "\v": "\\v", "\f": "\\f", "\t": "\\t"}


def printed(text: str) -> str:
    """Nothing but printable ASCII."""
    return _ODD.sub(lambda found: _NAMED.get(found[0], f"\\{ord(found[0]):03o}"), text)


def host_and_ident(env: Env) -> str:
    """H=name (helo) [address] U=ident, as in Exim's log."""
    full = env.variables.get("sender_fullhost", "") or client_in_words(env.variables)[0]
    ident = env.variables.get("sender_ident", "")
    client = f"H={full}{interface_in_words(env.variables)}" if full else ""
    return " ".join(filter(None, (client, f"U={ident}" if ident else "")))

"""Small texts that logs are made of.

WHAT       `printed` (of transcript.py) makes octets printable, `host_and_ident` says who the client is.
READ NEXT  replies.py
"""

from __future__ import annotations

from labkit.eximconf.client_name import client_in_words, interface_in_words
from labkit.eximconf.expansion import Env
from labkit.smtp.transcript import printed

__all__ = ["host_and_ident", "printed"]


def host_and_ident(env: Env) -> str:
    """H=name (helo) [address] U=ident, as in Exim's log."""
    full = env.variables.get("sender_fullhost", "") or client_in_words(env.variables)[0]
    ident = env.variables.get("sender_ident", "")
    client = f"H={full}{interface_in_words(env.variables)}" if full else ""
    return " ".join(filter(None, (client, f"U={ident}" if ident else "")))

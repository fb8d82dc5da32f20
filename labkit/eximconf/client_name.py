"""Who the client is, in the two ways in which Exim tells it.

WHAT       `name_client` sets $sender_fullhost, for logs, and $sender_rcvhost, for Received:, from what is known.
WHY        it is made anew when the client has greeted, and when its name has been looked up
READ NEXT  lists/names.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_LITERAL = re.compile(r"^\[IPv[46]:", re.IGNORECASE)


def name_client(variables: dict[str, str]) -> None:
    """$sender_fullhost and $sender_rcvhost: all we know of the client, as the log and Received: tell it."""
    variables["sender_fullhost"], variables["sender_rcvhost"] = client_in_words(variables)


def client_in_words(variables: Mapping[str, str]) -> tuple[str, str]:
    """For the log, and for Received:. Nothing, if there is no client."""
    if not variables.get("sender_host_address"):
        return "", ""
    address = f"[{variables['sender_host_address']}]"
    name, helo = variables.get("sender_host_name", ""), variables.get("sender_helo_name", "")
    shows_helo = (
        helo != "" and _LITERAL.sub("[", helo) != address and not (name and helo.lower() == name.lower())
    )
    if name:
        said = f" helo={helo}" if shows_helo else ""
        return (
            f"{name} ({helo}) {address}" if shows_helo else f"{name} {address}"
        ), f"{name} ({address}{said})"
    return (f"({helo}) {address}" if helo else address), (
        f"{address} (helo={helo})" if shows_helo else address
    )

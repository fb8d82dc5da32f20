"""Who the client is, in the two ways in which Exim tells it.

WHAT       `name_client` sets $sender_fullhost, for logs, and $sender_rcvhost, for Received:, from what is known.
WHY        it is made anew when the client has greeted, and when its name has been looked up
READ NEXT  lists/names.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# log_selector has +incoming_port, +incoming_interface: no text can name these variables
PORT_IS_SHOWN, INTERFACE_IS_SHOWN = "+incoming_port", "+incoming_interface"
_LITERAL = re.compile(r"^\[IPv[46]:", re.IGNORECASE)


def name_client(variables: dict[str, str]) -> None:
    """$sender_fullhost and $sender_rcvhost: all we know of the client, as the log and Received: tell it."""
    variables["sender_fullhost"], variables["sender_rcvhost"] = client_in_words(variables)


def client_in_words(variables: Mapping[str, str]) -> tuple[str, str]:
    """For the log, and for Received:. Nothing, if there is no client."""
    if not variables.get("sender_host_address"):
        return "", ""
    address = f"[{variables['sender_host_address']}]"
    port = variables.get("sender_host_port", "") if PORT_IS_SHOWN in variables else ""
    shown = f"{address}:{port}" if port else address
    name, helo = variables.get("sender_host_name", ""), variables.get("sender_helo_name", "")
    shows_helo = (
        helo != "" and _LITERAL.sub("[", helo) != address and not (name and helo.lower() == name.lower())
    )
    if name:
        said = f" helo={helo}" if shows_helo else ""
        return (f"{name} ({helo}) {shown}" if shows_helo else f"{name} {shown}"), f"{name} ({shown}{said})"
    told = " ".join(filter(None, (f"port={port}" if port else "", f"helo={helo}" if shows_helo else "")))
    return (f"({helo}) {shown}" if helo else shown), (f"{address} ({told})" if told else address)


def interface_in_words(variables: Mapping[str, str]) -> str:
    """Which of our addresses the client has called, where the log tells it (incoming_interface)."""
    address = variables.get("received_ip_address", "") if INTERFACE_IS_SHOWN in variables else ""
    return f" I=[{address}]:{variables.get('received_port', '')}" if address else ""

"""Where a daemon listens: local_interfaces and daemon_smtp_ports, or what -oX says.

LIKE EXIM  an item of -oX with a point or colon is an interface, one without is a port, which takes the place of
           daemon_smtp_ports; an interface may bring its port: [192.0.2.1]:587, 192.0.2.1.587.
DECIDES    no interface, or 0.0.0.0: in a lab this host's own address, else 127.0.0.1. There is no IPv6, and nothing
           outside loopback and the lab.
STANDARDS  Exim specification, chapter "Starting the daemon and the use of network interfaces"
READ NEXT  client.py
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Sequence

from labkit.cli.exim.files import CannotStart
from labkit.cli.exim.machine import Machine
from labkit.eximconf.lists import split_list

Place = tuple[str, int]
EVERYWHERE = ("0.0.0.0", "::0", "::", "")


def listening_places(machine: Machine, override: str | None) -> list[Place]:
    """Raises CannotStart."""
    main = machine.configuration.main
    interfaces = [str(item) for item in main.values.get("local_interfaces") or ()]
    ports: Sequence[int] = main.ports("daemon_smtp_ports")
    if override is not None:
        items = [item for item in split_list(override) if item]
        own_ports = [item for item in items if not re.search(r"[.:]", item)]
        own_interfaces = [item for item in items if re.search(r"[.:]", item)]
        interfaces = own_interfaces or interfaces
        ports = [_port(item) for item in own_ports] or ports
    found: dict[Place, None] = {}
    for item in interfaces or [""]:
        address, port = _split(item)
        if address in EVERYWHERE:
            address = _own(machine)
        if ":" in address:
            continue  # IPv6: nobody could call
        for each in [port] if port else ports:
            found[address, each] = None
    if not found:
        raise CannotStart("exim: no IPv4 interface to listen at; set local_interfaces or -oX")
    return list(found)


def _own(machine: Machine) -> str:
    if machine.facts is not None and os.environ.get("LABADDR"):
        return os.environ["LABADDR"]
    return "127.0.0.1"


def _split(item: str) -> Place:
    if found := re.fullmatch(r"\[([^]]*)\](?::([0-9]+))?", item.strip()):
        return found[1], int(found[2] or 0)
    if found := re.fullmatch(r"([0-9]+(?:\.[0-9]+){3})\.([0-9]+)", item.strip()):
        return found[1], int(found[2])
    return item.strip(), 0


def _port(text: str) -> int:
    try:
        return int(text) if text.isdecimal() else socket.getservbyname(text, "tcp")
    except OSError:
        raise CannotStart(f'exim: TCP port "{text}" not found') from None


def shown_places(places: Sequence[Place], tls_ports: Iterable[int]) -> str:
    """As in the log: `SMTP on [192.0.2.1]:25 and for SMTPS on [192.0.2.1]:465`."""
    implicit = {str(port) for port in tls_ports}
    kinds = (
        ("SMTP", [place for place in places if str(place[1]) not in implicit]),
        ("SMTPS", [place for place in places if str(place[1]) in implicit]),
    )
    return " and for ".join(f"{name} on{_shown(some)}" for name, some in kinds if some)


def _shown(places: Sequence[Place]) -> str:
    by_address: dict[str, list[int]] = {}
    for address, port in places[:10]:
        by_address.setdefault(address, []).append(port)
    words = [
        f" [{address}]:{ports[0]}" if len(ports) == 1 else f" [{address}]:{{{','.join(map(str, ports))}}}"
        for address, ports in by_address.items()
    ]
    return "".join(words) + (" ..." if len(places) > 10 else "")

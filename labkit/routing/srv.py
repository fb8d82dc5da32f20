"""SRV records: which servers offer a service for a domain.

DECIDES    the order: a lower priority first; of one priority, more weight first.
STANDARDS  RFC 2782
SIMPLER    weights are not drawn by lot: two runs do the same
READ NEXT  mx.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import DnsRecords, Unanswered, Unopened


@dataclass(frozen=True, slots=True)
class Server:
    """One record. `host` is empty where the domain says that it has no such service."""

    priority: int
    weight: int
    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Servers:
    """The records in order, or that they could not be found out; `step` tells it in words."""

    servers: tuple[Server, ...]
    is_undecided: bool
    step: str


def servers_of(service: str, domain: str) -> Asking[Servers]:
    """Find the servers. Asks DnsRecords."""
    name = f"_{service}._tcp.{domain}"
    answer = yield from ask(DnsRecords("SRV", name))
    if isinstance(answer, (Unanswered, Unopened)):
        return Servers((), True, f"SRV of {name}: {answer.reason}")
    records = [_read(record) for record in answer or ()]
    ordered = sorted(records, key=_order)
    return Servers(tuple(ordered), False, f"SRV of {name}: {', '.join(answer or ()) or 'none'}")


def _read(record: str) -> Server:
    priority, weight, port, host = record.split()
    return Server(int(priority), int(weight), int(port), host.rstrip("."))


def _order(server: Server) -> tuple[int, int]:
    return server.priority, -server.weight

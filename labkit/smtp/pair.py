"""A client and a server joined by a pretend wire, one line at a time.

WHAT       `converse` lets both machines talk until neither has anything to say, and notes where each one stood
           after every line. The dialogue player, the tests and the documents are made with it.
READ NEXT  acl.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labkit.mail.reply import Reply
from labkit.smtp.client import Client
from labkit.smtp.decisions import Decision
from labkit.smtp.server import Server
from labkit.smtp.transcript import readable


@dataclass(frozen=True, slots=True)
class Exchange:
    """One line on the wire, and the states of both machines once it has arrived."""

    speaker: str  # "C" or "S"
    text: str
    client: str
    server: str


def converse(client: Client, server: Server, decide: Callable[[Decision], Reply | None]) -> list[Exchange]:
    """Run both machines until the wire is silent; `decide` answers what the server asks."""
    said: list[Exchange] = []

    def note(speaker: str, line: bytes) -> None:
        text = readable(line.removesuffix(b"\r\n"))
        said.append(Exchange(speaker, text, client.step.value, server.state.value))

    while True:
        while server.pending is not None:
            server.decide(decide(server.pending))
        from_server, from_client = server.bytes_to_send(), client.bytes_to_send()
        if not from_server and not from_client:
            return said
        for line in from_server.splitlines(keepends=True):
            client.receive(line)
            note("S", line)
        # Commands of one group travel together (RFC 2920), so the server must find them together.
        server.receive(from_client)
        for line in from_client.splitlines(keepends=True):
            note("C", line)

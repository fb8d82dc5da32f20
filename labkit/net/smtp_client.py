"""The shell around an SMTP client machine: connect, hand over messages, say goodbye.

DOES       `SmtpConnection.open(...)`, then `send` for each message, then `quit`; or `hand_over` for just one.
RULES      decides nothing. The patience with a server that is no host of the lab is real time.
STANDARDS  RFC 5321 §4.5.3.2 (client timeouts)
READ NEXT  spool.py
"""

from __future__ import annotations

import asyncio
from typing import cast

from labkit.mail.envelope import Envelope
from labkit.net.network import Network
from labkit.smtp.client import Client, Result
from labkit.smtp.transcript import Listener

PATIENCE = 30.0  # seconds for one answer: RFC 5321 §4.5.3.2 has 300, but here a whole lab waits meanwhile


class SmtpConnection(asyncio.Protocol):
    """A client machine on a connection."""

    def __init__(self, machine: Client) -> None:
        self.machine = machine
        self._transport: asyncio.Transport | None = None
        self._moved = asyncio.Event()

    @classmethod
    async def open(
        cls,
        network: Network,
        source: str,
        address: str,
        port: int,
        helo_name: str,
        *,
        pipelining: bool = True,
        on_line: Listener | None = None,
    ) -> SmtpConnection:
        """Connect and greet; afterwards `machine.is_idle`, or `machine.refusal` or `.broken` says why not.

        Raises ConnectionRefusedError, HostSilent (see Network.connect).
        """
        connection = cls(Client(helo_name, pipelining=pipelining, on_line=on_line))
        await network.connect(source, address, port, lambda: connection)
        try:
            await connection._until_settled()
        except BaseException:  # nobody waits any more
            connection.abort()
            raise
        return connection

    async def send(self, envelope: Envelope, content: bytes) -> Result:
        """Send one message and return what became of its recipients. Raises as Client.send does."""
        self.machine.send(envelope, content)
        self._flush()
        await self._until_settled()
        result = self.machine.result
        assert result is not None
        return result

    async def quit(self) -> None:
        """Say QUIT and wait for the end of the connection."""
        if self.machine.is_idle:
            self.machine.quit()
            self._flush()
        await self._until_settled(closed=True)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once, if the connection is still there."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.machine.receive(data)
        self._flush()
        self._moved.set()

    def eof_received(self) -> bool:
        self.machine.end("the server closed the connection")
        self._moved.set()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self.machine.end(f"lost the connection: {problem}" if problem else "the server closed the connection")
        self._transport = None
        self._moved.set()

    def _flush(self) -> None:
        octets = self.machine.bytes_to_send()
        if octets and self._transport is not None:
            self._transport.write(octets)
        if self.machine.is_closed and self._transport is not None:
            self._transport.close()

    async def _until_settled(self, closed: bool = False) -> None:
        """Wait until the machine is idle again, or over."""
        loop = asyncio.get_running_loop()
        heard, deadline = -1, 0.0
        while not self.machine.is_closed and (closed or not self.machine.is_idle):
            if heard != self.machine.replies_heard:  # octets alone do not count: they may drip for ever
                heard, deadline = self.machine.replies_heard, loop.time() + PATIENCE
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), deadline - loop.time())
            except (TimeoutError, asyncio.TimeoutError):
                self.machine.end("the server did not answer in time")
                self.abort()  # nor will it read what is left
        if self.machine.is_closed and self._transport is not None:
            self._transport.close()


async def hand_over(
    network: Network,
    source: str,
    address: str,
    port: int,
    helo_name: str,
    envelope: Envelope,
    content: bytes,
    *,
    pipelining: bool = True,
    on_line: Listener | None = None,
) -> tuple[Client, Result | None]:
    """One message over one connection. Returns the client machine (with `refusal` and `broken`) and the result.

    Raises ConnectionRefusedError, HostSilent.
    """
    connection = await SmtpConnection.open(
        network, source, address, port, helo_name, pipelining=pipelining, on_line=on_line
    )
    try:
        result = await connection.send(envelope, content) if connection.machine.is_idle else None
        await connection.quit()
    except BaseException:
        connection.abort()
        raise
    return connection.machine, result

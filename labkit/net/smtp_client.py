"""The shell around an SMTP client machine: connect, encrypt, hand over messages, say goodbye.

DOES       `SmtpConnection.open(...)`, maybe `start_tls` and `say`, then `send` for each message, then `quit`; or
           `hand_over` for just one.
RULES      decides nothing. The patience with a server that is no host of the lab is real time, and in a lab never more
           than PATIENCE, whatever the configuration allows.
SAFE       a handshake that fails or drags on ends the connection; its alert is still sent.
STANDARDS  RFC 5321 §4.5.3.2 (client timeouts); RFC 3207 (STARTTLS); RFC 8314 §3.3 (TLS from the start)
READ NEXT  tls_client.py, spool.py
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from labkit.mail.encryption import Encryption
from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.net.network import Network
from labkit.net.tls import TlsFailure, TlsLayer
from labkit.net.tls_client import ClientTls, in_exims_words
from labkit.net.tls_contexts import TlsUnusable
from labkit.smtp.client import Client, Ending, Manner, Result
from labkit.smtp.transcript import Line, Listener

PATIENCE = 30.0  # seconds for one answer: RFC 5321 §4.5.3.2 has 300, but here a whole lab waits meanwhile
TOO_LATE = "the server did not answer in time"
_USUAL = Manner()


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a reply, while sending, and for the verdict. `is_real`: a lab does not wait for us."""

    command: float = 300
    data: float = 300
    final: float = 600
    is_real: bool = False

    def of(self, seconds: float) -> float:
        return seconds if self.is_real else min(seconds, PATIENCE)


class SmtpConnection(asyncio.Protocol):
    """A client machine on a connection."""

    def __init__(self, machine: Client, patience: Patience | None = None) -> None:
        self.machine = machine
        self.patience = patience or Patience()
        self.encryption: Encryption | None = None
        self.was_kept_waiting = False  # no banner came; that time is the lab's, and is yet to be spent
        self._tls: TlsLayer | None = None
        self._transport: asyncio.Transport | None = None
        self._moved = asyncio.Event()
        self._is_writing = True  # the other end takes in what we send

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
        extended: bool = True,
        on_line: Listener | None = None,
        tls: ClientTls | None = None,
        patience: Patience | None = None,
        connect_timeout: float | None = None,
    ) -> SmtpConnection:
        """Connect and greet; afterwards `machine.is_idle`, or `machine.refusal` or `.broken` says why not.

        With `tls` the handshake comes before the banner. Raises ConnectionRefusedError, HostSilent (see
        Network.connect), TimeoutError.
        """
        machine = Client(helo_name, pipelining=pipelining, extended=extended, on_line=on_line)
        connection = cls(machine, patience)
        connecting = network.connect(source, address, port, lambda: connection)
        await asyncio.wait_for(connecting, connect_timeout)
        try:
            if tls is None and network.waits_for_callers(address, port):
                connection.was_kept_waiting = True  # each waits for the other: in a lab that is known at once
                machine.end(TOO_LATE, Ending.SILENCE)
                connection.abort()
            elif tls is None or await connection._shake_hands(tls):
                await connection._until_settled()
        except BaseException:  # nobody waits any more
            connection.abort()
            raise
        return connection

    async def start_tls(self, tls: ClientTls) -> None:
        """Say STARTTLS and encrypt; the machine is idle again, or over. In the clear: `machine.answer` says why."""
        self.machine.start_tls()
        self._flush()
        await self._until_settled()
        if self.machine.wants_handshake and await self._shake_hands(tls):
            self.machine.secured()
            self._flush()
            await self._until_settled()

    async def say(self, text: str, shown: str) -> Reply | None:
        """Say a line for AUTH, and hear the reply; None: the connection is gone."""
        if not self.machine.is_idle:
            return None
        self.machine.say(text, shown=shown)
        self._flush()
        await self._until_settled()
        return self.machine.answer

    async def send(self, envelope: Envelope, content: bytes, manner: Manner = _USUAL) -> Result:
        """Send one message and return what became of its recipients. Raises as Client.send does."""
        self.machine.send(envelope, content, manner)
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
        self._close()

    @property
    def objection(self) -> str:
        """What ClientTls(should=True) has found wrong with the certificate; "" before TLS, and if nothing is."""
        return "" if self._tls is None else self._tls.judgement

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """What the server has shown, its own first, each as DER; nothing before the handshake is done."""
        return () if self._tls is None or self.encryption is None else self._tls.certificates

    def abort(self) -> None:
        """Hang up at once, if the connection is still there."""
        if self._transport is not None:
            self._transport.abort()

    # --- TLS ----------------------------------------------------------------------------------

    async def _shake_hands(self, tls: ClientTls) -> bool:
        """Begin to encrypt. False: it failed, the machine is over and says why."""
        try:
            layer = self._tls = tls.layer()
        except TlsUnusable as problem:
            self._give_up(in_exims_words(problem))
            return False
        self._flush()
        deadline = asyncio.get_running_loop().time() + self.patience.of(self.patience.command)
        while not layer.is_ready and not self.machine.is_closed:
            if not await self._wait(deadline):
                self._give_up("(gnutls_handshake): timed out")
        if self.machine.is_closed:
            return False
        if objection := tls.objection(layer):
            self._give_up(objection)
            return False
        self.encryption = layer.encryption
        return True

    def _give_up(self, words: str) -> None:
        """The handshake failed: tell the other end, and hang up."""
        self.machine.end(words, Ending.TLS)
        if self._tls is not None and self._transport is not None:
            with suppress(TlsFailure, ssl.SSLError):
                self._tls.close()
            self._transport.write(self._tls.bytes_to_send())
        self._close()

    # --- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self.machine.receive(data)
        else:
            self._decrypt(self._tls, data)
        self._flush()
        self._moved.set()

    def _decrypt(self, layer: TlsLayer, data: bytes) -> None:
        try:
            self.machine.receive(layer.receive(data))
        except TlsFailure as problem:
            if self.encryption is None:
                self._give_up(in_exims_words(problem))
            else:
                self.machine.end(f"lost the connection: {problem}")
            return
        if layer.is_ended:
            self.machine.end("the server closed the connection")

    def eof_received(self) -> bool:
        self._ended("the server closed the connection")
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._ended(f"lost the connection: {problem}" if problem else "the server closed the connection")
        self._transport = None

    def _ended(self, why: str) -> None:
        in_handshake = self._tls is not None and self.encryption is None
        if in_handshake:
            self.machine.end(
                "(gnutls_handshake): The TLS connection was non-properly terminated.", Ending.TLS
            )
        else:
            self.machine.end(why)
        self._moved.set()

    def pause_writing(self) -> None:
        self._is_writing = False

    def resume_writing(self) -> None:
        self._is_writing = True

    def _flush(self) -> None:
        octets = self.machine.bytes_to_send()
        if self._tls is not None:
            if octets:
                with suppress(TlsFailure):  # it is over: what was heard says so
                    self._tls.send(octets)
            octets = self._tls.bytes_to_send()
        if octets and self._transport is not None:
            self._transport.write(octets)
        if self.machine.is_closed:
            self._close()

    def _close(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._tls is not None and not self._tls.is_closed:
            self._tls.close()
            self._transport.write(self._tls.bytes_to_send())
        self._transport.close()

    async def _until_settled(self, closed: bool = False) -> None:
        """Wait until the machine is idle again, or over, or wants a handshake."""
        machine, patience = self.machine, self.patience
        loop = asyncio.get_running_loop()
        heard, deadline = -1, 0.0
        while not machine.is_closed and not machine.wants_handshake and (closed or not machine.is_idle):
            if heard != machine.replies_heard:  # octets alone do not count: they may drip for ever
                heard = machine.replies_heard
                allowed = patience.final if machine.awaits_verdict else patience.command
                deadline = loop.time() + patience.of(allowed)
            if not await self._wait(deadline):
                machine.end(TOO_LATE, Ending.SILENCE)
                self.abort()  # nor will it read what is left
        if machine.is_closed:
            self._close()

    async def _wait(self, deadline: float) -> bool:
        """Wait for news. False: there was none until then."""
        self._moved.clear()
        try:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait_for(self._moved.wait(), max(left, 0))
        except (TimeoutError, asyncio.TimeoutError):
            return False
        return True


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
    """One message over one connection, to each recipient once. Returns the client machine and the result.

    Raises ConnectionRefusedError, HostSilent.
    """
    connection = await SmtpConnection.open(
        network, source, address, port, helo_name, pipelining=pipelining, on_line=on_line
    )
    once = replace(envelope, forward_paths=tuple(dict.fromkeys(envelope.forward_paths)))
    try:
        result = await connection.send(once, content) if connection.machine.is_idle else None
        await connection.quit()
    except BaseException:
        connection.abort()
        raise
    return connection.machine, result


__all__ = ["PATIENCE", "Line", "Patience", "SmtpConnection", "hand_over"]

"""One end of a connection that somebody in between holds: octets in and out, in the clear or inside his own TLS.

WHAT       `End` is an asyncio protocol; its owner hears plain octets (`heard`), that TLS is there (`secured`) or is not
           to be (`refused_tls`), and that no more will come (`ended`).
RULES      who cannot send on pauses who speaks. A handshake that fails ends the connection, and its alert is sent.
READ NEXT  middle_session.py
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Protocol, cast

from labkit.net.tls import TlsFailure, TlsLayer


class Owner(Protocol):
    """Who holds both ends."""

    def heard(self, end: End, octets: bytes) -> None: ...

    def secured(self, end: End) -> None: ...

    def refused_tls(self, end: End, words: str) -> None: ...

    def ended(self, end: End, *, is_lost: bool) -> None: ...


class End(asyncio.Protocol):
    """The end towards the client, or towards the server."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._layer: TlsLayer | None = None
        self._is_paused = False
        self._held = b""  # came while paused: until 3.11.3 asyncio forgets a pause of connection_made
        self.other: End | None = None
        self.is_over = False  # no more comes from there

    @property
    def layer(self) -> TlsLayer | None:
        return self._layer

    def pause(self) -> None:
        """Read no more for now."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        held, self._held = self._held, b""
        if held:
            self.data_received(held)

    def begin_tls(self, context: ssl.SSLContext, *, server_side: bool, name: str = "") -> None:
        """From now on, TLS; what is sent before the handshake is done waits for it."""
        self._layer = TlsLayer(context, server_side=server_side, server_name=name)
        self._flush()

    def send(self, octets: bytes) -> None:
        if self._layer is None:
            self._write(octets)
            return
        with suppress(TlsFailure):  # it is over: what was heard says so
            self._layer.send(octets)
        self._flush()

    def close(self) -> None:
        """What was sent still arrives, then the end."""
        if self._layer is not None and not self._layer.is_closed:
            self._layer.close()
            self._flush()
        if self._transport is not None:
            self._transport.close()

    def send_end(self) -> None:
        """Say that no more will come; where that needs TLS, or cannot be said, hang up."""
        if self._layer is None and self._transport is not None and self._transport.can_write_eof():
            if not self._transport.is_closing():
                with suppress(OSError, RuntimeError):
                    self._transport.write_eof()
            return
        self.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._layer is not None:
            self._write(self._layer.bytes_to_send())

    def _write(self, octets: bytes) -> None:
        if octets and self._transport is not None and not self._transport.is_closing():
            with suppress(RuntimeError):  # its end was written already
                self._transport.write(octets)

    # --- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._is_paused:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._is_paused:
            self._held += data
            return
        layer = self._layer
        if layer is None:
            self._owner.heard(self, data)
            return
        was_ready = layer.is_ready
        try:
            plain = layer.receive(data)
        except TlsFailure as failure:
            self._flush()
            self._owner.refused_tls(self, failure.words)
            return
        self._flush()
        if layer.is_ready and not was_ready:
            self._owner.secured(self)
        if plain:
            self._owner.heard(self, plain)
        if layer.is_ended:
            self._end(is_lost=False)

    def eof_received(self) -> bool:
        self._end(is_lost=False)
        return True  # the other direction may still be used

    def connection_lost(self, problem: Exception | None) -> None:
        self._transport = None
        self._end(is_lost=True)

    def _end(self, *, is_lost: bool) -> None:
        self.is_over = True
        self._owner.ended(self, is_lost=is_lost)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.pause()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.go_on()

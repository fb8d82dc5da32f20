"""TLS below an asyncio protocol that knows nothing of it: for servers that others have written (aiosmtpd).

WHAT       `Securable` stands between a transport and a protocol. In the clear it hands octets on; after `start_tls`,
           or from the start, labkit's TLS layer is between them. So it is the same on loopback and in memory.
SAFE       what a client has said before the handshake is for the caller to throw away; from then on nothing is read in
           the clear (RFC 3207 §4.2). A handshake that fails or drags on ends the connection.
STANDARDS  RFC 3207 (STARTTLS), RFC 8314 §3 (TLS from the start); Python's asyncio: Transports and Protocols
READ NEXT  tls.py, aiosmtpd_server.py
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

from labkit.net.tls import TlsFailure, TlsLayer

PATIENCE = 60.0  # seconds of real time for a handshake


class Securable(asyncio.Protocol):
    """The protocol that a network is given for `inner`. `at_once`: the context of a port that begins with TLS."""

    def __init__(self, inner: asyncio.Protocol, at_once: ssl.SSLContext | None = None) -> None:
        self._inner = inner
        self._raw: asyncio.Transport | None = None
        self._layer = TlsLayer(at_once, server_side=True) if at_once is not None else None
        self._is_begun = False  # the inner protocol has its connection
        self._secured: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def layer(self) -> TlsLayer | None:
        """TLS, as soon as there is some."""
        return self._layer

    def start_tls(self, context: ssl.SSLContext, last_words: bytes) -> asyncio.Future[None]:
        """Say `last_words` in the clear, and nothing more. Done when the handshake is; fails as TlsFailure."""
        assert self._raw is not None and self._layer is None
        self._layer = TlsLayer(context, server_side=True)
        self._secured = asyncio.get_running_loop().create_future()
        self._raw.write(last_words)
        self._watch()
        return self._secured

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PATIENCE, self._fail, TlsFailure("timed out"))

    # --- what the transport below calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        if self._layer is None:
            self._begin()
        else:
            self._watch()

    def _begin(self) -> None:
        self._is_begun = True
        self._inner.connection_made(_Above(self))

    def data_received(self, data: bytes) -> None:
        layer = self._layer
        if layer is None:
            self._inner.data_received(data)
            return
        was_ready = layer.is_ready
        try:
            found = layer.receive(data)
        except TlsFailure as failure:
            self._fail(failure)
            return
        self._flush()
        if layer.is_ready and not was_ready:
            self._is_ready()
        if found:
            self._inner.data_received(found)
        if layer.is_ended:
            self._inner.eof_received()

    def _is_ready(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_begun:
            self._begin()
        elif self._secured is not None and not self._secured.done():
            self._secured.set_result(None)

    def _fail(self, failure: TlsFailure) -> None:
        """The other end is told by an alert, and the connection ends."""
        if self._secured is not None and not self._secured.done():
            self._secured.set_exception(failure)
        if self._raw is not None:
            self._flush()
            self._raw.close()

    def eof_received(self) -> bool | None:
        if self._layer is not None and not self._layer.is_ready:
            self._fail(TlsFailure("the client closed the connection in the middle of the handshake"))
            return False
        return self._inner.eof_received()

    def connection_lost(self, problem: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._secured is not None and not self._secured.done():
            self._secured.set_exception(TlsFailure("the connection was lost in the middle of the handshake"))
        self._raw = None
        if self._is_begun:
            self._inner.connection_lost(problem)

    def pause_writing(self) -> None:
        if self._is_begun:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._is_begun:
            self._inner.resume_writing()

    # --- what the transport above calls -------------------------------------------------------

    @property
    def raw(self) -> asyncio.Transport | None:
        return self._raw

    def write(self, octets: bytes) -> None:
        if self._raw is None or self._raw.is_closing():
            return
        if self._layer is None:
            self._raw.write(octets)
            return
        try:
            self._layer.send(octets)
        except TlsFailure as failure:
            self._fail(failure)
        else:
            self._flush()

    def _flush(self) -> None:
        octets = self._layer.bytes_to_send() if self._layer is not None else b""
        if octets and self._raw is not None and not self._raw.is_closing():
            self._raw.write(octets)

    def close(self) -> None:
        """What was said is still sent, then the end."""
        if self._layer is not None:
            self._layer.close()
            self._flush()
        if self._raw is not None:
            self._raw.close()


class _Above(asyncio.Transport):
    """The transport that the inner protocol sees."""

    def __init__(self, below: Securable) -> None:
        super().__init__()
        self._below = below

    def write(self, data: Any) -> None:
        self._below.write(bytes(data))

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        if self._below.raw is not None:
            self._below.raw.abort()

    def is_closing(self) -> bool:
        return self._below.raw is None or self._below.raw.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if self._below.raw is None else self._below.raw.get_extra_info(name, default)

    def pause_reading(self) -> None:
        if self._below.raw is not None:
            self._below.raw.pause_reading()

    def resume_reading(self) -> None:
        if self._below.raw is not None:
            self._below.raw.resume_reading()

    def is_reading(self) -> bool:
        return self._below.raw is not None and self._below.raw.is_reading()

    def get_write_buffer_size(self) -> int:
        return 0 if self._below.raw is None else self._below.raw.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        return False

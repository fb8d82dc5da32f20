"""HTTPS, as much as a policy file needs: one GET and its answer, over labkit's own TLS layer.

WHAT       `get(network, source, address, host, path, …)` is the client; `Site` the server: it shows the certificate of
           the name that the client asks for (SNI) and answers from `pages`. h11 reads and writes the messages.
RULES      GET only. No redirect is followed, no cache is asked, nothing is compressed. The certificate must be good for
           the name. One answer, then the end of the connection.
SAFE       an answer longer than `limit`, or one that drags on, is no answer; a request may have 16 kB and no body to
           speak of. Whatever the other end says, the client returns a PageFetched and the server a 4xx.
STANDARDS  RFC 9110, RFC 9112 (HTTP/1.1), RFC 9525 (names), RFC 8461 §3.3
READ NEXT  ../lab/policy_host.py
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import h11

from labkit.mail.questions import PageFetched
from labkit.net.network import Listener, Network, Peer
from labkit.net.tls import TlsFailure, TlsLayer, remember_name
from labkit.net.tls_contexts import TlsUnusable, client_context, server_context
from labkit.net.tls_transport import Securable

HTTPS = 443
PATIENCE = 10.0  # seconds of real time for all of it: RFC 8461 §3.3 suggests a minute, but here a lab waits
LARGEST_PAGE = 64 * 1024
LARGEST_REQUEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of a site."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    location: str = ""


Pages = Callable[[str, str], Page]  # (host name, path) -> what is there


async def get(
    network: Network,
    source: str,
    address: str,
    host: str,
    path: str,
    *,
    authorities: Path | None,
    port: int = HTTPS,
    limit: int = LARGEST_PAGE,
    patience: float = PATIENCE,
) -> PageFetched:
    """GET https://host/path from the server at a lab address. `authorities` None: those of this machine."""
    try:
        context = client_context(authorities=authorities)
        layer = TlsLayer(context, server_side=False, server_name=host)
    except (TlsUnusable, TlsFailure, ValueError) as problem:  # ValueError: no name for SNI
        return PageFetched(problem=str(problem))
    client = _Client(layer, host, path, limit)
    try:
        await asyncio.wait_for(network.connect(source, address, port, lambda: client), patience)
        return await asyncio.wait_for(client.done, patience)
    except (TimeoutError, asyncio.TimeoutError):  # HostSilent is one
        return PageFetched(problem=f"{address} port {port} does not answer")
    except OSError as problem:
        return PageFetched(problem=problem.strerror or str(problem))
    finally:
        client.close()


class _Client(asyncio.Protocol):
    """One GET."""

    def __init__(self, layer: TlsLayer, host: str, path: str, limit: int) -> None:
        self._layer, self._limit = layer, limit
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_REQUEST)
        headers = [
            ("Host", host),
            ("User-Agent", "labkit"),
            ("Accept", "text/plain"),
            ("Connection", "close"),
        ]
        self._request = h11.Request(method="GET", target=path, headers=headers)
        self._status, self._type, self._body = 0, "", bytearray()
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[PageFetched] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        for event in (self._request, h11.EndOfMessage()):
            self._layer.send(self._http.send(event) or b"")  # it waits for the handshake
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            if found := self._layer.receive(data):  # nothing at all would mean the end, to h11
                self._http.receive_data(found)
                self._read()
            if self._layer.is_ended:
                self._at_end()
        except TlsFailure as problem:
            self._answer(PageFetched(problem=problem.words, of_certificate=problem.of_certificate))
        except h11.RemoteProtocolError as problem:
            self._answer(PageFetched(problem=f"the answer is no HTTP: {str(problem)[:80]}"))
        self._flush()

    def _read(self) -> None:
        while not self.done.done():
            event = self._http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response):
                self._status = event.status_code
                self._type = dict(event.headers).get(b"content-type", b"")[:200].decode("latin-1")
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._limit:
                    self._answer(PageFetched(problem=f"the answer is longer than {self._limit // 1024} kB"))
            elif isinstance(event, h11.EndOfMessage):
                self._answer(PageFetched(self._status, self._type, bytes(self._body)))
            elif isinstance(event, h11.ConnectionClosed):
                return

    def _at_end(self) -> None:
        """The server has said that no more comes: an answer without a length ends here (RFC 9112 §6.3)."""
        if not self.done.done():
            with suppress(h11.RemoteProtocolError):
                self._http.receive_data(b"")
                self._read()
        self._answer(PageFetched(problem="the server closed the connection in the middle of its answer"))

    def eof_received(self) -> bool:
        self._lost()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._lost()
        self._transport = None

    def _lost(self) -> None:
        """Without TLS's own end of the connection a short answer cannot be told from a cut one."""
        self._answer(PageFetched(problem="the connection was lost"))

    def _answer(self, page: PageFetched) -> None:
        if not self.done.done():
            self.done.set_result(page)

    def _flush(self) -> None:
        octets = self._layer.bytes_to_send()
        if octets and self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def close(self) -> None:
        if self._transport is not None:
            self._layer.close()
            self._flush()
            self._transport.close()


class Site:
    """A web server for several names at one address. `certificates`: name -> file with chain and key."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._listener: Listener | None = None
        self._open: set[_Visit] = set()

    def show(self, name: str, certificate: Path) -> None:
        """Show this certificate to who asks for `name`. Raises TlsUnusable."""
        self._contexts[name] = server_context(certificate)
        for context in self._contexts.values():
            context.sni_callback = self._choose

    def forget(self, name: str) -> None:
        self._contexts.pop(name, None)

    async def listen(self, network: Network, address: str, port: int = HTTPS) -> None:
        """Raises as Network.listen does."""
        self._listener = await network.listen(address, port, self._accept)

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for visit in tuple(self._open):
            visit.close()

    def _accept(self, peer: Peer) -> asyncio.BaseProtocol:
        first = next(iter(self._contexts.values()), None)
        if first is None:
            return _HangsUp()
        visit = _Visit(self)
        self._open.add(visit)
        return Securable(visit, first)

    def ended(self, visit: _Visit) -> None:
        self._open.discard(visit)

    def _choose(self, tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """SNI: who asks for a name that is not here sees the certificate of the first."""
        if name in self._contexts:
            tls.context = self._contexts[name or ""]
        remember_name(tls, name, context)


class _HangsUp(asyncio.Protocol):
    """All names were taken away: there is no certificate to begin with."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Visit(asyncio.Protocol):
    """One request and its answer."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_REQUEST)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._octets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.close)

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        try:
            self._http.receive_data(data)
            while self._transport is not None:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                elif isinstance(event, h11.EndOfMessage):
                    self._say(self._page())
                elif self._octets > LARGEST_REQUEST:
                    self._say(Page(413, b"too much\n"))
                elif not isinstance(event, h11.Data):
                    return
        except h11.RemoteProtocolError as problem:
            self._say(Page(problem.error_status_hint or 400, b"this is no HTTP\n"))

    def _page(self) -> Page:
        request = self._request
        assert request is not None, "a message begins with a request"
        if request.method not in (b"GET", b"HEAD"):
            return Page(405, b"GET only\n")
        host = dict(request.headers).get(b"host", b"").decode("latin-1").partition(":")[0].lower()
        return self._site.pages(host, request.target.decode("latin-1"))

    def _say(self, page: Page) -> None:
        headers = [("Content-Type", page.content_type), ("Content-Length", str(len(page.body)))]
        headers += [("Location", page.location)] if page.location else []
        answer = h11.Response(status_code=page.status, headers=[*headers, ("Connection", "close")])
        is_head = self._request is not None and self._request.method == b"HEAD"
        with suppress(h11.LocalProtocolError):
            octets = self._http.send(answer) or b""
            if page.body and not is_head:
                octets += self._http.send(h11.Data(data=page.body)) or b""
            octets += self._http.send(h11.EndOfMessage()) or b""
            if self._transport is not None:
                self._transport.write(octets)
        self.close()

    def eof_received(self) -> bool:
        self.close()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._site.ended(self)

    def close(self) -> None:
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()

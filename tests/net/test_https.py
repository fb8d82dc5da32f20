"""One GET by HTTPS, on loopback and in memory: what is fetched, what is refused, and hostile ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from labkit.lab.authority import Authority
from labkit.mail.questions import PageFetched
from labkit.net.https import LARGEST_PAGE, Page, Site, get
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.network import Network
from labkit.net.tls_contexts import server_context
from labkit.net.tls_transport import Securable

CLIENT, SERVER, NAME = "198.51.100.11", "203.0.113.80", "mta-sts.a.test"
NETWORKS = pytest.mark.parametrize("kind", [Memory, Loopback])
PAGES = {
    "/ok": Page(200, b"hello\n"),
    "/html": Page(200, b"<p>", "text/html"),
    "/moved": Page(302, b"", location="https://mta-sts.a.test/ok"),
    "/long": Page(200, b"x" * (LARGEST_PAGE + 1)),
    "/exact": Page(200, b"x" * LARGEST_PAGE),
    "/empty": Page(200, b""),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def network_of(kind: type[Network]) -> AsyncIterator[Network]:
    network = kind([CLIENT, SERVER])  # type: ignore[call-arg]
    try:
        yield network
    finally:
        await network.close()


async def fetched(network: Network, authority: Authority, path: str = "/ok", **more: Any) -> PageFetched:
    return await get(network, CLIENT, SERVER, NAME, path, authorities=authority.prepare(), **more)


@NETWORKS
def test_what_is_there(kind: type[Network], authority: Authority) -> None:
    asked: list[tuple[str, str]] = []

    def pages(host: str, path: str) -> Page:
        asked.append((host, path))
        return PAGES.get(path, Page(404, b"no\n"))

    async def story() -> None:
        async with network_of(kind) as network:
            site = Site(pages)
            site.show(NAME, authority.certificate_for(NAME))
            site.show("mta-sts.b.test", authority.certificate_for("mta-sts.b.test"))
            await site.listen(network, SERVER)
            assert await fetched(network, authority) == PageFetched(200, "text/plain", b"hello\n")
            other = await get(network, CLIENT, SERVER, "mta-sts.b.test", "/ok", authorities=authority.ca)
            assert other.status == 200, "SNI: each name has its own certificate"
            assert (await fetched(network, authority, "/html")).content_type == "text/html"
            assert (await fetched(network, authority, "/none")).status == 404
            assert (await fetched(network, authority, "/empty")).body == b""
            assert len((await fetched(network, authority, "/exact")).body) == LARGEST_PAGE
            assert "longer than 64 kB" in (await fetched(network, authority, "/long")).problem
            asked.clear()
            assert (await fetched(network, authority, "/moved")).status == 302
            assert asked == [(NAME, "/moved")], "a redirect is not followed"
            site.close()
            assert "nobody listens" in (await fetched(network, authority)).problem
            network.silence(SERVER, 443)
            assert "does not answer" in (await fetched(network, authority)).problem

    asyncio.run(story())


@NETWORKS
@pytest.mark.parametrize("bad", ["self-signed", "expired", "wrong name"])
def test_certificates(kind: type[Network], authority: Authority, bad: str) -> None:
    async def story() -> None:
        async with network_of(kind) as network:
            site = Site(lambda host, path: PAGES["/ok"])
            site.show(NAME, authority.certificate_for(NAME, bad))
            await site.listen(network, SERVER)
            found = await fetched(network, authority)
            assert found.of_certificate and not found.body
            site.close()

    asyncio.run(story())


class _Says(asyncio.Protocol):
    """A server that says these octets, whatever it hears; `ends`: and hangs up."""

    def __init__(self, octets: bytes, ends: bool) -> None:
        self.octets, self.ends = octets, ends

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.octets)
        if self.ends:
            self.transport.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize(
    "octets, ends, words",
    [
        (b"220 mx ESMTP\r\n", True, "closed"),
        (b"\x00" * 100, True, "no HTTP"),
        (OK + b"X: " + b"y" * 100_000, True, "no HTTP"),
        (OK + b"Content-Length: 10\r\n\r\nabc", True, "closed"),
        (OK + b"Content-Length: -1\r\n\r\n", True, "no HTTP"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nabc", True, "no HTTP"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFFFF\r\n", True, "no HTTP"),
        (b"", True, "closed"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, True, "closed"),
        (OK, False, "does not answer"),
        (OK + b"\r\n" + b"x" * 70_000, False, "longer than"),
    ],
)
def test_hostile_servers(authority: Authority, octets: bytes, ends: bool, words: str) -> None:
    async def story() -> None:
        async with network_of(Memory) as network:
            context = server_context(authority.certificate_for(NAME))
            await network.listen(SERVER, 443, lambda peer: Securable(_Says(octets, ends), context))
            found = await fetched(network, authority, patience=0.2)
            assert words in found.problem, found

    asyncio.run(story())


def test_an_answer_without_a_length(authority: Authority) -> None:
    async def story() -> None:
        async with network_of(Memory) as network:
            context = server_context(authority.certificate_for(NAME))
            await network.listen(SERVER, 443, lambda peer: Securable(_Says(OK + b"\r\nabc", True), context))
            assert (await fetched(network, authority)).body == b"abc"

    asyncio.run(story())


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"GET /ok HTTP/1.1\r\nHost: mta-sts.a.test\r\n\r\n", 200),
        (b"HEAD /ok HTTP/1.1\r\nHost: mta-sts.a.test\r\n\r\n", 200),
        (b"POST /ok HTTP/1.1\r\nHost: mta-sts.a.test\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"GET /ok HTTP/1.1\r\n\r\n", 400),
        (b"EHLO me\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHost: mta-sts.a.test\r\nX: " + b"y" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"y" * 40_000, 413),
    ],
)
def test_odd_requests(authority: Authority, request_: bytes, status: int) -> None:
    async def story() -> None:
        async with network_of(Loopback) as network:
            assert isinstance(network, Loopback)
            site = Site(lambda host, path: PAGES["/ok"])
            site.show(NAME, authority.certificate_for(NAME))
            await site.listen(network, SERVER)
            trusting = ssl.create_default_context(cafile=str(authority.prepare()))
            place = network.real_place(SERVER, 443)
            reader, writer = await asyncio.open_connection(*place, ssl=trusting, server_hostname=NAME)
            writer.write(request_)
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            site.close()
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:80]
            assert (b"hello" in answer) == (request_.startswith(b"GET") and status == 200)

    asyncio.run(story())


@NETWORKS
def test_a_site_without_names_hangs_up(kind: type[Network], authority: Authority) -> None:
    """All was withdrawn: who calls hears nothing, and the server has no mishap."""

    async def story() -> None:
        mishaps: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: mishaps.append(about))
        site = Site(lambda host, path: Page(200, b"hello\n"))
        site.show(NAME, authority.certificate_for(NAME))
        async with network_of(kind) as network:
            await site.listen(network, SERVER)
            site.forget(NAME)
            found = await fetched(network, authority)
            site.close()
        assert found.problem
        assert not mishaps

    asyncio.run(story())

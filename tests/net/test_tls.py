"""TLS as a layer: two layers back to back, and between two hosts on both networks."""

from __future__ import annotations

import asyncio
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from labkit.net.client_hello import asked_name
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.network import Network, Peer
from labkit.net.tls import TlsFailure, TlsLayer
from labkit.net.tls_contexts import TlsUnusable, Wants, client_context, server_context
from labkit.net.tls_names import standard_name
from labkit.net.tls_trust import Trust

NAME = "mx.st11.test"
NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


class Authority:
    """Signs certificates, and keeps the files in a folder."""

    def __init__(self, folder: Path, name: str = "an authority") -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.count = folder, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._signed(self.name, self.key, NOW - DAY, NOW + DAY, ca=True)
        self.file = folder / "ca.crt"
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begin: datetime,
        end: datetime,
        *,
        ca: bool = False,
        names: tuple[str, ...] = (),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def certify(
        self, name: str = NAME, begin: datetime = NOW - DAY, end: datetime = NOW + DAY
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, begin, end, names=(name,))
        self.count += 1
        files = self.folder / f"{self.count}.crt", self.folder / f"{self.count}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files[1].write_bytes(secret)
        files[1].chmod(stat.S_IRUSR)
        return files


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> tuple[Path, Path]:
    return authority.certify()


def carry(client: TlsLayer, server: TlsLayer) -> tuple[bytes, bytes]:
    """Carry octets until nobody has anything to say; what the client and the server got."""
    to_client, to_server = bytearray(), bytearray()
    while True:
        there, back = client.bytes_to_send(), server.bytes_to_send()
        if not there and not back:
            return bytes(to_client), bytes(to_server)
        if there:
            to_server += server.receive(there)
        if back:
            to_client += client.receive(back)


def pair(server: ssl.SSLContext, client: ssl.SSLContext, name: str = NAME) -> tuple[TlsLayer, TlsLayer]:
    return TlsLayer(client, server_side=False, server_name=name), TlsLayer(server, server_side=True)


def test_what_is_said_arrives(authority: Authority, own: tuple[Path, Path]) -> None:
    client, server = pair(server_context(*own), client_context(authorities=authority.file))
    assert not client.is_ready and not server.is_ready
    server.send(b"220 hello\r\n")  # before the handshake: it waits
    client.send(b"EHLO c\r\n")
    assert carry(client, server) == (b"220 hello\r\n", b"EHLO c\r\n")
    assert client.encryption.shown == "TLS1.3:TLS_AES_256_GCM_SHA384:256"
    assert client.encryption.is_verified and not server.encryption.is_verified
    assert client.encryption.peer_name == f"CN={NAME}" and server.encryption.peer_name == ""
    assert server.encryption.server_name == NAME, "SNI"
    large = bytes(range(256)) * 4096
    server.send(large)
    assert carry(client, server) == (large, b"")
    client.close()
    assert carry(client, server) == (b"", b"") and server.is_ended


def test_tls_1_2_has_its_standard_names(authority: Authority, own: tuple[Path, Path]) -> None:
    old = client_context(authorities=authority.file)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = pair(server_context(*own), old)
    carry(client, server)
    assert server.encryption.shown == "TLS1.2:TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:256"


@pytest.mark.parametrize(
    "name, standard",
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
        ("DHE-RSA-AES256-CCM8", "TLS_DHE_RSA_WITH_AES_256_CCM_8"),
        ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("PSK-AES256-GCM-SHA384", "TLS_PSK_WITH_AES_256_GCM_SHA384"),
        ("SOMETHING", "SOMETHING"),
    ],
)
def test_names_of_ciphers(name: str, standard: str) -> None:
    assert standard_name(name) == standard


def refused(client: TlsLayer, server: TlsLayer) -> tuple[TlsFailure, str]:
    """A handshake that fails: what the first to notice says, and what the alert tells the other."""
    with pytest.raises(TlsFailure) as first:
        carry(client, server)
    try:
        client.receive(server.bytes_to_send())
        server.receive(client.bytes_to_send())
        carry(client, server)
    except TlsFailure as told:
        return first.value, told.words
    return first.value, ""


def test_a_stranger_is_not_believed(tmp_path: Path, own: tuple[Path, Path]) -> None:
    stranger = Authority(tmp_path / "other", "somebody else")
    failure, told = refused(*pair(server_context(*own), client_context(authorities=stranger.file)))
    assert failure.of_certificate
    assert "unable to get local issuer certificate" in failure.words
    assert "unknown ca" in told


def test_the_name_must_be_right(authority: Authority, own: tuple[Path, Path]) -> None:
    context = client_context(authorities=authority.file)
    failure, _ = refused(*pair(server_context(*own), context, "mx.other.test"))
    assert failure.of_certificate and "mismatch" in failure.words
    careless = client_context(authorities=authority.file, checks_name=False)
    client, server = pair(server_context(*own), careless, "mx.other.test")
    carry(client, server)
    assert client.encryption.is_verified


def test_a_client_may_have_to_show_a_certificate(authority: Authority, own: tuple[Path, Path]) -> None:
    strict = server_context(*own, wants=Wants.GOOD, authorities=authority.file)
    mine = authority.certify("laptop.test")
    client, server = pair(
        strict, client_context(authorities=authority.file, certificate=mine[0], key=mine[1])
    )
    carry(client, server)
    assert server.encryption.is_verified and server.encryption.peer_name == "CN=laptop.test"
    failure, told = refused(*pair(strict, client_context(authorities=authority.file)))
    assert "peer did not return a certificate" in failure.words and "certificate required" in told


def test_only_tls_1_2_and_1_3(own: tuple[Path, Path]) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.options &= ~ssl.OP_NO_TLSv1_1
    with pytest.warns(DeprecationWarning, match=r"TLSv1\b"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    failure, _ = refused(*pair(server_context(*own), old))
    assert "unsupported protocol" in failure.words


@pytest.mark.parametrize(
    "octets",
    [b"EHLO plain.test\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 40, b"\x16\x03\x01\xff\xff" + b"a" * 70000],
)
def test_garbage_is_no_handshake(own: tuple[Path, Path], octets: bytes) -> None:
    server = TlsLayer(server_context(*own), server_side=True)
    with pytest.raises(TlsFailure):
        server.receive(octets)
    assert server.receive(b"more") == b""


def test_a_tampered_record_ends_it(authority: Authority, own: tuple[Path, Path]) -> None:
    client, server = pair(server_context(*own), client_context(authorities=authority.file))
    carry(client, server)
    client.send(b"MAIL FROM:<ann@lab.test>\r\n")
    record = bytearray(client.bytes_to_send())
    record[-1] ^= 1
    with pytest.raises(TlsFailure):
        server.receive(record)


def test_a_handshake_that_is_left(own: tuple[Path, Path]) -> None:
    server = TlsLayer(server_context(*own), server_side=True)
    with pytest.raises(TlsFailure, match="in the middle of the handshake"):
        server.end_of_file()


def test_what_waits_has_a_limit(own: tuple[Path, Path]) -> None:
    server = TlsLayer(server_context(*own), server_side=True)
    with pytest.raises(TlsFailure, match="too much"):
        server.send(bytes(2 * 1024 * 1024))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda own: (own[0].with_name("no.crt"), own[1]), "no.crt cannot be read: No such file"),
        (lambda own: (own[0], own[1].with_name("no.key")), "no.key cannot be read: No such file"),
        (lambda own: (own[1], own[1]), "are no certificate and key"),
        (lambda own: (own[0], None), "are no certificate and key"),
    ],
)
def test_files_that_cannot_be_used(
    own: tuple[Path, Path], change: Callable[[tuple[Path, Path]], tuple[Path, Path | None]], words: str
) -> None:
    with pytest.raises(TlsUnusable, match=words):
        server_context(*change(own))


def test_the_key_of_another(authority: Authority, own: tuple[Path, Path]) -> None:
    other = authority.certify("other.test")
    with pytest.raises(TlsUnusable, match="does not belong to the certificate"):
        server_context(own[0], other[1])


@pytest.mark.parametrize(
    "text, version, because",
    [
        ("NORMAL", "TLS1.3", "GnuTLS's own default"),
        ("NORMAL:-VERS-TLS1.3", "TLS1.2", "a priority string that takes a version out"),
        ("SECURE256:-VERS-ALL:+VERS-TLS1.2:%SERVER_PRECEDENCE", "TLS1.2", "all out, and one in"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS1.3", "a list of OpenSSL's; it is about TLS 1.2"),
    ],
)
def test_ciphers(authority: Authority, own: tuple[Path, Path], text: str, version: str, because: str) -> None:
    client, server = pair(server_context(*own, ciphers=text), client_context(authorities=authority.file))
    carry(client, server)
    assert server.encryption.version == version, because


@pytest.mark.parametrize("text", ["no such cipher", "NORMAL:-VERS-ALL", "NORMAL:-AES-128-CBC"])
def test_ciphers_that_are_none(own: tuple[Path, Path], text: str) -> None:
    with pytest.raises(TlsUnusable):
        server_context(*own, ciphers=text)


@pytest.mark.parametrize(
    "name, begin, end, asked, words",
    [
        (NAME, NOW - DAY, NOW + DAY, NAME, ""),
        (NAME, NOW - DAY, NOW + DAY, "", ""),
        (NAME, NOW - DAY, NOW + DAY, "mx.other.test", "name mismatch"),
        ("*.st11.test", NOW - DAY, NOW + DAY, NAME, ""),
        ("*.st11.test", NOW - DAY, NOW + DAY, "a.mx.st11.test", "name mismatch"),
        (NAME, NOW - 2 * DAY, NOW - DAY, NAME, "expired"),
        (NAME, NOW + DAY / 2, NOW + DAY, NAME, "not yet valid"),
    ],
)
def test_a_look_at_what_nobody_must_believe(
    authority: Authority, name: str, begin: datetime, end: datetime, asked: str, words: str
) -> None:
    trust = Trust(authority.file.read_bytes())
    certificate = authority.certify(name, begin, end)
    client = TlsLayer(
        client_context(wants=Wants.NOTHING),
        server_side=False,
        server_name=asked,
        judge=lambda chain: trust.judge(chain, [asked] if asked else []),
    )
    carry(client, TlsLayer(server_context(*certificate), server_side=True))
    assert client.encryption.is_verified is (not words)
    assert words in client.judgement


def test_a_look_at_a_strangers(tmp_path: Path, own: tuple[Path, Path]) -> None:
    trust = Trust(Authority(tmp_path / "other", "somebody else").file.read_bytes())
    client = TlsLayer(
        client_context(wants=Wants.NOTHING), server_side=False, server_name=NAME, judge=trust.judge
    )
    carry(client, TlsLayer(server_context(*own), server_side=True))
    assert "unable to get local issuer" in client.judgement and not client.encryption.is_verified


# --- between two hosts ------------------------------------------------------------------------

ANN, BOB = "203.0.113.11", "198.51.100.2"


class End(asyncio.Protocol):
    """One end with a layer; what it gets it says back once, in capitals."""

    def __init__(self, layer: TlsLayer, says: bytes = b"") -> None:
        self.layer, self.says, self.heard = layer, says, b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.layer.send(self.says)
        self.transport.write(self.layer.bytes_to_send())

    def data_received(self, data: bytes) -> None:
        if found := self.layer.receive(data):
            self.heard += found
            if not self.says:
                self.layer.send(found.upper())
        if octets := self.layer.bytes_to_send():
            self.transport.write(octets)
        if self.says and self.heard == self.says.upper():
            self.layer.close()
            self.transport.write(self.layer.bytes_to_send())
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


@pytest.mark.parametrize("kind", [Loopback, Memory], ids=lambda kind: kind.name)
def test_the_same_on_every_network(kind: Any, authority: Authority, own: tuple[Path, Path]) -> None:
    async def tell() -> tuple[End, list[End]]:
        network: Network = kind([ANN, BOB])
        ends: list[End] = []

        def accept(peer: Peer) -> End:
            ends.append(End(TlsLayer(server_context(*own), server_side=True)))
            return ends[-1]

        try:
            await network.listen(BOB, 465, accept)
            context = client_context(authorities=authority.file)
            caller = End(TlsLayer(context, server_side=False, server_name=NAME), b"noop " * 50000)
            await network.connect(ANN, BOB, 465, lambda: caller)
            await asyncio.wait_for(asyncio.gather(caller.done, *[end.done for end in ends]), 10)
        finally:
            await network.close()
        return caller, ends

    caller, (end,) = asyncio.run(tell())
    assert caller.heard == caller.says.upper()
    assert end.layer.is_ended and end.layer.encryption.server_name == NAME


@pytest.mark.alone
def test_a_hello_in_a_thousand_pieces_takes_no_time() -> None:
    """Whoever sends octet by octet, in records of one octet each, must not keep a server busy."""
    hello = b"\x01\x00\xff\xff" + bytes(3000)
    octets = b"".join(b"\x16\x03\x01\x00\x01" + bytes([each]) for each in hello)
    began, there = time.perf_counter(), bytearray()
    for octet in octets:
        there.append(octet)
        if (name := asked_name(there)) is not None:
            break
    assert name == "" and time.perf_counter() - began < 2


def test_nothing_is_loaded_that_only_certificates_need(root: Path) -> None:
    """Each command of labkit-exim starts a Python; most of them see no certificate."""
    code = "import sys, labkit.cli.exim.machine; print('cryptography' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert said.stdout == "False\n"

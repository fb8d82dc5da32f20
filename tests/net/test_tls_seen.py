"""What an eavesdropper reads: real handshakes of OpenSSL, cut anywhere, spoilt anyhow."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.lab.authority import Authority
from labkit.net.client_hello import asked_name
from labkit.net.tls import TlsFailure, TlsLayer
from labkit.net.tls_contexts import client_context, server_context
from labkit.net.tls_hello import Malformed, certificates, client_hello, server_hello
from labkit.net.tls_names import standard_name
from labkit.net.tls_numbers import CIPHERS
from labkit.net.tls_seen import MOST, Seen, seen

NAME = "mx.st11.test"
CLEAR = [
    ("S", b"220 mx ESMTP\r\n"),
    ("C", b"EHLO ann.test\r\n"),
    ("S", b"250-mx\r\n250 STARTTLS\r\n"),
    ("C", b"STARTTLS\r\n"),
    ("S", b"220 TLS go ahead\r\n"),
]
CASES = int(os.environ.get("LABKIT_THOROUGH", "0")) * 3000 or 150


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("seen") / "authority")


def shaken(
    authority: Authority,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    *,
    asks: str = NAME,
    groups: str = "",
) -> tuple[list[tuple[str, bytes]], TlsLayer]:
    """A handshake and a line each way, as pieces; and the client's end."""
    believing = client_context(authorities=authority.prepare())
    believing.maximum_version = version
    showing = server_context(authority.certificate_for(NAME))
    if groups:
        showing.set_ecdh_curve(groups)
    client = TlsLayer(believing, server_side=False, server_name=asks)
    server = TlsLayer(showing, server_side=True)
    pieces: list[tuple[str, bytes]] = []
    try:
        while not (client.is_ready and server.is_ready):
            pieces.append(("C", client.bytes_to_send()))
            server.receive(pieces[-1][1])
            pieces.append(("S", server.bytes_to_send()))
            client.receive(pieces[-1][1])
        client.send(b"EHLO ann.test\r\n")
        pieces.append(("C", client.bytes_to_send()))
        server.send(b"250 mx\r\n")
        pieces.append(("S", server.bytes_to_send()))
    except TlsFailure:
        pieces.append(("C", client.bytes_to_send()))
    return [piece for piece in pieces if piece[1]], client


def names(found: tuple[Seen, ...]) -> list[str]:
    return [f"{each.speaker} {each.kind}: {each.name}" for each in found]


def test_tls_1_3(authority: Authority) -> None:
    """After the ServerHello nothing is to be read: not even whose certificate it is."""
    pieces, client = shaken(authority)
    found = seen([*CLEAR, *pieces])
    assert names(found) == [
        "S line: 220 mx ESMTP",
        "C line: EHLO ann.test",
        "S line: 250-mx",
        "S line: 250 STARTTLS",
        "C line: STARTTLS",
        "S line: 220 TLS go ahead",
        "C clear: ClientHello",
        "S clear: ServerHello",
        "S clear: ChangeCipherSpec",
        "S secret: EncryptedExtensions, Certificate, CertificateVerify, Finished",
        "C clear: ChangeCipherSpec",
        "C secret: Finished",
        "C data: application data",
        "S data: application data",
    ]
    asked, chosen = dict(found[6].facts), dict(found[7].facts)
    assert asked["versions"] == "TLS1.3, TLS1.2" and asked["server name"] == NAME
    assert chosen["version"] == client.encryption.version and chosen["cipher"] == client.encryption.cipher
    assert found[-1].sizes == (len(b"250 mx\r\n") + 1 + 16,), "the text, its kind, the proof"
    assert [each.is_readable for each in found[8:]] == [True, False, True, False, False, False]


def test_tls_1_2_shows_the_certificates(authority: Authority) -> None:
    pieces, client = shaken(authority, ssl.TLSVersion.TLSv1_2)
    found = seen(pieces)
    assert names(found) == [
        "C clear: ClientHello",
        "S clear: ServerHello",
        "S clear: Certificate",
        "S clear: ServerKeyExchange",
        "S clear: ServerHelloDone",
        "C clear: ClientKeyExchange",
        "C clear: ChangeCipherSpec",
        "C secret: Finished",
        "S clear: ChangeCipherSpec",
        "S secret: Finished",
        "C data: application data",
        "S data: application data",
    ]
    assert found[2].certificates == client.certificates
    assert dict(found[1].facts) == {"version": "TLS1.2", "cipher": client.encryption.cipher}
    assert dict(found[3].facts) == {"group": "x25519"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_is_not_believed(authority: Authority, version: ssl.TLSVersion) -> None:
    pieces, _ = shaken(authority, version, asks="mx.other.test")
    last = seen(pieces)[-1]
    assert (last.speaker, last.kind, last.name, last.facts) == (
        "C", "alert", "alert bad_certificate", (("level", "fatal"),)
    )  # fmt: skip


def test_a_server_that_wants_another_group(authority: Authority) -> None:
    """HelloRetryRequest: what looks like a ServerHello, and a second ClientHello."""
    pieces, _ = shaken(authority, groups="secp384r1")
    found = seen(pieces)
    assert [each.name for each in found if each.kind == "clear"] == [
        "ClientHello", "HelloRetryRequest", "ChangeCipherSpec", "ChangeCipherSpec", "ClientHello", "ServerHello",
    ]  # fmt: skip
    assert dict(found[1].facts)["group"] == "secp384r1"
    assert found[-1].kind == "data"


def test_a_plain_client_on_465() -> None:
    found = seen([("C", b"EHLO plain.test\r\n"), ("S", bytes.fromhex("1503030002020a"))])
    assert names(found) == ["C line: EHLO plain.test", "S alert: alert unexpected_message"]
    assert dict(found[1].facts) == {"level": "fatal"}


def test_every_cipher_of_openssl_has_its_name() -> None:
    """OpenSSL tells the number of each suite that it knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    described = context.get_ciphers()
    assert len(described) > 100
    for cipher in described:
        name = CIPHERS[cipher["id"] & 0xFFFF]
        if (
            name.startswith("TLS_ECDHE_") and "GCM" in name and "ARIA" not in name
        ):  # OpenSSL shortens the others
            assert standard_name(cipher["name"]) == name


def test_what_comes_in_single_octets_reads_the_same(authority: Authority) -> None:
    pieces, _ = shaken(authority)
    whole = [*CLEAR, *pieces]
    assert seen((who, octets[i : i + 1]) for who, octets in whole for i in range(len(octets))) == seen(whole)


def test_a_capture_that_is_cut_off(authority: Authority) -> None:
    """What was complete is told, and what was not is counted."""
    pieces, _ = shaken(authority, ssl.TLSVersion.TLSv1_2)
    whole = seen(pieces)
    for end in range(1, len(pieces[1][1]), 37):
        found = seen([pieces[0], ("S", pieces[1][1][:end])])
        assert found[:-1] == whole[: len(found) - 1]
        assert found[-1].kind == "rest" or found[-1] == whole[len(found) - 1]


@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_whatever_is_spoilt_nothing_is_raised(authority: Authority, data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]))
    pieces = _kept(authority, version)
    which = data.draw(st.integers(0, len(pieces) - 1))
    octets = bytearray(pieces[which][1])
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, min(len(octets) - 1, 200)))] = data.draw(st.integers(0, 255))
    spoilt = [*pieces[:which], (pieces[which][0], bytes(octets)), *pieces[which + 1 :]]
    assert len(seen([*CLEAR, *spoilt])) <= MOST + 3
    asked_name(octets)


_PIECES: dict[ssl.TLSVersion, list[tuple[str, bytes]]] = {}


def _kept(authority: Authority, version: ssl.TLSVersion) -> list[tuple[str, bytes]]:
    if version not in _PIECES:
        _PIECES[version] = shaken(authority, version)[0]
    return _PIECES[version]


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=400)), max_size=8))
def test_any_octets(pieces: list[tuple[str, bytes]]) -> None:
    seen(pieces)
    for _, octets in pieces:
        for read in (client_hello, server_hello, certificates):
            with suppress(Malformed):
                read(octets)


def test_a_flood_is_bounded() -> None:
    found = seen([("C", b"\x16\x03\x01\x00\x00" * 200_000), ("S", b"x\r\n" * 200_000)])
    assert len(found) <= MOST + 3
    assert (
        sum(len(each.sizes) for each in seen([("C", b"\x15\x03"), ("C", b"\x03\x00\x03abc" * 50_000)])) < 5000
    )
    large = b"\x16\x03\x03\x3f\xff\x0b\xff\xff\xff" + bytes(0x3FFF - 4)
    assert seen([("S", large * 50)])[0].kind == "rest"


def test_control_characters_are_shown() -> None:
    assert seen([("C", b"EHLO \x1b[2Ja\x00\r\n")])[0].name.isprintable()


def test_the_name_is_the_one_that_a_server_gets(authority: Authority) -> None:
    pieces, _ = shaken(authority)
    assert asked_name(pieces[0][1]) == NAME == Path(NAME).name

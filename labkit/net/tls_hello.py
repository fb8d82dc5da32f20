"""Read the messages of a TLS handshake that anybody on the wire can read.

WHAT       `client_hello(body)`, `server_hello(body)`, `certificates(body)`, `key_exchange_group(body)`: values of what
           stands in them. `body` is a handshake message without its header of four octets.
RULES      nothing is judged, random numbers and keys are passed over. Every one raises Malformed for octets that end
           too early or tell a wrong length, and nothing else. An extension that is broken is as if it were not
           there: the name that stands in another one is still read.
STANDARDS  RFC 8446 §4.1.2, §4.1.3, §4.2.1 (versions), §4.2.7 (groups); RFC 6066 §3 (server_name); RFC 7301 §3.1 (ALPN);
           RFC 5246 §7.4.2 (Certificate); RFC 8422 §5.4 (ServerKeyExchange)
READ NEXT  tls_seen.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.net.tls_numbers import GREASE, cipher_name, extension_name, group_name, version_of

SERVER_NAME, GROUPS, ALPN, VERSIONS, KEY_SHARE = 0, 10, 16, 43, 51
MOST = 500  # of one list that are kept
MOST_EXTENSIONS = 200
MOST_CERTIFICATES = 10
NAMED_CURVE = 3
# The random number of a ServerHello that is none, but asks the client to begin again (RFC 8446 §4.1.3)
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class Malformed(ValueError):
    """The octets are no such message."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client offers. `versions`: those of supported_versions, or else the one in the old field."""

    versions: tuple[str, ...]
    ciphers: tuple[str, ...]
    server_name: str
    groups: tuple[str, ...]
    protocols: tuple[str, ...]
    extensions: tuple[str, ...]
    old_version: str


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What a server has chosen. `is_retry`: it wants another ClientHello, with a key for `group`."""

    version: str
    cipher: str
    group: str
    is_retry: bool
    extensions: tuple[str, ...]


class Octets:
    """Octets that are taken from the front; every taking is checked."""

    def __init__(self, octets: bytes) -> None:
        self._octets, self._at = octets, 0

    @property
    def left(self) -> int:
        return len(self._octets) - self._at

    def take(self, count: int) -> bytes:
        """Raises Malformed."""
        if count > self.left:
            raise Malformed("cut off")
        self._at += count
        return self._octets[self._at - count : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> Octets:
        """What has its length in front, in `width` octets."""
        return Octets(self.take(self.number(width)))

    def numbers(self) -> list[int]:
        """All that is left, as numbers of two octets."""
        return [self.number(2) for _ in range(min(self.left // 2, MOST))]


def client_hello(body: bytes) -> ClientHello:
    """Raises Malformed."""
    octets = Octets(body)
    old = version_of(octets.number(2))
    octets.take(32)
    octets.vector(1)  # session
    ciphers = octets.vector(2).numbers()
    octets.vector(1)  # compression
    found = _extensions(octets)
    versions = _numbers(found.get(VERSIONS, b""), 1)
    return ClientHello(
        versions=tuple(version_of(each) for each in versions if version_of(each) != GREASE) or (old,),
        ciphers=tuple(name for each in ciphers if (name := cipher_name(each)) != GREASE),
        server_name=server_name(found.get(SERVER_NAME, b"")),
        groups=tuple(
            name for each in _numbers(found.get(GROUPS, b""), 2) if (name := group_name(each)) != GREASE
        ),
        protocols=_protocols(found.get(ALPN, b"")),
        extensions=tuple(name for each in found if (name := extension_name(each)) != GREASE),
        old_version=old,
    )


def server_hello(body: bytes) -> ServerHello:
    """Raises Malformed."""
    octets = Octets(body)
    version = octets.number(2)
    is_retry = octets.take(32) == RETRY
    octets.vector(1)
    cipher = octets.number(2)
    octets.number(1)
    found = _extensions(octets)
    chosen, share = found.get(VERSIONS, b""), found.get(KEY_SHARE, b"")
    if len(chosen) == 2:
        version = int.from_bytes(chosen, "big")
    return ServerHello(
        version=version_of(version),
        cipher=cipher_name(cipher),
        group=group_name(int.from_bytes(share[:2], "big")) if len(share) >= 2 else "",
        is_retry=is_retry,
        extensions=tuple(extension_name(each) for each in found),
    )


def certificates(body: bytes) -> tuple[bytes, ...]:
    """The certificates of a server in TLS 1.2, each as DER, the server's own first. Raises Malformed."""
    octets, found = Octets(body).vector(3), list[bytes]()
    while octets.left and len(found) < MOST_CERTIFICATES:
        found.append(octets.take(octets.number(3)))
    return tuple(found)


def key_exchange_group(body: bytes) -> str:
    """The curve of a ServerKeyExchange in TLS 1.2; "" for finite fields. Raises Malformed."""
    octets = Octets(body)
    return group_name(octets.number(2)) if octets.number(1) == NAMED_CURVE else ""


def server_name(extension: bytes) -> str:
    """The name in SNI, "" if there is none that can be read."""
    try:
        names = Octets(extension).vector(2)
        kind, name = names.number(1), names.take(names.number(2))
        return name.decode("ascii") if kind == 0 else ""
    except (Malformed, UnicodeDecodeError):
        return ""


def extensions_of_client(body: bytes) -> dict[int, bytes]:
    """The extensions of a ClientHello, as far as they can be read. Raises Malformed."""
    octets = Octets(body)
    octets.take(34)
    for width in (1, 2, 1):
        octets.vector(width)
    return _extensions(octets)


def _extensions(octets: Octets) -> dict[int, bytes]:
    """By number; the first of each counts. What is cut off is left out."""
    found: dict[int, bytes] = {}
    try:
        if octets.left:
            octets.number(2)
        while octets.left and len(found) < MOST_EXTENSIONS:
            number = octets.number(2)
            found.setdefault(number, octets.take(octets.number(2)))
    except Malformed:
        pass
    return found


def _numbers(extension: bytes, width: int) -> list[int]:
    try:
        return Octets(extension).vector(width).numbers()
    except Malformed:
        return []


def _protocols(extension: bytes) -> tuple[str, ...]:
    found: list[str] = []
    try:
        names = Octets(extension).vector(2)
        while names.left and len(found) < MOST:
            found.append(names.take(names.number(1)).decode("latin-1"))
    except Malformed:
        pass
    return tuple(found)

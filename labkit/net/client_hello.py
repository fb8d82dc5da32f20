"""The name that a TLS client asks for, read before any TLS is made: the certificate may depend on it.

WHAT       `asked_name(octets)`: the name in SNI, "" if there is none or the octets are no TLS, None if more must come.
RULES      nothing is judged: whatever is wrong with the octets, the TLS layer says so when it gets them.
STANDARDS  RFC 8446 §4.1.2 (ClientHello), §5.1 (records); RFC 6066 §3 (server_name)
READ NEXT  tls_hello.py, tls.py
"""

from __future__ import annotations

from labkit.net.tls_hello import SERVER_NAME, Malformed, extensions_of_client, server_name

HANDSHAKE, CLIENT_HELLO = 22, 1
LONGEST = 20_000  # octets of a ClientHello that are waited for; those of today have less than 2000
MOST_RECORDS = 16  # that it may be cut into: each octet that comes is a reason to look again


def asked_name(octets: bytes | bytearray) -> str | None:
    """See above."""
    hello = _hello(bytes(octets[:LONGEST]))
    if hello is None:
        return None if len(octets) < LONGEST else ""
    try:
        return server_name(extensions_of_client(hello).get(SERVER_NAME, b""))
    except Malformed:
        return ""


def _hello(octets: bytes) -> bytes | None:
    """The ClientHello without its header, joined from its records; None if there is more to come."""
    found, count = b"", 0
    while len(octets) >= 5 and octets[0] == HANDSHAKE:
        count += 1
        if count > MOST_RECORDS:
            return b""
        length = int.from_bytes(octets[3:5], "big")
        record, octets = octets[5 : 5 + length], octets[5 + length :]
        found += record
        if len(record) < length:
            break
        if found[:1] != bytes([CLIENT_HELLO]):
            return b""
        if len(found) >= 4 and len(found) >= 4 + int.from_bytes(found[1:4], "big"):
            return found[4:]
    return None if not octets or octets[0] == HANDSHAKE else b""

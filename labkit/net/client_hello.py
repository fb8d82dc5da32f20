"""The name that a TLS client asks for, read before any TLS is made: the certificate may depend on it.

WHAT       `asked_name(octets)`: the name in SNI, "" if there is none or the octets are no TLS, None if more must come.
RULES      nothing is judged: whatever is wrong with the octets, the TLS layer says so when it gets them.
STANDARDS  RFC 8446 §4.1.2 (ClientHello), §5.1 (records); RFC 6066 §3 (server_name)
READ NEXT  tls.py
"""

from __future__ import annotations

HANDSHAKE, CLIENT_HELLO, SERVER_NAME = 22, 1, 0
LONGEST = 20_000  # octets of a ClientHello that are waited for; those of today have less than 2000
MOST_RECORDS = 16  # that it may be cut into: each octet that comes is a reason to look again


def asked_name(octets: bytes | bytearray) -> str | None:
    """See above."""
    hello = _hello(bytes(octets[:LONGEST]))
    if hello is None:
        return None if len(octets) < LONGEST else ""
    try:
        return _name(hello)
    except (IndexError, UnicodeDecodeError):
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


def _name(hello: bytes) -> str:
    """Raises IndexError where it is cut off."""
    position = 2 + 32  # version, random
    position += 1 + hello[position]  # session id
    position += 2 + int.from_bytes(hello[position : position + 2], "big")  # cipher suites
    position += 1 + hello[position]  # compression
    position += 2  # length of the extensions
    while position + 4 <= len(hello):
        kind = int.from_bytes(hello[position : position + 2], "big")
        length = int.from_bytes(hello[position + 2 : position + 4], "big")
        position += 4
        if kind == SERVER_NAME:
            names = hello[position : position + length]  # length of the list, kind of name, length, name
            size = int.from_bytes(names[3:5], "big")
            return names[5 : 5 + size].decode("ascii") if len(names) >= 5 and names[2] == 0 else ""
        position += length
    return ""

"""What an eavesdropper reads of an SMTP connection with TLS: line by line, message by message, and what he does not.

WHAT       `seen(pieces)`: from octets as they went over the wire ("C" or "S", and what was sent) to a row of `Seen`.
           `seen_of(talk)`: the same of a conversation that the lab has captured.
DECIDES    what is in the clear (SMTP, the two hellos, in TLS 1.2 the certificates too), and what is only a size.
           What the rules of a handshake let one conclude about an encrypted record is said as a conclusion ("by its
           place"); a size is a size.
RULES      whatever the octets are, nothing is raised. Records, messages, lines and the row itself have limits.
STANDARDS  RFC 8446 §2 (figure 1: what is encrypted), §5 (records), §6 (alerts); RFC 5246 §7.3; RFC 3207 §4
READ NEXT  tls_hello.py, ../lab/handshakes.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from labkit.net.talk import TCP, TLS_FIRST, TLS_HEADER, TLS_RECORDS, Talk
from labkit.net.tls_hello import Malformed, certificates, client_hello, key_exchange_group, server_hello
from labkit.net.tls_numbers import ALERT_LEVELS, alert_name
from labkit.smtp.transcript import readable

CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
MOST = 2000  # things that are told of one connection
LONGEST_LINE = 1000
LARGEST_MESSAGE = 256 * 1024  # octets of a handshake message that are put together
LARGEST_RECORD = 2**14 + 2048  # RFC 5246 §6.2.3
MESSAGES = {
    0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 4: "NewSessionTicket", 8: "EncryptedExtensions",
    11: "Certificate", 12: "ServerKeyExchange", 13: "CertificateRequest", 14: "ServerHelloDone",
    15: "CertificateVerify", 16: "ClientKeyExchange", 20: "Finished", 22: "CertificateStatus", 24: "KeyUpdate",
}  # fmt: skip
# kinds of what is seen
LINE, CLEAR, SECRET, TOLD, APPLICATION, REST = "line", "clear", "secret", "alert", "data", "rest"
ENCRYPTED_ALERT = (
    19  # octets: level, which, the kind of record inside, and 16 for the proof that nobody changed it
)
FLIGHT = "EncryptedExtensions, Certificate, CertificateVerify, Finished"


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that went by. `speaker`: C or S. `facts`: what can be read in it; `sizes`: of its records, octets.

    `kind`: "line" (SMTP in the clear), "clear" (a handshake message that can be read), "alert", "secret" (part of the
    handshake, encrypted), "data" (encrypted too), "rest" (what never became complete, or is no TLS).
    """

    speaker: str
    kind: str
    name: str
    facts: tuple[tuple[str, str], ...] = ()
    sizes: tuple[int, ...] = ()
    certificates: tuple[bytes, ...] = ()

    @property
    def is_readable(self) -> bool:
        return self.kind in (LINE, CLEAR) or (self.kind == TOLD and bool(self.facts))


def seen_of(talk: Talk) -> tuple[Seen, ...]:
    """Of a captured TCP connection; nothing of anything else."""
    if talk.protocol != TCP:
        return ()
    return seen(("C" if each.source == talk.client else "S", each.payload) for each in talk.segments)


def seen(pieces: Iterable[tuple[str, bytes]]) -> tuple[Seen, ...]:
    """See above. A speaker that is not "C" is the server."""
    wire = _Wire()
    for speaker, octets in pieces:
        wire.hear(wire.client if speaker == "C" else wire.server, octets)
    return wire.all()


class _End:
    """What one end has sent and nobody has read yet."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.unread = bytearray()
        self.handshake = bytearray()  # messages, cut into records anyhow
        self.may_begin_tls = True
        self.is_tls = self.is_encrypted = False
        self.hidden = 0  # encrypted records so far


class _Wire:
    """Both ends, and what their hellos have agreed."""

    def __init__(self) -> None:
        self.client, self.server = _End("C"), _End("S")
        self.version = ""  # as the ServerHello says
        self._wants_tls = self._is_full = False
        self._row: list[Seen] = []

    def all(self) -> tuple[Seen, ...]:
        for end in (self.client, self.server):
            if end.unread or end.handshake:
                what = "a TLS record that is cut off" if end.is_tls else "a line without its end"
                self._note(Seen(end.letter, REST, what, sizes=(len(end.unread) + len(end.handshake),)))
        return tuple(self._row)

    def hear(self, end: _End, octets: bytes) -> None:
        if self._is_full:
            return
        end.unread += octets
        start = 0
        while not self._is_full:
            if not end.is_tls and end.may_begin_tls:
                end.is_tls = bytes(end.unread[start : start + 2]) in TLS_FIRST
            taken = self._record(end, start) if end.is_tls else self._line(end, start)
            if not taken:
                break
            start += taken
        del end.unread[:start]

    def _note(self, found: Seen) -> None:
        """Records of one kind that follow one another are one thing."""
        last = self._row[-1] if self._row else None
        if last is not None and found.sizes and replace(last, sizes=found.sizes) == found:
            if len(last.sizes) < MOST:
                self._row[-1] = replace(last, sizes=last.sizes + found.sizes)
            return
        if len(self._row) >= MOST:
            self._is_full = True
            self._row.append(Seen(found.speaker, REST, "and more, which is not told"))
            return
        self._row.append(found)

    # --- SMTP in the clear --------------------------------------------------------------------

    def _line(self, end: _End, start: int) -> int:
        """Read one line; returns how many octets it has, 0 if it is not all there."""
        stop = end.unread.find(b"\n", start)
        if stop < 0:
            return 0
        text = readable(bytes(end.unread[start : min(stop, start + LONGEST_LINE)]).removesuffix(b"\r"))
        if end is self.client:
            self._wants_tls, end.may_begin_tls = text.strip().upper() == "STARTTLS", False
        elif self._wants_tls and text.startswith("220"):
            self.client.may_begin_tls = True
        self._note(Seen(end.letter, LINE, text))
        return stop + 1 - start

    # --- TLS ----------------------------------------------------------------------------------

    def _record(self, end: _End, start: int) -> int:
        if len(end.unread) - start < TLS_HEADER:
            return 0
        kind, length = end.unread[start], int.from_bytes(end.unread[start + 3 : start + 5], "big")
        if kind not in TLS_RECORDS or length > LARGEST_RECORD:
            size = len(end.unread) - start
            self._note(Seen(end.letter, REST, "octets that are no TLS record", sizes=(size,)))
            return size
        if len(end.unread) - start < TLS_HEADER + length:
            return 0
        body = bytes(end.unread[start + TLS_HEADER : start + TLS_HEADER + length])
        self._read(end, kind, body)
        return TLS_HEADER + length

    def _read(self, end: _End, kind: int, body: bytes) -> None:
        if kind == CHANGE:
            self._note(Seen(end.letter, CLEAR, "ChangeCipherSpec", (("means", self._change_means()),)))
            end.is_encrypted = end.is_encrypted or self.version != "TLS1.3"
        elif kind == HANDSHAKE and not end.is_encrypted:
            self._handshake(end, body)
        elif kind == HANDSHAKE:
            end.hidden += 1
            name = "Finished" if end.hidden == 1 else "a handshake message"
            self._note(Seen(end.letter, SECRET, name, _place(end.hidden == 1), (len(body),)))
        elif kind == ALERT:
            self._alert(end, body)
        else:
            self._note(self._data(end, len(body)))

    def _change_means(self) -> str:
        if self.version == "TLS1.3":
            return "nothing: TLS 1.3 looks like 1.2 here, for boxes on the way (RFC 8446 §D.4)"
        return "what this end sends from now on is encrypted"

    def _alert(self, end: _End, body: bytes) -> None:
        if end.is_encrypted or len(body) != 2:
            self._note(Seen(end.letter, TOLD, "an alert, encrypted", sizes=(len(body),)))
            return
        level = ALERT_LEVELS.get(body[0], f"level {body[0]}")
        self._note(Seen(end.letter, TOLD, f"alert {alert_name(body[1])}", (("level", level),)))

    def _data(self, end: _End, size: int) -> Seen:
        """An encrypted record that shows nothing of its kind (TLS 1.3), or application data."""
        end.hidden += 1
        if self.version == "TLS1.3":
            if end is self.client and end.hidden == 1:
                is_alert = size == ENCRYPTED_ALERT
                name = "an alert" if is_alert else "Finished"
                facts = (("known", "by its size alone"),) if is_alert else _place(True)
                return Seen(end.letter, SECRET, name, facts, (size,))
            if end is self.server and not self.client.hidden:
                return Seen(end.letter, SECRET, FLIGHT, _place(True), (size,))
        return Seen(end.letter, APPLICATION, "application data", sizes=(size,))

    def _handshake(self, end: _End, body: bytes) -> None:
        end.handshake += body
        start = 0
        while len(end.handshake) - start >= 4 and not self._is_full:
            length = int.from_bytes(end.handshake[start + 1 : start + 4], "big")
            if length > LARGEST_MESSAGE:
                self._note(Seen(end.letter, REST, "a handshake message without end", sizes=(length,)))
                start = len(end.handshake)
                break
            if len(end.handshake) - start < 4 + length:
                break
            message = bytes(end.handshake[start + 4 : start + 4 + length])
            self._note(self._message(end, end.handshake[start], message))
            start += 4 + length
        del end.handshake[:start]

    def _message(self, end: _End, number: int, body: bytes) -> Seen:
        name = MESSAGES.get(number, f"handshake message {number}")
        reader = _READERS.get(number)
        if reader is None:
            return Seen(end.letter, CLEAR, name)
        try:
            found = reader(body)
        except Malformed:
            return Seen(end.letter, REST, f"{name} that cannot be read", sizes=(len(body),))
        version = dict(found.facts).get("version")
        if version and end is self.server:
            self.version = version
        return replace(found, speaker=end.letter)


def _place(is_known: bool) -> tuple[tuple[str, str], ...]:
    return (("known", "by its place in the handshake"),) if is_known else ()


def _of_client_hello(body: bytes) -> Seen:
    hello = client_hello(body)
    facts = (
        ("versions", ", ".join(hello.versions)),
        ("server name", hello.server_name and readable(hello.server_name.encode("utf-8", "replace"))),
        ("ciphers", ", ".join(hello.ciphers)),
        ("groups", ", ".join(hello.groups)),
        ("protocols", ", ".join(readable(each.encode("latin-1")) for each in hello.protocols)),
    )
    return Seen("", CLEAR, "ClientHello", tuple(fact for fact in facts if fact[1]))


def _of_server_hello(body: bytes) -> Seen:
    hello = server_hello(body)
    name = "HelloRetryRequest" if hello.is_retry else "ServerHello"
    facts = (("version", hello.version), ("cipher", hello.cipher), ("group", hello.group))
    return Seen("", CLEAR, name, tuple(fact for fact in facts if fact[1]))


def _of_certificates(body: bytes) -> Seen:
    chain = certificates(body)
    return Seen("", CLEAR, "Certificate", (("certificates", str(len(chain))),), certificates=chain)


def _of_key_exchange(body: bytes) -> Seen:
    group = key_exchange_group(body)
    return Seen("", CLEAR, "ServerKeyExchange", (("group", group),) if group else ())


_READERS: dict[int, Callable[[bytes], Seen]] = {
    1: _of_client_hello, 2: _of_server_hello, 11: _of_certificates, 12: _of_key_exchange,
}  # fmt: skip

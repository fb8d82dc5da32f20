"""Serve a scorer of ours by spamd's protocol, so that `spam =` of any Exim can ask it.

WHAT       `SpamdServer` is one connection: a request line, header lines, a message; one answer; the end.
COMMANDS   CHECK, SYMBOLS, REPORT, REPORT_IFSPAM, HEADERS, PROCESS, PING, SKIP
DECIDES    Exim hands its spool over: an mbox line and X-Envelope fields before the message, lines that end in LF.
           The scorer gets the message, with CR LF; an answer that repeats it (PROCESS) repeats what was sent.
SAFE       a head of MOST_HEAD octets, a message of MOST_CONTENT, and no connection longer than PATIENCE (real time);
           a scorer that raises is an answer EX_SOFTWARE (70), and the connection goes on to its end
STANDARDS  spamd's PROTOCOL file; sysexits(3)
READ NEXT  labkit/lab/scorers.py
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import cast

from labkit.mail.message import with_crlf
from labkit.mail.scored import Scored, Scorer

MOST_HEAD, MOST_CONTENT = 16_384, 32_000_000  # octets
PATIENCE = 60.0  # seconds
VERSION = "1.1"
_COMMANDS = ("CHECK", "SYMBOLS", "REPORT", "REPORT_IFSPAM", "HEADERS", "PROCESS")
_REQUEST = re.compile(rb"([A-Z_]{1,20}) SPAMC/([0-9]{1,3})\.([0-9]{1,3})")
_LENGTH = re.compile(rb"(?i)content-length:[ \t]*([0-9]{1,12})[ \t]*")
_ENVELOPE = re.compile(rb"(?i)(?:x-envelope-(?:from|to)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)+")
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class SpamdServer(asyncio.Protocol):
    """One caller."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._received = bytearray()
        self._head_end = -1
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._transport.abort)

    def connection_lost(self, problem: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        start = max(0, len(self._received) - 3)
        self._received += data
        if self._head_end < 0:
            self._head_end = self._received.find(b"\r\n\r\n", start)
        if self._head_end < 0:
            if len(self._received) > MOST_HEAD:
                self._say(_problem(76, "the head of the request is too long"))
            elif self._received.startswith((b"PING SPAMC/", b"SKIP SPAMC/")) and b"\n" in self._received:
                self._answer(b"")
            return
        if self._head_end > MOST_HEAD:
            self._say(_problem(76, "the head of the request is too long"))
        elif len(self._received) > MOST_CONTENT:
            self._say(_problem(74, "the message is too long"))
        else:
            wanted = _length(bytes(self._received[: self._head_end]))
            if wanted is not None and len(self._received) - self._head_end - 4 >= wanted:
                self._answer(bytes(self._received[self._head_end + 4 :][:wanted]))

    def eof_received(self) -> bool:
        if self._transport is not None and not self._transport.is_closing():
            if self._head_end < 0:
                self._answer(b"")
            else:
                content = bytes(self._received[self._head_end + 4 :])
                wanted = _length(bytes(self._received[: self._head_end]))
                if wanted is not None and wanted != len(content):
                    words = f"Content-length says {wanted} octets, there are {len(content)}"
                    self._say(_problem(76, words))
                else:
                    self._answer(content)
        return True

    def _answer(self, content: bytes) -> None:
        line = bytes(self._received[:MOST_HEAD]).partition(b"\n")[0].rstrip(b"\r")
        found = _REQUEST.fullmatch(line)
        if found is None:
            self._say(_problem(76, "Bad header line: (expected COMMAND SPAMC/VERSION)"))
            return
        command, version = found[1].decode(), (int(found[2]), int(found[3]))
        if command == "PING":
            self._say(f"SPAMD/{VERSION} 0 PONG\r\n".encode())
        elif command == "SKIP":
            self._say(b"")
        elif command not in _COMMANDS or self._head_end < 0:
            self._say(_problem(76, f"Bad command: {command}"))
        else:
            try:
                answer = answer_of(command, version, self._scorer(as_message(content)), content)
            except Exception as problem:
                self._say(_problem(70, f"the scorer failed: {type(problem).__name__}"))
                raise
            self._say(answer)

    def _say(self, octets: bytes) -> None:
        assert self._transport is not None
        self._transport.write(octets)
        self._transport.close()


def as_message(content: bytes) -> bytes:
    """What was sent to be scored, without what Exim puts before it, with the line ends of a message."""
    if content.startswith(b"From "):
        content = content.partition(b"\n")[2]
    while found := _ENVELOPE.match(content):
        content = content[found.end() :]
    return with_crlf(content)


def answer_of(command: str, version: tuple[int, int], scored: Scored, content: bytes) -> bytes:
    """The answer to one command; before SPAMC/1.3 the length of a report is not told."""
    body = _body_of(command, scored, content)
    verdict = f"Spam: {scored.is_spam} ; {_number(scored.score)} / {_number(scored.threshold)}\r\n"
    length = f"Content-length: {len(body)}\r\n"
    tells = version >= (1, 3) or command in ("HEADERS", "PROCESS")
    head = f"SPAMD/{VERSION} 0 EX_OK\r\n{length if tells else ''}{verdict}\r\n"
    return head.encode() + body


def _body_of(command: str, scored: Scored, content: bytes) -> bytes:
    report = _NO_TEXT.sub("", scored.report).replace("\n", "\r\n").encode("utf-8", "replace")
    if command == "REPORT" or (command == "REPORT_IFSPAM" and scored.is_spam):
        return report
    symbols = ",".join(re.sub(r"\s", "", _NO_TEXT.sub("", name)) for name in scored.symbols)
    if command == "SYMBOLS":
        return f"{symbols}\r\n".encode("utf-8", "replace")
    if command in ("HEADERS", "PROCESS"):
        status = (
            f"X-Spam-Status: {'Yes' if scored.is_spam else 'No'}, score={_number(scored.score)} "
            f"required={_number(scored.threshold)} tests={symbols}\r\n"
        )
        flag = "X-Spam-Flag: YES\r\n" if scored.is_spam else ""
        fields = (flag + status).encode("utf-8", "replace")
        if command == "PROCESS":
            return fields + content
        header = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0]
        return fields + header + b"\r\n\r\n"
    return b""


def _number(value: float) -> str:
    """With one decimal at least, as spamd has it; more where a scale from 0 to 1 needs them."""
    short = f"{value:.6f}".rstrip("0") if math.isfinite(value) else "0."
    return f"{short}0" if short.endswith(".") else short


def _length(head: bytes) -> int | None:
    """What Content-length says."""
    for line in head.split(b"\r\n")[1:]:
        if found := _LENGTH.fullmatch(line):
            return int(found[1])
    return None


def _problem(code: int, words: str) -> bytes:
    name = {70: "EX_SOFTWARE", 74: "EX_IOERR", 76: "EX_PROTOCOL"}[code]
    return f"SPAMD/{VERSION} {code} {name}: {words}\r\n".encode()

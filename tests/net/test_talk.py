"""How a conversation reads: lines, TLS records, DNS messages; nothing from the wire reaches the terminal as it was."""

from __future__ import annotations

from datetime import datetime, timezone

import dns.message
import dns.rrset
import pytest

from labkit.net.talk import TCP, UDP, Segment, Talk

ANN, BOB = "203.0.113.11", "198.51.100.2"
MONDAY = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)


def said(*lines: tuple[str, bytes], port: int = 25, protocol: int = TCP) -> list[str]:
    """What Talk.text makes of these, without its heading."""
    client, server = (ANN, 40000), (BOB, port)
    ends = {"C": (client, server), "S": (server, client)}
    segments = [
        Segment(MONDAY, n, *ends[who], protocol, "data", octets) for n, (who, octets) in enumerate(lines)
    ]
    return Talk(client, server, MONDAY, tuple(segments)).text().splitlines()[1:]


HELLO = b"\x16\x03\x01\x02\x00" + b"h" * 512  # as long as OpenSSL's client hello
QUERY = dns.message.make_query("st2.sne21.test", "MX", id=1)
ANSWER = dns.message.make_response(QUERY)
ANSWER.answer.append(dns.rrset.from_text("st2.sne21.test.", 300, "IN", "MX", "10 mx2.st2.sne21.test."))
ASKED = "C: (DNS query: st2.sne21.test. MX)"
ANSWERED = "S: (DNS answer to st2.sne21.test. MX: NOERROR: st2.sne21.test. 300 MX 10 mx2.st2.sne21.test.)"


@pytest.mark.parametrize(
    "lines, text, because",
    [
        ([("S", b"220 mx ESMTP\r\n"), ("C", b"EHLO a\r\n")], ["S: 220 mx ESMTP", "C: EHLO a"], "a dialogue"),
        (
            [("C", b"EH"), ("S", b"220\r\n"), ("C", b"LO a\r\nQUIT\r\n")],
            ["S: 220", "C: EHLO a", "C: QUIT"],
            "lines, not segments",
        ),
        ([("C", b".\r"), ("C", b"\n")], ["C: ."], "a line end cut in two"),
        (
            [("C", b"a\nb\rc\r\n")],
            ["C: a\\x0a", "C: b\\x0dc"],
            "LF or CR alone are no line end: smuggling shows",
        ),
        ([("C", b"QUI")], ["C: QUI (no line end)"], "it hung up in the middle"),
        (
            [("C", b"\x1b[2J\x07\xc3\xa9\r\n")],
            ["C: \\x1b[2J\\x07\\xc3\\xa9"],
            "nothing reaches the terminal as it was",
        ),
        (
            [("C", b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")],
            ["C: AUTH PLAIN AGFubgBzZWNyZXQ="],
            "all can read it: that is the lesson",
        ),
        ([("C", HELLO)], ["C: (TLS: handshake record, 517 octets)"], "TLS from the start"),
        (
            [("C", HELLO[:300]), ("C", HELLO[300:])],
            ["C: (TLS: handshake record, 517 octets)"],
            "a record cut in two",
        ),
        (
            [
                ("C", b"STARTTLS\r\n"),
                ("S", b"220 go\r\n"),
                ("C", HELLO),
                ("S", b"\x16\x03\x03\0\x02hi\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x03abc"),
            ],
            [
                "C: STARTTLS",
                "S: 220 go",
                "C: (TLS: handshake record, 517 octets)",
                "S: (TLS: handshake record, 7 octets)",
                "S: (TLS: change_cipher_spec record, 6 octets)",
                "S: (TLS: application_data record, 8 octets)",
            ],
            "TLS by STARTTLS",
        ),
        (
            [("C", b"STARTTLS\r\nRSET\r\n"), ("C", HELLO[:1] + b"\x03\r\n")],
            ["C: STARTTLS", "C: RSET", "C: \\x16\\x03"],
            "a command smuggled in behind STARTTLS; then no TLS came",
        ),
        (
            [("C", b"EHLO a\r\n"), ("S", b"\x15\x03\x03\0\x02\x02\x0a")],
            ["C: EHLO a", "S: (TLS: alert record, 7 octets)"],
            "plain text to a port that wants TLS",
        ),
        (
            [("C", b"DATA\r\n"), ("C", b"\x16\x03\x01\0\x01x\r\n")],
            ["C: DATA", "C: \\x16\\x03\\x01\\x00\\x01x"],
            "a content that looks like TLS",
        ),
        (
            [("C", b"DATA\r\n"), ("S", b"354\r\n"), ("C", b"STARTTLS\r\n\x16\x03\x01\0\x01x\r\n")],
            ["C: DATA", "S: 354", "C: STARTTLS", "C: \\x16\\x03\\x01\\x00\\x01x"],
            "also behind such a line",
        ),
        (
            [("S", b"220 hi\r\n"), ("C", HELLO)],
            ["S: 220 hi", "C: (TLS: handshake record, 517 octets)"],
            "TLS to a port that speaks in the clear",
        ),
        ([("C", HELLO[:100])], ["C: (TLS: handshake record, 100 of 517 octets)"], "it hung up in a record"),
        ([("C", HELLO[:3])], ["C: (TLS: handshake record, 3 of ? octets)"], "in a record's header"),
        (
            [("C", HELLO + b"\x63\0\0\0\0")],
            ["C: (TLS: handshake record, 517 octets)", "C: (TLS: unknown type 99 record, 5 octets)"],
            "no such record",
        ),
    ],
)
def test_text(lines: list[tuple[str, bytes]], text: list[str], because: str) -> None:
    assert said(*lines) == text, because


@pytest.mark.parametrize(
    "lines, text, because",
    [
        ([("C", QUERY.to_wire()), ("S", ANSWER.to_wire())], [ASKED, ANSWERED], "a line for each"),
        (
            [("S", dns.message.make_response(QUERY).to_wire())],
            ["S: (DNS answer to st2.sne21.test. MX: NOERROR: no records)"],
            "nothing there",
        ),
        (
            [("C", dns.message.make_query("\\027[2J.test", "TXT").to_wire())],
            ["C: (DNS query: \\027[2J.test. TXT)"],
            "a name with an escape in it",
        ),
        ([("C", b"\x1b[2J")], ["C: (no DNS message, 4 octets) \\x1b[2J"], "rubbish"),
        ([("C", b"")], ["C: (no DNS message, 0 octets) "], "an empty datagram"),
    ],
)
def test_text_of_datagrams(lines: list[tuple[str, bytes]], text: list[str], because: str) -> None:
    assert said(*lines, port=53, protocol=UDP) == text, because


def test_text_of_dns_over_tcp() -> None:
    question, answer = (len(wire).to_bytes(2, "big") + wire for wire in (QUERY.to_wire(), ANSWER.to_wire()))
    pieces = ("C", question[:1]), ("C", question[1:] + question), ("S", answer), ("C", b"\0\x09abc")
    assert said(*pieces, port=53) == [ASKED, ASKED, ANSWERED, "C: \\x00\\x09abc (not a whole message)"]

"""The server machine: what it answers, in which state, and what it never does."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from labkit.mail.reply import Reply, received
from labkit.smtp.decisions import Connected, Decision, Limits, MessageReceived, RcptTo
from labkit.smtp.server import Server
from labkit.smtp.states import SERVER_TABLE, State, Verb

EHLO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<a@b.test>\r\n"
RCPT = b"RCPT TO:<bob@here.test>\r\n"


class Talk:
    """A server with a policy: bob and postmaster exist, everybody else does not."""

    def __init__(self, limits: Limits | None = None, enforce_sync: bool = True) -> None:
        self.machine = Server("mx.here.test", "198.51.100.11", limits, enforce_sync=enforce_sync)
        self.messages: list[MessageReceived] = []
        self.said(b"")

    def decide(self, decision: Decision) -> Reply | None:
        if isinstance(decision, Connected):
            return Reply(220, ("mx.here.test ESMTP",))
        if isinstance(decision, RcptTo) and decision.forward_path.local_part not in ("bob", "postmaster"):
            return Reply(550, ("Unrouteable address",))
        if isinstance(decision, MessageReceived):
            self.messages.append(decision)
            return received("1xTEST-000001-00")
        return None

    def said(self, *chunks: bytes) -> list[str]:
        """Feed the chunks, answer decisions, return the lines of the answers."""
        out = b""
        for chunk in chunks:
            self.machine.receive(chunk)
            while self.machine.pending is not None:
                self.machine.decide(self.decide(self.machine.pending))
            out += self.machine.bytes_to_send()
        return out.decode().splitlines()

    def codes(self, *chunks: bytes) -> list[int]:
        return [int(line[:3]) for line in self.said(*chunks) if line[3] == " "]


def greeted(**kwargs: object) -> Talk:
    talk = Talk(**kwargs)  # type: ignore[arg-type]
    talk.said(EHLO)
    return talk


@pytest.mark.parametrize(
    "lines, answers, because",
    [
        ([b"MAIL FROM:<a@b.test>"], ["503 HELO or EHLO required"], "first say who you are"),
        ([b"EHLO x", b"RCPT TO:<bob@here.test>"], ["503 sender not yet given"], "sender before recipient"),
        ([b"EHLO x", b"DATA"], ["503 valid RCPT command must precede DATA"], "no transaction"),
        ([b"EHLO x", MAIL[:-2], b"DATA"], ["503 valid RCPT command must precede DATA"], "no recipient"),
        ([b"EHLO x", MAIL[:-2], MAIL[:-2]], ["503 sender already given"], "one sender a message"),
        ([b"EHLO x", MAIL[:-2], b"EHLO y", RCPT[:-2]], ["503 sender not yet given"], "EHLO resets"),
        ([b"EHLO x", MAIL[:-2], b"RSET", RCPT[:-2]], ["503 sender not yet given"], "RSET resets"),
        ([b"EHLO x", b"MAIL FROM: <a@b.test>"], ["250 OK"], "a blank after the colon passes, as in Exim"),
        ([b"EHLO x", b"mail from:a@b.test"], ["250 OK"], "no case, no brackets needed"),
        ([b"EHLO x", b"MAIL FROM:<>"], ["250 OK"], "the null path of reports"),
        ([b"EHLO x", b"MAIL FROM:"], ["501 MAIL must have an address operand"], "no address"),
        ([b"EHLO x", b"MAIL FROM:<a>"], ["501 <a>: sender address must contain a domain"], "Exim's words"),
        (
            [b"EHLO x", b"MAIL FROM:<a@b.test"],
            ["501 <a@b.test: '>' missing at end of address"],
            "Exim's words",
        ),
        (
            [b"EHLO x", b"MAIL FROM:<a@b..test>"],
            ["501 <a@b..test>: domain missing or malformed"],
            "empty label",
        ),
        ([b"EHLO x", b"MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME"], ["250 OK"], "both offered"),
        ([b"EHLO x", b"MAIL FROM:<a@b.test> BODY=BINARYMIME"], ["501 invalid data for BODY"], "not offered"),
        (
            [b"EHLO x", b"MAIL FROM:<a@b.test> SIZE=99999999999"],
            ["552 Message size exceeds maximum permitted"],
            "RFC 1870",
        ),
        (
            [b"EHLO x", b"MAIL FROM:<a@b.test> FOO=1"],
            ["501 <a@b.test> FOO=1: malformed address: FOO=1 may not follow <a@b.test> "],
            "unknown parameter",
        ),
        (
            [b"EHLO x", MAIL[:-2], b"RCPT TO:<>"],
            ["501 <>: missing or malformed local part"],
            "null recipient",
        ),
        ([b"EHLO x", MAIL[:-2], b"RCPT TO:<postmaster>"], ["250 Accepted"], "RFC 5321 4.5.1"),
        (
            [b"EHLO x", MAIL[:-2], b"RCPT TO:<Bob>"],
            ["501 <Bob>: recipient address must contain a domain"],
            "no domain",
        ),
        (
            [b"EHLO x", MAIL[:-2], b"RCPT TO:<@a.test:bob@here.test>"],
            ["250 Accepted"],
            "a source route is dropped",
        ),
        (
            [b"EHLO x", MAIL[:-2], b"RCPT TO:<bob@[127.0.0.1]>"],
            ["501 <bob@[127.0.0.1]>: domain literals not allowed"],
            "Exim's default",
        ),
        ([b"EHLO a_b"], ["501 Syntactically invalid EHLO argument(s)"], "no underscore in a host name"),
        ([b"HELO"], ["501 Syntactically invalid HELO argument(s)"], "no name"),
        ([b"HELO [1.2.3.4]"], ["250 mx.here.test Hello [1.2.3.4] [198.51.100.11]"], "address literal"),
        ([b"EHLO x", b"NOOP whatever"], ["250 OK"], "NOOP may have an argument"),
        ([b"EHLO x", b"RSET x"], ["501 unexpected argument data"], "RSET may not"),
        ([b"EHLO x", b"QUIT"], ["221 mx.here.test closing connection"], "goodbye"),
        ([b"EHLO x", b"VRFY bob"], ["252 Administrative prohibition"], "non-committal, RFC 5321 3.5.3"),
        ([b"EHLO x", b"STARTTLS"], ["503 STARTTLS command used when not advertised"], "not offered"),
        ([b"EHLO x", b"AUTH PLAIN x"], ["503 AUTH command used when not advertised"], "not offered"),
        ([b"EHLO x", b"BDAT 5 LAST"], ["503 BDAT command used when CHUNKING not advertised"], "not offered"),
        ([b"EHLO x", b"GET / HTTP/1.1"], ["500 unrecognized command"], "a browser"),
        (
            [b"EHLO x", MAIL[:-2], b"RCPT TO:<eve@here.test>", b"DATA"],
            [
                "503-All RCPT commands were rejected with this error:",
                "503-Unrouteable address",
                "503 Valid RCPT command must precede DATA",
            ],
            "Exim repeats the reason",
        ),
    ],
)
def test_answers_in_exims_words(lines: list[bytes], answers: list[str], because: str) -> None:
    talk = Talk()
    said: list[str] = []
    for line in lines:
        said = talk.said(line + b"\r\n")
    assert said == answers, because


def test_ehlo_offers_what_the_machine_does() -> None:
    assert Talk().said(EHLO) == [
        "250-mx.here.test Hello client.test [198.51.100.11]",
        "250-SIZE 52428800",
        "250-8BITMIME",
        "250-PIPELINING",
        "250 HELP",
    ]


def test_every_verb_has_an_answer_in_every_state() -> None:
    for verb, row in SERVER_TABLE.items():
        assert set(row) == {
            State.GREETED,
            State.READY,
            State.MAIL,
            State.RCPT,
            State.CHUNKS,
            State.STUCK,
        }, verb


def test_a_message_is_taken_whole() -> None:
    talk = greeted()
    assert talk.codes(MAIL, RCPT, b"DATA\r\n") == [250, 250, 354]
    assert talk.said(b"Subject: x\r\n\r\n..dot\r\n.\r\n") == ["250 OK id=1xTEST-000001-00"]
    assert talk.messages[0].content == b"Subject: x\r\n\r\n.dot\r\n"
    assert talk.machine.state is State.READY


def test_an_empty_message() -> None:
    talk = greeted()
    talk.said(MAIL, RCPT, b"DATA\r\n", b".\r\n")
    assert talk.messages[0].content == b""


SMUGGLERS = [
    bytes(b)
    for b in (
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\n.\r",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
    )
]


@pytest.mark.parametrize("end", SMUGGLERS)
def test_only_crlf_dot_crlf_ends_a_message(end: bytes) -> None:
    talk = greeted()
    talk.said(MAIL, RCPT, b"DATA\r\n")
    smuggled = b"MAIL FROM:<evil@b.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\nsmuggled\r\n"
    assert talk.said(b"Subject: x\r\n\r\nhello" + end + smuggled) == []
    assert talk.said(b".\r\n") == ["250 OK id=1xTEST-000001-00"]
    assert len(talk.messages) == 1
    content = talk.messages[0].content
    assert content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n"), (
        "no bare line end gets further"
    )


@pytest.mark.parametrize(
    "line, because",
    [
        (b"NOOP\nNOOP\r\n", "a bare LF inside"),
        (b"MAIL FROM:<a@b.test>\nRCPT TO:<bob@here.test>\r\n", "two commands in one line"),
        (b"NO\rOP\r\n", "a bare CR inside"),
        (b"NOOP\r\r\n", "a CR too many"),
        (b"NO\0OP\r\n", "a NUL"),
        (b"MAIL FROM:<a\0@b.test>\r\n", "a NUL in an address"),
    ],
)
def test_a_line_with_a_wrong_octet_is_refused_and_nothing_of_it_done(line: bytes, because: str) -> None:
    talk = greeted()
    said = talk.said(line)
    assert len(said) == 1, because
    assert said[0][:3] in ("500", "501"), because
    assert talk.machine.envelope is None
    assert talk.said(b"NOOP\r\n") == ["250 OK"], "the session is in step"


def test_lines_that_end_in_lf_alone_are_answered_at_once() -> None:
    talk = Talk()
    assert talk.codes(b"EHLO x\n") == [500], "somebody types with nc and waits"


@pytest.mark.parametrize("chunked", [1, 2, 3, 7])
def test_chunks_make_no_difference(chunked: int) -> None:
    # sent without waiting: the two synchronised commands must stand at the end of their groups
    session = [
        EHLO,
        MAIL + RCPT + b"DATA\r\n",
        b"a: b\r\n\r\n..\r\n.x\r\n\n.\n\r\n.\r\n" + MAIL + RCPT + b"QUIT\r\n",
    ]
    whole, cut = Talk(), Talk()
    expected = whole.said(*session)
    assert cut.said(*_cut(session, chunked)) == expected
    assert cut.messages == whole.messages


def _cut(session: Iterable[bytes], size: int) -> list[bytes]:
    return [part[i : i + size] for part in session for i in range(0, len(part), size)]


@pytest.mark.parametrize(
    "octets, because",
    [
        (EHLO + MAIL, "EHLO must be waited for"),
        (b"EHLO x\r\nNOOP\r\n", "even before a NOOP"),
    ],
)
def test_who_does_not_wait_is_sent_away(octets: bytes, because: str) -> None:
    talk = Talk()
    assert talk.said(octets) == ["554 SMTP synchronization error"], because
    assert talk.machine.is_closed


def test_input_before_the_banner() -> None:
    machine = Server("mx", "198.51.100.11")
    machine.receive(b"EHLO early\r\n")
    machine.decide(Reply(220, ("mx",)))
    assert machine.bytes_to_send() == b"554 SMTP synchronization error\r\n"
    assert machine.is_closed


def test_a_message_sent_before_the_354() -> None:
    talk = greeted()
    assert talk.said(MAIL + RCPT + b"DATA\r\nSubject: x\r\n\r\n.\r\n")[-1] == "554 SMTP synchronization error"
    assert talk.messages == []


def test_helo_has_no_pipelining() -> None:
    talk = Talk()
    talk.said(b"HELO x\r\n")
    assert talk.said(MAIL + RCPT) == ["554 SMTP synchronization error"]


@pytest.mark.parametrize(
    "line, last",
    [
        (b"FOO\r\n", "500 Too many unrecognized commands"),
        (b"MAIL FROM:<a\r\n", "501 Too many syntax or protocol errors"),
    ],
)
def test_the_fourth_mistake_ends_it(line: bytes, last: str) -> None:
    talk = greeted()
    for _ in range(3):
        assert not talk.machine.is_closed
        talk.said(line)
    assert talk.said(line)[-1] == last
    assert talk.machine.is_closed


def test_commands_without_mail_are_counted() -> None:
    talk = greeted()
    for _ in range(10):
        assert talk.said(b"NOOP\r\n") == ["250 OK"]
    assert talk.said(b"NOOP\r\n") == ["554 Too many nonmail commands"]


def test_too_many_recipients() -> None:
    talk = greeted(limits=Limits(recipients=3))
    talk.said(MAIL)
    assert talk.codes(*[RCPT] * 5) == [250, 250, 250, 452, 452]
    assert talk.codes(b"DATA\r\n", b"x\r\n.\r\n") == [354, 250], "those that were accepted get the message"


def test_long_lines_and_big_messages_are_refused_in_step() -> None:
    talk = greeted(limits=Limits(message_size=10_000, command_line=600))
    assert talk.said(b"NOOP " + b"x" * 5000 + b"\r\n") == ["500 unrecognized command"]
    assert talk.said(b"NOOP\r\n") == ["250 OK"]
    talk.said(MAIL, RCPT, b"DATA\r\n")
    assert talk.codes(b"y" * 999 + b"\r\n.\r\n") == [250], "whoever decides is told how long it was"
    talk.said(MAIL, RCPT, b"DATA\r\n")
    assert talk.said(*[b"z" * 70 + b"\r\n"] * 1000, b".\r\n") == [
        "552 Message size exceeds maximum permitted"
    ]
    assert len(talk.machine._in) < 100
    assert talk.codes(MAIL, RCPT, b"DATA\r\n", b"x\r\n.\r\n") == [250, 250, 354, 250]


def test_a_flood_without_line_end_does_not_grow() -> None:
    talk = greeted()
    answers = talk.said(*[b"A" * 10_000] * 200)
    assert answers == ["500 unrecognized command"]
    assert talk.machine.unread_octets <= 16384 + 10_000
    assert talk.said(b"\r\nNOOP\r\n") == ["250 OK"]


def test_one_decision_at_a_time() -> None:
    machine = Server("mx", "198.51.100.11")
    machine.decide(Reply(220, ("mx",)))
    machine.receive(EHLO)
    machine.decide(None)
    machine.receive(MAIL + RCPT + RCPT)
    machine.decide(None)
    first = machine.pending
    assert isinstance(first, RcptTo)
    machine.receive(RCPT)
    assert machine.pending is first, "what is pipelined waits its turn"
    machine.decide(None)
    assert machine.pending is not first
    machine.end()
    with pytest.raises(RuntimeError):
        machine.decide(None)


def test_a_reply_is_needed_where_there_is_no_default() -> None:
    with pytest.raises(ValueError, match="Connected needs a reply"):
        Server("mx", "198.51.100.11").decide(None)


def test_random_octets_never_break_the_machine() -> None:
    rng = random.Random(5321)
    words = [
        EHLO,
        MAIL,
        RCPT,
        b"DATA\r\n",
        b".\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"RSET\r\n",
        b"\xff\xfe",
        b"QUIT\r\n",
        b"A" * 50,
    ]
    for _ in range(300):
        talk = Talk(enforce_sync=False)
        for _ in range(60):
            for line in talk.said(rng.choice(words)):
                assert line[:3].isdigit()
                assert line[3] in " -"


def test_a_tls_hello_on_a_plain_port() -> None:
    talk = Talk()
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(range(256))
    for line in talk.said(hello + b"\r\n"):
        assert line[0] == "5"


@pytest.mark.parametrize("verb", list(Verb))
def test_no_verb_breaks_without_argument(verb: Verb) -> None:
    for prepare in ([], [EHLO], [EHLO, MAIL], [EHLO, MAIL, RCPT]):
        talk = Talk()
        talk.said(*prepare)
        assert talk.said(verb.value.encode() + b"\r\n")

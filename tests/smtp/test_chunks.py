"""BDAT (RFC 3030): whatever comes in pieces, however it is cut, the session is in step and nothing grows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.reply import Reply
from labkit.smtp.decisions import Connected, Limits, MessageReceived, RcptTo
from labkit.smtp.server import Server

OPENING = b"EHLO x\r\nMAIL FROM:<a@b.test> RET=HDRS ENVID=x+20y\r\n"
RCPT = b"RCPT TO:<bob@here.test> NOTIFY=DELAY,FAILURE ORCPT=rfc822;bob@here.test\r\n"


class Talk:
    """A session that is offered CHUNKING and DSN; only bob is known."""

    def __init__(self, limits: Limits | None = None, *, sync: bool = False) -> None:
        self.machine = Server("mx", "198.51.100.11", limits, enforce_sync=sync)
        self.machine.extensions.chunking = self.machine.extensions.dsn = True
        self.messages: list[MessageReceived] = []
        self.said(b"")

    def said(self, *parts: bytes) -> list[str]:
        for part in parts:
            self.machine.receive(part)
            while (decision := self.machine.pending) is not None:
                answer: Reply | None = None
                if isinstance(decision, Connected):
                    answer = Reply(220, ("mx",))
                elif isinstance(decision, RcptTo) and decision.forward_path.local_part != "bob":
                    answer = Reply(550, ("no",))
                elif isinstance(decision, MessageReceived):
                    self.messages.append(decision)
                    answer = Reply(250, ("taken",))
                self.machine.decide(answer)
        return self.machine.bytes_to_send().decode().split("\r\n")[:-1]


def test_what_is_wished_goes_with_the_message() -> None:
    talk = Talk()
    talk.said(
        OPENING, RCPT, b"RCPT TO:<bob@other.test>\r\n", b"BDAT 6\r\na: b\r\n", b"BDAT 5 last\r\n\r\nxyz"
    )
    (message,) = talk.messages
    assert message.content == b"a: b\r\n\r\nxyz\r\n" and message.last_chunk == 5
    envelope = message.envelope
    assert (envelope.returns, envelope.identifier) == ("HDRS", "x+20y")
    bob, other = envelope.forward_paths
    wishes = envelope.wishes_of(bob)
    assert wishes.notify == {"DELAY", "FAILURE"} and wishes.original == "rfc822;bob@here.test"
    assert envelope.wishes_of(other).notify is None


def test_dots_and_commands_within_a_piece_are_octets() -> None:
    talk = Talk()
    octets = b"a: b\r\n\r\n.\r\n..\r\nQUIT\r\n"
    talk.said(OPENING + RCPT, b"BDAT %d LAST\r\n" % len(octets), octets)
    assert talk.messages[0].content == octets
    assert talk.said(b"NOOP\r\n") == ["250 OK"]


def test_refused_pieces_are_swallowed() -> None:
    talk = Talk()
    talk.said(OPENING)
    assert talk.said(b"BDAT 12 LAST\r\nMAIL FROM:<>NOOP\r\n") == [
        "503 valid RCPT command must precede BDAT",
        "250 OK",
    ]
    talk.said(RCPT, b"BDAT 2\r\nx\n", b"RSET\r\n")
    assert talk.said(b"BDAT 6\r\nRSET\r\nNOOP\r\n")[-1] == "250 OK"


def test_a_piece_without_end_does_not_grow() -> None:
    talk = Talk(Limits(message_size=10_000))
    talk.said(OPENING + RCPT, b"BDAT 4000000000 LAST\r\n")
    for _ in range(500):
        talk.said(b"x" * 10_000)
    assert talk.machine.unread_octets == 0 and talk.machine.chunks is not None
    assert len(talk.machine.chunks._kept) <= 20_000


def test_many_small_pieces_do_not_grow() -> None:
    talk = Talk(Limits(message_size=1000))
    talk.said(OPENING + RCPT)
    answers = [talk.said(b"BDAT 100\r\n" + b"x" * 98 + b"\r\n")[0] for _ in range(12)]
    assert answers[:10] == ["250 100 byte chunk received"] * 10
    assert "552 Message size exceeds maximum permitted" in answers
    assert talk.said(b"NOOP\r\n") == ["250 OK"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=6),
    st.lists(st.integers(min_value=1, max_value=40), max_size=30),
)
def test_however_it_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    """The same octets in the same pieces are the same message, wherever the network cuts them."""
    stream = OPENING + RCPT
    for number, octets in enumerate(pieces, 1):
        last = b" LAST" if number == len(pieces) else b""
        stream += b"BDAT %d%s\r\n%s" % (len(octets), last, octets)
    stream += b"\r\nQUIT\r\n"
    whole, cut = Talk(), Talk()
    expected = whole.said(stream)
    said: list[str] = []
    for size in cuts:
        said += cut.said(stream[:size])
        stream = stream[size:]
    assert said + cut.said(stream) == expected
    assert [m.content for m in whole.messages] == [m.content for m in cut.messages]

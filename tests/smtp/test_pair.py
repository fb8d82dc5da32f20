"""A client and a server of ours joined by a pretend wire: what goes in on one side comes out on the other."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.message import defuse_bare_line_ends
from labkit.mail.reply import UNROUTEABLE, Reply, received
from labkit.smtp.client import Client
from labkit.smtp.decisions import Connected, DataBegins, Decision, Limits, MailFrom, MessageReceived, RcptTo
from labkit.smtp.pair import Exchange, converse
from labkit.smtp.server import Server
from labkit.smtp.states import State, Step

BANNER = Reply(220, ("mx.b.test ESMTP",))


class Pair:
    """Both machines, with a policy: recipients whose local part begins with `no` do not exist."""

    def __init__(self, *, pipelining: bool = True, limits: Limits | None = None) -> None:
        self.client = Client("mx.a.test", pipelining=pipelining)
        self.server = Server("mx.b.test", "192.0.2.1", limits)
        self.arrived: list[MessageReceived] = []
        self.refusing: dict[type, Reply] = {}

    def decide(self, decision: Decision) -> Reply | None:
        if refusal := self.refusing.get(type(decision)):
            return refusal
        if isinstance(decision, Connected):
            return BANNER
        if isinstance(decision, RcptTo) and decision.forward_path.local_part.startswith("no"):
            return UNROUTEABLE
        if isinstance(decision, MessageReceived):
            self.arrived.append(decision)
            return received("1xVGdp-0000LT-0M")
        return None

    def talk(self) -> list[Exchange]:
        return converse(self.client, self.server, self.decide)

    def send(self, envelope: Envelope, content: bytes) -> list[Exchange]:
        if self.client.step is Step.BANNER:
            self.talk()
        self.client.send(envelope, content)
        return self.talk()


LINE = st.binary(max_size=40) | st.text(st.sampled_from(".\r\na \x00\xff")).map(lambda t: t.encode("latin-1"))
CONTENTS = st.lists(LINE, max_size=8).map(lambda lines: defuse_bare_line_ends(b"\r\n".join([*lines, b""])))
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
MAILBOXES = st.builds(Mailbox, NAMES, st.sampled_from(["b.test", "C.test", "x1.y-z"]))
ENVELOPES = st.builds(Envelope, st.none() | MAILBOXES, st.lists(MAILBOXES, min_size=1, max_size=5).map(tuple))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(ENVELOPES, CONTENTS), min_size=1, max_size=3), st.booleans())
@example([(Envelope.of("", "a@b.test"), b"")], True)
@example([(Envelope.of("", "a@b.test"), b".\r\n..\r\n.a\r\n\r\n.\r\n")], False)
def test_everything_arrives_as_it_was_sent(messages: list[tuple[Envelope, bytes]], pipelining: bool) -> None:
    pair = Pair(pipelining=pipelining)
    for envelope, content in messages:
        pair.send(envelope, content)
        result = pair.client.result
        assert result is not None
        assert result.broken == ""
        everybody = envelope.forward_paths
        good = tuple(path for path in everybody if not path.local_part.startswith("no"))
        assert result.delivered == good
        assert {v.recipient: v.step for v in result.verdicts if not v.reply.is_positive} == {
            path: Step.RCPT for path in everybody if path not in good
        }
        if good:
            assert pair.arrived.pop() == MessageReceived(
                Envelope(envelope.reverse_path, good),
                content,
                max(map(len, content.split(b"\r\n"))),
                "mx.a.test",
                "esmtp",
            )
        assert not pair.arrived, "nobody got what was not for him"
    pair.client.quit()
    pair.talk()
    assert pair.client.is_closed
    assert pair.server.is_closed
    assert pair.client.broken == ""


@settings(deadline=None)
@given(CONTENTS.map(lambda content: content.removesuffix(b"\r\n")))
def test_a_last_line_without_end_gets_one(content: bytes) -> None:
    pair = Pair()
    pair.send(Envelope.of("", "a@b.test"), content)
    whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert [message.content for message in pair.arrived] == [whole]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    "decision, code, step",
    [
        (MailFrom, 550, Step.MAIL),
        (MailFrom, 451, Step.MAIL),
        (RcptTo, 550, Step.RCPT),
        (RcptTo, 452, Step.RCPT),
        (DataBegins, 554, Step.DATA),
        (MessageReceived, 451, Step.CONTENT),
        (MessageReceived, 554, Step.CONTENT),
    ],
)
def test_a_refusal_anywhere(decision: type, code: int, step: Step, pipelining: bool) -> None:
    pair = Pair(pipelining=pipelining)
    pair.talk()
    pair.refusing[decision] = Reply(code, ("no",))
    pair.send(Envelope.of("ann@a.test", "a@b.test", "c@b.test"), b"x\r\n")
    assert pair.client.result is not None
    verdicts = pair.client.result.verdicts
    assert [(v.recipient.local_part, v.step, v.reply.code) for v in verdicts] == [
        ("a", step, code),
        ("c", step, code),
    ]
    assert (pair.client.step, pair.server.state) == (Step.IDLE, State.READY), "both are in step"
    pair.refusing.clear()
    pair.send(Envelope.of("ann@a.test", "a@b.test"), b"next\r\n")
    assert [message.content for message in pair.arrived] == [b"next\r\n"]


@pytest.mark.parametrize(
    "code, refusal, broken",
    [(554, 554, ""), (421, 421, "the server closes: 421 not you")],
)
def test_a_server_that_wants_nobody(code: int, refusal: int, broken: str) -> None:
    pair = Pair()
    pair.refusing[Connected] = Reply(code, ("not you",))
    said = pair.talk()
    assert said[0].text == f"{code} not you"
    assert pair.server.is_closed
    assert pair.client.refusal is not None
    assert (pair.client.refusal.code, pair.client.broken) == (refusal, broken)


def test_a_message_too_big() -> None:
    """RFC 1870: the server says so at MAIL, and no octet of the message is sent."""
    pair = Pair(limits=Limits(message_size=10))
    said = pair.send(Envelope.of("ann@a.test", "a@b.test"), b"x" * 20 + b"\r\n")
    assert ("C", "MAIL FROM:<ann@a.test> SIZE=22") in [(e.speaker, e.text) for e in said]
    assert not any("xxx" in exchange.text for exchange in said)
    assert pair.client.result is not None
    assert [(v.step, v.reply.code) for v in pair.client.result.verdicts] == [(Step.MAIL, 552)]
    assert pair.client.is_idle


def test_what_was_said_and_where_both_stood() -> None:
    pair = Pair(pipelining=False)
    first = pair.talk()
    assert [(e.speaker, e.text.split()[0]) for e in first] == [
        ("S", "220"),
        ("C", "EHLO"),
        *[("S", line) for line in ("250-mx.b.test", "250-SIZE", "250-8BITMIME", "250-PIPELINING", "250")],
    ]
    assert (first[-1].client, first[-1].server) == (Step.IDLE.value, State.READY.value)
    said = pair.send(Envelope.of("ann@a.test", "a@b.test"), b"x\r\n")
    assert [e.text for e in said if e.speaker == "C"] == [
        "MAIL FROM:<ann@a.test> SIZE=3",
        "RCPT TO:<a@b.test>",
        "DATA",
        "x",
        ".",
    ]
    assert said[-1].text == "250 OK id=1xVGdp-0000LT-0M"

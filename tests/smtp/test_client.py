"""The client machine against servers of every kind: kind ones, odd ones and hostile ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope, Wishes
from labkit.smtp.client import LONGEST_REPLY_LINE, MOST_REPLY_LINES, Client, Ending, Manner, Result
from labkit.smtp.states import CLIENT_TABLE, Step
from labkit.smtp.transcript import Line

MESSAGE = b"Subject: x\r\n\r\nhi\r\n"
ONE = Envelope.of("ann@a.test", "bob@b.test")
THREE = Envelope.of("ann@a.test", "bob@b.test", "eve@b.test", "zoe@b.test")
EHLO = b"250-mx.b.test Hello\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 HELP\r\n"
PLAIN = b"250 mx.b.test Hello\r\n"  # no extension


class Talk:
    """A client whose server says what the test says; `heard` is what the client said since the last look."""

    def __init__(self, ehlo: bytes | None = EHLO, *, pipelining: bool = True) -> None:
        self.lines: list[Line] = []
        self.machine = Client("mx.a.test", pipelining=pipelining, on_line=self.lines.append)
        if ehlo is not None:
            assert self.says(b"220 mx.b.test ESMTP\r\n") == [b"EHLO mx.a.test"]
            assert self.says(ehlo) == []
            assert self.machine.is_idle

    def says(self, octets: bytes) -> list[bytes]:
        """The server says this; returns the lines the client answers with."""
        self.machine.receive(octets)
        return self.heard()

    def heard(self) -> list[bytes]:
        said = self.machine.bytes_to_send()
        assert said.endswith(b"\r\n") or not said
        return said.split(b"\r\n")[:-1]

    def send(self, envelope: Envelope = ONE, content: bytes = MESSAGE) -> list[bytes]:
        self.machine.send(envelope, content)
        return self.heard()

    @property
    def result(self) -> Result:
        assert self.machine.result is not None
        return self.machine.result

    @property
    def verdicts(self) -> list[tuple[str, Step, int]]:
        return [(v.recipient.local_part, v.step, v.reply.code) for v in self.result.verdicts]


# --- servers that behave ----------------------------------------------------------------------


def test_a_message_in_one_group() -> None:
    """RFC 2920 §3.1: MAIL, RCPT and DATA together; the content after the 354."""
    talk = Talk()
    assert talk.send(THREE) == [
        b"MAIL FROM:<ann@a.test> SIZE=18",
        b"RCPT TO:<bob@b.test>",
        b"RCPT TO:<eve@b.test>",
        b"RCPT TO:<zoe@b.test>",
        b"DATA",
    ]
    assert talk.says(b"250 OK\r\n250 OK\r\n550 no\r\n452 later\r\n") == []
    assert talk.says(b"354 go\r\n") == [b"Subject: x", b"", b"hi", b"."]
    assert talk.says(b"250 OK id=1\r\n") == []
    assert talk.verdicts == [("eve", Step.RCPT, 550), ("zoe", Step.RCPT, 452), ("bob", Step.CONTENT, 250)]
    assert talk.result.delivered == (Mailbox("bob", "b.test"),)
    assert talk.result.broken == ""
    talk.machine.quit()
    assert talk.heard() == [b"QUIT"]
    assert talk.says(b"221 bye\r\n") == []
    assert talk.machine.is_closed
    assert talk.machine.broken == ""


@pytest.mark.parametrize("ehlo, pipelining", [(PLAIN, True), (EHLO, False)])
def test_a_message_step_by_step(ehlo: bytes, pipelining: bool) -> None:
    talk = Talk(ehlo, pipelining=pipelining)
    assert len(talk.send(THREE)) == 1
    assert talk.says(b"250 OK\r\n") == [b"RCPT TO:<bob@b.test>"]
    assert talk.says(b"550 no\r\n") == [b"RCPT TO:<eve@b.test>"]
    assert talk.says(b"250 OK\r\n") == [b"RCPT TO:<zoe@b.test>"]
    assert talk.says(b"451 later\r\n") == [b"DATA"]
    assert talk.says(b"354 go\r\n")[-1] == b"."
    talk.says(b"250 OK\r\n")
    assert talk.verdicts == [("bob", Step.RCPT, 550), ("zoe", Step.RCPT, 451), ("eve", Step.CONTENT, 250)]


def test_several_messages_in_one_session() -> None:
    talk = Talk()
    for code in (250, 451, 554, 250):
        talk.send()
        talk.says(b"250 OK\r\n250 OK\r\n354 go\r\n")
        talk.says(b"%d so\r\n" % code)
        assert talk.verdicts == [("bob", Step.CONTENT, code)]
        assert talk.machine.is_idle


@pytest.mark.parametrize(
    "ehlo, content, command, because",
    [
        (EHLO, b"x\r\n", b"MAIL FROM:<ann@a.test> SIZE=3", "RFC 1870: the size, where it is offered"),
        (
            EHLO,
            b"\xff\r\n",
            b"MAIL FROM:<ann@a.test> SIZE=3 BODY=8BITMIME",
            "RFC 6152: only for what is not 7 bit",
        ),
        (PLAIN, b"\xff\r\n", b"MAIL FROM:<ann@a.test>", "nothing that was not offered"),
        (b"250-x\r\n250 8bitmime\r\n", b"\xff\r\n", b"MAIL FROM:<ann@a.test> BODY=8BITMIME", "in any case"),
        (
            b"250-x\r\n250-size\r\n250 8BITMIME x\r\n",
            b"x\r\n",
            b"MAIL FROM:<ann@a.test> SIZE=3",
            "without a limit",
        ),
        (
            b"250-x\r\n250-SIZE=5\r\n250 SIZED 5\r\n",
            b"x\r\n",
            b"MAIL FROM:<ann@a.test>",
            "these are other names",
        ),
        (b"250-SIZE 5\r\n250 x\r\n", b"x\r\n", b"MAIL FROM:<ann@a.test>", "the first line offers nothing"),
    ],
)
def test_parameters(ehlo: bytes, content: bytes, command: bytes, because: str) -> None:
    assert Talk(ehlo).send(content=content)[0] == command, because


def test_the_null_path() -> None:
    assert Talk(PLAIN).send(Envelope.of("", "bob@b.test")) == [b"MAIL FROM:<>"]


@pytest.mark.parametrize(
    "content, on_the_wire, because",
    [
        (b"", [b"."], "an empty message"),
        (b"x\r\n", [b"x", b"."], "a line"),
        (b"x", [b"x", b"."], "the last line gets its end"),
        (b".\r\n", [b"..", b"."], "RFC 5321 §4.5.2: a line that begins with a dot gets another"),
        (b"..x\r\n.\r\n", [b"...x", b"..", b"."], "each of them"),
        (b"a\r\n\r\n.b\r\n", [b"a", b"", b"..b", b"."], "after an empty line, too"),
        (b"a.\r\n", [b"a.", b"."], "but not elsewhere"),
        (b"\r\n", [b"", b"."], "an empty line"),
    ],
)
def test_dots(content: bytes, on_the_wire: list[bytes], because: str) -> None:
    talk = Talk()
    talk.send(content=content)
    assert talk.says(b"250 OK\r\n250 OK\r\n354 go\r\n") == on_the_wire, because


def test_two_of_one_address_have_a_verdict_each() -> None:
    """Two mailboxes of ours may be one at the other host (rcpt_include_affixes); Exim says it twice."""
    twice = Envelope.of("ann@a.test", "bob@b.test", "eve@b.test", "bob@b.test")
    for ehlo in (EHLO, PLAIN):
        talk = Talk(ehlo)
        said = talk.send(twice)
        for answer in (
            b"250 OK\r\n",
            b"250 OK\r\n",
            b"550 no\r\n",
            b"550 full\r\n",
            b"354 go\r\n",
            b"250 OK\r\n",
        ):
            said += talk.says(answer)
        assert [line for line in said if b"RCPT" in line] == [
            b"RCPT TO:<bob@b.test>",
            b"RCPT TO:<eve@b.test>",
            b"RCPT TO:<bob@b.test>",
        ]
        assert talk.verdicts == [("eve", Step.RCPT, 550), ("bob", Step.RCPT, 550), ("bob", Step.CONTENT, 250)]
        assert [verdict.number for verdict in talk.result.verdicts] == [1, 2, 0]


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers, verdicts, because",
    [
        (b"550 no\r\n503 no\r\n503 no\r\n", [("bob", Step.MAIL, 550)], "MAIL refused, and so the rest"),
        (b"550 no\r\n250 OK\r\n503 no\r\n", [("bob", Step.MAIL, 550)], "RCPT taken all the same"),
        (
            b"451 no\r\n250 OK\r\n354 go\r\n250 OK\r\n",
            [("bob", Step.MAIL, 451)],
            "even DATA: a lone dot, no message",
        ),
        (b"250 OK\r\n550 no\r\n503 no\r\n", [("bob", Step.RCPT, 550)], "the recipient refused"),
        (b"250 OK\r\n550 no\r\n354 go\r\n554 no\r\n", [("bob", Step.RCPT, 550)], "RFC 2920 §3.1: a lone dot"),
        (b"250 OK\r\n550 no\r\n354 go\r\n250 OK\r\n", [("bob", Step.RCPT, 550)], "though it was taken"),
        (b"250 OK\r\n250 OK\r\n451 no\r\n", [("bob", Step.DATA, 451)], "DATA refused"),
        (b"250 OK\r\n250 OK\r\n354 go\r\n452 no\r\n", [("bob", Step.CONTENT, 452)], "the message refused"),
    ],
)
def test_a_refusal_in_a_group(answers: bytes, verdicts: list[tuple[str, Step, int]], because: str) -> None:
    talk = Talk()
    talk.send()
    said: list[bytes] = []
    for line in answers.splitlines(keepends=True):
        said += talk.says(line)
    if said[-1:] == [b"RSET"]:
        talk.says(b"250 OK\r\n")
    assert talk.machine.is_idle, because
    assert talk.verdicts == verdicts, because
    assert b"hi" not in said or verdicts[0][1] is Step.CONTENT, "no message for nobody"


@pytest.mark.parametrize(
    "dialogue, verdicts, because",
    [
        ("550 RSET 250", [("bob", Step.MAIL, 550), ("eve", Step.MAIL, 550), ("zoe", Step.MAIL, 550)], "MAIL"),
        (
            "250 RCPT 550 RCPT 550 RCPT 551 RSET 250",
            [("bob", Step.RCPT, 550), ("eve", Step.RCPT, 550), ("zoe", Step.RCPT, 551)],
            "every RCPT",
        ),
        (
            "250 RCPT 250 RCPT 550 RCPT 250 DATA 452 RSET 250",
            [("eve", Step.RCPT, 550), ("bob", Step.DATA, 452), ("zoe", Step.DATA, 452)],
            "DATA",
        ),
    ],
)
def test_a_refusal_step_by_step(dialogue: str, verdicts: list[tuple[str, Step, int]], because: str) -> None:
    talk = Talk(PLAIN)
    said = talk.send(THREE)
    for word in dialogue.split():
        if word.isdigit():
            said = talk.says(f"{word} so\r\n".encode())
        else:
            assert [line.split()[0].decode() for line in said] == [word], because
    assert (talk.machine.is_idle, talk.verdicts) == (True, verdicts), because


@pytest.mark.parametrize("code", [b"451", b"502", b"421"])
def test_a_server_that_refuses_even_rset(code: bytes) -> None:
    talk = Talk(PLAIN)
    talk.send()
    assert talk.says(b"550 no\r\n") == [b"RSET"]
    said = talk.says(code + b" no\r\n")
    assert said == ([] if code == b"421" else [b"QUIT"])
    assert talk.verdicts == [("bob", Step.MAIL, 550)], "what became of the message is known"
    talk.machine.end("gone")
    assert talk.machine.is_closed
    assert talk.verdicts == [("bob", Step.MAIL, 550)]


@pytest.mark.parametrize(
    "conversation, refusal, broken, because",
    [
        ([(b"554 go away\r\n", b"QUIT"), (b"221 bye\r\n", None)], 554, "", "at the door, RFC 5321 §3.1"),
        ([(b"450 later\r\n", b"QUIT"), (b"221 bye\r\n", None)], 450, "", "at the door, for now"),
        ([(b"421 busy\r\n", None)], 421, "the server closes: 421 busy", "and closed"),
        (
            [
                (b"220 x\r\n", b"EHLO mx.a.test"),
                (b"450 no\r\n", b"HELO mx.a.test"),
                (b"451 no\r\n", b"QUIT"),
                (b"221 x\r\n", None),
            ],
            451,
            "",
            "EHLO put off, and HELO as well",
        ),
        (
            [
                (b"220 x\r\n", b"EHLO mx.a.test"),
                (b"502 what?\r\n", b"HELO mx.a.test"),
                (b"550 no\r\n", b"QUIT"),
            ],
            550,
            "",
            "HELO refused as well",
        ),
    ],
)
def test_a_server_that_does_not_want_us(
    conversation: list[tuple[bytes, bytes | None]], refusal: int, broken: str, because: str
) -> None:
    talk = Talk(None)
    for said, answer in conversation:
        assert talk.says(said) == ([answer] if answer else []), because
    talk.machine.end("the server closed the connection")
    assert talk.machine.is_closed
    assert talk.machine.refusal is not None
    assert (talk.machine.refusal.code, talk.machine.broken) == (refusal, broken), because
    assert talk.machine.result is None


@pytest.mark.parametrize("refusal", [b"500 what?\r\n", b"421 busy\r\n", b"450 later\r\n"])
def test_an_old_server(refusal: bytes) -> None:
    """RFC 5321 §3.2: without EHLO there is HELO, and no extension. Exim tries it after any refusal."""
    talk = Talk(None)
    talk.says(b"220 x\r\n")
    assert talk.says(refusal) == [b"HELO mx.a.test"]
    assert talk.says(b"250-x\r\n250 PIPELINING\r\n") == []
    assert talk.machine.is_idle
    assert talk.machine.refusal is None
    assert talk.machine.extensions == {}
    assert talk.send(content=b"\xff\r\n") == [b"MAIL FROM:<ann@a.test>"]


# --- 421, early ends, nonsense ----------------------------------------------------------------

# How far a session is when the test strikes: what the server has said up to there, each when its turn comes.
STEPS = {
    "banner": [],
    "EHLO": [b"220 x\r\n"],
    "HELO": [b"220 x\r\n", b"500 x\r\n"],
    "MAIL": [b"220 x\r\n", PLAIN],
    "RCPT": [b"220 x\r\n", PLAIN, b"250 OK\r\n"],
    "second RCPT": [b"220 x\r\n", PLAIN, b"250 OK\r\n", b"250 OK\r\n"],
    "DATA": [b"220 x\r\n", PLAIN, b"250 OK\r\n", b"250 OK\r\n", b"550 no\r\n", b"250 OK\r\n"],
    "content": [
        b"220 x\r\n",
        PLAIN,
        b"250 OK\r\n",
        b"250 OK\r\n",
        b"550 no\r\n",
        b"250 OK\r\n",
        b"354 go\r\n",
    ],
    "group": [b"220 x\r\n", EHLO],
    "group, RCPT": [b"220 x\r\n", EHLO, b"250 OK\r\n250 OK\r\n"],
    "group, DATA": [b"220 x\r\n", EHLO, b"250 OK\r\n250 OK\r\n550 no\r\n250 OK\r\n"],
    "group, content": [b"220 x\r\n", EHLO, b"250 OK\r\n250 OK\r\n550 no\r\n250 OK\r\n354 go\r\n"],
}


def at(step: str) -> Talk:
    talk = Talk(None)
    for answer in STEPS[step]:
        talk.says(answer)
        if talk.machine.is_idle:
            talk.send(THREE)
    return talk


@pytest.mark.parametrize("step", STEPS)
def test_the_connection_breaks(step: str) -> None:
    talk = at(step)
    talk.machine.end("lost the connection")
    assert talk.machine.is_closed
    assert talk.machine.broken == "lost the connection"
    if step in ("banner", "EHLO", "HELO"):
        assert talk.machine.result is None
        return
    assert talk.result.broken == "lost the connection", (
        "nobody knows whether it was taken: it must be sent again"
    )
    assert talk.result.delivered == ()
    assert all(verdict.step is Step.RCPT for verdict in talk.result.verdicts), "only what was said counts"
    talk.machine.end("again")
    assert talk.machine.broken == "lost the connection"


@pytest.mark.parametrize(
    "step, deferred",
    [
        ("banner", None),
        ("HELO", None),
        ("MAIL", "bob eve zoe"),
        ("RCPT", "bob"),
        ("second RCPT", "eve"),
        ("DATA", "bob zoe"),
        ("content", "bob zoe"),
        ("group", "bob eve zoe"),
        ("group, RCPT", "eve"),
        ("group, DATA", "bob zoe"),
        ("group, content", "bob zoe"),
    ],
)
def test_421_may_come_at_any_time(step: str, deferred: str | None) -> None:
    """RFC 5321 §3.8: the server closes. Who waited for that answer is put off; the others are in the dark."""
    talk = at(step)
    assert talk.says(b"421 mx.b.test closing\r\n") == []
    assert talk.machine.is_closed
    assert talk.machine.broken == "the server closes: 421 mx.b.test closing"
    if deferred is None:
        assert talk.machine.refusal is not None
        assert talk.machine.result is None
    else:
        assert [
            v.recipient.local_part for v in talk.result.verdicts if v.reply.code == 421
        ] == deferred.split()
        assert talk.result.broken


def test_421_between_two_messages() -> None:
    talk = Talk()
    talk.says(b"421 idle too long\r\n")
    assert talk.machine.broken == "the server closes: 421 idle too long"


def test_421_is_a_fine_answer_to_quit() -> None:
    talk = Talk()
    talk.machine.quit()
    talk.says(b"421 yes, yes\r\n")
    assert talk.machine.is_closed
    assert talk.machine.broken == ""


NONSENSE = [
    (b"hello\r\n", "does not speak SMTP", "words"),
    (b"\r\n", "does not speak SMTP", "nothing"),
    (b"HTTP/1.1 400 Bad Request\r\n", "does not speak SMTP", "a web server"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak SMTP", "a shell"),
    (b"\x15\x03\x01\x00\x02\x02\x28\n", "does not speak SMTP", "TLS"),
    (b"25 OK\r\n", "does not speak SMTP", "two digits"),
    (b"2500 OK\r\n", "does not speak SMTP", "four digits"),
    (b"250_OK\r\n", "does not speak SMTP", "neither blank nor hyphen"),
    (b"150 OK\r\n", "does not speak SMTP", "a code that SMTP does not have"),
    (b"650 OK\r\n", "does not speak SMTP", "a code that SMTP does not have"),
    (b"\xb2\xb5\xb0 OK\r\n", "does not speak SMTP", "digits of another alphabet"),
    (b"250-a\r\nb\r\n", "does not speak SMTP", "a reply that stops being one"),
    (b"x" * (LONGEST_REPLY_LINE + 1) + b"\r\n", "a line without end", "too long a line"),
    (b"250 " + b"x" * LONGEST_REPLY_LINE, "a line without end", "without an end yet"),
    (b"250 " + b"x" * LONGEST_REPLY_LINE + b"\r\n", "a line without end", "with an end"),
    (b"250-x\r\n" * (MOST_REPLY_LINES + 1), "a reply without end", "lines without end"),
    ((b"250-" + b"x" * 4000 + b"\r\n") * 5, "a reply without end", "octets without end"),
]


@pytest.mark.parametrize("octets, words, because", NONSENSE)
@pytest.mark.parametrize("step", STEPS)
def test_nonsense_ends_the_session(step: str, octets: bytes, words: str, because: str) -> None:
    talk = at(step)
    assert talk.says(octets) == [], because
    assert talk.machine.is_closed, because
    assert words in talk.machine.broken, because
    assert talk.machine.broken.isprintable(), "it can be shown as it is"
    assert len(talk.machine.broken) < 300
    assert talk.says(b"250 OK\r\n" * 10) == [], "what comes after the end is not heard"


@pytest.mark.parametrize(
    "step, code",
    [
        *((step, "354") for step in STEPS if "DATA" not in step),
        *((step, "250") for step in STEPS if "DATA" in step),
        *((step, "334") for step in STEPS if "DATA" not in step),
    ],
)
def test_an_answer_that_makes_no_sense(step: str, code: str) -> None:
    talk = at(step)
    talk.says(f"{code} so\r\n".encode())
    assert talk.machine.is_closed
    assert talk.machine.broken == f"the server's answer makes no sense here: {code} so"
    assert talk.machine.result is None or talk.result.delivered == ()


def test_a_server_that_speaks_out_of_turn() -> None:
    talk = Talk()
    talk.says(b"250 by the way\r\n")
    assert talk.machine.broken == "the server spoke out of turn: 250 by the way"
    with pytest.raises(RuntimeError, match="not idle"):
        talk.machine.send(ONE, MESSAGE)


def test_a_server_that_answers_everything_at_once() -> None:
    """It cheats only itself: no octet of the message goes to the wrong place, and the session ends in order."""
    talk = Talk(None)
    said = talk.says(b"220 x\r\n250 x\r\n250 x\r\n250 x\r\n")
    assert said == [b"EHLO mx.a.test"]
    assert talk.machine.broken.startswith("the server spoke out of turn")


def test_codes_of_one_reply_that_differ() -> None:
    """RFC 5321 §4.2.1 says they may not; the last line is the one that ends the reply, so it counts."""
    talk = Talk(PLAIN)
    talk.send()
    assert talk.says(b"250-a\r\n550 b\r\n") == [b"RSET"]
    talk.says(b"250 OK\r\n")
    assert talk.verdicts == [("bob", Step.MAIL, 550)]


@pytest.mark.parametrize(
    "octets, text",
    [
        (b"550 no\r\n", "no"),
        (b"550\r\n", ""),
        (b"550-a\r\n550-b\r\n550 c\r\n", "a b c"),
        (b"550 no\n", "no"),
        (b"550 \0a\rb\x1b[31m\r\n", "ab[31m"),
        (b"550 \xff\r\n", "\udcff"),
        (b"550 n\xc3\xb6\r\n", "nö"),
        (b"550  \t x \r\n", " \t x "),
        (b"550 " + b"x" * (LONGEST_REPLY_LINE - 4) + b"\r\n", "x" * (LONGEST_REPLY_LINE - 4)),
        (b"550-x\r\n" * (MOST_REPLY_LINES - 1) + b"550 x\r\n", " ".join("x" * MOST_REPLY_LINES)),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_odd_replies_that_are_read(octets: bytes, text: str) -> None:
    talk = Talk()
    talk.send()
    talk.says(b"250 OK\r\n" + octets + b"503 no\r\n")
    talk.says(b"250 OK\r\n")
    assert talk.result.verdicts[0].reply.text == text


# --- what its owner may not do ----------------------------------------------------------------


@pytest.mark.parametrize("content", [b"a\nb", b"a\rb", b"\n.\n", b"x\r\n.\r", b"\r"])
def test_no_bare_line_end_goes_out(content: bytes) -> None:
    talk = Talk()
    with pytest.raises(ValueError, match="bare CR or LF"):
        talk.machine.send(ONE, content)
    assert talk.machine.is_idle
    assert talk.heard() == []


def test_misuse() -> None:
    talk = Talk(None)
    with pytest.raises(RuntimeError, match="not idle: waiting for the banner"):
        talk.machine.send(ONE, MESSAGE)
    with pytest.raises(RuntimeError, match="not idle: waiting for the banner"):
        talk.machine.quit()
    talk = Talk()
    with pytest.raises(ValueError, match="without recipients"):
        talk.machine.send(Envelope.of("ann@a.test"), MESSAGE)
    talk.send()
    with pytest.raises(RuntimeError, match="not idle: named the sender"):
        talk.machine.quit()
    talk.machine.end("gone")
    talk.machine.quit()
    assert talk.heard() == [], "a closed session stays closed"


@pytest.mark.parametrize("text", ["x\r\nMAIL FROM:<a@b>", "x\n", "x\0"])
def test_no_name_smuggles_a_command(text: str) -> None:
    machine = Client(text)
    with pytest.raises(ValueError, match="line end"):
        machine.receive(b"220 x\r\n")
    assert machine.bytes_to_send() == b""


# --- whatever comes ---------------------------------------------------------------------------

WORDS = [
    b"220 x\r\n",
    EHLO,
    PLAIN,
    b"250 OK\r\n",
    b"250-more\r\n",
    b"354 go\r\n",
    b"421 bye\r\n",
    b"451 later\r\n",
    b"550 no\r\n",
    b"221 bye\r\n",
    b"\r\n",
    b"\n",
    b"2",
    b"nonsense\r\n",
    b"x" * 2000,
]


def play(machine: Client, chunks: list[bytes]) -> bytes:
    """Feed the chunks; whenever the client is idle, send a message."""
    said = b""
    for chunk in chunks:
        if machine.is_idle:
            machine.send(THREE, b".\r\n\xff\r\n")
        machine.receive(chunk)
        said += machine.bytes_to_send()
    machine.end("gone")
    return said


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(WORDS), max_size=25), st.booleans())
def test_every_recipient_gets_one_verdict_at_most(chunks: list[bytes], pipelining: bool) -> None:
    machine = Client("mx.a.test", pipelining=pipelining)
    play(machine, [b"220 x\r\n", *chunks])
    assert machine.is_closed
    if machine.result is not None:
        judged = [verdict.recipient for verdict in machine.result.verdicts]
        assert len(set(judged)) == len(judged)
        assert set(judged) <= set(THREE.forward_paths)
        assert machine.result.broken or len(judged) == 3, "all are known, or the session broke"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("step", STEPS)
def test_chunks_make_no_difference(step: str, size: int) -> None:
    rng = random.Random(step)
    for _ in range(20):
        octets = b"".join(rng.choice(WORDS) for _ in range(4))
        whole, cut = at(step), at(step)
        whole.machine.receive(octets)
        for i in range(0, len(octets), size):
            cut.machine.receive(octets[i : i + size])
        assert cut.machine.bytes_to_send() == whole.machine.bytes_to_send()
        assert (cut.machine.step, cut.machine.broken) == (whole.machine.step, whole.machine.broken)
        assert cut.machine.result == whole.machine.result
        assert cut.lines == whole.lines


@pytest.mark.parametrize("length", [LONGEST_REPLY_LINE - 1, LONGEST_REPLY_LINE, LONGEST_REPLY_LINE + 1])
def test_chunks_make_no_difference_at_the_limit(length: int) -> None:
    line = (b"220 " + b"x" * LONGEST_REPLY_LINE)[:length] + b"\r\n"
    whole, cut = Client("mx.a.test"), Client("mx.a.test")
    whole.receive(line)
    for octet in line:
        cut.receive(bytes([octet]))
    assert (cut.step, cut.broken) == (whole.step, whole.broken)
    assert whole.is_closed is (length > LONGEST_REPLY_LINE)


def test_a_flood_does_not_grow() -> None:
    machine = Client("mx.a.test")
    for _ in range(1000):
        machine.receive(b"x" * 10_000)
    assert machine.is_closed
    assert len(machine._in) <= 20_000


def test_every_line_is_told_with_the_step_it_led_to() -> None:
    talk = Talk()
    talk.send()
    talk.says(b"250 OK\r\n250 OK\r\n354 go\r\n250 OK\r\n")
    assert [(line.speaker, line.text) for line in talk.lines[-6:]] == [
        ("C", "DATA"),
        ("S", "250 OK"),
        ("S", "250 OK"),
        ("S", "354 go"),
        ("C", "(18 octets of message, then a dot)"),
        ("S", "250 OK"),
    ]
    assert {line.state for line in talk.lines} <= {step.value for step in Step}
    assert {step for step, _ in CLIENT_TABLE} == set(Step) - {Step.IDLE, Step.CLOSED}


# --- TLS, AUTH, chunks ------------------------------------------------------------------------

SECURE = b"250-mx.b.test\r\n250-STARTTLS\r\n250-AUTH=LOGIN\r\n250 SIZE 99\r\n"
CHUNKS = b"250-mx.b.test\r\n250-CHUNKING\r\n250 PIPELINING\r\n"


def test_starttls_forgets_what_was_offered_before() -> None:
    talk = Talk(SECURE)
    talk.machine.start_tls()
    assert talk.heard() == [b"STARTTLS"]
    assert talk.says(b"220 go ahead\r\n") == []
    assert talk.machine.wants_handshake
    assert not talk.machine.is_idle
    talk.machine.secured()
    assert talk.heard() == [b"EHLO mx.a.test"]
    talk.says(b"250-mx.b.test\r\n250 AUTH PLAIN LOGIN\r\n")
    assert talk.machine.is_idle
    assert talk.machine.extensions == {"AUTH": "PLAIN LOGIN"}


@pytest.mark.parametrize("refusal", [b"454 TLS not available", b"501 no", b"554 never"])
def test_starttls_refused(refusal: bytes) -> None:
    talk = Talk(SECURE)
    talk.machine.start_tls()
    talk.says(refusal + b"\r\n")
    assert talk.machine.is_idle
    assert not talk.machine.wants_handshake
    assert talk.machine.answer is not None
    assert talk.machine.answer.code == int(refusal[:3])
    assert talk.send()[0].startswith(b"MAIL FROM:<ann@a.test>"), "in the clear, if the owner wants that"


@pytest.mark.parametrize(
    "octets, because",
    [
        (b"220 go\r\n250 injected\r\n", "in one piece with the answer"),
        (b"220 go\r\nx", "the beginning of a line"),
    ],
)
def test_what_comes_before_the_handshake(octets: bytes, because: str) -> None:
    """RFC 3207 §6; CVE-2011-0411."""
    talk = Talk(SECURE)
    talk.machine.start_tls()
    talk.says(octets)
    assert talk.machine.is_closed, because
    assert talk.machine.ended is not None
    assert talk.machine.ended.how is Ending.TLS


def test_what_comes_later_but_still_before_the_handshake() -> None:
    talk = Talk(SECURE)
    talk.machine.start_tls()
    talk.says(b"220 go\r\n")
    talk.says(b"250 injected\r\n")
    assert talk.machine.is_closed


def test_auth_hides_what_is_said() -> None:
    talk = Talk(SECURE)
    assert talk.machine.extensions["AUTH"] == "LOGIN", "AUTH=LOGIN, as old servers write it"
    talk.machine.say("AUTH LOGIN", shown="AUTH LOGIN")
    assert talk.heard() == [b"AUTH LOGIN"]
    talk.says(b"334 VXNlcm5hbWU6\r\n")
    assert talk.machine.is_idle
    assert talk.machine.answer is not None
    assert talk.machine.answer.code == 334
    talk.machine.say("c2VjcmV0", shown="********")
    assert talk.heard() == [b"c2VjcmV0"]
    talk.says(b"535 no\r\n")
    assert talk.machine.is_idle
    assert not any("c2VjcmV0" in line.text for line in talk.lines)


def test_a_small_message_in_one_chunk() -> None:
    talk = Talk(CHUNKS)
    talk.machine.send(ONE, b".dot\r\n.\r\n", Manner(chunks=True))
    assert talk.heard() == [b"MAIL FROM:<ann@a.test>", b"RCPT TO:<bob@b.test>", b"BDAT 9 LAST", b".dot", b"."]
    talk.says(b"250 OK\r\n250 OK\r\n250 OK id=1\r\n")
    assert talk.verdicts == [("bob", Step.CONTENT, 250)]
    assert talk.machine.is_idle


@pytest.mark.parametrize(
    "replies, verdicts, is_sent, because",
    [
        (b"250 a\r\n250 b\r\n250 c\r\n", [], True, "the rest follows"),
        (b"250 a\r\n550 b\r\n503 c\r\n", [("bob", Step.RCPT, 550)], False, "nobody wants it"),
        (b"550 a\r\n503 b\r\n503 c\r\n", [("bob", Step.MAIL, 550)], False, "not from him"),
        (b"250 a\r\n250 b\r\n552 c\r\n", [("bob", Step.CONTENT, 552)], False, "not such a header"),
    ],
)
def test_a_large_message_in_two_chunks(
    replies: bytes, verdicts: list[tuple[str, Step, int]], is_sent: bool, because: str
) -> None:
    """Nobody sends megabytes before somebody has agreed to have them."""
    talk = Talk(CHUNKS)
    body = b"x" * 70 + b"\r\n"
    talk.machine.send(ONE, b"Subject: x\r\n\r\n" + body * 200, Manner(chunks=True))
    assert talk.heard()[-3:] == [b"BDAT 14", b"Subject: x", b""]
    said = talk.says(replies)
    if is_sent:
        assert said[0] == b"BDAT 14400 LAST"
        talk.says(b"250 OK id=1\r\n")
        assert talk.verdicts == [("bob", Step.CONTENT, 250)]
    else:
        assert said == [b"RSET"], because
        talk.says(b"250 OK\r\n")
        assert talk.verdicts == verdicts, because
    assert talk.machine.is_idle


def test_delivery_reports_are_asked_for_where_they_are_offered() -> None:
    """RFC 3461: the next host takes over what the sender wants to hear."""
    wishes = Wishes(frozenset({"FAILURE", "SUCCESS"}), "rfc822;bob@b.test")
    envelope = Envelope(
        ONE.reverse_path, ONE.forward_paths, "HDRS", "id+2D1", ((ONE.forward_paths[0], wishes),)
    )
    talk = Talk(b"250-x\r\n250 DSN\r\n")
    assert talk.send(envelope) == [b"MAIL FROM:<ann@a.test> RET=HDRS ENVID=id+2D1"]
    assert talk.says(b"250 OK\r\n") == [
        b"RCPT TO:<bob@b.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@b.test"
    ]
    assert Talk(PLAIN).send(envelope) == [b"MAIL FROM:<ann@a.test>"], "nothing that was not offered"


def test_manner_of_mail() -> None:
    talk = Talk(b"250-x\r\n250 SIZE\r\n")
    talk.machine.send(ONE, MESSAGE, Manner(1024, "ann+40a.test"))
    assert talk.heard() == [b"MAIL FROM:<ann@a.test> SIZE=1042 AUTH=ann+40a.test"]
    talk = Talk(b"250-x\r\n250 SIZE\r\n")
    talk.machine.send(ONE, MESSAGE, Manner(None))
    assert talk.heard() == [b"MAIL FROM:<ann@a.test>"]

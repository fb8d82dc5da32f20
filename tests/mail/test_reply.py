"""Replies: their bytes, their kinds, and how a configuration's words become one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail import reply
from labkit.mail.reply import Reply, Severity, all_recipients_refused, bad_address, last_straw, worded


@pytest.mark.parametrize(
    "given_reply, octets, because",
    [
        (Reply(250, ("OK",)), b"250 OK\r\n", "one line"),
        (
            Reply(250, ("a", "b", "c")),
            b"250-a\r\n250-b\r\n250 c\r\n",
            "RFC 5321 §4.2.1: a hyphen but for the last",
        ),
        (Reply(250, ("",)), b"250 \r\n", "no text"),
        (Reply(550, ("\udcff",)), b"550 \xff\r\n", "a byte that is no text goes out as it came in"),
        (reply.closing("mx.test"), b"221 mx.test closing connection\r\n", "Exim's words"),
        (reply.received("1xVGdp-0000LT-0M"), b"250 OK id=1xVGdp-0000LT-0M\r\n", "Exim's words"),
        (
            last_straw(Reply(503, ("sender already given",))),
            b"503-sender already given\r\n503 Too many syntax or protocol errors\r\n",
            "Exim's words",
        ),
    ],
)
def test_octets(given_reply: Reply, octets: bytes, because: str) -> None:
    assert bytes(given_reply) == octets, because


@pytest.mark.parametrize(
    "code, lines, because",
    [
        (199, ("x",), "no such severity for SMTP"),
        (600, ("x",), "no such severity"),
        (250, (), "no line"),
        (250, ("a\r\nb",), "a line end would be a second reply"),
        (250, ("a", "b\n"), "in any line"),
        (250, ("a\0",), "nor a NUL"),
    ],
)
def test_no_reply(code: int, lines: tuple[str, ...], because: str) -> None:
    with pytest.raises(ValueError, match="reply"):
        Reply(code, lines)


@pytest.mark.parametrize(
    "code, severity, is_positive, is_transient, is_permanent",
    [
        (250, Severity.POSITIVE, True, False, False),
        (354, Severity.INTERMEDIATE, True, False, False),
        (451, Severity.TRANSIENT, False, True, False),
        (599, Severity.PERMANENT, False, False, True),
    ],
)
def test_kinds(
    code: int, severity: Severity, is_positive: bool, is_transient: bool, is_permanent: bool
) -> None:
    answer = Reply(code, ("x",))
    assert answer.severity is severity
    assert (answer.is_positive, answer.is_transient, answer.is_permanent) == (
        is_positive,
        is_transient,
        is_permanent,
    )


def test_every_reply_of_the_house_is_ascii_and_short() -> None:
    found = [value for value in vars(reply).values() if isinstance(value, Reply)]
    assert len(found) > 30
    for each in found:
        for line in bytes(each).split(b"\r\n"):
            assert len(line) <= 510, "RFC 5321 §4.5.3.1.5"
            assert line.isascii()


def test_what_the_client_said_is_shown_without_harm() -> None:
    assert str(bad_address("a\r\nb\x1b[31m\xff", "no")) == "501 a??b?[31m?: no"


def test_all_recipients_refused() -> None:
    same = [Reply(550, ("Unrouteable address",))] * 2
    assert all_recipients_refused(same).lines == (
        "All RCPT commands were rejected with this error:",
        "Unrouteable address",
        "Valid RCPT command must precede DATA",
    )
    other = [*same, Reply(550, ("relay not permitted",))]
    assert all_recipients_refused(other).lines == ("Valid RCPT command must precede DATA",)


LONG = "rejected because 203.0.113.66 is in a black list at bl.test: see https://bl.test/why?203.0.113.66"


@pytest.mark.parametrize(
    "code, text, octets, because",
    [
        (550, "no", b"550 no\r\n", "plain"),
        (550, "one\\two", b"550 one\\two\r\n", "nothing is an escape any more"),
        (550, "one\ntwo", b"550-one\r\n550 two\r\n", "two lines"),
        (550, "one\n  two\n", b"550-one\r\n550 two\r\n", "blanks before a line and a last line end go"),
        (550, "554 5.7.1 no", b"554 5.7.1 no\r\n", "another code of the same kind"),
        (550, "554 no", b"554 no\r\n", "without an enhanced code"),
        (550, "5.7.1 no", b"550 5.7.1 no\r\n", "an enhanced code alone is text"),
        (550, "554 5.7.1 a\nb", b"554-5.7.1 a\r\n554 5.7.1 b\r\n", "RFC 2034 §4: on every line"),
        (
            550,
            "451 4.7.1 later",
            b"550 later\r\n",
            "a code of another kind is dropped, with what belongs to it",
        ),
        (451, "550 no", b"451 no\r\n", "defer stays a deferral"),
        (250, "550 welcome", b"250 welcome\r\n", "accept stays acceptance"),
        (550, "550", b"550 550\r\n", "no blank behind it, so it is text"),
        (550, "5500 x", b"550 5500 x\r\n", "four digits are no code"),
        (
            550,
            LONG,
            b"550-rejected because 203.0.113.66 is in a black list at bl.test:\r\n"
            b"550 see https://bl.test/why?203.0.113.66\r\n",
            "a long line breaks behind a colon",
        ),
        (550, "a" * 300, b"550 " + b"a" * 300 + b"\r\n", "a word is never cut"),
        (550, "a" * 300 + " b", b"550-" + b"a" * 300 + b"\r\n550 b\r\n", "a blank further on will do"),
        (
            550,
            "word " * 20,
            b"550-" + b"word " * 14 + b"word\r\n550 " + b"word " * 5 + b"\r\n",
            "between words",
        ),
    ],
)
def test_words_of_a_configuration(code: int, text: str, octets: bytes, because: str) -> None:
    assert bytes(worded(code, text)) == octets, because


@settings(deadline=None)
@given(st.sampled_from([250, 451, 550]), st.text(st.sampled_from("5 4.1:a\n\t"), max_size=200))
def test_words_never_change_the_kind_nor_break_the_reply(code: int, text: str) -> None:
    made = worded(code, text)
    assert made.severity is Reply(code, ("x",)).severity
    assert len(bytes(made).split(b"\r\n")) == len(made.lines) + 1

"""Messages: cut into fields and body without losing an octet, and never a bare line end in what goes on."""

from __future__ import annotations

import email
import email.policy
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.message import (
    CRLF,
    HeaderField,
    Message,
    defuse_bare_line_ends,
    is_canonical,
    with_crlf,
)

CUT = [
    (b"A: 1\r\nB: 2\r\n\r\nhi\r\n", ["A", "B"], b"\r\n", b"hi\r\n", "fields, an empty line, a body"),
    (
        b"A: 1\r\n\t2\r\n 3\r\nB: 2\r\n\r\n",
        ["A", "B"],
        b"\r\n",
        b"",
        "RFC 5322 §2.2.3: folded lines belong to the field",
    ),
    (b"A: 1\r\n", ["A"], b"", b"", "only a header"),
    (b"", [], b"", b"", "nothing"),
    (b"\r\nhi", [], b"\r\n", b"hi", "no header"),
    (b"hi\r\n", [], b"", b"hi\r\n", "no header and no empty line"),
    (
        b"A: 1\r\nno field\r\nB: 2\r\n",
        ["A"],
        b"",
        b"no field\r\nB: 2\r\n",
        "the first line that is no field begins the body",
    ),
    (
        b"A : 1\r\nB:2\r\n\r\n",
        ["A", "B"],
        b"\r\n",
        b"",
        "RFC 5322 §4.5: blanks before the colon were allowed once",
    ),
    (b": 1\r\n\r\n", [], b"", b": 1\r\n\r\n", "a field has a name"),
    (b"\xc3\x84: 1\r\n\r\n", [], b"", b"\xc3\x84: 1\r\n\r\n", "of ASCII letters"),
    (b"From a@b Mon\r\nA: 1\r\n", [], b"", b"From a@b Mon\r\nA: 1\r\n", "an mbox's From_ line is no field"),
    (b" A: 1\r\nB: 2\r\n", [], b"", b" A: 1\r\nB: 2\r\n", "a message cannot begin with a folded line"),
    (b"A: 1", [], b"", b"A: 1", "a line without end is no field yet"),
    (b"A: 1\nB: 2\n\nhi\n", ["A", "B"], b"", b"\nhi\n", "only CR LF separates"),
    (b"A: \0\xff\r\n\r\n", ["A"], b"\r\n", b"", "any octets in a field's body"),
]


@pytest.mark.parametrize("content, names, separator, body, because", CUT)
def test_parse(content: bytes, names: list[str], separator: bytes, body: bytes, because: str) -> None:
    message = Message.parse(content)
    assert [field.name for field in message.header_fields] == names, because
    assert (message.separator, message.body) == (separator, body), because
    assert bytes(message) == content, because


lines = st.sampled_from([b"A: 1", b"\tmore", b" ", b"", b"x", b"B:", b"C : 2", b".", b"\xff: 1"]) | st.binary(
    max_size=6
)
contents = st.binary() | st.lists(lines | st.sampled_from([b"\r\n", b"\n", b"\r"])).map(b"".join)


@settings(deadline=None)
@given(contents)
def test_no_octet_is_lost(content: bytes) -> None:
    message = Message.parse(content)
    assert bytes(message) == content
    assert len(message) == len(content)


@settings(deadline=None)
@given(contents.map(defuse_bare_line_ends))
def test_a_field_on_top_stays_on_top(content: bytes) -> None:
    before = Message.parse(content)
    field = HeaderField.make("Received", "from x", "by y")
    after = Message.parse(bytes(before.prepend(field)))
    assert after.header_fields == (field, *before.header_fields)
    assert after.body == before.body


@pytest.mark.parametrize(
    "content, expected, because",
    [
        (b"A: 1\r\n\r\nx", b"R: 1\r\nA: 1\r\n\r\nx", "on top"),
        (
            b"hi\r\n",
            b"R: 1\r\n\r\nhi\r\n",
            "a body without header gets its empty line, else it would become a field",
        ),
        (b"", b"R: 1\r\n", "nothing to separate"),
        (b"A: 1\r\n", b"R: 1\r\nA: 1\r\n", "nothing to separate either"),
    ],
)
def test_prepend(content: bytes, expected: bytes, because: str) -> None:
    assert bytes(Message.parse(content).prepend(HeaderField.make("R", "1"))) == expected, because


def test_fields_by_name() -> None:
    message = Message.parse(b"a: 1\r\nA: \r\n\t2 \r\n 3\r\nb: \xff\xc3\xa9\r\n\r\nA: 4\r\n")
    assert [field.value for field in message.all("A")] == ["1", "2  3"]
    assert message.first("B") == "\ufffdé"
    assert message.first("C") is None


def test_make() -> None:
    assert HeaderField.make("To", "a@b,", "c@d").raw == b"To: a@b,\r\n\tc@d\r\n"
    assert HeaderField.make("To", "a@b,", "c@d", fold="\r\n ").raw == b"To: a@b,\r\n c@d\r\n"
    assert HeaderField.make("X", "\udcff").raw == b"X: \xff\r\n"


@pytest.mark.parametrize(
    "name, line", [("X", "a\r\nBcc: x"), ("X", "a\nb"), ("X", "a\rb"), ("X", "\0"), ("X\r\nY", "a")]
)
def test_no_field_smuggles_another(name: str, line: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        HeaderField.make(name, "ok", line)


@pytest.mark.parametrize(
    "content, defused, because",
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\n", "already right"),
        (b"a\nb", b"a b", "a bare LF becomes a blank"),
        (b"a\rb", b"a\r\nb", "a bare CR becomes a line end"),
        (b"\r\r\n", b"\r\n\r\n", "a CR too many"),
        (b"\n\r", b" \r\n", "the wrong way round"),
        (b"\r\n\n.\r\n", b"\r\n .\r\n", "LF . CR LF does not end a message"),
        (b"x\n.\n", b"x . ", "nor LF . LF"),
    ],
)
def test_defuse(content: bytes, defused: bytes, because: str) -> None:
    assert defuse_bare_line_ends(content) == defused, because


@settings(deadline=None)
@given(st.binary() | st.text(st.sampled_from("\r\n.a")).map(str.encode))
def test_what_is_defused_is_canonical_and_stays_so(content: bytes) -> None:
    defused = defuse_bare_line_ends(content)
    assert is_canonical(defused)
    assert defuse_bare_line_ends(defused) == defused
    assert is_canonical(content) == (defused == content)


@settings(deadline=None)
@given(st.binary() | st.text(st.sampled_from("\r\n.a")).map(str.encode))
def test_local_text_becomes_whole_lines(text: bytes) -> None:
    content = with_crlf(text)
    assert is_canonical(content)
    assert not content or content.endswith(CRLF)
    assert with_crlf(content) == content


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"\A[A-Za-z-]{1,9}\Z"),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
        ),
        max_size=5,
    ),
    st.binary(max_size=20),
)
def test_the_standard_library_finds_the_same_fields(pairs: list[tuple[str, str]], body: bytes) -> None:
    content = b"".join(HeaderField.make(*pair).raw for pair in pairs) + CRLF + defuse_bare_line_ends(body)
    theirs = email.message_from_bytes(content, policy=email.policy.compat32)
    ours = Message.parse(content)
    assert [(field.name, field.value) for field in ours.header_fields] == [
        (n, str(v).strip()) for n, v in theirs.items()
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"a" * 1_000_000,
        b"a" * 500_000 + b" " * 500_000,
        b"A: 1\r\n" * 60_000,
        b"A: 1\r\n" + b" \r\n" * 330_000,
        b"A" + b" " * 1_000_000 + b": 1\r\n",
        b"\r" * 1_000_000,
        b"\n\r" * 500_000,
        b":" * 1_000_000,
    ],
    ids=lambda content: repr(content[:6]),
)
def test_a_megabyte_is_cut_in_no_time(content: bytes) -> None:
    began = time.process_time()
    assert bytes(Message.parse(content)) == content
    assert is_canonical(with_crlf(defuse_bare_line_ends(content)))
    assert time.process_time() - began < 2

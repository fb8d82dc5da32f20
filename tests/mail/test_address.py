"""Addresses: what is read, what is refused and with which words, and that reading is quick and never surprises."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labkit.mail.address import LONGEST_ADDRESS, AddressSyntaxError, Mailbox, read_path

GIVEN = [
    ("<ann@st11.sne21.test>", "ann@st11.sne21.test", "", "the usual form"),
    ("ann@st11.sne21.test", "ann@st11.sne21.test", "", "Exim does not insist on brackets"),
    ("  <a@b>  ", "a@b", "", "blanks around it"),
    ("<a@b> SIZE=3 BODY=7BIT", "a@b", " SIZE=3 BODY=7BIT", "parameters are left for the caller"),
    ("a@b SIZE=3", "a@b", " SIZE=3", "without brackets a blank ends it"),
    ("<a@b>x", "a@b", "x", "what follows the bracket is the caller's to judge"),
    ("<@x.test:a@b>", "a@b", "", "RFC 5321 §4.1.1.3: a source route is dropped"),
    ("<@x.test,@y.test:a@b>", "a@b", "", "so is a longer one"),
    ("<postmaster>", "postmaster", "", "RFC 5321 §4.5.1: the one address without a domain"),
    ("<Ann@B.Test>", "Ann@B.Test", "", "case is kept"),
    ("<a..b@c>", "a..b@c", "", "empty atoms pass, as in Exim"),
    ("<.a.@c>", ".a.@c", "", "at the ends, too"),
    ("<a+b=c!d%e@f>", "a+b=c!d%e@f", "", "atext, RFC 5322 §3.2.3"),
    ('<"a b"@c>', '"a b"@c', "", "a quoted string"),
    ('<"a\\"b"@c>', '"a\\"b"@c', "", "with a quoted quote in it"),
    ('<"a>b@c"@d>', '"a>b@c"@d', "", "with anything in it"),
    ('<"ab"@c>', "ab@c", "", "quotes that are not needed go"),
    ('<"\\a\\b"@c>', "ab@c", "", "backslashes that are not needed go"),
    ('<""@c>', '""@c', "", "RFC 5321 §4.1.2: a quoted string may be empty"),
    ("<a@1.2.3>", "a@1.2.3", "", "digits may stand in a domain"),
    ("<a@xn--bcher-kva.test>", "a@xn--bcher-kva.test", "", "an A-label is a label"),
    ("<" + "a" * 252 + "@b>", "a" * 252 + "@b", "", "256 octets with the brackets, RFC 5321 §4.5.3.1.3"),
]

REFUSED = [
    ("<", "missing or malformed local part", "nothing at all"),
    ("<@>", "no local part", "only an at"),
    ("<@b>", "no local part", "as Exim says it"),
    ("<@x.test,@y.test a@b>", "no local part", "a route without its colon"),
    ("<@:a@b>", "no local part", "an empty route"),
    ("<a@>", "domain missing or malformed", "no domain"),
    ("<a@b..c>", "domain missing or malformed", "an empty label"),
    ("<a@.b>", "domain missing or malformed", "an empty first label"),
    ("<a@b.>", "domain missing or malformed", "an empty last label"),
    ("<a@-b>", "domain missing or malformed", "a label begins with a letter or digit"),
    ("<a@b->", "domain missing or malformed", "and ends with one (Exim lets this pass)"),
    ("<a@b_c.test>", "malformed address: _c.test> may not follow <a@b", "no underscore in a host name"),
    ("<a@[192.0.2.1]>", "domain literals not allowed", "Exim's default"),
    ("<a@[>", "domain literals not allowed", "even a broken one"),
    ("<a", '"@" or "." expected after "a"', "no domain, no end"),
    ("<a b@c>", '"@" or "." expected after "a"', "a blank"),
    ("<a,b@c>", '"@" or "." expected after "a"', "a comma"),
    ('<"a"b@c>', '"@" or "." expected after ""a""', "shown as it was written"),
    ('<"a@b>', "unmatched doublequote in local part", "a quote too few"),
    ("<a@b", "'>' missing at end of address", "no bracket at the end"),
    ("<a@b@c>", "malformed address: @c> may not follow <a@b", "two domains"),
    ("a@b>", "malformed address: > may not follow a@b", "a bracket too many"),
    ("<a@b,c@d>", "malformed address: ,c@d> may not follow <a@b", "two addresses"),
    ("<bücher@b>", "outside ASCII needs SMTPUTF8", "not offered"),
    ("<a@bücher.test>", "outside ASCII needs SMTPUTF8", "not offered"),
    ("<" + "a" * 253 + "@b>", "address is ridiculously long: " + "a" * 64 + "...", "257 octets"),
    ("<a@" + "b" * 256 + ">", "address is ridiculously long: a@" + "b" * 62 + "...", "RFC 5321 §4.5.3.1.2"),
    ("<a\x7f@b>", '"@" or "." expected after "a"', "a control character"),
    ('<"a\nb"@c>', "missing or malformed local part", "no line end gets in"),
    ("<a@b\r\nRCPT TO:<x@y>>", "malformed address: \r\nRCPT", "nor a second command"),
]


@pytest.mark.parametrize("operand, address, rest, because", GIVEN)
def test_a_path(operand: str, address: str, rest: str, because: str) -> None:
    mailbox, left = read_path(operand)
    assert (str(mailbox), left) == (address, rest), because


def test_the_null_path() -> None:
    assert read_path("<> BODY=7BIT") == (None, " BODY=7BIT")


@pytest.mark.parametrize("operand, words, because", REFUSED)
def test_no_path(operand: str, words: str, because: str) -> None:
    with pytest.raises(AddressSyntaxError) as caught:
        read_path(operand)
    assert words in str(caught.value), because


@pytest.mark.parametrize(
    "text, words, because",
    [
        ("", "missing or malformed local part", "nothing"),
        ("<>", "empty address", "the null path is no mailbox"),
        ("ann", "'ann' has no domain: write it like", "no domain"),
        ("a@b.test, c@d.test", "give a list", "two addresses"),
        ("a@b c", "is more than one address: c follows a@b", "something behind it"),
    ],
)
def test_parse_wants_one_full_address(text: str, words: str, because: str) -> None:
    with pytest.raises(AddressSyntaxError) as caught:
        Mailbox.parse(text)
    assert words in str(caught.value), because


@pytest.mark.parametrize(
    "one, other, same, because",
    [
        ("ann@b.test", "ann@B.TEST", True, "a domain compares without case, RFC 5321 §2.4"),
        ("ann@b.test", "Ann@b.test", False, "a local part is its owner's business"),
        ('"ann"@b.test', "ann@b.test", True, "quotes are only writing"),
    ],
)
def test_key(one: str, other: str, same: bool, because: str) -> None:
    assert (Mailbox.parse(one).key == Mailbox.parse(other).key) is same, because


anything = st.text() | st.text(st.sampled_from('<>@:,."\\ \tab-_[]%\r\n\0é1'), max_size=30)


@settings(deadline=None)
@given(anything)
@example("<@" + "a" * 100)
@example('"' + "\\" * 99)
def test_reading_never_fails_in_another_way(operand: str) -> None:
    try:
        mailbox, rest = read_path(operand)
    except AddressSyntaxError:
        return
    assert operand.strip(" \t").endswith(rest)
    if mailbox is not None:
        assert str(mailbox).isascii()
        assert str(mailbox).isprintable(), "nothing that could start a new line of SMTP or of a header"
        assert len(str(mailbox)) <= LONGEST_ADDRESS


printable = st.characters(min_codepoint=32, max_codepoint=126)
domains = st.from_regex(r"\A[a-zA-Z0-9]([a-z0-9-]{0,5}[a-z0-9])?(\.[a-z0-9]{1,5}){0,2}\Z")
mailboxes = st.builds(Mailbox, st.text(printable, max_size=30), domains)


@settings(deadline=None)
@given(mailboxes)
def test_what_is_written_reads_back(mailbox: Mailbox) -> None:
    assert Mailbox.parse(str(mailbox)) == mailbox
    assert read_path(f"<{mailbox}> SIZE=1") == (mailbox, " SIZE=1")


@pytest.mark.parametrize(
    "operand",
    [
        " " * 1_000_000,
        "<" * 1_000_000,
        '"' * 1_000_000,
        '"' + "a" * 1_000_000,
        '<"' + "\\a" * 500_000,
        "@a," * 300_000,
        "<@" + "a.-" * 300_000,
        "<" + "a." * 500_000 + "@b>",
        "<a@" + "b." * 500_000,
        "<a@b" + "-" * 1_000_000,
        "<a@b>" + " " * 1_000_000,
        "a" * 1_000_000,
    ],
    ids=lambda operand: operand[:6],
)
def test_a_megabyte_is_read_in_no_time(operand: str) -> None:
    began = time.process_time()
    with contextlib.suppress(AddressSyntaxError):
        read_path(operand)
    assert time.process_time() - began < 1

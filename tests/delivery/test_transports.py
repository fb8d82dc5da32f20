"""Transports: what is appended where, what is said to other hosts, and what is refused when the file is read."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.delivery.transports import (
    AppendPlan,
    PipePlan,
    Plan,
    SmtpPlan,
    Trouble,
    check_transport,
    planning,
)
from labkit.eximconf.configuration import Driver, read
from labkit.eximconf.expansion import Env
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_from
from labkit.mail.message import Message, is_canonical

NOON = datetime(2026, 11, 22, 23, 6, 37, tzinfo=timezone.utc)
ANN, BOB, EVE = (Mailbox(name, "st11.test") for name in ("ann", "bob", "eve"))
MESSAGE = Message.parse(b"Subject: x\r\n\r\nhi\r\n")
VALUES = {
    "local_part_data": "bob",
    "home": "/home/bob",
    "domain": "st11.test",
    "primary_hostname": "mx2.st11.test",
}


def transport(options: str) -> Driver:
    return read(f"begin transports\nt:\n {options}\n").transports["t"]


def plan(
    chosen: Driver, message: Message, sender: Mailbox | None, recipients: tuple[Mailbox, ...], path: str = ""
) -> Plan:
    env = Env(dict(VALUES))
    return answer_from({}, planning(chosen, message, sender, recipients, env, NOON, path))


def append(options: str, *recipients: Mailbox, sender: Mailbox | None = ANN) -> AppendPlan:
    made = plan(transport("driver = appendfile\n " + options), MESSAGE, sender, recipients or (BOB,))
    assert isinstance(made, AppendPlan)
    return made


@pytest.mark.parametrize(
    "options, path, is_maildir, mode, because",
    [
        ("file = /var/mail/$local_part_data", "/var/mail/bob", False, 0o600, "mbox"),
        ("file = /var/mail/$local_part_data\n mode = 0660", "/var/mail/bob", False, 0o660, "with a mode"),
        ("directory = $home/Maildir\n maildir_format", "/home/bob/Maildir", True, 0o600, "Maildir"),
        ("directory = ${home}/Maildir\n maildir_format", "/home/bob/Maildir", True, 0o600, "in braces"),
    ],
)
def test_where(options: str, path: str, is_maildir: bool, mode: int, because: str) -> None:
    check_transport(transport("driver = appendfile\n " + options))
    made = append(options)
    assert (made.path, made.is_maildir, made.mode) == (path, is_maildir, mode), because
    assert made.content == bytes(MESSAGE), "nothing is added unasked"
    assert made.sender == "ann@st11.test"


ADDED = "file = /x\n return_path_add\n envelope_to_add\n delivery_date_add"


def test_fields_added_at_final_delivery() -> None:
    assert append(ADDED).content == (
        b"Return-path: <ann@st11.test>\r\n"  # RFC 5321 §4.4
        b"Envelope-to: bob@st11.test\r\n"
        b"Delivery-date: Sun, 22 Nov 2026 23:06:37 +0000\r\n"
        b"Subject: x\r\n\r\nhi\r\n"
    )


@pytest.mark.parametrize(
    "sender, recipients, line, because",
    [
        (None, (BOB,), b"Return-path: <>\r\n", "a report"),
        (Mailbox("a b", "c.test"), (BOB,), b'Return-path: <"a b"@c.test>\r\n', "a sender in quotes"),
        (ANN, (BOB, EVE), b"Envelope-to: bob@st11.test,\r\n eve@st11.test\r\n", "folded as Exim folds it"),
        (ANN, (Mailbox("Bob", "ST11.test"),), b"Envelope-to: Bob@ST11.test\r\n", "as the envelope had it"),
    ],
)
def test_envelope_in_the_header(
    sender: Mailbox | None, recipients: tuple[Mailbox, ...], line: bytes, because: str
) -> None:
    assert line in append(ADDED, *recipients, sender=sender).content, because


def test_a_message_without_header_keeps_its_body() -> None:
    made = plan(
        transport(f"driver = appendfile\n {ADDED}"),
        Message.parse(b"just text\r\n"),
        ANN,
        (BOB,),
    )
    assert isinstance(made, AppendPlan)
    assert made.content.endswith(b"+0000\r\n\r\njust text\r\n")


@pytest.mark.parametrize(
    "options, helo_name, port, because",
    [
        ("", "mx2.st11.test", 25, "Exim's defaults"),
        ("helo_data = relay.$domain", "relay.st11.test", 25, "another name"),
        ("port = 2525", "mx2.st11.test", 2525, "another port"),
        ("port = submission", "mx2.st11.test", 587, "by name"),
    ],
)
def test_to_another_host(options: str, helo_name: str, port: int, because: str) -> None:
    chosen = transport("driver = smtp\n " + options)
    check_transport(chosen)
    assert plan(chosen, MESSAGE, ANN, (BOB,)) == SmtpPlan(helo_name, port), because


@pytest.mark.parametrize(
    "options, problem, because",
    [
        ("file = /a\n directory = /b\n maildir_format", "has both file and directory", "two places"),
        ("file = /b\n maildir_format", "directory goes with maildir_format", "which format?"),
    ],
)
def test_what_is_refused(options: str, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_transport(transport("driver = appendfile\n " + options))
    assert problem in caught.value.problem, because
    assert caught.value.remedy
    assert caught.value.place.line in (2, 4), "the transport, or the very option"


@pytest.mark.parametrize(
    "options, words, because",
    [
        ("", "Mandatory file or directory option missing from t transport", "nowhere"),
        ("file = /m/$local_part", "Tainted '/m/eve' (file or directory name for t", "a stranger's choice"),
        ("file = /m/${lc:$sender_address}", "Tainted '/m/x@y' (file", "however it is dressed up"),
        ("directory = /m/$domain/x\n maildir_format", "Tainted '/m/st11.test/x'", "a stranger's choice"),
        ("file = mail/bob", 'name "mail/bob" is not absolute', "relative to what?"),
        ("file = ~/mbox", "is not absolute", "no shell reads this"),
        ("file = /m/${nosuch:x}", 'Expansion of "/m/${nosuch:x}" (file or directory name', "a mistake"),
    ],
)
def test_what_cannot_be_delivered(options: str, words: str, because: str) -> None:
    chosen = transport("driver = appendfile\n " + options)
    env = Env({**VALUES, "local_part": "eve", "sender_address": "X@Y"})
    made = answer_from({}, planning(chosen, MESSAGE, ANN, (BOB,), env, NOON))
    assert isinstance(made, Trouble), because
    assert words in made.words, because


def test_a_file_that_a_redirection_names() -> None:
    made = plan(transport("driver = appendfile"), MESSAGE, ANN, (BOB,), "/var/spool/list")
    assert isinstance(made, AppendPlan) and made.path == "/var/spool/list"


def test_a_program_is_planned_and_not_run() -> None:
    """Whether this host permits programs is known only where they are run."""
    made = plan(transport("driver = pipe\n command = /bin/true $local_part_data"), MESSAGE, ANN, (BOB,))
    assert isinstance(made, PipePlan) and made.words == ("/bin/true", "bob")


addresses = st.builds(Mailbox, st.text(st.characters(min_codepoint=32, max_codepoint=126)), st.just("b.test"))


@settings(deadline=None)
@given(st.lists(addresses, min_size=1, max_size=5), st.none() | addresses)
def test_no_address_breaks_the_header(recipients: list[Mailbox], sender: Mailbox | None) -> None:
    made = Message.parse(append(ADDED, *recipients, sender=sender).content)
    assert [field.name for field in made.header_fields] == [
        "Return-path",
        "Envelope-to",
        "Delivery-date",
        "Subject",
    ]
    assert made.first("Envelope-to") == ", ".join(map(str, recipients))
    assert made.body == MESSAGE.body
    assert is_canonical(bytes(made))

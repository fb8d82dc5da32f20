"""What all transports share: fields taken out and put in, another reverse-path, a limit of size."""

from __future__ import annotations

import pytest

from labkit.delivery.generic import Trouble
from labkit.delivery.transports import Prepared, preparing
from labkit.eximconf.configuration import Driver, read
from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_from
from labkit.mail.message import HeaderField, Message

ANN = Mailbox("ann", "a.test")
MESSAGE = Message.parse(b"X-One: 1\r\nX-Two: 2\r\n more\r\nSubject: x\r\nx-one: 3\r\n\r\nhi\r\n")
VALUES = {"local_part": "bob", "sender_address": "ann@a.test", "message_size": "2000"}


def transport(options: str) -> Driver:
    return read(f"begin transports\nt:\n driver = appendfile\n file = /x\n{options}\n").transports["t"]


def prepared(options: str, *added: str) -> Prepared | Trouble:
    fields = [HeaderField.make(*text.split(": ")) for text in added]
    return answer_from({}, preparing(transport(options), MESSAGE, fields, ANN, Env(dict(VALUES))))


def names(options: str, *added: str) -> list[str]:
    made = prepared(options, *added)
    assert isinstance(made, Prepared)
    return [f"{field.name}={field.value}" for field in made.message.header_fields]


@pytest.mark.parametrize(
    "options, left, because",
    [
        (" headers_remove = x-ONE", "X-Two=2 more,Subject=x", "all of that name, whatever the case"),
        (" headers_remove = X-*", "Subject=x", "a star stands for the rest"),
        (" headers_remove = X", "X-One=1,X-Two=2 more,Subject=x,x-one=3", "the whole name"),
        (" headers_remove = X-One : subject", "X-Two=2 more", "a list"),
        (" headers_remove = X-One\n headers_remove = subject", "X-Two=2 more", "said twice"),
        (" headers_remove = ${if eq{1}{1}{}fail} : Subject", "X-One=1,X-Two=2 more,x-one=3", "empty"),
        (" headers_remove = ${if eq{1}{2}{x}fail}", "X-One=1,X-Two=2 more,Subject=x,x-one=3", "forced"),
    ],
)
def test_what_is_taken_out(options: str, left: str, because: str) -> None:
    assert ",".join(names(options)) == left, because


def test_what_is_put_in() -> None:
    """Those of routers come first, and a transport does not take them out."""
    options = (
        ' headers_remove = X-*\n headers_add = "A: $local_part\\nB: 2"\n headers_add = ${if eq{1}{2}{C: 3}}'
    )
    assert names(options, "X-Router: r") == ["Subject=x", "X-Router=r", "A=bob", "B=2"]
    assert names(" headers_add = no field at all") == names("")


def test_headers_that_cannot_be_expanded() -> None:
    made = prepared(" headers_add = A: ${nothing")
    assert isinstance(made, Trouble) and made.errno == -25 and "headers_add or headers_remove" in made.words


@pytest.mark.parametrize(
    "option, expected, because",
    [
        ("", ANN, "as it was"),
        (" return_path = b-${local_part}@c.test", Mailbox("b-bob", "c.test"), "another one"),
        (" return_path =", None, "the null one"),
        (" return_path = ${if eq{1}{2}{x@y}fail}", ANN, "forced: as it was"),
    ],
)
def test_reverse_path(option: str, expected: Mailbox | None, because: str) -> None:
    made = prepared(option)
    assert isinstance(made, Prepared) and made.reverse_path == expected, because


@pytest.mark.parametrize(
    "option, words, fails, because",
    [
        (" message_size_limit = 1999", "message is too big (transport limit = 1999)", True, "one octet"),
        (" message_size_limit = 1K", "message is too big (transport limit = 1024)", True, "with a unit"),
        (" message_size_limit = many", "invalid message_size_limit in t transport", False, "no number"),
        (" message_size_limit = ${x", "failed to expand message_size_limit in t transport", False, "no text"),
        (" return_path = ${x", 'Failed to expand return path "${x" in t transport', False, "no path"),
        (" home_directory = there", 'home directory path "there" is not absolute', False, "no place"),
    ],
)
def test_trouble(option: str, words: str, fails: bool, because: str) -> None:
    made = prepared(option)
    assert isinstance(made, Trouble), because
    assert made.words.startswith(words) and made.fails == fails, because


@pytest.mark.parametrize(
    "option", [" message_size_limit = 2000", " message_size_limit = 0", " home_directory = /h"]
)
def test_no_trouble(option: str) -> None:
    assert isinstance(prepared(option), Prepared)

"""Programs: their words, who may run, what their end means."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from labkit.delivery.command import words_of
from labkit.delivery.pipe import Ended, PipePlan, verdict
from labkit.delivery.transports import Trouble, check_transport, planning
from labkit.eximconf.configuration import Driver, read
from labkit.eximconf.expansion import Env
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_from
from labkit.mail.message import Message

NOON = datetime(2026, 11, 22, 12, 0, 5, tzinfo=timezone.utc)
ANN = Mailbox("ann", "a.test")
MESSAGE = Message.parse(b"Subject: x\r\n\r\nhi\r\nFrom me\r\n")
VALUES = {"local_part": "bob", "domain": "b.test", "home": "/home/bob", "sender_address": "ann@a.test"}


def transport(options: str) -> Driver:
    return read(f"begin transports\nt:\n driver = pipe\n{options}\n").transports["t"]


def plan(options: str, target: str = "") -> PipePlan | Trouble:
    recipients = (Mailbox("bob", "b.test"),)
    asking = planning(transport(options), MESSAGE, ANN, recipients, Env(dict(VALUES)), NOON, target)
    made = answer_from({}, asking)
    assert isinstance(made, (PipePlan, Trouble))
    return made


@pytest.mark.parametrize(
    "command, words, because",
    [
        ("/bin/x  a\tb ", ["/bin/x", "a", "b"], "blanks part words"),
        ("x 'a \"b\\' \"c 'd\"", ["x", 'a "b\\', "c 'd"], "two kinds of quotes"),
        (r'x "a\"b\\c\n\101\x42"', ["x", 'a"b\\c\nAB'], "a backslash in double quotes"),
        (r"x a\ b", ["x", "a\\", "b"], "outside it is nothing special"),
        ("x 'open", ["x", "open"], "an end that is missing"),
        ("", [], "nothing"),
    ],
)
def test_words(command: str, words: list[str], because: str) -> None:
    assert words_of(command) == words, because


def test_what_the_program_gets() -> None:
    made = plan(
        " command = /bin/x ${uc:a} '$home' $pipe_addresses\n environment = A=1 : B=$home\n path = /opt"
    )
    assert isinstance(made, PipePlan)
    assert made.words == ("/bin/x", "A", "/home/bob", "bob@b.test") and made.path == ("/opt",)
    known = dict(made.environment)
    assert known["A"] == "1" and known["B"] == "/home/bob" and known["RECIPIENT"] == "bob@b.test"
    assert made.octets == b"From ann@a.test Sun Nov 22 12:00:05 2026\nSubject: x\n\nhi\nFrom me\n\n"
    assert made.directory == "/home/bob"


@pytest.mark.parametrize(
    "options, target, words, because",
    [
        (
            " command = /bin/x $local_part",
            "",
            "Tainted arg 1 for t transport command: 'bob'",
            "a stranger's word",
        ),
        (
            " command = /bin/x\n allow_commands = /bin/y",
            "",
            '"/bin/x" command not permitted by t transport',
            "list",
        ),
        (" restrict_to_path", "|/bin/x", '"/" found in "/bin/x" (command for t transport) - failed', "path"),
        ("", "", "no command specified for t transport", "nothing to run"),
        ("", "| ", "no command specified for t transport", "an alias that says nothing"),
        (" command = /bin/x ${nothing", "", 'Expansion of "${nothing" from command', "cannot be expanded"),
    ],
)
def test_what_is_not_run(options: str, target: str, words: str, because: str) -> None:
    made = plan(options, target)
    assert isinstance(made, Trouble) and made.words.startswith(words), because


def test_an_alias_is_not_expanded() -> None:
    made = plan("", "|/bin/x $home '$local_part'")
    assert isinstance(made, PipePlan) and made.words == ("/bin/x", "$home", "$local_part")
    made = plan(" command = /bin/y -- $address_pipe\n force_command", "|/bin/x $home")
    assert isinstance(made, PipePlan) and made.words == ("/bin/y", "--", "/bin/x", "$home")


@pytest.mark.parametrize(
    "options, ended, fails, words, because",
    [
        ("", Ended(0), None, "", "well"),
        ("", Ended(1), True, "Child process of t transport returned 1 from command: /bin/x", "a failure"),
        (
            "",
            Ended(75),
            False,
            "Child process of t transport returned 75 (could mean temporary error)",
            "later",
        ),
        (" temp_errors = *", Ended(1), False, "Child process of t transport returned 1", "all are for later"),
        (
            " temp_errors = 1 : 2",
            Ended(75),
            True,
            "Child process of t transport returned 75",
            "not in the list",
        ),
        (
            "",
            Ended(137),
            True,
            "Child process of t transport returned 137 (could mean shell command ended",
            "shell",
        ),
        (
            "",
            Ended(-9),
            True,
            'Child process of t transport (running command "/bin/x a") was terminated',
            "killed",
        ),
        (" freeze_signal", Ended(-9), False, "Child process of t transport (running", "killed, and frozen"),
        (" ignore_status", Ended(3), None, "", "nobody cares"),
        ("", Ended(None), True, "pipe delivery process timed out", "too slow"),
        (" timeout_defer", Ended(None), False, "pipe delivery process timed out", "too slow, and for later"),
        (" freeze_exec_fail", Ended(127), False, 'pipe process failed to exec "/bin/x a"', "not there"),
        (
            "",
            Ended(127),
            True,
            "Child process of t transport returned 127 (could mean unable to exec or",
            "not there",
        ),
    ],
)
def test_how_it_ends(options: str, ended: Ended, fails: bool | None, words: str, because: str) -> None:
    made = plan(f" command = /bin/x a\n{options}")
    assert isinstance(made, PipePlan)
    trouble = verdict(made, ended)
    assert (None if trouble is None else trouble.fails) is fails, because
    assert trouble is None or (trouble.words.startswith(words) and trouble.told == "local delivery failed"), (
        because
    )


@pytest.mark.parametrize(
    "options",
    [
        " temp_errors = some",
        " return_output\n return_fail_output",
        " use_shell\n restrict_to_path",
        " use_shell\n allow_commands = /bin/x",
    ],
)
def test_what_cannot_be_together(options: str) -> None:
    with pytest.raises(ConfigurationError, match="the transport t"):
        check_transport(transport(options))

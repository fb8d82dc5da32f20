"""Access control lists: which statement decides, with which words (all of it seen on Exim, see tests/oracles)."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.eximconf.expansion import compile_text
from labkit.eximconf.place import Place
from labkit.mail.asking import answer_by
from labkit.mail.lookups import FileText, Unopened
from labkit.smtp.acl import Phase, Result

NO = "550 Administrative prohibition"
LATER = "451 Temporary local problem - please try later"
YES = "accepted"


@pytest.mark.parametrize(
    "acl, recipient, answer, because",
    [
        # verbs
        ("accept", "bob", YES, "no condition: everybody"),
        ("", "bob", NO, "an empty list denies"),
        ("warn", "bob", NO, "the end of a list denies"),
        ("deny", "bob", NO, "without a message"),
        ("drop", "bob", NO, "without a message"),
        ("defer", "bob", LATER, "without a message"),
        ("discard", "bob", YES, "the client hears nothing of it"),
        ("accept domains = other.test", "bob", NO, "passed over, then the end"),
        ("deny domains = other.test\naccept", "bob", YES, "passed over"),
        ("drop domains = other.test\naccept", "bob", YES, "passed over"),
        ("defer domains = other.test\naccept", "bob", YES, "passed over"),
        ("discard domains = other.test\naccept message = kept", "bob", "250 kept", "passed over"),
        ("require domains = here.test\naccept", "bob", YES, "it holds, and the next is asked"),
        ("require domains = other.test\naccept", "bob", NO, "it does not hold"),
        ("warn domains = here.test\naccept", "bob", YES, "warn decides nothing"),
        ("accept domains = here.test\n local_parts = eve\ndeny", "bob", NO, "all conditions must hold"),
        ("accept ! domains = other.test", "bob", YES, "negated"),
        # endpass
        (
            "accept domains = +ours\n endpass\n local_parts = eve\naccept",
            "bob",
            NO,
            "A6: false behind it: stop",
        ),
        (
            "accept domains = x.test\n endpass\n local_parts = eve\naccept",
            "bob",
            YES,
            "false before it: go on",
        ),
        (
            "accept message = m\n endpass\n local_parts = eve\naccept",
            "bob",
            "550 m",
            "A6: the message before it",
        ),
        ("accept message = m\n endpass\n local_parts = bob", "bob", YES, "and not when it accepts"),
        ("discard endpass\n local_parts = eve\naccept", "bob", NO, "for discard, too"),
        # messages
        ("deny message = go away", "bob", "550 go away", "in Exim's order"),
        ("deny domains = here.test\n message = go away", "bob", "550 go away", "A2: or at the end"),
        ("require message = no relay\n domains = x", "bob", "550 no relay", "A2: before what fails"),
        ("require domains = x\n message = no relay", "bob", NO, "A2: behind what fails it is not met"),
        ("deny message = one\n message = two", "bob", "550 two", "A3: the last one met"),
        ("accept message = hello\n domains = x", "bob", "550 hello", "A4: at the end of the list"),
        ("accept domains = x\n message = hello", "bob", NO, "A4: if it was met"),
        ("accept message = hello\n domains = x\ndeny", "bob", NO, "A4: and if nothing else decides"),
        ("deny message = hello\n domains = x", "bob", NO, "A4: deny's message is not"),
        ("accept message = welcome", "bob", "250 welcome", "A5: an acceptance in words"),
        ("accept message = 251 will forward", "bob", "251 will forward", "with another code of its kind"),
        ("discard message = thrown away", "bob", "250 thrown away", "of discard, too"),
        ("deny message = 451 4.7.1 later", "bob", "550 later", "A7: deny is permanent"),
        ("defer message = 550 no", "bob", "451 no", "A7: defer is not"),
        ("deny message = 250 ok", "bob", "550 ok", "A7: nor an acceptance"),
        ("deny message = 550 5.7.1 no", "bob", "550 5.7.1 no", "A7: an extended code"),
        ("deny message = 999 what", "bob", "550 what", "no code of SMTP"),
        ('deny message = "quoted"', "bob", '550 "quoted"', "A8: quotes are kept"),
        (r"deny message = one\ntwo", "bob", "550-one|550 two", "A9: two lines"),
        (r"deny message = 550 5.7.1 one\ntwo", "bob", "550-5.7.1 one|550 5.7.1 two", "A9: the code on each"),
        (r"deny message = one\n\n  two\n", "bob", "550-one|550 two", "blank lines go"),
        (r"deny message = a\rb", "bob", "550 a b", "no CR goes out inside a line"),
        ("deny message =", "bob", NO, "A10: an empty one is none"),
        ("deny message = ${if eq{a}{b}{x}fail}", "bob", NO, "A10: a forced failure"),
        ("deny message = ${nosuch}", "bob", NO, "A10: a mistake"),
        (r"deny message = five \$", "bob", "550 five $", "a dollar sign"),
        ("deny message = $local_part is not at $domain", "BOB", "550 bob is not at here.test", "expanded"),
        ("deny\n message = verb alone on its line", "bob", "550 verb alone on its line", "A28"),
        # a verification that cannot be made now
        ("accept verify = recipient", "later", LATER, "A23: the reason is nobody's business"),
        ("require message = no\n verify = recipient\naccept", "later", LATER, "whatever the message"),
        ("deny verify = recipient\naccept", "later", LATER, "it does not just pass over"),
        ("deny ! verify = recipient\naccept", "later", LATER, "negated, too"),
        ("warn verify = recipient\naccept", "later", YES, "but warn goes on"),
        ("warn ! verify = recipient", "later", NO, "and forgets it"),
        ("warn ! verify = recipient", "gone", NO, "what warn found out is forgotten"),
        ("deny ! verify = recipient\n domains = x\nwarn", "gone", NO, "words go with the next statement"),
        ("deny ! verify = recipient\n domains = x", "gone", "550 Unrouteable address", "not before"),
    ],
)
def test_answers(stage: Any, acl: str, recipient: str, answer: str, because: str) -> None:
    assert stage.said(acl, recipient=f"{recipient}@here.test") == answer, because


@pytest.mark.parametrize(
    "acl, result, closes",
    [
        ("accept", Result.ACCEPT, False),
        ("deny", Result.DENY, False),
        ("defer", Result.DEFER, False),
        ("drop", Result.DROP, True),
        ("discard", Result.DISCARD, False),
        ("require domains = x", Result.DENY, False),
        ("deny control = nosuch", Result.DEFER, False),
        ("deny domains = ^(", Result.DROP, True),  # Exim's process dies of it
    ],
)
def test_results(stage: Any, acl: str, result: Result, closes: bool) -> None:
    verdict = stage.run(acl)
    assert (verdict.result, verdict.closes) == (result, closes)
    assert verdict.is_accepted == (result in (Result.ACCEPT, Result.DISCARD))
    assert (verdict.refusal is None) == verdict.is_accepted


def test_what_kills_exim_is_421(stage: Any) -> None:
    assert stage.said("deny domains = ^(") == "421 Unexpected failure, please try later"
    assert "regular expression error" in stage.logged[0]


def test_a_long_message_becomes_lines(stage: Any) -> None:
    long = "rejected because 203.0.113.66 is in a black list at bl.test: see https://bl.test/why for more"
    assert stage.said(f"deny message = 550 5.7.1 {long}").split("|") == [
        "550-5.7.1 rejected because 203.0.113.66 is in a black list at bl.test:",
        "550 5.7.1 see https://bl.test/why for more",
    ]


@pytest.mark.parametrize(
    "acl, text, log, because",
    [
        ("deny message = m", "550 m", "m", "a message is logged, too"),
        ("deny message = m\n log_message = l", "550 m", "l", "unless there is another text for the log"),
        ("deny log_message = l", NO, "l", "which the client does not hear"),
        (r"deny message = one\ntwo", "550-one|550 two", "one", "A9: the first line"),
        ("deny message = 451 4.7.1 later", "550 later", "550 later", "with the code that was sent"),
        ("deny message = 550 5.7.1 no", "550 5.7.1 no", "550 5.7.1 no", "or as it was written"),
        ("deny !verify = recipient", "550 Unrouteable address", "Unrouteable address", "what was found"),
        (
            "deny !verify = recipient\n log_message = l",
            "550 Unrouteable address",
            "l: Unrouteable address",
            "log_message goes before it",
        ),
        ("deny message = m\n log_message =", "550 m", "m", "an empty one is none"),
        ("deny log_message = ${if eq{a}{b}{x}fail}", NO, "", "nor one that is a forced failure"),
        ("deny", NO, "", "nothing to say"),
    ],
)
def test_log_text(stage: Any, acl: str, text: str, log: str, because: str) -> None:
    verdict = stage.run(acl, recipient="gone@here.test")
    assert "|".join(bytes(verdict.reply).decode().splitlines()) == text, because
    assert verdict.log_text == log, because


def test_a_message_that_cannot_be_expanded_is_logged(stage: Any) -> None:
    stage.run("deny message = ${nosuch}")
    assert stage.logged == ['failed to expand ACL message "${nosuch}": unknown variable in "${nosuch}"']
    stage.run("deny message = ${if eq{a}{b}{x}fail}")
    assert stage.logged == []


@pytest.mark.parametrize(
    "phase, acl, answer, because",
    [
        (Phase.CONNECT, "accept message = hello", "220 hello", "the banner"),
        (Phase.CONNECT, "deny", NO, ""),
        (Phase.HELO, "accept message = hi\\nthere", "250 hi", "one line only"),
        (Phase.MAIL, "accept message = 250 2.1.0 ok", "250 2.1.0 ok", ""),
        (Phase.PREDATA, "accept message = go on", "354 go on", ""),
        (Phase.PREDATA, "discard", LATER, "in the middle of a command"),
        (Phase.DATA, "discard", YES, "the message goes"),
        (Phase.DATA, "accept message = taken", "250 taken", ""),
        (Phase.VRFY, "deny", "252 Administrative prohibition", ""),
        (Phase.VRFY, "deny message = 550 no", "550 no", "any code"),
        (Phase.EXPN, "deny", NO, ""),
        (Phase.ETRN, "deny", "458 Administrative prohibition", ""),
        (Phase.AUTH, "deny", "503 Administrative prohibition", ""),
        (Phase.AUTH, "accept message = x", YES, "Exim has no use for it"),
        (Phase.STARTTLS, "discard", LATER, "nothing is there to be thrown away"),
        (Phase.QUIT, "accept message = 250 bye", "221 250 bye", "always 221"),
        (Phase.QUIT, "deny message = bye", "221 bye", "it has no say, but words"),
        (Phase.NOT_SMTP, "deny message = no", "550 no", ""),
    ],
)
def test_phases(stage: Any, phase: Phase, acl: str, answer: str, because: str) -> None:
    assert stage.said(acl, phase=phase) == answer, because


def test_quit_may_not_refuse(stage: Any) -> None:
    stage.run("drop message = x", phase=Phase.QUIT)
    assert stage.logged == [
        "ACL for QUIT returned ERROR: QUIT or not-QUIT toplevel ACL may not fail ('drop' verb used incorrectly)"
    ]
    stage.run("accept condition = no", phase=Phase.QUIT)
    assert stage.logged == [], "the end of the list says nothing"


def test_warn(stage: Any) -> None:
    """A line for the log, once for each message; the message of warn is a header field."""
    acl = "warn log_message = careful\nwarn log_message = careful\nwarn message = X-A: b\naccept"
    assert stage.said(acl) == YES
    assert stage.logged == ["H=(client.test) [203.0.113.9] Warning: careful"]
    assert [field.text for field in stage.scene.effects.added] == ["X-A: b"]
    stage.run(acl)
    assert stage.logged == []
    stage.scene.begin_message()
    stage.run(acl)
    assert len(stage.logged) == 1
    stage.run("warn condition = maybe\n log_message = x\naccept")
    assert stage.logged == [
        'H=(client.test) [203.0.113.9] Warning: ACL "warn" statement skipped: condition test deferred: '
        'invalid "condition" value "maybe"'
    ]
    stage.run("warn message = X: y\naccept", phase=Phase.HELO)
    assert "cannot specify header lines here" in stage.logged[0]


@pytest.mark.parametrize("which", [None, "nosuch", "deny message = inline", "/missing"])
def test_which_acl(stage: Any, which: str | None) -> None:
    """A21: what names no ACL is taken for the text of one."""

    stage.answers[FileText("/missing")] = Unopened("No such file or directory")
    acls = stage.acls("accept")
    verdict = answer_by(stage.answer, acls.run(which, stage.scene))
    expected = {None: NO, "deny message = inline": "550 inline"}.get(which, LATER)
    assert str(verdict.reply) == expected
    if which == "nosuch":
        assert verdict.log_text == 'unknown ACL verb "nosuch" in "nosuch"'


def test_an_option_is_expanded(stage: Any) -> None:

    place = Place("exim.conf", 1)
    acls = stage.acls("deny message = named")

    def answer(text: str) -> str:
        verdict = answer_by(stage.answer, acls.run(compile_text(text, place), stage.scene))
        return YES if verdict.is_accepted else str(verdict.reply)

    assert answer("x") == "550 named"
    assert answer("${if eq{$sender_helo_name}{client.test}{x}{y}}") == "550 named"
    assert answer("${if eq{a}{b}{x}fail}") == YES, "a forced failure: no ACL"
    assert answer("${nosuch}") == LATER
    assert answer("$sender_helo_name") == LATER, "a stranger names no ACL"
    assert "tainted" in stage.logged[0]

"""Access control lists: which statement decides, with which words (all of it seen on Exim, see tests/oracles)."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.eximconf.configuration import read
from labkit.eximconf.lists import Here
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_from
from labkit.mail.questions import Verification, VerifyRecipient
from labkit.mail.reply import Reply
from labkit.smtp.acl import AclVerdict, Subject, compile_acl

HERE = Here("mx2.st11.test", ("203.0.113.11",))
GOOD = Verification(None, ("ours: an account",))
ANSWERS: dict[Any, Any] = {
    VerifyRecipient(Mailbox("bob", "st11.test")): GOOD,
    VerifyRecipient(Mailbox("gone", "st11.test")): Verification(Reply(550, ("Unrouteable address",))),
    VerifyRecipient(Mailbox("moved", "st11.test")): Verification(
        Reply(550, ("550 5.1.6 moved", " see below"))
    ),
    VerifyRecipient(Mailbox("later", "st11.test")): Verification(
        Reply(451, ("host lookup did not complete",))
    ),
}


def decided(acl: str, recipient: str = "bob@st11.test", client: str = "203.0.113.9") -> AclVerdict:
    text = f"domainlist ours = st11.test\nhostlist near = 203.0.113.77\nbegin acl\nx:\n{acl}\n"
    subject = Subject(client, "client.test", Mailbox("ann", "a.test"), Mailbox.parse(recipient))
    return answer_from(ANSWERS, compile_acl(read(text), "x").decide(subject, HERE))


def said(verdict: AclVerdict) -> str:
    answer = verdict.refusal or verdict.acceptance
    return "accepted" if answer is None else str(answer)


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
        ("defer", "bob", LATER, "without a message"),
        ("accept domains = other.test", "bob", NO, "passed over, then the end"),
        ("deny domains = other.test\naccept", "bob", YES, "passed over"),
        ("defer domains = other.test\naccept", "bob", YES, "passed over"),
        ("require domains = st11.test\naccept", "bob", YES, "it holds, and the next is asked"),
        ("require domains = other.test\naccept", "bob", NO, "it does not hold"),
        ("warn domains = st11.test\naccept", "bob", YES, "warn decides nothing"),
        ("accept domains = st11.test\n local_parts = eve\ndeny", "bob", NO, "all conditions must hold"),
        ("accept ! domains = other.test", "bob", YES, "negated"),
        ("accept hosts = 203.0.113.9", "bob", YES, "the client's address"),
        ("accept hosts = +near", "bob", NO, "another client"),
        ("accept domains = +ours", "bob", YES, "a named list"),
        ("accept local_parts = BOB", "bob", YES, "without case"),
        ("accept hosts =", "bob", NO, "an empty list matches nobody"),
        ("accept hosts = :", "bob", NO, "an empty item matches no client from outside"),
        # verify
        ("accept verify = recipient", "bob", YES, "it is deliverable"),
        (
            "accept verify = recipient",
            "gone",
            "550 Unrouteable address",
            "the words of the verification, at the end",
        ),
        ("require verify = recipient\naccept", "gone", "550 Unrouteable address", "its words"),
        ("deny ! verify = recipient\naccept", "gone", "550 Unrouteable address", "its words, negated"),
        ("deny ! verify = recipient\naccept", "bob", YES, "it is deliverable"),
        (
            "deny message = no such user\n ! verify = recipient",
            "gone",
            "550 no such user",
            "a message goes before",
        ),
        ("defer ! verify = recipient\naccept", "gone", "451 Unrouteable address", "put off, with its words"),
        ("warn ! verify = recipient", "gone", NO, "what warn found out is forgotten"),
        (
            "deny ! verify = recipient\n domains = other.test",
            "gone",
            "550 Unrouteable address",
            "words found before",
        ),
        (
            "deny ! verify = recipient\n domains = other.test\nwarn",
            "gone",
            NO,
            "forgotten with the next statement",
        ),
        ("deny verify = recipient\naccept", "gone", YES, "not deliverable: does not apply"),
        (
            "require verify = recipient",
            "moved",
            "550 5.1.6 moved 5.1.6 see below",
            "a code in its words is read",
        ),
        # a verification that cannot be made now
        ("accept verify = recipient", "later", LATER, "the reason is nobody's business"),
        ("require verify = recipient\naccept", "later", LATER, "for every verb"),
        ("require message = no\n verify = recipient\naccept", "later", LATER, "whatever the message"),
        ("deny ! verify = recipient\naccept", "later", LATER, "negated, too"),
        ("deny verify = recipient\naccept", "later", LATER, "it does not just pass over"),
        ("defer message = no\n verify = recipient\naccept", "later", LATER, "for defer, too"),
        ("warn verify = recipient\naccept", "later", YES, "but warn goes on"),
        ("warn ! verify = recipient", "later", NO, "and forgets it"),
        ("deny domains = other.test\n verify = recipient\naccept", "later", YES, "it was never asked for"),
        # messages
        ("deny message = go away", "bob", "550 go away", "in Exim's order"),
        (
            "deny domains = st11.test\n message = go away",
            "bob",
            "550 go away",
            "or at the end: a deny that applies",
        ),
        (
            "require message = relay not permitted\n domains = x",
            "bob",
            "550 relay not permitted",
            "before it",
        ),
        (
            "require domains = x\n message = relay not permitted",
            "bob",
            NO,
            "a message behind what fails is not met",
        ),
        ("require domains = x\n message = no\naccept", "bob", NO, "also if more follows"),
        ("deny message = one\n message = two", "bob", "550 two", "the last one met"),
        ("deny message =", "bob", NO, "an empty one is none"),
        (
            "accept message = hello\n domains = x",
            "bob",
            "550 hello",
            "accept's message is used at the end of the list",
        ),
        ("accept domains = x\n message = hello", "bob", NO, "if it was met"),
        ("accept message = hello\n domains = x\ndeny", "bob", NO, "and if nothing else decides"),
        ("deny message = hello\n domains = x", "bob", NO, "deny's message is not"),
        ("accept message = welcome", "bob", "250 welcome", "an acceptance in words"),
        ("accept message = 251 will forward", "bob", "251 will forward", "with another code of its kind"),
        ("accept message = 550 x", "bob", "250 x", "a code of another kind is dropped"),
        ("accept verify = recipient\n message = welcome", "bob", "250 welcome", "wherever it stands"),
        ("deny message = 551 5.7.1 no", "bob", "551 5.7.1 no", "a code of its own"),
        ("deny message = 451 4.7.1 later", "bob", "550 later", "deny is permanent"),
        ("defer message = 550 no", "bob", "451 no", "defer is not"),
        ("defer message = 450 4.2.0 Greylisted", "bob", "450 4.2.0 Greylisted", "its own code"),
        ('deny message = "quoted"', "bob", '550 "quoted"', "quotes are kept"),
        (r"deny message = one\ntwo", "bob", "550 one two", "two lines"),
        (r"deny message = five \$", "bob", "550 five $", "a dollar sign"),
        (r"deny message = \N$5 \n\N", "bob", r"550 $5 \n", "nothing is special there"),
    ],
)
def test_decide(acl: str, recipient: str, answer: str, because: str) -> None:
    verdict = decided(acl, f"{recipient}@st11.test")
    assert said(verdict) == answer, because
    assert (verdict.refusal is None) == (answer == YES or answer.startswith("2")), because


def test_a_long_message_becomes_lines() -> None:
    long = "rejected because 203.0.113.66 is in a black list at bl.test: see https://bl.test/why for more"
    refusal = decided(f"deny message = 550 5.7.1 {long}").refusal
    assert refusal is not None
    assert refusal.lines == (
        "5.7.1 rejected because 203.0.113.66 is in a black list at bl.test:",
        "5.7.1 see https://bl.test/why for more",
    )


RELAY = """\
  accept  hosts   = +near
  require message = relay not permitted
          domains = +ours
  require verify  = recipient
  accept
"""


@pytest.mark.parametrize(
    "recipient, client, answer, because",
    [
        ("bob@st11.test", "198.51.100.1", YES, "mail for us from anywhere"),
        ("eve@else.test", "198.51.100.1", "550 relay not permitted", "no open relay"),
        ("eve@else.test", "203.0.113.77", YES, "our own people may send anywhere"),
        ("eve@else.test", "203.0.113.78", "550 relay not permitted", "their neighbours may not"),
        ("gone@st11.test", "198.51.100.1", "550 Unrouteable address", "nobody of that name"),
        ("gone@st11.test", "203.0.113.77", YES, "our own people hear of it in a report"),
        ("later@st11.test", "198.51.100.1", LATER, "cannot say now"),
    ],
)
def test_the_usual_list(recipient: str, client: str, answer: str, because: str) -> None:
    assert said(decided(RELAY, recipient, client)) == answer, because


def test_every_statement_looked_at_says_why() -> None:
    steps = decided(RELAY, "gone@st11.test").steps
    assert [(step.statement.verb, step.applied) for step in steps] == [
        ("accept", False),
        ("require", True),
        ("require", False),
    ]
    assert steps[0].because == "client 203.0.113.9 is not in +near"
    assert steps[1].because == "domain st11.test is in +ours by +ours"
    assert steps[2].because == "gone@st11.test is not deliverable (550 Unrouteable address)"
    later = decided("warn ! verify = recipient\naccept", "later@st11.test").steps
    assert [step.applied for step in later] == [False, True], "what is not known does not apply"


def test_a_question_is_asked_only_where_it_is_needed() -> None:
    verdict = decided("accept hosts = 203.0.113.9\nrequire verify = recipient", "unknown@st11.test")
    assert said(verdict) == YES, "the answers have nothing about unknown"
    with pytest.raises(KeyError):
        decided("require verify = recipient", "unknown@st11.test")


def test_a_null_sender_and_a_local_client() -> None:
    text = "begin acl\nx:\n accept hosts = :\n"
    subject = Subject("", "", None, Mailbox("bob", "st11.test"))
    assert answer_from({}, compile_acl(read(text), "x").decide(subject, HERE)).refusal is None

"""AUTH on the client's side, against servers that say anything: every answer is a question's."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator

import pytest

from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.mail.asking import answer_by
from labkit.mail.reply import Reply
from labkit.smtp.auth.client import Attempted, AuthOutcome, SayToServer, authenticating, compile_clients

PLAIN = (
    "plain:\n driver = plaintext\n public_name = PLAIN\n client_send = ^ann^se^^cret\n client_set_id = ann\n"
)
LOGIN = "login:\n driver = plaintext\n public_name = LOGIN\n client_send = : ann : secret\n"
CRAM = "cram:\n driver = cram_md5\n public_name = CRAM-MD5\n client_name = tim\n client_secret = tanstaaftanstaaf\n"


def b64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def attempt(authenticators: str, offered: str | None, *replies: str) -> tuple[Attempted, list[str]]:
    """What came of it, and what was said; the server says `replies` one by one, then is gone."""
    configuration = read(f"begin authenticators\n{authenticators}")
    said: list[str] = []
    left: Iterator[str] = iter(replies)

    def answer(question: object) -> Reply | None:
        assert isinstance(question, SayToServer)
        said.append(question.text)
        words = next(left, None)
        return None if words is None else Reply(int(words[:3]), (words[4:],))

    clients = compile_clients(configuration.authenticators)
    asking = authenticating(clients, offered, Env(), "H=mx.b.test [203.0.113.2]")
    return answer_by(answer, asking), said


def test_plain() -> None:
    """RFC 4616; ^ is NUL, and ^^ is ^."""
    found, said = attempt(PLAIN, "LOGIN PLAIN", "235 welcome")
    assert said == [f"AUTH PLAIN {b64(bytes([0]) + b'ann' + bytes([0]) + b'se^cret')}"]
    assert (found.outcome, found.authenticator, found.identity) == (AuthOutcome.DONE, "plain", "ann")


def test_login_waits_for_each_prompt() -> None:
    found, said = attempt(LOGIN, "login", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 welcome")
    assert said == ["AUTH LOGIN", b64(b"ann"), b64(b"secret")]
    assert found.outcome is AuthOutcome.DONE


def test_cram_md5_proves_the_secret() -> None:
    """The example of RFC 2195 §2."""
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    found, said = attempt(CRAM, "CRAM-MD5", f"334 {b64(challenge)}", "235 welcome")
    assert said == ["AUTH CRAM-MD5", b64(b"tim b913a602c7eda7a495b4e6e7334d3890")]
    assert (
        hmac.new(b"tanstaaftanstaaf", challenge, hashlib.md5).hexdigest()
        in base64.b64decode(said[1]).decode()
    )
    assert found.outcome is AuthOutcome.DONE


@pytest.mark.parametrize(
    "authenticators, offered, replies, outcome, said, because",
    [
        (PLAIN, None, [], AuthOutcome.NOT_OFFERED, 0, "no AUTH line"),
        (PLAIN, "XOAUTH2", [], AuthOutcome.NOTHING_COMMON, 0, "nothing that we have"),
        (PLAIN, "PLAINER", [], AuthOutcome.NOTHING_COMMON, 0, "a name is a whole word"),
        (PLAIN, "PLAIN", ["535 no"], AuthOutcome.FAILED, 1, "refused"),
        (
            PLAIN + LOGIN,
            "LOGIN PLAIN",
            ["535 no", "535 nor that"],
            AuthOutcome.FAILED,
            2,
            "both, in file order",
        ),
        (PLAIN + LOGIN, "LOGIN PLAIN", ["454 later"], AuthOutcome.LATER, 1, "not now: no other is tried"),
        (PLAIN, "PLAIN", [], AuthOutcome.LATER, 1, "gone"),
        (CRAM, "CRAM-MD5", ["235 come in"], AuthOutcome.LATER, 1, "no challenge: it would take anybody"),
        (CRAM, "CRAM-MD5", ["334 PDE+", "334 PDI+"], AuthOutcome.LATER, 2, "challenge after challenge"),
        (PLAIN, "PLAIN", ["334 more", "501 bye"], AuthOutcome.UNUSABLE, 2, "it wants more than we have"),
        (LOGIN, "LOGIN", ["334 ==no=="] * 9, AuthOutcome.FAILED, 2, "no base64: cancelled with a star"),
        (LOGIN, "LOGIN", ["334 VXNlcjo="] * 99, AuthOutcome.UNUSABLE, 4, "challenges without end"),
    ],
)
def test_what_else_can_happen(
    authenticators: str,
    offered: str | None,
    replies: list[str],
    outcome: AuthOutcome,
    said: int,
    because: str,
) -> None:
    found, heard = attempt(authenticators, offered, *replies)
    assert (found.outcome, len(heard)) == (outcome, said), because


def test_the_log_hears_of_a_refusal() -> None:
    found, _ = attempt(PLAIN, "PLAIN", "535 Incorrect authentication data")
    assert found.said == (
        "plain authenticator failed H=mx.b.test [203.0.113.2] 535 Incorrect authentication data",
    )


@pytest.mark.parametrize(
    "lines, outcome, because",
    [
        (" client_condition = no\n", AuthOutcome.NOTHING_COMMON, "it is not wanted here"),
        (" client_condition = ${if eq{a}{a}}\n", AuthOutcome.DONE, "it is"),
    ],
)
def test_client_condition(lines: str, outcome: AuthOutcome, because: str) -> None:
    assert attempt(PLAIN + lines, "PLAIN", "235 welcome")[0].outcome is outcome, because


def test_a_forced_failure_is_no_failure() -> None:
    unwilling = "first:\n driver = plaintext\n public_name = PLAIN\n client_send = ${if eq{a}{b}{x}fail}\n"
    found, said = attempt(unwilling + LOGIN, "PLAIN LOGIN", "334 ", "334 ", "235 welcome")
    assert (found.authenticator, said[0]) == ("login", "AUTH LOGIN")


def test_challenges_become_variables() -> None:
    asked = "ask:\n driver = plaintext\n public_name = X\n client_send = one : $auth1-two : $auth1-$auth2\n"
    _, said = attempt(asked, "X", f"334 {b64(b'first')}", f"334 {b64(b'second')}", "235 welcome")
    assert said[1:] == [b64(b"first-two"), b64(b"first-second")]
    ignoring = asked + " client_ignore_invalid_base64\n"
    _, said = attempt(ignoring, "X", "334 ???", "334 ???", "235 welcome")
    assert said[1:] == [b64(b"-two"), b64(b"-")]


def test_secrets_are_not_shown() -> None:
    configuration = read(f"begin authenticators\n{LOGIN}{CRAM}{PLAIN}")
    shown: list[str] = []

    def answer(question: object) -> Reply:
        assert isinstance(question, SayToServer)
        shown.append(question.shown)
        return Reply(
            334 if question.text in ("AUTH LOGIN", "AUTH CRAM-MD5", b64(b"ann")) else 535, ("VXNlcjo=",)
        )

    clients = compile_clients(configuration.authenticators)
    answer_by(answer, authenticating(clients, "PLAIN LOGIN CRAM-MD5", Env(), "H=x"))
    assert len(shown) == 6
    assert all(
        set(text.rpartition(" ")[2]) == {"*"} or text in ("AUTH LOGIN", "AUTH CRAM-MD5") for text in shown
    )

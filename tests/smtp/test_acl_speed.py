"""What Exim's example RCPT ACL costs here.

The aims are those of a quiet machine; the tests leave room for a busy one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, NamedLists, compile_list
from labkit.eximconf.place import Place
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_from
from labkit.mail.questions import (
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    Standing,
    Verification,
    VerifyRecipient,
    VerifySender,
)
from labkit.smtp.acl import Acls, Phase, Result, Scene
from labkit.smtp.acl.reading import statements_of

pytestmark = pytest.mark.alone  # time is measured

EXAMPLE = r"""
accept  hosts = :
        control = dkim_disable_verify
deny    message       = Restricted characters in address
        domains       = +local_domains
        local_parts   = ^[.] : ^.*[@%!/|]
deny    message       = Restricted characters in address
        domains       = !+local_domains
        local_parts   = ^[./|] : ^.*[@%!] : ^.*/\\.\\./
accept  local_parts   = postmaster
        domains       = +local_domains
require verify        = sender
deny    condition     = ${if and {{>{$rcpt_count}{10}}{<{$recipients_count}{${eval:$rcpt_count/2}}} }}
        message       = Rejected for too many bad recipients
        logwrite      = REJECT [$sender_host_address]: bad recipient count high
accept  hosts         = +relay_from_hosts
        control       = submission
        control       = dkim_disable_verify
accept  authenticated = *
        control       = submission
        control       = dkim_disable_verify
require message = relay not permitted
        domains = +local_domains : +relay_to_domains
require verify = recipient
accept
"""
PLACE = Place("exim.conf", 1)
HERE = Here("mx.here.test", ("203.0.113.1",))
GOOD = Verification(Standing.GOOD)
ANSWERS: dict[Any, Any] = {
    VerifyRecipient(Mailbox("bob", "mx.here.test")): GOOD,
    VerifySender(Mailbox("ann", "far.test")): GOOD,
    AddressesOf("localhost"): DnsAnswer(DnsOutcome.FOUND, ("127.0.0.1",)),
}
AIM_SAME, AIM_NEW = 15.0, 60.0  # microseconds a recipient: on a kept connection, and the first of a new one
DEAREST_TRACE = 3  # times as dear as without
ROOM = 3


def lists() -> NamedLists:
    named: dict[Any, Any] = {}
    for kind, name, text in [
        (ListKind.DOMAIN, "local_domains", "@"),
        (ListKind.DOMAIN, "relay_to_domains", ""),
        (ListKind.HOST, "relay_from_hosts", "localhost"),
    ]:
        named[kind, name] = compile_list(kind, text, PLACE, named)
    return named


def scene(acls: Acls, named: NamedLists) -> Scene:
    variables = {
        "sender_host_address": "203.0.113.9",
        "sender_address": "ann@far.test",
        "rcpt_count": "1",
        "recipients_count": "0",
    }
    env = Env(variables=variables, here=HERE, named=named)
    made = Scene(Phase.RCPT, env, Mailbox("bob", "mx.here.test"))
    env.acl = acls.hook(made)
    return made


def microseconds(work: Callable[[], object], times: int = 3000) -> float:
    """The best of several rounds."""
    best = float("inf")
    for _ in range(7):
        begin = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - begin)
    return best / times * 1e6


def test_speed(capsys: pytest.CaptureFixture[str]) -> None:
    named = lists()
    acls = Acls({"rcpt": statements_of(EXAMPLE, PLACE)}, named)
    kept = scene(acls, named)

    def same() -> Result:
        return answer_from(ANSWERS, acls.run("rcpt", kept)).result

    def new() -> Result:
        return answer_from(ANSWERS, acls.run("rcpt", scene(acls, named))).result

    assert same() is new() is Result.ACCEPT
    plain, fresh = microseconds(same), microseconds(new)
    kept.watched = True
    traced = microseconds(same)
    kept.watched = False
    with capsys.disabled():
        print(
            f"\n  example RCPT ACL: {plain:.1f} us a recipient, {fresh:.1f} us the first of a connection, "
            f"{traced:.1f} us with a trace"
        )
    assert plain < ROOM * AIM_SAME
    assert fresh < ROOM * AIM_NEW
    assert traced < ROOM * DEAREST_TRACE * plain


def test_a_recipient_on_a_kept_connection_asks_one_question() -> None:
    """The sender is verified once, the host list is remembered: only the recipient is asked for."""
    named = lists()
    acls = Acls({"rcpt": statements_of(EXAMPLE, PLACE)}, named)
    kept = scene(acls, named)
    asked: list[int] = []
    for _ in range(3):
        questions = []
        asking = acls.run("rcpt", kept)
        try:
            question = next(asking)
            while True:
                questions.append(question)
                question = asking.send(ANSWERS[question])
        except StopIteration:
            asked.append(len(questions))
    assert asked == [3, 1, 1]

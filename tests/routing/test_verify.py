"""Verification: the questions of ACLs, callouts, and the words that clients and logs get."""

from __future__ import annotations

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.questions import (
    CallOut,
    Callout,
    CalloutAnswer,
    Standing,
    Verification,
    VerifyRecipient,
    VerifySender,
)
from labkit.routing import Mode

from .host import Host, bt, compiled, env

ROUTERS = """\
aliases:
  driver = redirect
  domains = +here
  allow_fail
  allow_defer
  address_data = for $local_part
  data = ${lookup{$local_part}lsearch{/aliases}}
others:
  driver = dnslookup
  domains = ! +here
  transport = smtp
users:
  driver = accept
  domains = +here
  check_local_user
  transport = box
  cannot_route_message = Unknown user
"""
HOSTS = (("mx.b.test", "203.0.113.9", 25), ("mx.c.test", "203.0.113.10", 25))


def host() -> Host:
    aliases = "gone: :fail: 550 5.7.1 gone\nlater: :defer: wait\none: two@b.test\n"
    aliases += "many: x@nowhere.test, y@nowhere.test\n"
    return Host({"/aliases": aliases})


def recipient(address: str, callout: Callout | None = None, at: Host | None = None) -> Verification:
    question = VerifyRecipient(Mailbox.parse(address), callout)
    found = (at or host()).drive(compiled(ROUTERS).verify(question, env()))
    assert isinstance(found, Verification)
    return found


def sender(address: str, callout: Callout | None = None, at: Host | None = None) -> Verification:
    question = VerifySender(Mailbox.parse(address), callout)
    found = (at or host()).drive(compiled(ROUTERS).verify(question, env()))
    assert isinstance(found, Verification)
    return found


@pytest.mark.parametrize(
    "address, standing, words, reason",
    [
        ("bob@here.test", Standing.GOOD, "", ""),
        ("eve@here.test", Standing.BAD, "Unknown user", "Unknown user"),
        ("gone@here.test", Standing.BAD, "550 5.7.1 gone", "550 5.7.1 gone"),
        ("later@here.test", Standing.UNDECIDED, "wait", "wait"),
        ("one@here.test", Standing.GOOD, "", ""),
        ("many@here.test", Standing.GOOD, "", ""),
        ("x@nowhere.test", Standing.BAD, "Unknown user", "Unknown user"),
        ("x@fail.test", Standing.UNDECIDED, "", "host lookup did not complete"),
        (
            "x@gone.test",
            Standing.BAD,
            "all relevant MX records point to non-existent hosts",
            "all relevant MX records point to non-existent hosts",
        ),
    ],
)
def test_recipients(address: str, standing: Standing, words: str, reason: str) -> None:
    found = recipient(address)
    assert (found.standing, found.words, found.reason) == (standing, words, reason)
    assert found.failure == ("" if standing is Standing.GOOD else "route")


def test_address_data_comes_back() -> None:
    assert recipient("bob@here.test").address_data == "for bob"


def test_a_sender_hears_only_words_that_are_meant_for_it() -> None:
    found = sender("x@gone.test")
    assert (found.standing, found.words) == (Standing.BAD, "")
    assert found.reason == "all relevant MX records point to non-existent hosts"
    assert sender("x@nowhere.test").words == "Unknown user"


def test_sender_address_is_empty_while_a_sender_is_verified() -> None:
    text = "r:\n  driver = redirect\n  allow_fail\n  data = :fail: <$sender_address> $verify_mode\n"
    assert bt(text, "x", mode=Mode.VERIFY_SENDER).endswith(": <> S")
    assert bt(text, "x", mode=Mode.VERIFY_RECIPIENT).endswith(": <ann@b.test> R")


def test_callouts_ask_the_hosts_of_the_route() -> None:
    at = host()
    assert recipient("x@b.test", Callout(), at).standing is Standing.GOOD
    (asked,) = [question for question in at.asked if isinstance(question, CallOut)]
    assert asked == CallOut(HOSTS, "mx.here.test", Mailbox("x", "b.test"), Callout())
    local = host()
    assert recipient("bob@here.test", Callout(), local).is_good
    assert not any(isinstance(question, CallOut) for question in local.asked), "a mailbox here needs none"


def test_a_host_that_refuses() -> None:
    at = host()
    words = 'mx.b.test [203.0.113.9] : response to "RCPT TO:<x@b.test>" was: 550 no such user'
    at.callout = CalloutAnswer(Standing.BAD, words, "recipient")
    found = recipient("x@b.test", Callout(), at)
    assert (found.standing, found.failure, found.reason) == (Standing.BAD, "recipient", words)
    assert found.words == "Callout verification failed:\n550 no such user"


def test_hosts_that_do_not_answer() -> None:
    at = host()
    at.callout = CalloutAnswer(Standing.UNDECIDED, "Connection refused")
    found = recipient("x@b.test", Callout(), at)
    assert (found.standing, found.words) == (
        Standing.UNDECIDED,
        "Could not complete recipient verify callout",
    )
    assert found.reason == "Could not complete recipient verify callout", "there are two hosts"
    found = sender("x@a.test", Callout(), at)
    assert found.reason == "Could not complete sender verify callout: Connection refused"


def test_watched_it_tells_how() -> None:
    question = VerifyRecipient(Mailbox("eve", "here.test"))
    found = host().drive(compiled(ROUTERS).verify(question, env(), watched=True))
    assert [step.partition(":")[0] for step in found.steps] == ["aliases", "others", "users"]
    assert recipient("eve@here.test").steps == (), "it costs nothing unless somebody looks"


@pytest.mark.parametrize(
    "address, says",
    [
        ("many", "0 <x@nowhere.test> | <y@nowhere.test>"),
        ("one", "0 <two@b.test>"),
        ("bob", "0 <bob@here.test>"),
        ("gone", "2 gone@here.test is undeliverable"),
        ("later", "1 later@here.test cannot be resolved at this time"),
    ],
)
def test_expn_goes_one_level_and_gives_no_reason(address: str, says: str) -> None:
    assert bt(ROUTERS, address, host(), Mode.EXPN) == says


def test_expn_of_nothing() -> None:
    text = "r:\n  driver = redirect\n  data = :blackhole:\n"
    assert bt(text, "x", mode=Mode.EXPN) == "0 mail to <x@here.test> is discarded"

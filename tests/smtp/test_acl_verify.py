"""verify = … of ACLs: sender, recipient, client, header fields; with what the client hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.eximconf.field_addresses import Readable, addresses_of
from labkit.mail.address import Mailbox
from labkit.mail.questions import (
    AddressesOf,
    Callout,
    DnsAnswer,
    DnsOutcome,
    NamesOf,
    Standing,
    Verification,
    VerifyRecipient,
    VerifySender,
)
from labkit.smtp.acl import Phase
from labkit.smtp.acl.verify import read_wish

NO = "550 Administrative prohibition"
LATER = "451 Temporary local problem - please try later"
YES = "accepted"
FAILED = "550 Sender verify failed"


def found(*records: str) -> DnsAnswer[str]:
    return DnsAnswer(DnsOutcome.FOUND, records)


NOTHING: DnsAnswer[str] = DnsAnswer(DnsOutcome.NXDOMAIN, ())
SILENCE: DnsAnswer[str] = DnsAnswer(DnsOutcome.SERVFAIL, ())


@pytest.mark.parametrize(
    "acl, recipient, answer, because",
    [
        ("accept verify = recipient", "bob", YES, "it is deliverable"),
        ("require verify = recipient\naccept", "gone", "550 Unrouteable address", "its words"),
        ("deny ! verify = recipient\naccept", "bob", YES, "negated"),
        (
            "deny message = no such user\n ! verify = recipient",
            "gone",
            "550 no such user",
            "a message goes before",
        ),
        ("defer ! verify = recipient", "gone", "451 Unrouteable address", "put off, with its words"),
        ("require verify = recipient", "said", "550-5.1.6 moved|550 5.1.6 see below", "a code in its words"),
        ("require verify = recipient", "later", LATER, "A23"),
        ("require verify = recipient", "busy", "451 try again", "a callout's reason may be told"),
        ("require verify = recipient/defer_ok\naccept", "later", YES, "A23"),
        (
            "require verify = recipient/defer_ok\naccept",
            "gone",
            "550 Unrouteable address",
            "but not a failure",
        ),
        ("require verify = recipient/callout=5s,defer_ok\naccept", "later", LATER, "only of the callout"),
        ("deny message = $acl_verify_message!\n !verify = recipient", "gone", "550 Unrouteable address!", ""),
        ("deny message = $recipient_verify_failure\n !verify = recipient", "gone", "550 route", ""),
        (
            "deny message = $address_data\n verify = recipient",
            "bob",
            "550 data of bob",
            "what the router set",
        ),
    ],
)
def test_recipient(stage: Any, acl: str, recipient: str, answer: str, because: str) -> None:
    assert stage.said(acl, recipient=f"{recipient}@here.test") == answer, because


@pytest.mark.parametrize(
    "address, answer, because",
    [
        ("ann@a.test", YES, "it is deliverable"),
        ("", YES, "the null sender needs no verification"),
        ("gone@a.test", f"550-Verification failed for <gone@a.test>|550-Unrouteable address|{FAILED}", "A24"),
        ("later@a.test", LATER, "A23"),
        ("busy@a.test", "451 Could not complete sender verify callout", "a callout that was not finished"),
        (
            "said@a.test",
            f"550-Verification failed for <said@a.test>|550-550 5.1.6 moved|550-see below|{FAILED}",
            "words of a router",
        ),
    ],
)
def test_sender(stage: Any, address: str, answer: str, because: str) -> None:
    stage.variables["sender_address"] = address
    assert stage.said("require verify = sender\naccept") == answer, because
    stage.variables["sender_address"] = "other@b.test"
    assert (
        stage.said(f"require verify = sender={address}/no_details\naccept").split("|")[-1]
        == answer.split("|")[-1]
    )


def test_details_are_told_once(stage: Any) -> None:
    """A24: in a message; the log hears of it, too."""
    stage.variables["sender_address"] = "gone@a.test"
    assert "|" in stage.said("require verify = sender")
    assert stage.logged == [
        "H=(client.test) [203.0.113.9] sender verify fail for <gone@a.test>: Unrouteable address"
    ]
    assert stage.said("require verify = sender") == FAILED
    assert stage.logged == []
    assert stage.said("deny message = 551 5.1.8 no\n !verify = sender") == "551 5.1.8 no"
    stage.scene.begin_message()
    lines = stage.said("deny message = 551 5.1.8 no\n !verify = sender").split("|")
    assert lines == [
        "551-5.1.8 Verification failed for <gone@a.test>",
        "551-5.1.8 Unrouteable address",
        "551 5.1.8 no",
    ]


def test_the_long_texts_of_callouts(stage: Any) -> None:
    lines = stage.said("require verify = sender=mute@a.test").split("|")
    assert lines[0] == "550-Callback setup failed while verifying <mute@a.test>" and len(lines) == 8
    lines = stage.said("require verify = sender=headless@a.test").split("|")
    assert (
        lines[0] == "550-Postmaster verification failed while checking <headless@a.test>" and len(lines) == 6
    )


def test_a_sender_is_verified_once_in_a_message(stage: Any) -> None:
    for _ in range(3):
        stage.run("require verify = sender\nrequire verify = sender=ann@a.test\naccept")
    assert stage.asked == [VerifySender(Mailbox("ann", "a.test"))]
    stage.run("require verify = sender/callout\naccept")
    assert len(stage.asked) == 2, "a callout is made each time"
    stage.scene.begin_message()
    stage.run("require verify = sender\naccept")
    assert len(stage.asked) == 3


def test_details_on_wish(stage: Any) -> None:
    """smtp_return_error_details"""
    stage.scene.gives_details = True
    assert (
        stage.said("require verify = recipient", recipient="later@here.test")
        == "451 host lookup did not complete"
    )
    assert stage.said("require verify = sender=later@a.test") == (
        "451-host lookup did not complete|451 Could not complete sender verify"
    )


def test_callout_options(stage: Any) -> None:
    """What stands behind callout= goes into the question."""
    wanted = Callout(
        timeout=20, connect=5, overall=60, uses_cache=False, is_random=True, uses_sender=True, postmaster=""
    )
    stage.run(
        "accept verify = recipient/callout=20s,connect=5s,maxwait=1m,no_cache,random,use_sender,postmaster"
    )
    assert stage.asked == [VerifyRecipient(Mailbox("bob", "here.test"), wanted, "ann@a.test")]
    assert read_wish("sender/callout").callout == Callout(30, 30, 120)
    assert read_wish("sender/callout=10s").callout == Callout(10, 10, 40)
    assert read_wish("sender/callout=postmaster_mailfrom=x@y").callout == Callout(
        30, 30, 120, postmaster="x@y"
    )
    assert read_wish("sender/callout=fullpostmaster").callout == Callout(
        30, 30, 120, full_postmaster=True, postmaster=""
    )
    assert read_wish("header_sender/callout=mailfrom=x@y").callout == Callout(30, 30, 120, mail_from="x@y")
    assert read_wish("sender/callout=0s").callout is None
    assert read_wish("sender=a//b@c/defer_ok").address == "a/b@c"


@pytest.mark.parametrize(
    "wish, log",
    [
        ("nosuch", 'expected "sender[=address]"'),
        ("", 'expected "sender[=address]"'),
        ("senders", 'expected "sender[=address]"'),
        ("helo/x", "unexpected '/' found in \"helo/x\""),
        ("sender/nosuch", 'unknown option "nosuch" in ACL condition "verify sender/nosuch"'),
        ("recipient/callout=x", 'bad time value in ACL condition "verify recipient/callout=x"'),
        ("recipient/calloutx", "'=' expected after \"callout\""),
        (
            "sender/callout=mailfrom=a@b",
            '"mailfrom" is allowed as a callout option only for verify=header_sender',
        ),
        ("sender/callout=maxwait", "'=' expected after \"maxwait\""),
        (
            "sender/callout=use_sender",
            "use_sender or use_postmaster cannot be used for a sender verify callout",
        ),
        ("recipient/callout=use_sender,use_postmaster", "only one of use_sender and use_postmaster"),
        ("${if eq{a}{a}{csa}}", "verify = csa is not read by labkit yet"),
    ],
)
def test_wrong_wishes(stage: Any, wish: str, log: str) -> None:
    verdict = stage.run(f"deny verify = {wish}")
    assert str(verdict.reply) == LATER and verdict.log_text.startswith(log)


@pytest.mark.parametrize(
    "names, addresses, verified, name",
    [
        (found("client.test"), {"client.test": found("203.0.113.9")}, True, "client.test"),
        (found("Client.TEST."), {"client.test": found("203.0.113.8", "203.0.113.9")}, True, "client.test"),
        (found("liar.test"), {"liar.test": found("203.0.113.8")}, False, ""),
        (
            found("liar.test", "client.test"),
            {"liar.test": NOTHING, "client.test": found("203.0.113.9")},
            True,
            "client.test",
        ),
        (NOTHING, {}, False, ""),
        (SILENCE, {}, None, ""),
        (found("client.test"), {"client.test": SILENCE}, None, ""),
    ],
)
def test_reverse_host_lookup(
    stage: Any, names: DnsAnswer[str], addresses: dict[str, DnsAnswer[str]], verified: bool | None, name: str
) -> None:
    stage.answers[NamesOf("203.0.113.9")] = names
    stage.answers |= {AddressesOf(host): answer for host, answer in addresses.items()}
    expected = {True: YES, False: NO, None: LATER}[verified]
    assert stage.said("accept verify = reverse_host_lookup", phase=Phase.CONNECT) == expected
    assert stage.variables.get("sender_host_name", "") == name
    if verified is None:
        assert stage.said("accept verify = reverse_host_lookup/defer_ok", phase=Phase.CONNECT) == YES
        assert stage.variables["host_lookup_deferred"] == "1"
    else:
        asked = len(stage.asked)
        stage.said("accept verify = reverse_host_lookup", phase=Phase.CONNECT)
        assert len(stage.asked) == asked, "it is looked up once"


@pytest.mark.parametrize(
    "helo, verified, because",
    [
        ("client.test", True, "the client's name"),
        ("CLIENT.test", True, "without case"),
        ("alias.test", True, "one of its names"),
        ("forward.test", True, "a name that has its address"),
        ("other.test", False, ""),
        ("[203.0.113.9]", True, "its address"),
        ("[203.0.113.8]", False, "another address"),
        ("", False, "it has not said HELO"),
    ],
)
def test_helo(stage: Any, helo: str, verified: bool, because: str) -> None:
    stage.variables["sender_helo_name"] = helo
    stage.answers[NamesOf("203.0.113.9")] = found("client.test", "alias.test")
    for name in ("client.test", "alias.test", "forward.test"):
        stage.answers[AddressesOf(name)] = found("203.0.113.9")
    stage.answers[AddressesOf("other.test")] = found("203.0.113.8")
    assert stage.said("accept verify = helo") == (YES if verified else NO), because
    asked = len(stage.asked)
    stage.said("accept verify = helo")
    assert len(stage.asked) == asked


def test_certificate(stage: Any) -> None:
    assert stage.said("require verify = certificate") == "550 no verified certificate"
    stage.variables["tls_in_certificate_verified"] = "1"
    assert stage.said("require verify = certificate\naccept") == YES


def with_fields(stage: Any, text: str) -> None:
    lines = [line.partition(":") for line in text.split("|")]
    stage.env.headers = [(name, f"{body}\n") for name, _, body in lines]


@pytest.mark.parametrize(
    "fields, good",
    [
        ("From: Ann <a@b.test>|To: c@d.test, e@f.test", True),
        ("To: @", False),
        ("To: ann", False),
        ("Subject: <<<", True),
        ("Resent-To: @", False),
        ("Cc: x: a@b.test, c@d.test;", True),
        ("Reply-To:", True),
    ],
)
def test_header_syntax(stage: Any, fields: str, good: bool) -> None:
    with_fields(stage, fields)
    assert stage.said("accept verify = header_syntax", phase=Phase.DATA) == (YES if good else NO)
    acl = "deny !verify = header_syntax\n log_message = header syntax ($acl_verify_message)\naccept"
    verdict = stage.run(acl, phase=Phase.DATA)
    assert verdict.is_accepted == good
    assert good or verdict.log_text.startswith("header syntax (")


def test_unqualified_addresses_may_be_allowed(stage: Any) -> None:
    with_fields(stage, "From: ann|To: bob")
    stage.scene.takes_unqualified = (True, True)
    assert stage.said("accept verify = header_syntax", phase=Phase.DATA) == YES
    stage.scene.takes_unqualified = (True, False)
    verdict = stage.run("accept verify = header_syntax", phase=Phase.DATA)
    assert verdict.log_text == 'unqualified address not permitted: failing address in "To:" header is: bob'


@pytest.mark.parametrize(
    "fields, answer, because",
    [
        ("From: ann@a.test", YES, ""),
        ("From: gone@a.test|Reply-To: ann@a.test", YES, "one of them is enough"),
        ("From: gone@a.test", NO, ""),
        ("From: gone@a.test|Sender: later@a.test", LATER, "one may turn out well later"),
        ("Subject: x", NO, "no such field"),
        ("From: a b@c", NO, "it cannot be read"),
    ],
)
def test_header_sender(stage: Any, fields: str, answer: str, because: str) -> None:
    with_fields(stage, fields)
    assert stage.said("accept verify = header_sender", phase=Phase.DATA) == answer, because


@pytest.mark.parametrize(
    "fields, option, good",
    [
        ("To: bob@HERE.test", "", True),
        ("Cc: eve@x.test, Bob <bob@here.test>", "", True),
        ("To: BOB@here.test", "", False),
        ("To: BOB@here.test", "/case_insensitive", True),
        ("From: bob@here.test", "", False),
    ],
)
def test_not_blind(stage: Any, fields: str, option: str, good: bool) -> None:
    with_fields(stage, fields)
    stage.scene.recipients = (Mailbox("bob", "here.test"),)
    assert stage.said(f"accept verify = not_blind{option}", phase=Phase.DATA) == (YES if good else NO)


def test_header_names_ascii(stage: Any) -> None:
    with_fields(stage, "X-A: \xe9")
    assert stage.said("accept verify = header_names_ascii", phase=Phase.DATA) == YES
    with_fields(stage, "X-\xe9: a")
    assert stage.said("accept verify = header_names_ascii", phase=Phase.DATA) == NO


def test_groups_go_on_behind_a_comma() -> None:
    read = [
        each.address for each in addresses_of(" x: a@b.test, c@d.test; , y: ;") if isinstance(each, Readable)
    ]
    assert read == ["a@b.test", "c@d.test"]


def test_a_verdict_has_its_standing() -> None:
    assert Verification(Standing.BAD).is_bad and not Verification(Standing.GOOD).is_bad
    assert Verification(Standing.UNDECIDED, failure="recipient").is_of_callout
    assert not Verification(Standing.UNDECIDED, failure="route").is_of_callout


def test_words_of_what_was_put_off_stay(stage: Any) -> None:
    """With defer_ok the condition holds, but the end of the list still knows why it might not have."""
    assert stage.said("require verify = recipient/defer_ok", recipient="later@here.test") == (
        "550 host lookup did not complete"
    )
    assert stage.said("accept !verify = recipient\n condition = maybe", recipient="said@here.test") == (
        "451-moved|451 see below"
    )

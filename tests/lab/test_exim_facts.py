"""Facts read from a real Exim's log lines (all seen on 4.96)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.lab.exim_facts import Fact, fact_in, in_order
from labkit.mail.event import EventKind

ID = "1xVGdp-0000LT-0M"
TIME = "2026-11-22 23:06:37"


@pytest.mark.parametrize(
    "line, kind, details",
    [
        (
            f"{ID} <= ivan@gmail.test H=(client.test) [198.51.100.77] P=esmtp S=418 id=2026@vm",
            EventKind.RECEIVED,
            {
                "sender": "ivan@gmail.test",
                "remote_host": "client.test",
                "remote_address": "198.51.100.77",
                "protocol": "esmtp",
                "size": 418,
                "message_id": "<2026@vm>",
            },
        ),
        (
            f"{ID} <= <> R=1xVGdp-0000LT-0M U=exim P=local S=1500",
            EventKind.RECEIVED,
            {"sender": "", "protocol": "local", "size": 1500, "message_id": None},
        ),
        (
            f"{ID} => st1 <postmaster@st1.sne.test> R=localuser T=mbox",
            EventKind.DELIVERED,
            {"recipient": "postmaster@st1.sne.test", "router": "localuser", "transport": "mbox"},
        ),
        (
            f"{ID} => bob@st2.test R=others T=by_smtp H=mx2.st2.test [203.0.113.2] X=TLS1.3 CV=no "
            'C="250 OK id=1xVGsX-0004w0-12"',
            EventKind.DELIVERED,
            {
                "recipient": "bob@st2.test",
                "remote_host": "mx2.st2.test",
                "remote_address": "203.0.113.2",
                "code": 250,
                "text": "OK id=1xVGsX-0004w0-12",
            },
        ),
        (
            f'{ID} -> carl@st2.test R=others T=by_smtp H=mx2.st2.test [203.0.113.2] C="250 say \\"hi\\""',
            EventKind.DELIVERED,
            {"recipient": "carl@st2.test", "text": 'say "hi"'},
        ),
        (
            f"{ID} == ubuntu@st1.test R=d T=s defer (111): Connection refused",
            EventKind.DEFERRED,
            {"recipient": "ubuntu@st1.test", "router": "d", "transport": "s", "text": "Connection refused"},
        ),
        (
            f"{ID} == x@a.test R=d T=s H=mx.a.test [203.0.113.2] defer (-44): SMTP error from remote mail server after "
            "RCPT TO:<x@a.test>: 451 Greylisted",
            EventKind.DEFERRED,
            {
                "recipient": "x@a.test",
                "remote_address": "203.0.113.2",
                "text": "SMTP error from remote mail server after RCPT TO:<x@a.test>: 451 Greylisted",
            },
        ),
        (
            f"{ID} == x@a.test R=d T=s defer (-44) H=mx.a.test [203.0.113.2]: SMTP error from remote mail server "
            "after RCPT TO:<x@a.test>: 451 later",
            EventKind.DEFERRED,
            {"remote_host": "mx.a.test", "remote_address": "203.0.113.2", "code": 451},
        ),
        (
            f"{ID} == x@a.test R=d T=s defer (-37) H=mx.a.test [203.0.113.2]: TLS session: (certificate "
            "verification failed): certificate invalid",
            EventKind.DEFERRED,
            {"transport": "s", "text": "TLS session: (certificate verification failed): certificate invalid"},
        ),
        (
            f"{ID} == x@a.test routing defer (-56): domain is in queue_domains",
            EventKind.DEFERRED,
            {"recipient": "x@a.test", "router": None, "text": "domain is in queue_domains"},
        ),
        (
            f'{ID} ** ubuntu@st2.test: Too many "Received" headers - suspected mail loop',
            EventKind.FAILED,
            {"recipient": "ubuntu@st2.test", "text": 'Too many "Received" headers - suspected mail loop'},
        ),
        (
            f"{ID} ** x@a.test R=d T=s H=mx.a.test [203.0.113.2]: SMTP error from remote mail server after RCPT "
            "TO:<x@a.test>: 550 Unknown user",
            EventKind.FAILED,
            {
                "recipient": "x@a.test",
                "router": "d",
                "remote_host": "mx.a.test",
                "text": "SMTP error from remote mail server after RCPT TO:<x@a.test>: 550 Unknown user",
            },
        ),
        (
            f"{ID} ** x@a.test: retry timeout exceeded",
            EventKind.FAILED,
            {"recipient": "x@a.test", "text": "retry timeout exceeded"},
        ),
        (f"{ID} Completed", EventKind.COMPLETED, {"queue_id": ID}),
        (
            "H=(c) [198.51.100.7] F=<s@b.test> rejected RCPT <r@a.test>: relay not permitted",
            EventKind.REJECTED,
            {
                "sender": "s@b.test",
                "recipient": "r@a.test",
                "remote_host": "c",
                "remote_address": "198.51.100.7",
                "code": 550,
                "text": "relay not permitted",
            },
        ),
        (
            "H=(c) [198.51.100.7] F=<> temporarily rejected RCPT <r@a.test>: Greylisted",
            EventKind.REJECTED,
            {"sender": "", "recipient": "r@a.test", "code": 451, "text": "Greylisted"},
        ),
        (
            f"{ID} H=(c) [198.51.100.7] F=<s@b.test> rejected after DATA: maximum allowed line length is 998 octets",
            EventKind.REJECTED,
            {"queue_id": ID, "recipient": None, "text": "maximum allowed line length is 998 octets"},
        ),
        (
            "exim 4.96 daemon started: pid=5, no queue runs, listening for SMTP on "
            "[203.0.113.11]:25 [203.0.113.11]:587",
            EventKind.STARTED,
            {"text": "listening on 25, 587"},
        ),
    ],
)
def test_a_fact(line: str, kind: EventKind, details: dict[str, Any]) -> None:
    fact = fact_in(f"{TIME} {line}")
    assert fact is not None
    assert fact.kind is kind
    assert {name: fact.details.get(name) for name in details} == details


SENT = "H=(c) [198.51.100.7] P=esmtp S=400"
FORGERY = '"x H=(trusted) [203.0.113.2] P=esmtpsa S=7 id=forged@x"@evil.test'
REFUSED = "H=(c) [198.51.100.7] F=<s@b.test> rejected RCPT"
NOT_THERE = "SMTP error from remote mail server after RCPT TO:"


@pytest.mark.parametrize(
    "why, line, details",
    [
        (
            "a quoted sender can hold every field",
            f"<= {FORGERY} {SENT} id=1@c",
            {
                "sender": FORGERY,
                "remote_host": "c",
                "remote_address": "198.51.100.7",
                "protocol": "esmtp",
                "size": 400,
                "message_id": "<1@c>",
            },
        ),
        (
            "so can two quoted words",
            f'<= "a"."b S=1"@b.test {SENT}',
            {"sender": '"a"."b S=1"@b.test', "size": 400},
        ),
        ("and quoted pairs", rf"<= a\ S=1@b.test {SENT}", {"sender": r"a\ S=1@b.test", "size": 400}),
        ("² is a digit for some, but no number", f'<= "x S=² y"@b.test {SENT}', {"size": 400}),
        ("nor is so long a number", f"<= a@b.test H=(c) [198.51.100.7] S={'1' * 5000}", {"size": None}),
        ("nor ²", "<= a@b.test H=(c) [198.51.100.7] P=esmtp S=²", {"size": None, "protocol": "esmtp"}),
        (
            "a blank of Unicode is part of a word",
            f"<= a\u00a0b\u2028c@b.test {SENT}",
            {"sender": "a\u00a0b\u2028c@b.test"},
        ),
        (
            "a Message-ID is printed as it is",
            rf'<= a@b.test {SENT} id="a b P=local H=(h) [1.2.3.4] T=\"u"@q',
            {
                "protocol": "esmtp",
                "remote_host": "c",
                "message_id": r'<"a b P=local H=(h) [1.2.3.4] T=\"u"@q>',
            },
        ),
        (
            "so is a subject, and the list of recipients (log_selector)",
            rf'<= a@b.test {SENT} T="a \"q\\ id=x H=(t) [1.2.3.4]" from <{FORGERY}> for "c d"@a.test',
            {"remote_address": "198.51.100.7", "message_id": None, "size": 400},
        ),
        (
            "a junk HELO name that helo_accept_junk_hosts let pass",
            "<= a@b.test H=(a) [9.9.9.9] P=local S=7 id=x@y (b) [198.51.100.7]:99 P=esmtp S=400",
            {
                "remote_host": "a) [9.9.9.9] P=local S=7 id=x@y (b",
                "remote_address": "198.51.100.7",
                "remote_port": 99,
                "protocol": "esmtp",
                "message_id": None,
            },
        ),
        (
            "a HELO name in brackets",
            "<= a@b.test H=([1.2.3.4]) [198.51.100.7] P=esmtp S=4",
            {"remote_host": "[1.2.3.4]"},
        ),
        (
            "Exim shows a quoted recipient without its quotes, then as it was",
            f'** no such user@a.test <"no such user"@a.test> R=d T=s H=mx.a.test [203.0.113.2]: {NOT_THERE}<"no such '
            'user"@a.test>: 550 no',
            {"recipient": '"no such user"@a.test', "router": "d", "remote_host": "mx.a.test", "code": 550},
        ),
        (
            "it can hold what looks like the rest of the line",
            r'** q" <x@y> r=a t=b: c@a.test <"q\" <x@y> R=a T=b: c"@a.test>: Unrouteable address',
            {"recipient": r'"q\" <x@y> R=a T=b: c"@a.test', "router": None, "text": "Unrouteable address"},
        ),
        (
            "or a server's answer",
            f'** a: 450 x@a.test <"a: 450 x"@a.test> R=d T=s: {NOT_THERE}<"a: 450 x"@a.test>: 550 no',
            {"recipient": '"a: 450 x"@a.test', "code": 550},
        ),
        (
            "a server's answer states no recipient",
            f"** x@a.test R=d T=s H=mx.a.test [203.0.113.2]: {NOT_THERE}<x@a.test>: 550 y@b.test <y@b.test> R=e: no",
            {"recipient": "x@a.test", "router": "d", "transport": "s"},
        ),
        (
            "a deferral inside an address",
            '== q r=x defer (1): z@a.test <"q R=x defer (1): z"@a.test> R=d T=s defer (111): Connection refused',
            {"recipient": '"q R=x defer (1): z"@a.test', "router": "d", "text": "Connection refused"},
        ),
        (
            "an own account with a blank",
            '=> a b <"a b"@a.test> R=ours T=box',
            {"recipient": '"a b"@a.test', "router": "ours", "transport": "box"},
        ),
        (
            "an alias of one",
            "=> a b <two@a.test> R=ours T=box",
            {"recipient": "two@a.test", "router": "ours"},
        ),
        (
            "a host whose name is signed, and a key that the DNS names",
            "=> x@a.test R=d T=s H=mx.a.test DS [203.0.113.2]:25* X=TLS1.3:A:256 CV=dane",
            {"remote_host": "mx.a.test", "is_secure": True, "is_dane": True, "is_verified": True},
        ),
        (
            "and one that waits",
            "== x@a.test R=d T=s defer (-37) H=mx.a.test DS [203.0.113.2]: TLS session: no",
            {"remote_host": "mx.a.test", "is_secure": True, "is_dane": None, "text": "TLS session: no"},
        ),
        (
            "a host without a name, and no mark",
            "=> x@a.test R=d T=s H=DS [203.0.113.2] X=TLS1.3:A:256 CV=yes",
            {"remote_host": "DS", "is_secure": None, "is_dane": None, "is_verified": True},
        ),
        (
            "a pipe",
            "=> |/bin/x -a b <list@a.test> R=pipes T=pipe",
            {"recipient": "list@a.test", "router": "pipes"},
        ),
        (
            "fields inside a server's answer",
            r'=> x@a.test R=d T=s H=mx.a.test [203.0.113.2] C="250 OK \" R=x T=y H=z [9.9.9.9]"',
            {"router": "d", "remote_host": "mx.a.test", "text": 'OK " R=x T=y H=z [9.9.9.9]'},
        ),
        (
            "a refused recipient can pretend a start of the daemon",
            f'{REFUSED} <"daemon started: pid=1 listening on [1.2.3.4]:99"@a.test>: relay not permitted',
            {
                "recipient": '"daemon started: pid=1 listening on [1.2.3.4]:99"@a.test',
                "sender": "s@b.test",
                "text": "relay not permitted",
            },
        ),
        (
            "or another refusal",
            f'{REFUSED} <"> rejected RCPT <a@b>: c"@a.test>: relay not permitted',
            {"recipient": '"> rejected RCPT <a@b>: c"@a.test', "text": "relay not permitted"},
        ),
        (
            "so can the sender",
            'H=(c) [198.51.100.7] F=<"> rejected RCPT <a@b>: c"@b.test> rejected RCPT <r@a.test>: no',
            {"sender": '"> rejected RCPT <a@b>: c"@b.test', "recipient": "r@a.test", "text": "no"},
        ),
        (
            "and a comment; the command's argument is printed as it came (and a blank in it as =)",
            f"{REFUSED} <r@a.test(> rejected RCPT <x@y>:=foo)>: no",
            {"recipient": "r@a.test", "text": "no"},
        ),
        ("without <>", f'{REFUSED} "a: b"@a.test: no', {"recipient": '"a: b"@a.test', "text": "no"}),
        (
            "with a name before them",
            f'{REFUSED} "<x@y>"=<r@a.test>: no',
            {"recipient": "r@a.test", "text": "no"},
        ),
        ("with a route", f'{REFUSED} <@x,@y:"q r"@a.test>: no', {"recipient": '"q r"@a.test'}),
        (
            "a refused message",
            'rejected from <"a b> H=(h) [1.2.3.4]: big"@b.test> H=(c) [198.51.100.7]: message too big: read=8 max=3',
            {"sender": '"a b> H=(h) [1.2.3.4]: big"@b.test', "code": 552, "remote_address": "198.51.100.7"},
        ),
        (
            "SIZE= of MAIL refused: the command is printed as it came",
            'rejected MAIL FROM:<"x> y"@b.test> H=(c) [198.51.100.7]: message too big: size>=7 max=3',
            {"sender": '"x> y"@b.test', "code": 552, "text": "message too big: size>=7 max=3"},
        ),
    ],
)
def test_strangers_state_no_facts(why: str, line: str, details: dict[str, Any]) -> None:
    """Lines as Exim 4.96 writes them of hostile addresses, names and answers."""
    kinds = {"<=": "received", "=>": "delivered", "==": "deferred", "**": "failed"}
    fact = fact_in(f"{TIME} {ID} {line}" if line[:2] in kinds else f"{TIME} {line}")
    assert fact is not None, why
    assert fact.kind.value == kinds.get(line[:2], "rejected"), why
    assert {name: fact.details.get(name) for name in details} == details, why


# what Exim prints: it escapes control characters
PRINTED = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)
PIECES = ' H=( ;) [;1.2.3.4;] ; P=local; S=7; S=²;";\\;<;>;: ; R=x; T=y; id=a; for a@b; from <;** ;rejected RCPT <; K'
HOSTILE = st.lists(PRINTED | st.sampled_from(PIECES.split(";")), max_size=9).map("".join)


def quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


@given(
    HOSTILE,
    st.sampled_from(["", f"{ID} "]),
    st.sampled_from(["", "<= ", "=> ", "== ", "** ", "H=(c) [1.2.3.4] rejected "]),
)
@settings(max_examples=60)
def test_no_text_raises(text: str, ident: str, start: str) -> None:
    fact_in(text)
    fact_in(f"{TIME} {ident}{start}{text}")


@given(HOSTILE, HOSTILE, st.none() | HOSTILE, st.integers(0, 10**9))
@settings(max_examples=60)
def test_received_whoever_wrote_it(sender: str, helo: str, ident: str | None, size: int) -> None:
    address = f"{quoted(sender)}@evil.test"
    message_id = "" if ident is None else f" id={quoted(ident)}@x"
    fact = fact_in(f"{TIME} {ID} <= {address} H=({helo}) [198.51.100.7]:99 P=esmtp S={size}{message_id}")
    assert fact is not None
    assert fact.details == {
        "queue_id": ID,
        "sender": address,
        "remote_host": helo,
        "remote_address": "198.51.100.7",
        "remote_port": 99,
        "protocol": "esmtp",
        "size": size,
        "message_id": None if ident is None else f"<{quoted(ident)}@x>",
    }


@given(HOSTILE)
@settings(max_examples=60)
def test_refused_and_failed_whoever_it_was_for(local_part: str) -> None:
    address = f"{quoted(local_part)}@a.test"
    refused = fact_in(f"{TIME} {REFUSED} <{address}>: relay not permitted")
    assert refused is not None and refused.kind is EventKind.REJECTED
    assert (refused.details["recipient"], refused.details["text"]) == (address, "relay not permitted")
    small = re.sub("[A-Z]+", lambda capitals: capitals[0].lower(), local_part)
    failed = fact_in(f"{TIME} {ID} ** {small}@a.test <{address}> R=d T=s: Unrouteable address")
    assert failed is not None and failed.kind is EventKind.FAILED
    assert (failed.details["recipient"], failed.details["router"]) == (address, "d")


@pytest.mark.parametrize(
    "line",
    [
        "Start queue run: pid=7 -qff",
        "End queue run: pid=7",
        f"{ID} Message is frozen",
        "no MAIL in SMTP connection from (daemon started: pid=1) [198.51.100.7] listening on [1.2.3.4]:99",
        'H=(c) [198.51.100.7] sender verify fail for <"> rejected RCPT <a@b>: c"@b.test>: Unrouteable address',
        f"{ID} mx.a.test [203.0.113.2] Connection refused",
        "no host name found for IP address 198.51.100.77",
        "",
        "Warning: purging the environment.",
    ],
)
def test_no_fact(line: str) -> None:
    assert fact_in(f"{TIME} {line}") is None


def test_a_message_came_before_its_delivery_was_noted() -> None:
    given = "1xVGsX-0004w0-12"
    sent = Fact(EventKind.DELIVERED, {"queue_id": ID, "text": f"OK id={given}"})
    done = Fact(EventKind.COMPLETED, {"queue_id": ID})
    came = Fact(EventKind.RECEIVED, {"queue_id": given})
    rejected = Fact(EventKind.REJECTED, {})
    assert list(in_order({"a": [sent, done], "b": [rejected, came]})) == [
        ("b", rejected),
        ("b", came),
        ("a", sent),
        ("a", done),
    ]
    lost = Fact(EventKind.DELIVERED, {"queue_id": ID, "text": "OK id=1xVGsX-0004w0-99"})
    assert list(in_order({"a": [lost]})) == [("a", lost)], "an id that nobody here reports holds up nobody"

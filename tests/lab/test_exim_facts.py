"""Facts read from a real Exim's log lines (all seen on 4.96)."""

from __future__ import annotations

from typing import Any

import pytest

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


@pytest.mark.parametrize(
    "line",
    [
        "Start queue run: pid=7 -qff",
        "End queue run: pid=7",
        f"{ID} Message is frozen",
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

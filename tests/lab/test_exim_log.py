"""The log that events make: each field, what log_selector shows of it, and which log a line belongs to."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from labkit.eximconf.log_selector import DEFAULT, NAMES, read_log_selector
from labkit.eximconf.place import ConfigurationError, Place
from labkit.lab.exim_facts import fact_in
from labkit.lab.exim_log import Style, log_lines, main_log, reject_log
from labkit.mail.event import EventKind, MailEvent

ID = "1xVGdp-0000LT-0M"
AT = datetime(2026, 11, 22, 23, 8, 37, 250000, timezone.utc)  # two minutes after it came
PLACE = Place("exim.conf", 1)
TLS = {"cipher": "TLS1.3:TLS_AES_256_GCM_SHA384:256", "is_verified": False}
TO = {"recipient": "bob@b.test", "router": "r", "transport": "t"}
HOST = {"remote_host": "mx.b.test", "remote_address": "203.0.113.2", "remote_port": 25}
RECEIVED = {
    "sender": "ann@a.test", "remote_host": "c", "remote_address": "198.51.100.7", "remote_port": 99,
    "protocol": "esmtps", "size": 418, "message_id": "<x@c>", "own_address": "203.0.113.1", "own_port": 25,
    "subject": 'a "b"', "body_type": 8,
    "raw_sender": "Ann@a.test", "raw_recipients": "bob@b.test carl@b.test", "took": 0.25,
}  # fmt: skip


def event(kind: EventKind, **details: Any) -> MailEvent:
    return MailEvent(number=1, at=AT, host="mx", kind=kind, queue_id=ID, **details)


def shown(said: MailEvent, selector: str = "") -> list[str]:
    style = Style(read_log_selector(selector, PLACE), pid=77)
    return [line.partition(f"{ID} ")[2] for line in main_log([said], style)]


@pytest.mark.parametrize(
    "kind, details, selector, line",
    [
        (EventKind.RECEIVED, RECEIVED, "", "<= ann@a.test H=(c) [198.51.100.7] P=esmtps S=418 id=x@c"),
        (
            EventKind.RECEIVED,
            RECEIVED | TLS | {"authenticator": "plain:ann", "server_name": "mx.test", "peer_name": "CN=c"},
            "+incoming_port +incoming_interface +tls_sni +tls_peerdn",
            "<= ann@a.test H=(c) [198.51.100.7]:99 I=[203.0.113.1]:25 P=esmtps X=TLS1.3:TLS_AES_256_GCM_SHA384:256 "
            'CV=no DN="CN=c" SNI=mx.test A=plain:ann S=418 id=x@c',
        ),
        (
            EventKind.RECEIVED,
            RECEIVED | TLS,
            "-all +8bitmime +receive_time +subject +received_sender +received_recipients",
            "<= ann@a.test H=(c) [198.51.100.7] P=esmtps S=418 M8S=8 RT=0s "
            'T="a \\"b\\"" from <Ann@a.test> for bob@b.test carl@b.test',
        ),
        (
            EventKind.RECEIVED,
            {"sender": "", "about": ID, "protocol": "local", "size": 9, "login": "exim", "message_id": f"<E{ID}@mx>"},
            "+msg_id_created",
            f"<= <> R={ID} U=exim P=local S=9 id*=E{ID}@mx",
        ),
        (EventKind.DELIVERED, TO | {"recipient": "bob@b.test"}, "", "=> bob <bob@b.test> R=r T=t"),
        (
            EventKind.DELIVERED,
            TO | HOST | TLS | {"is_secure": True, "is_dane": True, "is_verified": True},
            "+dnssec +outgoing_port -tls_cipher",
            "=> bob@b.test R=r T=t H=mx.b.test DS [203.0.113.2]:25 CV=dane",
        ),
        (
            EventKind.DELIVERED,
            TO | HOST | TLS | {"is_secure": True, "is_verified": True},
            "-tls_cipher",
            "=> bob@b.test R=r T=t H=mx.b.test [203.0.113.2] CV=yes",
        ),
        (
            EventKind.DELIVERED,
            TO | HOST | TLS | {"code": 250, "text": "OK", "mark": "->", "is_chunked": True},
            "",
            "-> bob@b.test R=r T=t H=mx.b.test [203.0.113.2] X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=no K "
            'C="250 OK"',
        ),
        (
            EventKind.DELIVERED,
            TO
            | HOST
            | {"code": 250, "text": "OK", "origin": "a@a.test", "return_path": "b@a.test", "size": 5, "took": 1.5},
            "+outgoing_port +queue_time +deliver_time +sender_on_delivery +return_path_on_delivery +delivery_size "
            "+millisec -smtp_confirmation",
            "=> bob@b.test F=<a@a.test> P=<b@a.test> R=r T=t S=5 H=mx.b.test [203.0.113.2]:25 QT=2m DT=1.500s",
        ),
        (
            EventKind.DELIVERED,
            TO | {"became": "/dev/null", "parents": "x@b.test, y@b.test"},
            "",
            "=> /dev/null (x@b.test) <bob@b.test> R=r T=t",
        ),
        (
            EventKind.DELIVERED,
            TO | {"became": "carl", "parents": "x@b.test, y@b.test"},
            "+all_parents",
            "=> carl (x@b.test, y@b.test) <bob@b.test> R=r T=t",
        ),
        (
            EventKind.DEFERRED,
            TO | HOST | {"errno": -44, "text": "SMTP error: 450 no"},
            "",
            "== bob@b.test R=r T=t defer (-44) H=mx.b.test [203.0.113.2]: SMTP error: 450 no",
        ),
        (
            EventKind.DEFERRED,
            {"recipient": "b@b.test", "errno": -56, "text": "x"},
            "",
            "== b@b.test routing defer (-56): x",
        ),
        (EventKind.FAILED, TO | {"text": "no"}, "+sender_on_delivery", "** bob@b.test R=r T=t: no"),
        (EventKind.COMPLETED, {}, "", "Completed"),
        (EventKind.COMPLETED, {}, "+queue_time_overall", "Completed QT=2m"),
        (EventKind.LOGGED, {"text": "a rule", "selector": "address_rewrite"}, "+address_rewrite", "a rule"),
    ],
)  # fmt: skip
def test_a_line(kind: EventKind, details: dict[str, Any], selector: str, line: str) -> None:
    assert shown(event(kind, **details), selector) == [line]


def test_what_is_not_selected_is_not_there() -> None:
    assert shown(event(EventKind.LOGGED, text="a rule", selector="address_rewrite")) == []


def test_the_beginning_of_a_line() -> None:
    style = Style(read_log_selector("+pid +millisec", PLACE), shows_zone=True, pid=77)
    (line,) = main_log([event(EventKind.COMPLETED)], style)
    assert line == f"2026-11-22 23:08:37.250 +0000 [77] {ID} Completed"


def test_the_reject_log_has_headers() -> None:
    refused = event(
        EventKind.REJECTED,
        command="after DATA",
        sender="a@b",
        code=550,
        text="no",
        header="F From: x\x1b\nT To: y\n",
    )
    head, *below = reject_log([refused])
    assert head.endswith("F=<a@b> rejected after DATA: no")
    assert below == ["F From: x\\033", "T To: y"]
    assert len(list(reject_log([refused], Style(read_log_selector("-rejected_header", PLACE))))) == 1
    assert list(main_log([refused])) == [head]
    only = event(EventKind.LOGGED, text="x", logs="reject")
    assert [each.logs for each in log_lines(only)] == [("reject",)]
    assert list(main_log([only])) == []


def test_a_fact_gives_the_line_that_it_was_read_from() -> None:
    """Both engines' events have the same fields."""
    for line in (
        "<= ann@a.test H=(c) [198.51.100.7] P=esmtpsa X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=no A=plain:ann S=418 "
        "id=x@c",
        '=> bob@b.test R=r T=t H=mx.b.test [203.0.113.2] X=TLS1.3:T:256 CV=yes A=login K C="250 OK id=1"',
        "== bob@b.test R=r T=t defer (-45) H=mx.b.test [203.0.113.2]: no",
        "<= <> R=1xVGdp-0000LT-0N U=exim P=local S=9",
    ):
        fact = fact_in(f"2026-11-22 23:08:37 {ID} {line}")
        assert fact is not None
        details = {name: value for name, value in fact.details.items() if name != "queue_id"}
        assert shown(event(fact.kind, **details)) == [line]


def test_selectors() -> None:
    assert read_log_selector(None, PLACE) == DEFAULT
    assert read_log_selector("+all -subject", PLACE) == NAMES - {"subject"}
    assert read_log_selector("-all+pid +rejected_headers", PLACE) == {"pid", "rejected_header"}


@pytest.mark.parametrize(
    "text, problem",
    [
        ("+foo", "unknown log_selector setting: +foo"),
        ("foo", 'malformed log_selector setting: + or - expected but found "foo"'),
        ("+subject -", "unknown log_selector setting: -"),
        ("+ subject", "unknown log_selector setting: +"),
        ("+subject x", 'malformed log_selector setting: + or - expected but found "x"'),
    ],
)
def test_wrong_selectors(text: str, problem: str) -> None:
    """The words are Exim's."""
    with pytest.raises(ConfigurationError) as caught:
        read_log_selector(text, PLACE)
    assert caught.value.problem == problem

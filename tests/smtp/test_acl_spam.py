"""`spam =` of ACLs: which filter is asked and how, what its answer means, and what remains when nobody answers.

The real Exim is the judge of the same in tests/oracles/test_spam_agrees.py; this stands without it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from labkit.eximconf.expansion import compile_text
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question
from labkit.mail.lookups import RandomNumber
from labkit.mail.questions import FilterSaid, NoScore, SpamScore
from labkit.smtp.acl import Phase
from labkit.smtp.acl.scene import SpamWishes
from labkit.smtp.acl.spam_answer import SpamAnswer, read_answer
from labkit.smtp.acl.spam_servers import SpamServer, most_wanted, servers_of

from .conftest import PLACE

SPAM = "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.3 / 5.0\r\n\r\nline1\r\nline2\r\n\r\n"
HAM = "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.3 / 5.0\r\n\r\nnice"
RSPAMD = "RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 15.00 / 14.00 / 15.0\r\nAction: add header\r\nSymbol: GTUBE\r\n"
REFUSED, LATER = "550 Administrative prohibition", "451 Temporary local problem - please try later"
MESSAGE = b"Subject: hi\n\nbody\n"


class Filters:
    """What each server says; a server that is not there was not reached."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.says: dict[str, FilterSaid | NoScore] = {"127.0.0.1 783": FilterSaid(SPAM, "127.0.0.1:783")}
        self.asked: list[SpamScore] = []
        self.chance = 0
        others, stage.answer = stage.answer, self.answer
        self.others = others
        self.of(None)

    def of(self, address: str | None) -> None:
        compiled = None if address is None else compile_text(address, PLACE)
        self.stage.scene.spam = SpamWishes(compiled, lambda: MESSAGE)

    def answer(self, question: Question[Any]) -> Any:
        if isinstance(question, SpamScore):
            self.asked.append(question)
            return self.says.get(question.place, NoScore("connection refused", is_unreached=True))
        if isinstance(question, RandomNumber):
            assert self.chance < question.below
            return self.chance
        return self.others(question)

    def said(self, text: str) -> str:
        return str(self.stage.said(text, phase=Phase.DATA))


@pytest.fixture
def filters(stage: Any) -> Filters:
    return Filters(stage)


@pytest.mark.parametrize(
    "value, answer, reply, questions, because",
    [
        ("nobody", SPAM, REFUSED, 1, "it is spam"),
        ("nobody", HAM, "accepted", 1, "it is none"),
        ("nobody:true", HAM, REFUSED, 1, "it always holds: only the variables are wanted"),
        ("nobody:TRUE", HAM, REFUSED, 1, ""),
        ("nobody:yes", HAM, "accepted", 1, "only this word"),
        ("0", SPAM, "accepted", 0, "nobody is asked"),
        ("false", SPAM, "accepted", 0, ""),
        ("FALSE:true", SPAM, "accepted", 0, ""),
        ("", SPAM, "accepted", 0, ""),
        ("00", SPAM, REFUSED, 1, "a name like others"),
        ("nobody", "garbage", LATER, 1, "what cannot be read is no verdict"),
        ("nobody/defer_ok", "garbage", "accepted", 1, "and no refusal, where that is said"),
        ("nobody/DEFER_OK", "garbage", "accepted", 1, ""),
        ("nobody/other", "garbage", LATER, 1, ""),
        ("nobody/defer_ok", SPAM, REFUSED, 1, "spam stays spam"),
    ],
)
def test_when_it_holds(
    value: str, answer: str, reply: str, questions: int, because: str, filters: Filters
) -> None:
    filters.says["127.0.0.1 783"] = FilterSaid(answer, "127.0.0.1:783")
    assert filters.said(f" deny spam = {value}\n accept\n") == reply, because
    assert len(filters.asked) == questions, because
    turned = filters.said(f" deny !spam = {value}\n accept\n")
    assert turned == {REFUSED: "accepted", "accepted": REFUSED, LATER: LATER}[reply] or "garbage" in answer


def test_what_the_filter_is_sent(filters: Filters) -> None:
    """The envelope in front of the message, as in a mbox: spamd knows these lines."""
    scene = filters.stage.scene
    scene.recipients = (Mailbox.parse("bob@here.test"), Mailbox.parse("eve@here.test"))
    scene.env.now = datetime(2026, 9, 7, 9, tzinfo=timezone.utc)
    scene.memory.return_path = "ann@a.test"
    filters.said(" deny spam = a::b\n accept\n")
    (asked,) = filters.asked
    assert asked.content == (
        b"From ann@a.test Mon Sep 07 09:00:00 2026\nX-Envelope-From: <ann@a.test>\n"
        b"X-Envelope-To: bob@here.test, eve@here.test\n" + MESSAGE
    )
    assert asked.head == b"REPORT SPAMC/1.2\r\nUser: a:b\r\nContent-length: %d\r\n\r\n" % len(asked.content)
    assert (asked.place, asked.timeout, asked.retry, asked.hangs_up) == ("127.0.0.1 783", 120, 0, True)


def test_from_nobody_to_nobody(filters: Filters) -> None:
    filters.stage.variables["sender_address"] = ""
    filters.said(" deny spam = nobody\n accept\n")
    assert filters.asked[0].content == b"From MAILER-DAEMON \n" + MESSAGE


def test_what_rspamd_is_sent(filters: Filters) -> None:
    filters.of("127.0.0.1 11333 variant=rspamd tmo=5s retry=2s")
    filters.says["127.0.0.1 11333"] = FilterSaid(RSPAMD, "127.0.0.1:11333")
    filters.stage.variables |= {
        "message_exim_id": "ID",
        "sender_host_name": "client.test",
        "authenticated_id": "ann",
    }
    filters.stage.scene.recipients = (Mailbox.parse("bob@here.test"),)
    assert filters.said(" deny spam = nobody\n accept\n") == REFUSED
    (asked,) = filters.asked
    assert (asked.timeout, asked.retry, asked.hangs_up) == (5, 2, False)
    assert asked.head.decode().split("\r\n") == [
        "CHECK RSPAMC/1.3", f"Content-length: {len(asked.content)}", "Queue-Id: ID", "From: <ann@a.test>",
        "Recipient-Number: 1", "Rcpt: <bob@here.test>", "Helo: client.test", "Hostname: client.test",
        "IP: 203.0.113.9", "User: ann", "", "",
    ]  # fmt: skip
    assert filters.stage.variables["spam_action"] == "add header"


def test_once_for_a_message_and_a_user(filters: Filters) -> None:
    body = " warn spam = a:true\n warn spam = a\n warn spam = b:true\n warn spam = a:true\n accept\n"
    filters.said(body)
    assert [asked.head.split(b"\r\n")[1] for asked in filters.asked] == [b"User: a", b"User: b", b"User: a"]


def test_another_server_where_one_is_not_reached(filters: Filters) -> None:
    filters.of("127.0.0.1 1 pri=2 : 127.0.0.1 783")
    assert filters.said(" deny spam = nobody\n accept\n") == REFUSED
    assert [asked.place for asked in filters.asked] == ["127.0.0.1 1", "127.0.0.1 783"]
    assert filters.stage.logged == ["spam acl condition: spamd: connection refused"]


def test_no_other_one_where_it_was_reached(filters: Filters) -> None:
    filters.of("127.0.0.1 1 pri=2 : 127.0.0.1 783")
    filters.says["127.0.0.1 1"] = NoScore("it fell silent")
    assert filters.said(" deny spam = nobody\n accept\n") == LATER
    assert len(filters.asked) == 1
    assert filters.stage.logged[0] == "spam acl condition: it fell silent"


def test_where_all_fail(filters: Filters) -> None:
    filters.of("nohost 783 : 127.0.0.1 2")
    filters.says["nohost 783"] = NoScore("no IP address found for host nohost", is_unreached=True)
    filters.chance = 0
    assert filters.said(" deny spam = nobody\n accept\n") == LATER
    logged = filters.stage.logged
    assert logged[:2] == [
        "no IP address found for host nohost",
        "spam acl condition: spamd: no IP address found for host nohost",
    ]
    assert "spam acl condition: all spamd servers failed" in logged


@pytest.mark.parametrize(
    "address, words",
    [
        (":", "no useable spamd server addresses in spamd_address configuration option."),
        ("nowhere", "no useable spamd server addresses in spamd_address configuration option."),
        ("${if eq{a}{b}{x}fail}", "spamd_address starts with $, but expansion failed:"),
    ],
)
def test_no_server_to_ask(address: str, words: str, filters: Filters) -> None:
    filters.of(address)
    assert filters.said(" deny spam = nobody\n accept\n") == LATER
    assert any(f"spam acl condition: {words}" in line for line in filters.stage.logged)
    assert not filters.asked


def test_an_address_is_expanded_where_it_begins_with_a_dollar(filters: Filters) -> None:
    filters.of("${if eq{a}{a}{127.0.0.1 783}}")
    assert filters.said(" deny spam = nobody\n accept\n") == REFUSED
    filters.of("127.0.0.1 ${port}")
    filters.said(" deny spam = nobody\n accept\n")
    assert filters.asked[-1].place == "127.0.0.1 ${port}"


@pytest.mark.parametrize("chance, place", [(0, "a 1"), (1, "b 2"), (3, "b 2"), (4, "c 3")])
def test_by_weight_among_the_most_wanted(chance: int, place: str, filters: Filters) -> None:
    filters.of("z 9 weight=50 : a 1 pri=2 : b 2 pri=2 weight=3 : c 3 pri=2 weight=1")
    filters.chance = chance
    filters.says |= {name: FilterSaid(SPAM) for name in ("a 1", "b 2", "c 3", "z 9")}
    filters.said(" deny spam = nobody\n accept\n")
    assert [asked.place for asked in filters.asked] == [place]


def test_what_nobody_is_to_have_is_not_asked(filters: Filters) -> None:
    filters.of("a 1 weight=0 : b 2 weight=0")
    assert filters.said(" deny spam = nobody\n accept\n") == LATER
    assert not filters.asked


def test_servers() -> None:
    found, complaints = servers_of(
        "127.0.0.1 783 : /run/spamd.sock variant=rspamd tmo=1m : host  a 7 pri=-1 retry=5s weight=+4"
    )
    assert found == (
        SpamServer("127.0.0.1 783"),
        SpamServer("/run/spamd.sock", is_rspamd=True, timeout=60),
        SpamServer("host a 7", priority=2**32 - 1, weight=4, retry=5),
    )
    assert complaints == ()
    assert most_wanted(found) == [found[2]]
    many, _ = servers_of(" : ".join(f"h {n}" for n in range(40)))
    assert len(many) == 32


@pytest.mark.parametrize(
    "item, complaints",
    [
        ("alone", ("invalid spamd address: 'alone'",)),
        ("h 1 pri=x", ("invalid spamd parameter: 'pri=x'",)),
        ("h 1 tmo=q", ("invalid spamd timeout value: 'q'",)),
        ("h 1 retry=q", ("invalid spamd retry value: 'q'",)),
        ("h 1 time=9-17", ()),
        ("h 1 time=9", ("invalid spamd time value: '9'",)),
        ("h 1 time=x-17", ("invalid spamd time value: 'x-17'",)),
        ("h 1 time=9-x", ("invalid spamd time value: '9-x'",)),
        ("h 1 variant=spamd", ("invalid spamd parameter: 'variant=spamd'",)),
        ("h 1 other", ("invalid spamd parameter: 'other'",)),
    ],
)
def test_complaints(item: str, complaints: tuple[str, ...]) -> None:
    assert servers_of(item)[1] == complaints


def answered(words: str, report: str = "report\r\n") -> SpamAnswer | str:
    return read_answer(f"SPAMD/1.1 0 EX_OK\r\nSpam: {words}\r\n\r\n{report}", is_rspamd=False)


@pytest.mark.parametrize(
    "words, is_spam, score, whole, bar, action",
    [
        ("True ; 15.3 / 5.0", True, "15.3", "153", "+" * 15, "reject"),
        ("True ; 5.0 / 5.0", True, "5.0", "50", "+++++", "reject"),
        ("True ; 4.99 / 5.0", False, "5.0", "49", "++++", "no action"),
        ("False ; -3.7 / 5.0", False, "-3.7", "-36", "---", "no action"),
        ("False ; 0.4 / 5.0", False, "0.4", "4", "/", "no action"),
        ("False ; -0.4 / -1", True, "-0.4", "-3", "/", "reject"),
        ("True ; 900 / 5.0", True, "900.0", "9000", "+" * 51, "reject"),
        ("True ; 0x5p0 / 5.0", True, "5.0", "50", "+++++", "reject"),
        ("True ; 1e1 / 5.0", True, "10.0", "100", "+" * 10, "reject"),
        ("True ; nan / 5.0", False, "nan", "-2147483648", "-", "no action"),
        ("True ; inf / 5.0", True, "inf", "-2147483648", "+", "reject"),
    ],
)
def test_variables(words: str, is_spam: bool, score: str, whole: str, bar: str, action: str) -> None:
    found = answered(words)
    assert isinstance(found, SpamAnswer)
    shown = found.variables
    assert (found.is_spam, shown["spam_score"], shown["spam_score_int"]) == (is_spam, score, whole)
    assert (shown["spam_bar"], shown["spam_action"]) == (bar, action)


def test_a_report_is_a_field_of_several_lines() -> None:
    found = answered("True ; 9 / 5", "one\r\ntwo\r\n\r\n")
    assert isinstance(found, SpamAnswer) and found.variables["spam_report"] == "one\n two"
    cut = answered("True ; 9 / 5", "one\0two")
    assert isinstance(cut, SpamAnswer) and cut.variables["spam_report"] == "one"


@pytest.mark.parametrize("words", ["", "True ; x / 5", "True;5/5 ; 1", "True ; 7 5", "True ; 7 / "])
def test_no_answer(words: str) -> None:
    assert answered(words) == " output"


@pytest.mark.parametrize(
    "said, understood",
    [
        ("", -1),
        ("HTTP/1.1 400\r\n", 0),
        ("RSPAMD/1.3 0 EX_OK\r\n", 1),
        ("RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; x", 2),
        ("RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 1 / 2", 4),
        ("RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 1 / 2 / 3", 5),
    ],
)
def test_how_much_of_rspamd_was_understood(said: str, understood: int) -> None:
    assert read_answer(said, is_rspamd=True) == f", output: {understood}"


def test_what_rspamd_would_do() -> None:
    found = read_answer(RSPAMD, is_rspamd=True)
    assert isinstance(found, SpamAnswer) and found.is_spam and found.variables["spam_action"] == "add header"
    below = read_answer(RSPAMD.replace("15.00", "13.99"), is_rspamd=True)
    assert isinstance(below, SpamAnswer) and not below.is_spam
    other = read_answer(RSPAMD.replace("Action: ", "Aktion: "), is_rspamd=True)
    assert isinstance(other, SpamAnswer) and "spam_action" not in other.variables

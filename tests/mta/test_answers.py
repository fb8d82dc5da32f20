"""The one door: each question that needs no configuration has somebody who answers it."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from labkit.mail import lookups, questions
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question
from labkit.mail.lookups import (
    DnsRecords,
    Exists,
    FileLine,
    FileText,
    FolderEntry,
    PasswdLine,
    RandomNumber,
    ReadSocket,
    SqliteRows,
    Unanswered,
    Unopened,
)
from labkit.mail.questions import (
    Account,
    AccountNamed,
    AddressesOf,
    CallOut,
    Callout,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    OwnAddresses,
    Pause,
    RateOf,
    SeenBefore,
    SpfOf,
    Standing,
    VerifyRecipient,
    VerifySender,
)
from labkit.mta.answers import Answers, CannotAnswer
from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import Zones, read_zone
from labkit.net.memory import Memory
from labkit.net.resolver import Resolver

ME, NAMESERVER = "203.0.113.1", "203.0.113.53"
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)
NEED_A_CONFIGURATION = {VerifyRecipient, VerifySender}
ZONE = r"""
$TTL 1h
@       SOA  ns host\.master 1 1h 15m 1w 5m
        NS   NS
        MX   10 Mx1
        MX   20 mx2.other.test.
        TXT  "v=spf1 " "mx -all"
        TXT  "gr\252n"
ns      A    203.0.113.53
mx1     A    203.0.113.1
        A    203.0.113.4
        AAAA 2001:db8::2
www     CNAME mx1
null    MX   0 .
_25._tcp.mx1 TLSA 3 1 1 ( 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef )
_smtp._tcp SRV 1 2 25 mx1
1.0.0.10.in-addr.arpa.a.test. PTR www
old     SPF  "v=spf1 ~all"
lame    NS   ns.elsewhere.test.
"""


def tell(root: Path, *asked: Question[Any], accounts: Mapping[str, Account] | None = None) -> list[Any]:
    """The answers of a host whose disk is `root`."""
    spent = timedelta()

    async def sleep(span: timedelta) -> None:
        nonlocal spent
        spent += span

    async def story() -> list[Any]:
        network = Memory([ME, NAMESERVER])
        server = DnsServer(Zones(read_zone(ZONE, "a.test")))
        await server.start(network, NAMESERVER)
        resolver = Resolver(network, ME, NAMESERVER, lambda: MONDAY + spent, sleep)
        answers = Answers(
            root=root,
            addresses=(ME,),
            resolver=resolver,
            network=network,
            accounts=accounts,
            now=lambda: MONDAY + spent,
            sleep=sleep,
            seed="lab",
            rates=root / "rates",
        )
        try:
            return [await answers.answer(each) for each in asked]
        finally:
            answers.close()
            await network.close()

    return asyncio.run(story())


def test_everybody_finds_an_answerer(tmp_path: Path) -> None:
    kinds = {
        kind
        for module in (questions, lookups)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Question) and kind is not Question
    }

    async def story() -> set[type]:
        network = Memory([ME])
        answers = Answers(
            root=tmp_path,
            addresses=(ME,),
            resolver=Resolver(network, ME, NAMESERVER, lambda: MONDAY, lambda span: asyncio.sleep(0)),
            network=network,
            accounts={},
            now=lambda: MONDAY,
            sleep=lambda span: asyncio.sleep(0),
        )
        return {kind for kind in kinds if kind not in answers._answers}

    of_the_agent = {questions.PolicyAt}  # which lives beside an MTA; the lab answers it (lab/policy_host.py)
    assert asyncio.run(story()) == NEED_A_CONFIGURATION | of_the_agent
    with pytest.raises(CannotAnswer):
        tell(tmp_path, VerifyRecipient(Mailbox("a", "b")))


@pytest.mark.parametrize(
    "kind, name, expected, because",
    [
        ("A", "mx1.a.test", ("203.0.113.1", "203.0.113.4"), "addresses"),
        ("A", "www.a.test", ("203.0.113.1", "203.0.113.4"), "through a CNAME"),
        ("AAAA", "mx1.a.test", ("2001:db8::2",), "of IPv6"),
        ("CNAME", "www.a.test", ("mx1.a.test",), "the CNAME itself"),
        ("MX", "a.test", ("10 Mx1.a.test", "20 mx2.other.test"), "the case of the zone"),
        ("MX", "null.a.test", ("0 .",), "a null MX"),
        ("TXT", "a.test", ("v=spf1 ", "gr\xfcn"), "first strings, octets"),
        ("NS", "a.test", ("NS.a.test",), "a nameserver"),
        ("SOA", "a.test", ("ns.a.test host\\.master.a.test 1 3600 900 604800 300",), "a start"),
        ("SRV", "_smtp._tcp.a.test", ("1 2 25 mx1.a.test",), "a service"),
        ("PTR", "1.0.0.10.in-addr.arpa.a.test", ("www.a.test",), "a pointer"),
        ("TLSA", "_25._tcp.mx1.a.test", ("3 1 1 " + "0123456789abcdef" * 4,), "a certificate"),
        ("SPF", "old.a.test", ("v=spf1 ~all",), "as TXT"),
        ("A", "none.a.test", None, "no such name"),
        ("A", "a.test", None, "no such record"),
        ("A", "", None, "no name"),
        ("A", "a..b", None, "nor is this"),
        ("A", "x" * 64 + ".test", None, "too long a label"),
        ("A", "lame.a.test", Unanswered("server failure"), "nobody knows"),
    ],
)
def test_records(tmp_path: Path, kind: str, name: str, expected: Any, because: str) -> None:
    assert tell(tmp_path, DnsRecords(kind, name)) == [expected], because


def test_the_form_of_an_answer_is_that_of_the_question(tmp_path: Path) -> None:
    """The resolver remembers both, and takes neither for the other."""
    asked = [MxOf("null.a.test"), DnsRecords("MX", "null.a.test"), MxOf("null.a.test")]
    found = DnsAnswer(DnsOutcome.FOUND, (MxRecord(0, "."),))
    assert tell(tmp_path, *asked) == [found, ("0 .",), found]


def test_files_and_databases(tmp_path: Path) -> None:
    (tmp_path / "F").write_text("ann: bob\n")
    assert tell(
        tmp_path,
        FileLine("/F", "ann"),
        FileText("/F"),
        FolderEntry("/", "F", "file"),
        Exists("/F"),
        Exists("/G"),
        SqliteRows("/db", "select 1 a"),
        ReadSocket("/s", "x"),
    ) == ["bob", "ann: bob\n", True, True, False, ((("a", "1"),),), Unopened("No such file or directory")]


def test_spf(tmp_path: Path) -> None:
    """The room auth asks the same DNS. What is no address gets no verdict."""
    asked = [
        SpfOf(client, "h", "ann@a.test", "mx.here.test") for client in ("203.0.113.4", "192.0.2.1", "nobody")
    ]
    passed, unclear, nothing = tell(tmp_path, *asked)  # the second mail exchanger is in a zone of others
    assert (passed.result, unclear.result, nothing) == ("pass", "temperror", None)
    words = "mx.here.test: domain of a.test designates 203.0.113.4 as permitted sender"
    assert passed.header_comment == words and f"Received-SPF: pass ({words}) " in passed.received


def test_accounts_of_the_lab(tmp_path: Path) -> None:
    ann = Account("ann", "/home/ann")
    asked = (AccountNamed("ann"), AccountNamed("root"), PasswdLine("ann"), PasswdLine("root"))
    told = tell(tmp_path, *asked, accounts={"bob": Account("bob", "/b"), "ann": ann})
    assert told == [replace(ann, uid=1001, gid=1001), None, (1001, 1001, "", "/home/ann", "/bin/sh"), None]


def test_accounts_of_the_machine(tmp_path: Path) -> None:
    entry = pwd.getpwuid(0)
    asked = (
        AccountNamed(entry.pw_name),
        PasswdLine(entry.pw_name),
        AccountNamed("no such"),
        PasswdLine("a\0"),
    )
    assert tell(tmp_path, *asked) == [
        Account(entry.pw_name, entry.pw_dir, entry.pw_uid, entry.pw_gid),
        (entry.pw_uid, entry.pw_gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell),
        None,
        None,
    ]


def test_time_and_memory(tmp_path: Path) -> None:
    asked = (
        SeenBefore("k", 1),
        Pause(30),
        SeenBefore("k", 1),
        RateOf("k", 10, 60),
        OwnAddresses(),
        AddressesOf("ns.a.test"),
    )
    _, _, age, rate, own, addresses = tell(tmp_path, *asked)
    assert (age, rate, own) == (30, 1, (ME,))
    assert addresses.records == (NAMESERVER,)
    assert tell(tmp_path, SeenBefore("k", 1)) == [-30]  # it was stored; here time begins anew


def test_numbers_are_the_same_in_two_runs(tmp_path: Path) -> None:
    asked = [RandomNumber(1000)] * 3
    assert tell(tmp_path, *asked) == tell(tmp_path, *asked)


def test_a_callout(tmp_path: Path) -> None:
    asked = CallOut((("mx1.a.test", ME, 25),), "me", Mailbox("a", "b.test"), Callout())
    (answer,) = tell(tmp_path, asked)
    assert (answer.standing, answer.words) == (Standing.UNDECIDED, f"mx1.a.test [{ME}] : Connection refused")

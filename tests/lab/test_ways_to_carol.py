"""The ways to Carol, the matrix made by running, and the provider's reports, on every network and engine."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.auth.aggregate_reading import read_report
from labkit.auth.aggregate_report import compressed, write_xml
from labkit.lab.list_engine import ListEngine, NoSuchSetting
from labkit.lab.provider_reports import NoReport, report_in, send_reports
from labkit.lab.ways_to_carol import (
    SEVEN,
    WAYS,
    NoSuchWay,
    NotArrived,
    add_to_zone,
    find_out,
    send_along,
    vouch_for,
)
from labkit.mail.event import EventKind
from labkit.mail.message import Message

from .outside_world import BOB, MINE, Run, opened
from .outside_world import WAYS as RUN_ON

MATRIX = {
    "direct": "pass pass pass none",
    "relay": "pass pass pass none",
    "forwarder": "fail pass pass none",
    "forwarder with SRS": "pass pass pass none",
    "backup MX": "fail pass pass none",
    "mailing list": "pass fail fail none",
    "spoofer": "fail none fail none",
    "list, own From:": "pass fail pass none",
    "list, sealed": "pass fail fail pass",
    "list, untouched": "pass pass pass none",
}


@RUN_ON
def test_the_matrix_is_made_by_running(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("what_survives", network, engine) as world:
            await vouch_for(world)
            found = await find_out(world, *WAYS)
            assert {way: " ".join(row.values()) for way, row in found.items()} == MATRIX
            clients = [each.client for each in world.provider.verdicts]
            hosts = [
                "mx2.st11.sne21.test",
                "smtp.relay.test",
                "mx.forward.test",
                "mx.srs.test",
                "backup.shelter.test",
            ]
            hosts += ["mx.lists.test", "mx.spoof.test", "mx.lists.test", "mx.lists.test", "mx.lists.test"]
            assert clients == [world.host(name).address for name in hosts], "each letter really went its way"
            assert not world.journal.where(EventKind.PROBLEM)

    run(story())


def test_without_keys_and_relay_less_survives(run: Run) -> None:
    """The same ways before anything is published: the words come from the run."""

    async def story() -> None:
        async with opened("what_survives") as world:
            found = await find_out(world, "direct", "forwarder", "list, untouched")
            assert [" ".join(row.values()) for row in found.values()] == [
                "pass none pass none",
                "fail none fail none",
                "pass none fail none",
            ]
            with pytest.raises(NotArrived, match="never saw"):
                await send_along(world, "relay")  # it has not verified the domain

    run(story())


def test_the_key_is_made_once_and_lines_are_put_in_once(run: Run) -> None:
    async def story() -> None:
        async with opened("what_survives") as world:
            await vouch_for(world)
            key = world.mine.path("/etc/dkim/k1.pem")
            before, zone = key.read_bytes(), world.zone("sne21.test")
            await vouch_for(world)
            assert (key.read_bytes(), world.zone("sne21.test")) == (before, zone)
            assert key.stat().st_mode & 0o077 == 0
            add_to_zone(world, "new IN A 192.0.2.1")
            assert world.zone("sne21.test").count("new IN A") == 1

    run(story())


def test_other_students_have_the_same_ways(run: Run) -> None:
    async def story() -> None:
        async with opened("what_survives", st=7, apex="sne21.ru") as world:
            await vouch_for(world)
            found = await find_out(world, "direct", "forwarder", "spoofer")
            assert [" ".join(row.values()) for row in found.values()] == [
                MATRIX[way] for way in ("direct", "forwarder", "spoofer")
            ]

    run(story())


def test_ways_that_there_are_not(run: Run) -> None:
    async def story() -> None:
        async with opened("what_survives") as world:
            with pytest.raises(NoSuchWay, match=r"'by pigeon'.*direct, relay"):
                await send_along(world, "by pigeon")
            world.faults.add("mx.lists.test", "refuses")
            with pytest.raises(NotArrived, match=r"mx2\.st11\.sne21\.test"):
                await send_along(world, "mailing list")

    run(story())


@pytest.mark.parametrize(
    "change, word",
    [
        ({"mode": "carefully"}, "plain, munge, arc, untouched"),
        ({"name": "other"}, "mta, kind, sealed, still"),
    ],
)
def test_list_settings_that_there_are_not(run: Run, change: dict[str, Any], word: str) -> None:
    async def story() -> None:
        async with opened("what_survives") as world:
            engine = world.host("mx.lists.test").engine
            assert isinstance(engine, ListEngine)
            with pytest.raises(NoSuchSetting, match=word):
                engine.change(**{"name": "mta", **change})

    run(story())


# --- aggregate reports ---


@RUN_ON
def test_a_report_comes_by_mail_and_says_what_was_found(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("what_survives", network, engine, policy="reject") as world:
            await vouch_for(world)
            await find_out(world, *SEVEN, "direct", "list, sealed")
            await world.advance(hours=15)
            (sent,) = await send_reports(world.provider)
            await world.settle()
            assert sent.to == (f"postmaster@{MINE}",)
            mail = world.mine.mailbox("postmaster")[-1]
            report = report_in(mail)
            assert report == read_report(compressed(write_xml(sent.report)))
            assert report.count == 9 == sum(row.count for row in report.rows)
            rows = {(row.source_ip, row.disposition): row for row in report.rows}
            mine = rows[world.mine.address, "pass"]
            assert (mine.count, mine.spf, mine.dkim) == (2, "pass", "pass")
            forwarded = rows[world.host("mx.forward.test").address, "pass"]
            assert (forwarded.spf, forwarded.dkim) == ("fail", "pass")
            listed = rows[world.host("mx.lists.test").address, "reject"]
            assert listed.spf_seen is not None and listed.spf_seen.domain == "lists.test"
            sealed = rows[world.host("mx.lists.test").address, "none"]
            assert [(each.kind, each.comment) for each in sealed.reasons] == [
                ("local_policy", f"arc=pass as[1].d=lists.test as[1].s=l1 remote-ip[1]={world.mine.address}")
            ]
            assert rows[world.host("mx.spoof.test").address, "reject"].count == 1
            assert mail.first("Subject") == (
                f"Report Domain: {MINE} Submitter: bigmail.test Report-ID: <{report.report_id}>"
            )
            name = f"bigmail.test!{MINE}!{report.begin}!{report.end}.xml.gz"
            assert name in (mail.first("Content-Disposition") or "")

    run(story())


def test_only_what_is_new_is_reported(run: Run) -> None:
    async def story() -> None:
        async with opened("what_survives") as world:
            assert await send_reports(world.provider) == ()
            await send_along(world, "direct")
            noon = world.now()
            assert await send_reports(world.provider, since=noon) == ()
            await world.advance(hours=1)
            await send_along(world, "spoofer")
            (sent,) = await send_reports(world.provider, since=noon)
            assert [(row.source_ip, row.count) for row in sent.report.rows] == [("203.0.113.66", 1)]
            assert sent.report.begin == int(noon.timestamp())

    run(story())


@pytest.mark.parametrize(
    "rua, to",
    [
        ("mailto:ann@st11.sne21.test!10m", ("ann@st11.sne21.test",)),
        (f"mailto:{BOB}", ()),  # another organization that has not agreed
        ("https://st11.sne21.test/reports", ()),
        ("mailto:%0d%0a@st11.sne21.test", ()),
    ],
)
def test_who_may_have_a_report(run: Run, rua: str, to: tuple[str, ...]) -> None:
    async def story() -> None:
        async with opened("what_survives") as world:
            zone = world.zone("sne21.test").replace(f"mailto:postmaster@{MINE}", rua)
            world.write_zone("sne21.test", zone)
            await send_along(world, "direct")
            (sent,) = await send_reports(world.provider)
            assert sent.to == to

    run(story())


@pytest.mark.parametrize(
    "content, words",
    [
        (b"Subject: hi\r\n\r\nhello\r\n", "no attachment"),
        (
            b"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
            "no XML|cannot be read",
        ),
        (b"Content-Type: application/gzip\r\n\r\n\x1f\x8b\x08\r\n", "damaged|too early"),
        (b"Content-Type: text/xml\r\n\r\n<!DOCTYPE x><feedback/>\r\n", "document type"),
    ],
)
def test_what_is_no_report(content: bytes, words: str) -> None:
    with pytest.raises(NoReport, match=words):
        report_in(Message.parse(content))

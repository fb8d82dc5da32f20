"""The lab's block list: what it says of whom, how soon it is seen, and how a list goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from labkit.lab.blocklist import (
    LONGEST_REASON,
    MOST_ENTRIES,
    Blocklist,
    Entry,
    ListMistake,
    entry,
    name_of,
    zone_text,
)
from labkit.lab.world import World, partners
from labkit.mail.questions import AddressesOf, DnsOutcome, TextOf
from labkit.net.dns_zones import read_zone

BAD = "198.51.100.66"


def with_list(story: Callable[[World, Blocklist], Awaitable[None]]) -> None:
    async def told() -> None:
        async with partners(network="memory", alongside=True) as world:
            await story(world, Blocklist(world))

    asyncio.run(told())


async def said(world: World, address: str, **at: object) -> tuple[DnsOutcome, tuple[str, ...]]:
    answer = await world.ask(AddressesOf(name_of(address)), **at)  # type: ignore[arg-type]
    return answer.outcome, answer.records


def test_who_is_listed_and_why() -> None:
    async def story(world: World, blocks: Blocklist) -> None:
        blocks.list(BAD, 'sends "offers" \\ spam')
        assert await said(world, BAD) == (DnsOutcome.FOUND, ("127.0.0.2",))
        texts = await world.ask(TextOf(name_of(BAD)))
        assert texts.records == ('sends "offers" \\ spam',)
        assert (await said(world, "198.51.100.67"))[0] is DnsOutcome.NXDOMAIN
        blocks.delist(BAD)
        assert (await said(world, BAD))[0] is DnsOutcome.NXDOMAIN
        with pytest.raises(KeyError, match=r"not on the list bl\.test"):
            blocks.delist(BAD)

    with_list(story)


def test_the_test_entries() -> None:
    """RFC 5782 §5: 127.0.0.2 is listed, 127.0.0.1 is not, whatever is."""

    async def story(world: World, blocks: Blocklist) -> None:
        assert (await said(world, "127.0.0.2"))[0] is DnsOutcome.FOUND
        assert (await said(world, "127.0.0.1"))[0] is DnsOutcome.NXDOMAIN
        blocks.shut_down()
        assert (await said(world, "127.0.0.1"))[0] is DnsOutcome.FOUND, "so everybody can see that it is dead"
        assert (await said(world, BAD))[0] is DnsOutcome.FOUND
        blocks.shut_down(False)
        assert (await said(world, BAD))[0] is DnsOutcome.NXDOMAIN

    with_list(story)


def test_a_network_is_listed_as_a_whole() -> None:
    async def story(world: World, blocks: Blocklist) -> None:
        blocks.list("198.51.100.0/24", "a network", "127.0.0.4")
        assert await said(world, BAD) == (DnsOutcome.FOUND, ("127.0.0.4",))
        assert (await said(world, "198.51.101.66"))[0] is DnsOutcome.NXDOMAIN

    with_list(story)


def test_caches_see_it_when_their_time_has_come() -> None:
    """Who is not listed is remembered for a minute, who is for five."""

    async def story(world: World, blocks: Blocklist) -> None:
        at = {"at": world.mine}
        assert (await said(world, BAD, **at))[0] is DnsOutcome.NXDOMAIN
        blocks.list(BAD, "spam")
        assert (await said(world, BAD, **at))[0] is DnsOutcome.NXDOMAIN
        await world.advance(seconds=61)
        assert (await said(world, BAD, **at))[0] is DnsOutcome.FOUND
        blocks.delist(BAD)
        await world.advance(seconds=299)
        assert (await said(world, BAD, **at))[0] is DnsOutcome.FOUND
        await world.advance(seconds=2)
        assert (await said(world, BAD, **at))[0] is DnsOutcome.NXDOMAIN

    with_list(story)


def test_a_silent_list_answers_nobody() -> None:
    async def story(world: World, blocks: Blocklist) -> None:
        blocks.list(BAD, "spam")
        blocks.fall_silent()
        assert (await said(world, BAD))[0] is DnsOutcome.TIMEOUT
        blocks.fall_silent(False)
        assert (await said(world, BAD))[0] is DnsOutcome.FOUND

    with_list(story)


@pytest.mark.parametrize(
    "place, reason, value, words",
    [
        ("203.0.113", "x", "127.0.0.2", "write 203.0.113.9"),
        ("2001:db8::1", "x", "127.0.0.2", "cannot be listed"),
        ("203.0.113.0/25", "x", "127.0.0.2", "8, 16 or 24 bits"),
        ("203.0.113.9/24", "x", "127.0.0.2", "host bits"),
        ("127.0.0.1", "x", "127.0.0.2", "never listed"),
        ("127.0.0.0/8", "x", "127.0.0.2", "never listed"),
        ("203.0.113.9", "x", "10.0.0.1", "no answer of a list"),
        ("203.0.113.9", "x", "yes", "no answer of a list"),
        ("203.0.113.9", "two\nlines", "127.0.0.2", "printable ASCII"),
        ("203.0.113.9", "x" * 201, "127.0.0.2", "at most 200"),
    ],
)
def test_what_cannot_be_listed(place: str, reason: str, value: str, words: str) -> None:
    with pytest.raises(ListMistake, match=words):
        entry(place, reason, value)


def test_a_full_list_takes_no_more() -> None:
    async def story(world: World, blocks: Blocklist) -> None:
        full = [f"10.{n >> 8}.{n & 255}.1" for n in range(MOST_ENTRIES)]
        blocks.list_all(full, "many")
        with pytest.raises(ListMistake, match="full"):
            blocks.list_all([BAD], "one more")
        with pytest.raises(ListMistake, match="full"):
            blocks.list(BAD, "one more")
        assert blocks.list(full[0], "another reason").reason == "another reason", "what is there may change"
        assert len(blocks.entries) == MOST_ENTRIES
        assert repr(blocks).startswith(f"<block list bl.test, {MOST_ENTRIES} entries>")

    with_list(story)


def test_every_reason_makes_a_zone() -> None:
    for reason in ('"', "\\", '\\"', "a;b", "$ORIGIN x.", "( ", "@", ""):
        read_zone(zone_text([Entry(BAD, reason)]), "bl.test")


def test_what_a_list_shows_of_itself() -> None:
    async def story(world: World, blocks: Blocklist) -> None:
        new = blocks.list("198.51.100.0/24", "a network", "127.0.0.4")
        assert new == Entry("198.51.100.0/24", "a network", "127.0.0.4")
        assert blocks.entries == {"198.51.100.0/24": new}
        blocks.entries.clear()  # type: ignore[attr-defined]
        assert blocks.entries, "a copy"
        row = "  198.51.100.0/24    127.0.0.4  a network"
        assert repr(blocks) == f"<block list bl.test, 1 entries>\n{row}"
        blocks.shut_down()
        assert repr(blocks).startswith("<block list bl.test, 1 entries, shut down: it lists everybody>")
        with pytest.raises(ListMistake, match="no name for a list"):
            Blocklist(world, "bl test")

    with_list(story)


def test_a_reason_of_the_full_length() -> None:
    assert len(entry(BAD, "x" * LONGEST_REASON).reason) == LONGEST_REASON
    with pytest.raises(ListMistake, match="at most"):
        entry(BAD, "x" * (LONGEST_REASON + 1))

"""Eight worlds at once on one machine: each has a base of its own, all deliver, and all ports are free afterwards."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labkit import partners
from labkit.lab.world import World
from labkit.net.loopback import Loopback

WORLDS = 8
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Ports = Callable[..., set[tuple[str, int]]]

CHILD = """
import asyncio, json, sys
from labkit import partners

async def main(number):
    async with partners(st=number, partner=100, network="loopback") as world:
        print(json.dumps([world.network.claim(), [world.real(h.address, 25) for h in world.hosts.values()]]))
        await asyncio.to_thread(sys.stdin.readline)
        for subject in ("one", "two", "three"):
            await world.laptop.send("bob@st100.sne21.test", subject)
        await world.partner_laptop.send(f"ann@st{number}.sne21.test", "back")
        print(json.dumps([len(world.partner.mailbox("bob")), len(world.mine.mailbox("ann"))]))
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.alone  # what has ended here may begin elsewhere, at the same addresses
def test_in_processes_of_their_own(
    child: Callable[..., subprocess.Popen[str]], listening_ports: Ports
) -> None:
    processes = [child(CHILD, number) for number in range(1, WORLDS + 1)]

    def heard() -> list[Any]:
        return [json.loads(process.stdout.readline()) for process in processes if process.stdout]

    def go_on() -> None:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    claims = heard()
    bases = [base for base, _ in claims]
    assert len(set(bases)) == WORLDS
    places = {(address, port) for _, hosts in claims for address, port in hosts}
    assert len(places) == 2 * WORLDS
    assert places | {("127.0.0.1", base) for base in bases} <= listening_ports()
    go_on()
    assert heard() == [[3, 1]] * WORLDS
    go_on()
    for process in processes:
        assert process.wait(20) == 0
    assert not places & listening_ports(), "nobody else has these addresses"


def test_in_one_process(run: Run, listening_ports: Ports) -> None:
    async def story() -> None:
        before = listening_ports(ours=True)
        worlds = [partners(network="loopback", alongside=True) for _ in range(WORLDS)]
        await asyncio.gather(*(world.start() for world in worlds))
        try:
            bases = {base_of(world) for world in worlds}
            assert len(bases) == WORLDS
            everywhere = [(world, number) for number in range(3) for world in worlds]
            await asyncio.gather(
                *(world.laptop.send("bob@st2.sne21.test", f"{n}") for world, n in everywhere)
            )
            for world in worlds:
                letters = world.partner.mailbox("bob")
                assert sorted(letter.first("Subject") or "" for letter in letters) == ["0", "1", "2"]
            await worlds[0].stop()
            await worlds[1].laptop.send("bob@st2.sne21.test", "the others go on")
            assert len(worlds[1].partner.mailbox("bob")) == 4
            places = {world.real(world.mine.address, 25) for world in worlds[1:]}
            held = {("127.0.0.1", base) for base in bases - {base_of(worlds[1])}}
            assert places <= listening_ports(ours=True) - before
            assert len(held & listening_ports(ours=True)) == WORLDS - 2, "the first has let go of its own"
        finally:
            await asyncio.gather(*(world.stop() for world in worlds))
        assert listening_ports(ours=True) == before

    run(story())


def base_of(world: World) -> int:
    assert isinstance(world.network, Loopback)
    return world.network.claim()


def test_alongside_worlds_share_nothing(run: Run) -> None:
    async def story() -> None:
        async with (
            partners(network="loopback", alongside=True) as one,
            partners(network="memory", alongside=True) as other,
        ):
            assert one.folder != other.folder
            await one.partner.stop()
            await one.laptop.send("bob@st2.sne21.test", "waits")
            await one.advance(days=1)
            await other.laptop.send("bob@st2.sne21.test", "arrives")
            assert other.now() < one.now()
            assert (len(one.mine.queue), len(other.mine.queue)) == (1, 0)
            assert len(other.partner.mailbox("bob")) == 1

    run(story())

"""What the lab promises about real time: four days of retries, and a loop of a hundred hops.

The best of three counts: somebody else may need the machine for a moment. `-s` prints the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labkit import partners
from labkit.mail.event import EventKind

pytestmark = pytest.mark.alone  # time is measured

Run = Callable[[Coroutine[Any, Any, Any]], Any]
TRIES = 3
FOUR_DAYS, LOOP = 0.5, 2.0  # seconds


def best(run: Run, story: Callable[[], Coroutine[Any, Any, float]], promise: float) -> float:
    """The shortest of a few; no more of them than are needed."""
    seconds: list[float] = []
    while len(seconds) < TRIES and min(seconds, default=promise) >= promise:
        seconds.append(run(story()))
    return min(seconds)


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_four_days_of_retries(run: Run, network: str) -> None:
    async def story() -> float:
        async with partners(network=network) as world:
            await world.partner.stop()
            await world.laptop.send("bob@st2.sne21.test", "are you there?")
            began = time.perf_counter()
            await world.advance(days=4)
            took = time.perf_counter() - began
            assert len(world.journal.where(EventKind.DEFERRED)) > 30
            return took

    took = best(run, story, FOUR_DAYS)
    print(f"\nfour days of retries, {network}: {took:.2f} s")
    assert took < FOUR_DAYS


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_a_loop_of_a_hundred_hops(run: Run, network: str) -> None:
    async def story() -> float:
        async with partners(network=network) as world:
            for host, other in ((world.mine, world.partner), (world.partner, world.mine)):
                to_the_other = f"""begin routers
loop:
  driver = manualroute
  domains = loop.test
  route_list = * {other.address}
  transport = by_smtp
"""
                conf = host.configuration.replace("begin routers\n", to_the_other)
                conf = conf.replace("  require message", "  accept domains = loop.test\n  require message", 1)
                host.write_configuration("received_headers_max = 100\n" + conf)
                await host.reload()
            began = time.perf_counter()
            await world.laptop.send("anybody@loop.test", "round and round")
            await world.settle()
            took = time.perf_counter() - began
            received = [event for event in world.journal.where(EventKind.RECEIVED) if event.sender]
            assert len(received) == 101
            (failure,) = world.journal.where(EventKind.FAILED)
            assert 'Too many "Received" headers' in (failure.text or "")
            return took

    took = best(run, story, LOOP)
    print(f"\na loop of a hundred hops, {network}: {took:.2f} s")
    assert took < LOOP

"""Many hosts and many messages in memory: a small one here, the large one with LABKIT_SLOW=1."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labkit import World

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def scale(root: Path) -> Any:
    """The benchmark of that name."""
    spec = importlib.util.spec_from_file_location("scale", root / "benchmarks/scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module  # where dataclasses look for their own module
    spec.loader.exec_module(module)
    return module


def test_a_small_one(run: Run, scale: Any) -> None:
    found = run(scale.measure(12, 60))
    assert found.delivered == 60
    assert found.events < 60 * 80, "what a message leaves in the journal does not grow with the world"


@pytest.mark.skipif(os.environ.get("LABKIT_SLOW") != "1", reason="takes minutes: set LABKIT_SLOW=1")
def test_the_large_one(scale: Any) -> None:
    found = asyncio.run(scale.measure(200, 10_000))
    print(f"\n{found.delivered} messages: {sum(found.parts):.0f} s, {found.megabytes:.0f} MB")
    assert found.delivered == 10_000
    assert found.megabytes < 1000
    assert found.parts[-1] < 3 * found.parts[0], "the ten-thousandth message costs what the first one does"


def test_looking_at_an_event_does_not_cost_a_look_at_each_host(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No host runs the real Exim: nobody goes through the hosts for every event."""

    async def story() -> None:
        async with World.open("partners", network="memory") as world:
            monkeypatch.setattr(world, "hosts", None)  # who looks, stumbles
            world.exims.hear()
            world.exims.look()
            monkeypatch.undo()

    run(story())


def test_a_hundred_hops(run: Run) -> None:
    async def story() -> None:
        async with World.open("loop", network="memory", limit=100) as world:
            await world.laptop.send("round@st11.sne21.test", "round")
            report = world.mine.mailbox("ann")[-1]
            assert report.body.count(b"\nReceived: ") >= 100
            assert not world.mine.queue + world.partner.queue

    run(story())

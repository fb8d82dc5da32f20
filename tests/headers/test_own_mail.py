"""Mail of this lab, as labkit's MTA and the real Exim write it."""

from __future__ import annotations

import asyncio

import pytest

from labkit.headers import Weight, Writer, dissect
from labkit.headers.fast import survey
from labkit.lab.world import World, partners

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"


async def sent(world: World) -> bytes:
    await world.partner.stop()
    await world.laptop.send(BOB, "Lunch?", "Dear Bob,\n")
    await world.advance(minutes=20)
    await world.partner.start()
    await world.advance(hours=1)
    return bytes(world.partner.mailbox("bob")[0])


def assert_read(message: bytes, waited: bool) -> None:
    found = dissect(message)
    first, second = found.hops
    assert (first.received.helo, first.received.by) == ("laptop.st11.sne21.test", "mx2.st11.sne21.test")
    assert first.received.address == "198.51.100.11" and second.received.address == "203.0.113.11"
    assert second.received.recipient == BOB and second.received.envelope_from == ANN
    assert first.received.id and second.received.id and first.received.id != second.received.id
    assert second.delay is not None and second.delay % 60 < 1 and (second.delay >= 1800) == waited
    assert not any(hop.skew for hop in found.hops)
    assert (found.trust.level, found.trust.client) == (1, "mx2.st11.sne21.test [203.0.113.11]")
    assert found.with_trust(["*.sne21.test"]).trust.level == 1, "a HELO name convinces nobody"
    assert found.with_trust(["*.sne21.test", "203.0.113.11"]).trust.level == 2
    writers = {field.name.lower(): field.writer for field in found.fields}
    assert writers["return-path"] is writers["envelope-to"] is writers["delivery-date"] is Writer.FINAL
    assert not any(each.weight is Weight.ALARM for each in found.findings)
    assert survey(message).delays == (second.delay,)


@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))])
def test_the_header_of_a_message_that_waited(engine: str) -> None:
    async def all_of_it() -> None:
        network = "memory" if engine == "labkit" else "loopback"
        async with partners(network=network, alongside=True, engine=engine) as world:
            assert_read(await sent(world), waited=True)

    asyncio.run(all_of_it())

"""Worlds in which mail waits or goes round: what the views of queues and of the map are tried with."""

from __future__ import annotations

from typing import Any

from labkit.lab.host import Host
from labkit.lab.world import World, partners

MINE, THEIRS = "mx2.st11.sne21.test", "mx2.st2.sne21.test"
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
_ALIASES = "aliases:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\n"


async def backup_world(**options: Any) -> World:
    """The partner is the backup of the student's domain, and the student's host is down."""
    world = await partners(**{"network": "memory", **options}).start()
    first = "st11      IN MX  10 mx2.st11"
    world.write_zone(
        "sne21.test", world.zone("sne21.test").replace(first, f"{first}\n          IN MX  20 mx2.st2")
    )
    partner = world.partner
    partner.write_configuration(
        partner.configuration.replace(
            "domains = +local_domains\n", "domains = +local_domains : st11.sne21.test\n", 1
        )
    )
    await partner.reload()
    await world.mine.stop()
    return world


async def loop_world(limit: int = 5, **options: Any) -> World:
    """ann is an alias for bob, and bob for ann."""
    world = await partners(**{"network": "memory", **options}).start()
    for host, alias in ((world.mine, f"ann: {BOB}\n"), (world.partner, f"bob: {ANN}\n")):
        await with_alias(host, alias, limit)
    return world


async def with_alias(host: Host, aliases: str, limit: int) -> None:
    host.path("/etc/aliases").write_text(aliases)
    text = host.configuration.replace("ours:\n", f"{_ALIASES}ours:\n", 1)
    host.write_configuration(text.replace("begin acl", f"received_headers_max = {limit}\n\nbegin acl", 1))
    await host.reload()

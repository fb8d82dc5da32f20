"""A host with an exim.conf of a test's own, and a client that types."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from labkit import partners
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
Story = Callable[[World], Awaitable[None]]
MAIN = """\
primary_hostname = mx2.st11.sne21.test
qualify_domain   = st11.sne21.test
domainlist local_domains = st11.sne21.test
acl_smtp_rcpt = check_rcpt
"""
ACCEPT_ALL = "check_rcpt:\n  accept\n"
OTHERS = """\
others:
  driver    = dnslookup
  domains   = ! +local_domains
  transport = by_smtp
  no_more
"""
OURS = """\
ours:
  driver    = accept
  check_local_user
  transport = into_mailbox
  cannot_route_message = Unknown user
"""
TRANSPORTS = """\
by_smtp:
  driver = smtp

into_mailbox:
  driver = appendfile
  file   = /var/mail/$local_part_data
  envelope_to_add

to_file:
  driver = appendfile
"""
RETRY = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h\n"


def exim_conf(main: str = "", acl: str = ACCEPT_ALL, routers: str = OTHERS + OURS) -> str:
    return (
        f"{MAIN}{main}\nbegin acl\n{acl}\nbegin routers\n{routers}\n"
        f"begin transports\n{TRANSPORTS}\nbegin retry\n{RETRY}"
    )


def run(configuration: str, story: Story) -> None:
    """Tell a story in a world in memory, where Ann's host has this configuration."""

    async def whole() -> None:
        async with partners(network="memory") as world:
            world.mine.write_configuration(configuration)
            await world.mine.reload()
            await asyncio.wait_for(story(world), 20)

    asyncio.run(whole())


async def typed(world: World, *lines: str) -> list[str]:
    """What the host answers to each line, the banner first; several lines of a reply are joined by |."""
    session = world.mine.open_session(world.laptop)
    said = [await session.banner()]
    for line in lines:
        said.append(await session.type(line))
    return ["|".join(each.text for each in exchange if each.speaker == "S") for exchange in said]


async def letter(
    world: World, *recipients: str, sender: str = ANN, text: Sequence[str] = ("Subject: x", "", "x")
) -> str:
    """Hand in a message and let it be delivered; returns the last reply."""
    lines = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in recipients), "DATA", *text, "."]
    replies = await typed(world, "EHLO c.test", *lines)
    await world.settle()
    return replies[-1]


def facts(world: World, kind: EventKind) -> list[MailEvent]:
    return list(world.journal.where(kind, host=world.mine.name))

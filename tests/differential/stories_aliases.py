"""Stories of aliases: a chain, virtual domains, a list that does not match, and loops between two domains."""

from __future__ import annotations

from labkit.mail.event import EventKind

from .configurations import OTHERS, OURS, exim_conf
from .stage import ANN, BOB, MINE, PARTNER, STRANGER, Lab, host, message
from .story import story

ALIASES = """\
system_aliases:
  driver = redirect
  allow_fail
  allow_defer
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
"""


@story()
async def alias_chain(lab: Lab) -> None:
    """postmaster, then root, then ann; <postmaster> without a domain too (RFC 5321 §4.5.1). :fail: says why."""
    aliases = "postmaster: root\nroot: ann\nleft: :fail: she has moved\nnothing: :blackhole:\n"
    configuration = exim_conf(MINE, routers=OTHERS + ALIASES + OURS)
    async with lab.world(host(MINE, configuration, "ann"), files={f"{MINE}/etc/aliases": aliases}) as world:
        assert (
            await lab.submit(world.mine, "postmaster@st11.sne21.test", message("one"), source=STRANGER)
        ).startswith("250")
        assert (await lab.submit(world.mine, "Postmaster", message("two"), source=STRANGER)).startswith("250")
        assert (
            await lab.submit(world.mine, "nothing@st11.sne21.test", message("three"), source=STRANGER)
        ).startswith("250")
        letters = world.mine.mailbox("ann")
        assert [letter.first("Subject") for letter in letters] == ["one", "two"]
        assert {letter.first("Envelope-to") for letter in letters} == {
            "postmaster@st11.sne21.test",
            "Postmaster@st11.sne21.test",
        }
        replies = await lab.call(world.mine, "EHLO c.test", "MAIL FROM:<>", "RCPT TO:<left@st11.sne21.test>")
        assert replies[3] == "550 she has moved"


@story()
async def wildcard_without_the_domain(lab: Lab) -> None:
    """*.st11.sne21.test does not match st11.sne21.test: Ann's own domain becomes foreign."""
    async with lab.world(host(MINE, exim_conf(MINE, local_domains="*.st11.sne21.test"), "ann")) as world:
        replies = await lab.call(
            world.mine,
            "EHLO c.test",
            "MAIL FROM:<>",
            f"RCPT TO:<{ANN}>",
            "RCPT TO:<ann@shop.st11.sne21.test>",
        )
        assert replies[3] == "550 relay not permitted"
        assert replies[4] == "250 Accepted"


@story()
async def virtual_domains(lab: Lab) -> None:
    """Two domains, the same local part, two mailboxes; who is in neither file is refused."""
    virtual = """\
virtual:
  driver  = redirect
  domains = dsearch;/etc/virtual
  data    = ${lookup{$local_part}lsearch{/etc/virtual/$domain_data}}
  no_more
"""
    local = "st11.sne21.test : dsearch;/etc/virtual"
    configuration = exim_conf(MINE, routers=OTHERS + virtual + OURS, local_domains=local)
    files = {
        f"{MINE}/etc/virtual/shop.st11.sne21.test": "info: ann\n",
        f"{MINE}/etc/virtual/club.st11.sne21.test": "info: carl\n",
    }
    async with lab.world(host(MINE, configuration, "ann", "carl"), files=files) as world:
        await lab.submit(world.mine, "info@shop.st11.sne21.test", message("shop"), source=STRANGER)
        await lab.submit(world.mine, "info@club.st11.sne21.test", message("club"), source=STRANGER)
        (for_ann,), (for_carl,) = world.mine.mailbox("ann"), world.mine.mailbox("carl")
        assert (for_ann.first("Subject"), for_carl.first("Subject")) == ("shop", "club")
        replies = await lab.call(
            world.mine,
            "EHLO c.test",
            "MAIL FROM:<>",
            "RCPT TO:<nobody@shop.st11.sne21.test>",
            "RCPT TO:<info@pub.st11.sne21.test>",
            f"RCPT TO:<{ANN}>",
        )
        assert [reply[:3] for reply in replies] == "220 250 250 550 550 250 221".split()


def _loop(limit: int) -> None:
    """A loop of aliases between two domains, ended by received_headers_max = `limit`."""

    async def tell(lab: Lab) -> None:
        hosts = [
            host(
                name,
                exim_conf(name, f"received_headers_max = {limit}\n", routers=OTHERS + ALIASES + OURS),
                account,
            )
            for name, account in ((MINE, "carl"), (PARTNER, "dora"))
        ]
        files = {f"{MINE}/etc/aliases": f"ann: {BOB}\n", f"{PARTNER}/etc/aliases": f"bob: {ANN}\n"}
        async with lab.world(*hosts, files=files) as world:
            await lab.submit(world.mine, BOB, message(), sender="carl@st11.sne21.test")
            facts = world.journal.facts()
            taken = [fact for fact in facts if fact.kind is EventKind.RECEIVED and fact.sender]
            assert len(taken) == limit + 1  # the last has one Received field too many
            (failed,) = [fact for fact in facts if fact.kind is EventKind.FAILED]
            assert 'Too many "Received" headers - suspected mail loop' in (failed.text or "")
            (report,) = world.mine.mailbox("carl")
            assert report.first("Return-path") == "<>"
            assert bytes(report).partition(b"message/rfc822")[2].count(b"\nReceived: ") == limit + 1

    tell.__name__ = f"alias_loop_{limit}"
    story(is_long=limit > 30)(tell)


for _limit in (5, 30, 100):
    _loop(_limit)

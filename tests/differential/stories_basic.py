"""Stories of one or two hosts: delivery, refusals, aliases, sizes."""

from __future__ import annotations

from labkit.mail.event import EventKind
from labkit.routing import RouteOutcome

from .configurations import BY_SMTP, exim_conf
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, Lab, host, message
from .story import story


@story()
async def local_delivery(lab: Lab) -> None:
    """A stranger writes to Ann: her mailbox has the message with a trace of its way on top (RFC 5321 §4.4)."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        verdict = await lab.submit(
            world.mine, ANN, message(), sender="ivan@stranger.test", source="198.51.100.66"
        )
        assert verdict.startswith("250 OK id=")
        (letter,) = world.mine.mailbox("ann")
        assert letter.first("Return-path") == "<ivan@stranger.test>"
        assert letter.first("Envelope-to") == ANN
        (trace,) = letter.all("Received")
        assert trace.value.startswith(
            "from [198.51.100.66] (helo=client.test)\tby mx2.st11.sne21.test with esmtp"
        )


@story()
async def two_hosts(lab: Lab) -> None:
    """Ann writes to Bob by way of both hosts, found by MX."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER), "bob")
    ) as world:
        for address in (ANN, BOB, "carl@st11.sne21.test", "carl@nowhere.test"):
            route = (await world.mine.route(address)).first
            lab.note(
                f"the route to {address}", route.outcome, route.router, route.transport, *route.next_hops
            )
        await lab.submit(world.mine, BOB, message())
        (letter,) = world.partner.mailbox("bob")
        assert ["by mx2.st2" in f.value or "by mx2.st11" in f.value for f in letter.all("Received")] == [
            True,
            True,
        ]
        assert world.mine.queue == ()


@story()
async def relay_refused(lab: Lab) -> None:
    """A stranger may not send to others through us, and nothing happens by trying."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER), "bob")
    ) as world:
        replies = await lab.call(
            world.mine, "EHLO stranger.test", "MAIL FROM:<eve@stranger.test>", f"RCPT TO:<{BOB}>", "DATA"
        )
        assert replies[3] == "550 relay not permitted"
        assert replies[4].startswith("503 ")
        await world.settle()
        assert world.partner.mailbox("bob") == []


@story()
async def unknown_user(lab: Lab) -> None:
    """Somebody who does not live here is refused at RCPT; the others get the message all the same."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        replies = await lab.call(
            world.mine,
            "EHLO stranger.test",
            "MAIL FROM:<ivan@stranger.test>",
            "RCPT TO:<carl@st11.sne21.test>",
            "RCPT TO:<ANN@st11.SNE21.test>",
            "DATA",
            message(),
        )
        assert replies[3] == "550 Unknown user"
        await world.settle()
        assert len(world.mine.mailbox("ann")) == 1


@story()
async def system_accounts(lab: Lab) -> None:
    """An account of the lab is found in any case; those of this machine are for a real Exim only (a difference)."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        replies = await lab.call(world.mine, "EHLO c.test", "MAIL FROM:<>", f"RCPT TO:<{ANN}>")
        assert replies[3] == "250 Accepted"
        found = await world.mine.route("nobody@st11.sne21.test")
        assert (found.outcome is RouteOutcome.ROUTED) is (lab.engine == "exim")


@story()
async def refused_by_the_next_host(lab: Lab) -> None:
    """Our host has taken the message; the next one does not: who sent it gets a report (RFC 5321 §6.1)."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER), "bob")
    ) as world:
        verdict = await lab.submit(world.mine, "carl@st2.sne21.test", message())
        assert verdict.startswith("250 OK id=")
        (report,) = world.mine.mailbox("ann")
        assert report.first("X-Failed-Recipients") == "carl@st2.sne21.test"
        assert b"550 Unknown user" in bytes(report)
        assert world.mine.queue == ()


@story()
async def put_off_by_the_next_host(lab: Lab) -> None:
    """451 is no refusal: the mail waits, and comes again at the retry time."""
    busy = exim_conf(PARTNER, acl="check_rcpt:\n  defer  message = come back later\n")
    async with lab.world(host(MINE, exim_conf(MINE), "ann"), host(PARTNER, busy, "bob")) as world:
        await lab.submit(world.mine, BOB, message())
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert (deferred.text or "").endswith("451 come back later")
        world.partner.write_configuration(exim_conf(PARTNER))
        await world.partner.reload()
        await world.advance(hours=1)
        assert len(world.partner.mailbox("bob")) == 1


@story()
async def two_recipients(lab: Lab) -> None:
    """One message for two people at one host: it goes over once, and each gets it."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER), "bob", "carl")
    ) as world:
        recipients = (f"RCPT TO:<{BOB}>", "RCPT TO:<carl@st2.sne21.test>")
        await lab.call(
            world.mine,
            "EHLO client.test",
            f"MAIL FROM:<{ANN}>",
            *recipients,
            "DATA",
            message(),
            source=LAPTOP,
        )
        await world.settle()
        assert len(world.partner.mailbox("bob")) == len(world.partner.mailbox("carl")) == 1
        assert len(world.journal.where(EventKind.RECEIVED, host=PARTNER)) == 1


@story()
async def dialogue(lab: Lab) -> None:
    """What is said to a client that makes mistakes."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        replies = await lab.call(
            world.mine,
            "HELO stranger.test",
            f"RCPT TO:<{ANN}>",
            "MAIL FROM:<ivan@stranger.test>",
            "DATA",
            "RSET",
            "NOOP",
            "BEAM ME UP",
        )
        codes = [reply[:3] for reply in replies]
        assert codes == "220 250 503 250 503 250 250 500 221".split()


@story()
async def errors_that_do_not_count(lab: Lab) -> None:
    """Exim hangs up at the fourth syntax or protocol error, but does not take everything for one."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        replies = await lab.call(world.mine, "HELO stranger.test", *["MAIL FROM:<ivan>"] * 5)
        assert replies[-1] == f"221 {MINE} closing connection"
        replies = await lab.call(world.mine, *["MAIL FROM:<ivan@stranger.test>"] * 5)
        assert replies[-1] == f"221 {MINE} closing connection"
        replies = await lab.call(world.mine, "HELO stranger.test", *[f"RCPT TO:<{ANN}>"] * 5)
        assert replies[-1] == "503 Too many syntax or protocol errors"


@story()
async def maildir(lab: Lab) -> None:
    """A mailbox that is a folder with a file for each message."""
    folder = """\
into_mailbox:
  driver = appendfile
  directory = /var/mail/$local_part_data
  maildir_format
  return_path_add
  envelope_to_add
  delivery_date_add
"""
    async with lab.world(host(MINE, exim_conf(MINE, transports=BY_SMTP + folder), "ann")) as world:
        await lab.submit(world.mine, ANN, message("one"))
        await lab.submit(
            world.mine, ANN, message("two", ".\r\n..dots\r\nFrom here on\r\n".replace("\r\n.", "\r\n.."))
        )
        assert len(list(world.mine.mailbox_file("ann").glob("new/*"))) == 2


@story()
async def size_limit(lab: Lab) -> None:
    """Too large is refused where it is said (SIZE=, RFC 1870), and where it is noticed: after the dot."""
    large = message(text="x" * 70 + "\n" + ("y" * 70 + "\n") * 30)
    async with lab.world(host(MINE, exim_conf(MINE, "message_size_limit = 2000\n"), "ann")) as world:
        replies = await lab.call(
            world.mine,
            "EHLO stranger.test",
            "MAIL FROM:<ivan@stranger.test> SIZE=2001",
            "MAIL FROM:<ivan@stranger.test> SIZE=1999",
            f"RCPT TO:<{ANN}>",
            "DATA",
            large,
        )
        assert [reply[:3] for reply in replies] == "220 250 552 250 250 354 552 221".split()
        await world.settle()
        assert world.mine.mailbox("ann") == [] and world.mine.queue == ()

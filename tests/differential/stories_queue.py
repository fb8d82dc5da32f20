"""Stories of waiting: a backup MX, retries until the end, frozen messages, a port that does not answer."""

from __future__ import annotations

from labkit.mail.event import EventKind

from .configurations import INTO_MAILBOX, OURS, exim_conf
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, RELAY, STRANGER, Lab, host, message
from .story import story

BACKUP_MX = """\
st11.sne21  IN MX  10 mx2.st11.sne21
            IN MX  20 mx2.st2.sne21
st2.sne21   IN MX  10 mx2.st2.sne21
"""
BACKUP = exim_conf(PARTNER, relay_to_domains="st11.sne21.test")
NOBODY_LISTENS = "far  IN MX  10 stranger\n"


@story()
async def backup_mx(lab: Lab) -> None:
    """Ann's host is down: her mail waits at Bob's. It is up again: at the retry time the mail comes, and not before."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, BACKUP, "bob"), zone=BACKUP_MX
    ) as world:
        await world.mine.stop()
        verdict = await lab.submit(
            world.partner, ANN, message(), sender="ivan@stranger.test", source=STRANGER
        )
        assert verdict.startswith("250 OK")
        assert ANN in lab.listing(world.partner)
        *_, of_domain, _, total = world.partner.queue_summary().rstrip().split("\n")
        assert of_domain.split()[0] == total.split()[0] == "1" and of_domain.endswith("  st11.sne21.test")
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert deferred.text == "Connection refused"
        await world.mine.start()
        await world.partner.run_queue()
        assert len(world.partner.queue) == 1, "-q respects the retry time"
        await world.advance(minutes=14)
        assert len(world.partner.queue) == 1
        await world.advance(minutes=20)
        assert not world.partner.queue
        (letter,) = world.mine.mailbox("ann")
        assert "by mx2.st2.sne21.test" in list(letter.all("Received"))[1].value


@story()
async def forced_delivery(lab: Lab) -> None:
    """Three ways to deliver before the retry time: the queue, a message, a domain."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, BACKUP, "bob"), zone=BACKUP_MX
    ) as world:
        backup = world.partner
        for way in ("-qf", "-M", "-R"):
            await world.mine.stop()
            await lab.submit(backup, ANN, message(way), source=STRANGER)
            await world.mine.start()
            (item,) = backup.queue
            if way == "-qf":
                await backup.run_queue(forced=True)
            elif way == "-M":
                await backup.force(item.queue_id)
            else:
                await backup.run_queue(forced=True, domain="st2.sne21")
                assert len(backup.queue) == 1, "no recipient there"
                await backup.run_queue(forced=True, domain="st11.sne21")
            assert backup.queue == ()
        assert [letter.first("Subject") for letter in world.mine.mailbox("ann")] == ["-qf", "-M", "-R"]


@story()
async def queue_domains(lab: Lab) -> None:
    """Mail for such a domain is not tried on arrival; a plain -q delivers it."""
    configuration = exim_conf(
        PARTNER, "queue_domains = st11.sne21.test\n", relay_to_domains="st11.sne21.test"
    )
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, configuration, "bob"), zone=BACKUP_MX
    ) as world:
        await lab.submit(world.partner, ANN, message(), source=STRANGER)
        assert ANN in lab.listing(world.partner)
        await world.partner.run_queue()
        assert len(world.mine.mailbox("ann")) == 1


@story()
async def queue_only(lab: Lab) -> None:
    """A daemon started with -odq: all waits for the next queue run."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann", "carl")) as world:
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        await lab.submit(world.mine, ANN, message("one"))
        await lab.submit(world.mine, "carl@st11.sne21.test", message("two"))
        assert len(world.mine.queue) == 2
        await world.advance(minutes=16)
        assert len(world.mine.mailbox("ann")) == len(world.mine.mailbox("carl")) == 1


@story()
async def retries_and_bounce(lab: Lab) -> None:
    """Tried every two hours for twenty hours, then returned to who sent it (RFC 5321 §4.5.4.1, RFC 3464)."""
    configuration = exim_conf(MINE, retry="*  *  F,20h,2h\n")
    async with lab.world(host(MINE, configuration, "ann"), zone=NOBODY_LISTENS) as world:
        began = world.now()
        await lab.submit(world.mine, "carl@far.test", message())
        await world.advance(hours=30)
        refused = world.journal.where(EventKind.DEFERRED, text="Connection refused")
        tries = [round((fact.at - began).total_seconds() / 60) for fact in refused]
        lab.note("minutes of the tries", *tries)
        assert tries[:3] == [0, 120, 240]
        (failed,) = world.journal.where(EventKind.FAILED)
        lab.note("minutes until the end", round((failed.at - began).total_seconds() / 60))
        assert "retry timeout exceeded" in (failed.text or "")
        (report,) = world.mine.mailbox("ann")
        assert report.first("X-Failed-Recipients") == "carl@far.test"
        assert world.mine.queue == ()


@story(is_long=True)
async def four_days(lab: Lab) -> None:
    """Exim's usual rule: a warning after a day, and after four days the end."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann"), zone=NOBODY_LISTENS) as world:
        began = world.now()
        await lab.submit(world.mine, "carl@far.test", message())
        await world.advance(days=5)
        refused = world.journal.where(EventKind.DEFERRED, text="Connection refused")
        tries = [round((fact.at - began).total_seconds() / 60) for fact in refused]
        lab.note("minutes of the tries", *tries)
        assert tries[:10] == [0, 15, 30, 45, 60, 75, 90, 105, 120, 135], (
            "each step holds up to and including its end"
        )
        (failed,) = world.journal.where(EventKind.FAILED)
        assert 4 <= (failed.at - began).total_seconds() / 86400 <= 4.3
        *warnings, report = world.mine.mailbox("ann")
        assert report.first("Subject") == "Mail delivery failed: returning message to sender"
        assert warnings and all("delayed" in (letter.first("Subject") or "") for letter in warnings)


@story()
async def delay_warning(lab: Lab) -> None:
    """A warning after four hours; the message still waits (RFC 3464, action: delayed)."""
    async with lab.world(
        host(MINE, exim_conf(MINE, "delay_warning = 4h\n"), "ann"), zone=NOBODY_LISTENS
    ) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        await world.advance(hours=6)
        (warning,) = world.mine.mailbox("ann")
        assert b"Action: delayed" in bytes(warning)
        assert len(world.mine.queue) == 1


@story()
async def frozen_bounce(lab: Lab) -> None:
    """A report that cannot be delivered is never answered by another one: it freezes (RFC 5321 §4.5.5)."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        await lab.submit(world.mine, "carl@nowhere.test", message(), sender="ghost@nowhere.test")
        (report,) = world.mine.queue
        assert report.frozen
        assert "*** frozen ***" in lab.listing(world.mine)
        await world.mine.run_queue(forced=True)
        assert len(world.mine.queue) == 1
        await world.mine.run_queue(thaws=True)
        (again,) = world.mine.queue
        assert again.frozen and again.queue_id == report.queue_id


@story()
async def thaw_and_give_up(lab: Lab) -> None:
    """What an administrator does with a frozen message."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        await lab.submit(world.mine, "carl@nowhere.test", message(), sender="ghost@nowhere.test")
        (report,) = world.mine.queue
        thawed = await world.mine.exim("-Mt", report.queue_id)
        assert "is no longer frozen" in thawed.text
        assert not world.mine.queue[0].frozen
        await world.mine.exim("-Mrm", report.queue_id)
        assert world.mine.queue == ()


@story()
async def mx_points_to_oneself(lab: Lab) -> None:
    """A domain whose MX is this host, which does not know it: mail stops here instead of going round."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), zone="loop  IN MX  10 mx2.st11.sne21\n"
    ) as world:
        route = await world.mine.route("carl@loop.test")
        assert not route.first.next_hops
        await lab.submit(world.mine, "carl@loop.test", message())
        lab.listing(world.mine)
        assert len(world.mine.queue) == 1


@story()
async def port_25_is_blocked(lab: Lab) -> None:
    """A cloud swallows what goes to port 25: a time-out, no refusal; the mail waits until it is over."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER), "bob")
    ) as world:
        await world.partner.stop()
        world.network.silence(world.partner.address, 25)
        await lab.submit(world.mine, BOB, message())
        await world.advance(
            minutes=10
        )  # five of them labkit's client waits; to the real Exim it is two seconds
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert (deferred.text or "").startswith("Connection timed out")
        world.network.silence(world.partner.address, 25, on=False)
        await world.partner.start()
        await world.advance(hours=1)
        assert len(world.partner.mailbox("bob")) == 1


@story()
async def smarthost_around_the_block(lab: Lab) -> None:
    """Port 25 is blocked, and the smarthost on 587 takes the mail."""
    smarthost = """\
smarthost:
  driver     = manualroute
  domains    = ! +local_domains
  transport  = to_smarthost
  route_list = * smtp.relay.test
  no_more
"""
    to_smarthost = """\
to_smarthost:
  driver = smtp
  port   = 587
"""
    by_mx = exim_conf(MINE)
    by_smarthost = exim_conf(MINE, routers=smarthost + OURS, transports=to_smarthost + INTO_MAILBOX)
    relay = exim_conf(RELAY, "daemon_smtp_ports = submission\n")
    zone = "relay  IN MX  10 smtp.relay\n"
    async with lab.world(host(MINE, by_mx, "ann"), host(RELAY, relay, "bob"), zone=zone) as world:
        world.network.silence(world.host(RELAY).address, 25)
        await lab.submit(world.mine, "bob@relay.test", message(), source=LAPTOP)
        await world.advance(minutes=10)
        assert world.journal.where(EventKind.DEFERRED)[0].text == "Connection timed out"
        world.mine.write_configuration(by_smarthost)
        await world.mine.reload()
        await world.mine.run_queue(forced=True)
        assert len(world.host(RELAY).mailbox("bob")) == 1

"""Stories of unwanted mail: a DNS block list, greylisting in two ways."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from labkit.lab.world import World
from labkit.mail.event import EventKind

from .configurations import CHECK_RCPT, exim_conf
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, PARTNERS_LAPTOP, STRANGER, Lab, host, message
from .story import story

LISTED = """\
66.100.51.198.bl  IN A    127.0.0.2
                  IN TXT  "this address sends spam"
"""
DNSBL = """\
check_rcpt:
  deny    dnslists = bl.test
          message  = $sender_host_address is listed at $dnslist_domain ($dnslist_value, $dnslist_text)
"""


@story()
async def block_list(lab: Lab) -> None:
    """Who is in the list is refused, with what the list says of him; others are not (RFC 5782)."""
    configuration = exim_conf(MINE, acl=DNSBL + CHECK_RCPT.removeprefix("check_rcpt:\n"))
    async with lab.world(host(MINE, configuration, "ann"), zone=LISTED) as world:
        mail = ("EHLO c.test", "MAIL FROM:<eve@stranger.test>", f"RCPT TO:<{ANN}>")
        refused = await lab.call(world.mine, *mail, source=STRANGER)
        assert refused[3] == "550 198.51.100.66 is listed at bl.test (127.0.0.2, this address sends spam)"
        taken = await lab.call(world.mine, *mail, source=PARTNERS_LAPTOP)
        assert taken[3] == "250 Accepted"


SENDERS = """\
good    IN TXT  "v=spf1 ip4:198.51.100.66 -all"
bad     IN TXT  "v=spf1 mx -all exp=why.bad.test"
        IN MX   10 mx.bad
mx.bad  IN A    198.51.100.77
why.bad IN TXT  "the domain's own words"
soft    IN TXT  "v=spf1 include:bad.test ~all"
"""
SPF = """\
check_rcpt:
  deny    spf        = fail
          message    = SPF: $spf_smtp_comment
  warn    spf_guess  = pass : neutral
          add_header = X-Guessed: $spf_result $spf_result_guessed
  warn    spf        = pass : softfail : none
          add_header = :at_start:$spf_received
"""


@story()
async def sender_policies(lab: Lab) -> None:
    """A domain that says which hosts send for it: others are refused, or the message says what was found (RFC 7208)."""
    configuration = exim_conf(MINE, acl=SPF + CHECK_RCPT.removeprefix("check_rcpt:\n"))
    async with lab.world(host(MINE, configuration, "ann"), zone=SENDERS) as world:
        mail = (f"RCPT TO:<{ANN}>", "DATA", message())
        refused = await lab.call(
            world.mine, "EHLO c.test", "MAIL FROM:<eve@bad.test>", mail[0], source=STRANGER
        )
        assert refused[3] == "550 SPF: Please see http://www.open-spf.org/Why : Reason: mechanism"
        for sender, result in (("good", "pass"), ("soft", "softfail"), ("unknown", "none")):
            await lab.call(
                world.mine, "EHLO c.test", f"MAIL FROM:<eve@{sender}.test>", *mail, source=STRANGER
            )
            await world.settle()
            found = world.mine.mailbox("ann")[-1].first("Received-SPF")
            assert found is not None and found.startswith(f"{result} (mx2.st11.sne21.test: ")
        assert [each.first("X-Guessed") for each in world.mine.mailbox("ann")] == [
            "pass no",
            None,
            "neutral yes",
        ]


GREYLIST = """\
check_rcpt:
  accept  hosts   = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains
  require verify  = recipient
  defer   !seen   = -5m / key=${sender_host_address}_${sender_address}_$local_part@$domain
          message = Greylisted, please try again in five minutes
  accept
"""
GREYLIST_SQLITE = """\
check_rcpt:
  accept  hosts   = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains
  require verify  = recipient
  warn    set acl_m_key  = ${quote_sqlite:${sender_host_address}_${sender_address}_$local_part@$domain}
          set acl_m_seen = ${lookup sqlite,file=/var/lib/greylist.db {SELECT first FROM grey WHERE k='$acl_m_key'}}
  defer   condition = ${if eq{$acl_m_seen}{}}
          condition = ${lookup sqlite,file=/var/lib/greylist.db \
                        {INSERT INTO grey(k, first) VALUES('$acl_m_key', $tod_epoch)}{yes}{yes}}
          message = Greylisted, please try again in five minutes
  defer   condition = ${if < {${eval:$tod_epoch - $acl_m_seen}}{300}}
          message = Greylisted, please try again in five minutes
  accept
"""


def database(world: World, path: Path) -> None:
    """An empty table, in a file and a folder that belong to who runs Exim: sqlite writes beside the file too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE grey(k TEXT PRIMARY KEY, first INTEGER)")
    connection.commit()
    connection.close()
    if world.network.name == "loopback" and (lab_user := world.programs.user):
        os.chown(path, *lab_user)
        os.chown(path.parent, *lab_user)


async def greylisted(lab: Lab, world: World) -> None:
    """The first contact is put off, a spammer's and a real MTA's (RFC 6647 §2.4); the MTA comes again."""
    mail = ("EHLO c.test", "MAIL FROM:<eve@stranger.test>", f"RCPT TO:<{BOB}>")
    for _ in range(2):
        replies = await lab.call(world.partner, *mail)
        assert replies[3] == "451 Greylisted, please try again in five minutes"
    await lab.submit(world.mine, BOB, message(), source=LAPTOP)
    (deferred,) = world.journal.where(EventKind.DEFERRED)
    assert "451 Greylisted" in (deferred.text or "")
    await world.advance(hours=1)
    assert world.mine.queue == ()
    assert len(world.partner.mailbox("bob")) == 1
    assert (await lab.call(world.partner, *mail))[3] == "250 Accepted"


@story()
async def greylist_by_seen(lab: Lab) -> None:
    """With the condition `seen` of Exim 4.96."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER, acl=GREYLIST), "bob")
    ) as world:
        await greylisted(lab, world)


@story()
async def greylist_by_sqlite(lab: Lab) -> None:
    """With a table of one's own."""
    partner = host(PARTNER, exim_conf(PARTNER, acl=GREYLIST_SQLITE), "bob")
    async with lab.world(host(MINE, exim_conf(MINE), "ann"), partner) as world:
        database(world, world.partner.path("/var/lib/greylist.db"))
        await greylisted(lab, world)

"""Stories of routers: aliases with many children, copies, suffixes, files, other hosts, and what is left to retry."""

from __future__ import annotations

from .configurations import BY_SMTP, INTO_MAILBOX, OTHERS, OURS, exim_conf
from .stage import ANN, MINE, PARTNER, Lab, host, message
from .story import story

ALIASES = """\
aliases:
  driver  = redirect
  domains = +local_domains
  allow_fail
  allow_defer
  data    = ${if eq{$local_part}{included}{:include:/etc/members} \
            {${if eq{$local_part}{file}{/var/mail/file, ann} \
            {${if eq{$local_part}{both}{ann, bob@st2.sne21.test, /var/mail/carl} \
            {${lookup{$local_part}lsearch{/etc/aliases}}}}}}}}
  file_transport = to_file
  pipe_transport = to_program
"""
TO_FILE = """\
to_file:
  driver = appendfile
  delivery_date_add
  envelope_to_add
  return_path_add
"""
TO_PROGRAM = "to_program:\n  driver = pipe\n"
TRANSPORTS = BY_SMTP + INTO_MAILBOX + TO_FILE + TO_PROGRAM
MINE_ALIASES = """\
list: ann, carl, bob@st2.sne21.test, noone, noone@st2.sne21.test, Ann@ST11.sne21.test, ann
nested: list2, ann
list2: carl, nested, postmaster
postmaster: carl
gone: :fail: 550 moved to another town
later: :defer: not today
hole: :blackhole:
some: hole, gone, later, carl
loop: loop
one: two
two: one, ann
quoted: "ann", \\"two words\\"@st2.sne21.test, <carl>
"""


@story()
async def a_list_with_all_kinds(lab: Lab) -> None:
    """Children here and elsewhere, unknown ones, the same ones twice: one copy for each, one report for all."""
    mine = exim_conf(MINE, routers=OTHERS + ALIASES + OURS, transports=TRANSPORTS)
    files = {
        f"{MINE}/etc/aliases": MINE_ALIASES,
        f"{MINE}/etc/members": "# all\nann\n\ncarl, dora@st2.sne21.test\n",
    }
    async with lab.world(
        host(MINE, mine, "ann", "carl"), host(PARTNER, exim_conf(PARTNER), "bob", "dora"), files=files
    ) as world:
        for name in ("list", "nested", "some", "included", "loop", "one", "hole"):
            await lab.submit(world.mine, f"{name}@st11.sne21.test", message(name), sender=ANN)
        await lab.call(
            world.mine,
            "EHLO c.test",
            f"MAIL FROM:<{ANN}>",
            *(
                f"RCPT TO:<{name}@st11.sne21.test>"
                for name in ("list", "carl", "no1", "Carl", "nested", "no2", "carl")
            ),
            "DATA",
            message("several"),
            source="198.51.100.11",
        )
        await world.settle()
        lab.listing(world.mine)
        assert len(world.partner.mailbox("bob")) == 2
        await lab.call(
            world.mine,
            "EHLO c.test",
            "MAIL FROM:<>",
            *(
                f"RCPT TO:<{name}@st11.sne21.test>"
                for name in ("gone", "later", "hole", "some", "loop", "list")
            ),
        )


COPIES = """\
archive:
  driver    = accept
  senders   = ! :
  condition = ${if !match{$h_subject:}{secret}}
  unseen
  headers_add = X-Copied: for $local_part of $domain
  transport = to_archive

counted:
  driver  = redirect
  domains = +local_domains
  local_parts = team
  set     = r_team = red $local_part
  address_data = ${lc:$local_part}-box
  errors_to = carl@st11.sne21.test
  headers_add = X-Team: $local_part
  headers_remove = Subject : X-Gone
  data    = ann, noone, bob@st2.sne21.test

special:
  driver    = accept
  domains   = +local_domains
  local_parts = ann
  address_data = box-$local_part_data
  set       = r_who = $original_local_part / $parent_local_part@$parent_domain / $r_team
  headers_add = X-Who: $r_who ($address_data)
  headers_add = X-Second: $sender_address_domain ${if >{$message_size}{100}{long}{short}} $acl_m_mark \\
                $sender_host_address $received_protocol
  transport = to_box
"""
BOXES = """\
to_archive:
  driver = appendfile
  file   = /var/mail/archive
  envelope_to_add

to_box:
  driver = appendfile
  file   = /var/mail/${extract{2}{-}{$address_data}}
  envelope_to_add
  return_path_add
"""


@story()
async def copies_and_headers(lab: Lab) -> None:
    """unseen copies, headers_add and headers_remove, errors_to, address_data, set and condition."""
    lab.expect_programs()
    acl = "check_rcpt:\n  accept set acl_m_mark = marked $local_part\n"
    mine = exim_conf(MINE, acl=acl, routers=COPIES + OTHERS + OURS, transports=BY_SMTP + INTO_MAILBOX + BOXES)
    async with lab.world(
        host(MINE, mine, "ann", "carl", "archive"), host(PARTNER, exim_conf(PARTNER), "bob")
    ) as world:
        text = message("one").replace(b"Subject", b"X-Gone: 1\r\nSubject")
        await lab.submit(world.mine, "team@st11.sne21.test", text, sender="eve@stranger.test")
        await lab.submit(world.mine, ANN, message("secret"), sender="eve@stranger.test")
        await lab.submit(world.mine, "carl@st11.sne21.test", message("two"))
        assert len(world.partner.mailbox("bob")) == 1
        assert world.mine.mailbox("carl")[0].first("X-Failed-Recipients") == "noone@st11.sne21.test"


FORWARDS = """\
tagged:
  driver = redirect
  domains = +local_domains
  local_part_suffix = +*
  data = ${if eq{$local_part_suffix_v}{box}{/var/mail/tagged}{$local_part@$domain}}
  file_transport = to_file

forward:
  driver = redirect
  check_local_user
  file   = $home/.forward
  no_verify
  check_ancestor
  file_transport = to_file
  pipe_transport = to_program

prefixed:
  driver = accept
  domains = +local_domains
  local_part_prefix = real-
  check_local_user
  transport = into_mailbox
"""


@story()
async def forward_files(lab: Lab) -> None:
    """.forward: a copy to oneself and to others, a file, nothing at all; suffix and prefix."""
    mine = exim_conf(MINE, routers=OTHERS + FORWARDS + OURS, transports=TRANSPORTS)
    files = {
        f"{MINE}/home/ann/.forward": "ann, bob@st2.sne21.test\n",
        f"{MINE}/home/carl/.forward": "# gone\n:blackhole:\n",
        f"{MINE}/home/emil/.forward": "\\emil, ann\n",
        f"{MINE}/home/fred/.forward": "",
        f"{MINE}/home/gina/.forward": "this is ( no address\n",
    }
    accounts = ("ann", "carl", "emil", "fred", "gina", "tagged")
    async with lab.world(
        host(MINE, mine, *accounts), host(PARTNER, exim_conf(PARTNER), "bob"), files=files
    ) as world:
        for name in ("ann", "carl", "emil", "fred", "gina", "ann+news", "ann+box", "real-ann", "real-noone"):
            sender = "ivan@stranger.test" if name != "real-noone" else ANN
            await lab.call(
                world.mine,
                "EHLO c.test",
                f"MAIL FROM:<{sender}>",
                f"RCPT TO:<{name}@st11.sne21.test>",
                "DATA",
                message(name),
                source="198.51.100.11",
            )
            await world.settle()
        assert len(world.mine.mailbox("tagged")) == 1


@story()
async def a_program(lab: Lab) -> None:
    """An alias for a program, and for a person."""
    mine = exim_conf(MINE, routers=OTHERS + ALIASES + OURS, transports=TRANSPORTS)
    aliases = "prog: |/bin/true, ann\n"
    async with lab.world(
        host(MINE, mine, "ann", "file", runs_programs=True), files={f"{MINE}/etc/aliases": aliases}
    ) as world:
        await lab.submit(world.mine, "file@st11.sne21.test", message("file"))
        await lab.submit(world.mine, "prog@st11.sne21.test", message("prog"))
        assert len(world.mine.mailbox("ann")) == 2 and len(world.mine.mailbox("file")) == 1
        assert not world.mine.queue


@story()
async def other_hosts(lab: Lab) -> None:
    """manualroute with a port and with a second host; self and check_secondary_mx; no_more ends it."""
    routers = """\
by_port:
  driver    = manualroute
  domains   = port.test
  transport = by_smtp
  route_list = * mx2.st2.sne21.test::2525

backup:
  driver    = manualroute
  domains   = backup.test
  transport = by_smtp
  route_data = stranger.test:mx2.st2.sne21.test

lost:
  driver    = manualroute
  domains   = lost.test
  transport = by_smtp
  host_find_failed = fail
  route_list = lost.test no.such.host.test byname

self_pass:
  driver    = dnslookup
  domains   = pass.test
  transport = by_smtp
  self      = pass

passed:
  driver    = redirect
  domains   = pass.test
  data      = ann@st11.sne21.test

self_fail:
  driver    = dnslookup
  domains   = fail.test
  transport = by_smtp
  self      = fail

self_defer:
  driver    = dnslookup
  domains   = defer.test
  transport = by_smtp
  self      = defer

self_reroute:
  driver    = dnslookup
  domains   = reroute.test
  transport = by_smtp
  self      = reroute: st2.sne21.test

self_freeze:
  driver    = dnslookup
  domains   = freeze.test
  transport = by_smtp

secondary:
  driver    = dnslookup
  domains   = second.test
  check_secondary_mx
  transport = by_smtp

ended:
  driver    = redirect
  domains   = ended.test
  data      = ${if eq{$local_part}{x}{ann@st11.sne21.test}}
  more      = ${if eq{$local_part}{more}}
  cannot_route_message = $local_part ends here

"""
    zone = """\
st2.sne21  IN MX 10 mx2.st2.sne21
pass    IN MX 10 mx2.st11.sne21
fail    IN MX 10 mx2.st11.sne21
defer   IN MX 10 mx2.st11.sne21
freeze  IN MX 10 mx2.st11.sne21
reroute IN MX 10 mx2.st11.sne21
second  IN MX 10 mx2.st2.sne21
        IN MX 20 mx2.st11.sne21
ended   IN MX 10 mx2.st2.sne21
"""
    domains = ("port", "backup", "lost", "pass", "fail", "defer", "reroute", "freeze", "second")
    own = " : ".join(["st2.sne21.test", *(f"{name}.test" for name in domains)])
    mine = exim_conf(MINE, routers=routers + OTHERS + OURS)
    partner = exim_conf(PARTNER, "daemon_smtp_ports = 25 : 2525\n", local_domains=own)
    async with lab.world(host(MINE, mine, "ann"), host(PARTNER, partner, "bob"), zone=zone) as world:
        for name in domains:
            address = f"bob@{name}.test"
            lab.note(f"the route to {address}", (await world.mine.route(address)).outcome)
            await lab.submit(world.mine, address, message(name))
            await world.advance(seconds=1)  # a queue id of Exim's tells the order of its messages to a second
        for name in ("x", "y", "more"):
            await lab.call(
                world.mine,
                "EHLO c.test",
                f"MAIL FROM:<{ANN}>",
                f"RCPT TO:<{name}@ended.test>",
                "DATA",
                message(name),
                source="198.51.100.11",
            )
            await world.settle()
        assert len(world.partner.mailbox("bob")) == 4


@story()
async def what_is_left_is_tried_again(lab: Lab) -> None:
    """One child is delivered, one waits: after a restart of the host only that one is delivered."""
    mine = exim_conf(MINE, routers=OTHERS + ALIASES + OURS, transports=TRANSPORTS)
    aliases = "carl: carl, dora@st2.sne21.test\n"
    async with lab.world(
        host(MINE, mine, "ann", "carl"),
        host(PARTNER, exim_conf(PARTNER), "bob", "dora"),
        files={f"{MINE}/etc/aliases": aliases},
    ) as world:
        await world.partner.stop()
        await lab.submit(world.mine, "both@st11.sne21.test", message("both"))
        await lab.call(
            world.mine,
            "EHLO c.test",
            f"MAIL FROM:<{ANN}>",
            "RCPT TO:<carl@st11.sne21.test>",
            "RCPT TO:<dora@st2.sne21.test>",
            "DATA",
            message("self"),
            source="198.51.100.11",
        )
        await world.settle()
        lab.note("the queue, in any order", *sorted(world.mine.queue_listing().split("\n\n")))
        for item in sorted(world.mine.queue, key=lambda item: -len(item.finished)):
            finished = (str(each).strip('"').replace(f"{world.mine.folder}/", "/") for each in item.finished)
            lab.note("finished", *sorted(finished))
        await world.mine.stop()
        await world.mine.start()
        await world.partner.start()
        await world.mine.run_queue(forced=True)
        await world.settle()
        assert len(world.mine.mailbox("ann")) == 1 and len(world.mine.mailbox("carl")) == 2
        assert len(world.partner.mailbox("bob")) == len(world.partner.mailbox("dora")) == 1
        assert world.mine.queue == ()


@story()
async def frozen_ones_are_dropped(lab: Lab) -> None:
    """A frozen report is dropped after ignore_bounce_errors_after, any other message after timeout_frozen_after."""
    options = "ignore_bounce_errors_after = 5h\ntimeout_frozen_after = 10h\n"
    acl = "check_rcpt:\n  accept local_parts = carl\n         control = freeze\n  accept\n"
    async with lab.world(host(MINE, exim_conf(MINE, options, acl=acl), "ann", "carl")) as world:
        await lab.submit(world.mine, "dora@nowhere.test", message("one"), sender="ghost@nowhere.test")
        await lab.submit(world.mine, "carl@st11.sne21.test", message("two"))
        lab.note("frozen", len(world.mine.queue))
        for hours in (4, 2, 6):
            await world.advance(hours=hours)
            lab.note("left", len(world.mine.queue))
        assert world.mine.queue == ()


@story()
async def another_engine_goes_on(lab: Lab) -> None:
    """What one engine has begun the other one ends, by what is in the spool: nothing twice, nothing lost."""
    lab.expect_programs()
    acl = "check_rcpt:\n  accept set acl_m_mark = two\\nlines of $sender_helo_name\n"
    marked = OURS.replace(
        "  check_local_user\n", "  check_local_user\n  headers_add = X-Mark: ${sg{$acl_m_mark}{\\\\n}{ }}\n"
    )
    mine = exim_conf(MINE, acl=acl, routers=OTHERS + ALIASES + marked, transports=TRANSPORTS)
    files = {f"{MINE}/etc/aliases": "carl: carl, bob@st2.sne21.test\nlater: ann\n"}
    other = {"exim": "labkit", "labkit": "exim"}[lab.engine]
    async with lab.world(
        host(MINE, mine, "ann", "carl", "file"), host(PARTNER, exim_conf(PARTNER), "bob"), files=files
    ) as world:
        await world.partner.stop()
        await lab.submit(world.mine, "carl@st11.sne21.test", message("carl"))
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        await lab.submit(world.mine, "later@st11.sne21.test", message("later"))
        await world.mine.stop()
        await world.mine.run_on(other)
        await world.partner.start()
        await world.mine.start()
        await world.mine.run_queue(forced=True)
        await world.settle()
        assert world.mine.queue == ()
        (later,), (for_carl,) = world.mine.mailbox("ann"), world.mine.mailbox("carl")
        assert (later.first("Subject"), for_carl.first("Subject")) == ("later", "carl")
        assert later.first("X-Mark") == for_carl.first("X-Mark") == "two lines of client.test"
        assert [letter.first("Subject") for letter in world.partner.mailbox("bob")] == ["carl"]

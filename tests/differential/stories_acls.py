"""Stories of ACLs: what each of them can say at each step, and what it does to the message and the session."""

from __future__ import annotations

import re
from collections.abc import Sequence

from labkit.lab.host import Host

from .configurations import exim_conf
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, PARTNERS_LAPTOP, STRANGER, Lab, host, message
from .story import story

TO_ANN = f"RCPT TO:<{ANN}>"
EVERY_STEP = """\
acl_smtp_connect = on_connect
acl_smtp_helo    = on_helo
acl_smtp_mail    = on_mail
acl_smtp_predata = on_predata
acl_smtp_data    = on_data
acl_smtp_vrfy    = on_vrfy
acl_smtp_expn    = on_expn
acl_smtp_etrn    = on_etrn
"""
ON_EVERY_STEP = """\
on_connect:
  deny    hosts   = 198.51.100.11
          message = go away, $sender_host_address
  drop    hosts   = 198.51.100.2
          message = 521 no calls from here
  accept  message = $primary_hostname is ready

on_helo:
  deny    condition = ${if eq{$sender_helo_name}{deny.test}}
          message   = $sender_helo_name is not your name
          log_message = a lie
  drop    condition = ${if eq{$sender_helo_name}{drop.test}}
  defer   condition = ${if eq{$sender_helo_name}{defer.test}}
          message   = not now
  accept  message   = hello to you

on_mail:
  deny    senders = deny@*
          message = we know $sender_address_local_part at $sender_address_domain
  drop    senders = drop@*
          message = 554 5.7.1 and now hang up
  defer   senders = defer@*
          message = 450 4.7.1 come back later
  defer   senders = mistake@*
          condition = perhaps
  accept  senders = word@*
          message = 250 2.1.0 that is a sender
  accept

check_rcpt:
  deny    local_parts = deny
  deny    local_parts = multi
          message     = one\\ntwo\\n\\nthree: a line that is so long that it has to be broken: into two, \\
                        best behind a colon, else between words
  drop    local_parts = drop
          message     = enough
  defer   local_parts = defer
          message     = $local_part must wait
  accept  local_parts = word
          message     = welcome, $local_part of $domain
  deny    local_parts = percent
          message     = 50% of $h_subject: ${sg{$local_part}{c}{\\$0}}
  accept

on_predata:
  deny    senders = nodata@*
          message = no data from you, $rcpt_count recipients or not
  defer   senders = laterdata@*
  accept

on_data:
  deny    condition = ${if match{$h_subject:}{deny}}
          message   = "$h_subject:" says too much
  defer   condition = ${if match{$h_subject:}{defer}}
          message   = read it later
  drop    condition = ${if match{$h_subject:}{drop}}
          log_message = dropped: $h_subject:
  accept  message   = 250 2.0.0 thank you for $message_exim_id

on_vrfy:
  deny    local_parts = secret
          message = not telling
  defer   local_parts = later
  accept

on_expn:
  deny    hosts   = ! 198.51.100.66
  accept

on_etrn:
  deny    condition = ${if match{$smtp_command_argument}{deny}}
          message   = not for you
  accept
"""


@story()
async def a_word_at_every_step(lab: Lab) -> None:
    """Every verb in every ACL: what the client hears, what is noted, and when the connection ends."""
    configuration = exim_conf(MINE, EVERY_STEP, acl=ON_EVERY_STEP)
    async with lab.world(host(MINE, configuration, "ann")) as world:
        for source in (LAPTOP, PARTNERS_LAPTOP):
            await lab.call(world.mine, "EHLO c.test", source=source)
        await lab.call(
            world.mine, "EHLO deny.test", "HELO defer.test", "MAIL FROM:<a@b.test>", "HELO drop.test", "NOOP"
        )
        await lab.call(
            world.mine,
            "HELO c.test",
            "VRFY ann",
            f"VRFY {ANN}",
            f"VRFY <{ANN}>",
            "VRFY secret@st11.sne21.test",
            "VRFY later@st11.sne21.test",
            "VRFY noone@st11.sne21.test",
            f"EXPN {ANN}",
            "ETRN #deny",
            "ETRN #st2.sne21.test",
        )
        who = ("deny", "defer", "mistake", "word", "drop")
        await lab.call(world.mine, "EHLO c.test", *(f"MAIL FROM:<{name}@b.test>" for name in who[:3]))
        await lab.call(world.mine, "EHLO c.test", *(f"MAIL FROM:<{name}@b.test>" for name in who[3:]))
        await lab.call(world.mine, "EHLO c.test", "MAIL FROM:<drop@b.test>", "NOOP")
        names = ("deny", "multi", "defer", "word", "percent", "drop", "more")
        recipients = [f"RCPT TO:<{name}@St11.sne21.test>" for name in names]
        await lab.call(world.mine, "EHLO c.test", "MAIL FROM:<a@b.test>", *recipients)
        for name in ("nodata", "laterdata"):
            await lab.call(world.mine, "EHLO c.test", f"MAIL FROM:<{name}@b.test>", TO_ANN, "DATA", "RSET")
        mail = ("MAIL FROM:<a@b.test>", TO_ANN, "DATA")
        commands = [each for word in ("deny", "defer", "keep", "drop") for each in (*mail, message(word))]
        await lab.call(world.mine, "EHLO c.test", *commands, "NOOP")
        await world.settle()
        assert len(world.mine.mailbox("ann")) == 1


THROWN_AWAY = """\
on_mail:
  discard senders = discard@*
          log_message = from nobody
  accept

check_rcpt:
  discard local_parts = noone
  accept

on_predata:
  discard senders = predata@*
  accept

on_data:
  deny    condition = ${if match{$h_subject:}{^fake}}
          condition = ${if eq{$recipients_count}{0}}
  accept  condition = ${if match{$h_subject:}{^fakereject}}
          control   = fakereject/550 we do not like it
  accept  condition = ${if match{$h_subject:}{^fakedefer}}
          control   = fakedefer
  accept  condition = ${if match{$h_subject:}{^freeze}}
          control   = freeze
  accept  condition = ${if match{$h_subject:}{^queue}}
          control   = queue_only
  discard condition = ${if match{$h_subject:}{^discard}}
  accept
"""


@story()
async def taken_and_thrown_away(lab: Lab) -> None:
    """discard takes what nobody will get; fakereject keeps what it refuses; freeze and queue_only let it wait."""
    options = "acl_smtp_mail = on_mail\nacl_smtp_predata = on_predata\nacl_smtp_data = on_data\n"
    async with lab.world(host(MINE, exim_conf(MINE, options, acl=THROWN_AWAY), "ann")) as world:
        for sender, recipients, subject in (
            ("discard@b.test", (ANN,), "discarded at MAIL"),
            ("a@b.test", ("noone@st11.sne21.test",), "discarded at RCPT"),
            ("a@b.test", ("noone@st11.sne21.test", ANN), "one discarded at RCPT"),
            ("predata@b.test", (ANN,), "no discard there"),
            ("a@b.test", (ANN,), "discarded at DATA"),
            ("a@b.test", (ANN,), "fakereject"),
            ("a@b.test", (ANN,), "fakedefer"),
            ("a@b.test", (ANN,), "freeze it"),
            ("a@b.test", (ANN,), "queue it"),
        ):
            to = [f"RCPT TO:<{recipient}>" for recipient in recipients]
            await lab.call(world.mine, "EHLO c.test", f"MAIL FROM:<{sender}>", *to, "DATA", message(subject))
            await world.settle()
        subjects = [letter.first("Subject") for letter in world.mine.mailbox("ann")]
        assert subjects == ["one discarded at RCPT", "fakereject", "fakedefer"]
        await world.mine.run_queue()
        assert len(world.mine.queue) == 1
        await world.mine.run_queue(forced=True, thaws=True)
        assert world.mine.queue == ()


FIELDS = """\
on_mail:
  warn    add_header = X-Mail: from $sender_address
  accept

check_rcpt:
  warn    add_header = X-Rcpt: $local_part
          remove_header = X-Unwanted : x-two
  warn    add_header = :at_start:X-Start: one
          add_header = :at_start:X-Start: two
  warn    add_header = :after_received:X-After: received
          add_header = :at_start_rfc:X-Rfc: start
  warn    add_header = :at_end:X-End: end
          add_header = X-Twice: the same\\n\\tand folded
          add_header = X-Twice: the same\\n\\tand folded
  warn    add_header = no name, so it becomes one
  accept

on_predata:
  warn    add_header = X-Predata: $rcpt_count $recipients_count
  accept

on_data:
  warn    condition  = ${if def:h_X-Rcpt:}
          add_header = X-Seen: $h_X-Rcpt: and ${if def:h_X-Unwanted:{unwanted}{nothing}}
  warn    add_header = X-Added: ${sg{$headers_added}{\\n}{|}}
          add_header = :at_start:X-Very-First: yes
          remove_header = Subject
  accept
"""


@story()
async def fields_put_in_and_taken_out(lab: Lab) -> None:
    """add_header and remove_header in every ACL: where the fields stand, and when they are seen."""
    options = "acl_smtp_mail = on_mail\nacl_smtp_predata = on_predata\nacl_smtp_data = on_data\n"
    carl = "carl@st11.sne21.test"
    configuration = exim_conf(MINE, options, acl=FIELDS)
    async with lab.world(host(MINE, configuration, "ann", "carl", "dora")) as world:
        text = message().replace(b"Subject:", b"X-Unwanted: 1\r\nX-Two: 2\r\nSubject:")
        text = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\nResent-To: me@a.test\r\n" + text
        mail = ("MAIL FROM:<a@b.test>", TO_ANN, f"RCPT TO:<{carl}>", "DATA", text)
        to_dora = "RCPT TO:<dora@st11.sne21.test>"  # two messages at once for one mailbox come in any order
        await lab.call(world.mine, "EHLO c.test", *mail, "MAIL FROM:<c@b.test>", to_dora, "DATA", message())
        await world.settle()
        letters = [*world.mine.mailbox("ann"), *world.mine.mailbox("dora")]
        assert [letter.first("Subject") for letter in letters] == [None, None]
        assert world.mine.mailbox("carl")[0].first("X-Seen") == "ann"


SUBMISSION = """\
check_rcpt:
  accept  senders = plain@*
          control = submission
  accept  senders = retain@*
          control = submission/sender_retain
  accept  senders = domain@*
          control = submission/domain=st11.sne21.test
  accept  senders = name@*
          control = submission/sender_retain/name=Ann B. Example
  accept  senders = nofix@*
          control = suppress_local_fixups
  accept  senders = :
          control = submission
  accept
"""


@story()
async def submissions(lab: Lab) -> None:
    """What a submission server adds to a message that lacks it, and takes out (RFC 6409 §8)."""
    bare = b"To: ann\r\nSubject: bare\r\n\r\ntext\r\n"
    sent = b"From: Joe <joe@far.test>\r\nSender: boss@far.test\r\nTo: ann\r\nSubject: sent\r\n\r\ntext\r\n"
    dated = b"From: plain@b.test\r\nSender: boss@far.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n"
    resent = (
        b"Resent-Sender: a@b.test\r\nSender: b@b.test\r\nFrom: x@far.test\r\nSubject: resent\r\n\r\ntext\r\n"
    )
    empty = b"\r\nno header at all\r\n"
    letters = [
        ("plain@b.test", bare), ("plain@b.test", sent), ("plain@b.test", dated), ("plain@b.test", resent),
        ("plain@b.test", empty), ("retain@b.test", sent), ("domain@b.test", bare), ("name@b.test", bare),
        ("name@b.test", resent), ("nofix@b.test", sent), ("x@b.test", sent), ("", bare), ("", resent),
    ]  # fmt: skip
    names = [f"reader{number}" for number in range(len(letters))]
    async with lab.world(host(MINE, exim_conf(MINE, acl=SUBMISSION), *names)) as world:
        commands: list[str | bytes] = []
        for name, (sender, text) in zip(names, letters):
            commands += [f"MAIL FROM:<{sender}>", f"RCPT TO:<{name}@st11.sne21.test>", "DATA", text]
        await lab.call(world.mine, "EHLO c.test", *commands)
        await world.settle()
        assert len(world.mine.queue) == 3, "more than ten messages in one session"


LIVES = """\
on_connect:
  accept  set acl_c_calls = 1
          logwrite = connect: <$acl_c_calls> <$acl_m_text> <$sender_fullhost> <$received_port> <$sender_helo_name>

on_helo:
  accept  set acl_c_helo = $acl_c_helo+
          set acl_m_text = helo
          logwrite = helo: <$acl_c_helo> <$sender_helo_name> <$sender_fullhost> <$sender_rcvhost> <$received_protocol>

on_mail:
  accept  set acl_c_calls = ${eval:$acl_c_calls+1}
          logwrite = mail: <$acl_c_calls> <$acl_c_helo> <$acl_m_text> <$sender_address> <$message_size> \\
             <$rcpt_count> <$recipients_count> <$sender_address_domain> <$smtp_command>
          set acl_m_text = $sender_address

check_rcpt:
  warn    set acl_m_who = $acl_m_who $local_part
          logwrite = rcpt: <$acl_m_text> <$acl_m_who> <$rcpt_count> <$recipients_count> <$rcpt_defer_count> \\
             <$rcpt_fail_count> <$domain> <$smtp_command_argument> <$smtp_command>
  deny    local_parts = deny
  defer   local_parts = defer
  discard local_parts = discard
  accept

on_predata:
  accept  logwrite = predata: <$acl_m_text> <$rcpt_count> <$recipients_count> <$rcpt_defer_count> \\
             <$rcpt_fail_count> <$local_part> <$message_size> <$smtp_command>

on_data:
  accept  logwrite = data: <$acl_m_text> <$acl_m_who> <$rcpt_count> <$recipients_count> <$recipients> \\
             <$message_size> <$message_linecount> <$body_linecount> <$message_body_size> <$received_count>
          logwrite = data: <$message_body> <$message_body_end> <$body_zerocount> <$max_received_linelength> \\
             <$local_part> <$domain> <$sender_address> <${lc:$rh_subject:}> <$h_from:> <$bh_subject:>
          logwrite = data: <${if match{$message_headers}{Received:}{trace}{none}}> <${if def:h_message-id:{id}{}}> \\
             <${if def:h_date:{date}{}}> <$h_to:> \\
             <${if eq{$message_exim_id}{$message_id}{same}}> <$smtp_command> <$received_protocol>

on_vrfy:
  accept  logwrite = vrfy: <$acl_m_text> <$acl_c_calls> <$local_part> <$domain> <$smtp_command_argument>

on_quit:
  accept  logwrite = quit: <$acl_m_text> <$acl_c_calls> <$sender_address> <$rcpt_count> \\
             <$smtp_count_at_connection_start>
"""
LIVES_MAIN = """\
acl_smtp_connect = on_connect
acl_smtp_helo    = on_helo
acl_smtp_mail    = on_mail
acl_smtp_predata = on_predata
acl_smtp_data    = on_data
acl_smtp_vrfy    = on_vrfy
acl_smtp_quit    = on_quit
"""


def tagged(of: Host, tags: Sequence[str]) -> list[str]:
    """The lines of the main log that a logwrite with one of these tags wrote."""
    return [line for line in of.log().split("\n") if any(f" {tag}: " in line for tag in tags)]


@story()
async def lives_of_variables(lab: Lab) -> None:
    """acl_c lives as long as the connection, acl_m as long as the message; what all the others hold at each step."""
    configuration = exim_conf(MINE, LIVES_MAIN, acl=LIVES)
    long = message("two", "x" * 300 + "\nline two\n\nlast " + "y" * 400 + "\n")
    to = [f"RCPT TO:<{name}@ST11.sne21.test>" for name in ("deny", "Defer", "discard", "ann", "ann")]
    async with lab.world(host(MINE, configuration, "ann", "dora")) as world:
        await lab.call(
            world.mine,
            "HELO [198.51.100.66]",
            "EHLO c.test",
            "MAIL FROM:<One@B.test> SIZE=777",
            *to,
            "DATA",
            message("One", "\n" + "z" * 20 + "\n"),
            "VRFY Ann@st11.sne21.test",
            "MAIL FROM:<>",
            "RSET",
            f"MAIL FROM:<{BOB}>",
            f"RCPT TO: <@route.test:{ANN}>",
            "EHLO d.test",
            'MAIL FROM:<"two words"@b.test>',
            "RCPT TO:<dora@st11.sne21.test>",  # two messages at once for one mailbox come in any order
            "DATA",
            long,
        )
        await world.settle()
        lab.note(
            "log", *tagged(world.mine, ("connect", "helo", "mail", "rcpt", "predata", "data", "vrfy", "quit"))
        )


SLOW = """\
check_rcpt:
  warn    local_parts = slow
          delay       = 30s
  warn    ratelimit   = 2.5 / 1h / strict / per_rcpt / $sender_address
          set acl_m_rate = $sender_rate of $sender_rate_limit in $sender_rate_period
  defer   ratelimit   = 2.5 / 1h / strict / per_rcpt / $sender_address
          message     = slow down: $acl_m_rate
  warn    ratelimit   = 100 / 1m / leaky / per_conn
  accept  message     = fine
"""


@story()
async def slow_and_often(lab: Lab) -> None:
    """delay lets time pass; ratelimit puts off who comes too often."""
    async with lab.world(host(MINE, exim_conf(MINE, acl=SLOW), "ann")) as world:
        mail = ("EHLO c.test", "MAIL FROM:<often@b.test>", TO_ANN)
        for _ in range(3):
            replies = await lab.call(world.mine, *mail)
        assert replies[3].startswith("451")
        await world.advance(hours=4)
        replies = await lab.call(world.mine, *mail)
        assert replies[3] == "250 fine"


AT_THE_LIMIT = """\
check_rcpt:
  warn    ratelimit   = 3 / 1h / strict / per_rcpt / strict
          set acl_m_strict = over
  warn    ratelimit   = 3 / 1m / leaky / per_rcpt / leaky
          set acl_m_leaky = over
  accept  message     = <$acl_m_strict> <$acl_m_leaky> $sender_rate
"""


@story()
async def at_the_limit(lab: Lab) -> None:
    """Hardly any time between two events: the third of three is a little below the limit, the fourth is over it."""
    async with lab.world(host(MINE, exim_conf(MINE, acl=AT_THE_LIMIT), "ann")) as world:
        mail = ("EHLO c.test", "MAIL FROM:<often@b.test>", *[TO_ANN] * 5)
        replies = await lab.call(world.mine, *mail)
        assert [reply.partition(" ")[2][:2] for reply in replies[3:6]] == ["<>"] * 3
        assert all(reply.startswith("250 <over> <over>") for reply in replies[6:8])


VERIFIED = """\
on_helo:
  warn    ! verify = helo
          set acl_c_helo = not verified
  accept

on_mail:
  deny    senders = reverse@*
          ! verify = reverse_host_lookup
          message = no name for $sender_host_address
  deny    senders = helo@*
          ! verify = helo
  deny    senders = details@nowhere.test
          ! verify = sender
  accept

check_rcpt:
  require local_parts = ! sender
          verify = recipient
  require verify = sender
  accept

on_data:
  require verify = header_syntax
  require verify = header_sender
  require verify = not_blind
  accept
"""


@story()
async def verified(lab: Lab) -> None:
    """verify of senders, recipients, header fields, HELO names and the client's own name."""
    options = "acl_smtp_helo = on_helo\nacl_smtp_mail = on_mail\nacl_smtp_data = on_data\n"
    configuration = exim_conf(MINE, options, acl=VERIFIED)
    zone = "st11.sne21  IN MX  10 mx2.st11.sne21\nb IN MX 10 mx2.st2.sne21\nnull IN MX 0 .\n"
    reverse = "66 IN PTR stranger.test.\n2 IN PTR liar.test.\n"
    origin = "100.51.198.in-addr.arpa"
    top = "@ IN SOA ns.test. h.test. ( 1 7200 900 1209600 300 )\n  IN NS ns.test.\n"
    zones = ((origin, f"$TTL 300\n{top}{reverse}"),)
    async with lab.world(host(MINE, configuration, "ann"), zone=zone, zones=zones) as world:
        for source in (STRANGER, PARTNERS_LAPTOP, LAPTOP):
            for helo in ("stranger.test", "c.test", f"[{source}]"):
                await lab.call(
                    world.mine,
                    f"EHLO {helo}",
                    "MAIL FROM:<reverse@b.test>",
                    "RSET",
                    "MAIL FROM:<helo@b.test>",
                    source=source,
                )
        senders = (
            "a@b.test",
            "a@nowhere.test",
            "a@null.test",
            ANN,
            "noone@st11.sne21.test",
            "",
            "x@mx2.st2.sne21.test",
        )
        for sender in senders:
            to = [f"RCPT TO:<{name}@st11.sne21.test>" for name in ("ann", "noone", "sender")]
            await lab.call(
                world.mine, "EHLO c.test", f"MAIL FROM:<{sender}>", *to, "RCPT TO:<a@nowhere.test>"
            )
        for field in (
            b"From: ann@st11.sne21.test",
            b"From: broken@",
            b"From: <a@nowhere.test>",
            b"From: Ann <noone@st11.sne21.test>",
            b"Sender: a@b.test\r\nFrom: a@nowhere.test",
            b'From: a@b.test, "quoted <c@d.test>',
            b"Reply-To: a@nowhere.test\r\nFrom: a@b.test",
            b"X-None: 1",
        ):
            text = b"%b\r\nTo: ann@st11.sne21.test\r\nSubject: x\r\n\r\ntext\r\n" % field
            await lab.call(world.mine, "EHLO c.test", "MAIL FROM:<a@b.test>", TO_ANN, "DATA", text)
            await world.settle()  # of two at once a real Exim delivers any one first


CALLOUTS = """\
check_rcpt:
  accept  senders = defer_ok@*
          verify  = recipient/callout=10s,defer_ok
  accept  senders = random@*
          verify  = recipient/callout=random
  accept  senders = sender@*
          verify  = sender/callout=no_cache
  deny    senders = sender@*
          message = $sender_verify_failure
  require verify  = recipient/callout
  accept
"""
PARTNER_TAKES = """\
check_rcpt:
  defer   local_parts = full
          message     = mailbox full
  drop    local_parts = drop
  deny    senders = :
          local_parts = nobounce
          message = no bounces
  require verify  = recipient
  accept
"""


@story()
async def callouts(lab: Lab) -> None:
    """The next host is asked before we answer: it knows the user, or not; once it is down, what it said counts on."""
    mine = exim_conf(MINE, acl=CALLOUTS, relay_to_domains="st2.sne21.test")
    partner = exim_conf(PARTNER, acl=PARTNER_TAKES)
    async with lab.world(host(MINE, mine, "ann"), host(PARTNER, partner, "bob")) as world:
        names = ("bob", "noone", "drop", "nobounce", "bob")
        to = [f"RCPT TO:<{name}@st2.sne21.test>" for name in names]
        mail = ("EHLO c.test", "MAIL FROM:<a@b.test>")
        await lab.call(world.mine, *mail, *to, "RCPT TO:<x@nowhere.test>", TO_ANN)
        for sender in ("sender@st2.sne21.test", "sender@nowhere.test", "random@b.test"):
            await lab.call(world.mine, "EHLO c.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{BOB}>")
        await world.partner.stop()
        await lab.call(world.mine, *mail, f"RCPT TO:<{BOB}>", "RCPT TO:<noone@st2.sne21.test>")
        replies = await lab.call(
            world.mine, "EHLO c.test", "MAIL FROM:<defer_ok@b.test>", "RCPT TO:<dora@st2.sne21.test>"
        )
        assert replies[3] == "250 Accepted"


@story()
async def callouts_without_an_answer(lab: Lab) -> None:
    """The next host says 451, or is down: so do we."""
    mine = exim_conf(MINE, acl=CALLOUTS, relay_to_domains="st2.sne21.test")
    partner = exim_conf(PARTNER, acl=PARTNER_TAKES)
    async with lab.world(host(MINE, mine, "ann"), host(PARTNER, partner, "bob")) as world:
        mail = ("EHLO c.test", "MAIL FROM:<a@b.test>")
        await lab.call(world.mine, *mail, "RCPT TO:<full@st2.sne21.test>")
        await world.partner.stop()
        await lab.call(world.mine, *mail, "RCPT TO:<carl@st2.sne21.test>")


LISTS = """\
check_rcpt:
  deny    acl = by_list bl.test "listed here"
  deny    dnslists = white.test/$sender_address_domain
          message  = domain: $dnslist_domain $dnslist_matched $dnslist_value $dnslist_text
  deny    ! acl    = is_known $local_part ann carl
          message  = $local_part is not known
  accept  condition = ${acl{greeting}{$local_part}{x}}
          message  = ${acl{greeting}{$local_part}{$sender_host_address}}

by_list:
  accept  dnslists = $acl_arg1=127.0.0.2,127.0.0.3
          message  = $acl_arg2 ($acl_narg): $dnslist_domain/$dnslist_matched/$dnslist_value/$dnslist_text
  deny

is_known:
  accept  condition = ${if inlist{$acl_arg1}{$acl_arg2:$acl_arg3}}
  deny

greeting:
  accept  message = hello $acl_arg1 ($acl_arg2, $acl_narg)
"""
LIST_ZONE = """\
66.100.51.198.bl  IN A    127.0.0.2
                  IN A    127.0.0.9
                  IN TXT  "spam from 198.51.100.66"
2.100.51.198.bl   IN A    127.0.0.9
bad.test.white    IN A    127.0.0.1
                  IN TXT  "a domain"
"""


@story()
async def lists_and_arguments(lab: Lab) -> None:
    """DNS lists with their texts, and ACLs that are called with arguments."""
    async with lab.world(host(MINE, exim_conf(MINE, acl=LISTS), "ann"), zone=LIST_ZONE) as world:
        for source in (STRANGER, PARTNERS_LAPTOP, LAPTOP):
            to = (TO_ANN, "RCPT TO:<eve@st11.sne21.test>")
            await lab.call(
                world.mine,
                "EHLO c.test",
                "MAIL FROM:<a@bad.test>",
                TO_ANN,
                "RSET",
                "MAIL FROM:<a@b.test>",
                *to,
                source=source,
            )


HANDED_IN = """\
on_local:
  deny    condition = ${if match{$h_subject:}{deny}}
          message   = not this, $sender_address
  discard condition = ${if match{$h_subject:}{discard}}
  warn    add_header = X-Local: $received_protocol <$sender_ident> <$recipients_count> <$sender_host_address>
          add_header = :at_start:X-First: $primary_hostname
          remove_header = X-Gone
  accept  condition = ${if match{$h_subject:}{queue}}
          control = queue_only
  accept  condition = ${if match{$h_subject:}{freeze}}
          control = freeze
  accept

check_rcpt:
  accept
"""


@story()
async def handed_in_on_the_host(lab: Lab) -> None:
    """A message that an account of the host hands in: acl_not_smtp sees it."""
    configuration = exim_conf(MINE, "acl_not_smtp = on_local\n", acl=HANDED_IN)
    async with lab.world(host(MINE, configuration, "ann", "carl")) as world:
        for subject in ("hello", "queue", "freeze", "discard"):
            text = f"From: ann@st11.sne21.test\nX-Gone: 1\nSubject: {subject}\n\ntext\n"
            await world.mine.send(ANN, "carl@st11.sne21.test", text)
            await world.settle()
            lab.note("waiting", subject, *(item.frozen for item in world.mine.queue))
            await world.mine.run_queue(forced=True, thaws=True)
        assert len(world.mine.mailbox("carl")) == 3


@story()
async def names_of_clients(lab: Lab) -> None:
    """host_lookup: the client's name stands in Received and in the log; a name that does not lead back counts not."""
    log = "on_mail:\n  accept  logwrite = mail: <$sender_host_name> <$sender_fullhost> <$sender_rcvhost>\n"
    configuration = exim_conf(
        MINE,
        "host_lookup = *\nacl_smtp_mail = on_mail\n",
        acl=log + "check_rcpt:\n  deny senders = no@*\n  accept\n",
    )
    reverse = "66 IN PTR stranger.test.\n2 IN PTR liar.test.\n"
    top = "@ IN SOA ns.test. h.test. ( 1 7200 900 1209600 300 )\n  IN NS ns.test.\n"
    zones = (("100.51.198.in-addr.arpa", f"$TTL 300\n{top}{reverse}"),)
    async with lab.world(host(MINE, configuration, "ann"), zones=zones) as world:
        for source in (STRANGER, PARTNERS_LAPTOP, LAPTOP):
            for helo in ("HELO Stranger.test", "EHLO c.test", f"HELO [{source}]"):
                await lab.call(
                    world.mine,
                    helo,
                    "MAIL FROM:<no@b.test>",
                    TO_ANN,
                    "RSET",
                    "MAIL FROM:<a@b.test>",
                    TO_ANN,
                    "DATA",
                    message(),
                    source=source,
                )
                await world.settle()
        lines = [re.sub(" S=[0-9]+", "", line) for line in world.mine.log().split("\n")]
        lines = [line for line in lines if " H=" in line or " mail: " in line]
        lab.note("log", *lines)

"""Stories of what waits: held domains, frozen messages, hosts that stay dead, and what is told of it."""

from __future__ import annotations

from labkit.mail.event import EventKind

from .configurations import BY_SMTP, INTO_MAILBOX, OTHERS, OURS, exim_conf
from .stage import ANN, BOB, MINE, PARTNER, RELAY, Lab, host, message
from .story import story

NOBODY_LISTENS = "far  IN MX  10 stranger\n"
TWO_DEAD = "far  IN MX  10 stranger\n     IN MX  20 mx2.st2.sne21\nnear IN MX 10 stranger\n"
TWO_WAYS = "far  IN MX  10 mx2.st2.sne21\n     IN MX  20 smtp.relay\n"
LATER = """\
check_rcpt:
  defer  local_parts = later
         message     = 451 come again
  defer  local_parts = full
         message     = 452 no room
  accept
"""


@story()
async def hold_domains(lab: Lab) -> None:
    """Mail for a held domain is not even routed, unless somebody forces it."""
    configuration = exim_conf(MINE, "hold_domains = st2.sne21.test\n")
    async with lab.world(host(MINE, configuration, "ann"), host(PARTNER, exim_conf(PARTNER), "bob")) as world:
        await lab.submit(world.mine, BOB, message())
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert deferred.text == "domain is held"
        await world.mine.run_queue()
        (item,) = world.mine.queue
        assert not world.partner.mailbox("bob")
        await world.mine.force(item.queue_id)
        assert len(world.partner.mailbox("bob")) == 1


@story()
async def held_for_hours(lab: Lab) -> None:
    """No hint says how long: each queue run looks whether the domain is still held."""
    configuration = exim_conf(MINE, "hold_domains = ${if exists{/etc/held}{st2.sne21.test}{}}\n")
    hosts = host(MINE, configuration, "ann"), host(PARTNER, exim_conf(PARTNER), "bob")
    async with lab.world(*hosts, files={f"{MINE}/etc/held": ""}) as world:
        await lab.submit(world.mine, BOB, message())
        await world.advance(hours=3)
        assert len(world.journal.where(EventKind.DEFERRED, host=MINE)) == 1 + 3 * 4
        (world.folder / MINE / "etc/held").unlink()
        await world.advance(minutes=15)
        assert len(world.partner.mailbox("bob")) == 1


@story()
async def the_host_is_back(lab: Lab) -> None:
    """One message gets through: the hint is gone, and the others go with the next queue run."""
    transports = BY_SMTP + "  connection_max_messages = 1\n" + INTO_MAILBOX
    configuration = exim_conf(MINE, transports=transports, retry="*  *  F,2d,6h\n")
    async with lab.world(host(MINE, configuration, "ann"), host(PARTNER, exim_conf(PARTNER), "bob")) as world:
        await world.partner.stop()
        for subject in ("one", "two"):
            await lab.submit(world.mine, BOB, message(subject))
        await world.advance(hours=1)
        await world.partner.start()
        await world.advance(minutes=30)
        assert not world.partner.mailbox("bob"), "nobody has looked"
        await world.mine.force(world.mine.queue[0].queue_id)
        assert len(world.partner.mailbox("bob")) == 1
        await world.advance(minutes=15)
        assert len(world.partner.mailbox("bob")) == 2


def _two_ways(field: str, *, acl: str) -> tuple[str, ...]:
    """Configurations of three hosts: a transport that adds a field, an exchanger with an ACL, and the next one."""
    transports = BY_SMTP + f"  headers_add = {field}\n" + INTO_MAILBOX
    far = {"local_domains": "far.test"}
    return exim_conf(MINE, transports=transports), exim_conf(PARTNER, acl=acl, **far), exim_conf(RELAY, **far)


@story()
async def fields_of_each_host(lab: Lab) -> None:
    """What a transport adds is expanded anew for each host: the second gets its own name."""
    field = (
        "X-Via: $host $host_address $host_port $host_lookup_deferred $sending_ip_address "
        "${if def:tls_out_cipher{TLS}}"
    )
    mine, first, second = _two_ways(field, acl=LATER)
    hosts = host(MINE, mine, "ann"), host(PARTNER, first, "full"), host(RELAY, second, "full")
    async with lab.world(*hosts, zone=TWO_WAYS) as world:
        await lab.submit(world.mine, "full@far.test", message())
        (letter,) = world.hosts[RELAY].mailbox("full")
        via = letter.first("X-Via") or ""
        assert via == "smtp.relay.test 203.0.113.87 25 0 203.0.113.11 TLS"


@story()
async def fields_that_come_to_nothing(lab: Lab) -> None:
    """No other host is tried, and no hint is left: each queue run tries again, until the field can be expanded."""
    field = "X-Via: ${if exists{/etc/ready}{ready}{${if >{$host}{b}{x}{y}}}}"
    mine, first, second = _two_ways(field, acl="check_rcpt:\n  accept\n")
    hosts = host(MINE, mine, "ann"), host(PARTNER, first, "carl"), host(RELAY, second, "carl")
    async with lab.world(*hosts, zone=TWO_WAYS) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        await world.advance(hours=3)
        deferred = world.journal.where(EventKind.DEFERRED, host=MINE)
        assert [each.errno for each in deferred] == [-25] * (1 + 3 * 4)
        assert world.mine.engine.retry_hints() == {}
        ready = world.folder / MINE / "etc/ready"
        ready.touch()
        ready.chmod(0o644)
        await world.advance(minutes=15)
        assert len(world.partner.mailbox("carl")) == 1


@story()
async def queue_only_by_configuration(lab: Lab) -> None:
    configuration = exim_conf(MINE, "queue_only\n")
    async with lab.world(host(MINE, configuration, "ann")) as world:
        await lab.submit(world.mine, ANN, message())
        assert "ann@" in lab.listing(world.mine)
        await world.advance(minutes=20)
        assert len(world.mine.mailbox("ann")) == 1


@story()
async def queue_smtp_domains(lab: Lab) -> None:
    """Routed at once, sent in the next queue run."""
    configuration = exim_conf(MINE, "queue_smtp_domains = st2.sne21.test\n")
    async with lab.world(host(MINE, configuration, "ann"), host(PARTNER, exim_conf(PARTNER), "bob")) as world:
        await lab.submit(world.mine, BOB, message())
        assert len(world.mine.queue) == 1
        await world.mine.run_queue()
        assert len(world.partner.mailbox("bob")) == 1


@story()
async def an_administrator(lab: Lab) -> None:
    """Freeze, thaw, change the envelope, mark as delivered, remove."""
    async with lab.world(host(MINE, exim_conf(MINE, "queue_only\n"), "ann", "carl")) as world:
        await lab.submit(world.mine, ANN, message())
        (item,) = world.mine.queue
        mine, queue_id = world.mine, item.queue_id
        for words in (
            ("-Mf", queue_id),
            ("-Mf", queue_id),
            ("-Mt", queue_id),
            ("-Mt", queue_id),
            ("-Mar", queue_id, "carl@st11.sne21.test", "none@st11.sne21.test"),
            ("-Mar", queue_id),
            ("-Mes", queue_id, "carl@st11.sne21.test"),
            ("-Mes", queue_id, "a@b.test", "c@d.test"),
            ("-Mmd", queue_id, "who@else.test"),
            ("-Mmd", queue_id, ANN),
        ):
            said = await mine.exim(*words)
            lab.note(f"{words[0]}", said.status, said.text)
        lab.listing(mine)
        await world.advance(minutes=40)
        assert not mine.mailbox("ann") and len(mine.mailbox("carl")) == 2
        await lab.submit(world.mine, ANN, message("two"))
        (item,) = mine.queue
        for words in (("-Mmad", item.queue_id), ("-Mrm", item.queue_id)):
            said = await mine.exim(*words)
            lab.note(f"{words[0]}", said.status, said.text)
        assert mine.queue == ()


@story()
async def give_up(lab: Lab) -> None:
    """A message is cancelled: its sender hears of it; a report vanishes."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann"), zone=NOBODY_LISTENS) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        (item,) = world.mine.queue
        said = await world.mine.exim("-Mg", item.queue_id)
        lab.note("-Mg", said.status, said.text)
        assert len(world.mine.mailbox("ann")) == 1
        await lab.submit(world.mine, "carl@nowhere.test", message("two"), sender="ghost@nowhere.test")
        (report,) = world.mine.queue
        assert report.frozen
        said = await world.mine.exim("-Mg", report.queue_id)
        lab.note("-Mg", said.status, said.text)
        assert world.mine.queue == ()


@story()
async def several_failures(lab: Lab) -> None:
    """One report for all that fail in one run: here, in routing, at another host."""
    async with lab.world(
        host(MINE, exim_conf(MINE), "ann"), host(PARTNER, exim_conf(PARTNER), "bob")
    ) as world:
        people = ("one@st2.sne21.test", "two@nowhere.test", ANN, "three@st2.sne21.test", BOB)
        await lab.call(
            world.mine,
            "EHLO client.test",
            f"MAIL FROM:<{ANN}>",
            *(f"RCPT TO:<{each}>" for each in people),
            "DATA",
            message(),
            source="198.51.100.11",
        )
        await world.settle()
        reports = [letter for letter in world.mine.mailbox("ann") if letter.first("X-Failed-Recipients")]
        assert len(reports) == 1 and len(world.partner.mailbox("bob")) == 1


@story()
async def warned_twice(lab: Lab) -> None:
    """Two times in the list, then again and again after the gap between them."""
    configuration = exim_conf(MINE, "delay_warning = 2h:5h\n", retry="* * F,14h,1h\n")
    async with lab.world(host(MINE, configuration, "ann"), zone=NOBODY_LISTENS) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        await world.advance(hours=18)
        subjects = [letter.first("Subject") or "" for letter in world.mine.mailbox("ann")]
        delays = [" ".join(each.split()[-2:]) for each in subjects if each.startswith("Warning")]
        assert delays == ["2 hours", "5 hours", "8 hours", "11 hours", "14 hours"][: len(delays)]
        lab.note("delays", *delays)
        assert world.mine.queue == ()


@story()
async def no_warning_to_a_list(lab: Lab) -> None:
    """delay_warning_condition: who writes to a list does not want to hear that it takes long."""
    configuration = exim_conf(MINE, "delay_warning = 2h\n")
    async with lab.world(host(MINE, configuration, "ann"), zone=NOBODY_LISTENS) as world:
        await lab.submit(world.mine, "carl@far.test", b"Precedence: bulk\r\n" + message())
        await world.advance(hours=6)
        assert world.mine.mailbox("ann") == []


@story()
async def own_words(lab: Lab) -> None:
    """bounce_message_file and warn_message_file, Reply-To, From, and a copy for postmaster."""
    main = (
        "bounce_message_file = /etc/bounce.txt\nwarn_message_file = /etc/warn.txt\ndelay_warning = 1h\n"
        "errors_reply_to = help@st11.sne21.test\ndsn_from = Robot <robot@$qualify_domain>\n"
        "errors_copy = *@st11.sne21.test carl@st11.sne21.test\n"
    )
    files = {
        f"{MINE}/etc/bounce.txt": "Subject: no luck for $bounce_recipient\nX-Other: yes\n****\nDear reader,\n\n"
        "this did not work:\n****\n****\n****\n****\n",
        f"{MINE}/etc/warn.txt": "Subject: late by $warn_message_delay\n****\nIt takes long, $warn_message_recipients:\n"
        "****\nThat is all.\n",
    }
    configuration = exim_conf(MINE, main, retry="* * F,3h,30m\n")
    async with lab.world(host(MINE, configuration, "ann", "carl"), zone=NOBODY_LISTENS, files=files) as world:
        await lab.submit(world.mine, "bob@far.test", message())
        await world.advance(hours=5)
        subjects = [letter.first("Subject") for letter in world.mine.mailbox("ann")]
        assert subjects[-1] == f"no luck for {ANN}" and "late by 60 minutes" in subjects
        assert len(world.mine.mailbox("carl")) == 1


@story()
async def only_the_header_comes_back(lab: Lab) -> None:
    """bounce_return_body, and a message too long to be returned; bounce_message_text."""
    async with lab.world(host(MINE, exim_conf(MINE), "ann")) as world:
        for setting, text in (
            ("no_bounce_return_body\n", "hello\n"),
            ("bounce_return_size_limit = 1K\n", "0123456789 0123456789\n" * 1000),
            ("bounce_return_linesize_limit = 50\n", "x" * 60 + "\n"),
            ('bounce_message_text = "Ask the helpdesk.\\n"\n', "hello\n"),
        ):
            world.mine.write_configuration(exim_conf(MINE, setting))
            await world.mine.reload()
            await lab.submit(world.mine, "carl@nowhere.test", message(text=text))
            report = world.mine.mailbox("ann")[-1]
            assert (b"X-Exim-DSN-Information" in bytes(report)) == ("limit" in setting)


@story()
async def freeze_tell(lab: Lab) -> None:
    """Somebody is told of a message that freezes, if it is not this host's own report."""
    configuration = exim_conf(MINE, "freeze_tell = carl@st11.sne21.test\n")
    async with lab.world(host(MINE, configuration, "ann", "carl")) as world:
        await lab.submit(world.mine, "nobody@nowhere.test", message(), sender="")
        assert len(world.mine.mailbox("carl")) == 1
        await world.advance(minutes=2)
        await lab.submit(world.mine, "carl@nowhere.test", message(), sender="ghost@nowhere.test")
        assert len(world.mine.mailbox("carl")) == 1 and len(world.mine.queue) == 2


@story()
async def dropped_in_the_end(lab: Lab) -> None:
    """ignore_bounce_errors_after: a report that nobody wants is tried once more, and dropped."""
    configuration = exim_conf(MINE, "ignore_bounce_errors_after = 2h\n")
    async with lab.world(host(MINE, configuration, "ann")) as world:
        await lab.submit(world.mine, "carl@nowhere.test", message(), sender="ghost@nowhere.test")
        assert len(world.mine.queue) == 1
        await world.advance(hours=3)
        assert world.mine.queue == ()


@story()
async def timeout_frozen_after(lab: Lab) -> None:
    """Whatever is frozen for so long is given up; the sender of a message hears of it."""
    configuration = exim_conf(MINE, "timeout_frozen_after = 2h\n")
    async with lab.world(host(MINE, configuration, "ann"), zone=NOBODY_LISTENS) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        (item,) = world.mine.queue
        await world.mine.exim("-Mf", item.queue_id)
        await world.advance(hours=3)
        assert world.mine.queue == () and len(world.mine.mailbox("ann")) == 1


@story()
async def auto_thaw(lab: Lab) -> None:
    """A frozen message is tried again after a while."""
    configuration = exim_conf(MINE, "auto_thaw = 1h\n", retry="* * F,1d,10m\n")
    async with lab.world(host(MINE, configuration, "ann"), zone=NOBODY_LISTENS) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        (item,) = world.mine.queue
        await world.mine.exim("-Mf", item.queue_id)
        await world.advance(minutes=50)
        assert world.mine.queue[0].frozen
        await world.advance(minutes=40)
        assert not world.mine.queue[0].frozen


@story()
async def dead_for_long(lab: Lab) -> None:
    """A host that has been dead for longer than its rule: who comes new is given up at once."""
    configuration = exim_conf(MINE, retry="* * F,3h,1h\n")
    async with lab.world(
        host(MINE, configuration, "ann"), host(PARTNER, exim_conf(PARTNER)), zone=TWO_DEAD
    ) as world:
        await world.partner.stop()
        await lab.submit(world.mine, "carl@far.test", message("one"))
        await world.advance(hours=4, minutes=10)
        assert world.mine.queue == ()
        await lab.submit(world.mine, "carl@far.test", message("two"))
        assert world.mine.queue == ()
        await lab.submit(world.mine, "carl@near.test", message("three"))
        assert world.mine.queue == ()
        texts = [fact.text or "" for fact in world.journal.where(EventKind.FAILED)]
        assert "have been failing for a long time" in texts[-1]


@story()
async def come_again(lab: Lab) -> None:
    """4xx for a recipient is his own affair; a rule may be for one code, and one without a step is the end."""
    retry = "* rcpt_452\n* rcpt_4xx senders=ann@st11.sne21.test F,5h,2h\n* * F,1d,15m\n"
    configuration = exim_conf(MINE, retry=retry)
    async with lab.world(
        host(MINE, configuration, "ann"), host(PARTNER, exim_conf(PARTNER, acl=LATER), "bob")
    ) as world:
        await lab.submit(world.mine, "full@st2.sne21.test", message("full"))
        assert world.mine.queue == (), "the rule for 452 has no step"
        await lab.submit(world.mine, "later@st2.sne21.test", message("later"))
        await world.advance(minutes=30)
        await lab.submit(world.mine, BOB, message("bob"))
        assert len(world.partner.mailbox("bob")) == 1, "the host is well"
        await world.advance(hours=9)
        assert world.mine.queue == ()
        tries = world.journal.where(EventKind.DEFERRED, host=MINE)
        began = tries[0].at
        lab.note("tries", *(round((each.at - began).total_seconds() / 60) for each in tries))


@story()
async def no_rule(lab: Lab) -> None:
    """Without a retry rule a failure is final."""
    configuration = exim_conf(MINE, retry="*.other.test * F,1d,1h\n")
    async with lab.world(host(MINE, configuration, "ann"), zone=NOBODY_LISTENS) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        assert world.mine.queue == () and len(world.mine.mailbox("ann")) == 1


@story()
async def routing_waits(lab: Lab) -> None:
    """A router that cannot say now: tried again by the rule for the domain, and told to the sender in the end."""
    unsure = "unsure:\n  driver = redirect\n  domains = far.test\n  allow_defer\n  data = :defer: not today\n"
    configuration = exim_conf(
        MINE, "delay_warning = 1h\n", routers=unsure + OTHERS + OURS, retry="* * F,2h,30m\n"
    )
    async with lab.world(host(MINE, configuration, "ann")) as world:
        await lab.submit(world.mine, "carl@far.test", message())
        await world.advance(hours=4)
        assert world.mine.queue == ()


@story()
async def what_the_sender_wants_to_hear(lab: Lab) -> None:
    """NOTIFY, RET, ENVID and ORCPT (RFC 3461): of success, of nothing, of delays; what comes back of a failure."""
    configuration = exim_conf(MINE, "dsn_advertise_hosts = *\ndelay_warning = 1h\n", retry="* * F,2h,30m\n")
    async with lab.world(
        host(MINE, configuration, "ann", "carl"),
        host(PARTNER, exim_conf(PARTNER), "bob"),
        zone=NOBODY_LISTENS + "st2.sne21   IN MX  10 mx2.st2.sne21\n",
    ) as world:
        for options, *people in (
            (
                " RET=HDRS ENVID=QQ314159",
                "carl@st11.sne21.test> NOTIFY=SUCCESS ORCPT=rfc822;c+2Bx@y.test",
                f"{BOB}> NOTIFY=SUCCESS",
            ),
            ("", "none@nowhere.test> NOTIFY=NEVER"),
            (" RET=FULL", "none@nowhere.test> NOTIFY=FAILURE ORCPT=rfc822;d@y.test"),
            (" RET=HDRS", "none@nowhere.test>"),
            ("", "two@far.test> NOTIFY=DELAY"),
        ):
            await lab.call(
                world.mine,
                "EHLO client.test",
                f"MAIL FROM:<{ANN}>{options}",
                *(f"RCPT TO:<{each}" for each in people),
                "DATA",
                message(),
                source="198.51.100.11",
            )
            await world.settle()
        await world.advance(hours=4)
        assert world.mine.queue == ()
        subjects = [letter.first("Subject") or "" for letter in world.mine.mailbox("ann")]
        assert subjects.count("Delivery Status Notification") == 1
        lab.note("subjects", *(each.partition(" message ")[0] for each in subjects))

"""Stories of sending: what a host does about the next host's TLS, AUTH, refusals and absence."""

from __future__ import annotations

from labkit.lab.scenarios import HostPlan
from labkit.mail.event import EventKind

from .configurations import BY_SMTP, INTO_MAILBOX, OTHERS, OURS, exim_conf
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, RELAY, USUAL_MX, Lab, host, message
from .stories_tls import (
    ONLY_KNOWN,
    SERVERS_AUTHENTICATORS,
    SMARTHOST,
    TLS,
    change,
)
from .story import story

CERTIFIED = {f"{MINE}/etc/tls.crt": "", f"{PARTNER}/etc/tls.crt": ""}


def mine_with(
    transport: str, *, authenticators: str = "", retry: str = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h\n"
) -> HostPlan:
    """Ann's host; its smtp transport has these lines, too."""
    return host(
        MINE,
        exim_conf(
            MINE, transports=BY_SMTP + transport + INTO_MAILBOX, authenticators=authenticators, retry=retry
        ),
        "ann",
    )


def wrong_name(lab: Lab) -> dict[str, str]:
    """A certificate for somebody else, on the partner's disk."""
    certificate, key = lab.authority.certify("somebody.else.test")
    return {f"{PARTNER}/etc/wrong.crt": certificate, f"{PARTNER}/etc/wrong.key": key}


def partner(main: str = "") -> HostPlan:
    return host(PARTNER, exim_conf(PARTNER, main), "bob")


@story()
async def tls_required_of_a_plain_server(lab: Lab) -> None:
    """hosts_require_tls, and nobody offers it: the message waits."""
    async with lab.world(mine_with("  hosts_require_tls = *\n"), partner("tls_advertise_hosts =\n")) as world:
        await lab.submit(world.mine, BOB, message())
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert deferred.text == "a TLS session is required, but the server did not offer TLS support"
        lab.listing(world.mine)


@story()
async def tls_with_a_wrong_name(lab: Lab) -> None:
    """The certificate is for another host: with tls_verify_hosts and hosts_require_tls the message waits; with
    tls_try_verify_hosts alone it goes, and without hosts_require_tls in the clear."""
    strict = "  tls_verify_certificates = /etc/ca.crt\n  tls_verify_hosts = *\n"
    wrong = TLS.replace("/etc/tls", "/etc/wrong")
    files = {f"{MINE}/etc/tls.crt": ""}
    mine = mine_with(strict + "  hosts_require_tls = *\n")
    async with lab.world(mine, partner(wrong), files={**files, **wrong_name(lab)}) as world:
        await lab.submit(world.mine, BOB, message("strict"))
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert "certificate verification failed" in (deferred.text or "")
        assert world.partner.mailbox("bob") == []
        for subject, lines in (
            ("clear", strict),
            ("tried", "  tls_verify_certificates = /etc/ca.crt\n"),
            ("any name", strict + "  tls_verify_cert_hostnames =\n  hosts_require_tls = *\n"),
            ("avoided", "  hosts_avoid_tls = *\n"),
        ):
            await change(world.mine, exim_conf(MINE, transports=BY_SMTP + lines + INTO_MAILBOX))
            await world.mine.run_queue(forced=True)  # one message at a time: Exim's runs are in any order
            await lab.submit(world.mine, BOB, message(subject))
        protocols = {
            letter.first("Subject"): next(letter.all("Received")).value.split(" with ")[1].split()[0]
            for letter in world.partner.mailbox("bob")
        }
        assert protocols == {
            "strict": "esmtp",
            "clear": "esmtp",
            "tried": "esmtps",
            "any name": "esmtps",
            "avoided": "esmtp",
        }


@story()
async def fallback_hosts(lab: Lab) -> None:
    """Bob's host is down: his mail goes to the fallback host of the transport, or of the router."""
    backup = host(RELAY, exim_conf(RELAY, relay_to_domains="st2.sne21.test"), "ann")
    async with lab.world(mine_with("  fallback_hosts = smtp.relay.test\n"), partner(), backup) as world:
        await world.partner.stop()
        await lab.submit(world.mine, BOB, message("transport"))
        assert len(world.host(RELAY).queue) == 1
        assert world.mine.queue == ()
        routers = OTHERS.replace("  no_more", "  fallback_hosts = smtp.relay.test\n  no_more") + OURS
        await change(world.mine, exim_conf(MINE, routers=routers))
        await lab.submit(world.mine, BOB, message("router"))
        assert len(world.host(RELAY).queue) == 2


SEVERAL = ("bob", "carl", "dora", "emil", "fred")


@story()
async def max_rcpt_and_multi_domain(lab: Lab) -> None:
    """Five recipients, two at a time; and two domains of one host, each for itself."""
    theirs = host(
        PARTNER,
        exim_conf(PARTNER, local_domains="st2.sne21.test : also.st2.sne21.test"),
        *SEVERAL,
    )
    one_by_one = "remote_max_parallel = 1\n"  # else Exim's log is in any order
    zone = USUAL_MX + "also.st2.sne21 IN MX 10 mx2.st2.sne21\n"
    two = exim_conf(MINE, one_by_one, transports=BY_SMTP + "  max_rcpt = 2\n" + INTO_MAILBOX)
    async with lab.world(host(MINE, two, "ann"), theirs, zone=zone) as world:
        commands = ["EHLO client.test", f"MAIL FROM:<{ANN}>"]
        commands += [f"RCPT TO:<{name}@st2.sne21.test>" for name in SEVERAL]
        await lab.call(world.mine, *commands, "DATA", message("five"), source=LAPTOP)
        await world.settle()
        received = [fact for fact in world.journal.where(EventKind.RECEIVED) if fact.host == PARTNER]
        assert len(received) == 3
        await change(
            world.mine,
            exim_conf(MINE, one_by_one, transports=BY_SMTP + "  multi_domain = false\n" + INTO_MAILBOX),
        )
        both = ("bob@st2.sne21.test", "bob@also.st2.sne21.test", "carl@st2.sne21.test")
        commands = ["EHLO client.test", f"MAIL FROM:<{ANN}>", *(f"RCPT TO:<{each}>" for each in both)]
        await lab.call(world.mine, *commands, "DATA", message("domains"), source=LAPTOP)
        await world.settle()
        received = [fact for fact in world.journal.where(EventKind.RECEIVED) if fact.host == PARTNER]
        assert len(received) == 5


@story()
async def continued_connection(lab: Lab) -> None:
    """Three messages wait for Bob's host. It is up again: one retry takes them all over one connection."""
    mine = host(MINE, exim_conf(MINE, "queue_run_in_order\n"), "ann", "carl")
    async with lab.world(mine, partner()) as world:
        await world.partner.stop()
        for subject in ("one", "two", "three"):
            await lab.submit(world.mine, BOB, message(subject))
            await world.advance(seconds=1)  # of one second's messages a real Exim's order is that of its pids
        assert len(world.mine.queue) == 3
        await world.partner.start()
        await world.advance(minutes=31)
        assert world.mine.queue == ()
        log = world.mine.log()
        continued = [fact for fact in world.journal.where(EventKind.DELIVERED) if fact.is_continued]
        assert len(continued) == 2 or log.count(f"H={PARTNER} [203.0.113.2]*") == 2, log
        assert len(world.partner.mailbox("bob")) == 3


CRAM_SERVER = """\
cram_server:
  driver        = cram_md5
  public_name   = CRAM-MD5
  server_secret = ${if eq{$auth1}{ann}{secret}fail}
  server_set_id = $auth1
"""
CRAM_CLIENT = """\
cram_client:
  driver        = cram_md5
  public_name   = CRAM-MD5
  client_name   = ann
  client_secret = secret
  client_set_id = ann
"""


@story()
async def cram_md5_to_a_smarthost(lab: Lab) -> None:
    """The secret is proved, and not said (RFC 2195): it may go in the clear. A wrong authenticator before it fails."""
    to_smarthost = "to_smarthost:\n  driver = smtp\n  hosts_require_auth = *\n  hosts_avoid_tls = *\n"
    wrong = "wrong:\n  driver = plaintext\n  public_name = PLAIN\n  client_send = ^ann^guess\n"
    mine = exim_conf(
        MINE,
        routers=SMARTHOST + OURS,
        transports=to_smarthost + INTO_MAILBOX,
        authenticators=wrong + CRAM_CLIENT,
    )
    theirs = exim_conf(
        RELAY,
        "log_selector = +smtp_no_mail\n",
        acl=ONLY_KNOWN,
        routers=OTHERS + OURS,
        authenticators=CRAM_SERVER
        + SERVERS_AUTHENTICATORS.replace("server_advertise_condition = ${if def:tls_in_cipher}", ""),
    )
    async with lab.world(host(MINE, mine, "ann"), host(RELAY, theirs, "bob")) as world:
        await lab.submit(world.mine, "bob@relay.test", message())
        (letter,) = world.host(RELAY).mailbox("bob")
        assert " with esmtpa " in next(letter.all("Received")).value
        assert "authenticator failed" in world.mine.log()
        shown = [fact.authenticator for fact in world.journal.where(EventKind.DELIVERED) if fact.host == MINE]
        assert shown == ["cram_client:ann"] or "A=cram_client:ann" in world.mine.log()


@story()
async def auth_required_and_not_offered(lab: Lab) -> None:
    """hosts_require_auth: without AUTH, or without a mechanism in common, the message waits."""
    lines = "  hosts_require_auth = *\n"
    async with lab.world(mine_with(lines, authenticators=CRAM_CLIENT), partner()) as world:
        await lab.submit(world.mine, BOB, message("one"))
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert deferred.text == "authentication required but server did not advertise AUTH support"


@story()
async def refusals_of_every_kind(lab: Lab) -> None:
    """A refusal of the sender, of one recipient of two, of the message; for now, and for good."""
    acl = """\
check_mail:
  deny   senders = carl@st11.sne21.test
         message = 550 not you
  defer  senders = later@st11.sne21.test
         message = 451 not you now
  accept
check_rcpt:
  deny   local_parts = nobody
         message = no such person
  defer  local_parts = later
         message = not now
  accept
check_data:
  deny   condition = ${if match{$h_subject:}{bad}}
         message = I do not like it
  defer  condition = ${if match{$h_subject:}{slow}}
         message = later maybe
  accept
"""
    mine = exim_conf(MINE)
    # SIZE has the octets of the software's name: so MAIL is looked at without it
    by_helo = exim_conf(MINE, transports=BY_SMTP + "  hosts_avoid_esmtp = *\n" + INTO_MAILBOX)
    # with BDAT the words would be others: all is said before any answer is read
    main = "acl_smtp_mail = check_mail\nacl_smtp_data = check_data\nchunking_advertise_hosts =\n"
    theirs = exim_conf(PARTNER, main, acl=acl)
    async with lab.world(host(MINE, mine, "ann", "carl"), host(PARTNER, theirs, "bob")) as world:
        await lab.submit(world.mine, BOB, message("bad"))
        await lab.submit(world.mine, BOB, message("slow"))
        await change(world.mine, by_helo)
        await lab.submit(world.mine, BOB, message("hello", sender=ANN), sender="carl@st11.sne21.test")
        await lab.submit(world.mine, BOB, message("hello two"), sender="later@st11.sne21.test")
        commands = ["EHLO client.test", f"MAIL FROM:<{ANN}>", f"RCPT TO:<{BOB}>"]
        commands += ["RCPT TO:<nobody@st2.sne21.test>", "RCPT TO:<later@st2.sne21.test>"]
        await lab.call(world.mine, *commands, "DATA", message("three"), source=LAPTOP)
        await world.settle()
        errors = [fact.errno for fact in world.journal.where(EventKind.DEFERRED)]
        if lab.engine == "labkit":
            assert errors == [-46, -45, -44]


@story()
async def two_hosts_for_one_domain(lab: Lab) -> None:
    """The better exchanger puts the message off: the other one gets it at once."""
    zone = """\
st11.sne21  IN MX  10 mx2.st11.sne21
st2.sne21   IN MX  10 smtp.relay
            IN MX  20 mx2.st2.sne21
"""
    slow = "check_rcpt:\n  defer message = not here\n"
    async with lab.world(
        mine_with(""), partner(), host(RELAY, exim_conf(RELAY, acl=slow), "ann"), zone=zone
    ) as world:
        await lab.submit(world.mine, BOB, message())
        assert len(world.partner.mailbox("bob")) == 1
        assert world.mine.queue == ()


@story()
async def hosts_of_the_transport(lab: Lab) -> None:
    """An accept router knows no host; the transport does. One of its names is not there."""
    router = "all:\n  driver = accept\n  domains = ! +local_domains\n  transport = by_smtp\n  no_more\n"
    lines = "  hosts = nowhere.test : mx2.st2.sne21.test\n"
    configuration = exim_conf(MINE, routers=router + OURS, transports=BY_SMTP + lines + INTO_MAILBOX)
    async with lab.world(host(MINE, configuration, "ann"), partner()) as world:
        await lab.submit(world.mine, BOB, message())
        assert len(world.partner.mailbox("bob")) == 1
        await world.partner.stop()
        await lab.submit(world.mine, BOB, message("again"))
        await change(
            world.mine,
            exim_conf(
                MINE, routers=router + OURS, transports=BY_SMTP + "  hosts = nowhere.test\n" + INTO_MAILBOX
            ),
        )
        await lab.submit(world.mine, BOB, message("nowhere"))
        lab.listing(world.mine)


@story()
async def long_lines(lab: Lab) -> None:
    """A line that is longer than message_linelength_limit goes to no other host."""
    async with lab.world(mine_with("  message_linelength_limit = 60\n"), partner()) as world:
        await lab.submit(world.mine, BOB, message("long", "x" * 100 + "\n"))
        (failed,) = world.journal.where(EventKind.FAILED)
        assert failed.text == "message has lines too long for transport"


@story()
async def affixes(lab: Lab) -> None:
    """The next host hears the local part without what a router took off."""
    await with_affixes(lab, "", "bob@st2.sne21.test")


@story()
async def affixes_included(lab: Lab) -> None:
    """With rcpt_include_affixes it hears all of it."""
    await with_affixes(lab, "  rcpt_include_affixes\n", "bob+a@st2.sne21.test")


async def with_affixes(lab: Lab, option: str, arrives: str) -> None:
    suffix = "  local_part_suffix = +*\n  local_part_suffix_optional\n  no_more"
    routers = OTHERS.replace("  no_more", suffix) + OURS
    ours = OURS.replace("  check_local_user", "  local_parts = bob : bob+a")
    mine = exim_conf(MINE, routers=routers, transports=BY_SMTP + option + INTO_MAILBOX)
    theirs = exim_conf(PARTNER, routers=OTHERS + ours)
    async with lab.world(host(MINE, mine, "ann"), host(PARTNER, theirs, "bob")) as world:
        await lab.submit(world.mine, "bob+a@st2.sne21.test", message("affixes"))
        (there,) = world.journal.where(EventKind.DELIVERED, host=PARTNER)
        assert there.recipient == arrives


@story()
async def two_that_are_one_there(lab: Lab) -> None:
    """Without their suffixes three addresses are the same at the next host: one message, which says it three times."""
    routers = OTHERS.replace("  no_more", "  local_part_suffix = +*\n  no_more") + OURS
    async with lab.world(host(MINE, exim_conf(MINE, routers=routers), "ann"), partner()) as world:
        recipients = [f"RCPT TO:<bob+{number}@st2.sne21.test>" for number in (1, 2, 3)]
        said = ("EHLO client.test", f"MAIL FROM:<{ANN}>", *recipients, "DATA", message("once"))
        await lab.call(world.mine, *said, source=LAPTOP)
        await world.settle()
        assert len(world.partner.mailbox("bob")) == 1
        sent = world.journal.where(EventKind.DELIVERED, host=MINE)
        assert [(each.mark, each.became) for each in sent] == [(None, BOB), ("->", BOB), ("->", BOB)]

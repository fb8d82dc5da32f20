"""One delivery run: what aliases make of recipients, what is finished on disk, who is told, what is left for later."""

from __future__ import annotations

import pytest

from labkit.lab.world import World
from labkit.mail.address import Mailbox
from labkit.mail.event import EventKind

from .typed import ACCEPT_ALL, ANN, BOB, OTHERS, OURS, exim_conf, facts, letter, run

HOME = "st11.sne21.test"


def alias(data: str, *options: str) -> str:
    """A router that makes this of `list`."""
    more = "".join(f"  {option}\n" for option in options)
    return (
        "aliases:\n  driver = redirect\n  domains = +local_domains\n  allow_fail\n"
        f"  file_transport = to_file\n  data = ${{if eq{{$local_part}}{{list}}{{{data}}}}}\n{more}\n"
    )


def routed(*routers: str) -> str:
    return exim_conf(routers="\n".join([*routers, OTHERS, OURS]))


def told(world: World, kind: EventKind) -> list[tuple[str | None, str | None, str | None]]:
    return [(fact.recipient, fact.became, fact.text) for fact in facts(world, kind)]


LIST = f"list@{HOME}"


@pytest.mark.parametrize(
    "data, delivered, envelope_to, because",
    [
        ("ann", [(LIST, "ann", None)], LIST, "an alias"),
        ("ann, ann@ST11.sne21.test, ann", [(LIST, "ann", None)], LIST, "the same three times"),
        ("ann, Ann", [(LIST, "ann", None)] * 2, LIST, "to Exim local parts have a case where they are compared"),
        ("ann, list", [(LIST, "ann", None)], LIST, "an alias of itself goes on to the next router"),
    ],
)  # fmt: skip
def test_children(data: str, delivered: list[object], envelope_to: str, because: str) -> None:
    async def story(world: World) -> None:
        await letter(world, LIST)
        seen = told(world, EventKind.DELIVERED)
        assert [each for each in seen if each[1] == "ann"] == delivered, because
        copy = next(mail for mail in world.mine.mailbox("ann") if mail.first("Subject") == "x")
        assert copy.first("Envelope-to") == envelope_to
        assert world.mine.queue == ()

    run(routed(alias(data)), story)


def test_all_who_came_to_one_mailbox_stand_in_envelope_to() -> None:
    """Exim's order: those whose own delivery was one too many come first, the last of them first."""

    async def story(world: World) -> None:
        await letter(world, LIST, ANN, ANN)
        (mail,) = world.mine.mailbox("ann")
        assert (mail.first("Envelope-to") or "").replace(",", "").split() == [ANN, ANN, LIST]

    run(routed(alias("ann")), story)


def test_one_report_for_all_that_failed() -> None:
    async def story(world: World) -> None:
        await letter(world, LIST, f"noone@{HOME}")
        (report,) = world.mine.mailbox("ann")
        failed = (report.first("X-Failed-Recipients") or "").replace(",", "").split()
        assert failed == [f"one@{HOME}", f"two@{HOME}", f"noone@{HOME}"]
        text = report.body.decode().replace("\r\n", "\n")
        assert f"  one@{HOME}\n    (generated from {LIST})\n    Unknown user\n  two@{HOME}\n" in text
        assert text.count(f"Final-Recipient: rfc822;{LIST}\n") == 2

    run(routed(alias("one, two")), story)


def test_a_hidden_child() -> None:
    async def story(world: World) -> None:
        await letter(world, LIST)
        (report,) = world.mine.mailbox("ann")
        assert report.first("X-Failed-Recipients") is None
        assert "secret" not in report.body.decode().partition("message/rfc822")[0]

    run(routed(alias("secret", "hide_child_in_errmsg")), story)


@pytest.mark.parametrize(
    "errors_to, reports, because",
    [
        ("carl@st2.sne21.test", ["carl@st2.sne21.test"], "who the router names"),
        ("${if eq{1}{2}{x}}", [], "nobody: the text is empty"),
    ],
)
def test_errors_to(errors_to: str, reports: list[str], because: str) -> None:
    async def story(world: World) -> None:
        await letter(world, LIST)
        sent = [fact for fact in facts(world, EventKind.RECEIVED) if fact.sender == ""]
        assert len(sent) == len(reports), because
        assert [
            e.recipient
            for e in facts(world, EventKind.DEFERRED) + facts(world, EventKind.FAILED)
            if e.recipient == "carl@st2.sne21.test"
        ] == reports
        assert world.mine.mailbox("ann") == []

    run(routed(alias("noone", f"errors_to = {errors_to}", "no_verify")), story)


def test_headers_of_routers() -> None:
    async def story(world: World) -> None:
        await letter(world, ANN, text=("X-Old: 1", "Subject: x", "", "x"))
        (mail,) = world.mine.mailbox("ann")
        names = [field.name for field in mail.header_fields][-2:]
        assert names == ["X-New", "X-More"] and mail.first("X-Old") is None

    router = OURS.replace(
        "  check_local_user\n",
        "  check_local_user\n  headers_add = X-New: 1\\nX-More: $local_part\n  headers_remove = x-old : Subject\n",
    )
    run(exim_conf(routers=OTHERS + router), story)


TARGETS = [
    ("/var/mail/list", "/var/mail/list:list@st11.sne21.test"),
    ("list", "list@st11.sne21.test/into_mailbox"),
    ("ann", ANN),
]


@pytest.mark.parametrize("child, key", TARGETS)
def test_what_is_delivered_is_not_delivered_again(child: str, key: str) -> None:
    """Another child waits; the host goes down and comes up again: on disk stands what is done."""

    async def story(world: World) -> None:
        world.mine.add_account("list")
        await world.partner.stop()
        await letter(world, LIST)
        (item,) = world.mine.queue
        at, _, domain = key.rpartition("@")
        text = Mailbox(at, domain) if "/" not in key else Mailbox(key, "")
        assert item.finished == {text} and [str(each) for each in item.remaining] == [LIST]
        await world.mine.stop()
        await world.mine.run_on("labkit")
        assert world.mine.queue == (item,)
        await world.mine.start()
        await world.partner.start()
        await world.mine.run_queue(forced=True)
        assert world.mine.queue == ()
        mailbox = world.mine.mailbox("ann" if child == "ann" else "list")
        assert len(mailbox) == len(world.partner.mailbox("bob")) == 1

    run(routed(alias(f"{child}, {BOB}")), story)


def test_one_child_waits_and_one_fails_for_good() -> None:
    """The report goes out once, the other child is tried until the end."""

    async def story(world: World) -> None:
        await world.partner.stop()
        await letter(world, LIST)
        assert len(world.mine.mailbox("ann")) == 1 and len(world.mine.queue) == 1
        await world.advance(hours=1)
        assert len(world.mine.mailbox("ann")) == 1, "no second report"
        await world.partner.start()
        await world.advance(hours=1)
        assert world.mine.queue == () and len(world.partner.mailbox("bob")) == 1

    run(routed(alias(f"noone, {BOB}")), story)


def test_replies_are_noted_in_the_order_of_the_recipients() -> None:
    async def story(world: World) -> None:
        await letter(world, "eve@st2.sne21.test", BOB)
        kinds = [
            (event.kind, event.recipient)
            for event in world.journal
            if event.host == world.mine.name and event.kind in (EventKind.DELIVERED, EventKind.FAILED)
        ]
        assert kinds[:2] == [(EventKind.FAILED, "eve@st2.sne21.test"), (EventKind.DELIVERED, BOB)]

    run(routed(), story)


def test_a_host_that_a_router_freezes_mail_for() -> None:
    """The way leads back to this host: the message is frozen, and nobody is told yet."""

    async def story(world: World) -> None:
        world.write_zone("sne21.test", world.zone("sne21.test") + "\nloop  IN MX 10 mx2.st11\n")
        await letter(world, "x@loop.sne21.test")
        (item,) = world.mine.queue
        assert item.frozen and facts(world, EventKind.FROZEN)[0].text == "Frozen"
        assert world.mine.mailbox("ann") == []

    run(routed(), story)


@pytest.mark.parametrize(
    "options, hours", [("timeout_frozen_after = 3h\n", 4), ("ignore_bounce_errors_after = 3h\n", 4)]
)
def test_a_frozen_report_is_dropped(options: str, hours: int) -> None:
    async def story(world: World) -> None:
        await letter(world, f"noone@{HOME}", sender=f"ghost@{HOME}")
        (report,) = world.mine.queue
        assert report.frozen and report.is_report
        await world.advance(hours=2)
        assert len(world.mine.queue) == 1
        await world.advance(hours=hours)
        assert world.mine.queue == ()

    run(exim_conf(options), story)


def test_the_acl_for_local_messages_sees_reports_too() -> None:
    async def story(world: World) -> None:
        await letter(world, f"noone@{HOME}")
        assert world.mine.mailbox("ann")[0].first("X-Local") == "local exim"

    acl = (
        "on_local:\n  warn add_header = X-Local: $received_protocol $sender_ident\n  accept\n\n" + ACCEPT_ALL
    )
    run(exim_conf("acl_not_smtp = on_local\n", acl), story)


def test_a_message_that_the_acl_for_local_messages_refuses() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ValueError, match="not by you, ann"):
            await world.mine.send(ANN, BOB, "Subject: x\n\nx\n")
        (refused,) = facts(world, EventKind.REJECTED)
        assert (refused.command, refused.sender, refused.text) == ("non-SMTP message", ANN, "not by you, ann")
        assert world.mine.queue == () and facts(world, EventKind.RECEIVED) == []

    acl = "on_local:\n  deny message = not by you, $sender_address_local_part\n\ncheck_rcpt:\n  accept\n"
    run(exim_conf("acl_not_smtp = on_local\n", acl), story)

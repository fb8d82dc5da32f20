"""What a stranger can do to a session by way of its ACLs: forge replies, log lines, header fields; or take our time."""

from __future__ import annotations

import time

import pytest

from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.message import is_canonical
from labkit.mta.fixups import fields_of

from .typed import ANN, BOB, OTHERS, OURS, exim_conf, facts, letter, run, typed

ENCODED = "=?utf-8?q?a=0D=0A250_fake=0D=0A=0D=0ABcc:_eve@x.test=00?="


def test_replies_log_lines_and_header_fields_cannot_be_forged() -> None:
    """An encoded word can hold line ends, and an ACL may write $h_subject: wherever it likes."""

    async def story(world: World) -> None:
        subject = f"Subject: {ENCODED}"
        assert (await letter(world, ANN, text=(subject, "", "x"))).startswith("250 OK id=")
        (mail,) = world.mine.mailbox("ann")
        assert is_canonical(bytes(mail)) and mail.body == b"x\r\n", "no empty line of his ends the header"
        refused = await letter(world, ANN, text=(subject, "X-Deny: 1", "", "x"))
        assert all(line.startswith("550") for line in refused.split("|")), refused
        log = world.mine.log().split("\n")
        assert len([line for line in log if "250 fake" in line]) == 2
        assert all(line.startswith("20") and line.isprintable() for line in log)

    acl = """\
on_data:
  warn    add_header = X-Copy: $h_subject:
          logwrite = $h_subject:
  deny    condition = ${if def:h_x-deny:}
          message = $h_subject:
  accept

check_rcpt:
  accept
"""
    router = OURS.replace(
        "  check_local_user\n", "  check_local_user\n  headers_add = X-Again: $h_subject:\n"
    )
    run(exim_conf("acl_smtp_data = on_data\n", acl, OTHERS + router), story)


@pytest.mark.parametrize(
    "text, octets",
    [
        ("X: a", b"X: a\r\n"),
        ("X: a\r\n b\r", b"X: a\r\n b\r\n"),
        ("X: a\rb\0c", b"X: a b c\r\n"),
        ("X: a\n\n\nY: b\n", b"X: a\r\nY: b\r\n"),
        ("X: a\n \t\nb", b"X: a\r\n\tb\r\n"),
        ("X: \xe9", b"X: \xe9\r\n"),
    ],
)
def test_fields(text: str, octets: bytes) -> None:
    (field,) = fields_of(text)
    assert field.raw == octets


@pytest.mark.parametrize("text", ["", "\n", "\r\n \0", "no field", " X: folded"])
def test_no_field(text: str) -> None:
    assert fields_of(text) == ()


@pytest.mark.parametrize(
    "condition, field, because",
    [
        ("${if match{$h_subject:}{\\N^(a+)+$\\N}}", "a" * 5000 + "b", "a pattern that backtracks"),
        ("${if forany{${sg{$h_subject:}{ }{:}}}{eq{$item}{b}}}", "a " * 50_000, "a list of fifty thousand"),
        ("${if eq{${lc:${uc:$h_subject:}}}{b}}", "a" * 900_000, "nearly a megabyte"),
        ("${if match_domain{$h_subject:}{*.test : b.test}}", "a." * 50_000, "a long name"),
    ],
)
@pytest.mark.alone
def test_a_huge_header_takes_no_time(condition: str, field: str, because: str) -> None:
    async def story(world: World) -> None:
        before = time.perf_counter()
        await letter(world, ANN, text=(f"Subject: {field}", "", "x"))
        assert time.perf_counter() - before < 5, because

    acl = f"on_data:\n  deny condition = {condition}\n  accept\n\ncheck_rcpt:\n  accept\n"
    run(exim_conf("acl_smtp_data = on_data\n", acl), story)


def test_acls_that_call_each_other_end() -> None:
    async def story(world: World) -> None:
        said = await typed(world, "EHLO c.test", "MAIL FROM:<a@b.test>", f"RCPT TO:<{ANN}>", "NOOP")
        assert said[3:] == ["451 Temporary local problem - please try later", "250 OK"]
        assert "ACL nested too deep" in (facts(world, EventKind.REJECTED)[0].text or "")

    run(exim_conf(acl="check_rcpt:\n  accept acl = again\n\nagain:\n  accept acl = check_rcpt\n"), story)


def test_many_recipients_that_are_one() -> None:
    """Two hundred aliases of one mailbox: it gets the message once, and all of them are in Envelope-to."""
    names = [f"a{number}" for number in range(200)]
    router = """\
aliases:
  driver = redirect
  domains = +local_domains
  data = ${if match{$local_part}{^a[0-9]}{ann}}

"""

    async def story(world: World) -> None:
        before = time.perf_counter()
        await letter(world, *(f"{name}@st11.sne21.test" for name in names))
        (mail,) = world.mine.mailbox("ann")
        assert (mail.first("Envelope-to") or "").count("@") == 200 and world.mine.queue == ()
        assert time.perf_counter() - before < 5

    run(exim_conf(routers=router + OTHERS + OURS), story)


ODD = ["rfc822;\x01", "rfc822;\xe9", '"rfc822;x NOTIFY=NEVER"', "\x0b", "rfc822;\x1b[31m"]


@pytest.mark.parametrize("odd", ODD)
def test_parameters_bring_nothing_into_files_reports_and_commands(odd: str) -> None:
    async def story(world: World) -> None:
        text = ("DATA", "Subject: x", "", "x", ".")
        mail, rcpt = f"MAIL FROM:<{ANN}>", f"RCPT TO:<{BOB}>"
        said = await typed(
            world, "EHLO c.test", f"{mail} ENVID={odd}", mail, f"{rcpt} ORCPT={odd}", rcpt, *text
        )
        assert said[2] == "501 Value for ENVID is invalid" and said[4] == "501 Value for ORCPT is invalid"
        assert said[-1].startswith("250 OK id=")
        await world.settle()
        assert not facts(world, EventKind.PROBLEM)

    run(exim_conf("dsn_advertise_hosts = *\n"), story)


@pytest.mark.parametrize("sender", ["x+0Ay@a.test", "+00", "x+0D+0A-frozen"])
def test_no_line_end_in_the_sender_of_auth(sender: str) -> None:
    async def story(world: World) -> None:
        _, _, said = await typed(world, "EHLO c.test", f"MAIL FROM:<{ANN}> AUTH={sender}")
        assert said[:3] == "501"

    run(exim_conf(), story)

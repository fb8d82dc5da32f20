"""Exim's variables, as a session and a delivery fill them. Exim 4.96 has these values: stories_acls.py asks it."""

from __future__ import annotations

import pytest

from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mta import variables

from .typed import ANN, exim_conf, letter, run, typed


def client(address: str, name: str = "", helo: str = "") -> dict[str, str]:
    known = {"sender_host_address": address, "sender_host_name": name, "sender_helo_name": helo}
    variables.name_client(known)
    return known


@pytest.mark.parametrize(
    "name, helo, full, received",
    [
        ("", "", "[1.2.3.4]", "[1.2.3.4]"),
        ("", "c.test", "(c.test) [1.2.3.4]", "[1.2.3.4] (helo=c.test)"),
        ("", "[1.2.3.4]", "([1.2.3.4]) [1.2.3.4]", "[1.2.3.4]"),
        ("", "[IPv4:1.2.3.4]", "([IPv4:1.2.3.4]) [1.2.3.4]", "[1.2.3.4]"),
        ("n.test", "", "n.test [1.2.3.4]", "n.test ([1.2.3.4])"),
        ("n.test", "N.Test", "n.test [1.2.3.4]", "n.test ([1.2.3.4])"),
        ("n.test", "[1.2.3.4]", "n.test [1.2.3.4]", "n.test ([1.2.3.4])"),
        ("n.test", "c.test", "n.test (c.test) [1.2.3.4]", "n.test ([1.2.3.4] helo=c.test)"),
    ],
)
def test_the_client(name: str, helo: str, full: str, received: str) -> None:
    known = client("1.2.3.4", name, helo)
    assert (known["sender_fullhost"], known["sender_rcvhost"]) == (full, received)
    shows_helo = bool(helo) and f"({helo})" in full
    assert variables.shown_client(known) == ((helo if shows_helo else name) or None, name or None)


def test_of_a_message() -> None:
    text = b"From: a@b\r\nSubject: s\r\n\r\none\r\n\r\n\0 two\r\n"
    known: dict[str, str] = {"local_part": "x", "domain": "y"}
    variables.arrived(known, Message.parse(text), "1-2-3", (), 9)
    assert known == {
        "message_exim_id": "1-2-3", "message_id": "1-2-3", "message_size": "33", "message_body": "one    two ",
        "message_body_end": "one    two ", "message_body_size": "11", "body_linecount": "3", "body_zerocount": "1",
        "message_linecount": "6", "received_count": "1", "max_received_linelength": "9", "recipients": "",
        "recipients_count": "0",
    }  # fmt: skip


def test_of_a_long_body() -> None:
    known: dict[str, str] = {}
    variables.arrived(known, Message.parse(b"X: 1\r\n\r\n" + b"a" * 600 + b"b" * 600), "1", (), 0)
    assert known["message_body"] == "a" * 500 and known["message_body_end"] == "b" * 500


ASKED = """\
check_rcpt:
  accept  logwrite = <$local_part> <$domain> <$sender_address> <$sender_address_local_part> <$sender_address_domain>
          logwrite = <$received_protocol> <$received_port> <$interface_port> <$sender_host_address> <$message_size>
          logwrite = <$primary_hostname> <$qualify_domain> <$qualify_recipient> <$smtp_active_hostname>
          logwrite = <$smtp_command> <$smtp_command_argument> <$recipients> <$message_id> <$message_body>
          logwrite = <$tod_log> <$spool_directory> <$acl_narg> <$smtp_count_at_connection_start>
"""


def test_in_a_session() -> None:
    async def story(world: World) -> None:
        await typed(
            world, "EHLO c.test", "MAIL FROM:<Joe.X@B.Test> SIZE=12", "RCPT TO: <Ann@ST11.sne21.test>"
        )
        laptop, now = world.laptop.address, world.now().strftime("%Y-%m-%d %H:%M:%S")
        assert [each.text for each in world.journal.where(EventKind.LOGGED)] == [
            "<ann> <st11.sne21.test> <Joe.X@B.Test> <Joe.X> <B.Test>",
            f"<esmtp> <25> <25> <{laptop}> <12>",
            "<mx2.st11.sne21.test> <st11.sne21.test> <st11.sne21.test> <mx2.st11.sne21.test>",
            "<RCPT TO: <Ann@ST11.sne21.test>> <<Ann@ST11.sne21.test>> <> <> <>",
            f"<{now}> </var/spool/exim> <0> <1>",
        ]

    run(exim_conf(acl=ASKED), story)


def test_in_a_delivery() -> None:
    """What routers and transports know of the message, its client and its sender."""
    router = """\
ours:
  driver = accept
  check_local_user
  transport = into_mailbox
  headers_add = X-Client: $sender_fullhost $sender_helo_name $received_protocol $message_exim_id
  headers_add = X-Address: $local_part $local_part_data $domain $original_local_part <$parent_domain>
  headers_add = X-Message: $sender_address $h_subject: $recipients_count $received_count $message_linecount
"""

    async def story(world: World) -> None:
        verdict = await letter(world, ANN, sender="Joe@b.test")
        (mail,) = world.mine.mailbox("ann")
        queue_id = verdict.rpartition("=")[2]
        assert mail.first("X-Client") == f"(c.test) [{world.laptop.address}] c.test esmtp {queue_id}"
        assert mail.first("X-Address") == "ann ann st11.sne21.test ann <>"
        assert (mail.first("X-Message") or "").startswith("Joe@b.test x 1 ")

    run(exim_conf(routers=router), story)

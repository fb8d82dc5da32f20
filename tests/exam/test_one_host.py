"""The exam, task 1: one host takes mail, delivers it, refuses what it must, and can be asked about all of it."""

from __future__ import annotations

import re
import smtplib

import pytest

from .conftest import Open
from .world import Host, World, until

ZONE = {
    "st1.test": {"MX": ["10 mx.st1.test."]},
    "mx.st1.test": {"A": ["203.0.113.11"]},
    "client.test": {"A": ["203.0.113.77"]},
}


@pytest.fixture(scope="module")
def host(open_world: Open) -> Host:
    world = open_world(ZONE)
    found = world.host("mx.st1.test", "st1.test", "203.0.113.11", RETRY="F,1h,5m")
    found.start("-q10m")
    return found


@pytest.fixture
def world(host: Host) -> World:
    return host.world


def test_a_message_is_delivered_with_its_trace_on_top(host: Host, world: World) -> None:
    before = host.mail("ann")
    with world.smtp(host) as client:
        client.sendmail(
            "ivan@far.test", ["ann@st1.test"], "Subject: one\r\nMessage-Id: <1@far.test>\r\n\r\nhello\r\n"
        )
    added = until(lambda: host.mail("ann")[len(before) :], "ann has mail")
    head = added.partition("\n\n")[0]
    assert re.match(r"From ivan@far\.test \w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}\n", head)
    lines = head.split("\n")
    assert lines[1] == "Return-path: <ivan@far.test>"
    assert lines[2] == "Envelope-to: ann@st1.test"
    assert re.fullmatch(r"Delivery-date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", lines[3])
    received = "\n".join(lines[4:10])
    assert re.match(
        r"Received: from \[203\.0\.113\.77\] \(helo=client\.test\)\n"
        r"\tby mx\.st1\.test with esmtp \([^)]+\)\n"
        r"\t\(envelope-from <ivan@far\.test>\)\n"
        r"\tid (\w{6}-\w{6}-\w{2})\n"
        r"\tfor ann@st1\.test;\n"
        r"\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000",
        received,
    ), received
    assert added.endswith("\nhello\n\n")


def test_the_log_tells_the_story(host: Host, world: World) -> None:
    with world.smtp(host) as client:
        client.mail("ivan@far.test")
        client.rcpt("bob@st1.test")
        code, words = client.data("Subject: two\r\nMessage-Id: <2@far.test>\r\n\r\nhello\r\n")
    assert code == 250
    found = re.fullmatch(rb"OK id=(\w{6}-\w{6}-\w{2})", words)
    assert found is not None, words
    queue_id = found[1].decode()
    until(lambda: f"{queue_id} Completed" in host.log(), "it is completed")
    told = [line[20:] for line in host.log().splitlines() if queue_id in line]
    assert re.fullmatch(
        rf"{queue_id} <= ivan@far\.test H=\(client\.test\) \[203\.0\.113\.77\] P=esmtp S=\d+ id=2@far\.test",
        told[0],
    )
    assert told[1:] == [f"{queue_id} => bob <bob@st1.test> R=localuser T=mbox", f"{queue_id} Completed"]


def test_postmaster_reaches_ann_by_two_aliases(host: Host, world: World) -> None:
    for postmaster in ("<postmaster@st1.test>", "<postmaster>", "<POSTmaster@ST1.test>"):
        before = len(host.mail("ann"))
        said = world.dialogue(
            host,
            "EHLO client.test",
            "MAIL FROM:<>",
            f"RCPT TO:{postmaster}",
            "DATA",
            "Subject: p\r\n\r\nx\r\n.",
        )
        assert said[3] == "250 Accepted" and said[5].startswith("250 OK id=")
        until(lambda length=before: len(host.mail("ann")) > length, "ann has postmaster's mail")  # type: ignore[misc]
    assert "=> ann <postmaster@st1.test> R=localuser T=mbox" in host.log()


@pytest.mark.parametrize(
    "command, answer",
    [
        ("RCPT TO:<nobody@st1.test>", "550 Unknown user"),
        ("RCPT TO:<x@far.test>", "550 relay not permitted"),
        ("RCPT TO:<a%b@st1.test>", "550 Restricted characters in address"),
        ("RCPT TO:<>", "501 <>: missing or malformed local part"),
        ("RCPT TO:<ANN@ST1.TEST>", "250 Accepted"),
        ("RCPT TO:<ann+tag@st1.test>", "250 Accepted"),
        ("RCPT TO:<@x.test:ann@st1.test>", "250 Accepted"),
        ("MAIL FROM:<other@far.test>", "503 sender already given"),
        ("VRFY ann@st1.test", "250 <ann@st1.test> is deliverable"),
        ("AUTH PLAIN", "503 AUTH command used when not advertised"),
        ("STARTTLS", "503 STARTTLS command used when not advertised"),
        ("BDAT 3 LAST", "503 BDAT command used when CHUNKING not advertised"),
        ("NOOP", "250 OK"),
        ("RSET", "250 Reset OK"),
        ("FROB", "500 unrecognized command"),
        ("QUIT", "221 mx.st1.test closing connection"),
    ],
)
def test_answers(host: Host, world: World, command: str, answer: str) -> None:
    assert world.dialogue(host, "EHLO client.test", "MAIL FROM:<ivan@far.test>", command)[3] == answer


def test_the_order_of_commands(host: Host, world: World) -> None:
    said = world.dialogue(host, "MAIL FROM:<a@b.test>", "RCPT TO:<ann@st1.test>", "HELO client.test", "DATA")
    assert said[1] == "503 HELO or EHLO required"
    assert said[2] == "503 sender not yet given"
    assert said[3] == "250 mx.st1.test Hello client.test [203.0.113.77]"
    assert said[4] == "503 valid RCPT command must precede DATA"


def test_ehlo(host: Host, world: World) -> None:
    banner, said = world.dialogue(host, "EHLO client.test")
    assert banner.startswith("220 mx.st1.test ESMTP ")
    lines = said.split("\n")
    assert lines[0] == "250-mx.st1.test Hello client.test [203.0.113.77]"
    assert {"250-SIZE 1048576", "250-8BITMIME", "250-DSN", "250-PIPELINING", "250-VRFY"} <= set(lines)
    assert lines[-1] == "250 HELP"


def test_too_large(host: Host, world: World) -> None:
    said = world.dialogue(host, "EHLO client.test", "MAIL FROM:<a@b.test> SIZE=99999999")
    assert said[2] == "552 Message size exceeds maximum permitted"
    text = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 20000
    with world.smtp(host) as client:
        del client.esmtp_features["size"]  # so that it does not tell before
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("a@b.test", ["ann@st1.test"], text)
    assert refused.value.smtp_code == 552
    with world.smtp(host) as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("a@b.test", ["ann@st1.test"], f"Subject: long\r\n\r\n{'x' * 1200}\r\n")
    assert refused.value.smtp_code == 550
    assert refused.value.smtp_error == b"maximum allowed line length is 998 octets"


def test_nothing_is_smuggled(host: Host, world: World) -> None:
    before = host.log().count("<= ")
    said = world.dialogue(
        host,
        "EHLO client.test",
        "MAIL FROM:<a@b.test>",
        "RCPT TO:<bob@st1.test>",
        "DATA",
        b"Subject: s\r\n\r\nbody\n.\nMAIL FROM:<evil@far.test>\nRCPT TO:<ann@st1.test>\r\n.\r\n",
    )
    assert said[5].startswith("250 OK id=")
    assert host.log().count("<= ") - before == 1 and "evil" not in host.log()


def test_addresses_are_tested(host: Host) -> None:
    done = host.exim("-bt", "postmaster@st1.test")
    assert done.returncode == 0
    assert done.stdout == (
        "ann@st1.test\n    <-- root@st1.test\n    <-- postmaster@st1.test\n  router = localuser, transport = mbox\n"
    )
    done = host.exim("-bt", "nobody@st1.test")
    assert (done.returncode, done.stdout) == (2, "nobody@st1.test is undeliverable: Unknown user\n")
    assert host.exim("-bv", "ann@st1.test").stdout == "ann@st1.test verified\n"
    assert host.exim("-be", "${lookup{root}lsearch{" + f"{host.folder}/aliases" + "}}").stdout == "ann\n"
    assert host.exim("-bP", "message_size_limit").stdout == "message_size_limit = 1M\n"
    assert host.exim("-bP", "primary_hostname").stdout == "primary_hostname = mx.st1.test\n"


def test_a_message_from_an_account(host: Host, world: World) -> None:
    before = host.mail("bob")
    text = "To: bob@st1.test\nBcc: ann@st1.test\nSubject: local\n\nfrom here\n.\nnever read\n"
    done = host.exim("-odf", "-t", stdin=text)
    assert done.returncode == 0, done.stderr
    added = host.mail("bob")[len(before) :]
    assert "Subject: local\n" in added and "Bcc" not in added and "never read" not in added
    assert re.search(r"Received: from \S+ by mx\.st1\.test with local \([^)]+\)\n\t\(envelope-from", added), (
        added
    )
    assert re.search(r"^Message-Id: <E\w{6}-\w{6}-\w{2}@mx\.st1\.test>$", added, re.MULTILINE)
    assert re.search(r"^Date: ", added, re.MULTILINE) and re.search(r"^From: ", added, re.MULTILINE)
    done = host.exim(
        "-odf", "-i", "-f", "boss@far.test", "bob@st1.test", stdin="Subject: f\n\n.\nstill here\n"
    )
    assert done.returncode == 0
    assert "still here" in host.mail("bob") and "Return-path: <boss@far.test>" in host.mail("bob")
    done = host.exim("-t", stdin="Subject: nobody\n\nx\n")
    assert done.returncode == 1


def test_smtp_on_the_standard_input(host: Host) -> None:
    script = "EHLO here\r\n"
    script += (
        "MAIL FROM:<a@far.test>\r\nRCPT TO:<bob@st1.test>\r\nDATA\r\nSubject: bs\r\n\r\nx\r\n.\r\nQUIT\r\n"
    )
    done = host.exim("-odf", "-bs", stdin=script)
    codes = [line[:3] for line in done.stdout.splitlines() if line[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"], done.stdout
    assert "Subject: bs" in host.mail("bob")


def test_the_conversation_is_shown(host: Host) -> None:
    done = host.exim("-v", "-odf", "ann@st1.test", stdin="Subject: v\n\nx\n")
    assert "LOG: MAIN" in done.stderr and "=> ann <ann@st1.test> R=localuser T=mbox" in done.stderr


def test_another_configuration_by_sighup(host: Host, world: World) -> None:
    host.configure(LOCAL_DOMAINS="st1.test : more.test")
    try:
        assert (
            world.dialogue(host, "EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<ann@more.test>")[3][:3]
            == "550"
        )
        host.hang_up()
        said = world.dialogue(host, "EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<ann@more.test>")
        assert said[3] == "250 Accepted"
    finally:
        del host.macros["LOCAL_DOMAINS"]
        host.configure()
        host.hang_up()


def test_a_maildir(host: Host, world: World) -> None:
    host.configure(LOCAL_TRANSPORT="maildir")
    host.hang_up()
    try:
        with world.smtp(host) as client:
            client.sendmail("a@b.test", ["ann@st1.test"], "Subject: in a folder\r\n\r\nx\r\n")
        folder = host.folder / "Maildir" / "ann"
        (file,) = until(lambda: list(folder.glob("new/*")), "a file in new")
        assert re.match(r"\d+\.\w+\.mx\.st1\.test", file.name)
        assert file.read_text().startswith("Return-path: <a@b.test>\nEnvelope-to: ann@st1.test\n")
        assert (folder / "cur").is_dir() and (folder / "tmp").is_dir()
    finally:
        host.configure(LOCAL_TRANSPORT="mbox")
        host.hang_up()


def test_a_broken_configuration_is_refused_by_line(host: Host) -> None:
    good = host.configuration.read_text()
    host.write("exim.conf", good + "\nnonsense here\n")
    try:
        done = host.exim("-bV")
        assert done.returncode == 1
        assert f"in line {good.count(chr(10)) + 2} of {host.configuration}" in done.stderr
    finally:
        host.configure()

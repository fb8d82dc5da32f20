"""The exam, tasks 3 to 5: a backup that waits, a loop that ends, virtual domains; and what an administrator does."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from .conftest import Open
from .world import Host, World, until

ZONE = {
    "st1.test": {"MX": ["10 mx.st1.test.", "20 mx.st2.test."]},
    "mx.st1.test": {"A": ["203.0.113.11"]},
    "st2.test": {"MX": ["10 mx.st2.test."]},
    "mx.st2.test": {"A": ["203.0.113.12"]},
    "far.test": {"MX": ["10 mx.far.test."]},
    "mx.far.test": {"A": ["203.0.113.14"]},
    "virtual.st1.test": {"MX": ["10 mx.st1.test."]},
}
IDENT = r"(\w{6}-\w{6}-\w{2})"


@pytest.fixture(scope="module")
def lab(open_world: Open) -> World:
    return open_world(ZONE)


@pytest.fixture(scope="module")
def primary(lab: World) -> Host:
    return lab.host("mx.st1.test", "st1.test", "203.0.113.11", RETRY="F,1h,2s")


@pytest.fixture(scope="module")
def backup(lab: World) -> Host:
    return lab.host("mx.st2.test", "st2.test", "203.0.113.12", RETRY="F,1h,10m", BACKUP_FOR="st1.test")


@pytest.fixture(scope="module")
def sender(lab: World) -> Host:
    return lab.host("mx.far.test", "far.test", "203.0.113.14", RETRY="F,1h,1s")


@pytest.fixture(autouse=True)
def all_stopped(lab: World, primary: Host, backup: Host, sender: Host) -> Iterator[None]:
    yield
    for host in (primary, backup, sender):
        host.stop()
        for queue_id in host.ids():
            host.exim("-Mrm", queue_id)
        for file in (host.folder / "spool" / "db").glob("*"):
            file.unlink()
        for name in ("RECEIVED_MAX", "LOCAL_DOMAINS", "QUEUE_DOMAINS", "VIRTUAL"):
            host.macros.pop(name, None)
        host.configure()
        host.write("aliases", "postmaster: root\nroot: ann\n")


def send(host: Host, *recipients: str, sender: str = "ivan@far.test", subject: str = "x") -> None:
    done = host.exim("-odf", "-f", sender, *recipients, stdin=f"Subject: {subject}\n\nhello\n")
    assert done.returncode == 0, done.stderr


def wait_at_the_backup(backup: Host, sender: Host) -> str:
    """The primary is down: the message goes to the second MX and waits there. Returns its id."""
    backup.start()
    send(sender, "ann@st1.test")
    until(lambda: re.search(f"{IDENT} == ann@st1.test", backup.log()), "the backup has tried")
    until(lambda: not backup.is_at_work(), "it has put the message down")
    (queue_id,) = backup.ids()
    return queue_id


def test_mail_waits_at_the_backup_and_is_forced(primary: Host, backup: Host, sender: Host) -> None:
    queue_id = wait_at_the_backup(backup, sender)
    assert re.search(
        rf"{IDENT} => ann@st1\.test R=dnslookup T=remote_smtp H=mx\.st2\.test \[203\.0\.113\.12\]"
        r'.* C="250 OK id=' + queue_id,
        sender.log(),
    ), sender.log()
    listing = backup.exim("-bp").stdout
    assert re.fullmatch(rf" 0m +\d+ {queue_id} <ivan@far\.test>\n          ann@st1\.test\n\n", listing), (
        listing
    )
    assert (
        f"{queue_id} == ann@st1.test R=dnslookup T=remote_smtp H=mx.st1.test [203.0.113.11]" in backup.log()
        or f"{queue_id} == ann@st1.test R=dnslookup T=remote_smtp defer (111): Connection refused"
        in backup.log()
    ), backup.log()
    assert "Connection refused" in backup.log()
    head = backup.exim("-Mvh", queue_id).stdout
    assert (
        head.startswith(f"{queue_id}-H\n") and "<ivan@far.test>\n" in head and "\n1\nann@st1.test\n" in head
    )
    assert "hello\n" in backup.exim("-Mvb", queue_id).stdout
    primary.start()
    before = primary.mail("ann")
    backup.exim("-q", check=True)
    time.sleep(0.3)
    assert backup.ids() == [queue_id] and primary.mail("ann") == before  # the retry time is not reached
    assert backup.exim("-qf").returncode == 0
    until(lambda: primary.mail("ann") != before, "it has arrived")
    until(lambda: backup.count() == 0, "nothing waits")
    assert f"{queue_id} Completed" in backup.log()
    hops = re.findall(r"^Received: .*\n(?:[ \t].*\n)*", primary.mail("ann")[len(before) :], re.MULTILINE)
    assert len(hops) == 3 and "by mx.st1.test" in hops[0] and "by mx.st2.test" in hops[1]


@pytest.mark.parametrize("words", [["-M", "ID"], ["-R", "st1.test"], ["-qff"], ["-S", "far.test"]])
def test_other_ways_to_force_it(primary: Host, backup: Host, sender: Host, words: list[str]) -> None:
    queue_id = wait_at_the_backup(backup, sender)
    before = primary.mail("ann")
    primary.start()
    backup.exim(*[queue_id if word == "ID" else word for word in words], check=True)
    until(lambda: primary.mail("ann") != before, "it has arrived")


def test_a_queue_runner_delivers_by_itself(primary: Host, sender: Host, backup: Host) -> None:
    sender.start("-q1s")
    with sender.world.smtp(sender, source="203.0.113.99") as client:
        client.sendmail("ivan@far.test", ["ann@st1.test"], "Subject: patience\r\n\r\nx\r\n")
    until(lambda: " == ann@st1.test" in sender.log(), "it was tried")
    primary.start()
    until(lambda: "Subject: patience" in primary.mail("ann"), "the runner delivers it")


def test_queue_domains(primary: Host, backup: Host, sender: Host) -> None:
    backup.configure(QUEUE_DOMAINS="st1.test")
    primary.start()
    backup.start()
    with backup.world.smtp(backup) as client:
        client.sendmail("ivan@far.test", ["ann@st1.test"], "Subject: wait\r\n\r\nx\r\n")
    until(
        lambda: "== ann@st1.test routing defer (-56): domain is in queue_domains" in backup.log(), "it waits"
    )
    assert backup.count() == 1
    backup.exim("-q", check=True)
    until(lambda: "Subject: wait" in primary.mail("ann"), "a queue run delivers it")


def test_the_summary(backup: Host, sender: Host, require: Callable[[str], str]) -> None:
    wait_at_the_backup(backup, sender)
    listing = backup.exim("-bp").stdout
    done = subprocess.run([require("exiqsumm")], input=listing, capture_output=True, text=True, check=True)
    assert re.search(r"^ +1 +\d+ +0m +0m  st1\.test$", done.stdout, re.MULTILINE), done.stdout


def test_others_tools_read_the_spool(backup: Host, sender: Host, require: Callable[[str], str]) -> None:
    queue_id = wait_at_the_backup(backup, sender)
    done = subprocess.run(
        [require("exipick"), "-spool", str(backup.folder / "spool"), "-i"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [queue_id], (done.stdout, done.stderr)


def test_a_loop_ends(primary: Host, backup: Host, sender: Host) -> None:
    sender.write("users", "dora: dora\n")
    primary.write("aliases", "round: round@st2.test\n")
    backup.write("aliases", "round: round@st1.test\n")
    primary.configure(RELAY_FROM="203.0.113.12")
    backup.configure(RELAY_FROM="203.0.113.11")
    backup.macros.pop("BACKUP_FOR", None)
    backup.configure()
    try:
        for host in (primary, backup, sender):
            host.start()
        with sender.world.smtp(sender, source="203.0.113.99") as client:
            client.sendmail("dora@far.test", ["round@st1.test"], "Subject: round and round\r\n\r\nx\r\n")
        words = 'Too many "Received" headers - suspected mail loop'
        until(lambda: words in primary.log() + backup.log(), "the loop ends", 40)
        report = until(lambda: sender.mail("dora"), "the sender hears of it", 40)
        assert re.search(r"^X-Failed-Recipients: round@st[12]\.test$", report, re.MULTILINE)
        passes = primary.log().count("<= dora@far.test") + backup.log().count("<= dora@far.test")
        assert passes >= 30
    finally:
        backup.configure(BACKUP_FOR="st1.test", RELAY_FROM="203.0.113.99")
        primary.configure(RELAY_FROM="203.0.113.99")


def test_a_lower_limit_ends_it_sooner_and_the_sender_hears_why(
    primary: Host, backup: Host, sender: Host
) -> None:
    sender.write("users", "ivan: ivan\n")
    primary.write("aliases", "short: short@st2.test\n")
    backup.write("aliases", "short: short@st1.test\n")
    backup.macros.pop("BACKUP_FOR", None)
    primary.configure(RECEIVED_MAX="5", RELAY_FROM="203.0.113.12")
    backup.configure(RECEIVED_MAX="5", RELAY_FROM="203.0.113.11")
    try:
        for host in (primary, backup, sender):
            host.start()
        with sender.world.smtp(sender, source="203.0.113.99") as client:
            client.sendmail("ivan@far.test", ["short@st1.test"], "Subject: round and round\r\n\r\nx\r\n")
        report = until(lambda: sender.mail("ivan"), "the sender hears of it", 40)
        assert "Subject: Mail delivery failed: returning message to sender\n" in report
        assert "From: Mail Delivery System <Mailer-Daemon@" in report
        assert "Content-Type: multipart/report; report-type=delivery-status" in report
        assert re.search(r"^X-Failed-Recipients: short@st[12]\.test$", report, re.MULTILINE)
        assert re.search(
            r"^Action: failed\nFinal-Recipient: rfc822;short@st[12]\.test\nStatus: 5\.0\.0$", report, re.M
        )
        returned = report[report.index("Content-type: message/rfc822") :]
        assert returned.count("Received: ") == 6
    finally:
        backup.configure(BACKUP_FOR="st1.test", RELAY_FROM="203.0.113.99")
        primary.configure(RELAY_FROM="203.0.113.99")


def test_a_loop_inside_one_host_is_refused_at_once(primary: Host) -> None:
    primary.write("aliases", "a: b\nb: a\n")
    primary.start()
    said = primary.world.dialogue(primary, "EHLO c.test", "MAIL FROM:<x@far.test>", "RCPT TO:<a@st1.test>")
    assert said[3] == "550 Unknown user"


def test_the_wildcard_way_has_a_hole(primary: Host) -> None:
    primary.configure(LOCAL_DOMAINS="*.st1.test")
    primary.start()
    lines = [
        "EHLO c.test",
        "MAIL FROM:<x@far.test>",
        "RCPT TO:<ann@virtual.st1.test>",
        "RCPT TO:<ann@st1.test>",
    ]
    said = primary.world.dialogue(primary, *lines)
    assert said[3:] == ["250 Accepted", "550 relay not permitted"]


def test_virtual_domains(primary: Host) -> None:
    (primary.folder / "virtual" / "virtual.st1.test").write_text("info: bob@st1.test\n*: ann@st1.test\n")
    (primary.folder / "virtual" / "second.test").write_text("info: ann@st1.test\n")
    primary.configure(VIRTUAL="yes", LOCAL_DOMAINS="st1.test : dsearch;LABDIR/virtual")
    primary.start()
    lines = [
        "EHLO c.test", "MAIL FROM:<x@far.test>", "RCPT TO:<info@virtual.st1.test>", "RCPT TO:<any@virtual.st1.test>",
        "RCPT TO:<info@second.test>", "RCPT TO:<nobody@second.test>", "RCPT TO:<x@third.test>",
    ]  # fmt: skip
    said = primary.world.dialogue(primary, *lines)
    assert [each[:3] for each in said[3:]] == ["250", "250", "250", "550", "550"]
    assert said[6] == "550 Unrouteable address" and said[7] == "550 relay not permitted"
    with primary.world.smtp(primary) as client:
        client.sendmail("x@far.test", ["info@virtual.st1.test"], "Subject: to bob\r\n\r\nx\r\n")
        client.sendmail("x@far.test", ["info@second.test"], "Subject: to ann\r\n\r\nx\r\n")
    until(
        lambda: "Subject: to bob" in primary.mail("bob") and "Subject: to ann" in primary.mail("ann"),
        "both arrive",
    )
    assert "Subject: to ann" not in primary.mail("bob")


def test_an_administrator_at_work(backup: Host, sender: Host, primary: Host) -> None:
    queue_id = wait_at_the_backup(backup, sender)
    assert backup.exim("-Mf", queue_id).stdout == f"Message {queue_id} is now frozen\n"
    assert "<ivan@far.test> *** frozen ***" in backup.exim("-bp").stdout
    backup.exim("-qf", check=True)
    until(lambda: f"{queue_id} Message is frozen" in backup.log(), "the run passes it by")
    assert backup.exim("-Mt", queue_id).stdout == f"Message {queue_id} is no longer frozen\n"
    done = backup.exim("-Mar", queue_id, "bob@st1.test")
    assert done.returncode == 0 and "bob@st1.test" in backup.exim("-bp").stdout
    assert backup.exim("-Mes", queue_id, "boss@far.test").returncode == 0
    assert "<boss@far.test>" in backup.exim("-bp").stdout
    assert (
        "Received" in backup.exim("-Mvl", queue_id).stdout
        or "ann@st1.test" in backup.exim("-Mvl", queue_id).stdout
    )
    assert backup.exim("-Mrm", queue_id).stdout == f"Message {queue_id} has been removed\n"
    assert backup.count() == 0 and f"{queue_id} removed by" in backup.log()
    done = backup.exim("-Mrm", queue_id)
    assert done.returncode == 1


def test_who_gives_up_tells_the_sender(backup: Host, sender: Host, primary: Host) -> None:
    sender.write("users", "ivan: ivan\n")
    queue_id = wait_at_the_backup(backup, sender)
    before = sender.mail("ivan")
    sender.start()
    backup.exim("-Mg", queue_id, check=True)
    report = until(lambda: sender.mail("ivan")[len(before) :], "the sender hears of it")
    assert "X-Failed-Recipients: ann@st1.test" in report and "Action: failed" in report, report


def test_no_retry_rule_is_no_patience(sender: Host, primary: Host, backup: Host) -> None:
    sender.configure(RETRY="")
    text = sender.configuration.read_text().replace("*   *   \n", "")
    sender.write("exim.conf", text)
    try:
        send(sender, "ann@st2.test")
        assert re.search(r"\*\* ann@st2\.test: retry timeout exceeded", sender.log()), sender.log()
    finally:
        sender.configure(RETRY="F,1h,1s")


def test_a_report_that_nobody_takes_is_frozen(sender: Host, primary: Host, backup: Host) -> None:
    primary.start()
    primary.exim("-odf", "-f", "<>", "nobody@st1.test", stdin="Subject: x\n\nx\n")
    assert re.search(rf"{IDENT} Frozen \(delivery error message\)", primary.log())
    assert "*** frozen ***" in primary.exim("-bp").stdout


def test_unqualified_queue_only(sender: Host) -> None:
    done = sender.exim("-odq", "ivan@far.test", stdin="Subject: later\n\nx\n")
    assert done.returncode == 0 and sender.count() == 1
    sender.exim("-q", check=True)
    until(lambda: sender.count() == 0, "a queue run takes it")

"""docs/differences.md, rows of the command line, of the daemon, and of conversations with other hosts.

HOW        one configuration, one command line; servers of ours on loopback say what each row is about.
READ NEXT  both_programs.py, test_differences.py
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.differential.certificates import Authority

from .both_programs import ADDRESS, Both, server
from .real_exim import ENVIRONMENT, PATIENCE

pytestmark = pytest.mark.needs("exim")
NAMES = pytest.mark.parametrize("name", ["exim", "labkit"])
PLAIN = "EHLO c.test", "MAIL FROM:<ann@here.test>"


@contextmanager
def scripted(
    replies: Mapping[str, Sequence[str]], tls: ssl.SSLContext | None = None, deaf_after: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Its port, and what it hears. `replies`: by command, one after the other; then 250. A bare "" hangs up."""
    heard: list[str] = []
    left = {verb: list(each) for verb, each in replies.items()}
    ending = threading.Event()

    def serve(client: socket.socket, stack: ExitStack) -> None:
        client.settimeout(PATIENCE)
        client.sendall(b"220 far.test\r\n")
        lines = client.makefile("rb")
        while line := lines.readline().decode("latin-1").rstrip():
            heard.append(line)
            verb = line.split()[0].upper()
            if verb == "STARTTLS" and tls is not None:
                client.sendall(b"220 go\r\n")
                client = stack.enter_context(tls.wrap_socket(client, server_side=True))
                lines = client.makefile("rb")
                continue
            usual = {"DATA": "354 go", "QUIT": "221 bye"}.get(verb, "250 OK")
            reply = left[verb].pop(0) if left.get(verb) else usual
            client.sendall(f"{reply}\r\n".encode("latin-1"))
            if verb == deaf_after:
                ending.wait(PATIENCE)
                return
            if verb == "DATA":
                while lines.readline() not in (b".\r\n", b""):
                    pass
                client.sendall(b"250 OK\r\n")

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            if ending.is_set():
                client.close()
                return
            threading.Thread(target=guarded, args=(client,), daemon=True).start()

    def guarded(client: socket.socket) -> None:
        with client, suppress(OSError), ExitStack() as stack:
            serve(client, stack)

    with socket.create_server((ADDRESS, 0)) as listener:
        listener.listen()
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            ending.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join(PATIENCE)


def offering_tls(tmp_path: Path) -> ssl.SSLContext:
    Authority("one").equip(tmp_path, "far.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    return context


# --- conversations ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, then", [("exim", "MAIL FROM:<ann@here.test>"), ("labkit", "HELO mx.here.test")]
)
def test_a_greeting_refused_within_tls(both: Both, tmp_path: Path, name: str, then: str) -> None:
    replies = {"EHLO": ["250-far.test\r\n250 STARTTLS", "550 no"]}
    with scripted(replies, offering_tls(tmp_path)) as (port, heard):
        both[name].configure(port=port)
        both[name].send("bob@far.test")
    assert heard[:4] == ["EHLO mx.here.test", "STARTTLS", "EHLO mx.here.test", then]


@pytest.mark.parametrize("name, is_delivered", [("exim", True), ("labkit", False)])
def test_a_greeting_that_makes_no_sense(both: Both, name: str, is_delivered: bool) -> None:
    with scripted({"EHLO": ["354 go on"]}) as (port, _):
        both[name].configure(port=port)
        log = both[name].send("bob@far.test")
    assert (" => bob@far.test " in log) is is_delivered and (" == bob@far.test " in log) is not is_delivered


@pytest.mark.parametrize("name, encrypts", [("exim", True), ("labkit", False)])
def test_callouts_and_tls(both: Both, tmp_path: Path, name: str, encrypts: bool) -> None:
    with server("STARTTLS", tls=offering_tls(tmp_path)) as (port, heard):
        both[name].configure(port=port)
        file = both[name].file
        file.write_text(file.read_text().replace("acl_smtp_rcpt = accept", "acl_smtp_rcpt = asked"))
        file.write_text(
            file.read_text().replace(
                "begin acl\n", "begin acl\nasked:\n  require verify = recipient/callout\n  accept\n"
            )
        )
        lines = (*PLAIN, "RCPT TO:<bob@far.test>", "QUIT")
        said = both[name].run("-bs", text="".join(f"{line}\r\n" for line in lines)).stdout
    assert "250 Accepted" in said, said
    assert "RCPT TO:<bob@far.test>" in heard and ("STARTTLS" in heard) is encrypts, heard


@NAMES
def test_the_words_of_a_failed_handshake(both: Both, name: str) -> None:
    replies = {"EHLO": ["250-far.test\r\n250 STARTTLS"], "STARTTLS": ["220 go"]}
    with scripted(replies) as (port, _):
        both[name].configure(port=port, smtp="hosts_require_tls = *")
        log = both[name].send("bob@far.test")
    found = re.search(r"defer \(-37\).*TLS session: \(gnutls_handshake\): (.*)", log)
    assert found is not None, log
    assert ("An unexpected TLS packet was received" in found[1]) is (name == "exim"), log


@pytest.mark.parametrize("name, words", [("exim", "data block"), ("labkit", "end of data")])
def test_a_host_that_takes_nothing(both: Both, name: str, words: str) -> None:
    """data_timeout is for each piece; here final_timeout begins with the message."""
    with scripted({}, deaf_after="DATA") as (port, _):
        timeouts = "data_timeout = 1s\n  final_timeout = 2s"
        both[name].configure(port=port, smtp=timeouts)
        text = "Subject: x\n\n" + ("x" * 70 + "\n") * 200_000
        assert both[name].run("-odi", "-f", "ann@here.test", "bob@far.test", text=text).returncode == 0
    log = (both[name].folder / "spool/log/mainlog").read_text()
    assert re.search(rf"SMTP timeout after .*{words}", log), log


@pytest.mark.parametrize("name, subjects", [("exim", 2), ("labkit", 1)])
def test_a_host_that_is_there_again(both: Both, name: str, subjects: int) -> None:
    """A later message finds it; what waits for it goes along, if that is known to another process."""
    one = both[name]
    with scripted({"MAIL": ["250 OK"]}) as (port, heard):
        for at in (1, port):  # at the first port nobody listens
            one.configure(port=at, smtp="retry_include_ip_address = false")
            file = one.file
            file.write_text(file.read_text().replace("* * F,1h,15m", "* * F,1h,1s"))
            one.send("bob@far.test")
            time.sleep(1.1)
        until = time.monotonic() + 5
        while heard.count("MAIL FROM:<ann@here.test>") < subjects and time.monotonic() < until:
            time.sleep(0.05)
    assert heard.count("MAIL FROM:<ann@here.test>") == subjects, heard
    assert subjects == 2 or one.run("-bpc").stdout == "1\n"


# --- deliveries here --------------------------------------------------------------------------


@pytest.mark.parametrize("name, outcome", [("exim", " ** "), ("labkit", " == ")])
def test_a_full_mailbox_that_nobody_reads(both: Both, name: str, outcome: str) -> None:
    """The retry rule `quota_7d` is for a mailbox that was not read for seven days."""
    one = both[name]
    one.configure(
        router="full:\n  driver = accept\n  local_parts = full\n  transport = full",
        transport="full:\n  driver = appendfile\n  file = {folder}/spool/full\n  quota = 10",
    )
    one.file.write_text(one.file.read_text().replace("* * F,1h,15m", "* quota_7d\n* * F,1h,15m"))
    mailbox = one.folder / "spool/full"
    mailbox.write_text("old\n")
    mailbox.chmod(0o600)
    os.chown(mailbox, one.account.pw_uid, one.account.pw_gid)
    long_ago = time.time() - 10 * 86400
    os.utime(mailbox, (long_ago, long_ago))
    log = one.send("full@here.test")
    assert f"{outcome}full" in log, log


def test_hints(both: Both) -> None:
    """Exim's own tool reads Exim's; ours are text."""
    for one in both.values():
        one.configure(port=1)
        assert "== bob@far.test" in one.send("bob@far.test")
    theirs, ours = both["exim"].folder / "spool/db", both["labkit"].folder / "spool/db"
    assert b"\0" in (theirs / "retry").read_bytes()
    assert not (ours / "retry").exists()
    assert "T:127.0.0.10" in (ours / "labkit-retry").read_text("utf-8")


def test_the_database_of_a_query_without_file(both: Both) -> None:
    """No difference: sqlite_dbfile, in a text and in a list."""
    for one in both.values():
        file = one.folder / "x.db"
        with closing(sqlite3.connect(file)) as database:
            database.executescript("create table t(a); insert into t values('here.test')")
        file.chmod(0o644)
        one.configure(main=f"sqlite_dbfile = {file}")
        said = one.run(
            "-be", "${lookup sqlite{select a from t}}", "${if match_domain{a}{sqlite;select a from t}{y}{n}}"
        )
        assert said.stdout == "here.test\ny\n", said


@NAMES
def test_a_database_that_is_locked(both: Both, name: str) -> None:
    """Both wait for sqlite_lock_timeout, in seconds of real time; then Exim has found nothing, and labkit defers."""
    one = both[name]
    file = one.folder / "x.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript("create table t(a); insert into t values('found')")
        file.chmod(0o666)
        one.folder.chmod(0o777)
        query = f"${{lookup sqlite,file={file}{{select a from t}}}}"
        took = []
        database.execute("begin exclusive")
        for timeout in (0, 2):
            one.configure(main=f"sqlite_lock_timeout = {timeout}")
            began = time.monotonic()
            said = one.run("-be", query).stdout
            assert "database is locked" in said if name == "labkit" else said == "\n", said
            took.append(time.monotonic() - began)
        database.execute("rollback")
        assert took[1] - took[0] > 1, took
        assert one.run("-be", query).stdout == "found\n"
        assert one.run("-bP", "sqlite_lock_timeout").stdout == "sqlite_lock_timeout = 2\n"


@pytest.mark.parametrize(
    "router, number",
    [
        ("redirect\n  allow_defer\n  data = :defer: words", "R=bad defer (-1): words"),
        (
            "manualroute\n  transport = far\n  route_list = * 127.0.0.10\n  ignore_target_hosts = 0.0.0.0/0\n"
            "  host_find_failed = defer",
            "R=bad defer (-32): lookup of host ",
        ),
    ],
)
@NAMES
def test_the_number_of_a_deferred_address(both: Both, name: str, router: str, number: str) -> None:
    """No difference: -32 is for a host that was not found, whatever else a router says is -1."""
    both[name].configure(router=f"bad:\n  domains = b.test\n  driver = {router}")
    log = both[name].send("x@b.test")
    assert f" == x@b.test {number}" in log, log


@pytest.mark.parametrize("name, number", [("exim", "-1"), ("labkit", "-32")])
def test_words_that_tell_of_a_host(both: Both, name: str, number: str) -> None:
    """Exim has its number from what it did, labkit from the words."""
    both[name].configure(
        router="bad:\n  domains = b.test\n  driver = redirect\n  allow_defer\n  data = :defer: lookup of host x is late"
    )
    assert f" == x@b.test R=bad defer ({number}): lookup of host x is late" in both[name].send("x@b.test")


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["-oem", "-oew", "-oee"])
@NAMES
def test_errors_of_a_submission(both: Both, name: str, way: str) -> None:
    """Exim writes to the sender; here he is told at once, whatever he wants."""
    one = both[name]
    one.configure()
    said = one.run(way, "-odi", "-f", "ann@here.test", "bad@@x")
    log = one.folder / "spool/log/mainlog"
    is_written = log.exists() and "=> ann" in log.read_text()
    assert ("bad recipient address" in said.stderr, is_written) == ((name == "labkit"), (name == "exim"))


@NAMES
def test_what_v_shows_of_connecting(both: Both, name: str) -> None:
    with scripted({}) as (port, _):
        both[name].configure(port=port)
        said = both[name].run("-v", "-odi", "-f", "ann@here.test", "bob@far.test").stderr
    assert "SMTP>> EHLO mx.here.test" in said
    assert ("Connecting to 127.0.0.10" in said) is (name == "exim")


@NAMES
def test_a_line_end_in_what_is_told(both: Both, name: str) -> None:
    one = both[name]
    one.configure(main=f"trusted_users = {one.account.pw_name}")
    said = one.run("-oMr", "x\nX-Odd: y", "-odq", "-f", "ann@here.test", "bob@here.test")
    assert said.returncode == (name == "labkit")
    waiting = [path.read_text() for path in (one.folder / "spool").glob("input/*-H")]
    assert ["\nX-Odd: y" in text for text in waiting] == [True] * (name == "exim")


@NAMES
def test_a_link_in_the_spool(both: Both, name: str) -> None:
    one = both[name]
    one.configure()
    assert one.run("-odq", "-f", "ann@here.test", "bob@here.test").returncode == 0
    assert one.run("-bpc").stdout == "1\n"
    (header,) = (one.folder / "spool/input").glob("*-H")
    header.rename(one.folder / "elsewhere")
    header.symlink_to(one.folder / "elsewhere")
    assert ("Subject: x" in one.run("-Mvh", header.name[:-2]).stdout) is (name == "exim")


@pytest.mark.parametrize(
    "selector, shown", [("delivery_size", " S=[0-9]+"), ("receive_time", " RT=[0-9.]+s")]
)
@NAMES
def test_details_of_the_log(both: Both, name: str, selector: str, shown: str) -> None:
    both[name].configure(main=f"log_selector = +{selector}")
    log = both[name].send("bob@here.test")
    (line,) = re.findall(r".*(?:=>|<=) .*" if selector == "receive_time" else r".* => .*", log)[:1]
    assert (re.search(shown, line) is not None) is (name == "exim"), log


@NAMES
def test_a_transaction_that_comes_to_nothing(both: Both, name: str) -> None:
    one = both[name]
    one.configure(main="log_selector = +smtp_incomplete_transaction")
    lines = (*PLAIN, "RCPT TO:<bob@here.test>", "RSET", "QUIT")
    assert "250 Accepted" in one.run("-bs", text="".join(f"{line}\r\n" for line in lines)).stdout
    one.send("bob@here.test")
    log = (one.folder / "spool/log/mainlog").read_text()
    assert ("incomplete transaction (RSET) from <ann@here.test> for bob@here.test" in log) is (name == "exim")


@contextmanager
def daemon_of(
    both: Both, name: str, main: str = "", early: bytes = b"", swap: tuple[str, str] = ("", "")
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """The daemon, and a client that was greeted; with `early`, one that says so at once and has read nothing yet."""
    one = both[name]
    one.configure(main=f"pid_file_path = {{folder}}/spool/pid\n{main}")
    one.file.write_text(one.file.read_text().replace(*swap))
    with closing(socket.create_server((ADDRESS, 0))) as free:
        port = free.getsockname()[1]
    own = [one.folder.parent / "exim"] if name == "exim" else [sys.executable, "-m", "labkit.cli.exim"]
    words = [*own, "-C", one.file, "-bdf", "-oX", f"[{ADDRESS}]:{port}"]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(words, env=environment, cwd="/", **one.identity) as daemon:
        try:
            client = _called(port)
            with client:
                client.sendall(early)
                assert early or _line(client).startswith(b"220 ")
                yield daemon, client
                with suppress(OSError):
                    client.sendall(b"QUIT\r\n")
        finally:
            daemon.terminate()


@pytest.mark.parametrize("name, reply", [("exim", b"250 OK\r\n"), ("labkit", b"421 mx.here.test: ")])
def test_sessions_when_the_daemon_ends(both: Both, name: str, reply: bytes) -> None:
    with daemon_of(both, name) as (daemon, client):
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with suppress(OSError):  # it may have gone
            client.sendall(b"NOOP\r\n")
        assert _line(client).startswith(reply)


@pytest.mark.parametrize(
    "name, reply",
    [("exim", b"220 TLS go ahead\r\n"), ("labkit", b"554 SMTP synchronization error\r\n")],
)
def test_what_comes_too_early_after_starttls(both: Both, name: str, reply: bytes) -> None:
    """Neither obeys it; tests/exam/test_submission.py goes on from here."""
    with daemon_of(both, name) as (_, client):
        client.sendall(b"EHLO c.test\r\n")
        while _line(client)[3:4] == b"-":
            pass
        client.sendall(b"STARTTLS\r\nMAIL FROM:<a@b.test>\r\n")
        assert _line(client) == reply


@pytest.mark.parametrize("name, offers, codes", [
    ("exim", True, [b"220", b"250"]),
    ("exim", False, [b"554"]),
    ("labkit", True, [b"554"]),
    ("labkit", False, [b"554"]),
])  # fmt: skip
def test_a_client_that_talks_first(both: Both, name: str, offers: bool, codes: list[bytes]) -> None:
    """A second passes before the greeting, so that the client is first for certain."""
    main = "acl_smtp_connect = late"
    main += "" if offers else "\npipelining_connect_advertise_hosts ="
    late = "begin acl\nlate:\n  accept\n    delay = 1s\n"
    with daemon_of(both, name, main, b"EHLO c.test\r\n", ("begin acl\n", late)) as (_, client):
        assert [_line(client)[:3] for _ in codes] == codes
        if codes == [b"554"]:
            assert _line(client) == b""


def _called(port: int) -> socket.socket:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((ADDRESS, port), PATIENCE)
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)


def _line(client: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n") and (octet := client.recv(1)):
        found += octet
    return found

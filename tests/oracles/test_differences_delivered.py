"""docs/differences.md, the rows that only a delivery shows: a message for both programs, each in its own folder.

HOW        one configuration, one command line; a server of ours on loopback notes what each of them says to it.
READ NEXT  both_programs.py, test_differences.py
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.differential.certificates import Authority

from .both_programs import Both, server
from .real_exim import ENVIRONMENT, PATIENCE

pytestmark = pytest.mark.needs("exim")
PROGRAM = (
    "program:\n  driver = accept\n  local_parts = program\n  transport = program",
    "program:\n  driver = pipe\n  command = /usr/bin/touch {folder}/spool/it-ran",
)
ALIAS = (
    "program:\n  driver = redirect\n  local_parts = program\n  data = |/usr/bin/touch {folder}/spool/it-ran\n"
    "  pipe_transport = program",
    "program:\n  driver = pipe",
)
SECRET = base64.b64encode(b"\0me\0secret").decode()


@pytest.mark.parametrize("name, is_taken", [("exim", True), ("labkit", False)])
def test_quit_after_a_piece_of_a_header(both: Both, name: str, is_taken: bool) -> None:
    """The client did not say that this was all."""
    lines = ("EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@here.test>", "BDAT 6", "a: b", "QUIT")
    both[name].configure()
    said = both[name].run("-odq", "-bs", text="".join(f"{line}\r\n" for line in lines))
    assert "250 6 byte chunk received" in said.stdout, said
    assert both[name].run("-bpc").stdout == f"{int(is_taken)}\n"


@pytest.mark.parametrize("name, keeps_cr", [("exim", True), ("labkit", False)])
def test_line_ends_in_a_text_that_is_added(both: Both, name: str, keeps_cr: bool) -> None:
    """What a DNSBL says, perhaps. LF begins a field of its own in both; CR is another question."""
    both[name].configure(main="acl_smtp_data = {folder}/adding")
    adding = both[name].folder / "adding"
    adding.write_text("accept add_header = X-One: one\\r\\nX-Two: two\n       add_header = X-Bare: a\\rb\n")
    adding.chmod(0o644)
    lines = (
        "EHLO c.test",
        "MAIL FROM:<a@b.test>",
        "RCPT TO:<bob@here.test>",
        "DATA",
        "a: b",
        "",
        "x",
        ".",
        "QUIT",
    )
    said = both[name].run("-odi", "-bs", text="".join(f"{line}\r\n" for line in lines))
    assert "250 OK id=" in said.stdout, said
    header = (both[name].folder / "spool/bob").read_bytes().partition(b"\n\n")[0]
    wanted = b"X-One: one\r\nX-Two: two\nX-Bare: a\rb" if keeps_cr else b"X-One: one\nX-Two: two\nX-Bare: a b"
    assert wanted in header


@pytest.mark.parametrize("name, says_size", [("exim", True), ("labkit", False)])
def test_size_addition(both: Both, name: str, says_size: bool) -> None:
    with server("SIZE 1000000") as (port, heard):
        both[name].configure(smtp="size_addition = -1", port=port)
        assert "=> bob@far.test" in both[name].send("bob@far.test")
    (mail,) = (line for line in heard if line.startswith("MAIL"))
    assert ("SIZE=" in mail) is says_size


@pytest.mark.parametrize("name, says_it", [("exim", True), ("labkit", False)])
@pytest.mark.parametrize("must", [False, True])
def test_a_password_in_the_clear(both: Both, tmp_path: Path, name: str, says_it: bool, must: bool) -> None:
    """Nobody has proved to be the host."""
    known, other = Authority("one"), Authority("another")
    known.equip(tmp_path, "far.test")
    (both[name].folder / "ca.crt").write_text(other.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with server("STARTTLS", "AUTH PLAIN", tls=context) as (port, heard):
        both[name].configure(
            smtp="hosts_try_auth = *\n  tls_verify_hosts = *\n"
            + ("  hosts_require_tls = *\n" if must else "")
            + f"  tls_verify_certificates = {both[name].folder}/ca.crt",
            port=port,
        )
        log = both[name].send("bob@far.test")
    assert "STARTTLS" in heard, heard
    in_the_clear = heard[heard.index("STARTTLS") + 1 :]
    assert (f"AUTH PLAIN {SECRET}" in in_the_clear) is (says_it and not must), (heard, log)


def test_exim_takes_a_bad_certificate(both: Both, tmp_path: Path) -> None:
    """A client of tls_try_verify_hosts shows one that nobody vouches for. labkit: tests/lab/test_tls_server.py."""
    folder = both["exim"].folder
    Authority("one").equip(tmp_path, "mx.here.test")
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes((tmp_path / name).read_bytes())
        (folder / name).chmod(0o644)  # Exim is another user
    (folder / "ca.crt").write_text(Authority("another").pem)
    both["exim"].configure(
        main=f"tls_certificate = {folder}/tls.crt\ntls_privatekey = {folder}/tls.key\n"
        f"tls_advertise_hosts = *\ntls_try_verify_hosts = *\ntls_verify_certificates = {folder}/ca.crt\n"
        "acl_smtp_mail = logged"
    )
    words = [str(real) for real in (folder.parent / "exim", "-C", both["exim"].file, "-bs")]
    context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(PATIENCE)
        options: dict[str, Any] = {"stdin": far, "stdout": far, "env": ENVIRONMENT, "cwd": "/"}
        with subprocess.Popen(words, **options, **both["exim"].identity):
            far.close()
            plain = near.makefile("rw", newline="\r\n")
            for command in ("EHLO c.test", "STARTTLS"):
                while plain.readline()[3:4] == "-":
                    pass
                near.sendall(f"{command}\r\n".encode())
            while not plain.readline().startswith("220 TLS"):
                pass
            with context.wrap_socket(near, server_hostname="mx.here.test") as encrypted:
                encrypted.sendall(b"EHLO c.test\r\n")
                while not encrypted.recv(4096).endswith(b"HELP\r\n"):
                    pass
                encrypted.sendall(b"MAIL FROM:<a@b.test>\r\n")
                assert encrypted.recv(4096) == b"250 OK\r\n"
                encrypted.sendall(b"QUIT\r\n")
                encrypted.recv(4096)
    log = (folder / "spool/log/mainlog").read_text()
    assert "verified=0 peer=CN=mx.here.test" in log, log


@pytest.mark.parametrize("name", ["exim", "labkit"])
def test_once(both: Both, name: str) -> None:
    both[name].configure()
    log = both[name].send("away@here.test")
    assert "=> away" in log, log
    names = sorted(path.name for path in (both[name].folder / "spool").glob("once*"))
    assert "once" in names or name == "exim", names
    octets = (both[name].folder / "spool" / names[0]).read_bytes()
    assert (b"\0" in octets) is (name == "exim"), octets


@pytest.mark.parametrize("name, order", [("exim", ["== ann", "=> bob"]), ("labkit", ["=> bob", "== ann"])])
def test_a_locked_mailbox(both: Both, name: str, order: list[str]) -> None:
    both[name].configure()
    for file in ("ann.lock", "bob"):
        (both[name].folder / "spool" / file).touch()
    (both[name].folder / "spool/bob").chmod(0o600)
    os.chown(both[name].folder / "spool/bob", both[name].account.pw_uid, both[name].account.pw_gid)
    log = both[name].send("ann@here.test", "bob@here.test")
    found = [words for line in log.splitlines() for words in order if f" {words}" in line]
    assert found == order, log


@pytest.mark.parametrize("router, transport, refused", [(*PROGRAM, True), (*ALIAS, False)])
def test_programs(both: Both, router: str, transport: str, refused: bool) -> None:
    """A router that names a program's transport is refused with the file; what an alias names is put off."""
    for one in both.values():
        one.configure(router=router, transport=transport)
    log = both["exim"].send("program@here.test")
    assert "=> |/usr/bin/touch" in log or "=> program" in log, log
    assert (both["exim"].folder / "spool/it-ran").exists()
    if refused:
        said = both["labkit"].run("-odi", "program@here.test")
        assert said.returncode == 1 and "runs a program, which this host does not permit" in said.stderr
    else:
        log = both["labkit"].send("program@here.test")
        assert "defer (0): program transport: this host permits no programs" in log, log
    assert not (both["labkit"].folder / "spool/it-ran").exists()


@pytest.mark.parametrize("router, transport", [PROGRAM, ALIAS])
def test_programs_that_are_permitted(
    both: Both, monkeypatch: pytest.MonkeyPatch, router: str, transport: str
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "LABKIT_PROGRAMS", "yes")
    both["labkit"].configure(router=router, transport=transport)
    log = both["labkit"].send("program@here.test")
    assert "=> |/usr/bin/touch" in log or "=> program" in log, log
    assert (both["labkit"].folder / "spool/it-ran").exists()


NO_FILE = ("file = {folder}/spool/$local_part", "", "file = ${if eq{a}{b}{x}fail}", "file = ${eval:x}")
QUOTA = "file = {folder}/spool/x\n  quota = "


@pytest.mark.parametrize("option", [*NO_FILE, QUOTA + "$local_part", QUOTA + "${eval:x}"])
def test_the_number_of_what_cannot_be_read(both: Both, option: str) -> None:
    """No difference: the log shows the same number, and the same words."""
    told = set()
    for one in both.values():
        one.configure(
            router="bad:\n  driver = accept\n  local_parts = bad\n  transport = bad",
            transport=f"bad:\n  driver = appendfile\n  {option}",
        )
        _, _, words = one.send("bad@here.test").partition(" == bad@here.test R=bad T=bad ")
        told.add(words.replace(str(one.folder), "/folder"))
    assert len(told) == 1 and told.pop().startswith("defer (-1): "), told

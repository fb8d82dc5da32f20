"""The real Exim as judge of AUTH: the same configuration, the same lines, the same replies and log lines.

HOW        both play a server for one address with -bh. What only one of them offers (chunking, say) is left out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .real_exim import RealExim

pytestmark = pytest.mark.needs("exim")
CLIENT = "203.0.113.9"
CONFIGURATION = """\
exim_path = {folder}/exim
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
keep_environment =
timezone = UTC
chunking_advertise_hosts =
pipelining_connect_advertise_hosts =
smtputf8_advertise_hosts =
smtp_max_synprot_errors = 99
smtp_accept_max_nonmail = 99
acl_smtp_rcpt = on_rcpt
MORE
begin acl
on_rcpt:
  accept authenticated = *
         logwrite = id=$authenticated_id by=$sender_host_authenticated sender=$authenticated_sender \\
           failed=$authentication_failed $received_protocol
  deny   message = who are you? $authenticated_fail_id $authentication_failed $received_protocol
on_auth:
  deny   condition = ${if eq{$smtp_command_argument}{PLAIN refused}}
         message = not you
  defer  condition = ${if eq{$smtp_command_argument}{PLAIN later}}
  drop   condition = ${if eq{$smtp_command_argument}{PLAIN drop}}
  accept
on_mailauth:
  deny   authenticated = login
  defer  authenticated = *
         condition = ${if eq{$authenticated_id}{later}}
  accept
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth2}{fail}fail{${if and{{eq{$2}{ann}}{eq{$auth3}{secret}}}}}}
  server_set_id = $auth2
  server_mail_auth_condition = ${if eq{$authenticated_id}{ann}{no}{yes}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${if eq{$auth1}{maybe}{perhaps not}{${if eq{$auth1/$auth2}{bob/pw}}}}
  server_set_id = ${if eq{$auth1}{bad}{${eval:x}}{$auth1}}
md:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{ann}{secret}{${if eq{$1}{odd}{${eval:x}}fail}}}
  server_set_id = $auth1
prompting:
  driver = plaintext
  public_name = many
  server_prompts = one : two : three
  server_condition = ${if eq{$auth1$auth2$auth3$auth4}{abc}}
hidden:
  driver = plaintext
  public_name = HIDDEN
  server_condition = yes
  server_advertise_condition = ${if eq{$sender_helo_name}{friend.test}}
client_only:
  driver = plaintext
  public_name = CLIENT
  client_send = x
"""


def coded(*texts: str) -> str:
    return base64.b64encode("\0".join(texts).encode()).decode()


GOOD, BAD = f"AUTH PLAIN {coded('', 'ann', 'secret')}", f"AUTH PLAIN {coded('', 'ann', 'guess')}"
MAIL, RCPT = "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"
DIALOGUES: dict[str, tuple[str, list[str]]] = {
    "offers": ("", ["EHLO c.test", "EHLO friend.test", "HELO c.test", "HELP"]),
    "nobody is offered it": ("auth_advertise_hosts =", ["EHLO c.test", GOOD]),
    "some are offered it": ("auth_advertise_hosts = !203.0.113.9 : *", ["EHLO c.test", GOOD]),
    "before EHLO": ("", [GOOD, "HELO c.test", GOOD, "EHLO c.test", GOOD]),
    "good": ("", ["EHLO c.test", MAIL, RCPT, "RSET", GOOD, GOOD, MAIL, RCPT, "EHLO c.test", MAIL, RCPT]),
    "bad": ("", ["EHLO c.test", BAD, MAIL, RCPT, "RSET", GOOD, MAIL, RCPT]),
    "names": ("", ["EHLO c.test", "AUTH", "AUTH  PLAIN =", "auth plain =", "AUTH P%N", "AUTH NTLM", "AUTH CLIENT x"]),
    "base64": ("", [
        "EHLO c.test", "AUTH PLAIN !", "AUTH PLAIN a", "AUTH PLAIN AAA=A", "AUTH PLAIN ====", "AUTH PLAIN ="]),
    "line by line": ("", ["EHLO c.test", "AUTH PLAIN", coded("", "ann", "secret"), MAIL, RCPT]),
    "cancel": ("", ["EHLO c.test", "AUTH PLAIN", "*", "AUTH LOGIN", "*", "AUTH LOGIN", coded("bob"), "*"]),
    "an empty answer": ("", ["EHLO c.test", "AUTH PLAIN", "", "AUTH LOGIN", "", ""]),
    "no base64 in an answer": ("", ["EHLO c.test", "AUTH LOGIN", "bob", "AUTH LOGIN", coded("bob"), "%%%"]),
    "login": ("", ["EHLO c.test", "AUTH LOGIN", coded("bob"), coded("pw"), MAIL, RCPT]),
    "login with a name": ("", ["EHLO c.test", f"AUTH LOGIN {coded('bob')}", coded("pw"), MAIL, RCPT]),
    "login with both": ("", ["EHLO c.test", f"AUTH LOGIN {coded('bob', 'pw')}", MAIL, RCPT]),
    "login in one answer": ("", ["EHLO c.test", "AUTH LOGIN", coded("bob", "pw"), MAIL, RCPT]),
    "it cannot be known": ("", ["EHLO c.test", f"AUTH LOGIN {coded('maybe', 'x')}", MAIL, RCPT]),
    "a forced failure": ("", ["EHLO c.test", f"AUTH PLAIN {coded('', 'fail', 'x')}"]),
    "more prompts": ("", ["EHLO c.test", "AUTH MANY", coded("a"), coded("b", "c"), MAIL, RCPT]),
    "too much": ("", ["EHLO c.test", f"AUTH MANY {coded('a', 'b', 'c', 'd')}", f"AUTH MANY {coded(*'abcd' * 9)}"]),
    "in a transaction": ("", ["EHLO c.test", MAIL, GOOD, "RSET", GOOD, MAIL, GOOD]),
    "an ACL": ("acl_smtp_auth = on_auth", ["EHLO c.test", "AUTH PLAIN refused", "AUTH PLAIN later", GOOD, MAIL, RCPT]),
    "an ACL drops": ("acl_smtp_auth = on_auth", ["EHLO c.test", "AUTH PLAIN drop", "NOOP"]),
    "AUTH= of a stranger": ("", ["EHLO c.test", f"{MAIL} AUTH=x@y.test", RCPT]),
    "AUTH= that is none": ("", [
        "EHLO c.test", f"{MAIL} AUTH=a+b", f"{MAIL} AUTH=", f"{MAIL} AUTH=+4", f"{MAIL} AUTH=<>"]),
    "AUTH= after PLAIN": ("", ["EHLO c.test", GOOD, f"{MAIL} AUTH=x@y.test", RCPT]),
    "AUTH= after LOGIN": ("", [
        "EHLO c.test", f"AUTH LOGIN {coded('bob', 'pw')}", f"{MAIL} AUTH=x+2By@y.test SIZE=3", RCPT]),
    "AUTH= and an ACL": (
        "acl_smtp_mailauth = on_mailauth",
        ["EHLO c.test", f"{MAIL} AUTH=x@y.test", "RSET", f"AUTH LOGIN {coded('bob', 'pw')}", f"{MAIL} AUTH=x@y", RCPT],
    ),
    "cram with data": ("", ["EHLO c.test", "AUTH CRAM-MD5 eA=="]),
    "cram without a digest": ("", [
        "EHLO c.test", "AUTH CRAM-MD5", coded("ann"), "AUTH CRAM-MD5", coded("ann x"),
        "AUTH CRAM-MD5", "*"]),
    "cram with a wrong digest": ("", [
        "EHLO c.test", "AUTH CRAM-MD5", coded("ann " + "0" * 32), "AUTH CRAM-MD5", coded("eve " + "0" * 32)]),
}  # fmt: skip


def normal(text: str) -> list[str]:
    """Without what is each program's own: its name, the date, process and time in a challenge, offers of Exim alone."""
    text = text.replace("\r\n", "\n")
    text = re.sub(r"(?m)^(220 \S+ ESMTP) .*", r"\1", text)
    text = re.sub(r"(?m)^334 PD[A-Za-z0-9+/=]{20,}$", "334 <challenge>", text)
    text = text.replace(" DATA BDAT ", " DATA ")
    return text.split("\n")


def logged(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith("LOG: ")]


@pytest.fixture(scope="module")
def files(real_exim: RealExim) -> dict[str, Path]:
    """A configuration for each of the main options that dialogues need."""
    found = {}
    for number, main in enumerate(dict.fromkeys(main for main, _ in DIALOGUES.values())):
        text = CONFIGURATION.replace("MORE", main)
        for name, value in real_exim.names.items():
            text = text.replace("{" + name + "}", value)
        found[main] = real_exim.folder / f"auth{number}.conf"
        found[main].write_text(text, encoding="utf-8")
    return found


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(name: str, real_exim: RealExim, files: dict[str, Path]) -> None:
    main, lines = DIALOGUES[name]
    stdin = "".join(f"{line}\r\n" for line in [*lines, "QUIT"])
    theirs = real_exim.run("-C", files[main], "-bh", CLIENT, stdin=stdin)
    ours = subprocess.run(
        [sys.executable, "-m", "labkit.cli.exim", "-C", str(files[main]), "-bh", CLIENT],
        input=stdin.encode(), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert normal(ours.stdout.decode()) == normal(theirs.stdout)
    assert logged(ours.stderr.decode()) == logged(theirs.stderr)
    assert re.search(r"(?m)^[2345]\d\d ", theirs.stdout)


def test_a_right_digest(real_exim: RealExim, files: dict[str, Path]) -> None:
    """The challenge is new each time, so each program gets an answer of its own."""
    said = {}
    for program in ([str(real_exim.folder / "exim")], [sys.executable, "-m", "labkit.cli.exim"]):
        with subprocess.Popen(
            [*program, "-C", str(files[""]), "-bh", CLIENT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            **(real_exim.identity if program[0] != sys.executable else {}),
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"EHLO c.test\r\nAUTH CRAM-MD5\r\n")
            while not (line := process.stdout.readline()).startswith(b"334 "):
                assert line
            challenge = base64.b64decode(line[4:])
            digest = hmac.new(b"secret", challenge, hashlib.md5).hexdigest()
            process.stdin.write(coded(f"ann {digest}").encode() + b"\r\nQUIT\r\n")
            said[program[-1]] = process.stdout.read().split(b"\n")[0].strip()
            assert re.fullmatch(rb"<\d+\.\d+@mx\.here\.test>", challenge)
    assert list(said.values()) == [b"235 Authentication succeeded"] * 2

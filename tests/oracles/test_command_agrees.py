"""The real Exim as judge of the command line: the same words to `exim` and to `labkit-exim`, each as its own process.

HOW        one run of each prints all options of two configurations, one expands a transcript, and so on; as an ordinary
           user (never as root). DEFAULTS lists the options whose defaults differ, and why.
"""

from __future__ import annotations

import asyncio
import re
import socketserver
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.cli.exim import main
from labkit.cli.exim.command_line import Refused, read_command_line
from labkit.cli.exim.machine import CannotStart, Machine
from labkit.eximconf import options
from labkit.eximconf.options import Option

from .real_exim import ENVIRONMENT, PATIENCE, RealExim

FOO = {"FOO": "bar"}  # what keep_environment keeps

HEAD = """\
exim_user = {user}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
keep_environment = FOO
check_spool_space = 0
host_lookup =
local_interfaces = <; [203.0.113.1]
pipelining_connect_advertise_hosts =
chunking_advertise_hosts =
smtputf8_advertise_hosts =
tls_advertise_hosts =
auth_advertise_hosts =
"""
BODY = """\
MACRO = replaced
domainlist local_domains = here.test :   *.here.test
hide hostlist relays = 192.0.2.1
acl_smtp_rcpt = rcpt
acl_smtp_data = data

begin acl
rcpt:
  deny   local_parts = ^bad
         message = no bad ones
  warn   logwrite = hello
  accept domains = +local_domains
         verify = recipient
  deny   message = relay not   permitted
data:
  deny   condition = ${if match{$h_subject:}{spam}}
         message = "it is spam"
  accept

begin routers
aliases:
  driver = redirect
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{FOLDER/aliases}}
  allow_fail
  no_more
people:
  driver = accept
  local_parts = ann : bob
  condition = yes
  condition = ${if eq{a}{a}}
  set = r_x = 5
  headers_add = X: 1
  headers_add = Y: 2
  no_verify
  transport = boxes
far:
  driver = manualroute
  route_list = * 127.0.0.9::2525
  domains = far.test
  senders = a@b
  self = send
  transport = remote
  more = ${if eq{a}{a}{yes}{no}}

begin transports
boxes:
  driver = appendfile
  file = /dev/null
  user = {user}
  mode = 0640
  directory_mode = 0711
remote:
  driver = smtp
  port = 2525
  connect_timeout = 90s
  hosts_try_auth = *

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = yes
"""
DEFAULTS = {  # the options that print another value where the file says nothing, and why
    "check_string": "Exim fills it in for an mbox",
    "delay_warning_condition": "the same condition in other words",
    "dsn_from": "the same text, which labkit builds itself",
    "escape_string": "Exim fills it in for an mbox",
    "exim_path": "no Exim to start",
    "hosts_try_fastopen": "labkit calls without it",
    "message_prefix": "Exim fills it in for an mbox",
    "message_suffix": "Exim fills it in for an mbox",
    "pid_file_path": "chosen when an Exim is built",
    "recipients_max": "chosen when an Exim is built",
    "remote_max_parallel": "Debian's is 2",
    "rfc1413_hosts": "labkit never asks",
    "smtp_accept_max": "a lab has many clients at once",
    "smtp_banner": "labkit says its own name",
    "use_fcntl_lock": "Exim turns it on for an mbox",
    "use_lockfile": "Exim turns it on for an mbox",
}
SAMPLES = {  # by kind
    "fixed-point": "2.5",
    "integer above 0, expanded": "10M",
    "number, time, factor, time": "2,1s,1.5,3m",
    "boolean, expanded": "${if eq{a}{b}}",
    "host name": "name.test",
    "integer": "2048",
    "integer above 0": "10M",
    "octal integer": "0640",
    "port": "2525",
    "ports": "25 : 587",
    "string list": "one : two",
    "time": "90m",
    "time above 0": "36h",
}
OWN_SAMPLES = {
    "check_log_space": "3M", "errors_reply_to": "a@b.test", "log_selector": "+all", "bi_command": "/bin/true",
    "delay_warning": "90m:4h:24h", "daemon_smtp_ports": "25 : 587", "never_users": "root", "recipients_max": "2048",
    "smtp_accept_max": "2048", "trusted_groups": "root", "admin_groups": "root", "trusted_users": "root",
    "queue_run_max": "7",
    "untrusted_set_sender": "*@a.test", "gecos_pattern": "^([^,]*)", "gecos_name": "$1", "tls_on_connect_ports": "465",
}  # fmt: skip
TRANSCRIPT = r"""
$primary_hostname $qualify_domain $rcpt_count $message_size $interface_port $tls_in_bits $sender_host_port
${if match_domain{a.here.test}{+local_domains}{$value}{n}}
${lookup{team}lsearch{FOLDER/aliases}}|${lookup{none}lsearch{FOLDER/aliases}{y}{n}}
${lookup{x}lsearch{FOLDER/none}}
${lookup{aliases}dsearch{FOLDER}}
${readfile{FOLDER/aliases}{|}}
${env{FOO}}|${env{HOME}}
${if exists{FOLDER/aliases}{y}{n}}${if exists{FOLDER/none}{y}{n}}
${lookup sqlite,file=FOLDER/spool/db {create table t(a,b); insert into t values(1,'x y'),(2.5,null)}{y}{n}}
${lookup sqlite,file=FOLDER/spool/db {select * from t}}
${lookup sqlite,file=FOLDER/spool/db {select b from t; select nosuch}{$value}{n}}
${lookup sqlite,file=FOLDER/none/db {select 1}}
${readsocket{FOLDER/none}{x}}
${lookup passwd{nobody-at-all}{y}{n}}
$nosuch
${if eq{a}{b}{y}fail}
a continued \
   line \
      of three
Xmacro = one
Xmacro xMACROx
not a MACRO
${acl{data}}|${acl{nosuch}}
"""
MESSAGE = "From: Ann <ann@x.test>\nTo: bob@here.test\nSubject: Hi\n there\n\nbody line\nsecond\n"
OF_A_MESSAGE = (
    "$h_subject:|$message_body|$message_size|$body_linecount|$message_linecount|$received_count|$h_to:"
)
DIALOGUE = """\
EHLO client.test
MAIL FROM:<x@y.test>
RCPT TO:<ann@here.test>
RCPT TO:<bad@here.test>
RCPT TO:<nobody@here.test>
RCPT TO:<x@elsewhere.test>
DATA
Subject: spam

body
.
MAIL FROM:<>
RCPT TO:<team@here.test>
DATA
Subject: hi

body
.
NOSUCH
NOOP
QUIT
"""


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@dataclass
class Programs:
    """Both, in a folder with a configuration."""

    real: RealExim
    folder: Path

    def exim(self, *words: str, text: str = "") -> Said:
        done = self.real.run(*words, stdin=text, environment=FOO, cwd=self.folder)
        return Said(done.returncode, done.stdout.replace("\r\n", "\n"), done.stderr)

    def ours(self, *words: str, text: str = "") -> Said:
        source = str(Path(__file__).parents[2])
        done = subprocess.run(
            [sys.executable, "-m", "labkit.cli.exim", *words],
            input=text,
            capture_output=True,
            encoding="latin-1",
            check=False,
            cwd=self.folder,
            env={**ENVIRONMENT, **FOO, "PYTHONPATH": source},
            timeout=PATIENCE,
        )
        return Said(done.returncode, done.stdout.replace("\r\n", "\n"), done.stderr)

    def write(self, name: str, text: str) -> str:
        """A configuration file; returns its path."""
        return str(self.real.write(name, self.real.configured(text.replace("FOLDER", str(self.folder)))))


@pytest.fixture(scope="module")
def programs(real_exim: RealExim) -> Programs:
    real_exim.write("aliases", "team: ann, bob\ngone: :fail: gone away\n")
    real_exim.write("message", MESSAGE)
    found = Programs(real_exim, real_exim.folder)
    found.write("exim.conf", HEAD + BODY)
    return found


def printed(said: Said) -> dict[str, str]:
    """The lines of -bP by the names of their options."""
    return {re.sub(r"^no_| ?=.*", "", line): line for line in said.out.splitlines() if line}


def sample(row: Option) -> str:
    """A setting of an option that is not its default."""
    if row.name in OWN_SAMPLES:
        return f"{row.name} = {OWN_SAMPLES[row.name]}"
    if row.kind.name == "boolean":
        return f"no_{row.name}" if row.default else row.name
    text = SAMPLES.get(row.kind.name, "192.0.2.1 : b.test" if "list" in row.kind.name else "some text")
    return f"{row.name} = {text}"


def test_every_main_option(programs: Programs) -> None:
    """With its default, and with another value."""
    kept = {line.partition(" ")[0] for line in HEAD.splitlines()} | {"qualify_domain", "qualify_recipient"}
    kept |= {"openssl_options"}  # an Exim that is built with GnuTLS refuses it
    plain = programs.write("plain.conf", HEAD)
    rows = [row for row in options.rows("main") if row.name not in kept]
    full = programs.write("full.conf", HEAD + "".join(f"{sample(row)}\n" for row in rows))
    for file, other in ((plain, set(DEFAULTS)), (full, set())):
        theirs, ours = printed(programs.exim("-C", file, "-bP")), printed(programs.ours("-C", file, "-bP"))
        differing = {
            name: (line, theirs.get(name)) for name, line in ours.items() if theirs.get(name) != line
        }
        assert {name: lines for name, lines in differing.items() if name not in other} == {}
        assert len(ours) == len(options.rows("main"))
        # what Exim has and we do not print, we do not know
        assert not [name for name in theirs if name not in ours and options.find("main", name) is not None]


def test_drivers(programs: Programs) -> None:
    words = (
        "-C",
        "exim.conf",
        "-bP",
        "routers",
        "transports",
        "authenticators",
        "router_list",
        "macro",
        "MACRO",
    )
    theirs, ours = programs.exim(*words), programs.ours(*words)
    assert theirs.status == ours.status == 0
    lines = theirs.out.splitlines()
    missing = [line for line in ours.out.splitlines() if line not in lines]
    assert [line for line in missing if re.sub(r"^no_| ?=.*", "", line) not in DEFAULTS] == []
    heads = [line for line in lines if line.endswith(":") or ("=" not in line and "_" not in line)]
    assert [line for line in heads if line in ours.out.splitlines()]
    for head in ("aliases router:", "boxes transport:", "plain authenticator:"):
        assert head in ours.out and head in theirs.out


def test_the_file_as_it_was_read(programs: Programs) -> None:
    words = ("-C", "exim.conf", "-bP", "config")
    assert programs.ours(*words).out == programs.exim(*words).out


@pytest.mark.parametrize(
    "words",
    [
        "+local_domains +relays message_size_limit callout_negative_expire sqlite_dbfile nosuch",
        "-n router people",
        "queue_only router none",
        "+none",
    ],
)
def test_names(
    programs: Programs,
    words: str,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = ["-n"] if words.startswith("-n ") else []
    command = ("-C", "exim.conf", *flags, "-bP", *words.removeprefix("-n ").split())
    theirs = programs.exim(*command)
    monkeypatch.chdir(programs.folder)
    status = main(command)  # in this process: that is quicker
    ours = capsysbinary.readouterr().out.decode("latin-1")
    assert status == theirs.status
    if flags:
        assert set(ours.splitlines()) <= set(theirs.out.splitlines())
    else:
        assert ours == theirs.out


def test_expansions(programs: Programs) -> None:
    text = TRANSCRIPT.replace("FOLDER", str(programs.folder))
    words = ("-C", "exim.conf", "-be")
    theirs = programs.exim(*words, text=text)
    (programs.folder / "spool/db").unlink()
    ours = programs.ours(*words, text=text)
    assert ours.out.split("\n> ") == theirs.out.split("\n> ")
    assert ours.status == theirs.status == 0


def test_sockets(programs: Programs) -> None:
    """A server that says what it heard, at a Unix socket and at a port of this machine."""

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"heard " + self.rfile.read() + b".\nmore\n")

    path = programs.folder / "socket"
    servers = [
        socketserver.ThreadingUnixStreamServer(str(path), Echo),
        socketserver.ThreadingTCPServer(("127.0.0.9", 0), Echo),
    ]
    path.chmod(0o777)
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        text = "".join(
            f"${{readsocket{{{where}}}{{hi}}{options}}}\n"
            for where in (path, f"inet:127.0.0.9:{servers[1].server_address[1]}")
            for options in ("", "{3s}", "{3s}{|}", "{3s}{|}{no answer}")
        )
        text += "${readsocket{/nosuch}{x}}\n${readsocket{/none}{x}{3s}{|}{no answer}}\n"
        words = ("-C", "exim.conf", "-be")
        assert programs.ours(*words, text=text).out == programs.exim(*words, text=text).out
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_a_message(programs: Programs) -> None:
    words = ("-C", "exim.conf", "-bem", str(programs.folder / "message"), OF_A_MESSAGE)
    assert programs.ours(*words).out == programs.exim(*words).out


def test_version(programs: Programs) -> None:
    """The same heads in the same order, and each driver that we name is one of theirs."""
    words = ("-C", "exim.conf", "-bV")
    theirs, ours = programs.exim(*words), programs.ours(*words)
    lines = [line for line in ours.out.splitlines() if ": " in line]
    known = dict(line.split(": ", 1) for line in theirs.out.splitlines() if ": " in line)
    assert [head for head in known if head in dict(line.split(": ", 1) for line in lines)] == [
        line.split(": ")[0] for line in lines
    ]
    for line in lines[1:]:
        head, words_ = line.split(": ")
        assert {word.partition("/")[0] for word in words_.split()} <= {
            word.partition("/")[0] for word in known[head].split()
        }
    assert ours.out.splitlines()[-1] == theirs.out.splitlines()[-1] == "Configuration file is exim.conf"


@pytest.mark.parametrize("mode", ["-bt", "-bv"])
def test_addresses(programs: Programs, mode: str) -> None:
    words = ("-C", "exim.conf", "-f", "a@b", mode)
    text = (
        "ann@here.test\nteam@here.test\n\ngone@here.test, x@far.test\na b\n<bob@here.test>\nx@nowhere.test\n"
    )
    theirs, ours = programs.exim(*words, text=text), programs.ours(*words, text=text)
    assert ours.out == theirs.out
    assert ours.status == theirs.status == 2


def test_a_session(programs: Programs) -> None:
    def without_names(text: str) -> str:
        text = re.sub(r"(?m)^220 .*", "220 banner", text)
        return re.sub(r"id=\S+", "id=ID", text)

    words = ("-C", "exim.conf", "-bh", "192.0.2.9.4711")
    theirs, ours = programs.exim(*words, text=DIALOGUE), programs.ours(*words, text=DIALOGUE)
    assert without_names(ours.out) == without_names(theirs.out)
    assert ours.status == theirs.status

    def logged(said: Said) -> list[str]:
        return [line for line in said.err.splitlines() if line.startswith("LOG: H=")]

    assert [line for line in logged(ours) if "RCPT" in line] == [
        line for line in logged(theirs) if "RCPT" in line
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["-bz"], ["-b"], ["--nosuch"], ["-C"], ["-bem"], ["-bh"], ["-Dfoo=1", "-bV"], ["-D", "-bV"], ["-DA-", "-bV"],
        ["-DA=1", "-DA=2", "-bV"], ["-bP", "-bt", "x"], ["-bt", "-bv", "x"], [], ["--help"],
    ],
)  # fmt: skip
def test_command_lines_that_are_refused(programs: Programs, words: list[str]) -> None:
    theirs = programs.exim(*words)
    with pytest.raises(Refused) as refused:
        read_command_line(words)
    assert theirs.status == 1
    assert str(refused.value) == theirs.err.strip()


@pytest.mark.parametrize(
    "text",
    [
        "primary_hostname = a\nnosuch = 5\n",
        "\n\nqueue_only = maybe\n",
        "begin acl\nx:\n  frob\n",
        "begin routers\nr:\n  driver = accept\n  nosuch = 5\n",
        ".ifdef X\n",
    ],
)
def test_configuration_errors(programs: Programs, text: str) -> None:
    """The line is the same, and so is where it is told."""
    file = programs.write("bad.conf", text)
    theirs = programs.exim("-C", file, "-be", "x")
    with pytest.raises(CannotStart) as problem:
        asyncio.run(Machine.start(read_command_line(["-C", file, "-be", "x"])))
    (place,) = re.findall(r"Exim configuration error in line \d+ of \S+:", theirs.err)
    assert str(problem.value).splitlines()[0] == place
    assert theirs.status == 1

"""The real Exim as judge of what the other oracles do not hold: dialogues, envelopes, settings, retry rules, messages.

HOW        a copy of the installed Exim that is not setuid, in a folder of its own, as an ordinary user; no daemon,
           no port, no DNS: exim -bh (a dialogue), -bP (settings), -brt (retry rules), -bs (a message for a mailbox of
           that folder). Dialogues of ours are labkit-exim -bh: the session of a host that runs.
WHO        never root: a test process of root runs it as the user oracle or lab, or skips.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from unittest.mock import patch

import pytest

from labkit.cli.exim import main
from labkit.delivery.transports import AppendPlan, planning
from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.options import read_setting
from labkit.eximconf.reader import ConfigurationError, Place, Setting, sections, setting
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_by, answer_from
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message
from labkit.mta.compiled import compile_configuration
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient, failure_report
from labkit.queue.retry_test import shown_retry
from labkit.queue.schedule import read_rules
from labkit.routing import compile_routers
from labkit.smtp.trace_fields import received_field

from .real_exim import RealExim

PLACE = Place("exim.conf", 1)
CLIENT = "203.0.113.9"
HERE = Here("mx.here.test", ("203.0.113.1",))

# What only the real Exim needs to run like this, and what it would offer that labkit does not.
PRELUDE = """\
exim_path = {folder}/exim
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
local_interfaces = <; [203.0.113.1]
keep_environment =
check_spool_space = 0
check_spool_inodes = 0
tls_advertise_hosts =
chunking_advertise_hosts =
dsn_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
.ifdef _HAVE_PRDR
prdr_enable = false
.endif
.ifdef _HAVE_I18N
smtputf8_advertise_hosts =
.endif
.ifdef _HAVE_PIPE_CONNECT
pipelining_connect_advertise_hosts =
.endif
.ifdef _OPT_MAIN_LIMITS_ADVERTISE_HOSTS
limits_advertise_hosts =
.endif
"""
MAIN = """\
primary_hostname = mx.here.test
domainlist local_domains = here.test : *.here.test
hostlist relay_from_hosts = 198.51.100.0/24
acl_smtp_rcpt = check_rcpt
"""
ACL = """\
begin acl
check_rcpt:
  accept  hosts   = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains
  require verify  = recipient
  accept
"""
ROUTERS = """\
begin routers
mailboxes:
  driver = accept
  domains = +local_domains
  local_parts = bob : ann : postmaster
  transport = box
words:
  driver = accept
  local_parts = nobody-is-called-so
  transport = box
  cannot_route_message = Unrouteable address
begin transports
box:
  driver = appendfile
  file = /folder/mail/$local_part_data
  return_path_add
  envelope_to_add
  delivery_date_add
"""
USUAL = MAIN + ACL + ROUTERS


@dataclass
class Exim:
    """The real one, in its folder."""

    real: RealExim

    def run(self, configuration: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it once with this configuration (PRELUDE above it)."""
        return self.real.run("-C", self.write(configuration), *arguments, stdin=stdin)

    def write(self, configuration: str) -> str:
        return str(self.real.write("exim.conf", self.real.configured(PRELUDE) + configuration))

    def dialogue(self, configuration: str, stdin: str) -> list[str]:
        return normal(self.run(configuration, "-bh", CLIENT, stdin=stdin).stdout)

    def ours(self, configuration: str, stdin: str) -> list[str]:
        """The same by labkit-exim, in this process: that is quicker."""
        typed, said = (io.TextIOWrapper(io.BytesIO(text)) for text in (stdin.encode("latin-1"), b""))
        with (
            patch.object(sys, "stdin", typed),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            assert main(["-C", self.write(configuration), "-bh", CLIENT]) == 0
        said.flush()
        return normal(said.buffer.getvalue().decode("latin-1").replace("\r\n", "\n"))  # type: ignore[attr-defined]

    def mailbox(self, name: str) -> Path:
        return self.real.folder / "mail" / name


@pytest.fixture(scope="module")
def exim(real_exim: RealExim) -> Exim:
    real_exim.make_folder("mail")
    return Exim(real_exim)


def normal(said: str) -> list[str]:
    """Only what may differ is made equal: the banner, queue ids, and what -bh itself says."""
    lines = [line for line in said.splitlines() if line and not line.startswith("****")]
    return [re.sub(r"OK id=\S+", "OK id=…", re.sub("^220 .*", "220 …", line)) for line in lines]


# --- dialogues --------------------------------------------------------------------------------

MAIL, RCPT = "MAIL FROM:<a@b.test>", "RCPT TO:<bob@here.test>"
DIALOGUES: dict[str, list[str]] = {
    "a message": ["EHLO x", MAIL, RCPT, "DATA", "Subject: x", "", "..", ".", "QUIT"],
    "by HELO": ["HELO x", MAIL, RCPT, "DATA", ".", "QUIT"],
    "two messages": ["EHLO x", MAIL, RCPT, "DATA", "x", ".", MAIL, RCPT, "DATA", "y", ".", "QUIT"],
    "small letters": ["ehlo x", "mail from:<a@b.test>", "rcpt to:<bob@here.test>", "data", ".", "quit"],
    "blanks": ["EHLO x ", "MAIL FROM: <a@b.test> ", "RCPT TO: <bob@here.test>  ", "RSET ", "QUIT "],
    "names": ["EHLO", "HELO", "EHLO a_b", "EHLO [203.0.113.9]", "QUIT"],
    "more names": ["HELO a b", "HELO x.test", "HELO x!", "QUIT"],
    "order": [MAIL, "EHLO x", "DATA", RCPT, "QUIT"],
    "more order": ["EHLO x", MAIL, MAIL, "DATA", RCPT, MAIL, "QUIT"],
    "RSET and EHLO forget": ["EHLO x", MAIL, RCPT, "RSET", RCPT, MAIL, RCPT, "EHLO y", RCPT, "QUIT"],
    "recipients": [
        "EHLO x",
        MAIL,
        RCPT,
        "RCPT TO:<nobody@here.test>",
        "RCPT TO:<bob@sub.here.test>",
        "RCPT TO:<bob@else.test>",
        "RCPT TO:<BOB@HERE.test>",
        "RCPT TO:<bob@nothere.test>",
        "QUIT",
    ],
    "postmaster": [
        "EHLO x",
        MAIL,
        "RCPT TO:<postmaster>",
        "RCPT TO:<Bob>",
        "RCPT TO:<postmaster@here.test>",
        "QUIT",
    ],
    "all refused, one reason": [
        "EHLO x",
        MAIL,
        "RCPT TO:<x@here.test>",
        "RCPT TO:<y@here.test>",
        "DATA",
        "QUIT",
    ],
    "all refused, two reasons": [
        "EHLO x",
        MAIL,
        "RCPT TO:<x@here.test>",
        "RCPT TO:<y@else.test>",
        "DATA",
        "QUIT",
    ],
    "one of two": ["EHLO x", MAIL, "RCPT TO:<x@here.test>", RCPT, "DATA", "x", ".", "QUIT"],
    "null sender": ["EHLO x", "MAIL FROM:<>", RCPT, "DATA", "x", ".", "QUIT"],
    "unknown commands": ["EHLO x", "FOO", "GET / HTTP/1.1", "MAIL", "HELLO y"],
    "syntax errors": ["EHLO x", "MAIL FROM:<a", "MAIL FROM:", "MAIL FROM:<a@b..c>", "MAIL FROM:<a@>"],
    "not offered": ["EHLO x", "STARTTLS", "AUTH PLAIN x", "BDAT 3 LAST", "QUIT"],
    "NOOP, VRFY, EXPN": ["EHLO x", "NOOP", "NOOP x", "VRFY bob@here.test", "EXPN bob", "QUIT"],
    "eleven NOOPs": ["EHLO x", *["NOOP"] * 11],
    "arguments": ["EHLO x", "RSET x", "DATA x", "QUIT x", "QUIT"],
    "size": ["EHLO x", "MAIL FROM:<a@b.test> SIZE=99999999999", "MAIL FROM:<a@b.test> SIZE=100", "QUIT"],
    "body": [
        "EHLO x",
        "MAIL FROM:<a@b.test> BODY=8BITMIME",
        "RSET",
        "MAIL FROM:<a@b.test> body=7bit",
        "QUIT",
    ],
    "no such body": ["EHLO x", "MAIL FROM:<a@b.test> BODY=BINARYMIME", "QUIT"],
    "nothing at all": ["QUIT"],
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(exim: Exim, name: str) -> None:
    stdin = "".join(f"{line}\r\n" for line in DIALOGUES[name])
    assert exim.ours(USUAL, stdin) == exim.dialogue(USUAL, stdin)


# --- addresses --------------------------------------------------------------------------------

LENIENT = "smtp_max_synprot_errors = 1000\nsmtp_accept_max_nonmail = 1000\n"
OPERANDS = [
    *"""<a@b> a@b <a> a <> < <a@b a@b> <a@b_c.test> <a@-b.test> <a@b.> <a@.b> <a@b..c> <a..b@c> <.a@c> <a.@c>
    <"a\\"b"@c> <""@c> <"a"b@c> <@x:a@b> <@x,@y:a@b> <@x:> <a@[1.2.3.4]> <a@[> <a@> <@b> <a@b@c> <a%b@c>
    <a!b@c> <a/b@c> <a,b@c> <a;b@c> <a:b@c> <a@b>; <<a@b>> <a@b,c@d> <"a@b> <a@b.c-d> <A@B.C> <a@1.2.3.4>
    <postmaster> <a@b.test>> <a@b#c> <a#b@c> <a@xn--bcher-kva.test>""".split(),
    '<"a b"@c>',
    "<a@b.test> SIZE=3",
    "  <a@b.test>",
    "<" + "a" * 300 + "@b>",
    "<a@" + "b" * 300 + ">",
    "<" + "a" * 64 + "@b>",
]


def test_senders(exim: Exim) -> None:
    lines = [line for operand in OPERANDS for line in (f"MAIL FROM:{operand}", "RSET")]
    stdin = "".join(f"{line}\r\n" for line in ("EHLO x", *lines, "QUIT"))
    theirs, ours = exim.dialogue(LENIENT + USUAL, stdin), exim.ours(LENIENT + USUAL, stdin)
    hello = theirs.index("250 HELP") + 1
    assert dict(zip(lines, ours[hello:])) == dict(zip(lines, theirs[hello:]))
    assert ours == theirs


@pytest.mark.parametrize(
    "operand, theirs, ours, because",
    [
        ("<a(x)@b>", 250, 501, "comments in an envelope are RFC 822's, not SMTP's"),
        ('<"a".b@c>', 250, 501, "a mixture of quoted and plain words: obsolete"),
        ("<a\\@x@b>", 250, 501, "a backslash outside quotes: obsolete"),
        ("< a@b >", 250, 501, "blanks inside"),
        ("Ann <a@b>", 250, 501, "a display name"),
        ("<a@b->", 250, 501, "RFC 1035 §2.3.1: a label ends with a letter or digit"),
    ],
)
def test_where_we_are_stricter(exim: Exim, operand: str, theirs: int, ours: int, because: str) -> None:
    stdin = f"EHLO x\r\nMAIL FROM:{operand}\r\nQUIT\r\n"
    codes = [int(said(USUAL, stdin)[-2][:3]) for said in (exim.dialogue, exim.ours)]
    assert codes == [theirs, ours], because


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "acl_smtp_rcpt = check_rcpt",
        "  acl_smtp_rcpt=check_rcpt  ",
        "hide acl_smtp_rcpt = a b",
        "acl_smtp_rcpt = a # b",
        'acl_smtp_rcpt = " a "',
        'acl_smtp_rcpt = "a\\"b\\\\c\\x41\\101\\418\\q"',
        "acl_smtp_rcpt = 'a'",
        'acl_smtp_rcpt = a"b"',
        "acl_smtp_rcpt = a \\\n   b",
        "acl_smtp_rcpt = a \\\n# comment\n   b",
        "acl_smtp_rcpt = a \\\n\nqualify_domain = x",
        "acl_smtp_rcpt = a \\\n .test",
        "# comment \\\nacl_smtp_rcpt = a",
        "\\\n\nacl_smtp_rcpt = a",
        "acl_smtp_rcpt = a\\\\\nb",
        "acl_smtp_rcpt =",
        "acl_smtp_rcpt = a\r",
    ],
)
def test_lines_are_read_alike(exim: Exim, lines: str) -> None:
    shown = exim.run(f"{lines}\n", "-bP", "acl_smtp_rcpt").stdout
    written = [setting(line) for section in sections(lines, "exim.conf") for line in section.lines]
    ours = next(each.value for each in written if each.name == "acl_smtp_rcpt") or ""
    assert shown == f"acl_smtp_rcpt = {ours}\n"


@pytest.mark.parametrize(
    "text", ["90m : 4h: 1d", "0s", "0s:1h", "1h:2h:3h:4h:5h:6h:7h:8h:9h:10h", "", " 5s", "1h0s", "2m90s:3h"]
)
def test_delay_warnings(exim: Exim, text: str) -> None:
    shown = exim.run(f"delay_warning = {text}\n", "-bP", "delay_warning").stdout
    row, times = read_setting("main", Setting("delay_warning", text.strip(), PLACE), {})
    assert row.kind.shown is not None
    assert shown == f"delay_warning = {row.kind.shown(times)}\n"


@pytest.mark.parametrize(
    "configuration",
    [
        "nosuch = 1",
        "recipients_max = 1\nrecipients_max = 2",
        "recipients_max = x",
        "recipients_max = 4G",
        "delay_warning = some text",
        "delay_warning = 2h:1h",
        "delay_warning = 1h:60m",
        "delay_warning = 1h::2h",
        "delay_warning = 1h:",
        "delay_warning = <; 1h; 2h",
        "delay_warning = 1h:2h:3h:4h:5h:6h:7h:8h:9h:10h:11h",
        "smtp_receive_timeout = 90",
        "smtp_enforce_sync = maybe",
        "no_smtp_enforce_sync = true",
        "a b",
        'acl_smtp_rcpt = "a',
        'acl_smtp_rcpt = "a" # b',
        "domainlist a = x\ndomainlist a = y",
        "\n\nbegin nothing",
        "begin acl\nbegin acl",
        "begin acl\naccept",
        "begin acl\nx:\nx:\n accept",
        "begin acl\nx:\n acept hosts = *",
        "begin acl\nx:\n accept\n colour = red",
        "begin acl\nx:\n accept\n acept hosts = *",
        "begin acl\nx:\n deny message",
        "begin acl\nx:\n deny !message = no",
        "begin routers\n driver = accept",
        "begin routers\nr:\n driver = nosuch",
        "begin routers\nr:\n driver = accept\n nosuch = 1",
        "begin transports\nt:\n driver = smtp\nt:\n driver = smtp",
        "begin retry\n* *x F,1h,1m",
        "begin retry\n* * F,1h,15",
        "begin retry\n* * G,1h,1m,0.5",
        "begin retry\n* * X,1h,1m",
        "begin retry\n* * F,0s,1m",
    ],
)
def test_refused_alike(exim: Exim, configuration: str) -> None:
    """Both refuse; and where Exim names a line, ours is no other."""
    theirs = exim.run(configuration + "\n", "-bP", "primary_hostname")
    assert theirs.returncode != 0
    with pytest.raises(ConfigurationError) as caught:
        compile_configuration(read(configuration + "\n"), "mx.here.test", ())
    if found := re.search(r"Exim configuration error in line (\d+)", theirs.stderr):
        above = PRELUDE.count("\n")
        assert int(found[1]) - above in (caught.value.place.line, configuration.count("\n") + 2), (
            theirs.stderr
        )


# --- retry rules ------------------------------------------------------------------------------

RETRY = [
    "ann@b.test *  F,1h,1m",
    "*@c.test *  F,2h,2m; G,16h,1h,1.5;",
    "*-request@d.test  *  H,3h,3m,2",
    "*.b.test  *  F,4h,4m",
    "B.test  *  F,5h,5m",
    "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h",
]


RETRY_CASES = [
    "ann@b.test", "bob@b.test", "x@c.test", "list-request@d.test", "list@d.test", "x@y.b.test", "x@z.test", "a@C.test",
    "one", "mx.b.test", "c.test b.test", "z.test y.b.test refused", "", "e.test refused", "e.test refused_MX",
    "e.test refused_A", "e.test timeout", "e.test timeout_connect", "e.test timeout_connect_MX", "e.test timeout_A",
    "e.test rcpt_4xx", "e.test rcpt_45x", "e.test rcpt_451", "e.test rcpt_421", "e.test mail_4xx", "e.test data_452",
    "e.test quota", "e.test quota_4d", "e.test auth_failed", "e.test lost_connection", "e.test tls_required",
    "e.test lookup", "e.test lost", "e.test nonsense", "e.test refused_X", "e.test rcpt_4y", "e.test timeout_x",
    "e.test quota_x", "ann@quoted.test", "ann@regex.test", "x@inlist.test", "x@[203.0.113.9]", "x@no.test", "no.test",
    "ann@people.test", "bob@people.test",
]  # fmt: skip
RETRY_LISTS = "domainlist listed = inlist.test : other.test\naddresslist people = ann@people.test\n"
RETRY_ERRORS = [
    'e.test  refused_A  F,1h,1m', "e.test refused F,1h,2m", "e.test timeout_connect_A F,1h,3m",
    "e.test timeout_connect F,1h,4m", "e.test timeout_MX F,1h,5m", "e.test timeout F,1h,6m", "e.test rcpt_451 F,1h,7m",
    "e.test rcpt_45x F,1h,8m", "e.test rcpt_4xx F,1h,9m", "e.test mail_4xx F,1h,10m", "e.test data_4xx F,1h,11m",
    "e.test quota_3d F,1h,12m", "e.test quota F,1h,13m", "e.test auth_failed F,1h,14m",
    "e.test lost_connection G,1h,15m,1.25", "e.test tls_required G,1h,16m,2", "e.test lookup G,1d,17m,3.125",
    '"quoted.test" * senders = "a@b.test : c.test" F,1h,18m', '"quoted.test : *@other.test" * F,1h,19m',
    "^ann@regex\\.te * F,2w3d,1h30m", "*@+listed * F,1h,20m", "+people * F,1h,22m", "no.test *",
    '"! *.test : *.test" * F,1h,21m',
]  # fmt: skip


@pytest.mark.parametrize("words", RETRY_CASES)
@pytest.mark.parametrize("count", [0, 5, 6])
def test_retry_rules(exim: Exim, words: str, count: int) -> None:
    lines = [*RETRY_ERRORS, *RETRY[:count]] if count != 5 else RETRY[:5]
    section = RETRY_LISTS + "begin retry\n" + "".join(f"{line}\n" for line in lines)
    theirs = exim.run(section, "-brt", *words.split())
    ours = read(section)
    asking = shown_retry(read_rules(ours.retry, ours.lists), words.split(), Env(named=ours.lists))
    status, text = answer_by(no_answer, asking)
    assert (status, text) == (theirs.returncode, theirs.stdout)


def no_answer(question: object) -> object:
    raise AssertionError(f"nothing asks: {question}")


@pytest.mark.parametrize(
    "line",
    ["*", "* *;", "* * F", "* * F,1h", "* * F,1h,1m,2", "* * G,1h,1m", "* * X,1h,1m", "* * F,1h,15", "* * F,0s,15m",
     "* * G,1h,1m,0.9", "* bad F,1h,1m", "* * senders F,1h,1m", "* * F ,1h,1m", "* * F,1h,1m G,1h,1m,2", "* *",
     "* * F, 1h, 1m", "* * f,1h,1m;;", "* rcpt_4x F,1h,1m", "* * G,1h,1m,1.2345"],
)  # fmt: skip
def test_retry_rules_that_are_refused(exim: Exim, line: str) -> None:
    section = f"begin retry\n{line}\n"
    theirs = exim.run(section, "-brt", "b.test")
    try:
        read_rules(read(section).retry)
    except ConfigurationError:
        assert theirs.returncode != 0, theirs.stdout
    else:
        assert theirs.returncode == 0, theirs.stderr


# --- messages ---------------------------------------------------------------------------------

AT = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)
DATE = r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000"


def timeless(octets: bytes) -> str:
    """Without what no two runs share."""
    text = octets.decode("latin-1").replace("\r\n", "\n")
    text = re.sub(r"[\w-]+-eximdsn-[\w-]+", "BOUNDARY", re.sub(DATE, "DATE", text))
    text = re.sub(r" \(ident=\w+\)", "", re.sub(r" ident=\w+\)", ")", text))  # of who runs exim -bs
    return re.sub("[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}", "QUEUE-ID", text)


@pytest.mark.parametrize(
    "helo, sender, recipients",
    [
        ("EHLO client.test", "ann@a.test", ["bob@here.test"]),
        ("HELO client.test", "ann@a.test", ["bob@here.test", "bob@here.test"]),
        ("EHLO [203.0.113.9]", "", ["Bob@HERE.test"]),
        ("EHLO client.test", '"a b"@a.test', ["bob@sub.here.test"]),
    ],
)
def test_what_is_written_into_a_mailbox(exim: Exim, helo: str, sender: str, recipients: list[str]) -> None:
    exim.mailbox("bob").unlink(missing_ok=True)
    content = b"Subject: x\r\n\tfolded\r\n\r\nhello\r\n.. two dots\r\n"
    lines = [helo, f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in recipients), "DATA"]
    stdin = (
        "".join(f"{line}\r\n" for line in lines)
        + content.decode().replace("\r\n..", "\r\n...")
        + ".\r\nQUIT\r\n"
    )
    done = exim.run(USUAL, "-odi", "-bs", "-oMa", CLIENT, stdin=stdin)
    assert "250 OK id=" in done.stdout, done.stdout
    envelope = Envelope.of(sender, *recipients)
    trace = received_field(
        client_address=CLIENT,
        helo_name=helo.partition(" ")[2],
        by="mx.here.test",
        software=re.findall(r"ESMTP (Exim \S+)", done.stdout)[0],
        protocol="esmtp" if helo.startswith("EHLO") else "smtp",
        envelope=envelope,
        queue_id="1xTEST-000001-00",
        at=AT,
    )
    configuration = read(USUAL)
    env = Env({"primary_hostname": HERE.primary_hostname}, HERE)
    routed = answer_from({}, compile_routers(configuration).route(envelope.forward_paths[0], env))
    (route,) = routed.routes
    assert route.transport == "box"
    asking = planning(
        configuration.transports[route.transport],
        Message.parse(content).prepend(trace),
        envelope.reverse_path,
        envelope.forward_paths,
        Env({**env.variables, **route.values}, HERE),
        AT,
    )
    made = answer_from({}, asking)
    assert isinstance(made, AppendPlan)
    from_line, _, stored = exim.mailbox("bob").read_bytes().partition(b"\n")
    assert from_line.startswith(f"From {sender or 'MAILER-DAEMON'} ".encode())
    assert timeless(stored) == timeless(made.content) + "\n"


WORDS = "host mx.c.test said after a long time of thinking about it: 550 no such user: sorry"


def test_a_delivery_report(exim: Exim) -> None:
    exim.mailbox("ann").unlink(missing_ok=True)
    failing = f"begin routers\nfails:\n driver = redirect\n local_parts = eve\n allow_fail\n data = :fail: {WORDS}\n"
    message = "Message-ID: <1@a.test>\nSubject: x\n\nhello\n"
    recipients = ["nobody@here.test", "eve@here.test", "gone@else.test"]
    exim.run(
        USUAL.replace("begin routers\n", failing),
        "-odi",
        "-f",
        "ann@here.test",
        *recipients,
        stdin=f"From: ann\n{message}",
    )
    theirs = Message.parse(exim.mailbox("ann").read_bytes().partition(b"\n")[2].replace(b"\n", b"\r\n"))
    order = sorted(recipients, key=(theirs.first("X-Failed-Recipients") or "").index)  # that of its queue
    ours = Message.parse(
        failure_report(
            QueueItem(
                "1xTEST-000001-00", Envelope.of("ann@here.test"), message.replace("\n", "\r\n").encode(), AT
            ),
            [
                FailedRecipient(
                    Mailbox.parse(each), WORDS if each.startswith("eve") else "Unrouteable address"
                )
                for each in order
            ],
            queue_id="1xTEST-000002-00",
            host="mx.here.test",
            qualify_domain="mx.here.test",
            now=AT,
        )
    )
    added = ("Return-path", "Envelope-to", "Delivery-date", "Received")
    kept = [field for field in theirs.header_fields if field.name not in added]
    assert [field.name for field in ours.header_fields] == [field.name for field in kept]
    for mine, other in zip(ours.header_fields, kept):
        assert timeless(mine.raw).replace('"', "") == timeless(other.raw)
    blocks = r"\n\n|\n(?=  \S)"  # Exim's order in the body is its own
    ours_in_body, theirs_in_body = (
        sorted(re.split(blocks, timeless(each.body).partition("Content-type: message/rfc822")[0]))
        for each in (ours, theirs)
    )
    assert ours_in_body == theirs_in_body

"""`labkit-exim`: what it prints, where, and how it exits. tests/oracles/test_command_agrees.py asks the real Exim."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.cli.exim import main
from labkit.cli.exim.command import Selection, Told
from labkit.cli.exim.command_line import Command, Mode, Refused, Usage, read_command_line, split_host
from labkit.cli.exim.printing import HIDDEN, collapsed
from labkit.eximconf import options
from labkit.smtp.transcript import printed

ID = "1xVGdp-0000LT-0M"
CONFIGURATION = """\
primary_hostname = mx.here.test
qualify_domain = here.test
local_interfaces = <; [203.0.113.1]:25
keep_environment = LABKIT_TEST : ^LABKIT_RE
add_environment = ADDED=here
SECRET = xyzzy
hide sqlite_dbfile = /private/SECRET
never_users = root
smtp_accept_max = 2K
bounce_return_size_limit = 2048K
check_spool_space = 3M
message_size_limit =   20M
domainlist local_domains = here.test :   *.here.test
hide hostlist relays = 192.0.2.1
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny    local_parts = ^bad
          message = no bad ones
  accept  domains = +local_domains
          verify = recipient
  deny    message = relay not permitted
told:
  accept  message = told $acl_arg1
begin routers
aliases:
  driver = redirect
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{ALIASES}}
people:
  driver = accept
  domains = +local_domains
  local_parts = ann : bob
  condition = a
  condition = b
  headers_add = X: 1
  headers_add = Y: 2
  transport = boxes
begin transports
boxes:
  driver = appendfile
  file = /var/mail/$local_part_data
  mode = 0640
  user = root
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "aliases").write_text("team: ann, bob\nloop: nobody\n")
    path = tmp_path / "exim.conf"
    admin = f"never_users = root\nexim_user = {os.getuid()}\n"  # who may see what is hidden
    text = CONFIGURATION.replace("never_users = root\n", admin).replace("ALIASES", str(tmp_path / "aliases"))
    path.write_text(text)
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(file: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("LABNET", "LABADDR", "LABNAME", "LABUSER"):
        monkeypatch.delenv(name, raising=False)

    def running(*words: str, text: str = "", with_file: bool = True) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode("latin-1"))))
        status = main([*(("-C", str(file)) if with_file else ()), *words])
        out, err = capsysbinary.readouterr()
        return status, out.decode("latin-1").replace("\r\n", "\n"), err.decode("latin-1")

    return running


def run_of(**details: Any) -> Command:
    return Command(Mode.RUN_QUEUE, interval=0, selection=Selection(**details))


# --- the command line -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, expected",
    [
        ("-C f -bP a b", Command(Mode.PRINT, "f", arguments=["a", "b"])),
        ("-Cf -be -- -x", Command(Mode.EXPAND, "f", arguments=["-x"])),
        ("-DA=1 -DB -be", Command(Mode.EXPAND, macros={"A": "1", "B": ""})),
        ("-bem m", Command(Mode.EXPAND, message="m")),
        ("-n -bP x", Command(Mode.PRINT, arguments=["x"], values_only=True)),
        ("-bh 192.0.2.1.99", Command(Mode.HOST, host="192.0.2.1.99")),
        ("-bhc ::1", Command(Mode.HOST, host="::1", callouts=True)),
        ("-bv a", Command(Mode.VERIFY, arguments=["a"])),
        ("-bvs a", Command(Mode.VERIFY_SENDER, arguments=["a"])),
        ("-v -bt -d+route a", Command(Mode.TEST, arguments=["a"], traces=True, is_verbose=True)),
        ("-bt -dd+all-route a", Command(Mode.TEST, arguments=["a"])),
        ("-bt -d-all+acl+route a", Command(Mode.TEST, arguments=["a"], traces=True)),
        ("-bt -d-acl a", Command(Mode.TEST, arguments=["a"], traces=True)),
        ("-f x@y -bt a -bv", Command(Mode.TEST, arguments=["a", "-bv"], sender="x@y")),
        ("-fx@y -bt a", Command(Mode.TEST, arguments=["a"], sender="x@y")),
        ("-h 5 -Ac -om -bt a", Command(Mode.TEST, arguments=["a"])),
        ("--version", Command(shows_version=True)),
        ("-bV", Command(shows_version=True)),
        ("-bt -", Command(Mode.TEST, arguments=["-"])),
        ("ann@here.test", Command(Mode.MESSAGE, arguments=["ann@here.test"])),
        ("-ti -odq", Command(Mode.MESSAGE, reads_recipients=True, dot_ends=False, delivery="q")),
        ("-bm -odf -oeq a", Command(Mode.MESSAGE, arguments=["a"], delivery="i", errors="q")),
        ("-i -F Ann a", Command(Mode.MESSAGE, arguments=["a"], dot_ends=False, full_name="Ann")),
        ("-bd -q1h30m", Command(Mode.DAEMON, listens=True, interval=5400, selection=Selection())),
        ("-q 5m", Command(Mode.DAEMON, interval=300, selection=Selection())),
        ("-bdf -oX 2525", Command(Mode.DAEMON, listens=True, in_foreground=True, interfaces="2525")),
        ("-bd -oP f", Command(Mode.DAEMON, listens=True, pid_file="f")),
        ("-qqff", run_of(two_stages=True, forced=True, thaws=True)),
        (f"-q {ID} {ID}", run_of(first_id=ID, last_id=ID)),
        ("-Rrff ^a -Sb", run_of(forced=True, thaws=True, part="^a", part_is_regex=True, sender_part="b")),
        (f"-Mf {ID} {ID}", Command(Mode.ACT, action="f", ids=[ID, ID])),
        (f"-v -M {ID}", Command(Mode.DELIVER, ids=[ID], is_verbose=True)),
        (f"-Mar {ID} a@b c@d", Command(Mode.ACT, action="ar", ids=[ID], arguments=["a@b", "c@d"])),
        (f"-Mvh {ID}", Command(Mode.SHOW, action="vh", ids=[ID])),
        ("-bpru", Command(Mode.LIST, listing="ru")),
        ("-oMa 192.0.2.1 a", Command(Mode.MESSAGE, arguments=["a"], told=Told(address="192.0.2.1"))),
    ],
)
def test_command_lines(words: str, expected: Command) -> None:
    command = read_command_line(words.split())
    assert command == expected
    assert Command.from_json(json.loads(json.dumps(command.to_json()))) == expected


@pytest.mark.parametrize(
    "program, expected",
    [
        ("/usr/bin/mailq", Command(Mode.LIST, called_as="-mailq")),
        ("newaliases", Command(Mode.BUILD, called_as="-newaliases")),
        ("runq", Command(Mode.RUN_QUEUE, interval=0, selection=Selection(), called_as="-runq")),
        ("rsmtp", Command(Mode.BATCH, called_as="-rsmtp")),
    ],
)
def test_other_names_of_the_program(program: str, expected: Command) -> None:
    assert read_command_line([], program) == expected


def test_the_name_sendmail_changes_nothing() -> None:
    assert read_command_line(["-bp"], "/usr/sbin/sendmail") == Command(Mode.LIST)


@pytest.mark.parametrize(
    "words, problem",
    [
        ("-bz", "exim abandoned: unknown, malformed, or incomplete option -bz"),
        ("-b", "exim abandoned: unknown, malformed, or incomplete option -b"),
        ("-bt -d+route-foo a", "exim: unknown debug_selector setting: -foo"),
        ("--nosuch", "exim abandoned: unknown, malformed, or incomplete option --nosuch"),
        ("-C", "exim abandoned: unknown, malformed, or incomplete option -C"),
        ("-bem", "exim abandoned: unknown, malformed, or incomplete option -bem"),
        ("-bh", "exim abandoned: unknown, malformed, or incomplete option -bh"),
        ("-bPx", "exim abandoned: unknown, malformed, or incomplete option -bPx"),
        ("-DA-B", "exim abandoned: unknown, malformed, or incomplete option -DA-B"),
        ("-bh foo", 'exim abandoned: "foo" is not an IP address'),
        ("-bh 1.2.3.4:25", 'exim abandoned: "1.2.3.4:25" is not an IP address'),
        ("-bh 1.2.3.999", 'exim abandoned: "1.2.3.999" is not an IP address'),
        ("-Dfoo=1", "exim: macro name set by -D must start with an upper case letter"),
        ("-D", "exim: macro name set by -D must start with an upper case letter"),
        ("-DA=1 -DA=2", "exim: duplicated -D in command line"),
        ("-bP -bt x", "exim: incompatible command-line options or arguments"),
        ("-bt -bv x", "exim: incompatible command-line options or arguments"),
        ("-be -bt x", "labkit-exim: one thing at a time: -be, -bt"),
        ("-bd ann@here.test", "exim: incompatible command-line options or arguments"),
        ("-bd -q", "exim: incompatible command-line options or arguments"),
        ("-bd -bp", "exim: incompatible command-line options or arguments"),
        ("-q15m -bt x", "exim: incompatible command-line options or arguments"),
        ("-bs -f a@b", "exim: incompatible command-line options or arguments"),
        ("-bt -t x", "exim: incompatible command-line options or arguments"),
        ("-q5m -q", "exim: -q specified more than once"),
        ("-q5x", "exim: bad time value -q5x: abandoned"),
        ("-q 5x", "exim: bad time value 5x: abandoned"),
        ("-qGother", "labkit-exim: -qG: labkit has one queue only; a real Exim can do it"),
        ("-R", "exim: string expected after -R"),
        ("-M", "exim: no message ids given after -M option"),
        ("-Mrm nonsense", "exim: malformed message id nonsense after -Mrm option"),
        ("-oMa", "exim: data expected after -oMa"),
        ("-oMx y", "exim abandoned: unknown, malformed, or incomplete option -oMx"),
    ],
)
def test_command_lines_that_are_refused(words: str, problem: str) -> None:
    with pytest.raises(Refused, match=f"^{re.escape(problem)}$"):
        read_command_line(words.split())


@pytest.mark.parametrize(
    "word",
    "-bF -bf -bnq -bw -bI:help -dropcr -L -MCA -Mset -MG -N -ps -tls-on-connect -Tqt -z".split(),
)
def test_options_of_exim_are_refused_by_name(word: str) -> None:
    with pytest.raises(Refused, match=f"^labkit-exim: {re.escape(word)} is not read by labkit yet"):
        read_command_line([word, "x"])


@pytest.mark.parametrize("words", [[], ["--help"], ["-C", "f"], ["-v"]])
def test_nothing_to_do(words: list[str]) -> None:
    with pytest.raises(Usage, match=r"^Exim is a Mail Transfer Agent"):
        read_command_line(words)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1.77", ("192.0.2.1", 77)),
        ("[192.0.2.1]:77", ("192.0.2.1", 77)),
        ("[192.0.2.1]", ("192.0.2.1", 0)),
        ("2001:db8::1", ("2001:0db8:0000:0000:0000:0000:0000:0001", 0)),
        ("2001:db8::1.25", ("2001:0db8:0000:0000:0000:0000:0000:0001", 25)),
        ("[::1]:25", ("0000:0000:0000:0000:0000:0000:0000:0001", 25)),
    ],
)
def test_hosts(text: str, expected: tuple[str, int]) -> None:
    assert split_host(text) == expected


def test_exit_statuses(run: Run) -> None:
    assert run("-bz", with_file=False)[0] == 1
    assert run(with_file=False)[0] == 1
    assert run("-be", "x") == (0, "x\n", "")


def test_no_configuration(run: Run) -> None:
    status, out, err = run("-be", "x", with_file=False)
    assert (status, out) == (1, "")
    assert err.startswith("labkit-exim: no configuration: name one with -C FILE\n")
    status, out, err = run("-C", "/nosuch:/none", "-be", "x", with_file=False)
    assert (status, out, err) == (1, "", "non-existent configuration file(s): /nosuch, /none\n")


def test_the_first_file_of_a_list(run: Run, file: Path) -> None:
    status, out, _ = run("-C", f"/nosuch : {file}", "-bP", "config_file", with_file=False)
    assert (status, out) == (0, f"{file}\n")


def test_a_folder_is_no_configuration(run: Run, tmp_path: Path) -> None:
    status, _, err = run("-C", str(tmp_path), "-bV", with_file=False)
    assert (status, err) == (1, f"labkit-exim: failed to open {tmp_path}: Is a directory\n")


@pytest.mark.parametrize(
    "text, line, problem",
    [
        (b"primary_hostname = a\nnosuch = 5\n", 2, 'main option "nosuch" unknown'),
        (b"\nqueue_only = maybe\n", 2, '"maybe" is not a valid value'),
        (b"begin acl\nx:\n  frob\n", 3, "unknown ACL verb"),
        (b"primary_hostname = a\n\n# \xff\n", 3, "an octet that is not UTF-8"),
        (b"sqlite_dbfile = ${run{x}}\nsmtp_banner = ${run{x}}\n", 2, "${run{ is not read by labkit yet"),
    ],
)
def test_configuration_errors(run: Run, file: Path, text: bytes, line: int, problem: str) -> None:
    file.write_bytes(text)
    status, out, err = run("-be", "x")
    assert (status, out) == (1, "")
    first, second, third = err.splitlines()
    assert first == f"Exim configuration error in line {line} of {file}:"
    assert second.startswith("  ") and problem in second
    assert third.startswith("  labkit: ")


def test_an_error_in_an_included_file(run: Run, file: Path) -> None:
    (file.parent / "more").write_text("primary_hostname = a\n\nnosuch = 1\n")
    file.write_text(f".include {file.parent}/more\n")
    assert f"error in line 3 of {file.parent}/more:" in run("-bV")[2]


# --- -bV --------------------------------------------------------------------------------------


def test_version(run: Run, file: Path) -> None:
    status, out, err = run("-bV")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0].startswith("labkit-exim version ")
    heads = [line.partition(":")[0] for line in lines if ":" in line]
    assert heads == ["Support for", "Lookups (built-in)", "Authenticators", "Routers", "Transports"]
    assert f"Routers: {' '.join(options.DRIVERS['router'])}" in lines
    assert lines[-1] == f"Configuration file is {file}"


def test_version_of_a_file_that_cannot_be_read(run: Run, file: Path) -> None:
    file.write_text("nosuch = 1\n")
    status, out, err = run("-bV")
    assert status == 1
    assert out.startswith("labkit-exim version ") and "Configuration file is" not in out
    assert "Exim configuration error in line 1" in err


# --- -bP --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, printed",
    [
        ("primary_hostname", "primary_hostname = mx.here.test"),
        ("qualify_recipient", "qualify_recipient = here.test"),
        ("message_size_limit", "message_size_limit = 20M"),
        ("smtp_accept_max", "smtp_accept_max = 2048"),
        ("bounce_return_size_limit", "bounce_return_size_limit = 2M"),
        ("check_spool_space", "check_spool_space = 3M"),
        ("never_users trusted_users", "never_users = root\ntrusted_users ="),
        ("write_rejectlog queue_only", "write_rejectlog\nno_queue_only"),
        ("-n write_rejectlog smtp_accept_max", "write_rejectlog\n2048"),
        ("callout_positive_expire auto_thaw", "callout_positive_expire = 1d\nauto_thaw = 0s"),
        ("sqlite_dbfile", "sqlite_dbfile = /private/xyzzy"),
        ("+local_domains", "domainlist local_domains = here.test :   *.here.test"),
        ("-n +local_domains", "here.test :   *.here.test"),
        ("+relays", f"hostlist relays = {HIDDEN}"),
        ("macro SECRET", "SECRET=xyzzy"),
        ("-n macro SECRET", "xyzzy"),
        ("router_list", "aliases\npeople"),
        ("transport_list", "boxes"),
        ("authenticator_list", "plain"),
        ("environment", "ADDED=here"),
    ],
)
def test_options_printed(run: Run, names: str, printed: str) -> None:
    words = names.split()
    status, out, err = run("-n", "-bP", *words[1:]) if words[0] == "-n" else run("-bP", *words)
    assert (status, out, err) == (0, f"{printed}\n", "")


@pytest.mark.parametrize(
    "names, status, out, because",
    [
        ("nosuch", 1, "nosuch is not a known option\n", "nobody has it"),
        ("nosuch queue_only", 0, "nosuch is not a known option\nno_queue_only\n", "the last one decides"),
        ("queue_only nosuch", 1, "no_queue_only\nnosuch is not a known option\n", "the last one decides"),
        ("router none", 1, "router none not found\n", "no such router"),
        ("router none queue_only", 0, "router none not found\nno_queue_only\n", "the last one decides"),
        ("router", 1, "router is not a known option\n", "no name after it"),
        ("+none", 1, 'no address, domain, host, or local part list called "none" exists\n', "no such list"),
        ("macro NONE", 1, "macro NONE not found\n", "no such macro"),
        ("local_scan", 1, "local_scan() options are not supported\n", "as Debian's"),
    ],
)
def test_what_is_not_there(run: Run, names: str, status: int, out: str, because: str) -> None:
    assert run("-bP", *names.split()) == (status, out, ""), because


def test_an_option_that_only_exim_has(run: Run) -> None:
    status, out, err = run("-bP", "mua_wrapper")
    assert (status, out) == (1, "")
    assert err == 'labkit-exim: the option "mua_wrapper" is "real Exim only": labkit does not read it yet\n'


def test_all_options(run: Run) -> None:
    status, out, _ = run("-bP")
    names = [re.sub(r"^no_| ?=.*", "", line) for line in out.splitlines()]
    assert status == 0
    assert names == sorted(row.name for row in options.rows("main"))


def test_a_router(run: Run) -> None:
    _, out, _ = run("-bP", "router", "people")
    lines = out.splitlines()
    assert "condition = ${if and{{bool_lax{a}}{bool_lax{b}}}}" in lines
    assert r"headers_add = X: 1\nY: 2" in lines
    assert "more" in lines
    _, both, _ = run("-bP", "routers")
    assert both.startswith("\naliases router:\naddress_data = \n")
    assert f"\npeople router:\n{out}" in both


def test_a_transport(run: Run) -> None:
    _, out, _ = run("-bP", "transport", "boxes")
    assert {"mode = 0640", "user = root", "group = root", "directory_mode = 0700"} <= set(out.splitlines())


def test_the_file_as_it_was_read(run: Run, file: Path) -> None:
    _, out, _ = run("-bP", "config")
    lines = out.splitlines()
    assert lines[1] == f'# 1 "{file}"'
    assert lines[2] == "primary_hostname = mx.here.test"
    assert "hide sqlite_dbfile = /private/xyzzy" in lines
    assert "\nbegin acl\n\n  rcpt:\n    deny local_parts = ^bad\n    message = no bad ones\n" in out
    _, terse, _ = run("-n", "-bP", "config")
    assert "\nrcpt:\ndeny local_parts = ^bad\n" in terse


def test_what_only_an_administrator_may_see(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setattr(os, "getgid", lambda: 54321)
    monkeypatch.setattr(os, "getgroups", list)
    assert run("-bP", "sqlite_dbfile")[1] == f"sqlite_dbfile = {HIDDEN}\n"
    assert run("-n", "-bP", "sqlite_dbfile")[1] == f"{HIDDEN}\n"
    assert run("-bP", "macros") == (1, "", "exim: permission denied\n")
    config = run("-bP", "config")[1]
    assert f"hide sqlite_dbfile = {HIDDEN}" in config and f"SECRET = {HIDDEN}" in config
    assert run("-be", "SECRET")[1] != "xyzzy\n"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a   b  c", "a b c"),
        ('a   = "x   y"  z', 'a = "x   y"  z'),
        ("a  '  b", "a '  b"),
        ("a  $x   b", "a $x   b"),
        ("plain", "plain"),
    ],
)
def test_collapsed(text: str, expected: str) -> None:
    assert collapsed(text) == expected


def test_octets_are_made_printable() -> None:
    assert printed("a\tb\nc\x01\xc3\xa9\\") == "a\\tb\\nc\\001\\303\\251\\"


# --- -be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("$primary_hostname $qualify_domain $qualify_recipient", "mx.here.test here.test here.test"),
        ("${if def:sender_address{y}}|$sender_address_domain", "y|here.test"),
        ("${lookup{team}lsearch{ALIASES}}", "ann, bob"),
        ("${if match_domain{x.here.test}{+local_domains}{y}{n}}", "y"),
        ("${env{ADDED}}", "here"),
        ("${acl{told}{me}}", "told me"),
        ("${if eq{a}{b}{y}fail}", 'Failed: "if" failed and "fail" requested'),
        ("$nosuch", 'Failed: unknown variable name "nosuch"'),
        ("${run{x}}", "Failed: ${run{ is not read by labkit yet"),
        ("\xe9 ${strlen:\xe9}", "\xc3\xa9 2"),
        ("", ""),
        ("SECRET", "Defined macro"),
        ("x${lc:SECRET}", "xxyzzy"),
        ("$rcpt_count $config_file", "0 FILE"),
        ("${readsocket{inet:8.8.8.8:53}{x}}", "Failed: failed to connect"),
    ],
)
def test_expansions(run: Run, file: Path, text: str, expected: str) -> None:
    places = {"ALIASES": str(file.parent / "aliases"), "FILE": str(file)}
    for name, place in places.items():
        text, expected = text.replace(name, place), expected.replace(name, place)
    status, out, _ = run("-be", text)
    assert status == 0
    if text != "SECRET":
        assert out.startswith(expected.removesuffix("\n")) and out.endswith("\n")


def test_expansions_from_the_input(run: Run) -> None:
    text = "X = 5\nX \\\n   and \\\nmore  \n\n$nosuch\n3X = 4\n"
    status, out, err = run("-be", text=text)
    assert status == 0
    assert (
        out
        == "> Defined macro 'X'\n> 5 and more\n> \n> Failed: unknown variable name \"nosuch\"\n> 35 = 4\n> \n"
    )
    assert err == ""


def test_a_macro_that_cannot_be(run: Run) -> None:
    status, out, err = run("-be", "Macro", "y")
    assert (status, out) == (0, "y\n")
    assert err.startswith("Exim configuration error:\n  malformed macro definition\n  labkit: ")


def test_an_argument_that_is_too_long(run: Run) -> None:
    assert run("-be", "x" * 257) == (1, "", "exim: recipient is too long\n")


def test_the_environment_is_filtered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LABKIT_TEST", "LABKIT_RE_X", "LABKIT_OTHER"):
        monkeypatch.setenv(name, name)
    assert (
        run("-be", "${env{LABKIT_TEST}}|${env{LABKIT_RE_X}}|${env{LABKIT_OTHER}}")[1]
        == "LABKIT_TEST|LABKIT_RE_X|\n"
    )


def test_a_message(run: Run, tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_bytes(b"From ann Mon\nFrom: ann@x.test\nSubject: gr\xc3\xbcn\n\nbody\nmore\n")
    status, out, _ = run(
        "-bem", str(message), "$h_subject:|$message_body|$body_linecount|${strlen:$h_subject:}"
    )
    assert (status, out) == (0, "gr\xc3\xbcn|body more |2|5\n")
    assert run("-bem", "/nosuch", "x") == (1, "", "exim: failed to open /nosuch: No such file or directory\n")


def test_databases(run: Run, tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / "db")
    base.executescript("create table t(a, b); insert into t values(1, 'x y')")
    base.close()
    assert run("-be", f"${{lookup sqlite,file={tmp_path}/db {{select * from t}}}}")[1] == 'a=1 b="x y" \n'


# --- -bt, -bv ---------------------------------------------------------------------------------


def test_addresses(run: Run) -> None:
    status, out, _ = run("-bt", "team", "nobody@here.test")
    assert status == 2
    assert out == (
        "bob@here.test\n    <-- team@here.test\n  router = people, transport = boxes\n"
        "ann@here.test\n    <-- team@here.test\n  router = people, transport = boxes\n"
        "nobody@here.test is undeliverable: Unrouteable address\n"
    )


def test_addresses_verified(run: Run) -> None:
    assert run("-bv", "ann@here.test, bob") == (0, "ann@here.test verified\nbob@here.test verified\n", "")
    status, out, _ = run("-bvs", "nobody@here.test")
    assert (status, out) == (2, "nobody@here.test failed to verify: Unrouteable address\n")


def test_addresses_from_the_input(run: Run) -> None:
    status, out, _ = run("-bt", text="ann\nnobody\n")
    assert status == 2
    assert out == (
        "> ann@here.test\n  router = people, transport = boxes\n"
        "> nobody@here.test is undeliverable: Unrouteable address\n> \n"
    )


def test_streams_that_are_closed_or_full(file: Path) -> None:
    program = f"{shlex.quote(sys.executable)} -m labkit.cli.exim -C {shlex.quote(str(file))}"
    for words, status, said in (
        ("-bt <&-", 0, ""),
        ("-be x >&-", 0, ""),
        ("-bP >/dev/full", 1, "labkit-exim: output: No space left on device\n"),
    ):
        done = subprocess.run(
            ["sh", "-c", f"{program} {words}"], capture_output=True, text=True, cwd=file.parent
        )
        assert (done.returncode, done.stderr) == (status, said), words


@pytest.mark.parametrize(
    "written, reason",
    [
        ("+nolist", 'unknown named domain list "+nolist"'),
        ("foolook;/x", 'unknown lookup type "foolook"'),
        ("^[abc(", "regular expression error: missing terminating ]"),
        ("lsearch;/nonexistent", "failed to open /nonexistent for linear search: No such file or directory"),
    ],
)
def test_why_it_cannot_be_resolved(run: Run, file: Path, written: str, reason: str) -> None:
    text = file.read_text()
    odd = f"odd:\n driver = accept\n domains = {written}\n transport = boxes\n"
    file.write_text(text.replace("begin routers\n", f"begin routers\n{odd}"))
    status, out, err = run("-bt", "ann@here.test")
    assert (status, "cannot be resolved at this time: domains check lookup or other defer" in out) == (
        1,
        True,
    )
    assert f"LOG: {reason}" in err


def test_the_trace(run: Run) -> None:
    _, out, err = run("-bt", "-d+route", "ann@here.test")
    assert out.startswith("ann@here.test\n")
    assert all(line.startswith(">>> ") for line in err.splitlines())
    assert "people took it" in err and "aliases passed it on" in err


def test_a_configuration_that_cannot_be_compiled(run: Run, file: Path) -> None:
    file.write_text("begin retry\n* * nonsense\n")
    assert run("-be", "x")[:2] == (0, "x\n")  # nobody needs the retry rules
    status, out, err = run("-bt", "x")
    assert (status, out) == (1, "")
    assert err.startswith("Exim configuration error in line 2")


# --- -bh --------------------------------------------------------------------------------------

DIALOGUE = """\
EHLO client.test
MAIL FROM:<x@y.test>
RCPT TO:<ann@here.test>
RCPT TO:<bad@here.test>
RCPT TO:<nobody@here.test>
RCPT TO:<x@elsewhere.test>
DATA
Subject: hi

body
.
QUIT
"""


@pytest.mark.parametrize("host", ["192.0.2.9", "127.0.0.1"])
def test_a_session(run: Run, host: str) -> None:
    status, out, err = run("-bh", host, text=DIALOGUE)
    assert status == 0
    opening = (
        f"\n**** SMTP testing session as if from host {host}\n"
        "**** but without any ident (RFC 1413) callback.\n**** This is not for real!\n\n220 mx.here.test "
    )
    assert out.startswith(opening)
    assert f"250-mx.here.test Hello client.test [{host}]\n" in out
    answers = out[out.index("250 HELP\n") :]
    assert re.fullmatch(
        "250 HELP\n250 OK\n250 Accepted\n550 no bad ones\n550 relay not permitted\n550 relay not permitted\n"
        '354 Enter message, ending with "." on a line by itself\n250 OK id=.{16}\n'
        "\n[*]{4} SMTP testing: that is not a real message id!\n\n221 mx.here.test closing connection\n",
        answers,
    )
    assert f"LOG: H=(client.test) [{host}] F=<x@y.test> rejected RCPT <bad@here.test>: no bad ones\n" in err
    assert ">>> rcpt: deny: applies: " in err


def test_a_session_without_an_end(run: Run) -> None:
    assert run("-bh", "192.0.2.9")[1].endswith("421 mx.here.test lost input connection\n")


def test_a_session_keeps_nothing(run: Run, file: Path) -> None:
    before = sorted(path.name for path in file.parent.iterdir())
    run("-bh", "192.0.2.9", text=DIALOGUE)
    assert sorted(path.name for path in file.parent.iterdir()) == before


# --- in a lab ---------------------------------------------------------------------------------


def test_in_a_lab_it_is_that_host(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    (tmp_path / "facts").write_text("base 4000\nhost 203.0.113.7\nnonsense\nuser eve /home/of eve\n")
    monkeypatch.setenv("LABNET", str(tmp_path / "facts"))
    monkeypatch.setenv("LABADDR", "203.0.113.7")
    monkeypatch.setenv("LABNAME", "mx.lab.test")
    monkeypatch.setenv("LABUSER", "eve")
    file.write_text("")
    assert run("-be", "$primary_hostname $sender_address")[1] == "mx.lab.test eve@mx.lab.test\n"
    assert run("-be", "${lookup passwd{eve}{$value}{n}}|${lookup passwd{root}{$value}{n}}")[1].endswith(
        ":/home/of eve:/bin/sh|n\n"
    )
    assert run("-be", "${if match_ip{203.0.113.7}{@[]}{y}{n}}")[1] == "y\n"
    monkeypatch.setenv("LABNET", str(tmp_path / "gone"))
    status, _, err = run("-be", "x")
    assert status == 1
    assert err.startswith("labkit-exim: LABNET names ")


def test_it_ends_when_it_is_told_to(file: Path) -> None:
    """While it waits for a line."""
    command = [sys.executable, "-m", "labkit.cli.exim", "-C", str(file), "-be"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"> "
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT


def test_nobody_reads_on(file: Path) -> None:
    command = [sys.executable, "-m", "labkit.cli.exim", "-C", str(file), "-be", *["x" * 200] * 400]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 1

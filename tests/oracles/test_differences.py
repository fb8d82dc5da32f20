"""docs/differences.md, row by row: where labkit differs from Exim on purpose, both sides are asked.

HOW        the same command line for both programs; or, for a row of ELSEWHERE, the tests that hold it.
RULES      a row of the page without a test is an error here, and so is a test without a row.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .real_exim import RealExim

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "differences.md"
CONFIGURATION = """\
primary_hostname = mx.here.test
spool_directory = FOLDER/spool
log_file_path = FOLDER/spool/%slog
domainlist local_domains = here.test
host_lookup =
tls_advertise_hosts =
dsn_advertise_hosts = *
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  file = /tmp/nowhere
"""
Ask = Callable[..., tuple[int, str]]


def dialogue(ask: Ask, *lines: str) -> str:
    """The last reply of a session as if from another host, before QUIT."""
    _, said = ask("-bh", "198.51.100.9", stdin="".join(f"{line}\r\n" for line in (*lines, "QUIT")))
    replies = [line for line in said.splitlines() if re.match("[2-5][0-9][0-9] ", line)]
    return replies[-2]


def setting(ask: Ask, name: str) -> str:
    return ask("-bP", name)[1].strip()


def offers(ask: Ask) -> str:
    _, said = ask("-bh", "198.51.100.9", stdin="EHLO c.test\r\nQUIT\r\n")
    words = {line[4:].split()[0] for line in said.splitlines() if line.startswith(("250-", "250 "))}
    return " ".join(sorted(words & {"8BITMIME", "PIPECONNECT", "SMTPUTF8"}))


def certificate(ask: Ask) -> str:
    """What STARTTLS says, if reading the file did not find out that there is no such certificate."""
    more = "tls_advertise_hosts = *\ntls_certificate = /nowhere/tls.crt\n"
    swap = ("tls_advertise_hosts =\n", more)
    assert ask("-bV", swap=swap)[0] == 0
    _, said = ask("-bh", "198.51.100.9", swap=swap, stdin="EHLO c.test\r\nSTARTTLS\r\nQUIT\r\n")
    return str("\n454 TLS currently unavailable" in said)


def doubled(ask: Ask) -> str:
    """How many of 6000 addresses are routed."""
    people = ", ".join(f"p{number}@here.test" for number in range(6000))
    router = f"begin routers\nmany:\n  driver = redirect\n  local_parts = many\n  data = {people}\n"
    _, said = ask("-bt", "many@here.test", swap=("begin routers\n", router))
    return str(said.count("router = all, transport = file"))


def of_a_table(ask: Ask) -> str:
    """Whether `-bt` says anything of an address that is looked up in a table with a stranger's name."""
    router = "begin routers\nmany:\n  driver = accept\n  local_parts = lsearch;/nowhere/$domain\n  transport = file\n"
    status, said = ask("-bt", "x@here.test", swap=("begin routers\n", router))
    return f"{status} {'cannot be resolved at this time' in said}"


MESSAGE = ("EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<x@here.test>", "DATA")

# name of the row: (how both are asked, what Exim says, what labkit says)
ASKED: dict[str, tuple[Callable[[Ask], str], str, str]] = {
    "non-ascii": (
        lambda ask: dialogue(ask, "EHLO c.test", "MAIL FROM:<\xe9@a.test>")[:3], "250", "501"
    ),
    "long-paths": (
        lambda ask: dialogue(ask, "EHLO c.test", f"MAIL FROM:<{'p' * 249}@a.test>")[:3], "250", "501"
    ),
    "long-lines": (
        lambda ask: dialogue(ask, *MESSAGE, "Subject: x", "", "x" * 1200, ".")[:3], "250", "550"
    ),
    "recipients-max": (
        lambda ask: setting(ask, "recipients_max"), "recipients_max = 50000", "recipients_max = 1000"
    ),
    "accept-max": (
        lambda ask: setting(ask, "smtp_accept_max"), "smtp_accept_max = 20", "smtp_accept_max = 1000"
    ),
    "xtext": (
        lambda ask: dialogue(ask, *MESSAGE[:2], "RCPT TO:<x@here.test> ORCPT=rfc822;\x01")[:3], "250", "501"
    ),
    "extensions": (offers, "8BITMIME PIPECONNECT SMTPUTF8", "8BITMIME"),
    "not-utf-8": (
        lambda ask: str(ask("-bP", "primary_hostname", more="# caf\xe9\n")[0]), "0", "1"
    ),
    "a-folder": (lambda ask: str(ask("-bV", file="/usr")[0]), "0", "1"),
    "tainted-table": (of_a_table, "1 False", "1 True"),
    "bombs": (doubled, "6000", "4999"),
    "zero-recipients": (
        lambda ask: str(ask("-bP", "recipients_max", before="recipients_max = 0\n")[0]), "0", "1"
    ),
}  # fmt: skip

# name of the row: the tests in which each side is seen
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "accounts": ("tests/differential/stories_basic.py::system_accounts",),
    "bare-lf": (
        "tests/smtp/test_server.py::test_lines_that_end_in_lf_alone_are_answered_at_once",
        "tests/oracles/test_differences.py::test_exim_takes_lines_that_end_in_lf",
    ),
    "added-cr": ("tests/oracles/test_differences_delivered.py::test_line_ends_in_a_text_that_is_added",),
    "chunks": ("tests/oracles/test_differences_delivered.py::test_quit_after_a_piece_of_a_header",),
    "two-certificates": ("tests/lab/test_tls_several.py::test_who_can_use_both",),
    "certificates": (
        "tests/lab/test_tls_server.py::test_said_when_the_configuration_is_read",
        "tests/oracles/test_differences.py::test_exim_finds_out_when_a_client_comes",
    ),
    "dkim-empty-body": (
        "tests/differential/test_dkim_differences.py::test_an_empty_body",
        "tests/differential/test_dkim_differences.py::test_a_body_of_empty_lines_is_signed",
    ),
    "dkim-dies": (
        "tests/differential/test_dkim_differences.py::test_what_exim_dies_of",
        "tests/differential/test_dkim_differences.py::test_numbers_of_nineteen_digits",
    ),
    "dkim-words": (
        "tests/differential/test_dkim_differences.py::test_why_a_message_waits_for_its_key",
        "tests/differential/test_dkim_differences.py::test_a_key_that_is_not_good",
    ),
    "client-certificates": (
        "tests/lab/test_tls_server.py::test_who_shows_a_bad_certificate",
        "tests/oracles/test_differences_delivered.py::test_exim_takes_a_bad_certificate",
    ),
    "dane-authority": ("tests/lab/test_dane.py::test_an_authority_that_only_stands_there",),
    "dane-name": ("tests/lab/test_dane.py::test_an_authority_that_is_believed_anyway",),
    "dane-required": ("tests/lab/test_dane.py::test_one_of_two_hosts_has_no_record",),
    "dane-domains": ("tests/lab/test_dane.py::test_two_domains_at_one_host",),
    "password": ("tests/oracles/test_differences_delivered.py::test_a_password_in_the_clear",),
    "size-addition": ("tests/oracles/test_differences_delivered.py::test_size_addition",),
    "programs": (
        "tests/oracles/test_differences_delivered.py::test_programs",
        "tests/oracles/test_differences_delivered.py::test_programs_that_are_permitted",
    ),
    "once": ("tests/oracles/test_differences_delivered.py::test_once",),
    "locked": ("tests/oracles/test_differences_delivered.py::test_a_locked_mailbox",),
    "expansions": ("tests/oracles/test_expansion_agrees.py::test_explained",),
    "acls": ("tests/oracles/test_acl_agrees.py::test_explained",),
    "routing": ("tests/oracles/test_routing_agrees.py::test_explained",),
    "early": ("tests/oracles/test_differences_commands.py::test_what_comes_too_early_after_starttls",),
    "early-talkers": ("tests/oracles/test_differences_commands.py::test_a_client_that_talks_first",),
    "silent-465": ("tests/lab/test_tls_matrix.py::test_who_waits_for_a_banner_at_465",),
    "host-number": (
        "tests/lab/test_mta_sts.py::test_case",
        "tests/oracles/test_differences_commands.py::test_words_that_tell_of_a_host",
    ),
    "sigterm": ("tests/oracles/test_differences_commands.py::test_sessions_when_the_daemon_ends",),
    "greeting-in-tls": ("tests/oracles/test_differences_commands.py::test_a_greeting_refused_within_tls",),
    "greeting-354": ("tests/oracles/test_differences_commands.py::test_a_greeting_that_makes_no_sense",),
    "callouts": ("tests/oracles/test_differences_commands.py::test_callouts_and_tls",),
    "data-timeout": ("tests/oracles/test_differences_commands.py::test_a_host_that_takes_nothing",),
    "waits": ("tests/oracles/test_differences_commands.py::test_a_host_that_is_there_again",),
    "quota-read": ("tests/oracles/test_differences_commands.py::test_a_full_mailbox_that_nobody_reads",),
    "sqlite-locked": ("tests/oracles/test_differences_commands.py::test_a_database_that_is_locked",),
    "old-tls": ("tests/lab/test_tls_tools.py::test_versions",),
    "hints": ("tests/oracles/test_differences_commands.py::test_hints",),
    "submission-errors": ("tests/oracles/test_differences_commands.py::test_errors_of_a_submission",),
    "verbose": ("tests/oracles/test_differences_commands.py::test_what_v_shows_of_connecting",),
    "handshake-words": ("tests/oracles/test_differences_commands.py::test_the_words_of_a_failed_handshake",),
    "line-ends": ("tests/oracles/test_differences_commands.py::test_a_line_end_in_what_is_told",),
    "spool-links": ("tests/oracles/test_differences_commands.py::test_a_link_in_the_spool",),
    "log-details": (
        "tests/oracles/test_differences_commands.py::test_details_of_the_log",
        "tests/oracles/test_differences_commands.py::test_a_transaction_that_comes_to_nothing",
    ),
    "spf": ("tests/oracles/test_spf_exim_agrees.py::test_where_the_library_and_the_rfc_differ",),
    "comparison": ("tests/differential/test_comparison.py",),
}


@pytest.fixture(scope="module")
def theirs(real_exim: RealExim) -> Ask:
    def ask(
        *words: str, stdin: str = "", more: str = "", before: str = "", file: str = "",
        swap: tuple[str, str] = ("", ""),
    ) -> tuple[int, str]:  # fmt: skip
        path = real_exim.folder / "differences.conf"
        text = CONFIGURATION.replace("FOLDER", str(real_exim.folder)).replace(*swap)
        path.write_text(before + text + more, encoding="latin-1")
        path.chmod(0o644)
        done = real_exim.run("-C", file or path, *words, stdin=stdin)
        return done.returncode, done.stdout

    return ask


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    folder = tmp_path_factory.mktemp("differences")

    def ask(
        *words: str, stdin: str = "", more: str = "", before: str = "", file: str = "",
        swap: tuple[str, str] = ("", ""),
    ) -> tuple[int, str]:  # fmt: skip
        path = folder / "differences.conf"
        text = CONFIGURATION.replace("FOLDER", str(folder)).replace(*swap)
        path.write_text(before + text + more, encoding="latin-1")
        done = subprocess.run(
            [sys.executable, "-m", "labkit.cli.exim", "-C", file or str(path), *words],
            input=stdin, capture_output=True, encoding="latin-1", check=False, timeout=60,
            env={**os.environ, "TZ": "UTC"}, cwd=ROOT,
        )  # fmt: skip
        assert "Traceback" not in done.stderr and "internal problem" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    return ask


@pytest.mark.parametrize("name", ASKED)
def test_exim(theirs: Ask, name: str) -> None:
    how, exim, _ = ASKED[name]
    assert how(theirs) == exim


@pytest.mark.parametrize("name", ASKED)
def test_labkit(ours: Ask, name: str) -> None:
    how, _, labkit = ASKED[name]
    assert how(ours) == labkit


def test_exim_takes_lines_that_end_in_lf(theirs: Ask) -> None:
    _, said = theirs("-bs", stdin="HELO x\nNOOP\nQUIT\n")
    assert "250 OK" in said


def test_exim_finds_out_when_a_client_comes(theirs: Ask) -> None:
    assert certificate(theirs) == "True"


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*ASKED, *ELSEWHERE])


@pytest.mark.parametrize("where", [each for tests in ELSEWHERE.values() for each in tests])
def test_what_holds_it_is_there(where: str) -> None:
    file, _, name = where.partition("::")
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = {
        node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert not name or name in functions

"""The real Exim as judge of the commands that work on a spool: the same words to both, each with a spool of its own.

HOW        one transcript. What cannot be the same is replaced: message ids (by their order), sizes (our Received field
           has one more octet, the product's name), the account, the folder, times and process ids.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .real_exim import ENVIRONMENT, PATIENCE, RealExim

CONFIGURATION = """\
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
exim_path = {program}
primary_hostname = mx.here.test
qualify_domain = here.test
keep_environment =
check_spool_space = 0
check_spool_inodes = 0
host_lookup =
tls_advertise_hosts =
chunking_advertise_hosts =
smtputf8_advertise_hosts =
prdr_enable = false
delay_warning =
domainlist local_domains = here.test
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept hosts = :
begin routers
far:
  driver = manualroute
  domains = ! +local_domains
  route_list = * 127.0.0.10::12526
  transport = remote
people:
  driver = accept
  local_parts = ann : bob
  transport = boxes
begin transports
boxes:
  driver = appendfile
  file = {folder}/mail
remote:
  driver = smtp
  hosts_try_fastopen =
begin retry
* * F,2h,15m
"""
TEXT = "Subject: hello\n\nbody\n"
SESSION = """\
EHLO me.test
MAIL FROM:<a@b.test>
RCPT TO:<ann@here.test>
RCPT TO:<nobody@@here.test>
DATA
Subject: in a session

x
.
NOOP
QUIT
"""
BATCH = "MAIL FROM:<a@b.test>\nRCPT TO:<ann@here.test>\nDATA\nSubject: batch\n\nx\n.\n"
HEADER = (
    "From: x@y.test\nTo: Ann <ann@here.test>, bob\nCc: a@far.test\nBcc: hidden@far.test\nSubject: t\n\nbody\n"
)
TRANSCRIPT: tuple[tuple[str, str], ...] = (
    ("-bp", ""),
    ("-bpc", ""),
    ("-odi ann", TEXT),
    ("-bpc", ""),
    ("-odq ann bob@here.test x@far.test", TEXT),
    ("-bp", ""),
    ("-bpr", ""),
    ("-bpru", ""),
    ("-bpa", ""),
    ("-bpu", ""),
    ("-Mf 1", ""),
    ("-Mf 1", ""),
    ("-bp", ""),
    ("-Mt 1", ""),
    ("-Mt 1", ""),
    ("-Mvc 1", ""),
    ("-Mar 1 bob2@here.test foo", ""),
    ("-Mar 1", ""),
    ("-Mes 1 new@here.test", ""),
    ("-Mes 1 a@b c@d", ""),
    ("-Mmd 1 nobody@here.test", ""),
    ("-Mmd 1 bob@here.test", ""),
    ("-bp", ""),
    ("-M 1", ""),
    ("-bp", ""),
    ("-bpu", ""),
    ("-q", ""),
    ("-qff", ""),
    ("-R far.test", ""),
    ("-Rff nobody", ""),
    ("-bp", ""),
    ("-bp 1", ""),
    ("-Mvh 1 2", ""),
    ("-Mmad 1", ""),
    ("-bp", ""),
    ("-q", ""),
    ("-bp", ""),
    ("-odq ann", TEXT),
    ("-Mrm 1", ""),
    ("-Mrm 1xVGdp-0000LT-0M", ""),
    ("-Mvh 1xVGdp-0000LT-0M", ""),
    ("-Mvl 1xVGdp-0000LT-0M", ""),
    ("-M 1xVGdp-0000LT-0M", ""),
    ("-Mf 1xVGdp-0000LT-0M", ""),
    ("-bp 1xVGdp-0000LT-0M", ""),
    ("-Mf nonsense", ""),
    ("-Mf", ""),
    ("-odq -t", HEADER),
    ("-bp", ""),
    ("-Mvc 1", ""),
    ("-Mrm 1", ""),
    ("-odq -t bob@here.test", HEADER.replace("bob", "bob@here.test")),
    ("-bp", ""),
    ("-Mrm 1", ""),
    ("-oep -t", "Subject: nobody\n\nx\n"),
    ("-oep -t", "To: a b c <\nSubject: nobody\n\nx\n"),
    ("-oep bad@@x", TEXT),
    ("-odq -i ann", "Subject: dots\n\none\n.\ntwo\n"),
    ("-Mvb 1", ""),
    ("-Mrm 1", ""),
    ("-odq ann", "Subject: dots\n\none\n.\ntwo\n"),
    ("-Mvb 1", ""),
    ("-Mrm 1", ""),
    ("-odq -f other@here.test -F 'Full N.' ann", TEXT),
    ("-Mvc 1", ""),
    ("-Mrm 1", ""),
    ("-odq -f <> ann", TEXT),
    ("-bp", ""),
    ("-Mrm 1", ""),
    ("-odq ann", "From eve@x.test Mon Nov 23 10:48:15 2026\nSubject: uucp\n\nx\n"),
    ("-bp", ""),
    ("-Mrm 1", ""),
    ("-odq ann", "no header at all\n"),
    ("-Mvb 1", ""),
    ("-Mrm 1", ""),
    ("-odq -oMa 192.0.2.7 -oMs host.test -oMr proto ann", TEXT),
    ("-bp", ""),
    ("-Mrm 1", ""),
    ("-odq -bs", SESSION),
    ("-Mvc 1", ""),
    ("-Mrm 1", ""),
    ("-odq -bS", BATCH),
    ("-Mvc 1", ""),
    ("-Mrm 1", ""),
    ("-bS", "MAIL FROM:<a@b.test>\nRCPT TO:<nobody@@>\n"),
    ("-bi", ""),
    ("-bd -bp", ""),
    ("-q5x", ""),
)


class One:
    """One of the two programs, with its folder."""

    def __init__(
        self, folder: Path, user: str, run: Callable[[list[str], str], tuple[int, str, str]]
    ) -> None:
        self.folder, self.user, self._run = folder, user, run
        self.names: dict[str, str] = {}

    def said(self, line: str, text: str) -> str:
        waiting = sorted(path.name[:-2] for path in (self.folder / "spool/input").glob("*-H"))
        numbered = {str(number): queue_id for number, queue_id in enumerate(waiting, start=1)}
        words = [numbered.get(word, word) for word in shlex.split(line)]
        status, out, err = self._run(["-C", str(self.folder / "exim.conf"), *words], text)
        return self.plain(f"[{status}]\n{out}{''.join(f'2> {each}' for each in err.splitlines(True))}")

    def plain(self, text: str) -> str:
        for queue_id in re.findall(r"\b[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}\b", text):
            if not queue_id.startswith("1xVGdp"):
                self.names.setdefault(queue_id, f"ID{len(self.names) + 1}")
        for queue_id, name in self.names.items():
            text = text.replace(queue_id, name)
        text = (
            text.replace("labkit 0.1", "Exim 4.96")
            .replace(str(self.folder), "FOLDER")
            .replace(self.user, "USER")
        )
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
        text = text.replace("USER <USER@here.test>", "USER@here.test")  # whether the account has a full name
        text = re.sub(r"\w{3}, {1,2}\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "DATE", text)
        return re.sub(r"(?m)^( 0m) +[0-9.]+K? ", r"\1 SIZE ", text)


@pytest.fixture(scope="module")
def both(real_exim: RealExim) -> tuple[One, One]:
    def real(words: list[str], text: str) -> tuple[int, str, str]:
        done = real_exim.run(*words, stdin=text, cwd=folder)
        return done.returncode, done.stdout.replace("\r\n", "\n"), done.stderr

    def ours(words: list[str], text: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "labkit.cli.exim", *words],
            input=text,
            capture_output=True,
            encoding="latin-1",
            check=False,
            cwd=own,
            env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2])},
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout.replace("\r\n", "\n"), done.stderr

    folder, own = real_exim.make_folder("theirs"), real_exim.make_folder("ours")
    (folder / "exim.conf").write_text(_configured(folder, real_exim.account, real_exim.folder / "exim"))
    (folder / "exim.conf").chmod(0o644)
    myself = pwd.getpwuid(os.getuid())
    (own / "exim.conf").write_text(_configured(own, myself, real_exim.folder / "exim"))
    return One(folder, real_exim.account.pw_name, real), One(own, myself.pw_name, ours)


def _configured(folder: Path, account: pwd.struct_passwd, program: Path) -> str:
    text = CONFIGURATION.replace("{folder}", str(folder)).replace("{program}", str(program))
    return text.replace("{user}", account.pw_name).replace("{group}", str(account.pw_gid))


def test_the_same_words_say_the_same(both: tuple[One, One]) -> None:
    theirs, ours = both
    wrong = []
    for line, text in TRANSCRIPT:
        expected, found = theirs.said(line, text), ours.said(line, text)
        if expected != found:
            wrong.append(f"exim {line}\n--- Exim\n{expected}--- labkit\n{found}")
    assert not wrong, "\n".join(wrong)

"""The real Exim as judge of rewriting: what -brw prints, and what becomes of whole messages.

HOW        messages are handed in by `exim -odq -bs`, as of an account here or (-oMa) of a host elsewhere; what is in
           the spool then is compared with what ours makes of the same envelope and header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit.cli.exim import main
from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.eximconf.expansion.files import find_line
from labkit.eximconf.reader import ConfigurationError
from labkit.eximconf.rewriting import Note, Rules, read_rules, shown_test
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.envelope import Envelope
from labkit.mail.lookups import FileLine, FileText
from labkit.mail.message import Message
from labkit.mta.compiled import compile_configuration
from labkit.mta.rewriting import qualifying, rewritten

from .real_exim import RealExim

HEAD = """\
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
log_selector = +address_rewrite
primary_hostname = mx.here.test
qualify_domain = here.test
qualify_recipient = rcpt.test
domainlist ours = here.test : *.here.test
addresslist people = ann@a.test : *@b.test
local_interfaces = <; [203.0.113.1]
check_spool_space = 0
host_lookup =
acl_smtp_rcpt = accept
SWITCHES
begin routers
r:
  driver = accept
  transport = t
begin transports
t:
  driver = appendfile
  file = /dev/null
begin rewrite
"""
FILES = {
    "names": "ann@a.test: Ann.Smith@new.test\n*@a.test: any@new.test\nbob: b.ob\n",
    "domains": "a.test: x.test\n*.c.test: y.test\n",
}

RULES: dict[str, str] = {
    "nothing": "",
    "stars": "*@a.test $1@new.test\n",
    "star in the domain": "*@*.test $1.at.$2@$0\n",
    "end of local part": "*-x@*.test $1@$2.new\n",
    "regular expression": "^([a-z]+)\\\\.([a-z]+)@(.*)\\$ $2.$1@$3\n^ann@ x-$0\n",
    "without expanding": "\\N^(.*)@a\\.test$\\N  $1@new.test Ehq\n",
    "a domain": "a.test new@new.test\n*.test star@new.test\n",
    "a literal": "ann@a.test nn@new.test\nann@A.test never@new.test\n",
    "capitals": "Ann@a.test cap@new.test\n*@B.test never@x.test\n",
    "negated": "!*@a.test not@a.test\n",
    "named list": "+people ${local_part:$0}@people.test\n*@+ours mine@ours.test\n",
    "look-up of the whole": "lsearch;/folder/names  ${lookup{$local_part@$domain}lsearch{/folder/names}{$value}fail}\n",
    "look-up of the address": "lsearch;/folder/names zero-$0@new.test\n",
    "look-up with star": "lsearch*@;/folder/names star@new.test\n",
    "partial look-up": "*@partial-lsearch;/folder/domains $1.$2.$3@new.test\n",
    "forced failure": '*@a.test "${if eq {$local_part}{ann}{$1@new.test}fail}"\n*@* $1@all.$2\n',
    "forced failure and quit": '*@a.test "${if eq {$local_part}{ann}{$1@new.test}fail}" q\n*@* $1@all.$2\n',
    "star ends": "ann@a.test *\n*@* $1@all.$2\n",
    "order": "*@a.test $1@b.test\n*@b.test $1@c.test\n*@c.test $1@d.test q\n*@d.test $1@e.test\n",
    "repeat": "*@*.a.test $1@$2 R\n*x@* $1@$2 R\n",
    "repeat for ever": "*@* a$1@$2 R\n",
    "qualify": "*@a.test $1 Q\n*@b.test $1\n",
    "unparseable": "*@a.test <$1@new.test\n*@b.test $1@x.test\n",
    "failure": '*@a.test "${lookup {x} nothing{y}}"\n*@b.test $1@x.test\n',
    "flags": "*@a.test f@new.test f\n*@a.test t@new.test t\n*@a.test s@new.test s\n*@b.test c@new.test cbr\n",
    "envelope": "*@a.test from@new.test F\n*@a.test to@new.test T\n*@b.test both@new.test E\n",
    "to nobody": "*@a.test <> F\n*@b.test <>\n",
    "whole": '*@a.test "The $1 <$1@new.test> (at home)" w\n',
    "whole, then not": '*@a.test "The $1 <$1@mid.test> (x)" w\n*@mid.test $1@new.test\n'
    "*@new.test longer-$1@newest.test\n",
    "not, then whole": '*@a.test $1@mid.test\n*@mid.test "A, B. <$1@new.test>" w\n',
    "whole without a name": "*@a.test $1@new.test w\n",
    "phrases": '*@a.test "${if eq{$1}{ann}{Ann \\"A.\\" B. (c\\"d) <a@x.test>}{J\\346 (.) C <b@x.test>}}" w\n'
    '*@b.test "x. y (z) \\"w\\" v@ <c@x.test> (.)  " wh\n',
    "quoted": '"*@a.test" "$1@new.test" h\n',
    "S": "^<?(.*)%(.*)@here.test>?\\$ <$1@$2> S\n*@a.test $1@new.test\n",
    "only S": "^bad(.*) $1 S\n",
    "same again": "ann@a.test ann@a.test\n*@b.test $0 w\n",
    "long": "*@a.test $1-is-a-very-long-local-part-indeed@a-new-and-longer-domain.test\n",
}
ADDRESSES = [
    "ann@a.test", "Ann@A.test", "bob@b.test", "x.y@a.test", "ann", "nobody", "ANN@B.TEST", "c@c.test",
    "m@sub.here.test",
    "Ann Smith <ann@a.test> (home)", "<ann@a.test>", '"a b"@a.test', "ann-x@q.test", "u@s.s.c.test", "xxx@v.a.test",
    "<>", "a@b@c", "joe%a.test@here.test", "badann@a.test", "x@deep.er.a.test", "@a.test:ann@b.test",
]  # fmt: skip

HEADERS = [
    "From: Ann <ann@a.test>\nTo: bob@b.test\n",
    "From: ann\nTo: bob, c@a.test\nCc: x (comment, with comma), \"q, r\" <bob@a.test>,\n\tz\n"
    "Reply-To: me\nSender: me <ann>\n",
    "From: ann@a.test\nTo: friends: ann@a.test, bob@b.test, joe;, other@a.test\nBcc: secret@a.test\n",
    "To: undisclosed-recipients:;\nCc: x:;\nFrom: \"A. B\" <ann@a.test>\n",
    "Resent-From: ann\nResent-To: bob@a.test\nResent-Reply-To: ann\nFrom: x@a.test\nTo: y\nX-To: ann\n",
    "From : ann@a.test\nTO: <ann@a.test>, <bob@b.test>,\n  <c@c.test>, dave@a.test , eve@a.test,fay@a.test\n",
    "To: aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbb, cccccccccccccc, dddddddddddd, eeeeeee\nFrom: ann@a.test (x)\n",
    "To: ann@a.test, ann@a.test, ann@a.test,\n ann@a.test, ann@a.test\nSubject: ann@a.test\nFrom: ann@a.test\n",
    "To: (c) ann (d) @ (e) a.test (f), <@x.test:ann@a.test>, \"a b\"@a.test\nFrom: \"x\\\"y\" <ann@a.test>\n",
    "To:\nCc: ,\nFrom: ann@a.test,\n",
    "From: a b ann@a.test, ann@a.test\nTo: <bob@b.test, joe@b.test\n",
]  # fmt: skip


def answer(question: Question[Any]) -> Any:
    assert isinstance(question, (FileLine, FileText)), question
    path = question.file if isinstance(question, FileLine) else question.path
    text = FILES[Path(path).name]
    return find_line(text, question.key) if isinstance(question, FileLine) else text


class Judge:
    """The real one with its files, and ours."""

    def __init__(self, real: RealExim) -> None:
        self.real = real
        for name, text in FILES.items():
            real.write(name, text)

    def text(self, rules: str, switches: str = "") -> str:
        return self.real.here(self.real.configured(HEAD.replace("SWITCHES", switches)) + rules)

    def write(self, rules: str, switches: str = "") -> Path:
        return self.real.write("exim.conf", self.text(rules, switches))

    def rules(self, text: str) -> tuple[Rules, Env]:
        configuration = read(text)
        compiled = compile_configuration(configuration, "mx.here.test", ("203.0.113.1",))
        env = Env({"primary_hostname": "mx.here.test", "qualify_domain": "here.test"}, here=compiled.here)
        env.named = configuration.lists
        return compiled.rewriting, env


@pytest.fixture(scope="module")
def judge(real_exim: RealExim) -> Judge:
    return Judge(real_exim)


@pytest.mark.parametrize("name", RULES)
def test_what_is_printed(judge: Judge, name: str) -> None:
    """-brw, and the log lines that go to the standard error meanwhile."""
    file = judge.write(RULES[name])
    rules, env = judge.rules(judge.text(RULES[name]))
    ours: dict[str, list[str]] = {}
    theirs: dict[str, list[str]] = {}
    for address in ADDRESSES:
        done = judge.real.run("-C", file, "-brw", address)
        theirs[address] = done.stdout.splitlines()
        lines, _ = answer_by(answer, shown_test(address, rules, env, "rcpt.test"))
        ours[address] = lines
    assert ours == theirs


@pytest.mark.parametrize("arguments", [("Ann <ann@a.test>",), ("<>",), ()])
def test_the_command(judge: Judge, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    file = judge.write(RULES["stars"])
    done = judge.real.run("-C", file, "-brw", *arguments)
    assert main(["-C", str(file), "-brw", *arguments]) == done.returncode
    assert capfd.readouterr().out == done.stdout


SENDERS = ("ann@a.test", "bob@b.test", "")
RECIPIENTS = ("x.y@a.test", "c@c.test", "ANN@B.test")


@dataclass(frozen=True)
class Spooled:
    """What a message is in the spool, and what the log says of its rewriting."""

    sender: str
    recipients: tuple[str, ...]
    header: str


def spooled(folder: Path, queue_id: str) -> Spooled:
    text = (folder / "spool/input" / f"{queue_id}-H").read_text("latin-1")
    sender = re.search(r"^<(.*)>$", text, re.MULTILINE)
    assert sender is not None
    top, _, rest = text.partition("\n\n")
    lines = top.split("\n")
    count = next(number for number, line in enumerate(lines) if re.fullmatch("[0-9]+", line) and number > 4)
    recipients = tuple(lines[count + 1 : count + 1 + int(lines[count])])
    header = ""
    while found := re.match(r"([0-9]{3,})(.) ", rest):
        length = int(found[1])
        field = rest[found.end() : found.end() + length]
        rest = rest[found.end() + length :]
        if found[2] != "*" and not re.match("(?i)(?:Resent-)?(?:Received|Date|Message-Id):", field):
            header += field
    return Spooled(sender[1], recipients, header)


def received_by_exim(judge: Judge, file: Path, *words: str) -> list[Spooled]:
    """Each header with each sender, in one session."""
    said = ["EHLO client.test"]
    for sender in SENDERS:
        for header in HEADERS:
            said += [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in RECIPIENTS), "DATA"]
            said += [*header.rstrip("\n").split("\n"), "", "body", "."]
    said.append("QUIT")
    done = judge.real.run("-C", file, *words, "-odq", "-bs", stdin="".join(f"{line}\r\n" for line in said))
    ids = re.findall(r"250 OK id=(\S+)", done.stdout)
    assert len(ids) == len(SENDERS) * len(HEADERS), (done.stdout[-500:], done.stderr)
    return [spooled(judge.real.folder, each) for each in ids]


def received_by_us(judge: Judge, text: str, *, is_local: bool) -> list[Spooled]:
    compiled = compile_configuration(read(text), "mx.here.test", ("203.0.113.1",))
    _, env = judge.rules(text)
    found = []
    for sender in SENDERS:
        for header in HEADERS:
            recipients = tuple(Mailbox.parse(each) for each in RECIPIENTS)
            envelope = Envelope(Mailbox.parse(sender) if sender else None, recipients)
            message = Message.parse(header.replace("\n", "\r\n").encode() + b"\r\nbody\r\n")
            may = qualifying(compiled, senders=is_local, recipients=is_local)
            told: list[Note] = []
            asking = rewritten(compiled, envelope, message, env, told.append, may)
            envelope, message = answer_by(answer, asking)
            shown = b"".join(field.raw for field in message.header_fields).decode("latin-1")
            found.append(
                Spooled(envelope.sender, tuple(map(str, envelope.forward_paths)), shown.replace("\r\n", "\n"))
            )
    return found


LOCAL = dict.fromkeys(RULES, True)
ELSEWHERE = dict.fromkeys(("nothing", "stars", "regular expression", "whole", "long", "to nobody"), False)


@pytest.mark.parametrize("name, is_local", [*LOCAL.items(), *ELSEWHERE.items()])
def test_whole_messages(judge: Judge, name: str, is_local: bool) -> None:
    """As of an account here, and (a few) as of a host elsewhere, whose unqualified addresses stay as they are."""
    file = judge.write(RULES[name])
    words = () if is_local else ("-oMa", "198.51.100.7")
    theirs = received_by_exim(judge, file, *words)
    ours = received_by_us(judge, judge.text(RULES[name]), is_local=is_local)
    for their, our in zip(theirs, ours):
        assert our == their


WRONG = [
    "*@a.test",
    "*@a.test x@y z",
    "a@a.test x@y.test S",
    '"a@a.test',
    "*@a.test $1@x test",
    "*@a.test ${if\n",
]


@pytest.mark.parametrize("rule", WRONG)
def test_wrong_rules(judge: Judge, rule: str) -> None:
    done = judge.real.run("-C", judge.write(f"{rule}\n"), "-bV")
    if done.returncode == 0:
        read_rules(read(judge.text(f"{rule}\n")).rewrite, {})
        return
    with pytest.raises(ConfigurationError) as caught:
        read_rules(read(judge.text(f"{rule}\n")).rewrite, {})
    assert caught.value.problem in done.stderr

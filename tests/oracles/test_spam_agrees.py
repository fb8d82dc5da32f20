"""The real Exim as judge of `spam =`: both ask the same fake filter, which writes down what it was sent.

HOW        Exim takes a message by -bs; what it logs is what our ACL logs, and what the filter hears is the same but
           for the message itself (its own id and date). The ACL writes all variables into the log.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labkit.eximconf.expansion import Env, compile_text
from labkit.eximconf.here import Here
from labkit.eximconf.place import Place
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_later
from labkit.mail.lookups import RandomNumber
from labkit.mail.questions import SpamScore
from labkit.net.disk import Disk
from labkit.net.spamd import Spamd
from labkit.net.spool_format import decode, encode
from labkit.net.this_machine import ThisMachine
from labkit.smtp.acl import Acls, Phase, Scene
from labkit.smtp.acl.reading import statements_of
from labkit.smtp.acl.scene import SpamWishes

from .real_exim import RealExim

PLACE = Place("exim.conf", 1)
CONFIGURATION = """\
exim_user = {user}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
local_interfaces = <; [203.0.113.1]
keep_environment =
host_lookup =
tls_advertise_hosts =
queue_only
spamd_address = ADDRESS
acl_smtp_rcpt = accept
acl_smtp_data = data
begin acl
data:
BODY
begin routers
"""
MESSAGE = b"Subject: hi\nFrom: a@b.test\n\nbody END\n"
SHOW = " warn logwrite = <$spam_score> <$spam_score_int> <$spam_bar> <$spam_report> <$spam_action>\n accept\n"
WARN = f" warn spam = nobody\n  logwrite = spam\n{SHOW}"
DENY = " deny spam = nobody\n  message = scored $spam_score\n accept\n"
SPAM = b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.3 / 5.0\r\n\r\nline1\r\nline2\r\n\r\n"
HAM = b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.3 / 5.0\r\n\r\nnice"
RSPAMD = (
    b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 15.00 / 14.00 / 15.0\r\n"
    b"Action: add header\r\nSymbol: GTUBE\r\nMessage-ID: x\r\n"
)


class Filter:
    """A filter on this machine that says `answer` to everybody (None: nothing at all)."""

    def __init__(self, folder: Path) -> None:
        self.answer: bytes | None = b""
        self.heard: list[bytes] = []
        self._kept: list[socket.socket] = []
        self.path = folder / "filter"
        self._doors = [socket.socket(), socket.socket(socket.AF_UNIX)]
        self._doors[0].bind(("127.0.0.1", 0))
        self._doors[1].bind(str(self.path))
        self.path.chmod(0o777)
        self.port: int = self._doors[0].getsockname()[1]
        for door in self._doors:
            door.listen(20)
            threading.Thread(target=self._serve, args=(door,), daemon=True).start()

    def _serve(self, door: socket.socket) -> None:
        with suppress(OSError):
            while True:
                call, _ = door.accept()
                self._hear(call)

    def _hear(self, call: socket.socket) -> None:
        call.settimeout(5)
        heard = b""
        with suppress(OSError):
            while data := call.recv(65536):
                heard += data
                if heard.startswith(b"CHECK") and heard.endswith(b"END\n"):
                    break
        self.heard.append(heard)
        if self.answer is None:
            self._kept.append(call)
            return
        with suppress(OSError):
            call.sendall(self.answer)
        call.close()

    def close(self) -> None:
        for each in (*self._doors, *self._kept):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Both:
    """The same ACL on both sides; what each logs, and what the client hears."""

    def __init__(self, real: RealExim, filter: Filter) -> None:
        self.real, self.filter = real, filter

    def theirs(self, body: str, address: str, messages: int = 1) -> tuple[list[str], list[str]]:
        text = self.real.configured(CONFIGURATION).replace("BODY", body).replace("ADDRESS", self._at(address))
        file = self.real.write("exim.conf", text)
        said = "MAIL FROM:<ann@b.test>\nRCPT TO:<bob@here.test>\nRCPT TO:<c@here.test>\nDATA\n"
        dialogue = f"EHLO client.test\n{(said + MESSAGE.decode() + '.' + chr(10)) * messages}QUIT\n"
        done = self.real.run("-C", file, "-bs", "-oMa", "127.0.0.9", "-oMs", "client.test", stdin=dialogue)
        replies = [line for line in done.stdout.splitlines() if re.match("[2345]", line)]
        verdicts = [after for line, after in pairwise(replies) if line.startswith("354")]
        verdicts = [re.sub("id=.*", "id=", line) for line in verdicts]
        lines = [line[20:] for line in done.stderr.splitlines()]
        return verdicts, [line for line in lines if not line.startswith(_OF_EXIM)]

    def ours(self, body: str, address: str, messages: int = 1) -> tuple[list[str], list[str]]:
        return asyncio.run(self._ours(body, self._at(address), messages))

    async def _ours(self, body: str, address: str, messages: int) -> tuple[list[str], list[str]]:
        acls = Acls({"data": statements_of(body, PLACE)}, {})
        recipients = [Mailbox("bob", "here.test"), Mailbox("c", "here.test")]
        env = Env(here=Here("mx.here.test", ("203.0.113.1",)), now=datetime.now(timezone.utc))
        env.variables = {
            "sender_host_address": "127.0.0.9",
            "sender_host_name": "client.test",
            "sender_helo_name": "client.test",
            "sender_fullhost": "client.test [127.0.0.9]",
            "message_exim_id": "ID",
        }
        wishes = SpamWishes(compile_text(address, PLACE), lambda: b"Received: x\n" + MESSAGE)
        scene = Scene(Phase.DATA, env, recipients=recipients, spam=wishes)

        async def sleep(span: timedelta) -> None:
            return None

        async def resolve(name: str) -> Sequence[str]:
            return []

        spamd = Spamd(Disk(Path("/")), ThisMachine(None), "127.0.0.1", resolve, sleep)

        async def answer(question: Question[Any]) -> Any:
            if isinstance(question, RandomNumber):
                return 0
            assert isinstance(question, SpamScore)
            return await spamd.score(question)

        verdicts: list[str] = []
        logged: list[str] = []
        for _ in range(messages):
            scene.begin_message()
            env.variables |= {"sender_address": "ann@b.test"}
            verdict = await answer_later(answer, acls.run("data", scene))
            reply = verdict.refusal
            verdicts.append("250 OK id=" if reply is None else f"{reply.code} {reply.text}")
            logged += [line.text.replace("\n", "\\n") for line in scene.logged]
            scene.logged.clear()
        return verdicts, logged

    def _at(self, address: str) -> str:
        return address.replace("PORT", str(self.filter.port)).replace("SOCKET", str(self.filter.path))

    def agree(
        self, body: str, answer: bytes | None, address: str = "127.0.0.1 PORT", messages: int = 1
    ) -> Any:
        self.filter.answer = answer
        self.filter.heard.clear()
        theirs = self.theirs(body, address, messages)
        heard, self.filter.heard = [_plain(each) for each in self.filter.heard], []
        ours = self.ours(body, address, messages)
        assert _comparable(ours) == _comparable(theirs)
        assert [_plain(each) for each in self.filter.heard] == heard
        return theirs, heard


_OF_EXIM = ("exim user lost privilege", "<= ", "no host name found")
_REFUSED = re.compile(r" U=\S+| F=<ann@b.test> (temporarily )?rejected after DATA.*|H=\(client.test\)")


def _comparable(found: tuple[list[str], list[str]]) -> tuple[list[str], list[str]]:
    """Without what the session's own log line says: it is not the ACL's."""
    replies, logged = found
    return replies, [_client(line) for line in logged if "rejected after DATA" not in line]


def _client(line: str) -> str:
    return re.sub(r"^H=.*? (Warning: )", r"\1", line).removeprefix("client.test [127.0.0.9] ")


def _plain(heard: bytes) -> str:
    """What a filter heard, without what is different in each message."""
    text = heard.decode("latin-1")
    text = re.sub(r"(?m)^From (\S+) .* 20[0-9]{2}$", r"From \1 DATE", text)
    text = re.sub(r"(?ms)^Received: .*?(?=^Subject)", "", text)
    text = re.sub(r"(?m)^Content-length: [0-9]+", "Content-length: N", text)
    return re.sub(r"(?m)^Queue-Id: .*?\r$", "Queue-Id: ID\r", text)


@pytest.fixture(scope="module")
def both(real_exim: RealExim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    served = Filter(real_exim.folder)
    yield Both(real_exim, served)
    served.close()


def verdict(words: str) -> bytes:
    return f"SPAMD/1.1 0 EX_OK\r\nSpam: {words}\r\n\r\nreport\r\n".encode()


@pytest.mark.parametrize(
    "answer",
    [
        *(SPAM, HAM, b"", b"garbage", b"\0", b"SPAMD/1.1 76 Bad header line\r\n", None),
        *(verdict("True ; x / 5.0"), verdict("True ; / 5"), verdict("True;5/5"), verdict("True ; 5/5")),
        *(
            verdict("a b ; 5/5"),
            verdict("True ; .5 / .5"),
            verdict("True ; 1e1 / 0x5p0"),
            verdict("X ; 5. / 6"),
        ),
        *(verdict("True ; -3.7 / inf"), verdict("True ; inf / 5"), verdict("True ; nan / 5")),
        *(
            verdict("True ; 1e11 / 5"),
            verdict("True ; -0.4 / -1"),
            verdict("True ; 0.999 / 1"),
            verdict("t ; 4.99 / 5"),
        ),
        *(verdict("True ; +7 / 5"), verdict("True ; 1e / 5"), verdict("True ; 7 5"), verdict("True ; 7 / ")),
        *(
            verdict("True ; 0x / 5"),
            verdict("True ; 0x1p / 5"),
            verdict("True ; 1e+ / 5"),
            verdict("True ; infi / 5"),
        ),
        *(b"SPAMD/1.10 EX_OK\r\nSpam: True ; 9 / 5\r\n\r\n", b"SPAMD/1.1 0 EX_OK Spam: True ; 9 / 5.0"),
        *(SPAM.replace(b"1.1", b"1.23456789"), SPAM.replace(b"1.1", b""), SPAM.replace(b" 0 ", b" 1 ")),
        *(SPAM.replace(b"\r\n", b"\n"), SPAM.replace(b"\r\n", b"  "), SPAM.lower(), b" " + SPAM),
        *(
            b"SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\n\r\n7.5/5.0\r\nrest\r\n",
            SPAM + b"a\0b",
            SPAM + b" \x01\x02",
        ),
        *(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: True ; 9.0 / 5.0\r\n\r\n", SPAM + b"y\n" * 100),
        b"x" * 100_000,
    ],
    ids=lambda answer: repr(answer)[:60],
)
def test_answers(both: Both, answer: bytes | None) -> None:
    # Exim counts whole seconds: with one of them it may have waited for no time at all
    both.agree(WARN, answer, "127.0.0.1 PORT tmo=1s" if answer is None else "127.0.0.1 PORT tmo=10s")


@pytest.mark.parametrize(
    "answer",
    [
        *(
            RSPAMD,
            b"",
            b"RSPAMD/1.3 0 EX_OK\r\n",
            b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; False; 1 / 2 / 3\r\n",
        ),
        *(
            RSPAMD.replace(b"15.00", b"x"),
            RSPAMD.replace(b"/ 15.0", b""),
            RSPAMD.replace(b"Action", b"Aktion"),
        ),
        *(RSPAMD.replace(b"add header", b"a" * 50), RSPAMD.replace(b"default", b"other"), SPAM),
        *(RSPAMD.replace(b"15.00", b"-1.00"), RSPAMD.replace(b"True", b"Truetrue")),
    ],
    ids=lambda answer: repr(answer)[:60],
)
def test_rspamd(both: Both, answer: bytes) -> None:
    _, heard = both.agree(WARN, answer, "127.0.0.1 PORT variant=rspamd")
    assert heard[0].startswith("CHECK RSPAMC/1.3\r\n")
    assert "Hostname: client.test\r\n" in heard[0]


@pytest.mark.parametrize(
    "value",
    [
        *(
            "nobody",
            "nobody:true",
            "nobody: true",
            "nobody : true",
            "nobody:TRUE",
            "nobody:false",
            "nobody:true:x",
        ),
        *(
            "0",
            "false",
            "FALSE",
            "false:true",
            "00",
            "",
            ":",
            ":true",
            " : true",
            "true",
            "a::b:true",
            "<; x;true",
        ),
        *(
            "nobody/defer_ok",
            "nobody/DEFER_OK/x",
            "nobody:true/defer_ok",
            "a//b:true",
            "/defer_ok",
            "${if eq{a}{b}{x}fail}",
        ),
        *("$sender_address:true", "mail user:true", "nobody:true ", "nobody:true\t"),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1 PORT", "127.0.0.1 1"])
def test_values(both: Both, value: str, address: str) -> None:
    body = f" warn spam = {value}\n  logwrite = holds\n warn !spam = {value}\n  logwrite = turned\n accept\n"
    both.agree(body, HAM, address)


@pytest.mark.parametrize("answer", [SPAM, HAM, b"garbage"])
def test_verbs(both: Both, answer: bytes) -> None:
    both.agree(DENY, answer)
    both.agree(DENY.replace("nobody", "nobody/defer_ok"), answer)
    both.agree(DENY.replace("deny", "require"), answer)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1 1 pri=2 : 127.0.0.1 PORT",
            "127.0.0.1 PORT pri=2 : 127.0.0.1 1",
            "127.0.0.1 1 pri=3:127.0.0.1 PORT pri=1",
        ),
        *(
            "127.0.0.1 1 weight=0 : 127.0.0.1 PORT",
            "127.0.0.1 PORT weight=0",
            "127.0.0.1 PORT time=1.00-1.01",
        ),
        *(
            "127.0.0.1 1 pri=2 foo retry=x tmo=q time=zz : nowhere : 127.0.0.1 PORT",
            ":",
            "127.0.0.1",
            "127.0.0.1 99x",
        ),
        *(
            "SOCKET",
            "SOCKET variant=x tmo=5s",
            "/nofile x=y pri=2 : 127.0.0.1 PORT",
            "127.0.0.1  PORT  tmo=1m",
        ),
        *(
            "<; 127.0.0.1 PORT",
            "${if eq{a}{a}{127.0.0.1 PORT}}",
            "${if eq{a}",
            "${if eq{a}{b}{x}fail}",
            "x ${bad}",
        ),
        *(
            "127.0.0.1 PORT pri=x",
            "127.0.0.1 PORT weight=-1",
            "127.0.0.1 x",
            "127.0.0.1 1-2",
            "127.0.0.1 PORT variant=spamd",
        ),
        *(
            "127.0.0.1 PORT retry=1s",
            "nohost.invalid PORT pri=2 : 127.0.0.1 PORT",
            "127.0.0.1 PORT timeout=5s",
        ),
    ],
)
def test_servers(both: Both, address: str) -> None:
    both.agree(WARN, SPAM, address)


@pytest.mark.parametrize("length", [0, 1, 32_500, 32_560, 40_000])
def test_long_reports(both: Both, length: int) -> None:
    """What does not fit into Exim's buffer is cut off."""
    body = " warn spam = nobody:true\n  logwrite = ${strlen:$spam_report} $spam_score\n accept\n"
    both.agree(body, SPAM + b"z" * length)


def test_once_for_a_message(both: Both) -> None:
    """Again only for another user; and nothing is left for the next message but the variables."""
    body = f" warn spam = a:true\n warn spam = a\n warn spam = b:true\n warn spam = a:true\n{SHOW}"
    _, heard = both.agree(body, SPAM)
    assert len(heard) == 3
    _, heard = both.agree(body, SPAM, messages=2)
    assert len(heard) == 6


def test_variables_of_the_next_message(both: Both) -> None:
    body = f"{WARN.replace('warn spam', 'warn condition = ${if eq{$acl_c0}{}}' + chr(10) + '  spam')}"
    body = body.replace("logwrite = spam", "set acl_c0 = done")
    (_, logged), heard = both.agree(body, SPAM, messages=2)
    assert len(heard) == 1
    assert [line for line in logged if "<15.3>" in line] == logged[-2:]


def test_the_score_goes_with_the_message(both: Both) -> None:
    """Into the spool, for routers and transports: three variables, as labkit writes them."""
    both.filter.answer = SPAM
    before = set((both.real.folder / "spool/input").glob("*-H"))
    both.theirs(WARN, "127.0.0.1 PORT")
    (file,) = set((both.real.folder / "spool/input").glob("*-H")) - before
    written = [line for line in file.read_text().splitlines() if line.startswith("-spam")]
    assert written == ["-spam_bar +++++++++++++++", "-spam_score 15.3", "-spam_score_int 153"]
    item = decode(file.read_bytes(), file.with_name(f"{file.name[:-1]}D").read_bytes())
    assert dict(item.acl_variables) == {"spam_bar": "+" * 15, "spam_score": "15.3", "spam_score_int": "153"}
    again = [line for line in encode(item)[0].decode().splitlines() if line.startswith("-spam")]
    assert again == written

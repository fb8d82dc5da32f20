"""What an expansion costs. The figures are printed; the limits are generous: they catch a mistake of kind."""

from __future__ import annotations

import timeit

import pytest

from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.expansion.compiler import Compiler
from labkit.eximconf.expansion.parser import parse
from labkit.eximconf.reader import Place
from labkit.mail.asking import answer_from
from labkit.mail.lookups import FileLine

PLACE = Place("exim.conf", 1)
VARIABLES = {
    "domain": "here.test",
    "local_part": "ann",
    "message_exim_id": "1xTEST-000001-00",
    "primary_hostname": "mx.here.test",
    "rcpt_count": "3",
    "received_protocol": "esmtp",
    "recipients_count": "2",
    "sender_address": "bob@b.test",
    "sender_helo_name": "client.b.test",
    "sender_host_address": "203.0.113.9",
    "tod_epoch": "1790000000",
}
RECEIVED = (
    "Received: from ${if def:sender_helo_name{$sender_helo_name }}([$sender_host_address])"
    " by $primary_hostname with $received_protocol (labkit)"
    " ${if def:sender_address {(envelope-from <$sender_address>)\\n\\t}}id $message_exim_id"
    "${if def:received_for {\\n\\tfor $received_for}}"
)
ANSWERS = {FileLine("/etc/aliases", "ann"): "bob"}


@pytest.mark.parametrize(
    "text, first, again",
    [
        ("$local_part@$domain", 200, 10),
        ("${if eq{$domain}{here.test}{yes}{no}}", 300, 5),
        ("${if and{{> {$rcpt_count}{10}}{< {$recipients_count}{${eval:$rcpt_count/2}}}}}", 800, 50),
        ("$local_part $domain $sender_address $sender_helo_name $sender_host_address", 300, 20),
        ("${if match{$domain}{^(.*)\\\\.test\\$}{$1}}", 600, 40),
        ("${lc:${uc:${lc:$local_part}}}", 400, 20),
        ("${extract{2}{.}{$sender_host_address}}", 400, 40),
        ("${lookup{$local_part}lsearch{/etc/aliases}}", 500, 40),
        (RECEIVED, 1000, 40),
    ],
)
def test_microseconds(text: str, first: float, again: float, capsys: pytest.CaptureFixture[str]) -> None:
    env = Env(VARIABLES)
    compiled = compile_text(text, PLACE)
    assert isinstance(answer_from(ANSWERS, compiled.asking(env)), Value)

    def microseconds(number: int, run: object) -> float:
        return min(timeit.repeat(run, number=number, repeat=5)) / number * 1e6  # type: ignore[arg-type]

    reading = microseconds(20, lambda: Compiler().text(parse(text), wants=True))
    if compiled.can_ask:
        running = microseconds(300, lambda: answer_from(ANSWERS, compiled.asking(env)))
    else:
        running = microseconds(300, lambda: compiled.expand(env))
    with capsys.disabled():
        print(f"\n{reading:7.1f} us read, {running:6.2f} us run: {text[:60]}", end="")
    assert reading < first
    assert running < again

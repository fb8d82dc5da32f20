"""What a list costs. The figures are printed; the limits are generous: they catch a mistake of kind."""

from __future__ import annotations

import timeit
from typing import Any

import pytest

from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, PatternList, compile_list
from labkit.eximconf.reader import Place
from labkit.mail.asking import Question, answer_from
from labkit.mail.lookups import FileLine

PLACE = Place("exim.conf", 1)
D, H, L, A = ListKind.DOMAIN, ListKind.HOST, ListKind.LOCAL_PART, ListKind.ADDRESS
NAMED: dict[tuple[ListKind, str], PatternList] = {}
NAMED[D, "local_domains"] = compile_list(D, "here.test : *.here.test : lists.here.test", PLACE, NAMED)
NAMED[H, "relay_from_hosts"] = compile_list(H, "127.0.0.1 : <; ::1 : 198.51.100.0/24", PLACE, NAMED)
ANSWERS: dict[Question[Any], Any] = {FileLine("/f", "here.test"): "data"}


def microseconds(number: int, run: object) -> float:
    return min(timeit.repeat(run, number=number, repeat=5)) / number * 1e6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind, text, subject, first, again",
    [
        (D, "+local_domains", "lists.here.test", 200, 2),
        (D, "! +local_domains", "far.test", 200, 2),
        (H, "127.0.0.1 : 198.51.100.0/24 : 203.0.113.0/24", "203.0.113.9", 200, 2),
        (L, r"^[./|] : ^.*[@%!] : ^.*/\.\./", "ann", 400, 2),
        (A, "*@+local_domains : bob@b.test", "bob@b.test", 300, 2),
    ],
)
def test_plain(
    kind: ListKind, text: str, subject: str, first: float, again: float, capsys: pytest.CaptureFixture[str]
) -> None:
    env = Env(here=Here("mx.here.test"), named=NAMED)
    patterns = compile_list(kind, text, PLACE, NAMED)

    def anew() -> None:
        next(patterns.asking(subject, env, remembers=False), None)

    reading = microseconds(20, lambda: compile_list(kind, text, PLACE, NAMED).can_ask)
    unseen = microseconds(300, anew)
    seen = microseconds(3000, lambda: patterns.look(subject, env))
    with capsys.disabled():
        print(f"\n{reading:7.1f} us read, {unseen:6.2f} us first, {seen:6.3f} us again: {text[:60]}", end="")
    assert reading < first
    assert seen < again


@pytest.mark.parametrize("text", ["lsearch;/f", "${if eq{$domain}{here.test}{$domain}{x}} : +local_domains"])
def test_asking(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = Env({"domain": "here.test"}, here=Here("mx.here.test"), named=NAMED)
    patterns = compile_list(D, text, PLACE, NAMED)
    running = microseconds(300, lambda: answer_from(ANSWERS, patterns.asking("here.test", env)))
    with capsys.disabled():
        print(f"\n{running:6.2f} us run: {text}", end="")
    assert running < 200

"""Any list, any subject: a ConfigurationError when it is compiled, an answer when it is used, and soon."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.expansion import Defer, Env, Failure
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, Match, PatternList, check_names, compile_list, split_list
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import FileLine, FileText, FolderEntry, PasswdLine, Unanswered
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, MxOf, MxRecord, NamesOf

PLACE = Place("exim.conf", 1)
HERE = Here("mx.test", ("192.0.2.1",))
NAMED: dict[tuple[ListKind, str], PatternList] = {}
for kind in ListKind:
    NAMED[kind, "ours"] = compile_list(kind, "!a.test : *.test : ^b : +others", PLACE, NAMED)
    NAMED[kind, "others"] = compile_list(kind, "+caseful : ${if eq{$domain}{b}{b}fail} : +ours", PLACE, NAMED)
    NAMED[kind, "looked"] = compile_list(kind, "partial-lsearch;/f : /list", PLACE, NAMED)
PIECES = st.one_of(
    st.sampled_from(
        """+ours +others +looked +nosuch +caseful +include_unknown +ignore_defer ! : ; , <; @ @[] @@ @mx_any
        @mx_secondary/ignore= * *. ^ ^(a+)+$ ^( \\N $domain ${if $ lsearch; partial-lsearch;/f net24-lsearch;/f /list
        /missing a.test b 192.0.2.1 /24 10.1 ::1 :: sqlite, passwd; dsearch;/ wildlsearch;/f > ret=key""".split()
    ),
    st.text("ab.*!+:;<@^/$ 1\\{}", max_size=4),
    st.text(max_size=3),
)
SUBJECTS = st.sampled_from(
    ["", "a.test", "x.A.test", "ann@a.test", "192.0.2.1", "::ffff:1.2.3.4", "@"]
) | st.text(max_size=8)


def answer(question: Question[Any]) -> Any:
    if isinstance(question, FileText):
        return "!a.test\n*.b # c\n^(\n@@lsearch;/f\n10.1\nx;y\n^a$b: x\n"
    if isinstance(question, FileLine):
        return "!a : b : *x : >a" if question.key else None
    if isinstance(question, FolderEntry):
        return True
    if isinstance(question, MxOf):
        return DnsAnswer(DnsOutcome.FOUND, (MxRecord(1, "a.test"), MxRecord(2, "b")))
    if isinstance(question, AddressesOf):
        outcome = DnsOutcome.SERVFAIL if question.host == "b" else DnsOutcome.FOUND
        return DnsAnswer(outcome, ("192.0.2.1",) if outcome is DnsOutcome.FOUND else ())
    if isinstance(question, NamesOf):
        return DnsAnswer(DnsOutcome.FOUND, ("a.test",))
    return None if isinstance(question, PasswdLine) else Unanswered("?")


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(ListKind), st.lists(PIECES, max_size=8), SUBJECTS, st.booleans(), st.booleans())
def test_any_list(kind: ListKind, pieces: list[str], subject: str, expands: bool, caseful: bool) -> None:
    text = "".join(pieces)
    try:
        patterns = compile_list(kind, text, PLACE, NAMED, expands=expands)
    except ConfigurationError:
        return
    env = Env({"local_part": "x"}, here=HERE, named=NAMED)
    found = answer_by(answer, patterns.asking(subject, env, caseful=caseful))
    assert isinstance(found, (Match, Failure, Defer))
    assert (env.depth, env.numbers, env.value, "domain" in env.variables) == (0, (), "", False)
    if not patterns.can_ask and not caseful:
        assert patterns.look(subject, env) == found
        assert patterns.look(subject, env) == found
    assert all(isinstance(name, str) for name in check_names(patterns, NAMED))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(ListKind), st.text(max_size=30), st.text(max_size=10))
def test_any_text(kind: ListKind, text: str, subject: str) -> None:
    test_any_list.hypothesis.inner_test(kind, [text], subject, True, False)  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.text(st.sampled_from(":;<, \n\\ab"), max_size=12))
def test_items_are_no_longer_than_the_list(text: str) -> None:
    items = split_list(text)
    assert sum(map(len, items)) <= len(text)
    assert all(item == item.lstrip(" \t\v\f\r") for item in items)


@pytest.mark.parametrize(
    "text",
    [":" * 1_000_000, "a" * 1_000_000, "a : " * 10_000, " " * 1_000_000, "!" * 1_000_000, "a::" * 333_333,
     "<\n" + "\n" * 20_000, "a@" * 200_000, "\\N" * 100_000, "+x : " * 5_000],
)  # fmt: skip
def test_a_long_list_in_no_time(text: str) -> None:
    began = time.process_time()
    for kind in (ListKind.DOMAIN, ListKind.ADDRESS):
        patterns = compile_list(kind, text, PLACE, {})
        answer_by(answer, patterns.asking("x" * 1000 + "@y", Env()))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a*)*b", "^.*.*.*.*.*b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.process_time()
    patterns = compile_list(ListKind.LOCAL_PART, pattern, PLACE, {}, expands=False)
    assert isinstance(answer_by(answer, patterns.asking("a" * 300 + "!", Env())), Match)
    assert time.process_time() - began < 2

"""Whatever a text says: an outcome or our own error, soon, and no more."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.expansion import Env, Failure, Tainted, Value, compile_text
from labkit.eximconf.expansion.files import entries, find_line
from labkit.eximconf.expansion.outcomes import Stop
from labkit.eximconf.expansion.patterns import MOST_WAYS, compiled, match
from labkit.eximconf.expansion.regex_machine import Run
from labkit.eximconf.expansion.syntax import CONDITIONS, ITEMS, OPERATORS
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import FileLine, FileText, Unanswered, Unopened

PLACE = Place("exim.conf", 1)
WORDS = sorted({*ITEMS, *OPERATORS, *CONDITIONS})
PIECES = st.one_of(
    st.sampled_from([f"${{{name}" for name in [*ITEMS, *OPERATORS]]),
    st.sampled_from(WORDS),
    st.sampled_from(
        ["{", "}", "{", "}", "}}", ":", "fail", "$", "$value", "$1", "$h_a:", "\\N", "\\", "!", "<,", "3"]
    ),
    st.sampled_from(
        ["$domain", "$acl_m_x", "lsearch", "wildlsearch", "{/file}", "^(a+)+", "_1", "=", "a=b", "0"]
    ),
    st.text(max_size=4),
)


def answer(question: Question[Any]) -> Any:
    if isinstance(question, FileText):
        return "^a$b: x\n${: y\n*: z\n"
    if isinstance(question, FileLine):
        return Unopened("No such file or directory") if question.file == "/missing" else "data"
    return Unanswered("?")


def expand(text: str) -> Any:
    env = Env({"domain": "a.test"}, headers=[("A", " b\n")])
    return answer_by(answer, compile_text(text, PLACE).asking(env))


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=14))
def test_any_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        outcome = expand(text)
    except ConfigurationError:
        return
    assert isinstance(getattr(outcome, "text", getattr(outcome, "message", None)), str)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(WORDS), st.lists(st.text(max_size=6), max_size=4), st.text(max_size=3))
def test_any_arguments(name: str, arguments: list[str], rest: str) -> None:
    braces = "".join(f"{{\\N{argument}\\N}}" for argument in arguments)
    for text in (
        f"${{{name}{braces}{rest}}}",
        f"${{{name}:{''.join(arguments)}}}",
        f"${{if {name}{braces}{{y}}{{n}}}}",
    ):
        try:
            expand(text)
        except ConfigurationError:
            continue


@pytest.mark.parametrize("depth", [300, 5000])
@pytest.mark.parametrize(
    "opening, closing",
    [
        ("${if eq{a}{a}{", "}}"),
        ("${lc:", "}"),
        ("${sg{", "}{a}{b}}"),
        ("${if and{{eq{", "}{a}}}}"),
        ("and{{", "}}"),
        ("${map{a}{", "}}"),
        ("${lookup{", "}lsearch{/f}}"),
    ],
)
def test_too_deep_is_named(opening: str, closing: str, depth: int) -> None:
    with pytest.raises(ConfigurationError, match="one inside the other"):
        compile_text("${if " * (opening[0] == "a") + opening * depth + "a" + closing * depth, PLACE)


def test_fifty_deep_is_fine() -> None:
    assert expand("${lc:" * 50 + "A" + "}" * 50) == Value("a")


def test_signs_and_parentheses_are_limited() -> None:
    for text in ("(" * 5000, "-" * 5000 + "1", "~" * 60 + "1"):
        outcome = expand(f"${{eval:{text}}}")
        assert isinstance(outcome, Failure)
        assert "signs or parentheses" in outcome.message


def test_an_expansion_cannot_expand_itself_for_ever() -> None:
    env = Env({"acl_m_x": "${expand:$acl_m_x}"})
    outcome = answer_by(answer, compile_text("${expand:$acl_m_x}", PLACE).asking(env))
    assert isinstance(outcome, Failure)
    assert "one inside the other" in outcome.message
    assert env.depth == 0


@pytest.mark.parametrize(
    "subject, pattern, found, because",
    [
        ("a" * 26 + "!", "^(a+)+$", False, "two repetitions, one in the other: 2^26 ways"),
        ("a" * 3000 + "!", "^(a+)+$", False, "and a longer text"),
        ("a" * 20000, "(a*)*b", False, "an empty repetition inside"),
        ("a" * 30, "(a?){30}a{30}", True, "thirty times perhaps"),
        ("x" * 3000, "^(a|b|x|ab)*y", False, "a choice that repeats"),
        ("a" * 5000, ".*.*.*b", False, "three in a row: the cube of the length"),
        ("1.2." * 9, r"^(\d{1,3}\.){3}\d{1,3}$", False, "harmless: `re` may have it"),
    ],
)
def test_no_pattern_takes_long(subject: str, pattern: str, found: bool, because: str) -> None:
    began = time.process_time()
    assert (match(subject, pattern) is not None) == found, because
    assert time.process_time() - began < 2, because


def test_the_steps_are_counted() -> None:
    outcome = expand("${if match{" + "a" * 40 + r"}{^((a+)+)\\2\\2\\2b\$}}")
    assert isinstance(outcome, Failure)
    assert "steps" in outcome.message


REGEX = r"a b . (a (?:b ) | * + ? *? {1,2} [ab] [^a] ^ $ \b (?=a)".split()


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(REGEX), max_size=8).map("".join), st.text("ab\n", max_size=8))
def test_the_machine_agrees_with_re(pattern: str, text: str) -> None:
    """Where Python reads the same syntax, both ways must find the same."""
    try:
        expected = re.compile(pattern).search(text)
        ours = compiled(pattern)
    except (re.error, Stop):
        return
    if ours.safe_length * len(text) > MOST_WAYS:
        return
    by_machine = Run(ours.program, ours.pattern.groups, text).search(0)
    assert (None if by_machine is None else by_machine[:2]) == (None if expected is None else expected.span())
    by_either = ours.search(text)
    assert (None if by_either is None else by_either[:2]) == (None if expected is None else expected.span())


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_pattern(pattern: str) -> None:
    outcome = expand("${if match{abc}{\\N" + pattern.replace("\\N", "") + "\\N}}")
    assert outcome is not None


@settings(deadline=None)
@given(st.text(), st.text(max_size=5))
def test_any_file(text: str, key: str) -> None:
    assert all(isinstance(data, str) for _, data in entries(text))
    find_line(text, key)


@settings(deadline=None)
@given(st.text())
def test_a_value_is_never_expanded_again(value: str) -> None:
    outcome = compile_text("<$domain>", PLACE).expand(Env({"domain": value}))
    assert outcome == Value(f"<{value}>")
    assert isinstance(outcome, Value)
    assert outcome.is_tainted == bool(value)
    assert type(outcome.text) is (Tainted if value else str)


@pytest.mark.parametrize(
    "piece", ["\\N", "$domain", "\\\\", "x", "${lc:A}", "}", "{", "${if eq{a}{a}{", "$h_a"]
)
def test_a_megabyte_in_no_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    with contextlib.suppress(ConfigurationError):
        expand(text)
    assert time.process_time() - began < 6


LONG = """${map{%s}{$item}} ${listcount:%s} ${addresses:%s} ${extract{b}{%s}} ${rxquote:%s} ${rfc2047:%s} ${quote:%s}
${filter{%s}{eq{a}{$item}}} ${sort{%s}{lt}{x}} ${sg{%s}{a}{b}}""".split()


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("piece", ["a:", "::", '"', "a=1 ", "(", "<a@b>,", "=", " "])
def test_long_values_in_no_time(text: str, piece: str) -> None:
    began = time.process_time()
    expand(text % (piece * (20_000 // len(piece))))
    assert time.process_time() - began < 2

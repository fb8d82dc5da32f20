"""The pure rooms are pure and forget no question; and the checker that says so can see."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pure_rooms
import pytest

PREFACE = """
from labkit.mail.asking import Asking, Question, answer_from, ask

def drive(answers: object, asking: Asking[int]) -> int: ...
def is_local(domain: str) -> Asking[bool]:
    return (yield from ask(Question()))
"""


def offences(text: str) -> list[str]:
    return [found.words for found in pure_rooms.check_sources({"room.py": PREFACE + dedent(text)})]


def test_rooms_of_labkit(root: Path) -> None:
    found = pure_rooms.check(root / "labkit")
    assert not found, "\n".join(map(str, found))


def test_all_rooms_are_read(root: Path) -> None:
    """A room that lost its files, or its name, would pass unread."""
    read = {path.parent.name for path in (root / "labkit").glob("*/*.py")} & set(pure_rooms.ROOMS)
    assert read >= {"mail", "filters"}


@pytest.mark.parametrize(
    "line, because",
    [
        ("import os", "the system"),
        ("import os.path as p", "a part of a foreign module is foreign"),
        ("from asyncio import Queue", "an event loop"),
        ("from urllib import request", "a foreign part of a harmless package"),
        ("import concurrent.futures", "threads"),
        ("def f() -> None:\n    import socket", "inside a function too"),
        ("import datetime as dt\nborn = dt.datetime.now()", "the wall clock under another name"),
        ("from datetime import datetime as D\ndefault = D.utcnow", "the wall clock handed on, not called"),
        ("from datetime import date\nborn = date.today()", "the day is the wall clock's too"),
        ("text = open('aliases').read()", "a file"),
        ("import io\ntext = io.open('aliases')", "a file by the back door"),
        ("from io import open as look", "a file by the back door, renamed"),
        ("print('seen')", "the screen"),
        ("answer = input()", "the keyboard"),
        ("m = __import__('os')", "an import by the back door"),
    ],
)
def test_sees_what_is_foreign(line: str, because: str) -> None:
    assert len(offences(line)) == 1, because


@pytest.mark.parametrize(
    "line, because",
    [
        ("import io\nbuffer = io.BytesIO()", "bytes in memory"),
        ("from datetime import datetime, timedelta, time\nday = datetime(2026, 1, 1)", "a value, no clock"),
        ("from urllib.parse import quote", "text"),
        ("from . import os", "a module of ours"),
        ("def f(now: object) -> None:\n    now.today()", "no date class"),
    ],
)
def test_lets_pass_what_is_ours(line: str, because: str) -> None:
    assert offences(line) == [], because


@pytest.mark.parametrize(
    "body, because",
    [
        ("def f() -> Asking[int]:\n    is_local('a.test')\n    yield", "a line of its own: nothing happens"),
        ("def f() -> Asking[int]:\n    if is_local('a.test'):\n        yield", "a generator is always true"),
        ("def f() -> Asking[int]:\n    a = ask(Question())\n    yield", "the answer is no answer"),
        ("def f() -> Asking[bool]:\n    yield ask(Question())", "yield, and `from` forgotten"),
        ("def f() -> Asking[bool]:\n    yield\n    return is_local('a')", "a generator returns a generator"),
        ("def f() -> bool:\n    return is_local('a.test')", "the annotation hides it"),
        ("def f() -> Asking[bool]:\n    return not is_local('a')", "not the call itself is returned"),
        ("def f() -> Asking[bool]:\n    return lambda: is_local('a')", "a lambda is another function"),
        ("x = bool(is_local('a.test'))", "bool() takes no Asking"),
        (
            "class R:\n    def route(self) -> 'Asking[int]': ...\n    def f(self) -> None:\n        self.route()",
            "a method; the annotation in quotes",
        ),
        ("def f(router: object) -> None:\n    router.is_local('a.test')", "a method by its name"),
    ],
)
def test_sees_a_forgotten_question(body: str, because: str) -> None:
    assert len(offences(body)) == 1, because


@pytest.mark.parametrize(
    "body, because",
    [
        ("def f() -> Asking[bool]:\n    return (yield from is_local('a'))", "as it should be"),
        ("def f() -> Asking[bool]:\n    return is_local('a.test')", "handed on as it is"),
        ("x = drive({}, is_local('a.test'))", "a driver takes an Asking"),
        ("x = drive({}, asking=is_local('a.test'))", "also by name"),
        ("known = {'local': is_local}", "the function, not a call"),
        (
            "def f() -> Asking[bool]:\n    return (yield from (is_local('a') if x else is_local('b')))",
            "one of two",
        ),
        ("def f() -> Later:\n    return lambda: is_local('a')", "whoever gets it asks"),
        ("def f(is_local: Plain) -> None:\n    is_local('a')", "what is handed in may be anything"),
        (
            "def f() -> None:\n    def is_local() -> bool: ...\n    is_local()",
            "the nearer one may mean another",
        ),
        (
            "class A:\n    def look(self) -> Asking[int]: ...\nclass B:\n    def look(self) -> int: ...\n"
            "    def f(self) -> int:\n        return self.look()",
            "self tells which",
        ),
    ],
)
def test_lets_pass_a_question_asked(body: str, because: str) -> None:
    assert offences(body) == [], because

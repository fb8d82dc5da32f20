"""Closures of two colours, and how they are put together.

WHAT       Code holds what runs: `plain` is an ordinary function of the Env, `asking` a generator that yields questions.
           What can ask nothing has both; `plain` is None where something below may ask.
HOW        strict things are put together by `strict`, once for each colour. What must choose is written once, as a
           generator (`written`), and becomes plain by itself when nothing inside it asks.
READ NEXT  compiler.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.outcomes import joined
from labkit.mail.asking import Asking

T = TypeVar("T")
Plain = Callable[[Env], T]
Asker = Callable[[Env], Asking[T]]


class Code(Generic[T]):
    """What a node of the tree became. `tainted`: the result may be a stranger's choice."""

    __slots__ = ("asking", "constant", "plain", "tainted")

    def __init__(
        self, plain: Plain[T] | None, asking: Asker[T], *, tainted: bool = False, constant: str | None = None
    ) -> None:
        self.plain = plain
        self.asking = asking
        self.tainted = tainted
        self.constant = constant


def pure(run: Plain[T], *, tainted: bool = False, constant: str | None = None) -> Code[T]:
    """Code that asks nothing."""

    def asking(env: Env) -> Asking[T]:
        return run(env)
        yield

    return Code(run, asking, tainted=tainted, constant=constant)


def constant(text: str) -> Code[str]:
    return pure(lambda env: text, constant=text)


def asks(run: Asker[T], *, tainted: bool = False) -> Code[T]:
    """Code that may ask."""
    return Code(None, run, tainted=tainted)


def written(run: Asker[T], inside: Sequence[Code[Any] | None], *, tainted: bool = False) -> Code[T]:
    """Code written as a generator, which asks only what the codes inside it ask."""
    if any(code is not None and code.plain is None for code in inside):
        return asks(run, tainted=tainted)

    def plain(env: Env) -> T:
        try:
            next(run(env))
        except StopIteration as end:
            result: T = end.value
            return result
        raise AssertionError("nothing inside asks")

    return Code(plain, run, tainted=tainted)


def strict(run: Callable[..., T], arguments: Sequence[Code[str]], *, tainted: bool = False) -> Code[T]:
    """Evaluate all arguments, then call `run` with them."""
    plains = [code.plain for code in arguments]
    if all(plain is not None for plain in plains):
        return pure(_applied(run, [plain for plain in plains if plain is not None]), tainted=tainted)

    def asking(env: Env) -> Asking[T]:
        values = []
        for code in arguments:
            values.append(code.plain(env) if code.plain is not None else (yield from code.asking(env)))
        return run(*values)

    return asks(asking, tainted=tainted)


def _applied(run: Callable[..., T], plains: list[Plain[str]]) -> Plain[T]:
    if len(plains) == 1:
        (only,) = plains
        return lambda env: run(only(env))
    if len(plains) == 2:
        first, second = plains
        return lambda env: run(first(env), second(env))
    return lambda env: run(*[plain(env) for plain in plains])


def side_by_side(parts: Sequence[Code[str]], *, wants_taint: bool) -> Code[str]:
    """One text out of several."""
    tainted = any(part.tainted for part in parts)
    join: Callable[[list[str]], str] = joined if tainted and wants_taint else "".join
    plains = [part.plain for part in parts if part.plain is not None]
    if len(plains) == len(parts):
        return pure(lambda env: join([plain(env) for plain in plains]), tainted=tainted)

    def asking(env: Env) -> Asking[str]:
        pieces = []
        for part in parts:
            pieces.append(part.plain(env) if part.plain is not None else (yield from part.asking(env)))
        return join(pieces)

    return asks(asking, tainted=tainted)

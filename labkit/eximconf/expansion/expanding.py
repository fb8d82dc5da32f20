"""Expand a text that only turns up while expanding: `${expand:`, the replacement of sg, keys of wildlsearch.

RULES      a stranger's text is never expanded; how deep expansions stand one inside the other is limited by name.
READ NEXT  calling.py
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from labkit.eximconf.expansion.code import Code
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.outcomes import Tainted, failed
from labkit.eximconf.expansion.scanner import DEEPEST, Refused
from labkit.mail.asking import Asking

_maker: list[Callable[[str, int], Code[str]]] = []  # engine.py sets it: the compiler knows this module
_EACH_COSTS = 12


def made_by(make: Callable[[str, int], Code[str]]) -> None:
    """Say who compiles a text at a depth."""
    _maker[:] = [make]


@lru_cache(maxsize=512)
def _made(text: str, depth: int) -> Code[str]:
    return _maker[0](text, depth)


def expand_again(text: str, env: Env) -> Asking[str]:
    """The expansion of `text`. Raises Stop."""
    if type(text) is Tainted and text:
        raise failed(f"attempt to expand tainted string '{text}'")
    if env.depth + _EACH_COSTS > DEEPEST:
        raise failed("too many expansions of expansions, one inside the other")
    env.depth += _EACH_COSTS
    try:
        code = _made(str(text), env.depth)
        return (yield from code.asking(env))
    except Refused as refused:
        raise failed(f"{refused.what} is not read by labkit") from None
    finally:
        env.depth -= _EACH_COSTS

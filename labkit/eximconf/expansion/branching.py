"""The ground of the compiler's families: what they need of each other, and `{yes}{no}` for look-ups and their like.

READ NEXT  deciding.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.code import Code
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.outcomes import ForcedFailure, Stop
from labkit.mail.asking import Asking


def forced(name: str) -> Stop:
    return Stop(ForcedFailure(f'"{name}" failed and "fail" requested'))


class Branch:
    """`{yes}{no}` behind something that gives a value or nothing."""

    def __init__(self, name: str, yes: Code[str] | None, no: Code[str] | None, *, fails: bool) -> None:
        self.name = name
        self.yes = yes
        self.no = no
        self.fails = fails
        self.codes = (yes, no)
        self.tainted = any(code is not None and code.tainted for code in self.codes) or yes is None

    def take(self, env: Env, value: str | None) -> Asking[str]:
        """$value is the value while `yes` is expanded."""
        if value is None:
            if self.fails:
                raise forced(self.name)
            return (yield from self.no.asking(env)) if self.no is not None else ""
        if self.yes is None:
            return value
        before, env.value = env.value, value
        try:
            return (yield from self.yes.asking(env))
        finally:
            env.value = before


class Families:
    """What every family of items may call."""

    watched = False

    def __init__(self, depth: int = 0, *, watched: bool = False) -> None:
        self.depth = depth
        self.watched = watched

    if TYPE_CHECKING:

        def text(self, text: tree.Text, *, wants: bool) -> Code[str]: ...
        def broken(self, before: list[Code[str]], problem: str) -> Code[str]: ...
        def condition(self, node: tree.Condition) -> Code[bool]: ...

    def branch(self, name: str, branches: tree.Branches, *, wants: bool) -> Branch:
        yes = None if branches.yes is None else self.text(branches.yes, wants=wants)
        no = None if branches.no is None else self.text(branches.no, wants=wants)
        return Branch(name, yes, no, fails=branches.fails)

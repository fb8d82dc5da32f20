"""The front door: compile a text once, expand it as often as needed.

WHAT       compile_text(text, place) gives a Compiled: `.expand(env)` where nothing can be asked, `.asking(env)` always;
           `.explain(env)` gives also the tree of what each part became.
RULES      a mistake in a text shows when it is expanded, as in Exim; only what labkit itself cannot do is refused here.
STANDARDS  Exim specification, chapter "String expansions"
READ NEXT  parser.py
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.code import Code
from labkit.eximconf.expansion.compiler import Compiler
from labkit.eximconf.expansion.env import Env, Step
from labkit.eximconf.expansion.expanding import made_by
from labkit.eximconf.expansion.outcomes import Outcome, Stop, Value
from labkit.eximconf.expansion.parser import parse
from labkit.eximconf.expansion.scanner import Refused, TooDeep
from labkit.eximconf.expansion.variables import TAINTED
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.mail.asking import Asking


@dataclass(frozen=True, slots=True)
class Compiled:
    """A text, ready to be expanded. `root` is its tree."""

    text: str
    root: tree.Text
    code: Code[str]

    @property
    def can_ask(self) -> bool:
        """Must it be driven (`asking`), or is it a plain function (`expand`)?"""
        return self.code.plain is None

    @property
    def may_be_tainted(self) -> bool:
        return self.code.tainted

    @property
    def strangers(self) -> tuple[str, ...]:
        """The variables that stand in the text itself and that a stranger can choose."""
        named = (part.name for part in self.root.parts if isinstance(part, tree.Variable))
        return tuple(name for name in named if name in TAINTED)

    def expand(self, env: Env) -> Outcome:
        """Expand a text that asks nothing. Raises TypeError for one that can ask."""
        plain = self.code.plain
        if plain is None:
            raise TypeError(f"this text may ask something, use asking(): {self.text!r}")
        value, item = env.value, env.item
        try:
            return Value(plain(env))
        except Stop as stop:
            env.value, env.item = value, item
            return stop.outcome

    def asking(self, env: Env) -> Asking[Outcome]:
        """Expand any text."""
        if self.code.plain is not None:
            return self.expand(env)
        value, item = env.value, env.item
        try:
            return Value((yield from self.code.asking(env)))
        except Stop as stop:
            env.value, env.item = value, item
            return stop.outcome

    def explain(self, env: Env) -> Asking[tuple[Outcome, Step]]:
        """Expand it and tell what each part of it became."""
        step = Step(self.text)
        code = Compiler(watched=True).text(self.root, wants=True)
        before, env.steps = env.steps, step.steps
        outcome: Outcome
        value, item = env.value, env.item
        try:
            outcome = Value((yield from code.asking(env)))
            step.result = outcome.text
        except Stop as stop:
            env.value, env.item = value, item
            outcome = stop.outcome
            step.failure = stop.outcome.message
        finally:
            env.steps = before
        return outcome, step


def code_of(text: str, depth: int = 0) -> Code[str]:
    """Raises Refused."""
    return Compiler(depth).text(parse(text, depth), wants=True)


made_by(code_of)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Compiled:
    root = parse(text)
    return Compiled(text, root, Compiler().text(root, wants=True))


def compile_text(text: str, place: Place) -> Compiled:
    """Compile a text. Raises ConfigurationError for what Exim can do and labkit cannot, and for too deep a nesting."""
    try:
        return _compiled(text)
    except TooDeep as refused:
        raise ConfigurationError(
            place, refused.what, "take it apart: set a variable to the inner part"
        ) from None
    except Refused as refused:
        raise ConfigurationError(
            place, f"{refused.what} is not read by labkit yet", "a real Exim can run it"
        ) from None

"""Expand a text as a host's MTA would: `exim -be TEXT`, with each step of it.

WHAT       `await expand(world.mine, "${lc:$local_part}", local_part="Ann")`; the variables are what a router knows.
           They are shown beside the command, as `exim -be` itself has no message and so no $local_part.
READ NEXT  ../tasks/exim_conf.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labkit.eximconf.expansion import Defer, Failure, ForcedFailure, Outcome, Step, Value, compile_text
from labkit.eximconf.place import ConfigurationError, Place, readable
from labkit.lab.host import Host
from labkit.mail.asking import answer_later
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST = 500


async def expand(host: Host, text: str, **variables: str) -> ExpansionView:
    """What becomes of a text; files and names are the host's. Raises NotThisEngine where the real Exim runs."""
    state = host.mta.state
    env = state.env()
    env.variables.update({name: _octets(value) for name, value in variables.items()})
    try:
        asking = compile_text(_octets(text), Place("what you typed", 1)).explain(env)
    except ConfigurationError as problem:
        return ExpansionView(text, f"Failed: {problem.problem}", variables=variables)
    outcome, step = await answer_later(state.answerer(env), asking)
    return ExpansionView(text, _in_words(outcome), step, variables)


def _octets(text: str) -> str:
    """As the configuration holds it: one character for each octet."""
    return text.encode("utf-8").decode("latin-1")


def _in_words(outcome: Outcome) -> str:
    if isinstance(outcome, Value):
        return readable(str(outcome.text))
    if isinstance(outcome, ForcedFailure):
        return "Forced failure"
    assert isinstance(outcome, (Failure, Defer))
    return f"Failed: {outcome.message}"


class ExpansionView(View):
    """A text, what became of its parts, and of the whole."""

    _HEAD = ("this", "became")

    def __init__(
        self, text: str, result: str, step: Step | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        self.title = f"$ exim -be '{clip(text, LONGEST)}'"
        given = ", ".join(f"${name} = {value}" for name, value in (variables or {}).items())
        self.given = clip(f"  (where {given})", LONGEST) if given else ""
        self.result = clip(result, LONGEST)
        self.rows = list(_rows(step.steps)) if step is not None else []

    def html(self) -> Markup:
        return join(
            tag("pre", tag("b", self.title), f"{self.given}\n{self.result}"),
            table(self._HEAD, self.rows, code=[0, 1]) if self.rows else None,
        )

    def text(self) -> str:
        return "\n".join(
            [
                f"{self.title}{self.given}",
                self.result,
                *([text_table(self._HEAD, self.rows)] if self.rows else []),
            ]
        )


def _rows(steps: list[Step]) -> Iterator[tuple[str, str]]:
    """The innermost first, as it is worked out. What failed is told by the result."""
    for step in steps:
        yield from _rows(step.steps)
        if not step.failure:
            yield clip(readable(step.source), LONGEST), clip(readable(str(step.result)), LONGEST)

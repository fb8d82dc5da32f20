"""An exercise of notebook 02a: three hosts cannot be reached. Who is in the way?

WHAT       `await port_cases()` plays three cases in a lab of its own and gives what was heard. `port 25` judges the
           student's words against what was really broken.
DECIDES    by the calls themselves: who answers from where. A refusal is an answer, silence is none.
STANDARDS  RFC 9293 §3.5.2 (a refused connection is answered by RST)
READ NEXT  relay_smarthost.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labkit.lab.reaching import REFUSED, Knock, knock
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.markup import Markup, join
from labkit.teach.view import View
from labkit.teach.views.reach import knocks

BLOCKED, NOBODY, SILENT_THERE = "blocked here", "nobody listens", "silent there"
WORDS = (BLOCKED, NOBODY, SILENT_THERE)


@dataclass(frozen=True, slots=True)
class Case:
    """What was heard in one case."""

    name: str
    found: tuple[Knock, ...]
    truth: str


class PortCases(View):
    """Three cases, as tables."""

    def __init__(self, cases: tuple[Case, ...]) -> None:
        self.cases = cases

    def html(self) -> Markup:
        return join(*(self._table(case).html() for case in self.cases))

    def text(self) -> str:
        return "\n\n".join(self._table(case).text() for case in self.cases)

    def _table(self, case: Case) -> View:
        view = knocks(case.found)
        view.title = f"Case {case.name}"
        return view


async def port_cases(world: World) -> PortCases:
    """Play them in a lab like this one, with the same names."""
    async with World(world.scenario, alongside=True) as lab:
        bigmail, other = lab.host("mx.bigmail.test"), lab.partner
        from_here, from_home = lab.mine, lab.laptop
        lab.faults.clear(lab.mine.name, "blocked")
        await other.stop()
        first = (
            await knock(from_here, other),
            await knock(from_home, other),
            await knock(from_here, bigmail),
        )
        await other.start()
        lab.faults.add(lab.mine.name, "blocked", port=25)
        second = (
            await knock(from_here, other),
            await knock(from_home, other),
            await knock(from_here, bigmail),
        )
        lab.faults.clear(lab.mine.name, "blocked")
        lab.faults.add(other.name, "silent")
        third = (
            await knock(from_here, other),
            await knock(from_home, other),
            await knock(from_here, bigmail),
        )
    return PortCases((Case("A", first, NOBODY), Case("B", second, BLOCKED), Case("C", third, SILENT_THERE)))


@exercise("port 25", "Three hosts that cannot be reached, and who is in the way")
def port_25(answers: Mapping[str, object]) -> Verdict:
    """Compare the words with what was broken."""
    cases = answers.get("cases") if isinstance(answers, Mapping) else None
    if not isinstance(cases, PortCases):
        return todo('Put the cases themselves under "cases": answers = {"cases": cases, "A": "", ...}.')
    given = {case.name: _plain(answers.get(case.name)) for case in cases.cases}
    if not any(given.values()):
        return todo(f"Who is in the way in each case? Write one of: {', '.join(WORDS)}.")
    for case in cases.cases:
        wrong = _wrong(case, given[case.name])
        if wrong is not None:
            return wrong
    return done(
        "A refusal is an answer: somebody is there and says no. Silence is none, and only a second place to "
        "call from "
        "tells whose silence it is.",
        [Seen(None, f"case {case.name}", f"{case.truth}: {case.found[0].words}") for case in cases.cases],
    )


def _plain(answer: object) -> str:
    return " ".join(answer.lower().split()).strip(".") if isinstance(answer, str) else ""


def _wrong(case: Case, given: str) -> Verdict | None:
    first = case.found[0]
    seen = Seen(None, f"case {case.name}", f"{first.outcome} after {first.seconds} s: {first.words}")
    if given == case.truth:
        return None
    if not given:
        return hint(f"There is no answer yet for case {case.name}.")
    if given not in WORDS:
        return hint(
            f"Case {case.name}: {given[:40]!r} is none of the three. Write one of: {', '.join(WORDS)}."
        )
    if first.outcome == REFUSED and given == BLOCKED:
        return hint(
            f"Case {case.name}: the answer was there in the same second. A cloud that swallows port 25 "
            f"answers "
            "nothing: you would have waited. Who can say no at once?",
            seen,
        )
    if first.outcome == REFUSED:
        return hint(
            f"Case {case.name}: 'Connection refused' is an answer, and somebody has given it. A silent host "
            f"gives "
            "none.",
            seen,
        )
    if given == NOBODY:
        return hint(
            f"Case {case.name}: where nobody listens at a port, the machine says so at once: Connection "
            f"refused. "
            "Here nothing came back at all.",
            seen,
        )
    if case.truth == BLOCKED:
        return hint(
            f"Case {case.name}: the laptop, which is somewhere else, gets an answer from the very same "
            f"port. So that "
            "host is not silent. What do the lines that failed have in common?",
            seen,
        )
    return hint(
        f"Case {case.name}: your host reaches port 25 of another machine in the third line, so it is let "
        f"out. Who is "
        "silent for everybody?",
        seen,
    )

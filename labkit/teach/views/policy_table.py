"""An MTA-STS policy and what it means for each mail exchanger: may mail go there, and by which line of the policy?

WHAT       `await policy_table(world, "bigmail.test")`: the domain's mail exchangers as the DNS names them now, judged
           by the policy that applies. `agent`: with what it remembers, else as who asks for the first time.
           `attacks_table(played)` shows what `play_all` brought.
RULES      what stands in a policy is text of others: escaped, cut.
STANDARDS  RFC 8461 §4
READ NEXT  ../../auth/mta_sts.py
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from labkit.auth.mta_sts import StsResult, discover, judge_exchange
from labkit.lab.one_letter import AllPlayed
from labkit.lab.policy_agent import PolicyAgent
from labkit.lab.world import World
from labkit.mail.asking import answer_later
from labkit.mail.questions import MxOf
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, tag, visible
from labkit.teach.tables import WIDTH, folded, table, text_table
from labkit.teach.view import View

MOST_EXCHANGERS = 20
LONGEST = 300
_ALLOWED = {True: "yes", False: "no: it waits"}


async def policy_table(world: World, domain: str, agent: PolicyAgent | None = None) -> PolicyTable:
    """The policy of a domain, for each of its mail exchangers. Raises WrongKind."""
    expect(world, World, 'policy_table(world, "bigmail.test")')
    expect(domain, str, 'policy_table(world, "bigmail.test")')
    cached = None if agent is None else agent.cache.get(domain.lower())
    found = await answer_later(world.ask, discover(domain, world.now().timestamp(), cached))
    answer = await world.ask(MxOf(domain))
    exchanges = [record.exchange for record in sorted(answer.records)]
    return PolicyTable(found, exchanges)


class TableView(View):
    """A title, a line of text and a table."""

    head: Sequence[str] = ()
    title = ""
    line = ""
    rows: Sequence[Sequence[str]] = ()
    code: Sequence[int] = ()

    def html(self) -> Markup:
        return tag("div", tag("p", self.line), table(self.head, self.rows, self.title, code=self.code))

    def text(self) -> str:
        rows = folded(self.head, [[visible(cell) for cell in row] for row in self.rows], len(self.head) - 1)
        return "\n".join([fill(visible(self.line), WIDTH), text_table(self.head, rows, visible(self.title))])


class PolicyTable(TableView):
    """What `policy_table` gives; `found` is the policy with its steps."""

    head = ("mail exchanger", "line of the policy", "may mail go there?", "because")
    code = (0, 1)

    def __init__(self, found: StsResult, exchanges: Sequence[str]) -> None:
        self.found = found
        self.title = f"The mail exchangers of {clip(found.domain, 80)}"
        self.line = clip(f"{found.result}, mode {found.mode}: {found.reason}", LONGEST)
        verdicts = [judge_exchange(found, each) for each in exchanges[:MOST_EXCHANGERS]]
        self.rows = [
            (
                clip(each.exchange, 80),
                "" if each.pattern is None else f"mx: {clip(each.pattern, 80)}",
                _ALLOWED[each.is_allowed] + (", and it is reported" if each.is_reported else ""),
                f"{clip(each.words, LONGEST)} [{each.source}]",
            )
            for each in verdicts
        ]


class AttacksTable(TableView):
    """What `attacks_table` gives."""

    head = ("case", "Mallory", "what came of it", "because")

    def __init__(self, played: AllPlayed[Any]) -> None:
        self.rows = played.rows()
        engines = sorted({each.letter.engine for each in played.played})
        self.title = f"One letter to Carol, and Mallory on the way (played on: {', '.join(engines)})"
        stolen = sum(each.letter.with_mallory > 0 for each in played.played)
        self.line = f"{len(played.played)} cases: {stolen} letters stolen, none lost without a trace."
        if any(not each.letter.with_mallory and not each.letter.with_carol for each in played.played):
            self.line = f"{len(played.played)} cases: {stolen} letters stolen; some still wait."


def attacks_table(played: AllPlayed[Any]) -> AttacksTable:
    """What each attack got. Raises WrongKind."""
    expect(played, AllPlayed, "attacks_table(await play_all())")
    return AttacksTable(played)

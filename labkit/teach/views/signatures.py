"""Check the DKIM signatures of copies of a message now, with what the lab's DNS says.

WHAT       `await signatures(world, {"as it came": letter, "one octet changed": changed})`: a row for each signature.
RULES      the time is the lab's; the evaluator is the auth room's.
STANDARDS  RFC 6376 §6
READ NEXT  judged.py
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_verify import verify
from labkit.lab.world import World
from labkit.mail.asking import answer_later
from labkit.mail.message import Message, with_crlf
from labkit.teach.given import expect
from labkit.teach.markup import Markup
from labkit.teach.tables import table, text_table
from labkit.teach.view import View


async def signatures(world: World, copies: Mapping[str, Message | bytes]) -> SignaturesView:
    """Verify every signature of each copy. Raises WrongKind for what is no world."""
    expect(world, World, 'signatures(world, {"a name": message})')
    expect(copies, Mapping, 'signatures(world, {"a name": message})')
    found = {}
    for name, copy in copies.items():
        content = copy if isinstance(copy, bytes) else bytes(copy)
        asking = verify(with_crlf(content), world.now().timestamp())
        found[name] = await answer_later(world.ask, asking)
    return SignaturesView(found)


class SignaturesView(View):
    """A table; `found` has the results of each copy."""

    _HEAD = ("copy", "d=", "s=", "algorithm", "result", "does not fit", "not covered")

    def __init__(self, found: Mapping[str, tuple[DkimResult, ...]]) -> None:
        self.found = found
        self.title = "DKIM signatures, checked now"
        self.rows = [
            (
                name,
                each.domain,
                each.selector,
                each.algorithm,
                each.result,
                each.broken or ("" if each.result == "pass" else each.reason),
                f"{each.not_covered} octets" if each.not_covered else "",
            )
            for name, results in found.items()
            for each in results
        ] + [(name, "", "", "", "none", "", "") for name, results in found.items() if not results]

        is_limited = any(row[-1] for row in self.rows)  # by l=, which is rare
        self.head = self._HEAD if is_limited else self._HEAD[:-1]

    @property
    def _shown(self) -> list[tuple[str, ...]]:
        return [row[: len(self.head)] for row in self.rows]

    def html(self) -> Markup:
        return table(self.head, self._shown, self.title, code=[1, 2])

    def text(self) -> str:
        return text_table(self.head, self._shown, self.title)

"""What the resolver of a host remembers, as a table.

WHAT       `remembered(world.mine)`: each name with the answer, and how long it is believed yet, in lab time.
STANDARDS  RFC 1034 §3.6 (TTL), RFC 2308 §5 (negative answers)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from labkit.lab.host import Host
from labkit.lab.outside_engine import OutsideEngine
from labkit.mail.questions import DnsOutcome, MxRecord
from labkit.teach.markup import Markup, clip, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST_DATA = 200


@runtime_checkable
class _Remembers(Protocol):
    def cached(self) -> Iterable[Any]: ...


def remembered(host: Host) -> CacheView:
    """What the resolver of a host remembers now.

    Raises NotThisEngine on a host that runs the real Exim: Exim leaves remembering to the machine's resolver.
    """
    engine = host.engine
    resolver = engine.resolver if isinstance(engine, OutsideEngine) else host.mta.state.resolver
    if not isinstance(resolver, _Remembers):
        raise TypeError(f"the resolver of {host.name} remembers nothing")
    rows = [
        (entry.name, entry.rdtype, _recalled(entry.answer), f"{int(entry.remaining.total_seconds())} s")
        for entry in resolver.cached()
    ]
    return CacheView(host.name, rows)


def _recalled(answer: Any) -> str:
    if answer.outcome is not DnsOutcome.FOUND:
        return str(answer.outcome.value)
    return "\n".join(
        f"{record.preference} {record.exchange}"
        if isinstance(record, MxRecord)
        else clip(str(record), LONGEST_DATA)
        for record in answer.records
    )


class CacheView(View):
    """The table of a cache."""

    _HEAD = ("name", "type", "answer", "is forgotten in")

    def __init__(self, host: str, rows: list[tuple[str, str, str, str]]) -> None:
        self.rows = rows
        self.title = f"What {host} remembers" if rows else f"{host} remembers nothing"

    def html(self) -> Markup:
        return table(self._HEAD, self.rows, self.title, code=[0, 1, 2]) if self.rows else tag("p", self.title)

    def text(self) -> str:
        return text_table(self._HEAD, self.rows, self.title) if self.rows else self.title

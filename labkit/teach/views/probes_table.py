"""Probes: what a host says to RCPT, asked by a stranger and by the host's own laptop; and what changed since.

WHAT       `await probe(world.mine, ["ann@st11.sne21.test", …])` asks and shows a table; nothing is sent.
           `what_changed(before, after)` compares two of them: the lines of the configuration, the name in the
           greeting, and each reply.
READ NEXT  probes_configure.py
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View
from labkit.teach.views.probes_talk import Answers, ask_whom

LONGEST_REPLY = 300
LONGEST_LINE = 200
AROUND = 1  # lines of the file shown above and below those that changed
_ENGINES = {"labkit": "labkit's own MTA", "exim": "the real Exim"}


async def probe(host: Host, recipients: Sequence[str]) -> Probes:
    """Ask the host about each recipient, first as a stranger (somebody else's laptop), then as its own laptop.

    Raises ValueError for a recipient with a line end in it.
    """
    laptops = sorted(host.world.laptops.values(), key=lambda laptop: laptop.mail_host == host.name)
    strangers, own = laptops[:-1], laptops[-1]
    callers = [*strangers[:1], own]
    answers = [await ask_whom(host, caller, recipients) for caller in callers]
    heard = {
        (recipient, _who(caller, host)): reply
        for caller, each in zip(callers, answers)
        for recipient, reply in zip(recipients, each.replies)
    }
    return Probes(host.name, host.engine.name, host.configuration, _greeting(answers[0]), heard)


def _who(caller: Laptop, host: Host) -> str:
    if caller.mail_host != host.name:
        return "a stranger"
    return "your laptop" if host.role == "student" else "its own laptop"


def _greeting(answers: Answers) -> str:
    return answers.greets_as or answers.greeting


@dataclass(frozen=True, slots=True, repr=False)
class Probes(View):
    """What was asked and said, and the configuration at that time. `heard` is by recipient and caller."""

    host: str
    engine: str
    configuration: str
    greets_as: str
    heard: dict[tuple[str, str], str]

    @property
    def callers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(caller for _, caller in self.heard))

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(recipient for recipient, _ in self.heard))

    @property
    def head(self) -> tuple[str, ...]:
        return ("RCPT TO", *(f"{caller} hears" for caller in self.callers))

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return [
            (f"<{recipient}>", *(_short(self.heard[recipient, caller]) for caller in self.callers))
            for recipient in self.recipients
        ]

    @property
    def title(self) -> str:
        return f"{self.host} ({_ENGINES[self.engine]}) greets as {clip(self.greets_as, LONGEST_LINE)}"

    def html(self) -> Markup:
        return table(self.head, self.rows, self.title, code=range(len(self.head)), whole=[0])

    def text(self) -> str:
        return text_table(self.head, self.rows, self.title)

    def __repr__(self) -> str:
        return self.text()


def what_changed(before: Probes, after: Probes) -> ChangeView:
    """What is different: in the file, and in what the host says."""
    return ChangeView(before, after)


class ChangeView(View):
    """The lines of the file that went and came, and the replies that are not what they were."""

    _HEAD = ("RCPT TO", "who hears", "before", "now")

    def __init__(self, before: Probes, after: Probes) -> None:
        self.lines = list(_differences(before.configuration, after.configuration))
        self.rows = [row for recipient in after.recipients for row in _changes(recipient, before, after)]
        if before.greets_as != after.greets_as:
            self.rows.insert(0, ("(greeting)", "everybody", before.greets_as, after.greets_as))
        self.stayed = sum(before.heard.get(key) == reply for key, reply in after.heard.items())
        self.engine = "" if before.engine == after.engine else _ENGINES[after.engine]

    @property
    def _of_the_file(self) -> str:
        if self.lines:
            return "What changed in exim.conf"
        return f"exim.conf is the same{f', and {self.engine} reads it now' if self.engine else ''}."

    @property
    def _of_the_rest(self) -> str:
        if not self.rows:
            return f"What the host says is the same: {self.stayed} of {self.stayed} replies."
        if not self.stayed:
            return ""
        return f"{self.stayed} other {'reply is' if self.stayed == 1 else 'replies are'} the same."

    @property
    def _listing(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def html(self) -> Markup:
        marked = [tag("b", f"{line}\n") if sign.strip() else join(f"{line}\n") for sign, line in self.lines]
        code = [0, 2, 3]
        return join(
            tag("p", tag("b", self._of_the_file)),
            tag("pre", *marked) if marked else None,
            table(self._HEAD, self.rows, "What the host says", code=code, whole=[0, 1])
            if self.rows
            else None,
            tag("p", self._of_the_rest) if self._of_the_rest else None,
        )

    def text(self) -> str:
        parts = [self._of_the_file, self._listing]
        if self.rows:
            parts.append(text_table(self._HEAD, self.rows, "\nWhat the host says"))
        return "\n".join(part for part in [*parts, self._of_the_rest] if part)


def _changes(recipient: str, before: Probes, after: Probes) -> Iterator[tuple[str, str, str, str]]:
    """The replies about a recipient that are not what they were: one row if all callers hear the same."""
    changed = [
        (caller, before.heard.get((recipient, caller), "(not asked)"), after.heard[recipient, caller])
        for caller in after.callers
        if before.heard.get((recipient, caller)) != after.heard[recipient, caller]
    ]
    if len(changed) == len(after.callers) and len({row[1:] for row in changed}) == 1:
        changed = [("everybody", *changed[0][1:])]
    for caller, was, now in changed:
        yield f"<{recipient}>", caller, _short(was), _short(now)


def _differences(before: str, after: str) -> Iterator[tuple[str, str]]:
    """The lines that differ, each with its sign and number; a line around them; "…" between the places.

    Blanks inside a line do not count: Exim does not care how a value is aligned.
    """
    old, new = before.splitlines(), after.splitlines()
    was, now = ([" ".join(line.split()) for line in lines] for lines in (old, new))
    matcher = difflib.SequenceMatcher(None, was, now, autojunk=False)
    for number, group in enumerate(matcher.get_grouped_opcodes(AROUND)):
        if number:
            yield " ", "     …"
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                yield from _numbered(" ", new, j1, j2)
            else:
                yield from _numbered("-", old, i1, i2)
                yield from _numbered("+", new, j1, j2)


def _numbered(sign: str, lines: Sequence[str], first: int, last: int) -> Iterator[tuple[str, str]]:
    for at in range(first, last):
        yield sign, f"{sign} {at + 1:3}  {clip(lines[at], LONGEST_LINE)}".rstrip()


def _short(reply: str) -> str:
    return clip(reply, LONGEST_REPLY)

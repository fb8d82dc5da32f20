"""A TLS handshake step by step: what everybody on the way reads, beside what only the two ends know.

WHAT       `show(await watch_handshake(…))`: a player, with arrow keys and predictions, and as text a table.
           `before_and_after(handshake)`: the server's offer before STARTTLS and inside TLS, side by side.
DECIDES    what differs from run to run is left out: random numbers, keys, and the sizes of encrypted certificates. The
           sizes of what is said afterwards are shown: they are what an eavesdropper has.
SAFE       names, certificates and lines are text of others: escaped, cut, hidden characters visible.
READ NEXT  handshake_words.py, ../static/handshake.js, ../../lab/handshakes.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from labkit.lab.handshakes import LINE, Handshake, Seen
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import LiveView, View
from labkit.teach.views.handshake_words import FLIGHT, Question, meaning, question_before

LONGEST = 400
MOST_CIPHERS = 3  # of an offer; the rest is counted
MOST_STEPS = 120
ENCRYPTED_ALERT = 19  # octets of a record of TLS 1.3: how both say goodbye
_HEAD = ("", "who", "on the wire: everybody reads", "at the two ends: nobody else knows")
_WIDTHS = (3, 3, 51, 45)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the player."""

    speaker: str
    title: str
    wire: tuple[str, ...]
    inside: tuple[str, ...]
    words: str
    source: str
    is_readable: bool
    question: Question | None = None


class HandshakeView(LiveView):
    """The player."""

    script = "handshake.js"

    def __init__(self, handshake: Handshake, *, predict: bool = True) -> None:
        super().__init__()
        self.handshake = handshake
        self.predict = predict

    def steps(self) -> list[Step]:
        """All of them, in order."""
        found = list(_steps(self.handshake, self.predict))
        if len(found) <= MOST_STEPS:
            return found
        rest = Step("", f"{len(found) - MOST_STEPS:,} more steps", (), (), "", "", False)
        return [*found[:MOST_STEPS], rest]

    @property
    def title(self) -> str:
        it = self.handshake
        return f"TLS: {_shown(it.client)} (C) calls {_shown(it.server)} (S), port {it.port}"

    def state(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "steps": [asdict(step) for step in self.steps()],
            "ending": self._ending(),
        }

    def _ending(self) -> list[str]:
        """What came of it, from the client's side."""
        it = self.handshake
        if it.trouble:
            return [f"The client hung up: {_shown(it.trouble)}"]
        if it.known is None:
            return [] if it.is_encrypted else ["There was no TLS: everybody on the way has read everything."]
        who = (
            "is who it should be" if it.check is not None and it.check.is_good else "has not proved who it is"
        )
        reason = f": {_shown(it.check.reason)}" if it.check is not None and it.check.reason else ""
        return [f"Agreed: {it.known.version}, {it.known.cipher}. The server {who}{reason}"]

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (str(number), step.speaker, "\n".join((step.title, *step.wire)), "\n".join(step.inside))
            for number, step in enumerate(self.steps(), 1)
        ]

    def html(self) -> Markup:
        rows = [
            (*row[:3], "\n".join(part for part in (row[3], step.words, step.source) if part))
            for row, step in zip(self._rows(), self.steps())
        ]
        ending = (tag("p", line) for line in self._ending())
        head = (*_HEAD[:3], "at the two ends, and what it is for")
        return join(tag("p", tag("b", self.title)), table(head, rows, code=[2]), *ending)

    def text(self) -> str:
        rows = [tuple(_folded(cell, width) for cell, width in zip(row, _WIDTHS)) for row in self._rows()]
        ending = [_folded(line, 110) for line in self._ending()]
        return "\n".join([self.title, text_table(_HEAD, rows), *ending])


def _steps(it: Handshake, predict: bool) -> Iterator[Step]:
    inside = list(it.inside)
    has_spoken = bool(inside)
    asked: set[str] = set()
    for each in it.seen:
        if has_spoken and not inside and each.kind in ("data", "alert"):
            yield Step("", "both say goodbye (close_notify)", (), (), "So nobody can cut off the end unseen.",
                       "RFC 8446 §6.1", False)  # fmt: skip
            return
        said = _taken(inside, each.speaker) if each.kind == "data" else []
        question = question_before(each.name) if predict and each.name not in asked else None
        asked.add(each.name)
        words, source = ("", "") if each.kind == LINE else meaning(each.name)
        yield Step(
            each.speaker,
            _title(each),
            tuple(_wire(it, each)),
            (*_known(it, each), *said),
            words,
            source,
            each.is_readable,
            question if each.speaker == "C" or each.kind != "data" else None,
        )


def _taken(inside: list[tuple[str, str]], speaker: str) -> list[str]:
    """The lines that this end says now."""
    found = []
    while inside and inside[0][0] == speaker:
        found.append(_shown(inside.pop(0)[1]))
    return found


def _title(each: Seen) -> str:
    if each.kind in ("secret", "data") or each.name.endswith("encrypted"):
        return f"({_shown(each.name)})"
    return _shown(each.name)


def _wire(it: Handshake, each: Seen) -> Iterator[str]:
    if each.kind == "secret":
        how = dict(each.facts).get("known", "")
        yield f"encrypted{f'; what it is, one knows {how}' if how else ''}"
    elif each.kind == "data":
        sizes = list(each.sizes)
        while len(sizes) > 1 and sizes[-1] == ENCRYPTED_ALERT:
            sizes.pop()
        count = f"{len(sizes)} records, " if len(sizes) > 1 else ""
        yield f"encrypted: {count}{sum(sizes):,} octets"
    elif each.kind == "rest":
        yield f"{sum(each.sizes):,} octets"
    else:
        for name, value in each.facts:
            yield f"{name}: {_shown(_short(value) if name in ('ciphers', 'groups') else value)}"
    for number, certificate in enumerate(it.certificates if each.certificates else ()):
        yield f"{number + 1}. {_shown(certificate.subject)}, signed by {_shown(certificate.issuer)}"


def _known(it: Handshake, each: Seen) -> Iterator[str]:
    """What the client knows at this step, and nobody on the way."""
    if it.known is None and not it.chain:
        return
    if each.speaker == "S" and each.name in (FLIGHT, "Certificate"):
        for number, certificate in enumerate(it.certificates):
            yield f"{number + 1}. {_shown(certificate.subject)}, signed by {_shown(certificate.issuer)}"
        if it.check is not None:
            yield f"chain and name: {'good' if it.check.is_good else _shown(it.check.reason)}"
    elif each.name == "Finished" and each.speaker == "C" and it.known is not None:
        yield f"agreed: {it.known.version}, {it.known.cipher}"


def _short(value: str) -> str:
    """The first of a long list."""
    found = value.split(", ")
    more = len(found) - MOST_CIPHERS
    return value if more <= 1 else ", ".join([*found[:MOST_CIPHERS], f"and {more} more"])


def _shown(text: str) -> str:
    return visible(clip(text, LONGEST))


def _folded(text: str, width: int) -> str:
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return "\n".join(lines)


@shows(Handshake)
def show_handshake(handshake: Handshake, *, predict: bool = True) -> HandshakeView:
    """The player. `predict=False`: nothing is asked."""
    return HandshakeView(handshake, predict=predict)


# --- EHLO before and after --------------------------------------------------------------------


class BeforeAndAfter(View):
    """The answers to EHLO in the clear and inside TLS, keyword by keyword."""

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        self.before = _offer(handshake.lines_in_clear)
        self.after = _offer(handshake.inside)

    def _rows(self) -> list[tuple[str, str, str]]:
        names = dict.fromkeys((*self.before, *self.after))
        return [
            (self.before.get(name, "-"), self.after.get(name, "-"), _change(name, self.before, self.after))
            for name in names
        ]

    @property
    def _head(self) -> tuple[str, str, str]:
        return (f"in the clear, port {self.handshake.port}", "inside TLS", "what changed")

    @property
    def _caption(self) -> str:
        return f"What {_shown(self.handshake.server)} answers to EHLO"

    def html(self) -> Markup:
        return table(self._head, self._rows(), self._caption, code=[0, 1])

    def text(self) -> str:
        rows = [tuple(_folded(cell, 45) for cell in row[:2]) + row[2:] for row in self._rows()]
        return text_table(self._head, rows, self._caption)


def before_and_after(handshake: Handshake) -> BeforeAndAfter:
    """The offer before STARTTLS and after it."""
    return BeforeAndAfter(handshake)


def _offer(lines: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The keywords of the last answer to EHLO, each with its line."""
    found: dict[str, str] = {}
    is_answer = False
    for speaker, line in lines:
        if speaker == "C":
            is_answer = line.upper().startswith("EHLO")
            found = {} if is_answer else found
        elif is_answer and line.startswith("250"):
            words = line[4:].split()
            found[words[0].upper() if found and words else "(the name)"] = _shown(line[4:])
    return found


def _change(name: str, before: dict[str, str], after: dict[str, str]) -> str:
    if name not in after:
        return "gone: it is begun already" if name == "STARTTLS" and after else "gone" if after else ""
    if name not in before:
        return "new: passwords only now" if name == "AUTH" and before else "new" if before else ""
    return "" if before[name] == after[name] else "changed"

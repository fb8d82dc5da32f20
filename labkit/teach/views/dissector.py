"""The header dissector: a message taken apart, checked again, and broken on purpose.

WHAT       `dissector(message, world)`: each field with who wrote it and what it means; the way with its delays; a
           slider for how far one trusts; findings. With a world SPF, DKIM and DMARC are checked again against its DNS,
           with the canonical octets and both hashes. One may change any octet, see what breaks, and undo it.
FROM       a message of a mailbox or a queue, bytes, the path of a file; in the browser also a paste, an upload, or
           any mailbox of the world. Without a message: one is chosen in the browser.
SAFE       all parsing is done here, in Python; the browser gets text that is cut and has no hidden characters.
READ NEXT  dissector_source.py, dissector_panels.py, dissector_recheck.py, dissector_checks.py, dissector_edit.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.headers import Dissection, dissect
from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.teach.given import expect
from labkit.teach.markup import Markup
from labkit.teach.view import LiveView
from labkit.teach.views import dissector_checks as checks
from labkit.teach.views import dissector_panels as panels
from labkit.teach.views import dissector_text
from labkit.teach.views.dissector_edit import in_words, name_of, place_of, text_of, with_text
from labkit.teach.views.dissector_recheck import Recheck, recheck, what_broke
from labkit.teach.views.dissector_source import (
    NoMessage,
    Pick,
    content_of,
    of_a_file,
    pasted,
    picks,
    uploaded,
)

MOST_EDITS = 100
NOTHING_BROKEN = (
    "No verdict has changed, and no good signature covers the message: nobody can notice the change."
)
Trusted = Collection[str] | int | None


@dataclass(slots=True)
class Subject:
    """The message on the table. `edits`: what it was before each edit, and the edit in words."""

    name: str
    content: bytes
    original: bytes
    trusted: Trusted = None
    edits: list[tuple[bytes, str]] = field(default_factory=list)
    first: Recheck | None = None  # of the original
    now: Recheck | None = None
    _last: tuple[bytes, Trusted, Dissection] | None = None

    @property
    def dissection(self) -> Dissection:
        """Of the message as it is now; done once for each change."""
        if self._last is None or self._last[0] is not self.content or self._last[1] != self.trusted:
            self._last = self.content, self.trusted, dissect(self.content, trusted=self.trusted)
        return self._last[2]


def dissector(
    message: object = None, world: World | None = None, *, trusted: Trusted = None, at: Host | None = None
) -> Dissector:
    """Take a message apart.

    `trusted`: the hosts that are believed (names, addresses, networks), or how many of the topmost Received fields;
    None: the host that wrote the topmost one. `at`: whose resolver is asked, with its cache; None: the nameserver.
    `await dissector(message, world).checked()` has SPF, DKIM and DMARC in its text, too. Raises NoMessage, OSError.
    """
    if world is not None:
        expect(world, World, "dissector(message, world)")
    view = Dissector(world, trusted, at)
    if message is not None:
        view.open("", content_of(message))
    return view


class Dissector(LiveView):
    """What `dissector` gives."""

    script = "dissector.js"

    def __init__(self, world: World | None, trusted: Trusted, at: Host | None) -> None:
        super().__init__()
        self.world, self.at, self._trusted = world, at, trusted
        self.subject: Subject | None = None
        self._offered: list[Pick] = []
        self._signature: int | None = None  # whose octets are shown
        self._editing: int | None = None
        self._busy = asyncio.Lock()
        self._said = ""
        self.look_around()

    # --- choosing a message -------------------------------------------------------------------

    def open(self, name: str, content: bytes) -> None:
        """Put a message on the table; of an mbox file the first, and the others are offered."""
        messages = of_a_file(name, content)
        if len(messages) > 1:
            self._offered = [*messages, *picks(self.world)]
        name, content = messages[0].label, messages[0].content
        self.subject = Subject(name, content, content, self._trusted)
        self._signature = self._editing = None
        self._said = f"A message of {len(content):,} octets."

    def look_around(self) -> None:
        """Look into the mailboxes of the lab again."""
        self._offered = picks(self.world)

    @property
    def _on_the_table(self) -> Subject:
        if self.subject is None:
            raise NoMessage("there is no message yet: paste one, upload one, or choose one of the lab")
        return self.subject

    # --- checking -----------------------------------------------------------------------------

    async def checked(self) -> Dissector:
        """Check SPF, DKIM and DMARC now; returns the view itself. Raises ValueError without a world."""
        async with self._busy:
            await self._check()
        self.refresh()
        return self

    async def _check(self) -> None:
        subject = self._on_the_table
        if self.world is None:
            raise ValueError("there is no lab to ask: give dissector() the world")
        if subject.first is None:
            original = dissect(subject.original, trusted=subject.trusted)
            subject.first = await recheck(subject.original, original, self.world, self.at)
        subject.now = subject.first
        if subject.content != subject.original:
            subject.now = await recheck(subject.content, subject.dissection, self.world, self.at)

    async def _check_again(self) -> None:
        """After a change; what was checked once is checked each time."""
        subject = self._on_the_table
        if subject.now is not None and self.world is not None:
            await self._check()

    # --- changing -----------------------------------------------------------------------------

    async def change(self, index: int, text: str) -> None:
        """Put another text in the place of a field (0 is the topmost) or of the body (-1). An empty one: it goes."""
        subject = self._on_the_table
        dissection = subject.dissection
        start, end = place_of(dissection, index, subject.content)
        before, old = subject.content, subject.content[start:end]
        after = with_text(dissection, index, before, text)
        words = in_words(name_of(dissection, index), old, after[start : len(after) - (len(before) - end)])
        self._editing = None
        if after == before:
            self._said = words
            return
        subject.edits = [*subject.edits[1 - MOST_EDITS :], (before, words)]
        subject.content, self._said = after, words
        await self._check_again()

    async def undo(self, *, everything: bool = False) -> None:
        """Take the last change back, or all of them."""
        subject = self._on_the_table
        if subject.edits:
            subject.content = subject.original if everything else subject.edits[-1][0]
            subject.edits = [] if everything else subject.edits[:-1]
            self._said = "It is as it came." if everything else "The last change is taken back."
            await self._check_again()
        self._editing = None

    def believe(self, level: int) -> None:
        """Trust so many of the topmost Received fields."""
        subject = self._on_the_table
        subject.trusted, subject.first = level, None

    async def hear(self, message: Mapping[str, Any]) -> None:
        """What the browser asks for."""
        async with self._busy:
            await self._do(message)
        self.refresh()

    async def _do(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"ask": "paste", "text": str(text)}:
                self.open("pasted", pasted(text))
            case {"ask": "upload", "name": str(name), "content": str(content)}:
                self.open(panels.shown(name, 80), uploaded(content))
            case {"ask": "pick", "number": int(number)} if 0 <= number < len(self._offered):
                pick = self._offered[number]
                self.open(pick.label, pick.content)
            case {"ask": "look"}:
                self.look_around()
                self._said = f"{len(self._offered)} messages lie in the mailboxes."
            case {"ask": "check"}:
                await self._check()
                self._said = "SPF, DKIM and DMARC were checked against the lab's DNS."
            case {"ask": "trust", "level": int(level)}:
                self.believe(level)
                await self._check_again()
            case {"ask": "octets", "number": int(number)}:
                self._signature = None if self._signature == number else number
            case {"ask": "edit", "index": int(index)}:
                text_of(
                    self._on_the_table.dissection, index, self._on_the_table.content
                )  # it may be too long
                self._editing = index
            case {"ask": "close"}:
                self._editing = None
            case {"ask": "change", "index": int(index), "text": str(text)}:
                await self.change(index, text)
            case {"ask": "undo"}:
                await self.undo()
            case {"ask": "original"}:
                await self.undo(everything=True)
            case _:
                raise ValueError("the dissector does not know this message")

    # --- what is shown ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        subject = self.subject
        return {
            "picks": [pick.label for pick in self._offered],
            "has_world": self.world is not None,
            "said": self._said,
            "message": None if subject is None else self._message_state(subject),
        }

    def _message_state(self, subject: Subject) -> dict[str, Any]:
        dissection = subject.dissection
        left_out = len(dissection.fields) - panels.MOST_FIELDS
        hops = len(dissection.hops) - panels.MOST_HOPS
        return {
            "name": subject.name,
            "summary": panels.summary(dissection),
            "fields": panels.fields_state(dissection, checks.vouched(dissection, subject.now)),
            "more_fields": f"{left_out:,} more fields are not shown." if left_out > 0 else "",
            "trust": panels.trust_state(dissection),
            "hops": panels.hops_state(dissection),
            "more_hops": f"{hops:,} more hops are not shown." if hops > 0 else "",
            "findings": panels.findings_state(dissection),
            "body": panels.body_state(subject.content, dissection),
            "checks": None if subject.now is None else checks.checks_state(subject.now),
            "claims": checks.claims_state(dissection),
            "octets": self._octets_state(subject),
            "editing": self._editing_state(subject, dissection),
            "edits": [words for _, words in subject.edits],
            "broken": self.broken(),
        }

    def _octets_state(self, subject: Subject) -> dict[str, Any] | None:
        if subject.now is None or self._signature is None or self._signature >= len(subject.now.dkim):
            return None
        return checks.octets_state(subject.now, self._signature)

    def _editing_state(self, subject: Subject, dissection: Dissection) -> dict[str, Any] | None:
        index = self._editing
        if index is None or index >= len(dissection.fields):
            return None
        text = text_of(dissection, index, subject.content)
        return {"index": index, "name": name_of(dissection, index), "text": text}

    def broken(self) -> list[str]:
        """What the changes have broken, verdict by verdict, and why."""
        subject = self.subject
        if subject is None or not subject.edits:
            return []
        if subject.first is None or subject.now is None:
            return ["Check the message, and see what the changes break."]
        words = what_broke(subject.first, subject.now, subject.original, subject.content)
        return [panels.shown(each) for each in words] or [NOTHING_BROKEN]

    # --- the static forms ---------------------------------------------------------------------

    def html(self) -> Markup:
        subject = self.subject
        if subject is None:
            return dissector_text.html_of_nothing()
        return dissector_text.html_of(subject.dissection, subject.now, self._changes)

    def text(self) -> str:
        subject = self.subject
        if subject is None:
            return dissector_text.NOTHING
        return dissector_text.text_of(subject.dissection, subject.now, self._changes)

    @property
    def _changes(self) -> list[str]:
        edits = [] if self.subject is None else [words for _, words in self.subject.edits]
        return [*edits, *self.broken()]

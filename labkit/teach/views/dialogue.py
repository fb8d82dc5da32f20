"""The dialogue player: an SMTP conversation line by line, each line explained, with what both sides know.

WHAT       `Dialogue` shows a Conversation. Stepping needs no kernel. With a session one can type to the server; from
           a cell, `await player.type("EHLO you.test")` does the same.
DECIDES    what one step is: a line, or all lines of a message's content together. What is too long or too much is
           cut, and says so. Which commands are suggested: those that lead on, by SERVER_TABLE.
SAFE       everything said is text: escaped in HTML, textContent in the browser, with hidden characters visible.
READ NEXT  ../static/dialogue.js, ../show.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from labkit.mail.reply import Reply
from labkit.smtp.pair import Exchange
from labkit.smtp.states import SERVER_TABLE, State, Step, Verb
from labkit.teach.conversation import Conversation, TypingSession, in_step
from labkit.teach.explain import Explainer, verdict
from labkit.teach.explanations import Explanation
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.show import shows
from labkit.teach.view import LiveView

LONGEST_LINE = 1000
MOST_STEPS = 400
MOST_CONTENT_LINES = 30

_SPEAKERS = {"C": "client", "S": "server"}
_NEW_CONNECTION = Explanation(
    "The client has called the server anew. Nothing said before counts any more.", "RFC 5321 §3.1"
)
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of the player. A speaker "" is a remark of the player itself."""

    speaker: str
    lines: tuple[str, ...]
    words: str
    source: str
    client: str  # where both sides stand
    server: str
    verdict: str = ""  # yes, go on, not now, no
    is_message: bool = False
    goes_on: bool = False  # the next line belongs to the same reply

    def plain(self) -> str:
        """The lines as text, each with its speaker."""
        if not self.speaker:
            return f"({self.lines[0]})"
        return "\n".join(f"{self.speaker}: {line}".rstrip() for line in self.lines)


class Dialogue(LiveView):
    """The player. `line` is the step it opens at, from 1."""

    script = "dialogue.js"

    def __init__(self, conversation: Conversation, *, line: int = 1) -> None:
        super().__init__()
        self.conversation = conversation
        self.client_name = _shown(conversation.client_name)
        self.server_name = _shown(conversation.server_name)
        self._session = conversation.session
        self._parts: list[list[Exchange]] = [in_step(conversation.exchanges)]
        self._has_called = False  # somebody has connected by hand
        self._focus = max(line, 1)
        self._busy = asyncio.Lock()

    # --- typing -------------------------------------------------------------------------------

    async def connect(self) -> Sequence[Exchange]:
        """Call the server anew, and show what it says. Raises ValueError without a session."""
        async with self._busy:
            return await self._connect()

    async def type(self, text: str) -> Sequence[Exchange]:
        """Say a line as the client, connecting first if need be; show and return what was said."""
        async with self._busy:
            if not self._typed_to.is_open:
                await self._connect()
            before = len(self.entries())
            said = await self._typed_to.type(text)
            self._parts[-1].extend(said)
            self._look_at(before + 1 if len(said) > 1 else before)
            return said

    async def hear(self, message: Mapping[str, Any]) -> None:
        """What the browser asks for: to connect, or to say a line."""
        match message:
            case {"ask": "type", "text": str(text)}:
                await self.type(text)
            case {"ask": "connect"}:
                await self.connect()
            case _:
                raise ValueError("the player does not know this message")

    async def _connect(self) -> Sequence[Exchange]:
        said = await self._typed_to.connect()
        self._has_called = True
        first = len(self.entries())
        if self._parts[-1]:
            self._parts.append([])
            first += 1  # after the remark that this is a new connection
        self._parts[-1].extend(said)
        self._look_at(first)
        return said

    @property
    def _typed_to(self) -> TypingSession:
        if self._session is None:
            raise ValueError("this conversation was recorded: there is no session to type to")
        return self._session

    def _look_at(self, index: int) -> None:
        """Let the browser step to that entry, or the nearest there is."""
        self._focus = min(index + 1, len(self.entries()))
        self.refresh()

    # --- what is shown ------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All steps, the middle left out if there are too many."""
        found = list(self._every_entry())
        if len(found) <= MOST_STEPS:
            return found
        half, left_out = MOST_STEPS // 2, len(found) - MOST_STEPS
        remark = replace(_remark(f"{left_out:,} lines are left out here"), client=found[half].client)
        return [*found[:half], replace(remark, server=found[half].server), *found[-half:]]

    def _every_entry(self) -> Iterator[Entry]:
        for number, part in enumerate(self._parts):
            if number:
                yield _remark(f"a new connection to {self.server_name}", _NEW_CONNECTION)
            yield from _entries(part)

    def state(self) -> dict[str, Any]:
        return {
            "client": self.client_name,
            "server": self.server_name,
            "entries": [asdict(entry) for entry in self.entries()],
            "focus": self._focus,
            "typing": self._typing(),
        }

    def _typing(self) -> dict[str, Any] | None:
        if self._session is None:
            return None
        server = self._parts[-1][-1].server if self._parts[-1] else ""
        is_open = self._session.is_open
        return {
            "open": is_open,
            "again": self._has_called,
            "content": server == State.CONTENT.value,
            "chips": suggestions(server, self.client_name) if is_open else [],
        }

    # --- the static forms ---------------------------------------------------------------------

    def text(self, *, explained: bool = False) -> str:
        """The numbered lines; with `explained`, what each means and how it changes what both sides know."""
        rows = [f"SMTP: {self.client_name} (C) talks to {self.server_name} (S)"]
        for number, entry, change in self._numbered():
            lines = entry.plain().replace("\n", "\n     ")
            rows.append(f"{number:3}  {lines}")
            if explained:
                rows += (f"       {line}" for line in (_sentence(entry), change) if line)
        return "\n".join(rows if len(rows) > 1 else [*rows, "     (nothing has been said yet)"])

    def html(self) -> Markup:
        """The same as a table, explained."""
        rows = [
            tag(
                "tr",
                tag("td", number, style=_CELL),
                tag("td", tag("b", _SPEAKERS.get(entry.speaker, "")), style=_CELL),
                tag("td", _code(entry), style=_CELL),
                tag("td", entry.words, _small(entry.source), _small(change), style=_CELL),
            )
            for number, entry, change in self._numbered()
        ]
        head = [tag("th", words, scope="col", style=_CELL) for words in ("", "who", "says", "which means")]
        title = join("SMTP: ", tag("b", self.client_name), " (client) talks to ", tag("b", self.server_name))
        if not rows:
            return tag("p", title, " (server). Nothing has been said yet.")
        table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), style="margin:0")
        return join(tag("p", title, " (server)"), table)

    def _numbered(self) -> Iterator[tuple[int, Entry, str]]:
        client, server = Step.BANNER.value, State.CONNECTED.value
        for number, entry in enumerate(self.entries(), 1):
            changes = []
            if entry.server not in (server, ""):  # "" is a side that tells nobody where it stands
                changes.append(f"server: {entry.server}")
            if entry.client not in (client, ""):
                changes.append(f"client: {entry.client}")
            client, server = entry.client, entry.server
            yield number, entry, "; ".join(changes)


@shows(Conversation)
def show_conversation(conversation: Conversation, *, line: int = 1) -> Dialogue:
    """The dialogue player, opened at that line."""
    return Dialogue(conversation, line=line)


@shows(Exchange, many=True)
def show_exchanges(
    exchanges: Sequence[Exchange], *, client: str = "client", server: str = "server", line: int = 1
) -> Dialogue:
    """The same for bare lines; the names of the two hosts are options."""
    return Dialogue(Conversation(client, server, exchanges), line=line)


def suggestions(server: str, client_name: str) -> list[dict[str, Any]]:
    """What could be typed to a server in that state to get on: label, text, and where the caret goes in it."""
    if server == State.CONTENT.value:
        return [_chip("Subject: "), _chip("", "an empty line"), _chip(".")]
    states = {state.value: state for state in State}
    if server not in states or states[server] in (State.CONNECTED, State.CLOSED):
        return []
    state = states[server]
    texts = {
        Verb.EHLO: _chip(f"EHLO {client_name}"),
        Verb.MAIL: _chip("MAIL FROM:<>", "MAIL FROM:<…>"),
        Verb.RCPT: _chip("RCPT TO:<>", "RCPT TO:<…>"),
    }
    return [
        texts.get(verb) or _chip(verb.value)
        for verb in (Verb.EHLO, Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.RSET, Verb.QUIT)
        if _leads_on(verb, state)
    ]


def _leads_on(verb: Verb, state: State) -> bool:
    following = SERVER_TABLE[verb][state]
    if isinstance(following, Reply) or following is None:
        return False
    if verb is Verb.EHLO:  # later it would only begin anew
        return state is State.GREETED
    return following is not state or verb is Verb.RCPT


def _chip(text: str, label: str = "") -> dict[str, Any]:
    return {"label": label or text, "text": text, "caret": text.find(">") if ">" in text else len(text)}


def _entries(exchanges: Sequence[Exchange]) -> Iterator[Entry]:
    """The steps of one connection: a line each, the content of a message in one."""
    explainer = Explainer()
    content: list[tuple[Exchange, Explanation]] = []
    is_reply_begun = False
    for line in exchanges:
        was_content = explainer.is_content
        explanation = explainer.hear(line.speaker, line.text)
        if was_content and explainer.is_content and line.speaker == "C":
            content.append((line, explanation))
            continue
        if content:
            yield _message(content)
            content = []
        is_reply = line.speaker != "C"
        goes_on = is_reply and bool(verdict(line.text)) and line.text[3:4] == "-"
        yield Entry(
            speaker="S" if is_reply else "C",
            lines=(_shown(line.text),),
            words=visible(explanation.words),
            source=explanation.source,
            client=_shown(line.client),
            server=_shown(line.server),
            verdict=verdict(line.text) if is_reply and not is_reply_begun else "",
            goes_on=goes_on,
        )
        is_reply_begun = goes_on
    if content:
        yield _message(content)


def _message(content: Sequence[tuple[Exchange, Explanation]]) -> Entry:
    lines = [_shown(line.text) for line, _ in content[:MOST_CONTENT_LINES]]
    if len(content) > MOST_CONTENT_LINES:
        lines.append(f"[and {len(content) - MOST_CONTENT_LINES:,} more lines]")
    meanings = dict.fromkeys(explanation for _, explanation in content)
    last = content[-1][0]
    return Entry(
        speaker="C",
        lines=tuple(lines),
        words=" ".join(visible(meaning.words) for meaning in meanings),
        source=", ".join(dict.fromkeys(meaning.source for meaning in meanings)),
        client=_shown(last.client),
        server=_shown(last.server),
        is_message=True,
    )


def _remark(words: str, explanation: Explanation | None = None) -> Entry:
    meaning = explanation or Explanation("", "")
    return Entry("", (words,), meaning.words, meaning.source, Step.BANNER.value, State.CONNECTED.value)


def _shown(text: str) -> str:
    return visible(clip(text, LONGEST_LINE))


def _sentence(entry: Entry) -> str:
    return f"{entry.words} [{entry.source}]" if entry.words else ""


def _code(entry: Entry) -> Markup:
    if not entry.speaker:
        return tag("em", entry.lines[0])
    if entry.is_message:
        return tag("pre", "\n".join(entry.lines), style="margin:0")
    return tag("code", entry.lines[0])


def _small(text: str) -> Markup | None:
    return join(tag("br"), tag("small", text)) if text else None

"""Say in plain English what a line of an SMTP conversation means.

WHAT       `explain(speaker, text, previous)` for one line; an `Explainer` follows a whole conversation, one `hear`
           after the other. The answer is an Explanation: words, and the RFC's section to read.
DECIDES    what a reply answers. Replies come in the order of the commands, also when several commands were sent in
           one go (RFC 2920), so the oldest command without an answer is the one.
RULES      it explains what was said and judges nothing; any bytes from any peer are explained, never refused.
READ NEXT  explanations.py has the sentences; views/dialogue.py shows them
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from collections.abc import Iterable

from labkit.smtp.states import Verb
from labkit.teach import explanations as table
from labkit.teach.explanations import Explanation
from labkit.teach.markup import clip

__all__ = ["Explainer", "Explanation", "explain", "verdict"]

LONGEST_LINE = 2000  # what is looked at; the RFC's own limit for a reply is 512 (RFC 5321 §4.5.3.1.5)
LONGEST_QUOTE = 80
_REPLY = re.compile(r"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_VERDICTS = frozenset({table.END, table.LAST, Verb.BDAT.value})  # what the reply to the message answers
_MAIL_COMMANDS = frozenset({Verb.HELO, Verb.EHLO, Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.RSET})
_PATH = re.compile(r"(?:MAIL +FROM|RCPT +TO) *: *(?:<([^>]*)>|(\S+))(.*)", re.IGNORECASE | re.DOTALL)
_OCTETS = re.compile(r"\(([0-9]+) octets of message, then a dot\)")
_PIECE = re.compile(r"\(([0-9]+) octets of (?:message|a piece of the message)\)")
_BDAT = re.compile(r"BDAT +([0-9]{1,18})( +LAST)? *", re.IGNORECASE)
_QUEUE_ID = re.compile(r"\b(?:id=|queued as )([A-Za-z0-9-]+)")
_ENHANCED = re.compile(r"[245]\.([0-9]{1,3})\.[0-9]{1,3}(?= |$)")


def explain(speaker: str, text: str, previous: Iterable[tuple[str, str]] = ()) -> Explanation:
    """Explain one line, "C" or "S", after the `previous` lines (speaker, text) of the same conversation."""
    explainer = Explainer()
    for line in previous:
        explainer.hear(*line)
    return explainer.hear(speaker, text)


def verdict(text: str) -> str:
    """What a reply comes to, by its first digit: yes, go on, not now, no. "" for what is no reply."""
    return table.VERDICTS.get(text[:1], "") if _REPLY.fullmatch(text) else ""


class Explainer:
    """Follows one conversation. `is_content` says whether the client's next line belongs to the message."""

    def __init__(self) -> None:
        self.is_content = False
        self._unanswered: deque[str] = deque([table.BANNER])
        self._piece = 0  # octets that are still to come after BDAT
        self._is_logging_in = False
        self._reply_lines = 0  # of the reply that is under way
        self._has_begun = False
        self._last_mail_command: Verb | None = None

    def hear(self, speaker: str, text: str) -> Explanation:
        """The next line of the conversation, explained."""
        length, text = len(text.encode("utf-8", "replace")), text[:LONGEST_LINE]
        if not self._has_begun and speaker == "C":  # we came in late: the banner is over
            self._unanswered.clear()
        self._has_begun = True
        return self._client(text, length) if speaker == "C" else self._server(text)

    # --- the client ---------------------------------------------------------------------------

    def _client(self, text: str, length: int) -> Explanation:
        if self._piece or (self._last_mail_command is Verb.BDAT and _PIECE.fullmatch(text)):
            return self._in_piece(text, length)
        if self.is_content:
            return self._content(text)
        if self._is_logging_in:
            return table.CREDENTIALS
        word, _, argument = text.partition(" ")
        try:
            verb = Verb(word.upper())
        except ValueError:
            self._unanswered.append(table.ANY)
            return table.UNKNOWN_COMMAND
        is_another = verb is Verb.RCPT and self._last_mail_command is Verb.RCPT
        if verb in _MAIL_COMMANDS:
            self._last_mail_command = verb
        if verb is Verb.BDAT:
            return self._bdat(text)
        self._unanswered.append(verb.value)
        if verb in (Verb.MAIL, Verb.RCPT):
            return _path(verb, text, is_another)
        argument = argument.strip()
        if not argument and verb in (Verb.HELO, Verb.EHLO):
            return table.NAMELESS
        return _fill(table.COMMANDS[verb], argument=argument or "it")

    def _bdat(self, text: str) -> Explanation:
        found = _BDAT.fullmatch(text)
        is_last = found is not None and bool(found[2])
        self._unanswered.append(table.LAST if is_last else Verb.BDAT.value)
        self._piece = int(found[1]) if found else 0
        self.is_content = self._piece > 0
        meaning = table.COMMANDS[Verb.BDAT]
        return _add(meaning, table.LAST_PIECE) if is_last else meaning

    def _in_piece(self, text: str, length: int) -> Explanation:
        octets = _PIECE.fullmatch(text)
        self._piece = 0 if octets else max(0, self._piece - length - len("\r\n"))
        self.is_content = self._piece > 0
        return _fill(table.PIECE, octets=f"{int(octets[1]):,}") if octets else table.PIECE_TYPED

    def _content(self, text: str) -> Explanation:
        octets = _OCTETS.fullmatch(text)
        if text == "." or octets:
            self.is_content = False
            self._unanswered.append(table.END)
            return _fill(table.OCTETS, octets=f"{int(octets[1]):,}") if octets else table.DOT
        return table.DOTTED if text.startswith(".") else table.CONTENT

    # --- the server ---------------------------------------------------------------------------

    def _server(self, text: str) -> Explanation:
        found = _REPLY.fullmatch(text)
        if found is None:
            return table.NO_REPLY
        code, words = int(found[1]), found[3] or ""
        asked = self._unanswered[0] if self._unanswered else table.ANY
        is_first, is_last = self._reply_lines == 0, found[2] != "-"
        self._reply_lines = 0 if is_last else self._reply_lines + 1
        if is_last:
            self._end_of_reply(asked, code)
        if asked == "EHLO" and code == 250 and not (is_first and is_last):
            return table.OFFERS if is_first else _extension(words)
        explanation = _by_words(words) if code >= 400 else None
        if explanation is None:
            explanation = _by_code(asked, found[1]) if is_first else table.SAME_REPLY
        if asked == "AUTH" and code == 334:
            return _question(explanation, words)
        if asked == table.LAST and code == 250:
            if not is_last and "byte chunk" in words:
                return table.COUNTED
            explanation = table.REPLIES[table.END, code] if is_last else explanation
        if asked in _VERDICTS and code == 250 and (queue_id := _QUEUE_ID.search(words)):
            explanation = _add(explanation, _fill(Explanation(table.QUEUE_ID, ""), id=queue_id[1]))
        if enhanced := _ENHANCED.match(words):
            subject = table.SUBJECTS.get(enhanced[1], "something else")
            explanation = _add(explanation, _fill(table.ENHANCED, enhanced=enhanced[0], subject=subject))
        return explanation

    def _end_of_reply(self, asked: str, code: int) -> None:
        self._is_logging_in = asked == "AUTH" and code == 334
        if self._unanswered and not self._is_logging_in:
            self._unanswered.popleft()
        if asked in (Verb.BDAT.value, table.LAST) and self._piece and code >= 400:
            self._piece = 0  # refused before the piece was sent
        self.is_content = self._piece > 0 or (asked == "DATA" and code == 354)


def _path(verb: Verb, text: str, is_another: bool) -> Explanation:
    found = _PATH.fullmatch(text)
    if found is None:
        return table.NO_SENDER if verb is Verb.MAIL else table.NO_RECIPIENT
    address = found[1] if found[1] is not None else found[2]
    explanation = _fill(table.ANOTHER_RECIPIENT if is_another else table.COMMANDS[verb], address=address)
    if verb is Verb.RCPT:
        return explanation
    if not address:
        explanation = table.NULL_SENDER
    for parameter in found[3].split():
        name, _, value = parameter.partition("=")
        if known := table.PARAMETERS.get(name.upper()):
            explanation = _add(explanation, _fill(known, value=value))
    return explanation


def _by_words(words: str) -> Explanation | None:
    small = words.lower()
    return next((meaning for part, meaning in table.BY_WORDS if part in small), None)


def _by_code(asked: str, code: str) -> Explanation:
    for key in ((asked, int(code)), (table.ANY, int(code))):
        if key[0] == table.ANY and asked in _VERDICTS and code[0] in "45":
            return table.NOT_KEPT_NOW if code[0] == "4" else table.NOT_KEPT
        if key in table.REPLIES:
            return table.REPLIES[key]
    digits = (table.FIRST_DIGIT[code[0]], table.SECOND_DIGIT.get(code[1], ""))
    return Explanation(" ".join(filter(None, digits)), table.DIGITS)


def _extension(words: str) -> Explanation:
    keyword, _, parameters = words.strip().partition(" ")
    keyword, parameters = keyword.upper(), parameters.strip()
    if keyword.startswith("AUTH="):  # the form of old servers
        keyword, parameters = "AUTH", keyword[5:] + " " + parameters
    if keyword == "SIZE" and not parameters.strip("0"):
        return table.UNLIMITED
    size = int(parameters[:20]) if parameters.isdecimal() else 0
    megabytes = f" ({size / 1e6:,.0f} MB)" if size >= 1_000_000 else ""
    meaning = table.EXTENSIONS.get(keyword, table.UNKNOWN_EXTENSION)
    shown = f"{size:,}" if keyword == "SIZE" and size else parameters
    return _fill(meaning, keyword=keyword, parameters=shown, megabytes=megabytes)


def _question(explanation: Explanation, words: str) -> Explanation:
    try:
        asked = base64.b64decode(words, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return explanation
    return _add(
        explanation, Explanation(f'Decoded it reads "{clip(asked, LONGEST_QUOTE)}".' if asked else "", "")
    )


def _add(explanation: Explanation, more: Explanation) -> Explanation:
    words = " ".join(filter(None, (explanation.words, more.words)))
    source = ", ".join(dict.fromkeys(filter(None, (explanation.source, more.source))))
    return Explanation(words, source)


def _fill(explanation: Explanation, **what: str) -> Explanation:
    quoted = {name: clip(value, LONGEST_QUOTE) for name, value in what.items()}
    return Explanation(explanation.words.format(**quoted), explanation.source)

"""Read rewriting rules: a pattern, a replacement, and letters that say where and how.

RULES      pattern and replacement may stand in quotes. Letters for where: E (all of the envelope) F T, h (all of the
           header) s f t c b r, S (the arguments of MAIL and RCPT, before they are read); none means everywhere but S.
           For how: Q (an address without domain gets one), q (the last rule), R (once more, up to ten times),
           w (the whole text of a header address, its name too).
STANDARDS  Exim specification, chapter "Address rewriting", sections "Rewriting patterns", "Rewriting flags"
READ NEXT  rewriter.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from labkit.eximconf.expansion import Compiled, compile_text
from labkit.eximconf.lists import ListKind, NamedLists, PatternList, compile_list
from labkit.eximconf.place import ConfigurationError
from labkit.eximconf.quoting import first_word
from labkit.eximconf.reader import LogicalLine


class Where(Enum):
    """Where an address stands, in the words of Exim's log."""

    SENDER = "sender:"
    FROM = "from:"
    TO = "to:"
    CC = "cc:"
    BCC = "bcc:"
    REPLY_TO = "reply-to:"
    ENVELOPE_FROM = "env-from"
    ENVELOPE_TO = "env-to"
    SMTP_SENDER = "smtp sender"
    SMTP_RECIPIENT = "smtp recipient"

    @property
    def is_header(self) -> bool:
        return self in _HEADER

    @property
    def is_smtp(self) -> bool:
        return self in _SMTP

    @property
    def may_be_null(self) -> bool:
        """Only a sender may become <>."""
        return self in (Where.ENVELOPE_FROM, Where.SMTP_SENDER)

    @property
    def is_recipient(self) -> bool:
        """Whether qualify_recipient completes it."""
        return self not in (Where.SENDER, Where.FROM, Where.REPLY_TO, Where.ENVELOPE_FROM, Where.SMTP_SENDER)


_HEADER = (Where.SENDER, Where.FROM, Where.TO, Where.CC, Where.BCC, Where.REPLY_TO)
_ENVELOPE = (Where.ENVELOPE_FROM, Where.ENVELOPE_TO)
_SMTP = (Where.SMTP_SENDER, Where.SMTP_RECIPIENT)
_PLACES: dict[str, tuple[Where, ...]] = {
    "h": _HEADER,
    "s": (Where.SENDER,),
    "f": (Where.FROM,),
    "t": (Where.TO,),
    "c": (Where.CC,),
    "b": (Where.BCC,),
    "r": (Where.REPLY_TO,),
    "E": _ENVELOPE,
    "F": (Where.ENVELOPE_FROM,),
    "T": (Where.ENVELOPE_TO,),
    "S": _SMTP,
}
_WAYS = "QqRw"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `addresses` is its pattern as a list of one item; `pattern` the text, for S rules."""

    pattern: Compiled
    addresses: PatternList | None
    replacement: Compiled
    places: frozenset[Where]
    qualifies: bool = False
    quits: bool = False
    repeats: bool = False
    is_whole: bool = False

    @property
    def can_ask(self) -> bool:
        listed = self.addresses is not None and self.addresses.can_ask
        return listed or self.pattern.can_ask or self.replacement.can_ask


def read_rules(
    lines: Iterable[LogicalLine], named: NamedLists, *, of_transport: bool = False
) -> tuple[Rule, ...]:
    """Read rules; those `of_transport` are for header fields only. Raises ConfigurationError."""
    return tuple(_read(line, named, of_transport) for line in lines)


def _read(line: LogicalLine, named: NamedLists, of_transport: bool) -> Rule:
    pattern, rest = first_word(line.text)
    if not rest:
        problem = "missing rewrite replacement string"
        raise ConfigurationError(line.place, problem, "write: pattern replacement flags")
    replacement, flags = first_word(rest)
    letters = flags.replace(" ", "").replace("\t", "")
    for letter in letters:
        if letter not in _PLACES and letter not in _WAYS:
            problem = (
                f"unknown rewrite flag character '{letter}' (could be missing quotes round replacement item)"
            )
            raise ConfigurationError(line.place, problem, f"flags are {''.join(_PLACES)}{_WAYS}")
    if "S" in letters and not pattern.startswith(("^", "\\N^")):
        problem = "rewrite rule has the S flag but is not a regular expression"
        raise ConfigurationError(line.place, problem, "begin the pattern with ^")
    places = frozenset(place for letter in letters for place in _PLACES.get(letter, ()))
    if not places:
        places = frozenset(_HEADER if of_transport else (*_HEADER, *_ENVELOPE))
    if of_transport and not places <= frozenset(_HEADER):
        problem = "rewrite rule specifies a non-header rewrite - not allowed at transport time -"
        raise ConfigurationError(line.place, problem, "leave out the flags E, F, T and S")
    needs_list = bool(places - frozenset(_SMTP))
    return Rule(
        compile_text(pattern, line.place),
        compile_list(ListKind.ADDRESS, pattern, line.place, named, is_one=True) if needs_list else None,
        compile_text(replacement, line.place),
        places,
        qualifies="Q" in letters,
        quits="q" in letters,
        repeats="R" in letters,
        is_whole="w" in letters,
    )


def places_of(rules: Sequence[Rule]) -> frozenset[Where]:
    """Everywhere that some rule changes something."""
    return frozenset(place for rule in rules for place in rule.places)

"""A pattern for a text: a regular expression, `*end`, a look-up, or the text itself.

WHAT       `string_pattern` makes the Pattern that domains, local parts and names of hosts have in common.
RULES      compared without case until +caseful; a regular expression sees the text as it was sent. What matches
           vouches for itself: $domain_data is the pattern, and for a look-up what was found.
           A regular expression that takes too many steps does not match, as with PCRE2's own limit.
STANDARDS  Exim specification, chapter "Domain, host, address, and local part lists"
READ NEXT  lookups.py, exchanges.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import patterns as regexes
from labkit.eximconf.expansion.outcomes import Stop, failed
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.lists.exchanges import exchange_pattern
from labkit.eximconf.lists.kinds import Context, Hit, Pattern, Subject
from labkit.eximconf.lists.lookups import failing, lookup_pattern


def string_pattern(written: str, context: Context, *, specials: bool) -> Pattern:
    """Make a Pattern. `specials`: @, @[] and @mx_… have their meaning."""
    if written.startswith("^"):
        return regex_pattern(written, context)
    if written.startswith("*"):
        return _tail(written, context)
    if specials and written.startswith("@"):
        if written == "@":
            return Pattern(_is_here)
        if written == "@[]":
            return Pattern(_is_literal)
        special = exchange_pattern(written, context)
        if special is not None:
            return special
    if ";" in written:
        return lookup_pattern(written, context)
    return _exact(written, context)


def regex_pattern(written: str, context: Context, *, sees_folded: bool = False) -> Pattern:
    """`^…`; `sees_folded`: not the text as it was sent, but in small letters."""
    try:
        regexes.compiled(written)
    except Stop as stop:
        problem = stop.outcome.message.partition('": ')[2] or stop.outcome.message
        return failing(failed(f"regular expression error: {problem} while compiling {written}"))
    caseless, data = f"(?i){written}", None if sees_folded else context.own(written)

    def plain(subject: Subject) -> Hit | None:
        text = subject.folded if sees_folded else subject.text
        try:
            found = regexes.match(text, written if subject.caseful else caseless)
        except Stop:
            return None
        if found is None:
            return None
        return Hit(data, (subject.zero(text), *found[1:])) if subject.numbered else Hit(data)

    return Pattern(plain)


def _tail(written: str, context: Context) -> Pattern:
    data, end = context.own(written), written[1:]
    lowered = lower(end)

    def plain(subject: Subject) -> Hit | None:
        text = subject.folded
        if not text.endswith(end if subject.caseful else lowered):
            return None
        if not subject.numbered:
            return Hit(data)
        return Hit(data, (subject.zero(text), subject.zero(text[: len(text) - len(end)])))

    return Pattern(plain)


def _exact(written: str, context: Context) -> Pattern:
    data, lowered = context.own(written), lower(written)

    def plain(subject: Subject) -> Hit | None:
        if subject.folded != (written if subject.caseful else lowered):
            return None
        return Hit(data, (subject.zero(subject.folded),) if subject.numbered else ())

    return Pattern(plain)


def _is_here(subject: Subject) -> Hit | None:
    """@: the name of this host."""
    name = subject.env.here.primary_hostname
    if subject.folded != (name if subject.caseful else lower(name)):
        return None
    return Hit(name, (subject.zero(subject.folded),) if subject.numbered else ())


def _is_literal(subject: Subject) -> Hit | None:
    """@[]: an address of this host in brackets (Exim is content with one of the two)."""
    text = subject.folded
    if not (text.startswith("[") or text.endswith("]")) or text[1:-1] not in subject.env.here.addresses:
        return None
    return Hit("@[]", (subject.zero(text),) if subject.numbered else ())

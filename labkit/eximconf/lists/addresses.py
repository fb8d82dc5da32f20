"""An item of an address list: `user@domain`, `*@domain`, a domain alone, `@@` look-ups.

WHAT       `address_pattern` decides by what was written: a regular expression and a look-up are for the whole address;
           `@@type;file` looks for the domain and finds a list of local parts; else the text behind the last @ is one
           item of a domain list, and what stands in front of it (if anything does) must be the local part, or its end
           behind a star.
RULES      the null sender matches the empty item, a regular expression, a look-up, and nothing else. Compared without
           case; behind +caseful neither the local part nor the domain is, but the domain that is looked for is in
           small letters. `>key` at the end of a list of local parts goes on with another key.
LIKE EXIM  $sender_data is pattern@what the domain item gives; of the pattern's local part 4.96 keeps as many
           characters as the subject's has, counted from the beginning: `*@d` of *@dom.test for ann@
STANDARDS  Exim specification, section "Address lists"
READ NEXT  items.py
"""

from __future__ import annotations

import re
from functools import lru_cache

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.lists.kinds import EMPTY, Context, Hit, Item, ListKind, Pattern, Subject
from labkit.eximconf.lists.lookups import failing, lookup_pattern
from labkit.eximconf.lists.patterns import regex_pattern, string_pattern
from labkit.eximconf.lists.walking import run, walk
from labkit.eximconf.place import ConfigurationError
from labkit.mail.asking import Asking

_LOOKUP = re.compile(r"[A-Za-z0-9-]*\*?@?;")
_MAGIC = ("", "[]", "mx_any", "mx_primary", "mx_secondary")
_LONGEST_CHAIN = 50
_NO_DOMAIN = Item("")


def address_pattern(written: str, context: Context) -> tuple[Pattern, Item]:
    """The Pattern of one item, and the item of a domain list in it."""
    if written.startswith("^"):
        return _of_addresses(regex_pattern(written, context, sees_folded=True)), _NO_DOMAIN
    if _LOOKUP.match(written):
        return _of_addresses(_whole(lookup_pattern(written, context))), _NO_DOMAIN
    if not written:
        return Pattern(lambda subject: None if subject.text else EMPTY), _NO_DOMAIN
    if written.startswith("@@"):
        return _of_addresses(_split(written[2:], context), needs_text=True), _NO_DOMAIN
    local, at, domain = written.rpartition("@")
    if at and local.endswith("@") and domain in _MAGIC:
        local, domain = local[:-1], f"@{domain}"
    item = context.item(ListKind.DOMAIN, domain)
    return _parts(written, local if at else None, item, context), item


def _of_addresses(pattern: Pattern, *, needs_text: bool = False) -> Pattern:
    """No domain, no match; only the null sender may be without one."""

    def fits(subject: Subject) -> bool:
        return "@" in subject.text or (not subject.text and not needs_text)

    plain, asking = pattern
    if plain is not None:
        run = plain
        return Pattern(lambda subject: run(subject) if fits(subject) else None)

    def checked(subject: Subject) -> Asking[Hit | None]:
        if asking is None or not fits(subject):
            return None
        return (yield from asking(subject))

    return Pattern(asking=checked)


def _whole(pattern: Pattern) -> Pattern:
    """A look-up of a whole address: `partial-` is not obeyed."""

    def asking(subject: Subject) -> Asking[Hit | None]:
        assert pattern.asking is not None, "a look-up asks"
        subject.partial = False
        try:
            hit = yield from pattern.asking(subject)
        finally:
            subject.partial = True
        return hit._replace(numbers=()) if hit is not None else None

    return Pattern(asking=asking)


def _parts(written: str, local: str | None, item: Item, context: Context) -> Pattern:
    """The local part, if one is written, and one item for the domain."""
    wants_end = local is not None and written.startswith("*")
    wanted = "" if local is None else local[1:] if wants_end else local
    lowered = lower(wanted)

    def fits(subject: Subject, text: str) -> bool:
        if local is None:
            return True
        told = wanted if subject.caseful else lowered
        return text.endswith(told) if wants_end else text == told

    def told(subject: Subject, text: str, hit: Hit, inside: str = "") -> Hit:
        kept, data = "" if local is None else written[: len(text)], hit.data
        shown = context.own(f"{kept}@{data or ''}") if kept or data is not None else None
        if not subject.numbered:
            return Hit(shown, inside=inside)
        star = (subject.zero(text[: len(text) - len(wanted)]),) if wants_end else ()
        return Hit(shown, (subject.zero(subject.text), *star, *hit.numbers[1:]), inside)

    def asking(subject: Subject) -> Asking[Hit | None]:
        text, at, domain = subject.folded.rpartition("@")
        if not at or not fits(subject, text):
            return None
        verdict = yield from walk((item,), subject.part(domain, numbered=subject.numbered))
        return told(subject, text, verdict.hit, verdict.why) if verdict.found else None

    of_domain = item.pattern.plain
    if of_domain is None:
        return Pattern(asking=asking)

    def plain(subject: Subject) -> Hit | None:
        text, at, domain = subject.folded.rpartition("@")
        if not at or not fits(subject, text):
            return None
        hit = of_domain(subject.part(domain, numbered=subject.numbered))
        if (hit is None) is not item.negated:
            return None
        return told(subject, text, hit or EMPTY)

    return Pattern(plain)


def _split(written: str, context: Context) -> Pattern:
    """`@@type;file`: the domain is the key of a list of local parts."""
    of_domain = string_pattern(written, context, specials=False)

    @lru_cache(maxsize=256)
    def read(text: str) -> tuple[Item, ...]:
        return tuple([_local_part(each, context) for each in split_list(text)])

    def asking(subject: Subject) -> Asking[Hit | None]:
        local, _, domain = subject.folded.rpartition("@")
        key: str | None = domain
        for _ in range(_LONGEST_CHAIN):
            if key is None or local == "*":
                return None
            found = yield from run(of_domain, _caseful(key, subject))
            if found is None:
                return None
            text, key = _chained(found.data or "")
            for item in read(text):
                hit = yield from run(item.pattern, subject.part(local))
                if hit is not None:
                    return None if item.negated else hit
        raise failed(f"Loop detected in lookup of local part of {subject.folded} in @@{written}")

    return Pattern(asking=asking)


def _caseful(text: str, subject: Subject) -> Subject:
    part = subject.part(text)
    part.caseful, part.folded = True, text
    return part


def _chained(text: str) -> tuple[str, str | None]:
    """A list of local parts, and the key with which it goes on."""
    head, colon, last = text.rpartition(":")
    last = last.lstrip(BLANKS)
    if not last.startswith(">"):
        return text, None
    return head + colon, last[1:].strip(BLANKS)


def _local_part(written: str, context: Context) -> Item:
    negated = written.startswith("!")
    bare = written[1:].lstrip(BLANKS) if negated else written
    try:
        return Item(written, negated, string_pattern(bare, context, specials=False))
    except ConfigurationError as problem:
        return Item(written, negated, failing(failed(problem.problem)))

"""Read one item of a list: its exclamation mark, and what stands behind it.

RULES      `!` negates; `/path` is a file whose lines are items; `+name` is a named list of the same kind, found when
           it is used; words such as +caseful belong to some kinds of lists only. A line of a file is no file and no
           named list; in files of addresses and local parts a # begins a comment only behind a blank.
STANDARDS  Exim specification, chapter "Domain, host, address, and local part lists"
READ NEXT  pattern_list.py
"""

from __future__ import annotations

from functools import lru_cache

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.lists.addresses import address_pattern
from labkit.eximconf.lists.hosts import host_pattern
from labkit.eximconf.lists.kinds import Context, Hit, Item, ListKind, Pattern, Subject
from labkit.eximconf.lists.lookups import failing
from labkit.eximconf.lists.patterns import string_pattern
from labkit.eximconf.place import ConfigurationError
from labkit.mail.asking import Asking

DEEPEST = 50  # lists one inside the other
_WORDS = {
    ListKind.DOMAIN: (),
    ListKind.HOST: ("+include_unknown", "+ignore_unknown", "+include_defer", "+ignore_defer"),
    ListKind.LOCAL_PART: ("+caseful",),
    ListKind.ADDRESS: ("+caseful",),
}
_LONGEST_LINE = 1023  # Exim reads a file in pieces of this length


def read_items(text: str, context: Context) -> tuple[Item, ...]:
    """All items of a list. Raises ConfigurationError for what Exim can do and labkit cannot."""
    return tuple([read_item(each, context) for each in split_list(text)])


def read_item(written: str, context: Context) -> Item:
    """One item. Raises ConfigurationError."""
    if written in _WORDS[context.kind]:
        return Item(written, word=written)
    negated = written.startswith("!")
    bare = written[1:].lstrip(BLANKS) if negated else written
    if bare.startswith("/"):
        return _file(written, negated, bare, context)
    if bare.startswith("+"):
        return _named(written, negated, bare[1:], context)
    if context.kind is ListKind.ADDRESS:
        pattern, domain = address_pattern(bare, context)
        return Item(written, negated, pattern, uses=domain.uses, refers=domain.refers)
    return Item(written, negated, single(bare, context))


def single(bare: str, context: Context) -> Pattern:
    """The Pattern of an item that is no file and no named list."""
    if context.kind is ListKind.HOST:
        return host_pattern(bare, context)
    if context.kind is ListKind.ADDRESS:
        return address_pattern(bare, context)[0]
    return string_pattern(bare, context, specials=context.kind is ListKind.DOMAIN)


def _named(written: str, negated: bool, name: str, context: Context) -> Item:
    kind, named = context.kind, context.named

    def asking(subject: Subject) -> Asking[Hit | None]:
        inner = named.get((kind, name))
        if inner is None:
            raise failed(f'unknown named {kind.called} list "+{name}"')
        if subject.depth >= DEEPEST:
            raise failed(f"{DEEPEST} lists one inside the other")
        subject.depth += 1
        try:
            verdict = yield from inner.within(subject, name)
        finally:
            subject.depth -= 1
        if not verdict.found:
            subject.left = verdict.hit
            return None
        return verdict.hit._replace(inside=verdict.why or verdict.item or "")

    return Item(written, negated, Pattern(asking=asking), refers=True, uses=((kind, name),))


def _file(written: str, negated: bool, path: str, context: Context) -> Item:
    if context.tainted:
        return Item(written, negated, failing(failed(f"Tainted name '{path}' for file read not permitted")))

    @lru_cache(maxsize=4)
    def lines(text: str) -> tuple[Item, ...]:
        return tuple(_lines(text, context))

    return Item(written, negated, file=path, lines=lines)


def _lines(text: str, context: Context) -> list[Item]:
    """The items of a file."""
    needs_blank = context.kind in (ListKind.ADDRESS, ListKind.LOCAL_PART)
    found = []
    for whole in text.split("\n"):
        for begin in range(0, len(whole), _LONGEST_LINE):
            line = _uncommented(whole[begin : begin + _LONGEST_LINE], needs_blank).strip(BLANKS)
            if line:
                found.append(_line(line, context))
    return found


def _uncommented(line: str, needs_blank: bool) -> str:
    at = line.find("#")
    while at > 0 and needs_blank and line[at - 1] not in BLANKS:
        at = line.find("#", at + 1)
    return line if at < 0 else line[:at]


def _line(line: str, context: Context) -> Item:
    negated = line.startswith("!")
    bare = line[1:].lstrip(BLANKS) if negated else line
    try:
        pattern = single(bare, context)
    except ConfigurationError as problem:
        pattern = failing(failed(problem.problem))
    return Item(line, negated, pattern, data=bare)

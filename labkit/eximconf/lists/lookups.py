"""Look-ups in lists: `lsearch;/file`, `partial-lsearch;/file`, `sqlite,file=/db;select …`.

WHAT       `lookup_pattern` looks for the subject itself as the key (or sends a query, which names its own); `searched`
           does it for a key that somebody else makes, as host lists do.
HOW        each key that is tried becomes `${lookup{$0}…{file}fail}`: the language of expansions does the work.
RULES      $domain_data is what was found; a partial match sets $1 to the wild part and $2 to the rest. A file that
           cannot be opened and a type that does not exist are failures; a stranger names no file.
STANDARDS  Exim specification, chapters "File and database lookups" and "Domain, host, address, and local part lists"
READ NEXT  hosts.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.code import Code
from labkit.eximconf.expansion.compiler import Compiler
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.files import wanted_keys
from labkit.eximconf.expansion.outcomes import ForcedFailure, Stop, failed
from labkit.eximconf.expansion.syntax import QUERIES, REFUSED_LOOKUPS, SINGLE_KEY
from labkit.eximconf.lists.kinds import Context, Hit, Pattern, Subject
from labkit.eximconf.place import ConfigurationError
from labkit.mail.asking import Asking

_PARTIAL = re.compile(r"partial([0-9]*)(?:\(([!-(*-/:-@\[-`{-~]*)\)|-)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Search:
    """A look-up item, read. `code` looks for the key that stands in $0."""

    kind: str
    partial: int | None
    affix: str
    star: str
    returns_key: bool
    code: Code[str]

    @property
    def is_query(self) -> bool:
        return self.kind in QUERIES


def lookup_pattern(written: str, context: Context) -> Pattern:
    """The Pattern of a look-up whose key is the subject."""
    try:
        search = read_search(written, context)
    except Stop as stop:
        return failing(stop)

    def asking(subject: Subject) -> Asking[Hit | None]:
        return (yield from searched(search, subject.folded, subject))

    return Pattern(asking=asking)


def failing(stop: Stop) -> Pattern:
    """An item that is wrong: who comes to it fails."""

    def asking(subject: Subject) -> Asking[Hit | None]:
        raise Stop(stop.outcome)
        yield

    return Pattern(asking=asking)


def read_search(written: str, context: Context, *, plain_types: bool = False) -> Search:
    """Read `type;where`. Raises Stop for what is wrong, ConfigurationError for what labkit cannot do.

    `plain_types`: no `partial-` and no star, as for addresses of hosts.
    """
    type_, _, where = written.partition(";")
    kind, options, partial, affix, star = type_, "", None, "*.", ""
    if not plain_types and kind.startswith("partial"):
        found = _PARTIAL.fullmatch(kind)
        if found is None:
            raise failed(f'format error in lookup type "{kind}"')
        partial, kind = int(found[1][:4] or 2), found[3]
        affix = "*." if found[2] is None else found[2]
    kind, _, options = kind.partition(",")
    if not plain_types:
        kind, starred, rest = kind.partition("*")
        star = ("*@" if rest.startswith("@") else "*") if starred else ""
    if kind in REFUSED_LOOKUPS:
        raise ConfigurationError(
            context.place, f"the look-up {kind} is not read by labkit yet", "a real Exim can run it"
        )
    if kind not in SINGLE_KEY and kind not in QUERIES:
        raise failed(f'unknown lookup type "{kind}"')
    if kind in QUERIES and partial is not None:
        raise failed(f'"partial" is not permitted for lookup type "{kind}"')
    if kind in QUERIES and star:
        raise failed(f'defaults using "*" or "*@" are not permitted for lookup type "{kind}"')
    names = options.split(",")
    if context.tainted:
        _guard(kind, names, where)
    return Search(kind, partial, affix, star, "ret=key" in names, _code(kind, names, where))


def _guard(kind: str, options: list[str], where: str) -> None:
    """A stranger had a say in the text: no file may be named in it. Queries are allowed, as in 4.96."""
    file = where.lstrip(BLANKS)
    if kind == "sqlite":
        named = [each[5:] for each in options if each.startswith("file=")]
        file = named[0] if named else re.match(r"(/\S*)?", file)[0]  # type: ignore[index]
    elif kind in QUERIES:
        return
    if file:
        raise failed(f"Tainted filename for search: '{file}'")


def _code(kind: str, options: list[str], where: str) -> Code[str]:
    """`${lookup{$0}kind{where}fail}`"""
    kept = ",".join(each for each in options if each not in ("ret=key", "cache=no_rd"))
    key = None if kind in QUERIES else tree.Text((tree.Number(0),))
    text = tree.Text((tree.Literal(where.lstrip(BLANKS)),), where)
    return Compiler().text(
        tree.Text((tree.Lookup(kind, kept, None, "*.", "", key, text, tree.Branches(fails=True)),)),
        wants=False,
    )


def searched(search: Search, key: str, subject: Subject) -> Asking[Hit | None]:
    """Look for the key, and for what stands for it."""
    env = subject.env
    if search.is_query:
        found = yield from _one(search.code, key, env)
        return None if found is None else Hit(found, _numbers(subject, key, ""))
    partial = search.partial if subject.partial else None
    for wanted in wanted_keys(key, partial, search.affix, search.star):
        found = yield from _one(search.code, wanted, env)
        if found is not None:
            parts = _parts(key, wanted, search.affix, partial is not None)
            return Hit(key if search.returns_key else found, _numbers(subject, key, *parts))
    return None


def _one(code: Code[str], key: str, env: Env) -> Asking[str | None]:
    before, env.numbers = env.numbers, (key,)
    value = env.value
    try:
        return (yield from code.asking(env))
    except Stop as stop:
        if isinstance(stop.outcome, ForcedFailure):
            return None
        raise
    finally:
        env.numbers, env.value = before, value


def _numbers(subject: Subject, key: str, *parts: str) -> tuple[str, ...]:
    if not subject.numbered:
        return ()
    return tuple([subject.zero(each) for each in (key, *parts)])


def _parts(key: str, wanted: str, affix: str, is_partial: bool) -> tuple[str, ...]:
    """$1 and $2: what the wild card stands for, and the rest."""
    if is_partial and wanted in (key, affix + key):
        return "", key
    if wanted == "*" and not (is_partial and affix in ("*", "*.")):
        return key, ""
    if wanted.startswith("*@") and not is_partial:
        return key[: key.rindex("@")], ""
    if is_partial:
        short = affix.removesuffix(".") if wanted == affix.removesuffix(".") and len(affix) > 1 else affix
        fixed = len(wanted) - len(short)
        wild = len(key) - fixed - 1
        return key[:wild], key[wild + 1 :][:fixed]
    return ()

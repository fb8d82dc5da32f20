"""Compile `${lookup …}`: ask, try the next key, shape the answer.

RULES      a key in a wildlsearch file is expanded before it is compared, one of nwildlsearch is not; a file that cannot
           be opened is a failure, an answer that may come later a defer; a stranger names no file.
STANDARDS  Exim specification, chapter "File and database lookups"
READ NEXT  files.py (the syntax of the files), records.py (dnsdb), calling.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import hosts, patterns, records, tree
from labkit.eximconf.expansion.branching import Families
from labkit.eximconf.expansion.code import Code, asks
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.expanding import expand_again
from labkit.eximconf.expansion.files import cut, find_network, wanted_keys
from labkit.eximconf.expansion.outcomes import Stop, Tainted, deferred, failed
from labkit.eximconf.expansion.texts import lower
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import (
    FileLine,
    FileText,
    FolderEntry,
    PasswdLine,
    SqliteRows,
    Unanswered,
    Unopened,
)
from labkit.mail.questions import SpfOf

_SEARCH = {"dsearch": "directory search"}
_FILTERS = ("any", "file", "dir", "subdir")


class Looking(Families):
    """${lookup{key}type{file}…} and ${lookup type{query}…}."""

    def lookup(self, node: tree.Lookup, *, wants: bool) -> Code[str]:
        key = None if node.key is None else self.text(node.key, wants=False)
        where = self.text(node.where, wants=True)
        branch = self.branch("lookup", node.branches, wants=wants)
        find = _KINDS.get(node.kind)
        if find is None or (node.problem is not None and not node.where.source):
            return self.broken([code for code in (key, where) if code is not None], node.problem or "")

        def expanding(env: Env) -> Asking[str]:
            wanted = "" if key is None else str((yield from key.asking(env)))
            place = yield from where.asking(env)
            if key is not None and type(place) is Tainted and place:
                raise failed(f"Tainted filename for search: '{place}'")
            found = yield from find(node, wanted, place, env)
            if node.problem is not None:
                raise failed(node.problem)
            return (yield from branch.take(env, found))

        return asks(expanding, tainted=branch.tainted)


def _no_answer(answer: Unopened | Unanswered, query: str, file: str, kind: str) -> Stop:
    if isinstance(answer, Unopened):
        search = _SEARCH.get(kind, "linear search")
        return failed(f"failed to open {file} for {search}: {answer.reason}")
    return deferred(f'lookup of "{query}" gave DEFER: {answer.reason}')


def _options(node: tree.Lookup) -> dict[str, str]:
    found = {}
    for option in filter(None, node.options.split(",")):
        name, _, value = option.partition("=")
        found[name] = value
    return found


Found = Asking["str | None"]


def _by_keys(node: tree.Lookup, key: str, file: str, env: Env) -> Found:
    """All kinds in which one key at a time is looked for."""
    for wanted in wanted_keys(key, node.partial, node.affix, node.star):
        found = yield from _ONE_KEY[node.kind](node, wanted, file, env)
        if found is not None:
            return key if _options(node).get("ret") == "key" else found
    return None


def _line(node: tree.Lookup, key: str, file: str, env: Env) -> Found:
    answer = yield from ask(FileLine(str(file), key))
    if isinstance(answer, (Unopened, Unanswered)):
        raise _no_answer(answer, key, file, node.kind)
    return answer


def _file_text(node: tree.Lookup, key: str, file: str) -> Asking[str]:
    answer = yield from ask(FileText(str(file)))
    if isinstance(answer, (Unopened, Unanswered)):
        raise _no_answer(answer, key, file, node.kind)
    return answer


def _wild(node: tree.Lookup, key: str, file: str, env: Env) -> Found:
    """Keys are patterns: a regular expression, `*end`, or the key itself."""
    text = yield from _file_text(node, key, file)
    subject = lower(key)
    for written, data in cut(text):
        pattern = written
        if node.kind == "wildlsearch" and ("$" in written or "\\" in written):
            try:
                pattern = yield from expand_again(written, env)
            except Stop as stop:
                raise deferred(
                    f'lookup of "{key}" gave DEFER: failed to expand "{written}": {stop.outcome.message}'
                ) from None
        if pattern.startswith("^"):
            if patterns.match(key, f"(?i){pattern}") is not None:
                return data
        elif pattern.startswith("*"):
            if subject.endswith(lower(pattern[1:])):
                return data
        elif lower(pattern) == subject:
            return data
    return None


def _network(node: tree.Lookup, key: str, file: str, env: Env) -> Found:
    if not hosts.is_ip(key):
        raise deferred(
            f'lookup of "{key}" gave DEFER: "{key}" is not a valid iplsearch key (an IP address, with optional '
            "CIDR mask, is wanted): in a host list, use net-iplsearch as the search type"
        )
    return find_network((yield from _file_text(node, key, file)), key)


def _entry(node: tree.Lookup, key: str, folder: str, env: Env) -> Found:
    options = _options(node)
    wanted = options.get("filter", "any")
    if wanted not in _FILTERS:
        wanted = "any"
    if "/" in key:
        raise deferred(f'lookup of "{key}" gave DEFER: key for dsearch lookup contains a slash: {key}')
    answer = yield from ask(FolderEntry(str(folder), key, wanted))
    if isinstance(answer, (Unopened, Unanswered)):
        raise _no_answer(answer, key, folder, node.kind)
    if not answer:
        return None
    return f"{folder}/{key}" if options.get("ret") == "full" else key


def _rows(node: tree.Lookup, _: str, query: str, env: Env) -> Found:
    """sqlite: the file is an option, stands in front of the query, or is sqlite_dbfile."""
    file = _options(node).get("file", "")
    if not file and query.startswith("/"):
        file, _, rest = query.partition(" ")
        if type(query) is Tainted:
            raise failed(f"Tainted filename for search: '{file}'")
        query = rest
    file = file or env.here.sqlite_file
    if not file.startswith("/"):
        raise deferred(f'lookup of "{query}" gave DEFER: no absolute file name for sqlite lookup')
    answer = yield from ask(SqliteRows(file, str(query).strip(BLANKS)))
    if isinstance(answer, Unopened):
        raise failed(answer.reason)
    if isinstance(answer, Unanswered):
        raise deferred(f'lookup of "{query}" gave DEFER: {answer.reason}')
    return "\n".join(map(_row, answer)) if answer else None


def _row(columns: Sequence[tuple[str, str]]) -> str:
    if len(columns) == 1:
        return columns[0][1]
    return "".join(f"{name}={_quoted(value)} " for name, value in columns)


def _quoted(value: str) -> str:
    if value and not re.search(r'\s|^"', value):
        return value
    inside = re.sub(r'(["\\])', r"\\\1", value).replace("\n", "\\n")
    return f'"{inside}"'


def _account(node: tree.Lookup, _: str, name: str, env: Env) -> Found:
    found = yield from ask(PasswdLine(str(name)))
    if isinstance(found, Unanswered):
        raise deferred(f'lookup of "{name}" gave DEFER: {found.reason}')
    if found is None:
        return None
    uid, gid, full_name, home, shell = found
    return f"*:{uid}:{gid}:{full_name}:{home}:{shell}"


def _dns(node: tree.Lookup, _: str, query: str, env: Env) -> Found:
    return (yield from records.records_of(str(query)))


def _spf(node: tree.Lookup, sender: str, client: str, env: Env) -> Found:
    """The key is a sender, the "file" the address of a client."""
    if not sender:
        return None
    found = yield from ask(SpfOf(str(client), "", str(sender), env.here.primary_hostname))
    return None if found is None else found.result


Finder = Callable[[tree.Lookup, str, str, Env], Found]
_ONE_KEY: dict[str, Finder] = {
    "dsearch": _entry,
    "iplsearch": _network,
    "lsearch": _line,
    "nwildlsearch": _wild,
    "spf": _spf,
    "wildlsearch": _wild,
}
_KINDS: dict[str, Finder] = {
    **dict.fromkeys(_ONE_KEY, _by_keys),
    "dnsdb": _dns,
    "passwd": _account,
    "sqlite": _rows,
}

"""domains, hosts, local_parts, recipients, senders, sender_domains, authenticated, encrypted: what stands in a list.

WHAT       one row for each word: the kind of its list, what is looked for, which variable gets the data.
LIKE EXIM  each look sets the data variable anew, to nothing if it finds nothing; a list that is a forced failure
           matches nothing (it is not ignored); a file that cannot be opened ends the session
STANDARDS  Exim specification, sections "ACL conditions", "Domain, host, address, and local part lists"
READ NEXT  verify.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from labkit.eximconf.expansion import Defer, Failure
from labkit.eximconf.lists import ListKind, Match, NamedLists, PatternList, compile_list
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking
from labkit.smtp.acl.scene import LogLine, Scene
from labkit.smtp.acl.values import NO, YES, Asker, Check, value_of
from labkit.smtp.acl.verdicts import Found

_NAMED = re.compile(r"\s*!?\s*\+[A-Za-z0-9_]+\s*")
_FATAL = (  # Exim's process dies of these
    "failed to open ",
    "format error in lookup type",
    "regular expression error: ",
    "Tainted filename for search",
    "Tainted name ",
    "unknown lookup type",
)


@dataclass(frozen=True, slots=True)
class _Row:
    kind: ListKind
    of: Callable[[Scene], str]
    called: str
    data: str | None = None  # the variable


def _domain(scene: Scene) -> str:
    return scene.recipient.domain.lower() if scene.recipient is not None else ""


def _local_part(scene: Scene) -> str:
    return scene.recipient.local_part if scene.recipient is not None else ""


def _recipient(scene: Scene) -> str:
    return str(scene.recipient) if scene.recipient is not None else ""


def _client(scene: Scene) -> str:
    return scene.env.variables.get("sender_host_address", "")


def _sender(scene: Scene) -> str:
    return scene.env.variables.get("sender_address", "")


def _sender_domain(scene: Scene) -> str:
    _, at, domain = _sender(scene).rpartition("@")
    return domain if at else ""


_ROWS = {
    "domains": _Row(ListKind.DOMAIN, _domain, "domain", "domain_data"),
    "hosts": _Row(ListKind.HOST, _client, "client", "host_data"),
    "local_parts": _Row(ListKind.LOCAL_PART, _local_part, "local part", "local_part_data"),
    "recipients": _Row(ListKind.ADDRESS, _recipient, "recipient", "recipient_data"),
    "senders": _Row(ListKind.ADDRESS, _sender, "sender", "sender_data"),
    "sender_domains": _Row(ListKind.DOMAIN, _sender_domain, "sender domain"),
}
_AUTHENTICATED = _Row(
    ListKind.LOCAL_PART, lambda scene: scene.env.variables["sender_host_authenticated"], "mechanism"
)


def _cipher(scene: Scene) -> str:
    whole = scene.env.variables.get("tls_in_cipher", "")
    return whole.split(":")[1] if ":" in whole else whole


_ENCRYPTED = _Row(ListKind.LOCAL_PART, _cipher, "cipher")


def check(line: Setting, lists: NamedLists) -> Check:
    return _in_list(line, _ROWS[line.name], lists)


def authenticated(line: Setting, lists: NamedLists) -> Check:
    return _only_with("sender_host_authenticated", "nobody has logged in", line, _AUTHENTICATED, lists)


def encrypted(line: Setting, lists: NamedLists) -> Check:
    return _only_with("tls_in_cipher", "the connection is not encrypted", line, _ENCRYPTED, lists)


def _only_with(variable: str, else_: str, line: Setting, row: _Row, lists: NamedLists) -> Check:
    if value_of(line) == "*":

        def plain(scene: Scene) -> Found:
            if scene.env.variables.get(variable):
                scene.because = f"{row.called} {row.of(scene)}"
                return YES
            scene.because = else_
            return NO

        return Check(plain)
    inner = _in_list(line, row, lists)

    def asking(scene: Scene) -> Asking[Found]:
        if not scene.env.variables.get(variable):
            scene.because = else_
            return NO
        if inner.plain is not None:
            return inner.plain(scene)
        assert inner.asking is not None
        return (yield from inner.asking(scene))

    return Check(None, asking)


def _in_list(line: Setting, row: _Row, lists: NamedLists) -> Check:
    patterns = compile_list(row.kind, value_of(line), line.place, lists)
    of, data = row.of, row.data
    if patterns.can_ask:
        asking = _asking(patterns, row)
        if row.kind is ListKind.HOST and _NAMED.fullmatch(patterns.text):
            return Check(None, _remembering(patterns, row, asking, lists))
        return Check(None, asking)
    look = patterns.look

    def plain(scene: Scene) -> Found:
        env = scene.env
        match = look(of(scene), env)
        if data is not None:
            env.variables[data] = match.data
        if match.numbers:
            env.numbers = match.numbers
        if scene.watched:
            scene.because = _explained(match, row, patterns, scene)
        return YES if match.found else NO

    return Check(plain)


def _asking(patterns: PatternList, row: _Row) -> Callable[[Scene], Asking[Found]]:
    def asking(scene: Scene) -> Asking[Found]:
        env = scene.env
        name = env.variables.get("sender_host_name") or None if row.kind is ListKind.HOST else None
        match = yield from patterns.asking(row.of(scene), env, name=name)
        if isinstance(match, Failure):  # a mistake: it has a line of its own, for the panic log, too
            scene.logged.append(LogLine(match.message, ("main", "panic")))
            scene.because = match.message
            return Found.BROKEN if match.message.startswith(_FATAL) else Found.LATER
        if isinstance(match, Defer):
            scene.log = scene.because = match.message
            return Found.LATER
        if row.data is not None:
            env.variables[row.data] = match.data
        if match.numbers:
            env.numbers = match.numbers
        if scene.watched:
            scene.because = _explained(match, row, patterns, scene)
        return YES if match.found else NO

    return asking


def _remembering(patterns: PatternList, row: _Row, first: Asker, lists: NamedLists) -> Asker:
    """A named host list is asked once in a connection, unless it holds a `$`: Exim does the same."""

    def asking(scene: Scene) -> Asking[Found]:
        known = scene.memory.hosts.get(first)
        if known is None:
            found = yield from first(scene)
            if found in (YES, NO) and _is_steady(patterns, lists):
                scene.memory.hosts[first] = Match(found is YES, None, scene.env.variables["host_data"])
            return found
        scene.env.variables["host_data"] = known.data
        if scene.watched:
            scene.because = f"{_explained(known, row, patterns, scene)}, as before"
        return YES if known.found else NO

    return asking


def _is_steady(patterns: PatternList, lists: NamedLists) -> bool:
    """Whether neither it nor a list in it may say something else the next time."""
    left, seen = [patterns], set()
    while left:
        each = left.pop()
        if "$" in each.text:
            return False
        seen.add(each.text)
        left += [inner for use in each.names() if (inner := lists.get(use)) and inner.text not in seen]
    return True


def _explained(match: Match, row: _Row, patterns: PatternList, scene: Scene) -> str:
    item = f" by {match.item}" if match.item else ""
    verdict = "is" if match.found else "is not"
    return f"{row.called} {row.of(scene) or 'nobody'} {verdict} in {patterns.text}{item}"

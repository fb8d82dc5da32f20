"""Compile the items and operators that need more than texts: files, sockets, ACLs, lists by name, sg, expand, SRS.

LIKE EXIM  the replacement of sg is expanded before, and what came out once more for each match, with that match's $0,
           $1, …; readfile of a stranger's file name fails as "Permission denied".
STANDARDS  Exim specification, chapter "String expansions", section "Expansion items"
READ NEXT  engine.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.eximconf.expansion import patterns, tree
from labkit.eximconf.expansion.branching import Families
from labkit.eximconf.expansion.code import Code, asks, written
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.expanding import expand_again
from labkit.eximconf.expansion.fields import moment
from labkit.eximconf.expansion.numbers import compared, interval
from labkit.eximconf.expansion.outcomes import Defer, ForcedFailure, Stop, Tainted, deferred, failed, like
from labkit.eximconf.expansion.srs import encode
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import FileText, RandomNumber, ReadSocket, Unanswered, Unopened

_LISTS = {"a": "address", "d": "domain", "h": "host", "l": "localpart"}


class Calling(Families):
    """What is no plain function of texts."""

    CALLED_OPERATORS = frozenset(("expand", "listnamed", "randint"))

    if TYPE_CHECKING:

        def list_part(self, node: tree.Item, *, wants: bool) -> Code[str]: ...
        def environment(self, node: tree.Item, *, wants: bool) -> Code[str]: ...

    def called_operator(self, node: tree.Operator) -> Code[str]:
        argument = self.text(node.argument, wants=True)

        def expanding(env: Env) -> Asking[str]:
            text = yield from argument.asking(env)
            if node.name == "expand":
                return (yield from _expand(text, env))
            if node.name == "listnamed":
                return _named_list(text, node.suffix, env)
            below = compared(text)
            return str((yield from ask(RandomNumber(below)))) if below > 0 else "0"

        if node.name == "listnamed":
            return written(expanding, [argument])
        return asks(expanding, tainted=node.name == "expand")

    def called_item(self, node: tree.Item, *, wants: bool) -> Code[str]:
        if node.name == "listextract":
            return self.list_part(node, wants=wants)
        if node.name == "env":
            return self.environment(node, wants=wants)
        arguments = [self.text(each, wants=True) for each in node.arguments]
        if node.name == "readsocket":
            return asks(_read_socket(arguments), tainted=True)
        if node.name == "sg" and _is_constant(arguments[2]):
            return self.plain_substitution(arguments)
        call = _CALLS[node.name]

        def expanding(env: Env) -> Asking[str]:
            values = []
            for each in arguments:
                values.append((yield from each.asking(env)))
            return (yield from call(env, values))

        tainted = node.name != "readfile"
        return (
            written(expanding, arguments, tainted=tainted)
            if node.name == "srs_encode"
            else asks(expanding, tainted=tainted)
        )

    def plain_substitution(self, arguments: list[Code[str]]) -> Code[str]:
        """sg with a replacement that can be compiled now."""
        from labkit.eximconf.expansion.engine import code_of  # it needs this module first

        subject, pattern, told = arguments
        again = code_of(told.constant or "", self.depth + 1)

        def expanding(env: Env) -> Asking[str]:
            text = yield from subject.asking(env)
            source = yield from pattern.asking(env)
            return (yield from _replaced(env, text, source, again.asking))

        return written(expanding, (subject, pattern, again), tainted=subject.tainted)


def _is_constant(code: Code[str]) -> bool:
    return code.constant is not None


def _replaced(env: Env, text: str, source: str, replace: Callable[[Env], Asking[str]]) -> Asking[str]:
    before, pieces = env.numbers, []
    for gap, found in patterns.matches(text, source):
        pieces.append(gap)
        if found is not None:
            env.numbers = tuple([like(each, text) for each in found])
            pieces.append((yield from replace(env)))
    env.numbers = before
    return like("".join(pieces), text, *pieces)


def _substitute(env: Env, values: list[str]) -> Asking[str]:
    text, source, replacement = values

    def replacing(env: Env) -> Asking[str]:
        return (yield from expand_again(replacement, env))

    return (yield from _replaced(env, text, source, replacing))


def _expand(text: str, env: Env) -> Asking[str]:
    try:
        return (yield from expand_again(text, env))
    except Stop as stop:
        outcome = stop.outcome
        if isinstance(outcome, (ForcedFailure, Defer)):
            raise
        raise failed(f'internal expansion of "{text}" failed: {outcome.message}') from None


def _named_list(name: str, suffix: str, env: Env) -> str:
    if suffix and suffix not in _LISTS:
        raise failed('bad suffix on "list" operator')
    kinds = [_LISTS[suffix]] if suffix else list(_LISTS.values())
    texts = {kind.value: patterns.text for (kind, each), patterns in env.named.items() if each == name}
    for kind in kinds:
        if (text := texts.get(f"{kind}list")) is not None:
            return text
    raise failed(f'"{name}" is not a {_LISTS[suffix] + " " if suffix else ""}named list')


def _read_file(env: Env, values: list[str]) -> Asking[str]:
    file = values[0]
    if type(file) is Tainted and file:
        raise failed(f"failed to open {file}: Permission denied")
    answer = yield from ask(FileText(str(file)))
    if isinstance(answer, Unopened):
        raise failed(f"failed to open {file}: {answer.reason}")
    if isinstance(answer, Unanswered):
        raise deferred(answer.reason)
    return answer.replace("\n", values[1]) if len(values) > 1 else answer


def _read_socket(arguments: list[Code[str]]) -> Callable[[Env], Asking[str]]:
    """The fifth argument is expanded only where the server cannot be asked."""

    def expanding(env: Env) -> Asking[str]:
        values = []
        for each in arguments[:4]:
            values.append((yield from each.asking(env)))
        options = values[2] if len(values) > 2 else ""
        timeout, shuts_down = 5, True
        for number, option in enumerate(filter(None, re.split(r"[:,]\s*", options))):
            if number == 0 and (seconds := interval(option)) is not None:
                timeout = seconds
            elif option == "shutdown=no":
                shuts_down = False
            elif option.startswith("tls="):
                raise failed("readsocket with tls is not read by labkit")
        answer = yield from ask(ReadSocket(str(values[0]), str(values[1]), timeout, shuts_down))
        if isinstance(answer, (Unopened, Unanswered)):
            if len(arguments) > 4:
                return (yield from arguments[4].asking(env))
            raise failed(f"failed to connect to socket {values[0]}: {answer.reason}")
        return Tainted(answer.replace("\n", values[3]) if len(values) > 3 else answer)

    return expanding


def _call_acl(env: Env, values: list[str]) -> Asking[str]:
    if env.acl is None:
        raise failed(f'ERROR from acl "{values[0]}"')
    verdict = yield from env.acl(values[0], values[1:])
    if verdict.accepted is None:
        raise Stop(ForcedFailure(f'DEFER from acl "{values[0]}"'))
    return verdict.message


def _authentication_results(env: Env, values: list[str]) -> Asking[str]:
    if env.authresults is None:
        return f"Authentication-Results: {values[0]}"
    return (yield from env.authresults(values[0]))


def _srs_encode(env: Env, values: list[str]) -> Asking[str]:
    return like(encode(values[0], values[1], values[2], moment(env, "tod_epoch")), *values)
    yield


_CALLS: dict[str, Callable[[Env, list[str]], Asking[str]]] = {
    "acl": _call_acl,
    "authresults": _authentication_results,
    "readfile": _read_file,
    "sg": _substitute,
    "srs_encode": _srs_encode,
}

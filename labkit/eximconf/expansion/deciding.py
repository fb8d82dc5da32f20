"""Compile `${if …}` and the conditions.

RULES      $0 to $9 and $value that a condition sets hold in both branches, and are put back behind the `if`.
           Comparisons never look at taint, and no text of theirs goes on.
STANDARDS  Exim specification, chapter "String expansions", section "Expansion conditions"
READ NEXT  judging.py
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from labkit.eximconf.expansion import hosts, judging, patterns, tree
from labkit.eximconf.expansion.branching import Families, forced
from labkit.eximconf.expansion.code import Code, asks, pure, strict, written
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.fields import FIELDS
from labkit.eximconf.expansion.headers import bodies
from labkit.eximconf.expansion.numbers import compared, truth, truth_lax
from labkit.eximconf.expansion.outcomes import Stop, Tainted, failed
from labkit.eximconf.expansion.passwords import crypteq
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.expansion.syntax import LIST_CONDITIONS, NO_ARGUMENT, NOT_COMPILED
from labkit.eximconf.expansion.texts import lower
from labkit.mail.asking import Asking

_ORDER: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _caseless(compare: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda left, right: compare(lower(left), lower(right))


def _of_numbers(compare: Callable[[int, int], bool]) -> Callable[[str, str], bool]:
    return lambda left, right: compare(compared(left), compared(right))


STRICT: dict[str, Callable[..., bool]] = {
    **_ORDER,
    **{f"{name}i": _caseless(compare) for name, compare in _ORDER.items()},
    **{name: _of_numbers(compare) for name, compare in _NUMBERS.items()},
    "bool": truth,
    "bool_lax": truth_lax,
    "crypteq": crypteq,
    "isip": hosts.is_ip,
    "isip4": lambda text: hosts.is_ip(text, 4),
    "isip6": lambda text: hosts.is_ip(text, 6),
}
ORDER_OF: dict[str, Callable[[Any, Any], bool]] = {
    **_ORDER,
    **{f"{name}i": compare for name, compare in _ORDER.items()},  # of texts in small letters
    **_NUMBERS,
}
_SETTING = frozenset(("match", "inlist", "inlisti", "acl", *LIST_CONDITIONS))


class Deciding(Families):
    """${if …}, and every condition as Code[bool]."""

    def choice(self, node: tree.If, *, wants: bool) -> Code[str]:
        condition = self.condition(node.condition)
        if node.condition.problem is not None:
            return strict(lambda _: "", [_as_text(condition)])
        branch = self.branch("if", node.branches, wants=wants)
        yes, no, fails, problem = branch.yes, branch.no, branch.fails, node.problem
        tainted = any(code is not None and code.tainted for code in (yes, no))
        if condition.plain and (yes is None or yes.plain) and (no is None or no.plain) and problem is None:
            run = _plain_choice(condition.plain, _plain(yes), _plain(no), fails=fails)
            return pure(_restoring(run) if _sets(node.condition) else run, tainted=tainted)

        def ask_it(env: Env) -> Asking[str]:
            value, numbers = env.value, env.numbers
            result = ""
            if (yield from condition.asking(env)):
                result = (yield from yes.asking(env)) if yes is not None else "true"
            elif fails:
                raise forced("if")
            elif no is not None:
                result = yield from no.asking(env)
            if problem is not None:
                raise failed(problem)
            env.value, env.numbers = value, numbers
            return result

        return written(ask_it, (condition, yes, no), tainted=tainted)

    def condition(self, node: tree.Condition) -> Code[bool]:
        code = self.positive(node)
        if not node.negated:
            return code
        if code.plain is not None:
            plain = code.plain
            return pure(lambda env: not plain(env))

        def negated(env: Env) -> Asking[bool]:
            return not (yield from code.asking(env))

        return asks(negated)

    def positive(self, node: tree.Condition) -> Code[bool]:
        name = node.name
        if name in ("and", "or"):
            return self.group(node)
        if node.problem is not None:
            problem = node.problem
            return strict(
                lambda _: False, [self.broken([self.text(a, wants=False) for a in node.arguments], problem)]
            )
        if name in STRICT:
            return self.comparison(node)
        if name == "def":
            return _defined(node)
        if name in NOT_COMPILED:
            return strict(lambda _: False, [self.broken([], f'support for "{name}" not compiled')])
        if name in NO_ARGUMENT:
            return pure(lambda env: name in env.true)
        if name == "match":
            return self.match(node)
        if name in ("forany", "forall"):
            return self.iteration(node)
        arguments = [
            self.text(each, wants=True) for each in node.arguments
        ]  # some become $value or $acl_arg1
        if name in ("inlist", "inlisti"):
            return judging.in_list(name, arguments)
        if name == "exists":
            return judging.exists(arguments[0])
        if name == "inbound_srs":
            return judging.inbound_srs(arguments)
        if name == "acl":
            return judging.by_acl(arguments)
        return judging.match_list(name, arguments)

    def comparison(self, node: tree.Condition) -> Code[bool]:
        arguments = [self.text(each, wants=False) for each in node.arguments]
        if node.name == "eq" and all(each.plain is not None for each in arguments):
            left, right = arguments
            if right.constant is not None and left.plain is not None:
                plain, told = left.plain, right.constant
                return pure(lambda env: plain(env) == told)
        return strict(STRICT[node.name], arguments)

    def group(self, node: tree.Condition) -> Code[bool]:
        """and, or: what is not needed is not run, but a mistake in it counts."""
        members = [self.condition(each) for each in node.members]
        stops = node.name == "or"
        plains = [each.plain for each in members if each.plain is not None]
        problem = node.problem
        where = f'"{node.name}{{...}}" condition'
        if len(plains) == len(members) and problem is None:
            return pure(_plain_group(plains, where, stops=stops))

        def expanding(env: Env) -> Asking[bool]:
            result = not stops
            for member, written_ in zip(members, node.members):
                if result == stops and written_.problem is None:
                    continue
                try:
                    result = yield from member.asking(env)
                except Stop as stop:
                    raise stop.inside(where) from None
            if problem is not None:
                raise failed(problem)
            return result

        return written(expanding, members)

    def match(self, node: tree.Condition) -> Code[bool]:
        subject, pattern = (self.text(each, wants=True) for each in node.arguments)

        def expanding(env: Env) -> Asking[bool]:
            text = yield from subject.asking(env)
            source = yield from pattern.asking(env)
            return matches(env, text, source)

        def matches(env: Env, text: str, source: str) -> bool:
            found = patterns.match(text, source)
            if found is None:
                return False
            env.numbers = found
            return True

        if subject.plain is None or pattern.plain is None:
            return asks(expanding)
        read, told = subject.plain, pattern.plain
        return pure(lambda env: matches(env, read(env), told(env)))

    def iteration(self, node: tree.Condition) -> Code[bool]:
        items = self.text(node.arguments[0], wants=True)
        member = self.condition(node.members[0])
        stops = node.name == "forany"
        where = f'"{node.name}" condition'

        def expanding(env: Env) -> Asking[bool]:
            text = yield from items.asking(env)
            before, result = env.item, False
            for item in split_list(text):
                env.item = Tainted(item) if type(text) is Tainted else item
                try:
                    result = yield from member.asking(env)
                except Stop as stop:
                    raise stop.inside(where) from None
                if result == stops:
                    break
            env.item = before
            return result

        return written(expanding, (items, member))


def _as_text(condition: Code[bool]) -> Code[str]:
    def expanding(env: Env) -> Asking[str]:
        yield from condition.asking(env)
        return ""

    return written(expanding, (condition,))


def _sets(condition: tree.Condition) -> bool:
    """Does it set $value or a number?"""
    return condition.name in _SETTING or any(_sets(member) for member in condition.members)


def _plain(code: Code[str] | None) -> Callable[[Env], str] | None:
    return None if code is None else code.plain


def _plain_choice(
    condition: Callable[[Env], bool],
    yes: Callable[[Env], str] | None,
    no: Callable[[Env], str] | None,
    *,
    fails: bool,
) -> Callable[[Env], str]:
    if yes is not None and no is not None:
        return lambda env: yes(env) if condition(env) else no(env)

    def run(env: Env) -> str:
        if condition(env):
            return yes(env) if yes is not None else "true"
        if fails:
            raise forced("if")
        return no(env) if no is not None else ""

    return run


def _restoring(run: Callable[[Env], str]) -> Callable[[Env], str]:
    def restored(env: Env) -> str:
        value, numbers = env.value, env.numbers
        result = run(env)
        env.value, env.numbers = value, numbers
        return result

    return restored


def _plain_group(members: list[Callable[[Env], bool]], where: str, *, stops: bool) -> Callable[[Env], bool]:
    def run(env: Env) -> bool:
        try:
            for member in members:
                if member(env) == stops:
                    return stops
        except Stop as stop:
            raise stop.inside(where) from None
        return not stops

    return run


def _defined(node: tree.Condition) -> Code[bool]:
    of = node.of
    if isinstance(of, tree.Header):
        name = of.name
        return pure(lambda env: bool(bodies(env.headers, name)))
    assert isinstance(of, tree.Variable), "the parser found it"
    known = of.name
    if known in FIELDS:
        field = FIELDS[known]
        return pure(lambda env: field(env) != "")
    return pure(lambda env: env.variables.get(known, "") != "")

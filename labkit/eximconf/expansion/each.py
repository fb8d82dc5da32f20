"""Compile what goes through a list: map, filter, reduce, sort; and what takes one part: extract, listextract, env.

RULES      what comes out keeps the separator of the list that went in; $item and $value are put back, $0 to $9 are not.
STANDARDS  Exim specification, chapter "String expansions", section "Expansion items"
READ NEXT  looking.py
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import tree
from labkit.eximconf.expansion.branching import Families, forced
from labkit.eximconf.expansion.code import Code, written
from labkit.eximconf.expansion.deciding import ORDER_OF
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.numbers import compared
from labkit.eximconf.expansion.outcomes import Stop, failed, like
from labkit.eximconf.expansion.splitting import separator_of, split_list
from labkit.eximconf.expansion.syntax import NUMBER_COMPARISONS, TEXT_COMPARISONS
from labkit.eximconf.expansion.texts import joined_list, lower
from labkit.mail.asking import Asking

_PAIR = re.compile(r'([^\s=]+)\s*=?\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]?\S*))\s*', re.DOTALL)
_UNSORTED = ("=", "==", "eq", "eqi")


class EachItem(Families):
    """map, filter, reduce, sort, extract, listextract, env."""

    def each(self, node: tree.Each, *, wants: bool) -> Code[str]:
        arguments = [
            self.text(each, wants=True) for each in node.arguments
        ]  # $item and $value may end in a file name
        if node.problem is not None or node.body is None:
            return self.broken(arguments, node.problem or "")
        if isinstance(node.body, tree.Condition):
            return _filter(arguments[0], self.condition(node.body))
        body = self.text(node.body, wants=True)
        if node.name == "map":
            return _map(arguments[0], body)
        first, second = arguments
        return (_reduce if node.name == "reduce" else _sort)(first, second, body)

    def extract(self, node: tree.Extract, *, wants: bool) -> Code[str]:
        texts = [self.text(each, wants=True) for each in node.texts]  # what is extracted becomes $value
        problem = node.problem
        if not texts:
            return self.broken([], problem or "")

        def expanding(env: Env) -> Asking[str]:
            key = (yield from texts[0].asking(env)).strip(BLANKS)
            if not key and problem is None:
                raise failed('first argument of "extract" must not be empty')
            numbered = re.fullmatch("-?[0-9]+", key) is not None
            count = 3 if numbered else 2
            values = []
            for number in range(1, count):
                if number < len(texts):
                    values.append((yield from texts[number].asking(env)))
                elif problem is None:
                    raise failed(f"missing '{{' for arg {number + 1} of extract")
            if problem is not None:
                raise failed(problem)
            whole = values[-1]
            found = _field(int(key[:9]), values[0], whole) if numbered else _pair(key, whole)
            value = None if found is None else like(found, whole)
            if len(texts) > count + 2:
                raise failed("curly-bracket problem in conditional yes/no parsing: did not close with '}'")
            if value is None and node.fails:
                raise forced("extract")
            return (yield from _branch(env, value, texts[count:]))

        return written(expanding, texts, tainted=any(each.tainted for each in texts))

    def list_part(self, node: tree.Item, *, wants: bool) -> Code[str]:
        """${listextract{number}{list}{yes}{no}}"""
        which, items = (self.text(each, wants=True) for each in node.arguments)
        branch = self.branch(node.name, node.branches, wants=wants)

        def expanding(env: Env) -> Asking[str]:
            number = (yield from which.asking(env)).strip(BLANKS)
            text = yield from items.asking(env)
            if not re.fullmatch("-?[0-9]+", number):
                what = "be numeric" if number else "not be empty"
                raise failed(f'first argument of "listextract" must {what}')
            parts = split_list(text)
            place = int(number[:9])
            place = place - 1 if place > 0 else len(parts) + place if place < 0 else -1
            found = like(parts[place], text) if 0 <= place < len(parts) else None
            return (yield from branch.take(env, found))

        return written(expanding, (which, items, *branch.codes), tainted=items.tainted or branch.tainted)

    def environment(self, node: tree.Item, *, wants: bool) -> Code[str]:
        """${env{NAME}{yes}{no}}"""
        name = self.text(node.arguments[0], wants=False)
        branch = self.branch(node.name, node.branches, wants=wants)

        def expanding(env: Env) -> Asking[str]:
            wanted = yield from name.asking(env)
            return (yield from branch.take(env, env.environment.get(wanted) or None))

        return written(expanding, (name, *branch.codes), tainted=branch.tainted)


def _branch(env: Env, value: str | None, branches: list[Code[str]]) -> Asking[str]:
    if value is None:
        return (yield from branches[1].asking(env)) if len(branches) > 1 else ""
    if not branches:
        return value
    before, env.value = env.value, value
    result = yield from branches[0].asking(env)
    env.value = before
    return result


def _field(number: int, separators: str, text: str) -> str | None:
    """The field between separators; from the end if negative; 0 is the whole."""
    if number == 0:
        return text
    fields = re.split(f"[{re.escape(separators)}]", text) if separators else [text]
    place = number - 1 if number > 0 else len(fields) + number
    return fields[place] if 0 <= place < len(fields) else None


def _pair(key: str, text: str) -> str | None:
    """The value of `key=value`, names compared without case."""
    wanted, at = lower(key), 0
    text = text.lstrip(BLANKS)
    while found := _PAIR.match(text, at):
        at = found.end()
        if lower(found[1]) == wanted:
            return re.sub(r"\\(.)", r"\1", found[2], flags=re.DOTALL) if found[2] is not None else found[3]
    return None


def _map(items: Code[str], body: Code[str]) -> Code[str]:
    def expanding(env: Env) -> Asking[str]:
        text = yield from items.asking(env)
        before, found = env.item, []
        for item in split_list(text):
            env.item = like(item, text)
            try:
                found.append((yield from body.asking(env)))
            except Stop as stop:
                raise stop.inside('"map" item') from None
        env.item = before
        return like(joined_list(separator_of(text)[0], found), *found)

    return written(expanding, (items, body), tainted=items.tainted or body.tainted)


def _filter(items: Code[str], keep: Code[bool]) -> Code[str]:
    def expanding(env: Env) -> Asking[str]:
        text = yield from items.asking(env)
        before, found = env.item, []
        for item in split_list(text):
            env.item = like(item, text)
            try:
                if (yield from keep.asking(env)):
                    found.append(item)
            except Stop as stop:
                raise stop.inside('"filter" item') from None
        env.item = before
        return like(joined_list(separator_of(text)[0], found), text)

    return written(expanding, (items, keep), tainted=items.tainted)


def _reduce(items: Code[str], start: Code[str], body: Code[str]) -> Code[str]:
    def expanding(env: Env) -> Asking[str]:
        text = yield from items.asking(env)
        item_before, value_before = env.item, env.value
        value = yield from start.asking(env)
        for item in split_list(text):
            env.item, env.value = like(item, text), value
            try:
                value = yield from body.asking(env)
            except Stop as stop:
                raise stop.inside('"reduce" item') from None
        env.item, env.value = item_before, value_before
        return value

    return written(expanding, (items, start, body), tainted=items.tainted or start.tainted or body.tainted)


def _sort(items: Code[str], comparator: Code[str], key_of: Code[str]) -> Code[str]:
    def expanding(env: Env) -> Asking[str]:
        text = yield from items.asking(env)
        name = yield from comparator.asking(env)
        if name in _UNSORTED:
            raise failed("comparator not handled for sort")
        if name not in TEXT_COMPARISONS and name not in NUMBER_COMPARISONS:
            raise failed("")
        before = env.item
        done: list[tuple[str, str]] = []
        for item in split_list(text):
            env.item = like(item, text)
            key = yield from key_of.asking(env)
            done.append((key, item))
        env.item = before
        return like(joined_list(separator_of(text)[0], _sorted(name, done)), text)

    return written(expanding, (items, comparator, key_of), tainted=items.tainted)


def _sorted(name: str, items: list[tuple[str, str]]) -> list[str]:
    """Each item goes before the first one that it precedes. What is no number precedes nothing, and nothing it."""
    compare = ORDER_OF[name]
    done: list[tuple[Any, str]] = []
    keys = [(_key(name, key), item) for key, item in items]
    in_order = all(key is not None for key, _ in keys)
    for key, item in keys:
        if in_order:
            place = bisect_left(done, True, key=lambda other, key=key: compare(key, other[0]))  # type: ignore[misc]
        else:
            fits = (
                n for n, other in enumerate(done) if None not in (key, other[0]) and compare(key, other[0])
            )
            place = next(fits, len(done))
        done.insert(place, (key, item))
    return [item for _, item in done]


def _key(name: str, text: str) -> str | int | None:
    if name in NUMBER_COMPARISONS:
        try:
            return compared(text)
        except Stop:
            return None
    return lower(text) if name.endswith("i") else text

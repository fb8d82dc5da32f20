"""What must be true before a router is asked.

WHAT       Check is one precondition, ready to run; `checks_of` makes those of a router, in Exim's order: domains,
           local_parts, check_local_user, router_home_directory, senders, require_files, condition.
SAYS       None: it holds. SKIP: this router is passed over. Deferred: the address waits.
COLOURS    a Check that can ask nothing is a plain function (`plain`); `asking` always works.
LIKE EXIM  a list whose expansion is forced to fail matches nothing, and one that fails defers; a condition that fails
           passes the router over, with a line for the panic log
STANDARDS  Exim specification, chapter "Generic options for routers", section "Router preconditions"
READ NEXT  require_files.py, walk.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from labkit.eximconf.configuration import Options
from labkit.eximconf.expansion import (
    Compiled,
    Defer,
    Failure,
    ForcedFailure,
    Outcome,
    Tainted,
    Value,
    compile_text,
)
from labkit.eximconf.lists import Match, PatternList
from labkit.eximconf.place import Place
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AccountNamed
from labkit.routing.require_files import FileTest, read_tests, tests_hold
from labkit.routing.texts import expanded
from labkit.routing.way import Address, Walk


@dataclass(frozen=True, slots=True)
class Deferred:
    """It cannot be said now; `message` is Exim's."""

    message: str


class Skip:
    """It does not hold."""


SKIP: Final = Skip()
Verdict = Skip | Deferred | None
Plain = Callable[[Walk, Address], Verdict]
Asker = Callable[[Walk, Address], Asking[Verdict]]


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition. `option` is its name, `text` what was written."""

    option: str
    text: str
    plain: Plain | None
    asking: Asker


def checks_of(router: str, options: Options, place: Place) -> tuple[Check, ...]:
    """The preconditions of a router. Raises ConfigurationError."""
    checks = []
    if (domains := options.patterns("domains")) is not None:
        checks.append(_domains(domains))
    if (local_parts := options.patterns("local_parts")) is not None:
        checks.append(_local_parts(local_parts, options.flag("caseful_local_part")))
    if options.flag("check_local_user"):
        checks.append(Check("check_local_user", "", None, _account))
    if (home := options.expansion("router_home_directory")) is not None:
        checks.append(_home(home))
    if (senders := options.patterns("senders")) is not None:
        checks.append(_senders(senders))
    if (files := options.expansion("require_files")) is not None:
        checks.append(_files(files.text, read_tests(files.text, place)))
    if conditions := options.several("condition"):
        checks.append(_condition(router, _together(conditions, place)))
    return tuple(checks)


def _matched(walk: Walk, address: Address, match: Match, variable: str) -> Verdict:
    if match.numbers:  # parts of what a stranger wrote
        walk.env.numbers = tuple(map(Tainted, match.numbers))
    elif variable != "sender_data" or (match.found and match.item is not None):
        walk.env.numbers = ()
    if not match.found:
        return SKIP
    address.has_data = True
    walk.env.variables[variable] = match.data
    return None


def _answered(
    walk: Walk, address: Address, found: Match | Failure | Defer, variable: str, option: str
) -> Verdict:
    if isinstance(found, Match):
        return _matched(walk, address, found, variable)
    if isinstance(found, Failure):
        walk.remarks.append(found.message)
    return Deferred(f"{option} check lookup or other defer")


def _domains(patterns: PatternList) -> Check:
    def plain(walk: Walk, address: Address) -> Verdict:
        return _matched(walk, address, patterns.look(address.domain, walk.env), "domain_data")

    def asking(walk: Walk, address: Address) -> Asking[Verdict]:
        found = yield from patterns.asking(address.domain, walk.env)
        return _answered(walk, address, found, "domain_data", "domains")

    return Check("domains", patterns.text, None if patterns.can_ask else plain, asking)


def _bare(address: Address) -> str:
    """The local part as it was sent, without prefix and suffix: only +caseful looks at the case."""
    end = len(address.cased) - len(address.suffix)
    return address.cased[len(address.prefix) : end]


def _local_parts(patterns: PatternList, caseful: bool) -> Check:
    def plain(walk: Walk, address: Address) -> Verdict:
        return _matched(walk, address, patterns.look(_bare(address), walk.env), "local_part_data")

    def asking(walk: Walk, address: Address) -> Asking[Verdict]:
        found = yield from patterns.asking(_bare(address), walk.env, caseful=caseful)
        return _answered(walk, address, found, "local_part_data", "local_parts")

    return Check("local_parts", patterns.text, None if patterns.can_ask or caseful else plain, asking)


def _account(walk: Walk, address: Address) -> Asking[Verdict]:
    name, known = str(address.local_part), walk.accounts
    if name not in known:
        known[name] = yield from ask(AccountNamed(name))
    account = known[name]
    if account is None:
        return SKIP
    address.has_data = True
    variables = walk.env.variables
    variables["local_part_data"] = address.carried.local_part_data = account.name
    variables["home"] = account.home
    for name, number in (("local_user_uid", account.uid), ("local_user_gid", account.gid)):
        if number is not None:
            variables[name] = str(number)
    return None


def _home(home: Compiled) -> Check:
    def said(walk: Walk, address: Address, outcome: Outcome) -> Verdict:
        if isinstance(outcome, Value):
            address.home_is_expanded = address.has_data = True
            walk.env.variables["home"] = outcome.text
        elif not isinstance(outcome, ForcedFailure):
            words = f'failed to expand "{home.text}" for router_home_directory: {outcome.message}'
            return Deferred(words)
        return None

    def plain(walk: Walk, address: Address) -> Verdict:
        return said(walk, address, home.expand(walk.env))

    def asking(walk: Walk, address: Address) -> Asking[Verdict]:
        return said(walk, address, (yield from home.asking(walk.env)))

    return Check("router_home_directory", home.text, None if home.can_ask else plain, asking)


def _senders(patterns: PatternList) -> Check:
    def plain(walk: Walk, address: Address) -> Verdict:
        sender = walk.env.variables.get("sender_address", "")
        return _matched(walk, address, patterns.look(sender, walk.env), "sender_data")

    def asking(walk: Walk, address: Address) -> Asking[Verdict]:
        found = yield from patterns.asking(walk.env.variables.get("sender_address", ""), walk.env)
        return _answered(walk, address, found, "sender_data", "senders")

    return Check("senders", patterns.text, None if patterns.can_ask else plain, asking)


def _files(text: str, tests: tuple[FileTest, ...]) -> Check:
    def asking(walk: Walk, address: Address) -> Asking[Verdict]:
        holds = yield from tests_hold(tests, walk.env)
        if isinstance(holds, str):
            return Deferred(holds)
        return None if holds else SKIP

    return Check("require_files", text, None, asking)


def _together(conditions: tuple[Compiled, ...], place: Place) -> Compiled:
    """Several lines must all be true. Exim puts their texts together, and so bool_lax decides what is true."""
    text = conditions[0]
    for other in conditions[1:]:
        text = compile_text(f"${{if and{{{{bool_lax{{{text.text}}}}}{{bool_lax{{{other.text}}}}}}}}}", place)
    return text


def _condition(router: str, condition: Compiled) -> Check:
    def said(walk: Walk, outcome: Outcome) -> Verdict:
        if isinstance(outcome, Value):
            return None if outcome.text.lower() not in ("", "0", "no", "false") else SKIP
        if isinstance(outcome, Defer):
            return Deferred("condition check lookup defer")
        if isinstance(outcome, Failure):
            words = f'failed to expand condition "{condition.text}" for {router} router: {outcome.message}'
            walk.remarks.append(words)
        return SKIP

    def plain(walk: Walk, address: Address) -> Verdict:
        return said(walk, condition.expand(walk.env))

    def asking(walk: Walk, address: Address) -> Asking[Verdict]:
        return said(walk, (yield from expanded(condition, walk.env)))

    return Check("condition", condition.text, None if condition.can_ask else plain, asking)

"""Ask one router after the other about an address, until one decides.

DECIDES    which router is next: more, no_more, pass_router; no router twice for one address in a line of parents;
           unseen makes a copy that goes on; the words for an address that nobody takes.
STANDARDS  Exim specification, chapters "How Exim receives and delivers mail", "Generic options for routers"
LIKE EXIM  the words are those of a router that declined with words, else the cannot_route_message of the last router
           looked at, whether its preconditions held or not; a line of more than 100 parents is a loop, and waits
READ NEXT  family.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import Compiled, ForcedFailure, Value
from labkit.mail.asking import Asking
from labkit.routing.affixes import prefix_of, suffix_of
from labkit.routing.compile import Router
from labkit.routing.preconditions import SKIP, Deferred
from labkit.routing.texts import expanded
from labkit.routing.way import LONGEST_DYNASTY, Address, Carried, Said, Walk

UNROUTEABLE = "Unrouteable address"
_OF_THE_ROUTER = (  # set by preconditions, for this router alone
    "domain_data",
    "local_part_data",
    "home",
    "sender_data",
    "local_user_uid",
    "local_user_gid",
)
_NO_AFFIXES = dict.fromkeys(
    ("local_part_prefix", "local_part_prefix_v", "local_part_suffix", "local_part_suffix_v"), ""
)
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


def route_address(walk: Walk, first: Router | None, address: Address) -> Asking[Said]:
    """Route one address. What becomes of it is in `walk`; the answer is OK, DISCARD, FAIL or DEFER."""
    trace = walk.trace
    router = address.start or first
    _set_address(walk, address)
    while router is not None:
        address.router = router
        following = router.next
        if trace is not None:
            trace.router(router.name)
        if address.parent is not None:
            repeated = _is_repeated(router, address)
            if repeated is None:
                walk.remarks.append(f"routing loop for {address.text}")
                return Said.DEFER
            if repeated:
                if trace is not None:
                    trace.passed(f"it has seen {address.text} before")
                router = following
                continue
        passed = _set_router(walk, router, address)
        if passed is None and router.is_absent:
            passed = router.is_absent.get(walk.mode)
        if passed is not None:
            if trace is not None:
                trace.passed(passed)
            router = following
            continue
        verdict = None
        for check in router.checks:
            if check.plain is not None:
                verdict = check.plain(walk, address)
            else:
                verdict = yield from check.asking(walk, address)
            if trace is not None:
                trace.checked(check, verdict, walk, address)
            if verdict is not None:
                break
        if verdict is SKIP:
            router = following
            continue
        if isinstance(verdict, Deferred):
            address.message = verdict.message
            return Said.DEFER
        said = None
        if router.sets or router.address_data is not None:
            said = yield from _set_data(walk, router, address)
        if said is None:
            if router.plain is not None:
                said = router.plain(walk, address)
            else:
                assert router.run is not None
                said = yield from router.run(walk, address)
        if trace is not None:
            _tell(walk, address, said)
        if router.fails and said in (Said.OK, Said.PASS) and walk.mode in router.fails:
            _take_off(walk, address)
            address.message = f"{router.name} router forced verify failure"
            return Said.FAIL
        if said is Said.REROUTED:
            return Said.OK
        if said is Said.OK:
            return (yield from _finish(walk, router, address))
        if said not in (Said.PASS, Said.DECLINE):
            return said
        if said is Said.PASS:
            router = router.passes_to or following
        else:
            more = yield from _truth(walk, router, address, "more", router.more)
            if more is None:
                return Said.DEFER
            if not more and trace is not None:
                trace.router(router.name)
                trace.passed("no_more: no other router is asked")
            router = following if more else None
    yield from _nobody(walk, address)
    return Said.FAIL


def _set_address(walk: Walk, address: Address) -> None:
    """The variables that belong to the address, whatever router looks at it."""
    variables, parent = walk.env.variables, address.parent
    variables["domain"] = variables["original_domain"] = address.domain
    variables["address_data"] = address.carried.address_data or ""
    if parent is not None:
        eldest = address.eldest
        variables["original_domain"] = eldest.domain
        variables["original_local_part"] = _seen_by_router(eldest)
        variables["parent_domain"] = parent.domain
        variables["parent_local_part"] = _seen_by_router(parent)
        variables.update(address.carried.variables)


def _seen_by_router(address: Address) -> str:
    return address.cased if address.router is not None and address.router.caseful else address.lowered


def _set_router(walk: Walk, router: Router, address: Address) -> str | None:
    """Take off prefix and suffix, and set the variables. A text tells why the router is passed over."""
    variables = walk.env.variables
    local_part = address.cased if router.caseful else address.lowered
    if address.parent is None:
        variables["original_local_part"] = local_part
    if address.prefix or address.suffix:
        address.prefix = address.prefix_v = address.suffix = address.suffix_v = ""
        variables.update(_NO_AFFIXES)
    if router.prefixes:
        prefix = prefix_of(local_part, router.prefixes)
        if prefix is not None:
            address.prefix, address.prefix_v = prefix
            local_part = local_part[len(prefix[0]) :]
        elif not router.prefix_optional:
            return f"{local_part} has none of its prefixes"
    if router.suffixes:
        suffix = suffix_of(local_part, router.suffixes)
        if suffix is not None:
            address.suffix, address.suffix_v = suffix
            local_part = local_part[: len(local_part) - len(suffix[0])]
        elif not router.suffix_optional:
            return f"{local_part} has none of its suffixes"
    address.local_part = local_part
    variables["router_name"] = router.name
    variables["local_part"] = local_part
    if address.prefix or address.suffix:
        variables["local_part_prefix"] = address.prefix
        variables["local_part_prefix_v"] = address.prefix_v
        variables["local_part_suffix"] = address.suffix
        variables["local_part_suffix_v"] = address.suffix_v
    if address.self_hostname is not None:
        variables["self_hostname"] = address.self_hostname
    if address.has_data:
        address.has_data = False
        for name in _OF_THE_ROUTER:
            variables.pop(name, None)
    return None


def _is_repeated(router: Router, address: Address) -> bool | None:
    """Has this router had the address, or with no_repeat_use one that it came from? None: the line is too long."""
    parent, length = address.parent, 0
    while parent is not None:
        if parent.router is router:
            if not router.repeat_use:
                return True
            if parent.text == address.text:
                return True
            if parent.text.lower() == address.text.lower() and not router.caseful:
                return True
        if length > LONGEST_DYNASTY:
            return None
        length += 1
        parent = parent.parent
    return False


def _set_data(walk: Walk, router: Router, address: Address) -> Asking[Said | None]:
    """`set` and address_data. A forced failure is a decline."""
    carried, env = address.carried, walk.env
    for name, text, written in router.sets:
        outcome = yield from expanded(text, env)
        if isinstance(outcome, Value):
            carried.variables = {**carried.variables, name: outcome.text}
            env.variables[name] = outcome.text
        elif isinstance(outcome, ForcedFailure):
            return Said.DECLINE
        else:
            address.message = f'expansion of "{written}" failed in {router.name} router: {outcome.message}'
            return Said.DEFER
    if router.address_data is None:
        return None
    outcome = yield from expanded(router.address_data, env)
    if isinstance(outcome, Value):
        carried.address_data = env.variables["address_data"] = outcome.text
        return None
    if isinstance(outcome, ForcedFailure):
        return Said.DECLINE
    written = router.address_data.text
    address.message = f'expansion of "{written}" failed in {router.name} router: {outcome.message}'
    return Said.DEFER


def _truth(
    walk: Walk, router: Router, address: Address, option: str, value: bool | Compiled
) -> Asking[bool | None]:
    """An option that is true, false or a text to be expanded. None: it cannot be said, and the message says why."""
    if isinstance(value, bool):
        return value
    outcome = yield from expanded(value, walk.env)
    if isinstance(outcome, ForcedFailure):
        return option == "more"  # the default
    if not isinstance(outcome, Value):
        address.message = f'failed to expand "{option}" in {router.name} router: {outcome.message}'
        return None
    truth = _TRUTHS.get(outcome.text.lower())
    if truth is None:
        words = f'"{outcome.text}" is not a valid value for the "{option}" option in the {router.name} router'
        address.message = words
    return truth


def _nobody(walk: Walk, address: Address) -> Asking[None]:
    """No router took it: find the words for it."""
    last = address.router
    address.router = None
    if address.message is not None:
        return
    words = UNROUTEABLE
    if last is not None and last.cannot_route_message is not None:
        outcome = yield from expanded(last.cannot_route_message, walk.env)
        if isinstance(outcome, Value):
            words = str(outcome.text)
        elif not isinstance(outcome, ForcedFailure):
            walk.remarks.append(
                f"failed to expand cannot_route_message in {last.name} router: {outcome.message}"
            )
    address.message = address.user_message = words


def _finish(walk: Walk, router: Router, address: Address) -> Asking[Said]:
    """A router took it. With unseen, a copy goes on to the next router."""
    if router.unseen is not False:
        unseen = yield from _truth(walk, router, address, "unseen", router.unseen)
        if unseen is None:
            return Said.DEFER
        if unseen and router.next is not None:
            address.message = None
            _copy_unseen(walk, router, address)
    address.message = None
    return Said.OK


def _copy_unseen(walk: Walk, router: Router, address: Address) -> None:
    """The address and its copy get one parent, which looks like the address as it was."""
    parent = address.copy()
    carried = address.carried
    parent.carried = Carried(carried.address_data, ignores_errors=carried.ignores_errors)
    if address.parent is not None:
        parent.carried.errors_to = address.parent.carried.errors_to
    copy = Address(
        address.text,
        parent,
        Carried(
            carried.address_data,
            errors_to=parent.carried.errors_to,
            ignores_errors=carried.ignores_errors,
            variables=carried.variables,
        ),
    )
    copy.start = router.next
    address.parent = parent
    address.unique = f"{address.unique}/{router.name}"
    walk.add_new(copy)


def _take_off(walk: Walk, address: Address) -> None:
    for queue in (walk.local, walk.remote):
        if queue and queue[-1] is address:
            queue.pop()


def _tell(walk: Walk, address: Address, said: Said) -> None:
    assert walk.trace is not None
    if said is Said.OK:
        walk.trace.took()
    elif said in (Said.PASS, Said.DECLINE):
        walk.trace.passed(address.message or walk.trace.reason or f"it {said.value}")
    else:
        walk.trace.took(address.message or said.value, said.value)

"""Route recipients and everything that comes of them, generation by generation.

WHAT       `route_recipients` gives a Routed for each recipient: what an MTA does with a message.
           `values_of` are the variables that an address takes to its transport.
LIKE EXIM  the addresses of one generation are routed before their children; what came to the same is delivered once;
           with same_domain_copy_routing the other addresses of the domain go the same way without being routed
STANDARDS  Exim specification, chapter "How Exim receives and delivers mail", sections about routing an address
READ NEXT  verify.py
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.routing.compile import Router
from labkit.routing.route import Route, Routed, RouteOutcome
from labkit.routing.taking import home_for_transport
from labkit.routing.trace import Trace
from labkit.routing.walk import route_address
from labkit.routing.way import MOST_ADDRESSES, Address, ErrorsVerifier, Mode, Said, Walk

_VERIFY_MODES = {Mode.TEST: "R", Mode.VERIFY_RECIPIENT: "R", Mode.EXPN: "R", Mode.VERIFY_SENDER: "S"}
BYPASSED = "**bypassed**"  # the transport of what is thrown away
_values = attrgetter(*Env.__dataclass_fields__)
_OUTCOMES = {
    Said.FAIL: RouteOutcome.FAILED,
    Said.DEFER: RouteOutcome.DEFERRED,
    Said.DISCARD: RouteOutcome.DISCARDED,
}


def own_env(env: Env) -> Env:
    """An Env for one address: variables of its own, the rest shared."""
    new = Env(*_values(env))
    new.variables = dict(env.variables)
    new.numbers, new.value = (), ""
    return new


def new_walk(
    env: Env, mode: Mode, addresses: Sequence[Address], verify: ErrorsVerifier, trace: Trace | None
) -> Walk:
    verify_mode = _VERIFY_MODES.get(mode, "")
    return Walk(env, mode, list(reversed(addresses)), verify, verify_mode, trace=trace)


def _set_return_path(walk: Walk, address: Address) -> None:
    """Just in case a router refers to it."""
    variables, to = walk.env.variables, address.carried.errors_to
    if to is None:
        is_sender = walk.mode is Mode.VERIFY_SENDER
        to = address.eldest.text if is_sender else variables.get("sender_address", "")
    variables["return_path"] = to


def route_recipients(
    first: Router | None, texts: Sequence[str], env: Env, verify: ErrorsVerifier, trace: Trace | None = None
) -> Asking[tuple[Routed, ...]]:
    """Route the recipients of a message for delivery."""
    eldest = [Address(text) for text in texts]
    walk = new_walk(env, Mode.DELIVERY, eldest, verify, trace)
    yield from _generations(walk, first, env)
    found = routes_of(walk)
    if len(eldest) == 1:
        return (Routed(texts[0], tuple([route for _, route in found]), tuple(walk.remarks), trace),)
    return tuple(
        Routed(
            address.text,
            tuple(route for owner, route in found if _family_of(owner, address)),
            tuple(walk.remarks),
            trace,
        )
        for address in eldest
    )


def _family_of(address: Address, eldest: Address) -> bool:
    """Also a copy made by unseen stands for its original."""
    last = address.eldest
    return last is eldest or last.text == eldest.text


def _generations(walk: Walk, first: Router | None, env: Env) -> Asking[None]:
    targets: set[str] = set()
    while walk.new:
        generation: list[Address] = []
        while walk.new:
            address = walk.new.pop()
            if address.is_target:
                _aim(walk, address, targets)
            else:
                address.split()
                _make_unique(address)
                generation.append(address)
        while generation:
            address = generation.pop()
            said = yield from route_one(walk, first, env, address)
            if said is not Said.OK:
                walk.done.append((address, said))
            elif walk.remote and walk.remote[-1] is address:
                _copy_routing(walk, address, generation)


def route_one(walk: Walk, first: Router | None, env: Env, address: Address) -> Asking[Said]:
    """Route one address with an Env of its own. `address` is split already."""
    walk.routed += 1
    if walk.routed > MOST_ADDRESSES:
        address.message = f"more than {MOST_ADDRESSES} addresses came of one"
        return Said.DEFER
    walk.env = own_env(env)
    walk.env.variables["verify_mode"] = walk.verify_mode
    _set_return_path(walk, address)
    trace = walk.trace
    if trace is None:
        said = yield from route_address(walk, first, address)
    else:
        trace.begin(address)
        said = yield from trace.heard(route_address(walk, first, address))
        trace.end(address.message or said.value)
    router = address.router
    if said is Said.OK and router is not None and router.transport_home is not None:
        address.home = yield from home_for_transport(walk, router, address)
    return said


def _make_unique(address: Address) -> None:
    """Of the same text as one that it came from? Then the deliveries must be told apart."""
    parent = address.parent
    lowered = "" if parent is None else address.text.lower()
    while parent is not None:
        if parent.text.lower() == lowered:
            level = "0" if not parent.unique.startswith("\\") else chr(ord(parent.unique[1]) + 1)
            address.unique = f"\\{level}\\{address.text}"
            break
        parent = parent.parent
    local, _, domain = address.unique.rpartition("@")
    if not domain.islower():
        address.unique = f"{local}@{domain.lower()}"


def _aim(walk: Walk, address: Address, targets: set[str]) -> None:
    """A program or a file: it goes through no routers."""
    assert address.parent is not None
    parent = address.parent.unique
    address.unique = f"{address.text}:{parent[3:] if parent.startswith(chr(92)) else parent}"
    if address.unique in targets:
        return
    targets.add(address.unique)
    address.local_part, address.domain = address.text, address.parent.domain
    if address.is_forbidden:
        kind = "pipe" if address.text.startswith("|") else "file"
        address.message = f"delivery to {kind} forbidden"
        walk.done.append((address, Said.FAIL))
    elif address.is_misdirected:
        walk.done.append((address, Said.DEFER))
    elif address.text == "/dev/null":
        address.transport = BYPASSED
        walk.done.append((address, Said.DISCARD))
    else:
        walk.done.append((address, Said.OK))


def _copy_routing(walk: Walk, address: Address, generation: list[Address]) -> None:
    """Others of the domain go the same way."""
    assert address.router is not None, "a router took it"
    has_own_headers = address.carried.headers_add or address.carried.headers_remove
    if has_own_headers or not address.router.copies_routing:
        return
    for other in [each for each in reversed(generation) if each.domain == address.domain]:
        generation.remove(other)
        other.router, other.transport, other.hosts = address.router, address.transport, address.hosts
        other.carried.errors_to = address.carried.errors_to
        other.hides_parent_child = address.hides_parent_child
        walk.remote.append(other)


def routes_of(walk: Walk) -> list[tuple[Address, Route]]:
    """A Route for each address that came to an end, with its address."""
    found = [(address, _route(walk, address, said)) for address, said in walk.done]
    known: set[str] = set()
    for is_local, queue in ((True, walk.local), (False, walk.remote)):
        for address in reversed(queue):
            is_duplicate = address.unique in known
            known.add(address.unique)
            route = _route(walk, address, Said.OK, is_local=is_local, is_duplicate=is_duplicate)
            found.append((address, route))
    return found


def _route(
    walk: Walk, address: Address, said: Said, *, is_local: bool = False, is_duplicate: bool = False
) -> Route:
    owner = address.parent if address.is_target and address.parent is not None else address
    carried = address.carried
    is_routed = said is Said.OK
    return Route(
        Mailbox(owner.cased, owner.text.rpartition("@")[2]),
        RouteOutcome.ROUTED if is_routed else _OUTCOMES[said],
        "" if is_routed else address.message or "",
        () if walk.trace is None else walk.trace.steps_of(owner),
        None if address.router is None else address.router.name,
        address.transport,
        address.hosts,
        values_of(address) if is_routed else {},
        address.text,
        address.parents if address.parent is not None else (),
        "" if is_routed else words_of(address),
        address.is_target,
        address.is_forbidden,
        is_local or address.is_target,
        is_duplicate,
        address.freezes,
        carried.errors_to,
        carried.headers_add,
        carried.headers_remove,
        address.unique,
        address.onetime_parent,
        address.local_host_removed,
        address.hides_parent_child,
    )


def words_of(address: Address) -> str:
    """What a report may tell of the reason."""
    return (address.message if address.may_tell else address.user_message) or ""


def values_of(address: Address) -> dict[str, str]:
    """The variables of an address, as its transport sees them."""
    parent, carried, router = address.parent, address.carried, address.router
    eldest = address if parent is None else address.eldest
    owner = parent if address.is_target and parent is not None else address
    values = {
        "local_part": owner.local_part,
        "domain": owner.domain,
        "local_part_data": carried.local_part_data or "",
        "domain_data": carried.domain_data or "",
        "home": address.home or "",
        "original_local_part": _as_routed(eldest),
        "original_domain": eldest.domain,
    }
    if router is not None:
        values["router_name"] = router.name
    if carried.address_data:
        values["address_data"] = carried.address_data
    if address.self_hostname:
        values["self_hostname"] = address.self_hostname
    if owner.prefix:
        values |= {"local_part_prefix": owner.prefix, "local_part_prefix_v": owner.prefix_v}
    if owner.suffix:
        values |= {"local_part_suffix": owner.suffix, "local_part_suffix_v": owner.suffix_v}
    if address.hosts:
        values |= {"host": address.hosts[0].host, "host_address": address.hosts[0].address}
    if address.host_text is not None:
        values["host"] = address.host_text
    if address.is_target:
        values["address_pipe" if address.text.startswith("|") else "address_file"] = address.text
    if parent is not None:
        values |= {"parent_local_part": _as_routed(parent), "parent_domain": parent.domain}
    if carried.variables:
        values |= carried.variables
    return values


def _as_routed(address: Address) -> str:
    return address.cased if address.router is not None and address.router.caseful else address.lowered

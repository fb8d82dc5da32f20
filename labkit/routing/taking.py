"""What routers have in common when they take an address: who hears of failures, header fields, the transport.

DECIDES    errors_to (it counts only if mail to it would arrive), headers_add and headers_remove, which transport;
           `queue` puts the address onto the list of local or of remote deliveries.
LIKE EXIM  a forced failure leaves the setting out; any other failure defers the address
STANDARDS  Exim specification, chapter "Generic options for routers", options errors_to, headers_add, headers_remove,
           transport, transport_home_directory
READ NEXT  accept.py, dnslookup.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.eximconf.expansion import ForcedFailure, Tainted, Value
from labkit.mail.asking import Asking
from labkit.routing.compile import Router, TransportChoice
from labkit.routing.texts import expanded
from labkit.routing.way import Address, Carried, Said, Walk


@dataclass(slots=True)
class Extras:
    """What an address takes along besides its way."""

    errors_to: str | None
    headers_add: tuple[str, ...]
    headers_remove: tuple[str, ...]

    def give_to(self, carried: Carried) -> None:
        carried.errors_to = self.errors_to
        carried.headers_add = self.headers_add
        carried.headers_remove = self.headers_remove


def has_extras(router: Router) -> bool:
    """Has it settings for `extras` to expand?"""
    return bool(router.errors_to or router.headers_add or router.headers_remove)


def extras(walk: Walk, router: Router, address: Address) -> Asking[Extras | None]:
    """Expand errors_to and the header options. None: the address is put off, and its message says why."""
    carried = address.carried
    found = Extras(carried.errors_to, carried.headers_add, carried.headers_remove)
    if router.errors_to is not None and not (yield from _errors_to(walk, router, address, found)):
        return None
    added: list[str] = []
    for name, texts in (("add_headers", router.headers_add), ("remove_headers", router.headers_remove)):
        values = []
        for text in texts:
            outcome = yield from expanded(text, walk.env)
            if isinstance(outcome, Value):
                values += [str(outcome.text)] if outcome.text else []
            elif not isinstance(outcome, ForcedFailure):
                words = f'{router.name} router failed to expand {name} item "{text.text}": {outcome.message}'
                address.message = words
                return None
        if name == "add_headers":
            added = values
        else:
            found.headers_remove += tuple(values)
    found.headers_add += tuple(added)
    return found


def _errors_to(walk: Walk, router: Router, address: Address, found: Extras) -> Asking[bool]:
    text = router.errors_to
    assert text is not None
    outcome = yield from expanded(text, walk.env)
    if isinstance(outcome, ForcedFailure):
        return True
    if not isinstance(outcome, Value):
        address.message = f'{router.name} router failed to expand "{text.text}": {outcome.message}'
        return False
    if not outcome.text:  # nobody hears of it
        address.carried.ignores_errors = True
        found.errors_to = ""
    elif walk.mode.is_verification:  # one verification inside another would have no end
        found.errors_to = str(outcome.text)
    else:
        verified = yield from walk.verify_errors_to(str(outcome.text), walk.env)
        found.errors_to = found.errors_to if verified is None else verified
        walk.verify_mode = walk.env.variables["verify_mode"] = ""  # one verification ends the other's mode
    return True


def transport_of(
    choice: TransportChoice | None, walk: Walk, router: Router, address: Address
) -> Asking[str | bool]:
    """The name of the transport; True: none is needed; False: it is not to be had, and the message says why."""
    if choice is None or choice.text is None:
        if choice is None or choice.option is None:
            return True
        address.message = f"{choice.option} unset in {router.name} router"
        return False
    name = choice.name
    if name is None:
        outcome = yield from expanded(choice.text, walk.env)
        if not isinstance(outcome, Value):
            words = (
                f'failed to expand transport "{choice.text.text}" in {router.name} router: {outcome.message}'
            )
            address.message = words
            return False
        if type(outcome.text) is Tainted:
            walk.remarks.append(
                f"attempt to use tainted value '{outcome.text}' from '{choice.text.text}' for transport"
            )
            address.message = "internal configuration error"
            return False
        name = outcome.text
    return name if _is_there(choice, name) else _not_there(router, address, name)


def _is_there(choice: TransportChoice, name: str) -> bool:
    return choice.transports is None or name in choice.transports


def _not_there(router: Router, address: Address, name: str) -> bool:
    address.message = f'transport "{name}" not found in {router.name} router'
    return False


def queue(walk: Walk, router: Router, address: Address, transport: str | None) -> Said:
    """The address is delivered by this transport, and the lists' data go with it."""
    variables, carried = walk.env.variables, address.carried
    carried.domain_data = variables.get("domain_data")
    carried.local_part_data = variables.get("local_part_data")
    address.transport = transport
    if router.transport is not None and router.transport.is_local(transport):
        if router.check_local_user or address.home_is_expanded:
            address.home = variables.get("home")
        walk.local.append(address)
    else:
        walk.remote.append(address)
    return Said.OK


def take(walk: Walk, router: Router, address: Address) -> Asking[Said]:
    """Extras, transport, queue: what accept does, and dnslookup when it has its hosts."""
    if has_extras(router):
        found = yield from extras(walk, router, address)
        if found is None:
            return Said.DEFER
        found.give_to(address.carried)
    transport = yield from transport_of(router.transport, walk, router, address)
    if transport is False:
        return Said.DEFER
    return queue(walk, router, address, transport if isinstance(transport, str) else None)


def home_for_transport(walk: Walk, router: Router, address: Address) -> Asking[str | None]:
    """$home of a local delivery: transport_home_directory, or that of the router. None: it has none."""
    if router.transport_home is None:
        return address.home
    outcome = yield from expanded(router.transport_home, walk.env)
    return str(outcome.text) if isinstance(outcome, Value) else None

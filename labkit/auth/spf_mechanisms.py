"""Does this mechanism match the client? One function for each of the mechanisms that are about addresses and names.

DECIDES    all, ip4, ip6, a, mx, ptr, exists. `include` is a whole evaluation of its own: spf.py.
RULES      a mechanism that asks counts first, then asks; a name that cannot exist matches nothing and asks nothing;
           a failure of the DNS is temperror, but for ptr, which then does not match.
STANDARDS  RFC 7208 §5 (§5.1 all, §5.3 a, §5.4 mx, §5.5 ptr, §5.6 ip4 and ip6, §5.7 exists)
READ NEXT  spf.py
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from labkit.auth.spf_evaluation import MOST_NAMES, Address, Evaluation, Stop, askable
from labkit.auth.spf_record import Directive
from labkit.mail.asking import Asking
from labkit.mail.questions import AddressesOf, MxOf


def matches(run: Evaluation, directive: Directive) -> Asking[bool]:
    """Whether the mechanism of `directive` matches. Raises Stop where the evaluation must end."""
    if directive.mechanism == "all":
        return True
    if directive.network is not None:
        return run.client in directive.network
    run.count_term()
    target = yield from run.target(directive.domain)
    if target is None:
        run.note("the name cannot exist: nobody is asked, nothing matches", "RFC 7208 §4.8")
        return False
    found = yield from _ASKING[directive.mechanism](run, directive, target)
    return found


def _a(run: Evaluation, directive: Directive, target: str) -> Asking[bool]:
    addresses = yield from run.addresses(target)
    return _is_near(run.client, addresses, directive)


def _mx(run: Evaluation, directive: Directive, target: str) -> Asking[bool]:
    exchangers = yield from run.records(MxOf(target), target)
    if len(exchangers) > MOST_NAMES:
        words = f"{target} has more than {MOST_NAMES} mail exchangers"
        raise Stop("exchangers", words, "RFC 7208 §4.6.4")
    for record in sorted(exchangers, key=lambda record: record.preference):
        host = askable(record.exchange)
        if host is None:  # a null MX (RFC 7505), or no name at all
            continue
        addresses = yield from run.addresses(host)
        if _is_near(run.client, addresses, directive):
            return True
    return False  # §5.4: no MX does not mean that the name itself is one


def _ptr(run: Evaluation, directive: Directive, target: str) -> Asking[bool]:
    names = yield from run.validated_names(counts=True)
    return any(name == target or name.endswith(f".{target}") for name in names)


def _exists(run: Evaluation, directive: Directive, target: str) -> Asking[bool]:
    addresses = yield from run.records(AddressesOf(target), target)  # A, for an IPv6 client too
    return bool(addresses)


_ASKING: dict[str, Callable[[Evaluation, Directive, str], Asking[bool]]] = {
    "a": _a,
    "mx": _mx,
    "ptr": _ptr,
    "exists": _exists,
}


def _is_near(client: Address, addresses: tuple[Address, ...], directive: Directive) -> bool:
    """Whether the client is in the network of that length around one of the addresses."""
    prefix = directive.prefix4 if client.version == 4 else directive.prefix6
    around = ip_network(f"{client}/{prefix}", strict=False)
    return any(address.version == client.version and address in around for address in addresses)

"""What to do when the way leads back to this host: the option `self`.

STANDARDS  Exim specification, chapter "Generic options for routers", option self
READ NEXT  dnslookup.py, host_list.py
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.eximconf.place import ConfigurationError, Place
from labkit.routing.mx import NextHop
from labkit.routing.way import Address, Said, Walk

_WORDS = ("defer", "fail", "freeze", "pass", "send")


@dataclass(frozen=True, slots=True)
class SelfAction:
    """The word of the option; `domain` is for reroute."""

    word: str = "freeze"
    domain: str = ""


def read_self(router: str, text: str, place: Place) -> SelfAction:
    """Read the option. Raises ConfigurationError."""
    if text in _WORDS:
        return SelfAction(text)
    word, colon, domain = text.partition(":")
    if word == "reroute" and colon:
        domain = domain.strip()
        if domain.startswith("rewrite:"):  # labkit rewrites no header fields; the new domain counts
            domain = domain.removeprefix("rewrite:").strip()
        return SelfAction(word, domain)
    remedy = f"one of: {', '.join(_WORDS)}, reroute:domain"
    raise ConfigurationError(place, f"{router} router: {text} is not valid for the self option", remedy)


def act_on_self(action: SelfAction, walk: Walk, address: Address, host: NextHop) -> Said | None:
    """What the router says; None: it sends all the same."""
    words = "remote host address is the local host"
    if host.preference is not None:
        words = "lowest numbered MX record points to local host"
    if action.word == "send":
        return None
    if action.word == "reroute":
        change_domain(walk, address, action.domain)
        return Said.REROUTED
    address.message = words
    if action.word == "pass":
        address.self_hostname = host.host
        return Said.PASS
    if action.word == "fail":
        address.may_tell = True
        return Said.FAIL
    address.freezes = action.word == "freeze"
    return Said.DEFER


def change_domain(walk: Walk, address: Address, domain: str) -> None:
    """The same local part at another domain, to be routed from the first router; what it was becomes its parent."""
    local_part = address.text.rpartition("@")[0]
    walk.add_new(Address(f"{local_part}@{domain}", address, replace(address.carried)))

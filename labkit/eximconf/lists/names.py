"""The names of the connected host, found and confirmed.

ASKS       NamesOf its address (PTR), then AddressesOf each name.
RULES      a name counts if it leads back to the address; the first that does is $sender_host_name. If a look-up may
           succeed later, or no name is left, there is no name: HostUnknown. What was found, or that there is nothing,
           is remembered for the connection.
STANDARDS  Exim specification, section "Host list patterns that match by name", option host_lookup; RFC 1912 §2.1
SIMPLER    IPv4 addresses alone lead back; the system's own hosts file is left to whoever answers
READ NEXT  addresses.py
"""

from __future__ import annotations

from typing import NamedTuple

from labkit.eximconf.client_name import name_client
from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.lists.kinds import HostUnknown, Subject
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf, NamesOf


def own_names(subject: Subject) -> Asking[tuple[str, ...]]:
    """The names of the subject's address, at least one. Raises HostUnknown."""
    env, address = subject.env, subject.text
    is_client = env.variables.get("sender_host_address", "") == address
    key = ("names of", address)
    names: tuple[str, ...] | None = env.memo.get(key)
    if names is None and is_client and (known := env.variables.get("sender_host_name", "")):
        return (known,)
    if names is None:
        names = yield from _confirmed(subject)
        env.memo[key] = names
        if is_client:
            _tell(env, names)
    if not names:
        raise _unknown(subject)
    return names


def _unknown(subject: Subject) -> HostUnknown:
    return HostUnknown(f"failed to find host name for {subject.text}")


def _tell(env: Env, names: tuple[str, ...]) -> None:
    if names:
        env.variables["sender_host_name"] = names[0]
        name_client(env.variables)
    else:
        env.variables["host_lookup_failed"] = "1"


class Names(NamedTuple):
    """The names that an address claims, and those of them that lead back to it."""

    claimed: tuple[str, ...]
    confirmed: tuple[str, ...]


def names_of(address: str) -> Asking[Names | None]:
    """Ask for the names of an address and for their addresses. None: it may be known later."""
    answer = yield from ask(NamesOf(address))
    if answer.outcome.is_temporary:
        return None
    claimed = tuple([lower(name).removesuffix(".") for name in answer.records])
    wanted = hosts.without_mapping(hosts.read(address))
    confirmed = []
    for name in claimed:
        back = yield from ask(AddressesOf(name))
        if back.outcome.is_temporary:
            return None
        if wanted in [hosts.read(each) for each in back.records]:
            confirmed.append(name)
    return Names(claimed, tuple(confirmed))


def _confirmed(subject: Subject) -> Asking[tuple[str, ...]]:
    names = yield from names_of(subject.text)
    if names is None:
        raise _later(subject)
    return names.confirmed


def _later(subject: Subject) -> HostUnknown:
    """Nobody could say: it will be asked again."""
    env = subject.env
    if env.variables.get("sender_host_address", "") == subject.text:
        env.variables["host_lookup_deferred"] = "1"
    return _unknown(subject)

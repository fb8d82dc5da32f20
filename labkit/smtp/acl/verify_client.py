"""verify = helo, reverse_host_lookup, certificate: is the client who it says it is?

ASKS       NamesOf the client's address, AddressesOf each name; both once in a connection
RULES      a name counts only if one of its addresses is the client's: anybody can write any name into a reverse zone.
LIKE EXIM  a HELO name is verified if it is the client's name or one of its aliases, if it has the client's address, or
           if it is that address in brackets
STANDARDS  Exim specification, section "ACL conditions" (verify = helo, verify = reverse_host_lookup)
READ NEXT  verify_fields.py
"""

from __future__ import annotations

from labkit.eximconf.client_name import name_client
from labkit.eximconf.lists.names import names_of
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf
from labkit.smtp.acl.scene import ClientName, Scene
from labkit.smtp.acl.verdicts import Found
from labkit.smtp.acl.verify_address import Wish


def certificate(scene: Scene, wish: Wish) -> Asking[Found]:
    if scene.env.variables.get("tls_in_certificate_verified", "") == "1":
        return Found.YES
    scene.words = "no verified certificate"
    return Found.NO
    yield


def reverse_host_lookup(scene: Scene, wish: Wish) -> Asking[Found]:
    address = scene.env.variables.get("sender_host_address", "")
    if not address or scene.env.variables.get("sender_host_name"):
        return Found.YES
    was_known = scene.memory.client is not None
    client = yield from client_name(scene, address)
    scene.because = f"the client's name is {client.names[0]}" if client.names else "the client has no name"
    if client.found:
        name_client(scene.env.variables)
        return Found.YES
    if client.found is None:
        scene.log = "host lookup deferred for reverse lookup check"
        return Found.YES if wish.defer_ok else Found.LATER
    scene.log = f"host lookup failed{'' if was_known else ' for reverse lookup check'}{client.words}"
    return Found.NO


def client_name(scene: Scene, address: str) -> Asking[ClientName]:
    """The names of the client that lead back to its address; also $sender_host_name and its like."""
    if (known := scene.memory.client) is not None and known.found is not None:
        return known
    client = yield from _looked_up(address)
    scene.memory.client = client
    variables = scene.env.variables
    variables["host_lookup_deferred"] = "1" if client.found is None else "0"
    variables["host_lookup_failed"] = "1" if client.found is False else "0"
    if client.names:
        variables["sender_host_name"] = client.names[0]
    return client


def _looked_up(address: str) -> Asking[ClientName]:
    names = yield from names_of(address)
    if names is None:
        return ClientName(None)
    if not names.claimed:
        return ClientName(False, (), " (failed to find host name from IP address)")
    if names.confirmed:
        return ClientName(True, names.confirmed)
    return ClientName(False, (), f" ({address} does not match any IP address for {names.claimed[0]})")


def helo(scene: Scene, wish: Wish) -> Asking[Found]:
    variables = scene.env.variables
    said, address = variables.get("sender_helo_name", ""), variables.get("sender_host_address", "")
    if not said:
        scene.because = "the client has not said HELO"
        return Found.NO
    known = scene.memory.helo
    if known is None or known[0] != said:
        is_good = not address or (yield from _is_helo(scene, said, address))
        scene.memory.helo = known = (said, is_good)
    scene.because = f"the HELO name {said} {'is' if known[1] else 'is not'} the client's"
    return Found.YES if known[1] else Found.NO


def _is_helo(scene: Scene, said: str, address: str) -> Asking[bool]:
    if said.startswith("["):
        return said[1:].startswith((address, address.removeprefix("::ffff:")))
    client = yield from client_name(scene, address)
    if said.lower() in client.names:
        return True
    answer = yield from ask(AddressesOf(said))
    return address in answer.records

"""verify = sender, recipient, header_sender: could mail for this address, or a report to it, be delivered?

ASKS       VerifySender, VerifyRecipient
RULES      a sender is verified once in a message, unless a callout is asked for; the null sender needs no verification.
           What cannot be found out is a 451 with every verb but warn, unless defer_ok makes it good.
LIKE EXIM  the client hears why its sender failed before the words of the refusal, once in a message
STANDARDS  Exim specification, sections "Address verification", "Sender address verification reporting"
READ NEXT  verify_client.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.field_addresses import Unreadable, addresses_of
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import Callout, Standing, Verification, VerifyRecipient, VerifySender
from labkit.smtp.acl.scene import Checked, Scene
from labkit.smtp.acl.verdicts import Found

_USUAL = "Unrouteable address"
_ORDER = ("sender", "reply-to", "from")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a verify condition asks for. `address` None: the sender of the message."""

    what: str
    address: str | None = None
    defer_ok: bool = False
    callout_defer_ok: bool = False
    no_details: bool = False
    folds_case: bool = False
    callout: Callout | None = None
    connect: float | None = None
    overall: float | None = None


def _found(verification: Verification) -> Found:
    standing = verification.standing
    if standing is Standing.GOOD:
        return Found.YES
    return Found.NO if standing is Standing.BAD else Found.LATER


def mailbox_of(address: str) -> Mailbox:
    """An address that was read before; its local part may stand in quotes."""
    local_part, at, domain = address.rpartition("@")
    if not at:
        local_part, domain = address, ""
    if len(local_part) > 1 and local_part[0] == local_part[-1] == '"':
        local_part = re.sub(r"\\(.)", r"\1", local_part[1:-1])
    return Mailbox(local_part, domain)


def recipient(scene: Scene, wish: Wish) -> Asking[Found]:
    assert scene.recipient is not None, "the phase has one"
    callout = wish.callout
    sender_address = scene.env.variables.get("sender_address", "") if callout and callout.uses_sender else ""
    verification = yield from ask(VerifyRecipient(scene.recipient, callout, sender_address))
    variables = scene.env.variables
    scene.memory.return_path = variables.get("sender_address", "")
    variables["recipient_verify_failure"] = verification.failure
    variables["address_data"] = verification.address_data
    found = _found(verification)
    scene.log = verification.reason or verification.words or None
    scene.words = verification.words or verification.reason or None
    if verification.words not in ("", _USUAL):  # what the configuration says itself may be told
        scene.tells = True
    if scene.watched:
        scene.because = f"{scene.recipient} {_shown(verification)}"
    return _put_off(found, verification, wish, scene)


def sender(scene: Scene, wish: Wish) -> Asking[Found]:
    variables = scene.env.variables
    address = variables.get("sender_address", "") if wish.address is None else wish.address
    checked = scene.memory.senders.get(address)
    if checked is None or wish.callout is not None:
        checked = yield from _verified(address, wish)
        scene.memory.senders[address] = checked
        found = _standing(checked)
    elif checked.called_out and checked.verification is not None and checked.verification.is_of_callout:
        found = Found.YES  # it was routed; what its host said then is another matter
    else:
        found = _standing(checked)
    verification = checked.verification
    if verification is not None:
        if wish.address is None and verification.rewritten is not None:
            _become(verification.rewritten, scene)
        variables["sender_address_data"] = verification.address_data
        variables["sender_verify_failure"] = verification.failure
        found = _put_off(found, verification, wish, scene)
    if scene.watched:
        scene.because = (
            f"<{address}> {'is the null sender' if verification is None else _shown(verification)}"
        )
    if found is Found.YES:
        return found
    assert verification is not None
    if found is Found.NO:
        scene.log = scene.words = "Sender verify failed"
    elif not verification.is_of_callout:
        scene.log = scene.words = "Could not complete sender verify"
    else:
        scene.log = scene.words = "Could not complete sender verify callout"
        if scene.gives_details:
            scene.words = verification.words or None
    scene.failed_sender = checked
    return found


def _become(address: str, scene: Scene) -> None:
    """Verifying the sender has rewritten it: from now on that is the sender."""
    scene.memory.has_rewritten_sender = True
    local_part, _, domain = address.rpartition("@")
    scene.env.variables |= {
        "sender_address": address,
        "sender_address_local_part": local_part,
        "sender_address_domain": domain,
    }


def _verified(address: str, wish: Wish) -> Asking[Checked]:
    if not address:
        return Checked("", None)
    verification = yield from ask(VerifySender(mailbox_of(address), wish.callout))
    return Checked(address, verification, told=wish.no_details, called_out=wish.callout is not None)


def _standing(checked: Checked) -> Found:
    return Found.YES if checked.verification is None else _found(checked.verification)


def _put_off(found: Found, verification: Verification, wish: Wish, scene: Scene) -> Found:
    """What an option makes of an answer that may come later."""
    if found is not Found.LATER:
        return found
    if wish.defer_ok or (wish.callout_defer_ok and verification.is_of_callout):
        return Found.YES  # the words stay: Exim may still say them at the end of the list
    scene.was_callout = verification.is_of_callout
    return found


def header_sender(scene: Scene, wish: Wish) -> Asking[Found]:
    """Is there a good address in Sender:, Reply-To: or From:? They are tried in this order."""
    found = Found.NO
    for wanted in _ORDER:
        for name, body in scene.env.headers:
            if name.lower() != wanted:
                continue
            for item in addresses_of(body):
                if isinstance(item, Unreadable):
                    if item.problem == "empty address":
                        continue
                    scene.log = (
                        f"syntax error in '{name}:' header when scanning for sender: "
                        f'{item.problem} in "{item.text}"'
                    )
                    return Found.NO
                one = yield from _verified_field(scene, wish, name, item.address, item.text)
                if one is Found.YES:
                    scene.words = None
                    return one
                if one is Found.LATER:
                    found = one
    scene.log = (
        "there is no valid sender in any header line"
        if found is Found.NO
        else "all attempts to verify a sender in a header line deferred"
    )
    if scene.gives_details and scene.words is None:
        scene.words = f"Rejected after DATA: {scene.log}"
    return Found.YES if found is Found.LATER and wish.defer_ok else found


def _verified_field(scene: Scene, wish: Wish, name: str, address: str, text: str) -> Asking[Found]:
    known = scene.memory.senders.get(text)
    if known is not None and (wish.callout is None or known.called_out):
        verification = known.verification
    else:
        verification = yield from ask(VerifySender(mailbox_of(address), wish.callout))
    if verification is None:
        return Found.YES
    if not verification.is_good and scene.gives_details:
        why = verification.reason or verification.words
        scene.words = f'Rejected after DATA: could not verify "{name}:" header address\n{address}: {why}'
    return _found(verification)


def _shown(verification: Verification) -> str:
    why = verification.reason or verification.words
    word = {Standing.GOOD: "is deliverable", Standing.BAD: "is not deliverable"}.get(
        verification.standing, "cannot be verified now"
    )
    return f"{word} ({why})" if why else word

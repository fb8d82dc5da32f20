"""DKIM of what goes out: the message gets its signatures just before it is sent to a host.

DOES       `signed` gives the message as it goes out, with the signatures on top; what kept it from being signed is in
           the log, and with dkim_strict it is trouble with this host: the message waits.
LIKE EXIM  without dkim_strict a message that cannot be signed goes unsigned; one signature that fails keeps all away
STANDARDS  Exim specification, chapter "DKIM, SPF, SRS and DMARC"
READ NEXT  labkit/delivery/dkim.py, labkit/auth/exim_dkim_sign.py
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.auth.exim_dkim_sign import Unsigned, Wanted, sign_as_exim
from labkit.delivery.dkim import Signature, must_be_signed, plan_signatures
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
from labkit.mail.asking import Asking
from labkit.mta.host_trouble import HostTrouble
from labkit.queue import errors
from labkit.routing import NextHop

Tell = Callable[[str, bool], None]  # a line for the log; is it one for the panic log, too?


def signed(
    content: bytes, transport: Driver, env: Env, hop: NextHop, now: int, tell: Tell
) -> Asking[bytes | HostTrouble]:
    """The content with its signatures, or why it must wait. `env` knows this host."""
    plan = yield from plan_signatures(transport, env, now)
    failure = plan.failure
    for line in plan.log:
        tell(line, failure is not None)
    fields: list[bytes] = []
    for each in plan.signatures:
        field = sign_as_exim(content, _wanted(each))
        if isinstance(field, Unsigned):
            tell(f"signing_init: {field.words}", True)
            tell("DKIM: signing failed: PRIVKEY", True)
            fields, failure = [], field.words
            break
        fields.append(field)
    if failure is None or not (yield from must_be_signed(transport, env)):
        return b"".join([*fields, content])
    tell("DKIM: message could not be signed, and dkim_strict is set. Deferring message delivery.", False)
    words = f"smtp send to {hop.host} [{hop.address}] failed: {failure}"
    return HostTrouble(errors.NOT_PERMITTED, words)


def _wanted(signature: Signature) -> Wanted:
    return Wanted(
        signature.domain,
        signature.selector,
        signature.key,
        signature.names,
        signature.hash,
        signature.canon,
        signature.identity,
        signature.created,
        signature.expires,
    )

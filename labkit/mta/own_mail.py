"""Mail that this host writes by itself while it delivers: answers of autoreply transports, warnings of a full mailbox.

DOES       sends it to whom its To, Cc and Bcc name, under the null reverse-path: nobody answers an answer, and nobody
           is told that it did not arrive.
STANDARDS  RFC 3834 §3.3; RFC 5321 §4.5.5; Exim specification, the options -t and -f
READ NEXT  answering.py
"""

from __future__ import annotations

from labkit.eximconf.field_addresses import Readable, addresses_of
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.fields import with_fields, without
from labkit.mail.message import HeaderField, Message
from labkit.mta.fixups import completed
from labkit.mta.intake import Intake
from labkit.mta.state import MtaState

LOGIN = "exim"  # whose name stands in the Received field
_RECIPIENTS = ("To", "Cc", "Bcc")
MOST_RECIPIENTS = 1000


async def send(state: MtaState, intake: Intake, content: bytes, about: str) -> bool:
    """Send a message (CR LF line ends) because of the one with the queue id `about`.

    False: it has no recipients. Raises NotTaken if an ACL refuses it, OSError.
    """
    message = Message.parse(content)
    recipients = _recipients(state, message)
    if not recipients:
        return False
    queue_id, domain = state.new_queue_id(), state.compiled.qualify_domain
    message = without(message, ["Bcc"])
    message = completed(
        message,
        queue_id=queue_id,
        host=state.primary_hostname,
        sender="",
        now=state.surroundings.now(),
        keeps_sender=True,
    )
    if message.first("From") is None:
        message = with_fields(message, [HeaderField.make("From", f"{LOGIN}@{domain}")])
    await intake.take_local(Envelope(None, recipients), bytes(message), LOGIN, queue_id, about=about)
    return True


def _recipients(state: MtaState, message: Message) -> tuple[Mailbox, ...]:
    """Each once, in their order."""
    found: dict[tuple[str, str], Mailbox] = {}
    for name in _RECIPIENTS:
        for field in message.all(name):
            body = field.raw.partition(b":")[2].decode("latin-1").replace("\r\n", "\n")
            for each in addresses_of(body):
                if not isinstance(each, Readable) or not each.address or len(found) >= MOST_RECIPIENTS:
                    continue
                text = (
                    each.address if each.has_domain else f"{each.address}@{state.compiled.qualify_recipient}"
                )
                try:
                    mailbox = Mailbox.parse(text)
                except AddressSyntaxError:
                    continue
                found.setdefault(mailbox.key, mailbox)
    return tuple(found.values())

"""A message that an authenticated client submits (control = submission): whose it is, AUTH has told.

WHAT       `submitter_of` is the address that stands for the client; `with_sender` names it in Sender: where From: says
           something else. The envelope's sender becomes the same address, unless it is the null path.
LIKE EXIM  $authenticated_id @ the domain of submission/domain=, else the host's; an empty one: the id is all of it
STANDARDS  RFC 6409 §6.1, §8.1; Exim specification, section "Submission mode"
READ NEXT  fixups.py
"""

from __future__ import annotations

from labkit.eximconf.mailbox_text import NoMailbox, read_mailbox
from labkit.eximconf.rewriting.phrases import fixed_phrase
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.fields import with_fields, without
from labkit.mail.message import HeaderField, Message
from labkit.mta.fixups import is_resent
from labkit.smtp.acl import Submission


def submitter_of(submission: Submission | None, authenticated_id: str, qualify_domain: str) -> Mailbox | None:
    """None: nobody has authenticated, or the ACL retains what the client says of its sender."""
    if submission is None or submission.retains_sender or not authenticated_id:
        return None
    if submission.domain == "":
        try:
            return Mailbox.parse(authenticated_id)
        except AddressSyntaxError:
            return Mailbox(authenticated_id, "")
    return Mailbox(authenticated_id, submission.domain or qualify_domain)


def with_sender(message: Message, submitter: Mailbox, name: str) -> Message:
    """Name the submitter, unless From: does; before Date: where that was added."""
    resent = "Resent-" if is_resent(message) else ""
    written = message.first(f"{resent}From")
    if written is None or _address(written).lower() == str(submitter).lower():
        return message
    text = f"{fixed_phrase(name)} <{submitter}>" if name else str(submitter)
    field = HeaderField.make(f"{resent}Sender", text)
    return with_fields(without(message, [f"{resent}Sender"]), [field])


def _address(written: str) -> str:
    """The address in From:, "" if there is not exactly one."""
    try:
        return read_mailbox(written.strip()).text
    except NoMailbox:
        return ""

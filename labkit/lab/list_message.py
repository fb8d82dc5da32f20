"""What a mailing list makes of a message before it sends it to its members.

WHAT       `as_posted(message, list, domain)`: subject prefix, footer, From: of the list (`munge`), List-* fields.
DOES       what lists do: a footer breaks the body hash of a DKIM signature, a prefix that of the header; and so do the
           fields of a list, where a signer has signed that there are none (Exim does). A list that changes nothing
           keeps all.
SIMPLER    a footer stands below plain text only; other kinds of content stay as they are
STANDARDS  RFC 2369 (List-Post and others), RFC 2919 (List-Id), RFC 5322 §3.6; RFC 6377 (DKIM and mailing lists)
READ NEXT  list_engine.py
"""

from __future__ import annotations

import re
from dataclasses import replace

from labkit.auth.author import author_of
from labkit.lab.outside_plans import MailingList
from labkit.mail.message import CRLF, HeaderField, Message, with_crlf

OWN_FIELDS = ("list-id", "list-post", "list-help", "list-subscribe", "list-unsubscribe", "list-archive",
              "list-owner", "precedence", "sender")  # fmt: skip
LONGEST_NAME = 100
_PLAIN = re.compile(r"(?i)text/plain\b")


def as_posted(message: Message, posted: MailingList, domain: str) -> Message:
    """The message as the list sends it."""
    if posted.mode == "untouched":
        return message
    message = with_list_fields(message, posted, domain)
    message = with_prefix(message, f"[{posted.name}]")
    if posted.mode == "munge":
        message = from_the_list(message, posted, domain)
    return with_footer(message, posted.footer) if posted.footer else message


def with_list_fields(message: Message, posted: MailingList, domain: str) -> Message:
    """With the fields that tell mail programs where the list is, instead of those of another list."""
    address, request = f"{posted.name}@{domain}", f"{posted.name}-request@{domain}"
    own = [
        HeaderField.make("List-Id", f"<{posted.name}.{domain}>"),
        HeaderField.make("List-Post", f"<mailto:{address}>"),
        HeaderField.make("List-Help", f"<mailto:{request}?subject=help>"),
        HeaderField.make("List-Subscribe", f"<mailto:{request}?subject=subscribe>"),
        HeaderField.make("List-Unsubscribe", f"<mailto:{request}?subject=unsubscribe>"),
        HeaderField.make("Precedence", "list"),
        HeaderField.make("Sender", f"{posted.name}-bounces@{domain}"),
    ]
    kept = [field for field in message.header_fields if field.name.lower() not in OWN_FIELDS]
    separator = message.separator or (CRLF if message.body else b"")
    return replace(message, header_fields=(*kept, *own), separator=separator)


def with_prefix(message: Message, prefix: str) -> Message:
    """With the prefix in front of the subject, once."""
    fields = []
    for field in message.header_fields:
        if field.name.lower() == "subject" and prefix.encode() not in field.raw:
            name, _, body = field.raw.partition(b":")
            field = HeaderField(b"%s: %s %s" % (name, prefix.encode(), body.lstrip(b" \t")))
        fields.append(field)
    return replace(message, header_fields=tuple(fields))


def with_footer(message: Message, footer: str) -> Message:
    """With the footer below a plain text."""
    kind, encoding = message.first("Content-Type"), message.first("Content-Transfer-Encoding")
    if (kind and not _PLAIN.match(kind)) or (encoding or "7bit").strip().lower() == "base64":
        return message
    body = message.body if not message.body or message.body.endswith(CRLF) else message.body + CRLF
    line = with_crlf(
        f"_______________________________________________\n{footer}\n".encode("ascii", "replace")
    )
    return replace(message, separator=message.separator or CRLF, body=body + line)


def from_the_list(message: Message, posted: MailingList, domain: str) -> Message:
    """With From: the list's own address; the author's goes into Reply-To."""
    author = author_of(message)
    first = author.addresses[0] if author.addresses else ""
    shown = re.sub(r"[^ !#-'*-Z^-~]", "", first.partition("@")[0])[:LONGEST_NAME] or "somebody"
    own = HeaderField.make("From", f'"{shown} via {posted.name}" <{posted.name}@{domain}>')
    fields = [own if field.name.lower() == "from" else field for field in message.header_fields]
    if message.first("Reply-To") is None and re.fullmatch(r"[!-~]{1,254}", first):
        fields.append(HeaderField.make("Reply-To", first))
    return replace(message, header_fields=tuple(fields))

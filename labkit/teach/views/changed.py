"""Two copies of one letter, as its author signed it and as it came another way: what changed, and what that broke.

WHAT       `changed(signed, received)`: each signed field and the first line of the body that differs. The signature is
           the lowest one in the copy that came unchanged: the author's own.
READ NEXT  ../../auth/what_changed.py
"""

from __future__ import annotations

from textwrap import wrap

from labkit.auth.dkim_signature import SignatureError, parse_signature
from labkit.auth.what_changed import what_changed
from labkit.mail.message import Message
from labkit.mail.plainly import SaidPlainly
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, tag, visible
from labkit.teach.view import View

MOST_LINES = 40
LONGEST = 300


class NoSignature(SaidPlainly, ValueError):
    """There is no signature that could be compared."""


class Changed(View):
    """The changes; `lines` are sentences."""

    def __init__(self, signed: Message, received: Message) -> None:
        field = next(
            (each for each in reversed(signed.header_fields) if each.name.lower() == "dkim-signature"), None
        )
        if field is None:
            raise NoSignature("the first copy has no DKIM-Signature: give the one that came as it was signed")
        try:
            signature = parse_signature(field.raw)
        except SignatureError as problem:
            raise NoSignature(f"the signature of the first copy cannot be read: {problem}") from None
        self.title = f"Under the signature of {visible(signature.domain)}"
        found = what_changed(bytes(signed), bytes(received), signature)
        self.lines = [visible(clip(line, LONGEST)) for line in str(found).splitlines()[:MOST_LINES]]

    def html(self) -> Markup:
        return tag("div", tag("p", self.title), tag("ul", *[tag("li", line) for line in self.lines]))

    def text(self) -> str:
        lines = [self.title]
        for line in self.lines:
            lines += wrap(line, 104, initial_indent="- ", subsequent_indent="  ")
        return "\n".join(lines)


def changed(signed: Message, received: Message) -> Changed:
    """Compare them. Raises WrongKind, NoSignature."""
    expect(signed, Message, "changed(signed, received)")
    expect(received, Message, "changed(signed, received)")
    return Changed(signed, received)

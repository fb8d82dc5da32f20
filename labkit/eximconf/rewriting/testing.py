"""What exim -brw ADDRESS prints: the address as it would be in each place.

STANDARDS  Exim specification, chapter "Address rewriting", section "Testing the rewriting rules that apply on input"
READ NEXT  fields.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import Env
from labkit.eximconf.mailbox_text import NoMailbox, qualified, read_mailbox
from labkit.eximconf.rewriting.rewriter import Note, Rules
from labkit.eximconf.rewriting.rules import Where
from labkit.mail.asking import Asking

_NAMES = {
    Where.SENDER: "sender",
    Where.FROM: "from",
    Where.TO: "to",
    Where.CC: "cc",
    Where.BCC: "bcc",
    Where.REPLY_TO: "reply-to",
    Where.ENVELOPE_FROM: "env-from",
    Where.ENVELOPE_TO: "env-to",
}


def shown_test(address: str, rules: Rules, env: Env, domain: str) -> Asking[tuple[list[str], list[Note]]]:
    """The lines, and what Exim would write into its log meanwhile. `domain`: qualify_recipient."""
    if not rules:
        return ["No rewrite rules are defined"], []
    lines: list[str] = []
    notes: list[Note] = []
    if Where.SMTP_SENDER in rules.places:
        done = yield from rules.rewrite(address, Where.SMTP_SENDER, env)
        notes += done.notes
        if done.is_changed:
            lines.append(f"    SMTP: {done.text or '<>'}")
    if not rules.places - {Where.SMTP_SENDER, Where.SMTP_RECIPIENT}:
        return lines, notes
    text = qualified(address, domain)
    try:
        mailbox = read_mailbox(text)
    except NoMailbox as problem:
        if not lines:
            words = str(problem)
            lines += [f"Syntax error in {text}", words[:1].upper() + words[1:]]
        return lines, notes
    for where, name in _NAMES.items():
        done = yield from rules.rewrite(mailbox.text, where, env)
        notes += done.notes
        shown = done.text or "<>"
        if done.text and where.is_header and not done.is_whole:
            shown = f"{text[: mailbox.start]}{done.text}{text[mailbox.end :]}"
        lines.append(f"{name:>8}: {shown}")
    return lines, notes

"""Read the addresses that SMTP commands carry.

WHAT       `Mailbox` is local-part@domain; `read_path` reads the operand of MAIL FROM: or RCPT TO:.
DECIDES    what is an address and what is not, with Exim's words for what is wrong.
STANDARDS  RFC 5321 §4.1.2 (grammar), §4.1.1.3 (a source route is read and dropped), §4.5.1 (postmaster)
LIKE EXIM  the brackets may be missing, and empty atoms (`a..b@c`) pass; the rest is the RFC's grammar
NOT HERE   SMTPUTF8 (RFC 6531): an address with a byte above 127 is refused
READ NEXT  envelope.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.mail.plainly import SaidPlainly

LONGEST_ADDRESS = 256  # RFC 5321 §4.5.3.1.3: a path is at most 256 octets
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]"
_ATOMS = re.compile(rf"{_ATEXT}+")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOMAIN_CHARACTERS = re.compile(r"[A-Za-z0-9.-]*")
_ROUTE = re.compile(r"@[A-Za-z0-9.-]+(?:,@[A-Za-z0-9.-]+)*:")


class AddressSyntaxError(SaidPlainly, ValueError):
    """An address that cannot be read; the text says what Exim would say."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox address, RFC 5321 §2.3.11. `local_part` is kept without its quotes.

    The domain is empty only where the standard allows it: `<postmaster>`.
    """

    local_part: str
    domain: str

    def __str__(self) -> str:
        local_part = self.local_part
        if _ATOMS.fullmatch(local_part) is None:
            escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
            local_part = f'"{escaped}"'
        return f"{local_part}@{self.domain}" if self.domain else local_part

    @property
    def key(self) -> tuple[str, str]:
        """What makes two addresses the same here: the domain compares without case (RFC 5321 §2.4)."""
        return (self.local_part, self.domain.lower())

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read a bare address such as `ann@st11.sne21.test`.

        Raises AddressSyntaxError.
        """
        try:
            mailbox, rest = read_path(text)
        except AddressSyntaxError as problem:
            several = '; for several addresses give a list: ["a@b.test", "c@d.test"]' if "," in text else ""
            raise AddressSyntaxError(f"{text!r} is no address: {problem}{several}") from None
        if mailbox is None:
            raise AddressSyntaxError("empty address")
        if rest.strip():
            raise AddressSyntaxError(f"{text!r} is more than one address: {rest.strip()} follows {mailbox}")
        if not mailbox.domain:
            raise AddressSyntaxError(f"{text!r} has no domain: write it like ann@st11.sne21.test")
        return mailbox


def read_path(operand: str) -> tuple[Mailbox | None, str]:
    """Read a reverse or forward path from the start of `operand` (what follows the colon).

    Returns the mailbox and the rest of the line; None stands for the null path `<>`.
    Raises AddressSyntaxError, RFC 5321 §4.1.2.
    """
    text = operand.strip(" \t")
    if not text.isascii():
        raise AddressSyntaxError("an address outside ASCII needs SMTPUTF8, which is not offered")
    bracketed = text.startswith("<")
    position = 1 if bracketed else 0
    if bracketed and text.startswith("<>"):
        return None, text[2:]
    if route := _ROUTE.match(text, position):  # RFC 5321 §4.1.1.3: accept and ignore it
        position = route.end()
    elif text.startswith("@", position):
        raise AddressSyntaxError("no local part")
    start = position
    local_part, position = _read_local_part(text, position)
    written, domain = text[start:position], ""
    if text.startswith("@", position):
        domain, position = _read_domain(text, position + 1, start)
    if bracketed:
        position = _expect_closing_bracket(text, position, written, domain)
    elif position < len(text) and text[position] not in " \t":
        raise AddressSyntaxError(f"malformed address: {text[position:]} may not follow {text[:position]}")
    if position > LONGEST_ADDRESS:
        raise _too_long(text, start)
    return Mailbox(local_part, domain), text[position:]


def _too_long(text: str, start: int) -> AddressSyntaxError:
    return AddressSyntaxError(f"address is ridiculously long: {text[start : start + 64]}...")


def _read_local_part(text: str, position: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, position):
        return re.sub(r"\\(.)", r"\1", quoted[0][1:-1]), quoted.end()
    if atoms := _ATOMS.match(text, position):
        return atoms[0], atoms.end()
    if text.startswith('"', position) and '"' not in text[position + 1 :]:
        raise AddressSyntaxError("unmatched doublequote in local part")
    raise AddressSyntaxError("missing or malformed local part")


def _read_domain(text: str, position: int, start: int) -> tuple[str, int]:
    if text.startswith("[", position):
        raise AddressSyntaxError("domain literals not allowed")
    found = _DOMAIN_CHARACTERS.match(text, position)
    domain = found[0] if found else ""
    if len(domain) > 255:  # RFC 5321 §4.5.3.1.2
        raise _too_long(text, start)
    if not _DOMAIN.fullmatch(domain):
        raise AddressSyntaxError("domain missing or malformed")
    return domain, position + len(domain)


def _expect_closing_bracket(text: str, position: int, written: str, domain: str) -> int:
    if text.startswith(">", position):
        return position + 1
    if not domain:
        raise AddressSyntaxError(f'"@" or "." expected after "{written}"')
    if position < len(text) and text[position] not in " \t":
        raise AddressSyntaxError(f"malformed address: {text[position:]} may not follow {text[:position]}")
    raise AddressSyntaxError("'>' missing at end of address")

"""Write a Received-SPF field: what a receiver found, for those who read the message later.

WHAT       `received_spf` writes RFC 7208 §9.1's field, folded, with its line end, ready to stand above the others.
SAFE       whatever a client said stands quoted, and what cannot be quoted as "?": no word of it can start a new line
STANDARDS  RFC 7208 §9.1 (the field), RFC 5322 §3.2.3 and §3.2.4 (dot-atom, quoted-string), §2.2.3 (folding)
READ NEXT  spf_lint.py
"""

from __future__ import annotations

import re

from labkit.auth.spf import SpfResult

FOLD_AT = 78

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_UNQUOTABLE = re.compile(r"[^\x20-\x7e]")
_COMMENTS = {
    "pass": "domain of {sender} designates {client} as permitted sender",
    "fail": "domain of {sender} does not designate {client} as permitted sender",
    "softfail": "domain of transitioning {sender} does not designate {client} as permitted sender",
    "neutral": "{client} is neither permitted nor denied by domain of {sender}",
    "none": "domain of {sender} does not designate permitted sender hosts",
    "temperror": "error in processing during lookup of {sender}: {reason}",
    "permerror": "error in processing the record of {sender}: {reason}",
}


def received_spf(result: SpfResult, receiver: str = "unknown") -> str:
    """The field with its CRLF: `Received-SPF: pass (...) receiver=...; client-ip=...;`. `receiver` has checked."""
    words = _COMMENTS[result.result].format(
        sender=result.sender, client=result.client_ip, reason=result.reason
    )
    pairs = [
        ("receiver", receiver),
        ("client-ip", result.client_ip),
        ("envelope-from", result.sender),
        ("helo", result.helo),
        ("identity", result.identity),
    ]
    if result.matched:
        pairs.append(("mechanism", result.matched))
    if result.result in ("temperror", "permerror"):
        pairs.append(("problem", result.reason))
    parts = [f"Received-SPF: {result.result}", f"({_comment(f'{receiver}: {words}')})"]
    return _folded([*parts, *(f"{key}={_value(value)};" for key, value in pairs)])


def _comment(text: str) -> str:
    return re.sub(r"([()\\])", r"\\\1", _UNQUOTABLE.sub("?", text))


def _value(text: str) -> str:
    """A dot-atom as it stands, everything else as a quoted string. An address is always quoted, as in the RFC."""
    if _DOT_ATOM.fullmatch(text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", _UNQUOTABLE.sub("?", text)) + '"'


def _folded(parts: list[str]) -> str:
    """The parts with spaces between, a new line where one would be too long."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) <= FOLD_AT:
            lines[-1] += f" {part}"
        else:
            lines.append(f" {part}")
    return "\r\n".join(lines) + "\r\n"

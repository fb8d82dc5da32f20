"""Find the domain of a message's author: the From: domain, which DMARC is about.

WHAT       `author_of(message)`: the one Author Domain as an A-label, or why there is none.
RULES      the domain counts, not the name in front of it: `"ann@a.test" <eve@b.test>` is from b.test. Exactly one
           From: field; several authors may share it if they share the domain.
           No domain, or more than one: DMARC validation is not possible. A receiver may go on with each of them;
           `domains` has them all. Such a message is a threat, not a free pass: RFC 9989 §11.5.
SAFE       one linear pass (eximconf's parser of addresses), at most MOST_ADDRESSES; nothing a message says escapes as
           an exception.
STANDARDS  RFC 5322 §3.4, §3.6.2, §4.4; RFC 6854 (groups in From:); RFC 9989 §5.3.1 (extract the Author Domain)
READ NEXT  dmarc.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from labkit.auth.domain_names import domain_name
from labkit.eximconf.field_addresses import Readable, Unreadable, addresses_of
from labkit.eximconf.mailbox_text import EMPTY_ADDRESS, Grammar
from labkit.mail.message import HeaderField, Message

MOST_ADDRESSES = 200
LONGEST_FIELD = 200_000  # octets of one From: field that are read
_RFC_5322 = Grammar(domain_literals=True, utf8_domains=True, strips_dot=True, atom_domains=True)
_SHOWN = 60
_MARKS = re.compile(r'\\.|["()]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Author:
    """Who a message says it is from.

    `domain` is the one Author Domain, empty where there is none, and then `problem` is the sentence that says why.
    `domains` are all that were found, each once; `addresses` as they stand in the field; `fields` counts From: fields.
    """

    domain: str = ""
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    fields: int = 0
    problem: str = ""

    def __bool__(self) -> bool:
        return bool(self.domain)


def author_of(message: Message | bytes) -> Author:
    """The Author Domain of a message."""
    parsed = Message.parse(message) if isinstance(message, bytes) else message
    fields = list(parsed.all("From"))
    addresses: list[str] = []
    problems: list[str] = []
    for one in fields[:MOST_ADDRESSES]:
        found, problem = _addresses_in(one)
        addresses += found
        problems += [problem] if problem else []
    names = [_domain_of(address) for address in addresses]
    domains = tuple(dict.fromkeys(name for name in names if name))
    problem = _problem(len(fields), problems, addresses, names, domains)
    return Author("" if problem else domains[0], domains, tuple(addresses), len(fields), problem)


def _addresses_in(one: HeaderField) -> tuple[list[str], str]:
    """The addresses of one field, and what is wrong with it, if anything is."""
    body = one.raw.partition(b":")[2]
    if len(body) > LONGEST_FIELD:
        return [], f"the From: field is longer than {LONGEST_FIELD} octets"
    if b"\0" in body:
        return [], "the From: field cannot be read: there is a NUL in it"
    body = body.replace(b"\r\n", b"").replace(b"\n", b"")
    if b"\r" in body:  # where a line ends, two programs would not agree
        return [], "the From: field cannot be read: there is a bare CR in it"
    text = body.strip().decode("latin-1")
    if _ends_in_comment(text):
        return [], "the From: field cannot be read: a comment does not end"
    found: list[str] = []
    for piece in islice(addresses_of(text, grammar=_RFC_5322), MOST_ADDRESSES + 1):
        if len(found) >= MOST_ADDRESSES:
            return found, f"the From: field has more than {MOST_ADDRESSES} addresses"
        if isinstance(piece, Readable):
            found.append(_as_text(piece.address))
        elif not _is_gap(piece):
            return found, f"the From: field cannot be read: {_as_text(piece.problem)[: 2 * _SHOWN]}"
    return found, ""


def _ends_in_comment(text: str) -> bool:
    depth, is_quoted = 0, False
    for mark in _MARKS.findall(text):
        if mark == '"' and depth == 0:
            is_quoted = not is_quoted
        elif mark in "()" and not is_quoted:
            depth = max(depth + (1 if mark == "(" else -1), 0)
    return depth > 0


def _is_gap(piece: Unreadable) -> bool:
    """Nothing between two commas, or a group without members: both are allowed (RFC 5322 §4.4, §3.4)."""
    return piece.problem == EMPTY_ADDRESS and (not piece.text or piece.text.endswith(";"))


def _as_text(octets: str) -> str:
    return octets.encode("latin-1").decode("utf-8", "backslashreplace")


def _domain_of(address: str) -> str:
    """The domain as the DNS has it; empty for none, for an address literal, and for what is no name."""
    return domain_name(address.rpartition("@")[2]) or "" if "@" in address else ""


def _problem(
    fields: int, problems: list[str], addresses: list[str], names: list[str], domains: tuple[str, ...]
) -> str:
    if fields == 0:
        return "there is no From: field"
    if fields > 1:
        return f"there are {fields} From: fields, and one alone is allowed"
    if problems:
        return problems[0]
    if not addresses:
        return "the From: field has no address"
    if "" in names:
        return f"the address {addresses[names.index('')][:_SHOWN]} has no domain name"
    if len(domains) > 1:
        return f"the authors are of {len(domains)} domains: {', '.join(domains[:3])}"
    return ""

"""An SPF record read: `v=spf1 mx include:relay.test -all` becomes directives and modifiers.

WHAT       `is_spf` tells whether a TXT record is one of SPF; `parse_record` reads all of it, or raises BadTerm.
RULES      the whole record is read before the first term is looked at: an error behind a match is an error too;
           terms are separated by spaces and nothing else; `redirect` and `exp` stand at most once.
STANDARDS  RFC 7208 §3, §4.5 (version), §4.6.1 (terms), §5 (mechanisms), §6 (modifiers), §7.1 (domain-spec)
READ NEXT  spf_evaluation.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from labkit.auth.spf_macros import BadTerm, MacroString, parse_macro_string, shown

VERSION = "v=spf1"
LONGEST_RECORD = 65_535  # what a TXT record can hold (RFC 1035 §3.2.1)
QUALIFIERS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
ASKING = ("include", "a", "mx", "ptr", "exists")  # the mechanisms that ask the DNS, RFC 7208 §4.6.4

_NAME = r"[A-Za-z][A-Za-z0-9\-_.]*"
_MODIFIER = re.compile(rf"({_NAME})=(.*)", re.DOTALL)
_DIRECTIVE = re.compile(rf"([+\-~?]?)({_NAME})(.*)", re.DOTALL)
_DUAL_CIDR = re.compile(r"(?:/([0-9]*))?(?://([0-9]*))?\Z")
_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}")
_OCTET = r"(?:[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_IP4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_IP6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_LABEL = re.compile(r"[A-Za-z0-9-]+")
_UNREADABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Directive:
    """A mechanism with its qualifier. `text` is how it was written; `domain` is None where it is the current domain."""

    text: str
    result: str
    mechanism: str
    domain: MacroString | None = None
    network: IPv4Network | IPv6Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class Modifier:
    """`name=value`. `domain` is the value of redirect and exp."""

    text: str
    name: str
    domain: MacroString = ()


@dataclass(frozen=True, slots=True)
class Record:
    """The terms of a record, in order; modifiers apart, for their place does not matter."""

    text: str
    directives: tuple[Directive, ...]
    redirect: Modifier | None = None
    exp: Modifier | None = None


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record: the version, then a space or the end (§4.5)."""
    return text[:6].lower() == VERSION and text[6:7] in ("", " ")


def parse_record(text: str) -> Record:
    """Read a whole record. Raises BadTerm for the first thing that breaks the grammar."""
    if not is_spf(text):
        raise BadTerm(f"a record starts with {VERSION!r} and a space", "RFC 7208 §4.5")
    if len(text) > LONGEST_RECORD:
        raise BadTerm("the record is longer than the DNS can serve", "RFC 1035 §3.2.1")
    if bad := _UNREADABLE.search(text):
        raise BadTerm(f"the record has a character that is not printable ASCII: {bad[0]!a}", "RFC 7208 §3.1")
    directives: list[Directive] = []
    modifiers: dict[str, Modifier] = {}
    for term in text[len(VERSION) :].split(" "):
        if not term:
            continue
        read = parse_term(term)
        if isinstance(read, Directive):
            directives.append(read)
        elif read.name in ("redirect", "exp"):
            if read.name in modifiers:
                raise BadTerm(f"{read.name}= stands twice", "RFC 7208 §6")
            modifiers[read.name] = read
    return Record(text, tuple(directives), modifiers.get("redirect"), modifiers.get("exp"))


def parse_term(term: str) -> Directive | Modifier:
    """Read one term. Raises BadTerm if it is none."""
    if found := _MODIFIER.fullmatch(term):
        name = found[1].lower()
        if name in ("redirect", "exp"):
            return Modifier(term, name, parse_domain_spec(found[2], term))
        parse_macro_string(found[2])  # unknown ones mean nothing, but must be well-formed (§6)
        return Modifier(term, name)
    found = _DIRECTIVE.fullmatch(term)
    if found is None or found[3][:1] not in ("", ":", "/"):
        raise BadTerm(f"{shown(term)} is neither a mechanism nor a modifier", "RFC 7208 §4.6.1")
    qualifier, mechanism, argument = found.groups()
    read = _MECHANISMS.get(mechanism.lower())
    if read is None:
        raise BadTerm(f"there is no mechanism {shown(mechanism)}", "RFC 7208 §4.6.1")
    return read(term, QUALIFIERS[qualifier or "+"], mechanism.lower(), argument)


def parse_domain_spec(text: str, term: str) -> MacroString:
    """Read a domain-spec: it ends in a top label, with a dot before it, or in a macro (§7.1)."""
    if not text:
        raise BadTerm(f"{shown(term)} names no domain", "RFC 7208 §7.1")
    parts = parse_macro_string(text)
    end = parts[-1]
    if isinstance(end, str):
        _, dot, top = end.removesuffix(".").rpartition(".")
        if not dot or not is_top_label(top):
            raise BadTerm(f"{shown(term)} does not end in a domain name", "RFC 7208 §7.1")
    return parts


def is_top_label(label: str) -> bool:
    """Letters, digits and hyphens, none at the edge, and not digits alone."""
    is_plain = bool(_LABEL.fullmatch(label)) and "-" not in (label[0], label[-1])
    return is_plain and not label.isdigit()


def _all(text: str, result: str, mechanism: str, argument: str) -> Directive:
    if argument:
        raise BadTerm(f"{shown(text)}: nothing can follow 'all'", "RFC 7208 §5.1")
    return Directive(text, result, mechanism)


def _named(text: str, result: str, mechanism: str, argument: str) -> Directive:
    """include and exists: a domain must be named, and no length can be."""
    if not argument.startswith(":"):
        raise BadTerm(f"{shown(text)}: '{mechanism}' needs ':' and a domain", "RFC 7208 §5")
    return Directive(text, result, mechanism, parse_domain_spec(argument[1:], text))


def _ptr(text: str, result: str, mechanism: str, argument: str) -> Directive:
    return _named(text, result, mechanism, argument) if argument else Directive(text, result, mechanism)


def _addressed(text: str, result: str, mechanism: str, argument: str) -> Directive:
    """a and mx: `a:b.test/24//64`; both the domain and the lengths may be missing."""
    lengths = _DUAL_CIDR.search(argument)
    assert lengths is not None  # it matches the empty end of any text
    rest = argument[: lengths.start()]
    if rest and not rest.startswith(":"):
        raise BadTerm(f"{shown(text)}: what follows '{mechanism}' is no domain", "RFC 7208 §5")
    domain = parse_domain_spec(rest[1:], text) if rest else None
    prefix4, prefix6 = _prefix(lengths[1], 32, text), _prefix(lengths[2], 128, text)
    return Directive(text, result, mechanism, domain, None, prefix4, prefix6)


def _prefix(digits: str | None, longest: int, text: str) -> int:
    if digits is None:
        return longest
    if not _PREFIX.fullmatch(digits) or int(digits) > longest:
        raise BadTerm(
            f"{shown(text)}: a prefix length is 0 to {longest}, not {shown(digits)}", "RFC 7208 §5.6"
        )
    return int(digits)


def _network(text: str, result: str, mechanism: str, argument: str) -> Directive:
    """ip4 and ip6: a network of that family."""
    address, slash, length = argument[1:].partition("/")
    longest, pattern = (32, _IP4) if mechanism == "ip4" else (128, _IP6)
    if not argument.startswith(":") or not pattern.fullmatch(address):
        raise BadTerm(f"{shown(text)}: no address of the kind {mechanism}", "RFC 7208 §5.6")
    prefix = _prefix(length if slash else None, longest, text)
    try:
        network = ip_network(f"{address}/{prefix}", strict=False)
    except ValueError:
        raise BadTerm(f"{shown(text)}: no address of the kind {mechanism}", "RFC 7208 §5.6") from None
    if network.max_prefixlen != longest:
        raise BadTerm(f"{shown(text)}: no address of the kind {mechanism}", "RFC 7208 §5.6")
    return Directive(text, result, mechanism, None, network)


_MECHANISMS: dict[str, Callable[[str, str, str, str], Directive]] = {
    "all": _all,
    "include": _named,
    "exists": _named,
    "a": _addressed,
    "mx": _addressed,
    "ptr": _ptr,
    "ip4": _network,
    "ip6": _network,
}

"""dnsdb: a query text becomes questions about DNS records, and their answers a text.

LIKE EXIM  `type=name:name…`, TXT where no type is given; `>x` sets what stands between records, `>x;` what stands
           between the strings of a TXT record; ptr takes an address; mxh only names hosts; zns climbs to the zone;
           defer_never and defer_strict say what a server failure means (lax: it counts if nothing else was found).
STANDARDS  Exim specification, section "More about dnsdb"
READ NEXT  looking.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.outcomes import deferred
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.expansion.texts import lower
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import DnsRecords, Unanswered, Unopened

_TYPES = {
    "a": ("A",), "aaaa": ("AAAA",), "a+": ("AAAA", "A"), "cname": ("CNAME",), "mx": ("MX",), "mxh": ("MX",),
    "ns": ("NS",), "ptr": ("PTR",), "soa": ("SOA",), "spf": ("SPF",), "srv": ("SRV",), "tlsa": ("TLSA",),
    "txt": ("TXT",), "zns": ("NS",),
}  # fmt: skip
_MODIFIER = re.compile(r"(defer|dnssec|retrans|retry)_(\w+)\s*,\s*")


@dataclass(frozen=True, slots=True)
class Query:
    """A query text, read."""

    between: str
    type: str
    defer: str
    names: tuple[str, ...]


def read(text: str) -> Query:
    """Raises Stop (a defer) for a type that is not known."""
    body, between, defer, kind = text.strip(BLANKS), "\n", "lax", "txt"
    if body.startswith(">") and len(body) > 1:
        between, body = body[1], body[2:]
        if body[:1] in (",", ";"):
            body = body[1:] if body[1:2] in (" ", "") else body[2:]
        body = body.lstrip(BLANKS)
    while found := _MODIFIER.match(body):
        if found[1] == "defer":
            defer = found[2]
        body = body[found.end() :]
    if "=" in body:
        kind, _, body = body.partition("=")
        kind = lower(kind.strip(BLANKS))
    if kind not in _TYPES:
        raise deferred(f'lookup of "{text}" gave DEFER: unsupported DNS record type')
    return Query(between, kind, defer, split_list(body))


def records_of(text: str) -> Asking[str | None]:
    """The records as a text; None: there are none."""
    query = read(text)
    found: list[str] = []
    unanswered = False
    for name in query.names:
        for record_type in _TYPES[query.type]:
            answer = yield from _records(query.type, record_type, name)
            if isinstance(answer, (Unanswered, Unopened)):
                unanswered = unanswered or query.defer != "never"
                if query.defer == "strict":
                    raise deferred(f'lookup of "{text}" gave DEFER: ')
            elif answer:
                found += [_shown(query.type, record) for record in answer]
    if not found and unanswered:
        raise deferred(f'lookup of "{text}" gave DEFER: ')
    return query.between.join(found) if found else None


def _records(
    kind: str, record_type: str, name: str
) -> Asking[tuple[str, ...] | Unopened | Unanswered | None]:
    if kind == "ptr" and hosts.read(name) is not None:
        name = f"{hosts.reverse_ip(name)}.{'ip6' if ':' in name else 'in-addr'}.arpa"
    while True:
        answer = yield from ask(DnsRecords(record_type, name))
        if answer or kind != "zns" or isinstance(answer, (Unopened, Unanswered)) or "." not in name:
            return answer
        name = name.partition(".")[2]


def _shown(kind: str, record: str) -> str:
    if kind == "mxh":
        record = record.partition(" ")[2]
    return record if kind in ("txt", "spf") else record.removesuffix(".")

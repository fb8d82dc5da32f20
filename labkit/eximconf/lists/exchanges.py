"""@mx_any, @mx_primary, @mx_secondary: is this host a mail exchanger of the domain?

ASKS       MxOf the domain, AddressesOf its exchangers, in the order of preference.
RULES      primary: an address of this host is among the exchangers of lowest preference; secondary: only among others.
           Addresses in the host list behind /ignore= do not count, nor does an exchanger that has no others.
           A domain without MX records is nobody's. An answer that may come later defers, unless another exchanger was
           found; then it does not matter.
STANDARDS  Exim specification, section "Domain lists"; RFC 5321 §5.1
READ NEXT  lookups.py
"""

from __future__ import annotations

import re

from labkit.eximconf.expansion.outcomes import Stop, deferred
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.lists.kinds import Context, Hit, Item, ListKind, Pattern, Subject
from labkit.eximconf.lists.walking import walk
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf, DnsAnswer, MxOf, MxRecord

_WRITTEN = re.compile(r"@mx_(any|primary|secondary)(?:/ignore=(.*))?", re.IGNORECASE | re.DOTALL)


def exchange_pattern(written: str, context: Context) -> Pattern | None:
    """The Pattern of @mx_…; None if it is not written so."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        return None
    wanted, data = found[1].lower(), context.own(written)
    ignored = tuple([context.item(ListKind.HOST, each) for each in split_list(found[2] or "")])

    def asking(subject: Subject) -> Asking[Hit | None]:
        standing = yield from _standing(subject, ignored)
        if standing is None or wanted not in ("any", standing):
            return None
        return Hit(data, (subject.zero(subject.folded),) if subject.numbered else ())

    return Pattern(asking=asking)


def _standing(subject: Subject, ignored: tuple[Item, ...]) -> Asking[str | None]:
    """primary, secondary, or None: this host is none of the exchangers."""
    answer = yield from ask(MxOf(subject.folded))
    if answer.outcome.is_temporary:
        raise _later(subject)
    own = {*subject.env.here.addresses, "0.0.0.0"}
    found: list[tuple[int, set[str]]] = []
    undecided = False
    for record in _exchangers(answer.records):
        addresses = yield from _addresses(subject, record.exchange, ignored)
        if addresses is None:
            continue  # all of them are ignored: as if it did not exist
        undecided = undecided or addresses.outcome.is_temporary
        found.append((record.preference, set(addresses.records)))
    ours = next((preference for preference, addresses in found if addresses & own), None)
    if ours is not None and ours == found[0][0]:
        return "primary"
    if undecided and not any(
        addresses for preference, addresses in found if ours is None or preference < ours
    ):
        raise _later(subject)
    return None if ours is None else "secondary"


def _later(subject: Subject) -> Stop:
    return deferred(f'DNS lookup of "{subject.folded}" deferred')


def _exchangers(records: tuple[MxRecord, ...]) -> list[MxRecord]:
    """By preference, each host once."""
    found: dict[str, MxRecord] = {}
    for record in sorted(records, key=lambda each: each.preference):
        found.setdefault(record.exchange.lower(), record)
    return list(found.values())


def _addresses(subject: Subject, host: str, ignored: tuple[Item, ...]) -> Asking[DnsAnswer[str] | None]:
    """Its addresses but for the ignored ones; None if none is left."""
    answer = yield from ask(AddressesOf(host))
    left = []
    for address in answer.records:
        verdict = yield from walk(ignored, Subject(address, subject.env, name=host, remembers=False))
        if not verdict.found:
            left.append(address)
    if answer.records and not left:
        return None
    return DnsAnswer(answer.outcome, tuple(left))

"""dnslists = …: is the client, or a key, on one of these DNS lists?

WHAT       `read_items` reads "text.test,bl.test=127.0.0.2,127.0.0.3/key" into Items; `check` asks for each until one
           of them is a match, and sets $dnslist_domain, $dnslist_matched, $dnslist_value and $dnslist_text.
ASKS       AddressesOf the name, and then its TXT record; once for a connection
RULES      an answer outside 127.0.0.0/8 is no listing. No answer: as the last +…_unknown says (not listed, if none).
STANDARDS  RFC 5782; Exim specification, sections "Using DNS lists" and following
LIKE EXIM  "=" any of the addresses, "==" all, "!=" none, "!==" not all, "&" and "=&" the same by bits
READ NEXT  ratelimit.py
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.splitting import split_at, split_list
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import DnsRecords
from labkit.mail.questions import AddressesOf
from labkit.smtp.acl.phases import Phase
from labkit.smtp.acl.scene import Listed, LogLine, Scene
from labkit.smtp.acl.values import NO, YES, Check, on_value_asking, wrong
from labkit.smtp.acl.verdicts import Found

_ITEM = re.compile(r"([^=&]*?)(!?)(?:(==|=&|=|&)(.*))?", re.DOTALL)
_UNKNOWN = {"+include_unknown": YES, "+exclude_unknown": NO, "+defer_unknown": Found.LATER}
_STRANGE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Item:
    """One DNS list. `text_domain` is where its TXT records are; `keys` None: the client's address."""

    domain: str
    text_domain: str
    addresses: tuple[str, ...] | None
    by_bits: bool
    is_negated: bool
    wants_all: bool
    keys: tuple[str, ...] | None


def check(line: Setting, is_negated: bool) -> Check:
    return on_value_asking(line, _listed, turns=is_negated)


@lru_cache(maxsize=256)
def read_items(text: str) -> tuple[Item | str, ...]:
    """The lists, and the words with a plus in front."""
    return tuple([each if each.startswith("+") else _read_item(each) for each in split_list(text)])


def _read_item(written: str) -> Item:
    whole, slash, keys = written.partition("/")
    found = _ITEM.fullmatch(whole)
    assert found is not None, "it matches every text"
    domain, negation, how, addresses = found[1], found[2], found[3], found[4]
    if how is None:
        domain += negation
    text_domain, comma, main = domain.partition(",")
    return Item(
        main if comma else domain,
        text_domain,
        None if how is None else split_at(addresses, ","),
        how is not None and "&" in how,
        how is not None and bool(negation),
        how in ("==", "=&"),
        split_list(keys) if slash else None,
    )


def _listed(scene: Scene, text: str) -> Asking[Found]:
    unknown = NO
    for item in read_items(text):
        if isinstance(item, str):
            if item.lower() not in _UNKNOWN:
                problem = f"unknown item in dnslist (ignored): {item}"
                scene.logged.append(LogLine(problem, ("main", "panic")))
            unknown = _UNKNOWN.get(item.lower(), unknown)
            continue
        _notice_strange(scene, item)
        keys: Sequence[str]
        if item.keys is None:
            if scene.phase is Phase.NOT_SMTP:
                return wrong(scene, "cannot test auto-keyed dnslists condition in non-SMTP ACL")
            if not (address := scene.env.variables.get("sender_host_address", "")):
                return NO
            keys = (address,)
        else:
            keys = item.keys
        found = yield from _any_key(scene, item, keys, unknown)
        if found is not NO:
            return found
    if not scene.because:
        scene.because = f"not listed in {text}"
    return NO


def _any_key(scene: Scene, item: Item, keys: Sequence[str], unknown: Found) -> Asking[Found]:
    """One list with all its keys; one that is found makes good for others that could not be asked for."""
    deferred = False
    for key in keys:
        prefix = hosts.reverse_ip(key) if hosts.read(key) is not None else key
        found = yield from _one(scene, item, key, prefix, unknown)
        if found is YES:
            scene.env.variables["dnslist_domain"] = item.text_domain
            scene.env.variables["dnslist_matched"] = key
            scene.because = f"{key} is listed at {item.text_domain}"
            return YES
        deferred = deferred or found is Found.LATER
    return Found.LATER if deferred else NO


def _one(scene: Scene, item: Item, key: str, prefix: str, unknown: Found) -> Asking[Found]:
    query = f"{prefix}.{item.domain}"
    if len(query) > _LONGEST:
        line = LogLine(f"dnslist query is too long (ignored): {query}...", ("main", "panic"))
        scene.logged.append(line)
        return NO
    listed = yield from _ask(scene, query)
    if listed.is_unknown:
        what = {YES: "assumed in list", NO: "assumed not in list"}.get(unknown, "returned DEFER")
        text = f"DNS list lookup defer (probably timeout) for {query}: {what}"
        scene.logged.append(LogLine(text))
        return unknown
    if not listed.addresses or not _fits(scene, item, key, listed):
        return NO
    if item.text_domain != item.domain:
        elsewhere = Item(item.text_domain, item.text_domain, None, False, False, False, None)
        return (yield from _one(scene, elsewhere, key, prefix, unknown))
    if listed.text is None:
        answer = yield from ask(DnsRecords("TXT", query))
        listed.text = answer[0] if isinstance(answer, tuple) and answer else ""
    scene.env.variables["dnslist_value"] = ", ".join(listed.addresses)
    scene.env.variables["dnslist_text"] = listed.text
    return YES


def _ask(scene: Scene, query: str) -> Asking[Listed]:
    listed = scene.memory.listed.get(query)
    if listed is None:
        answer = yield from ask(AddressesOf(query))
        listed = Listed(answer.records, answer.outcome.is_temporary)
        scene.memory.listed[query] = listed
    return listed


def _fits(scene: Scene, item: Item, key: str, listed: Listed) -> bool:
    """Whether the addresses that came back are such as the item asks for."""
    if item.addresses is None:
        good = [address for address in listed.addresses if _is_loopback(address)]
        for address in listed.addresses:
            if address not in good:
                _discard(scene, item, key, address)
        return bool(good)
    wanted = item.addresses
    if item.by_bits:
        hits = [_has_bits(scene, item, key, address, wanted) for address in listed.addresses]
    else:
        hits = [address in wanted for address in listed.addresses]
    return (all(hits) if item.wants_all else any(hits)) != item.is_negated


def _has_bits(scene: Scene, item: Item, key: str, address: str, wanted: Sequence[str]) -> bool:
    if _is_loopback(address):
        value = int(ipaddress.IPv4Address(address))
    else:
        value = 0
        _discard(scene, item, key, address)
    masks = [int(ipaddress.IPv4Address(each)) for each in wanted if hosts.is_ip(each, 4)]
    return any(value & mask == mask for mask in masks)


def _discard(scene: Scene, item: Item, key: str, address: str) -> None:
    text = f"DNS list lookup for {key} at {item.domain} returned {address}; not in 127.0/8 and discarded"
    scene.logged.append(LogLine(text))


def _is_loopback(address: str) -> bool:
    return address.startswith("127.")


def _notice_strange(scene: Scene, item: Item) -> None:
    for domain in dict.fromkeys((item.domain, item.text_domain)):
        if _STRANGE.search(domain):
            text = f'dnslists domain "{domain}" contains strange characters - is this right?'
            scene.logged.append(LogLine(text))

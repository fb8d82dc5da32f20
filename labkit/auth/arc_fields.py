"""Read the three header fields of ARC, and put them together into sets.

WHAT       `collect(message)` finds ARC-Authentication-Results, ARC-Message-Signature and ARC-Seal and gives the sets
           in order, or raises BrokenChain with the first thing that is wrong with their structure.
RULES      a set is one of each with the same instance, i=1 to 50; the sets are numbered from 1 without a gap.
           ARC-Message-Signature is a DKIM signature without v= and with another i=; its h= may be empty and must not
           name ARC-Seal. ARC-Seal has neither h= nor bh=; it covers the sets and nothing else, in relaxed form.
STANDARDS  RFC 8617 §4.1 (the fields), §4.2 (sets), §5.2 steps 1 and 3; RFC 6376 §3.2 (tags)
NOT VERIFIED  the RFC does not say what c= is where it is missing; relaxed/relaxed, as the public ARC suite has it
READ NEXT  arc.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.auth.canonical import RELAXED, Cut
from labkit.auth.dkim_signature import (
    ALGORITHMS,
    Signature,
    SignatureError,
    canonicalization,
    read_base64,
    read_domain,
    read_number,
)
from labkit.auth.tags import TagList, TagSyntaxError, parse_tags, without_blanks

RESULTS = "arc-authentication-results"
MESSAGE_SIGNATURE = "arc-message-signature"
SEAL = "arc-seal"
FIELDS = (RESULTS, MESSAGE_SIGNATURE, SEAL)
SHOWN = {RESULTS: "ARC-Authentication-Results", MESSAGE_SIGNATURE: "ARC-Message-Signature", SEAL: "ARC-Seal"}
MOST_SETS = 50  # RFC 8617 §4.2.1
CV = ("none", "fail", "pass")
_INSTANCE = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,2})[ \t\r\n]*;")
_NEEDED = {MESSAGE_SIGNATURE: ("a", "b", "bh", "d", "h", "i", "s"), SEAL: ("a", "b", "cv", "d", "i", "s")}


class BrokenChain(ValueError):
    """The structure of the chain is broken: it has failed (RFC 8617 §5.2). The text says where."""


@dataclass(frozen=True, slots=True)
class RawSet:
    """One ARC set as it stands in the message: the numbers of its fields, top first, and what can be read of them."""

    instance: int
    results: int
    message_signature: int
    seal: int
    signature: Signature
    seal_signature: Signature
    cv: str


def highest_instance(message: Cut) -> int:
    """The highest instance number that can be read, 0 if there is none. A sealer counts on from it."""
    numbers = [_instance(name, message.fields[number]) for name in FIELDS for number in message.numbers(name)]
    return max(numbers, default=0)


def collect(message: Cut) -> tuple[RawSet, ...]:
    """The sets of a message, instance 1 first; none: an empty tuple. Raises BrokenChain."""
    places = {name: message.numbers(name) for name in FIELDS}
    if not any(places.values()):
        return ()
    if (most := max(map(len, places.values()))) > MOST_SETS:
        raise BrokenChain(f"there are {most} fields of a kind, more than {MOST_SETS} sets")
    found: dict[str, dict[int, int]] = {}
    for name in FIELDS:
        found[name] = {}
        for number in places[name]:
            instance = _instance(name, message.fields[number])
            if not 1 <= instance <= MOST_SETS:
                raise BrokenChain(
                    f"{SHOWN[name]} number {number + 1} from the top has no instance i=1 to {MOST_SETS}"
                )
            if instance in found[name]:
                raise BrokenChain(f"there are two {SHOWN[name]} with i={instance}")
            found[name][instance] = number
    count = max(max(instances, default=0) for instances in found.values())
    for instance in range(1, count + 1):
        for name in FIELDS:
            if instance not in found[name]:
                raise BrokenChain(f"{SHOWN[name]} with i={instance} is missing")
    return tuple(_set(message, found, instance) for instance in range(1, count + 1))


def _set(message: Cut, found: dict[str, dict[int, int]], instance: int) -> RawSet:
    results, signed, seal = (found[name][instance] for name in FIELDS)
    signature = _read(MESSAGE_SIGNATURE, message.fields[signed], signed, instance)
    sealed = _read(SEAL, message.fields[seal], seal, instance)
    cv = (sealed.tags.get("cv") or "").lower()
    if cv not in CV:
        raise BrokenChain(f"ARC-Seal with i={instance} has cv={cv[:20]}, which is none of {', '.join(CV)}")
    return RawSet(instance, results, signed, seal, signature, sealed, cv)


def _instance(name: str, field: bytes) -> int:
    """The instance number of a field; 0: it cannot be read."""
    body = field.partition(b":")[2]
    if name == RESULTS:
        found = _INSTANCE.match(body)
        return int(found[1]) if found else 0
    try:
        text = parse_tags(body.decode("utf-8")).get("i") or ""
    except (UnicodeDecodeError, TagSyntaxError):
        return 0
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else 0


def _read(kind: str, field: bytes, number: int, instance: int) -> Signature:
    """An ARC-Message-Signature or ARC-Seal as a signature of DKIM. Raises BrokenChain."""
    try:
        tags = parse_tags(field.partition(b":")[2].decode("utf-8"))
        return _signature(kind, field, number, tags)
    except (UnicodeDecodeError, TagSyntaxError, SignatureError) as wrong:
        raise BrokenChain(f"{SHOWN[kind]} with i={instance}: {wrong}") from None


def _signature(kind: str, field: bytes, number: int, tags: TagList) -> Signature:
    values = dict(tags.pairs)
    for name in _NEEDED[kind]:
        if name not in values:
            raise SignatureError("fail", f"the tag {name}= is missing")
    if kind == SEAL and "h" in values:  # RFC 8617 §4.1.3
        raise SignatureError("fail", "it must not have h=")
    algorithm = values["a"].lower()
    if algorithm not in ALGORITHMS:
        raise SignatureError("fail", f"a={values['a'][:40]} is no algorithm that ARC knows")
    names = tuple(without_blanks(values.get("h", "")).lower().split(":"))
    if SEAL in names:  # RFC 8617 §4.1.2
        raise SignatureError("fail", "h= must not name ARC-Seal")
    domain = read_domain(values, "d")
    forms = (RELAXED, RELAXED) if kind == SEAL else canonicalization(values.get("c", "relaxed/relaxed"))
    return Signature(
        field,
        number,
        tags,
        algorithm,
        ALGORITHMS[algorithm],
        *forms,
        domain,
        read_domain(values, "s"),
        f"@{domain}",
        names,
        b"" if kind == SEAL else read_base64(values, "bh"),
        read_base64(values, "b"),
        None if kind == SEAL else read_number(values, "l", 76),
        read_number(values, "t", 12),
        read_number(values, "x", 12),
    )


def newest_cv(message: Cut) -> str:
    """What the newest seal says of the chain, empty if there is none that can be read."""
    highest = highest_instance(message)
    for number in message.numbers(SEAL):
        if highest and _instance(SEAL, message.fields[number]) == highest:
            return (
                parse_tags(message.fields[number].partition(b":")[2].decode("utf-8")).get("cv") or ""
            ).lower()
    return ""

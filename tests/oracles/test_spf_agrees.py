"""pyspf as judge of SPF: the same verdict and explanation on generated zones, or a reason from a small table.

HOW        a seed makes a zone of a few names with records of all kinds, some of them broken; both evaluate the same
           client. LABKIT_THOROUGH=1 takes ten times as many.
EXPLAINED  where pyspf does something else, EXPLAINED says what and which section of RFC 7208 it goes against; what
           neither is equal nor explained fails.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import pytest

import labkit
from labkit.auth.door import answer_with
from labkit.auth.spf import SpfResult, check_host
from tests.auth.spf_zones import lookup_in

spf = pytest.importorskip("spf", reason="pyspf is the oracle")

CASES = 20_000 if os.environ.get("LABKIT_THOROUGH") else 2_000
NO_LIMIT = 10**6
CLIENTS = ("192.0.2.9", "192.0.2.130", "2001:db8::9", "::ffff:192.0.2.9")
DOMAINS = tuple(f"{letter}.test" for letter in "abcdef")
HOSTS = ("h1.a.test", "h2.b.test", "mx.c.test", "none.test", "slow.test")
ADDRESSES = {"A": ("192.0.2.9", "192.0.2.130", "198.51.100.1"), "AAAA": ("2001:db8::9", "2001:db8:1::1")}
MACROS = (
    "%{d}",
    "%{o}",
    "%{d1}.%{d2}",
    "%{ir}.%{v}.x.test",
    "%{l}.x.test",
    "%{h}",
    "%{d2r}.test",
    "%{L}.%{s}.test",
    "%{l1r-}.x.test",
    "%{lr-}.x.test",
    "%{p}.x.test",
    "%{o1r}.%%.test",
    "a%_%-.test",
    "%{c}.test",
    "%{x}.test",
)
BROKEN = (
    "moo",
    "a:",
    "all:x",
    "ip4:1.2.3",
    "ip4:1.2.3.4/33",
    "ip6:x",
    "include",
    "exists",
    "a/33",
    "a//129",
    "mx:test",
    "=x",
    "redirect=",
    "exp=",
    "a:%(d)",
    "a:x.test%",
    "1x=y",
    "ip4:1.2.3.4//8",
    "a/08",
    "ptr/8",
    "include:x.test/8",
)


def some_name(chance: random.Random) -> str:
    return chance.choice(DOMAINS) if chance.random() < 0.5 else chance.choice((*HOSTS, *MACROS))


def some_term(chance: random.Random) -> str:
    kind = chance.choice(("all", "a", "mx", "ptr", "ip4", "ip6", "include", "include", "exists"))
    qualifier = chance.choice(("", "", "", "-", "~", "?", "+"))
    name = some_name(chance)
    where = f":{name}" if kind in ("include", "exists") or chance.random() < 0.6 else ""
    cidr = chance.choice(("", "", "/24", "/0", "//64", "/25//48", "/32//128"))
    if kind == "all":
        where = cidr = ""
    elif kind in ("ip4", "ip6"):
        address = chance.choice(ADDRESSES["A" if kind == "ip4" else "AAAA"])
        where, cidr = f":{address}", chance.choice(("", "/32", "/24", "/0", "/8"))
    elif kind not in ("a", "mx"):
        cidr = ""
    text = qualifier + kind + where + cidr
    return text.upper() if chance.random() < 0.05 and "%" not in text else text


def some_record(chance: random.Random) -> str:
    terms = [some_term(chance) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4, 12)))]
    if chance.random() < 0.25:
        terms.insert(chance.randrange(len(terms) + 1), f"redirect={some_name(chance)}")
    if chance.random() < 0.25:
        terms.insert(
            chance.randrange(len(terms) + 1), f"exp={chance.choice(('why.test', 'two.test', 'bad.test'))}"
        )
    if chance.random() < 0.1:
        terms.insert(
            chance.randrange(len(terms) + 1), chance.choice(("x=y", "x.y-z=%{d}", "x=%x", "exp=a.test"))
        )
    if chance.random() < 0.08:
        terms.insert(chance.randrange(len(terms) + 1), chance.choice(BROKEN))
    if chance.random() < 0.6:
        terms.append(chance.choice(("-all", "-all", "~all", "?all", "all")))
    return chance.choice((" ", " ", "  ")).join(["v=spf1", *terms]) + chance.choice(("", "", " "))


def some_zone(chance: random.Random) -> dict[str, list[Any]]:
    zone: dict[str, list[Any]] = {
        "why.test": [
            {"TXT": chance.choice(("no mail from %{i} for %{s}", "%{c} %{r}.", "see http://x.test/?%{S}"))}
        ],
        "two.test": [{"TXT": "one"}, {"TXT": "two"}],
        "bad.test": [{"TXT": "a %{q}"}],
        "slow.test": ["TIMEOUT"],
    }
    for name in (*DOMAINS, *HOSTS[:3]):
        node: list[Any] = []
        for rdtype, addresses in ADDRESSES.items():
            node += [{rdtype: address} for address in addresses if chance.random() < 0.35]
        if chance.random() < 0.5:
            exchangers = chance.sample((*HOSTS, *DOMAINS), chance.choice((1, 1, 2, 3, 11)))
            node += [{"MX": [10 * place, host]} for place, host in enumerate(exchangers)]
        if name in DOMAINS and chance.random() < 0.93:
            node += [{"TXT": some_record(chance)} for _ in range(chance.choice((1,) * 30 + (2,)))]
        if chance.random() < 0.2:
            node.append({"TXT": "v=spf10 is something else"})
        if chance.random() < 0.03:
            node.append("TIMEOUT")
        zone[name] = node
    for client in CLIENTS[:3]:
        names = chance.sample((*HOSTS, *DOMAINS), chance.choice((0, 1, 2, 11)))
        if names:
            zone[ip_address(client).reverse_pointer] = [{"PTR": name} for name in names]
    return zone


def pyspf_says(
    zone: Mapping[str, Sequence[Any]], client: str, helo: str, sender: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    lookup = lookup_in(zone)

    def look_up(name: str, qtype: str, strict: object = True, timeout: float = 20) -> list[Any]:
        try:
            found = lookup(name, qtype)
        except labkit.NoSuchName:
            return []
        except labkit.LookupTimedOut:
            raise spf.TempError("DNS timeout") from None
        if qtype == "TXT":
            return [((name, qtype), (text.encode(),)) for text in found]
        if qtype == "MX":
            return [((name, qtype), (int(text.split()[0]), text.split()[1])) for text in found]
        return [((name, qtype), text) for text in found]

    monkeypatch.setattr(spf, "DNSLookup", look_up)
    query = spf.query(client, sender, helo, receiver="mx.here.test", strict=True)
    query.set_default_explanation("")
    result, _, explanation = query.check()
    return result, explanation if result == "fail" else ""


def labkit_says(
    zone: Mapping[str, Sequence[Any]], client: str, helo: str, sender: str, most_void: int = 2
) -> SpfResult:
    run = check_host(client, helo, sender, receiver="mx.here.test", most_void=most_void)
    return answer_with(lookup_in(zone), run)


def test_generated_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of records; the limit of void look-ups, which the two count differently, has a test of its own."""
    monkeypatch.setattr(spf, "MAX_VOID_LOOKUPS", NO_LIMIT)
    seen, explained, unexplained = Counter[str](), Counter[str](), []
    for seed in range(CASES):
        chance = random.Random(seed)
        zone = some_zone(chance)
        client = chance.choice(CLIENTS)
        sender = chance.choice(("ann-lee@a.test", "ann@b.test", "", "@c.test"))
        helo = chance.choice(("a.test", "h1.a.test", "OEMCOMPUTER"))
        found = labkit_says(zone, client, helo, sender, NO_LIMIT)
        judged = pyspf_says(zone, client, helo, sender, monkeypatch)
        seen[found.result] += 1
        if (found.result, found.explanation) == judged:
            continue
        reason = next((name for name, holds in EXPLAINED.items() if holds(zone, found, judged)), None)
        if reason is None:
            unexplained.append(
                f"seed {seed}: {found.result} {found.explanation!r} ({found.reason}), pyspf {judged}"
            )
        else:
            explained[reason] += 1
    print(seen, explained)
    assert not unexplained, f"{len(unexplained)}\n" + "\n".join(unexplained[:20])


EXPLAINED: dict[str, Callable[[Mapping[str, Sequence[Any]], SpfResult, tuple[str, str]], bool]] = {}

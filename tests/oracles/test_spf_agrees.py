"""pyspf as judge of SPF: the same verdict and explanation on generated zones, or a reason from a small table.

HOW        a seed makes a zone of a few names with records of all kinds, some of them broken; both evaluate the same
           client. LABKIT_THOROUGH=1 takes ten times as many.
EXPLAINED  where pyspf does something else, REPAIRS says what, against which section of RFC 7208, and mends it; who then
           still disagrees fails the test.
"""

from __future__ import annotations

import os
import random
import re
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
# fmt: off
MACROS = ("%{d}", "%{o}", "%{d1}.%{d2}", "%{ir}.%{v}.x.test", "%{l}.x.test", "%{h}", "%{d2r}.test",
          "%{L}.%{s}.test", "%{l1r-}.x.test", "%{lr-}.x.test", "%{p}.x.test", "%{o1r}.%%.test", "a%_%-.test",
          "%{c}.test", "%{x}.test")
BROKEN = ("moo", "a:", "all:x",
          "ip4:1.2.3", "ip4:1.2.3.4/33", "ip6:x", "include", "exists", "a/33", "a//129", "mx:test", "=x",
          "redirect=", "exp=", "a:%(d)", "a:x.test%", "1x=y", "ip4:1.2.3.4//8", "a/08", "ptr/8", "include:x.test/8")
# fmt: on


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
    zone: Mapping[str, Sequence[Any]],
    client: str,
    helo: str,
    sender: str,
    monkeypatch: pytest.MonkeyPatch,
    repairs: Sequence[str] = (),
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
    kind = type(
        "Judge", (spf.query,), {name: way for repair in repairs for name, way in REPAIRS[repair][1].items()}
    )
    query = kind(client, sender, helo, receiver="mx.here.test", strict=True)
    query.set_default_explanation("")
    result, _, explanation = query.check()
    return result, explanation if result == "fail" else ""


def validated_ptrs(query: Any) -> list[str]:
    try:
        names = query.dns_ptr(query.i)
    except spf.TempError:
        return []
    return [name for name in names[:10] if _matches(query, name, query.cidrmax)]


def _matches(query: Any, name: str, length: int) -> bool:
    try:
        return bool(query.cidrmatch(query.dns_a(name, query.A), length))
    except spf.TempError:
        return False


class UntilOneFails(list[str]):
    """Addresses of exchangers, and why there are no more."""

    problem: Exception | None = None


def dns_mx(query: Any, name: str) -> list[str]:
    exchangers = sorted(query.dns(name, "MX"))
    if len(exchangers) > 10:
        raise spf.PermError("More than 10 MX records returned")
    found = UntilOneFails()
    try:
        for _, host in exchangers:
            found += query.dns_a(host, query.A)
    except spf.TempError as problem:
        found.problem = problem
    return found


def cidrmatch(query: Any, addresses: Sequence[str], length: int) -> bool:
    if spf.query.cidrmatch(query, addresses, length):
        return True
    if problem := getattr(addresses, "problem", None):
        raise problem
    return False


def validate_mechanism(query: Any, term: str) -> Any:
    try:
        return spf.query.validate_mechanism(query, term)
    except spf.PermError as problem:
        if problem.msg != "include has trivial recursion":
            raise
        return term, "include", query.d, query.cidrmax, spf.RESULTS.get(term[0], "pass")


def check1(query: Any, record: str, domain: str, recursion: int) -> Any:
    """A record whose check is under way at the same depth is being replaced: that redirect counts, no other does."""
    levels = query.__dict__.setdefault("levels", [])
    if recursion in levels:
        query.check_lookups()
    if re.search(r" redirect=", record or "", re.IGNORECASE):
        query.lookups -= 1
    levels.append(recursion)
    try:
        return spf.query.check1(query, record, domain, recursion)
    finally:
        levels.pop()


REPAIRS: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "ptr": (
        "§5.5: a failure of the DNS makes ptr not match, or skips one name; pyspf says temperror",
        {"validated_ptrs": validated_ptrs},
    ),
    "mx": (
        "§5.4: exchangers are compared one by one; pyspf looks all up first, and fails for one behind the match",
        {"dns_mx": dns_mx, "cidrmatch": cidrmatch},
    ),
    "include": (
        "§4.6: a record that includes itself is well-formed; pyspf does not get to the terms before",
        {"validate_mechanism": validate_mechanism},
    ),
    "redirect": (
        "§4.6.4: terms count when they are evaluated; pyspf counts a redirect that nothing leads to",
        {"check1": check1},
    ),
}


def labkit_says(
    zone: Mapping[str, Sequence[Any]], client: str, helo: str, sender: str, most_void: int = 2
) -> SpfResult:
    run = check_host(client, helo, sender, receiver="mx.here.test", most_void=most_void)
    return answer_with(lookup_in(zone), run)


def repairs_needed(
    zone: Mapping[str, Sequence[Any]],
    found: SpfResult,
    check: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Sequence[str] | None:
    """The names of the repairs with which pyspf says the same; None if there are no such."""
    for repairs in ((), *((name,) for name in REPAIRS), tuple(REPAIRS)):
        if pyspf_says(zone, *check, monkeypatch, repairs) == (found.result, found.explanation):
            return repairs
    return None


def test_generated_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds of records; the limit of void look-ups, which the two count differently, has a test of its own."""
    monkeypatch.setattr(spf, "MAX_VOID_LOOKUPS", NO_LIMIT)
    seen, explained, unexplained = Counter[str](), Counter[str](), []
    for seed in range(CASES):
        chance = random.Random(seed)
        zone = some_zone(chance)
        client = chance.choice(CLIENTS)
        sender = chance.choice(("ann-lee@a.test", "ann@b.test", "", "postmaster@c.test"))
        helo = chance.choice(("a.test", "b.test", "h1.a.test", "OEMCOMPUTER"))
        found = labkit_says(zone, client, helo, sender, NO_LIMIT)
        repairs = repairs_needed(zone, found, (client, helo, sender), monkeypatch)
        seen[found.result] += 1
        if repairs is None:
            unexplained.append(f"seed {seed}: {found.result} {found.explanation!r} ({found.reason})")
        elif repairs:
            explained[" ".join(repairs)] += 1
    assert not unexplained, f"{len(unexplained)}\n" + "\n".join(unexplained[:20])
    assert len(seen) == 7, f"the zones are too much alike: {seen}"
    assert {"ptr", "mx", "include"} <= set(explained), f"not needed any more: {explained}"
    assert explained.total() < CASES / 10


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms that ask one question each: void look-ups, and terms, are counted alike, through includes too."""
    seen = Counter[str]()
    for seed in range(CASES // 5):
        chance = random.Random(-1 - seed)
        zone: dict[str, list[Any]] = {
            "h1.a.test": [{"A": "198.51.100.1"}],
            "h2.b.test": [{"AAAA": "2001:db8::1"}],
        }
        for place, name in enumerate(DOMAINS):
            terms = [
                chance.choice(("", "?", "-"))
                + f"{chance.choice(('a', 'exists', 'a', 'include'))}:{name_of_host}"
                for name_of_host in chance.choices(
                    ("h1.a.test", "h1.a.test", "h2.b.test", "none.test"), k=chance.randrange(5)
                )
            ]
            terms = [
                term
                if "include" not in term
                else f"include:{chance.choice((*DOMAINS[place + 1 :], 'f.test'))}"
                for term in terms
            ]
            zone[name] = [
                {"TXT": " ".join(("v=spf1", *terms, chance.choice(("-all", "~all", "", "redirect=f.test"))))}
            ]
        zone["f.test"] = [{"TXT": "v=spf1 a:h1.a.test ?all"}]
        found = labkit_says(zone, CLIENTS[seed % 3], "h", "ann@a.test")
        needed = repairs_needed(zone, found, (CLIENTS[seed % 3], "h", "ann@a.test"), monkeypatch)
        assert needed in ((), ("redirect",)), f"seed {seed}: {found.reason}: {zone}"
        seen[found.reason if found.result == "permerror" else found.result] += 1
    assert {"more than 10 terms ask the DNS", "more than 2 terms ask in vain", "pass", "fail"} <= set(seen)

"""The old DMARC beside the new one: what differs, and where both agree."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.auth.dmarc import evaluate
from labkit.auth.dmarc_7489 import Dmarc7489Result, evaluate_7489, organizational_domain_7489
from labkit.auth.door import LookupTimedOut, NoSuchName, answer_with

Zone = dict[str, list[str]]


def lookup_in(zone: Zone) -> Any:
    def lookup(name: str, rdtype: str) -> list[str]:
        if name not in zone:
            raise NoSuchName
        if zone[name] == ["TIMEOUT"]:
            raise LookupTimedOut
        return zone[name] if rdtype == "TXT" else []

    return lookup


def old(zone: Zone, author: str, spf: str = "") -> Dmarc7489Result:
    found = ("pass", spf) if spf else None
    return answer_with(lookup_in(zone), evaluate_7489(author, found, None, suffixes))


def suffixes(name: str) -> bool:
    return name in ("test", "co.test")


@pytest.mark.parametrize(
    "name, organization",
    [
        ("x.a.test", "a.test"),
        ("x.a.co.test", "a.co.test"),
        ("co.test", "co.test"),
        ("a.b.unknown", "b.unknown"),
    ],
)
def test_organizational_domain(name: str, organization: str) -> None:
    assert organizational_domain_7489(name, suffixes) == organization


def test_without_a_list_top_level_domains_are_suffixes() -> None:
    assert organizational_domain_7489("st11.sne21.test") == "sne21.test"
    assert organizational_domain_7489("test") == "test"


ORG = "_dmarc.a.test"


@pytest.mark.parametrize(
    "zone, author, spf, expected, because",
    [
        (
            {ORG: ["v=DMARC1; p=reject; pct=30"]},
            "a.test",
            "",
            "fail reject quarantine 30",
            "pct: the others, one down",
        ),
        (
            {ORG: ["v=DMARC1; p=reject; pct=101"]},
            "a.test",
            "",
            "fail reject reject 100",
            "a wrong pct is ignored",
        ),
        (
            {ORG: ["v=DMARC1; p=reject; t=y; np=none"]},
            "x.a.test",
            "",
            "fail reject reject 100",
            "no t, no np",
        ),
        ({ORG: ["v=DMARC1; p=reject; sp=none"]}, "x.a.test", "", "fail none none 100", "sp"),
        ({ORG: ["v=DMARC1; p=none; psd=n"]}, "a.test", "b.a.test", "pass none none 100", "relaxed"),
        ({ORG: ["v=DMARC1; p=none; aspf=s"]}, "a.test", "b.a.test", "fail none none 100", "strict"),
        (
            {"_dmarc.x.a.test": ["v=DMARC1; p=reject; psd=n"]},
            "x.a.test",
            "y.a.test",
            "pass reject reject 100",
            "psd=n does not help: the neighbour passes",
        ),
        (
            {"_dmarc.x.a.test": ["v=DMARC1; p=reject", "v=DMARC1; p=none"], ORG: ["v=DMARC1; p=reject"]},
            "x.a.test",
            "",
            "none None None 100",
            "two records end the search",
        ),
        (
            {"_dmarc.b.a.test": ["v=DMARC1; p=reject"]},
            "c.b.a.test",
            "",
            "none None None 100",
            "nothing in between",
        ),
        (
            {"_dmarc.test": ["v=DMARC1; p=reject; psd=y"]},
            "a.test",
            "",
            "none None None 100",
            "no public suffix",
        ),
        ({ORG: ["v=DMARC1; p=oops"]}, "a.test", "", "none None None 100", "no valid policy"),
        ({ORG: ["v=DMARC1; p=oops; rua=mailto:a@b.test"]}, "a.test", "", "fail none none 100", "but a rua"),
        ({ORG: ["TIMEOUT"]}, "a.test", "", "temperror None None 100", "no answer"),
        ({}, "", "", "permerror None None 100", "no domain"),
    ],
)
def test_rules(zone: Zone, author: str, spf: str, expected: str, because: str) -> None:
    found = old(zone, author, spf)
    assert f"{found.result} {found.policy} {found.otherwise} {found.pct}" == expected, because


def test_the_shared_apex_differs() -> None:
    """psd=n keeps a neighbour out at new receivers alone; strict alignment does so at all."""
    neighbour = ("pass", "st2.sne21.test")
    for tags, new, before in (
        ("", "fail", "pass"),
        ("; psd=n", "fail", "pass"),
        ("; aspf=s", "fail", "fail"),
    ):
        lookup = lookup_in({"_dmarc.st11.sne21.test": [f"v=DMARC1; p=reject{tags}"]})
        assert answer_with(lookup, evaluate("st11.sne21.test", neighbour)).result == new
        assert answer_with(lookup, evaluate_7489("st11.sne21.test", neighbour)).result == before
    apex = lookup_in(
        {"_dmarc.st11.sne21.test": ["v=DMARC1; p=reject"], "_dmarc.sne21.test": ["v=DMARC1; p=none"]}
    )
    assert answer_with(apex, evaluate("st11.sne21.test", neighbour)).result == "pass"

"""check_host: what each step shows, what counts, who is told what."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.auth import check_spf
from labkit.auth.door import answer_with
from labkit.auth.spf import SpfResult, check_host
from labkit.auth.spf_evaluation import SpfStep
from labkit.mail.questions import AddressesOf, MxOf, TextOf
from tests.auth.spf_zones import lookup_in

ZONE: dict[str, list[Any]] = {
    "a.test": [{"TXT": "v=spf1 mx include:relay.test -all exp=why.a.test"}, {"MX": [10, "mx.a.test"]}],
    "mx.a.test": [{"A": "203.0.113.1"}],
    "relay.test": [{"TXT": "v=spf1 ip4:198.51.100.0/24 ?all"}],
    "why.a.test": [{"TXT": "%{i} is no host of %{o}: ask postmaster@%{d} (%{r}, %{t})"}],
    "b.test": [{"TXT": "v=spf1 redirect=a.test"}],
    "void.test": [{"TXT": "v=spf1 a:x.test a:y.test -all"}],
    "voids.test": [{"TXT": "v=spf1 mx:x.test a:y.test exists:z.test -all"}],
    "mxs.test": [{"TXT": "v=spf1 mx ?all"}, *({"MX": [1, f"m{i}.test"]} for i in range(10))],
}


def check(client: str, sender: str, helo: str = "c.test", **more: Any) -> SpfResult:
    return answer_with(lookup_in(ZONE), check_host(client, helo, sender, **more))


def test_a_pass_through_an_include() -> None:
    found = check("198.51.100.7", "ann@a.test")
    assert (found.result, found.matched, found.lookups, found.void_lookups) == (
        "pass",
        "include:relay.test",
        2,
        0,
    )
    assert found.reason == "a.test permits 198.51.100.7: include:relay.test matches"
    assert (found.domain, found.identity, found.explanation) == ("a.test", "mailfrom", "")


def test_steps_show_terms_counts_and_depth() -> None:
    found = check("198.51.100.7", "ann@a.test")
    steps = [step for step in found.steps if isinstance(step, SpfStep)]
    assert len(steps) == len(found.steps)
    assert [step.question for step in steps if step.question is not None] == [
        TextOf("a.test"), MxOf("a.test"), AddressesOf("mx.a.test"), TextOf("relay.test")
    ]  # fmt: skip
    by_term = [(step.depth, step.domain, step.term, step.lookups) for step in steps if "match" in step.words]
    assert by_term == [
        (0, "a.test", "mx", 1),
        (1, "relay.test", "ip4:198.51.100.0/24", 2),
        (0, "a.test", "include:relay.test", 2),
    ]
    assert all(step.source.startswith("RFC ") for step in steps)
    assert str(steps[0]) == "The client 198.51.100.7 uses 'a.test' in MAIL FROM  [RFC 7208 §2]"
    assert [step.data for step in steps if step.words.startswith("MX")] == ["mx.a.test"]


def test_the_explanation_of_the_record_that_fails() -> None:
    found = check("192.0.2.1", "ann@b.test", receiver="mx.here.test", now=1_700_000_000.9)
    assert found.result == "fail" and found.matched == "-all"
    assert found.reason == "b.test does not permit 192.0.2.1: -all matches in the record of a.test"
    assert (
        found.explanation
        == "192.0.2.1 is no host of b.test: ask postmaster@a.test (mx.here.test, 1700000000)"
    )
    assert check("192.0.2.1", "ann@b.test", explains=False).explanation == ""


def test_the_null_reverse_path_is_postmaster_at_helo() -> None:
    found = check("198.51.100.7", "", "relay.test")
    assert (found.result, found.identity, found.domain, found.sender) == (
        "pass",
        "helo",
        "relay.test",
        "postmaster@relay.test",
    )


@pytest.mark.parametrize(
    "sender, result, problem, void",
    [
        ("x@void.test", "fail", "", 2),
        ("x@voids.test", "permerror", "void-lookups", 3),
        ("x@mxs.test", "neutral", "", 1),  # ten exchangers without addresses are one term
    ],
)
def test_void_lookups(sender: str, result: str, problem: str, void: int) -> None:
    found = check("192.0.2.1", sender)
    assert (found.result, found.problem, found.void_lookups) == (result, problem, void)
    assert check("192.0.2.1", "x@voids.test", most_void=3).result == "fail"


def test_a_record_that_is_not_published_yet() -> None:
    assert check("192.0.2.1", "ann@a.test", record="v=spf1 ip4:192.0.2.1 -all").result == "pass"
    assert check("192.0.2.1", "ann@a.test", record="v=spf1 moo").problem == "syntax"


def test_non_ascii() -> None:
    """RFC 8616 §4: U-labels become A-labels; a local part outside ASCII matches no macro."""
    zone = {
        "xn--mnchen-3ya.test": [{"TXT": "v=spf1 exists:%{l}.x.test ?all"}],
        "ann.x.test": [{"A": "127.0.0.2"}],
        "xn--x-1ga.x.test": [{"A": "127.0.0.2"}],
    }
    assert check_spf("192.0.2.1", "h", "ann@münchen.test", lookup_in(zone)).result == "pass"
    assert check_spf("192.0.2.1", "h", "üx@münchen.test", lookup_in(zone)).result == "neutral"

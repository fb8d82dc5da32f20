"""The fields of the servers outside: what is a mistake, with its line, its field and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.lab.outside_plans import Customer, ListPlan, ProviderPlan, RelayPlan
from labkit.lab.scenario_file import FileErrors, scenario_of

TOP = """title: x
hosts:
  - name: mx.out.test
    address: 203.0.113.2
    domains: [out.test]
"""
ZONES = """zones:
  - origin: out.test
    text: |
      $TTL 300
      @   IN SOA ns.root. hostmaster.out.test. ( 1 7200 900 1209600 300 )
          IN NS  ns.root.
      mx  IN A   203.0.113.2
"""
RELAY = "    engine: relay\n    customers:\n      - {login: a, password: b, domains: [a.test]%s}\n"
LIST = "    engine: list\n    lists:\n      - {name: l, members: [a@b.test]%s}\n"


def plan(lines: str) -> object:
    return scenario_of(TOP + lines + ZONES, Path("x.yaml")).hosts[0].outside


def test_plans() -> None:
    assert plan(RELAY % ", quota: 7, bounces_to: relay") == RelayPlan(
        (Customer("a", "b", ("a.test",), 7, "relay"),)
    )
    assert "password" not in repr(plan(RELAY % ""))
    provider = plan("    engine: provider\n    demands: [ptr, tls]\n    rate: 9\n    trusts: [l.test]\n")
    assert provider == ProviderPlan(("ptr", "tls"), ("l.test",), 9)
    lists = plan(LIST % ", mode: munge, footer: below")
    assert isinstance(lists, ListPlan)
    assert (lists.lists[0].mode, lists.lists[0].footer) == ("munge", "below")
    assert plan("    engine: outside\n") is None


@pytest.mark.parametrize(
    "lines, told",
    [
        ("    engine: relay\n", "x.yaml, line 3: host mx.out.test, customers: it is missing"),
        (RELAY % ", quota: many", "x.yaml, line 8: host mx.out.test, customer 1, quota: a number is expected"),
        (RELAY % ", quota: -1", "quota: -1 cannot be"),
        (RELAY % ", bounces_to: nowhere", "it is one of: sender, subdomain, relay"),
        (RELAY % ", pasword: x", "do you mean password?"),
        (RELAY.replace("password: b, ", "") % "", "customer 1, password: it is missing"),
        (RELAY.replace("[a.test]", "[a_test]") % "", "'a_test' is no domain"),
        (RELAY % "" + "      - {login: a, password: c, domains: [c.test]}\n", "login: a is there already"),
        (RELAY % "" + "    certificate: fine\n", "it is one of: good, self-signed, expired, wrong name"),
        (RELAY % "" + "    demands: [ptr]\n", "this host is no provider"),
        ("    engine: middle\n    stands_before: nowhere.test\n",
         "x.yaml, line 7: host mx.out.test, stands_before: there is no host 'nowhere.test'\n  there are mx.out.test"),
        ("    engine: middle\n    stands_before: ''\n", "stands_before: there is no host ''"),
        ("    engine: middle\n    stands_before: mx.out.tset\n", "do you mean mx.out.test?"),
        ("    engine: middle\n    stands_before: mx.out.test\n", "it cannot stand before itself"),
        ("    engine: middle\n", "write stands_before: and the name of the server"),
        ("    engine: outside\n    mta_sts: {mode: enforce}\n", "line 7: host mx.out.test, mta_sts: out.test has no MX"
         " record, so the policy names nobody\n  add to its zone: out.test. IN MX 10 mx.out.test."),
        ("    engine: outside\n    mta_sts: {max_age: 1e400, mx: a.test}\n", "max_age: a number is expected"),
        ("    engine: outside\n    mta_sts: {max_age: 0.5, mx: a.test}\n", "max_age: 0.5 cannot be"),
        ("    engine: provider\n    demands: [ptr, beauty]\n", "it is of: ptr, tls, authentication, alignment"),
        ("    engine: provider\n    rate: 1.5\n", "rate: 1.5 cannot be"),
        ("    engine: provider\n    configuration: partners\n", "a host outside is nobody's Exim"),
        ("    engine: list\n", "lists: it is missing"),
        (LIST % ", mode: loud", "it is one of: plain, munge, arc, untouched"),
        (LIST.replace("a@b.test", "nobody") % "", "members:"),
        ("    engine: outside\n    lists: []\n", "this host is no list"),
        ("    engine: postfix\n", "it is one of: labkit, exim, outside, relay, provider, list"),
    ],
)  # fmt: skip
def test_mistakes(lines: str, told: str) -> None:
    with pytest.raises(FileErrors) as caught:
        plan(lines)
    assert told in str(caught.value)


def test_a_host_inside_has_none_of_this() -> None:
    with pytest.raises(FileErrors, match="this host is no relay"):
        plan("    configuration: partners\n    values: {laptop: 198.51.100.1}\n    customers: []\n")

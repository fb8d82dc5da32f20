"""Received-SPF as RFC 7208 §9.1 has it."""

from __future__ import annotations

import re

import pytest

from labkit.auth import check_spf
from labkit.auth.spf_received import received_spf
from tests.auth.spf_zones import lookup_in

ZONE = {
    "a.test": [{"SPF": "v=spf1 ip4:192.0.2.1 -all"}],
    "broken.test": [{"SPF": 'v=spf1 moo:"(x)\\ -all'}],
    "slow.test": ["TIMEOUT"],
}
PAIR = r'[a-z-]+=(?:[A-Za-z0-9!#$%&\'*+/=?^_`{|}~.-]+|"(?:[^"\\\r\n]|\\[ -~])*");'
FIELD = re.compile(rf"Received-SPF: [a-z]+ \((?:[^()\\\r\n]|\\[ -~])*\)(?: {PAIR})+\r\n")


def field(sender: str, helo: str = "mx.a.test") -> str:
    return received_spf(check_spf("192.0.2.1", helo, sender, lookup_in(ZONE)), "mx.here.test")


def test_a_pass() -> None:
    assert field("ann@a.test") == (
        "Received-SPF: pass\r\n"
        " (mx.here.test: domain of ann@a.test designates 192.0.2.1 as permitted sender)\r\n"
        ' receiver=mx.here.test; client-ip=192.0.2.1; envelope-from="ann@a.test";\r\n'
        ' helo=mx.a.test; identity=mailfrom; mechanism="ip4:192.0.2.1";\r\n'
    )


def test_a_null_reverse_path() -> None:
    found = field("", "a.test")
    assert 'envelope-from="postmaster@a.test";' in found and "identity=helo;" in found


@pytest.mark.parametrize(
    "sender, helo",
    [
        ("ann@a.test", "mx.a.test"),
        ("ann@broken.test", "h"),
        ("ann@slow.test", "h"),
        ('"x\r\nSubject: yes"@a.test', "a\r\nb\0c"),
        ('(((\\"@nowhere.test', '")\\('),
        ("ünï@a.test", "hélo"),
        ("x" * 5000 + "@a.test", "y" * 5000),
    ],
)
def test_whatever_a_client_says_stays_in_its_place(sender: str, helo: str) -> None:
    found = field(sender, helo)
    assert FIELD.fullmatch(found.replace("\r\n ", " ")), found
    assert found.isascii()

"""The smtp transport's plan: what the options mean for all hosts, and for one of them."""

from __future__ import annotations

import pytest

from labkit.delivery.generic import Trouble
from labkit.delivery.smtp import (
    HostPlan,
    SmtpPlan,
    Timeouts,
    TlsPlan,
    Verify,
    authenticated_sender,
    check_smtp,
    plan_host,
    plan_smtp,
    xtext,
)
from labkit.eximconf.configuration import Driver, read
from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.asking import answer_from

HOST, ADDRESS = "mx.b.test", "203.0.113.2"


def transport(lines: str) -> Driver:
    text = "\n".join(f" {line}" for line in lines.split("\n") if line)
    return read(f"begin transports\nout:\n driver = smtp\n{text}\n").transports["out"]


def env() -> Env:
    variables = {"primary_hostname": "mx.a.test", "host": HOST, "host_address": ADDRESS, "host_port": "25"}
    return Env(variables=variables, here=Here("mx.a.test", ("203.0.113.1",)))


def for_all(lines: str) -> SmtpPlan:
    made = answer_from({}, plan_smtp(transport(lines), env()))
    assert isinstance(made, SmtpPlan), made
    return made


def for_host(lines: str) -> HostPlan:
    made = answer_from({}, plan_host(transport(lines), env(), HOST, ADDRESS))
    assert isinstance(made, HostPlan), made
    return made


@pytest.mark.parametrize(
    "lines, expected, because",
    [
        ("", SmtpPlan("mx.a.test", 25), "Exim's defaults are this plan's"),
        (
            "protocol = smtps",
            SmtpPlan("mx.a.test", 465, is_tls_from_the_start=True, in_clear_if_tls_fails=False),
            "TLS from the start has a port of its own, and never goes in the clear",
        ),
        (
            "protocol = smtps\nport = 25",
            SmtpPlan("mx.a.test", 25, is_tls_from_the_start=True, in_clear_if_tls_fails=False),
            "another port",
        ),
        ("hosts = a.test : b.test", SmtpPlan("mx.a.test", 25, hosts="a.test : b.test"), "its own hosts"),
        (
            "fallback_hosts = a.test : b.test::26",
            SmtpPlan("mx.a.test", 25, fallback_hosts=("a.test", "b.test:26")),
            "others to try, one with a port",
        ),
        ("size_addition = -1", SmtpPlan("mx.a.test", 25, size_addition=None), "SIZE is not said"),
        ("max_rcpt = 0", SmtpPlan("mx.a.test", 25, most_recipients=999_999), "0 is no limit"),
        (
            "connect_timeout = 5s\ncommand_timeout = 6s\ndata_timeout = 7s\nfinal_timeout = 8s",
            SmtpPlan("mx.a.test", 25, timeouts=Timeouts(5, 6, 7, 8)),
            "patience",
        ),
    ],
)
def test_for_all_hosts(lines: str, expected: SmtpPlan, because: str) -> None:
    assert for_all(lines) == expected, because


@pytest.mark.parametrize(
    "lines, expected, because",
    [
        ("", HostPlan("mx.a.test", tls=TlsPlan(name=HOST)), "Exim's defaults"),
        ("helo_data = to.$host", HostPlan("to.mx.b.test", tls=TlsPlan(name=HOST)), "the host is known"),
        (
            "interface = 203.0.113.7",
            HostPlan("mx.a.test", "203.0.113.7", tls=TlsPlan(name=HOST)),
            "our address",
        ),
        (
            "hosts_avoid_esmtp = *",
            HostPlan("mx.a.test", extended=False, pipelining=False, tls=TlsPlan(name=HOST)),
            "HELO knows no pipelining",
        ),
        (
            "hosts_avoid_pipelining = 203.0.113.0/24",
            HostPlan("mx.a.test", pipelining=False, tls=TlsPlan(name=HOST)),
            "by address",
        ),
        (
            "hosts_require_tls = *.b.test\nhosts_require_auth = !203.0.113.2 : *",
            HostPlan("mx.a.test", requires_tls=True, tls=TlsPlan(name=HOST)),
            "by name; and everybody but this one",
        ),
        (
            "tls_verify_hosts = *\ntls_verify_cert_hostnames =\ntls_sni = $host",
            HostPlan("mx.a.test", tls=TlsPlan(Verify.MUST, sni=HOST)),
            "a good certificate, for any name",
        ),
        (
            "tls_try_verify_hosts =",
            HostPlan("mx.a.test", tls=TlsPlan(Verify.MUST, name=HOST)),
            "as Exim with GnuTLS: if neither list says anything, the certificate must be good",
        ),
        (
            "tls_try_verify_hosts = *.other.test\ntls_verify_hosts = 192.0.2.1",
            HostPlan("mx.a.test", tls=TlsPlan(Verify.NO, name=HOST)),
            "neither list has it",
        ),
        ("hosts_try_chunking =", HostPlan("mx.a.test", chunks=False, tls=TlsPlan(name=HOST)), "no BDAT"),
    ],
)
def test_for_one_host(lines: str, expected: HostPlan, because: str) -> None:
    assert for_host(lines) == expected, because


@pytest.mark.parametrize("lines", ["helo_data = ${nonsense", "helo_data = ${if eq{a}{b}{x}fail}"])
def test_what_cannot_be_expanded(lines: str) -> None:
    made = answer_from({}, plan_smtp(transport(lines), env()))
    assert isinstance(made, Trouble)
    assert made.words.startswith("failed to expand transport's helo_data: ")


@pytest.mark.parametrize(
    "lines, word, because",
    [
        ("protocol = lmtp", "lmtp", "not spoken here"),
        ("protocol = uucp", "uucp", "not by Exim either"),
        ("command_timeout = 0s", "zero", "nobody could answer"),
    ],
)
def test_refused_when_the_file_is_read(lines: str, word: str, because: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        check_smtp(transport(lines))


@pytest.mark.parametrize(
    "lines, expected, because",
    [
        ("", "ann@a.test", "what came with the message"),
        ("authenticated_sender = postmaster@$primary_hostname", "postmaster@mx.a.test", "another one"),
        ("authenticated_sender =", "ann@a.test", "nothing is as if it were not there"),
        ("authenticated_sender = ${if eq{a}{b}{x}fail}", "ann@a.test", "so is a forced failure"),
    ],
)
def test_authenticated_sender(lines: str, expected: str, because: str) -> None:
    assert answer_from({}, authenticated_sender(transport(lines), env(), "ann@a.test")) == expected, because


def test_xtext() -> None:
    """RFC 3461 §4."""
    assert xtext("ann+x=y@a.test") == "ann+2Bx+3Dy@a.test"
    assert xtext("a b\xe4") == "a+20b+C3+A4"

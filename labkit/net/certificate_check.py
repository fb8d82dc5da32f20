"""Is this the server it claims to be? The answer in steps, each with what was asked and what was found.

WHAT       `check_name(certificate, name)`: a `Checked` with its steps. The other half of the question, who vouches for
           it, is certificate_chain.py's.
DECIDES    as OpenSSL does in a handshake (which is what judges it in the tests): the common name is no name of a host
           any more (RFC 9525); a star is the whole first label and stands for one label.
RULES      nothing is raised for what somebody else has put into a certificate
STANDARDS  RFC 9525 §6.3 (names), §6.4 (addresses), §6.5 (what is not looked at)
LIKE       openssl verify -verify_hostname NAME; but OpenSSL, and Exim too, still takes the common name of a certificate
           that has no other, which RFC 9525 §2 forbids
READ NEXT  certificate_chain.py
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from labkit.net.certificate_facts import MOST_NAMES, alternative_names, common_name
from labkit.net.tls_trust import load


@dataclass(frozen=True, slots=True)
class Step:
    """One question of the check: what was found, and whether that is good. `source` is where the rule stands."""

    question: str
    found: str
    is_good: bool
    source: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The steps of a check, up to the first that fails."""

    steps: tuple[Step, ...]

    @property
    def is_good(self) -> bool:
        return bool(self.steps) and all(step.is_good for step in self.steps)

    @property
    def reason(self) -> str:
        """What is wrong; "" if nothing is."""
        return next((step.found for step in self.steps if not step.is_good), "")

    def __add__(self, other: Checked) -> Checked:
        return Checked((*self.steps, *other.steps))


def check_name(der: bytes, name: str) -> Checked:
    """Whether a certificate is for that host name or address."""
    try:
        certificate = load(der)
    except ValueError:
        return Checked((Step("Can it be read?", "it is no certificate", False, "RFC 5280 §4.1"),))
    wanted = name.lower().rstrip(".")
    names, addresses = alternative_names(certificate)
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        return Checked(tuple(_name_steps(certificate, names, wanted)))
    is_there = str(address) in addresses
    found = f"it has {_some(addresses)}" if addresses else "it has none"
    words = f"{wanted} is an address: is it among the addresses (iPAddress)?"
    return Checked((Step(words, found, is_there, "RFC 9525 §6.4"),))


def _name_steps(certificate: x509.Certificate, names: tuple[str, ...], wanted: str) -> Iterator[Step]:
    common = common_name(certificate)
    if not names:
        passed = f'; its common name "{common}" counts for nothing' if common else ""
        yield Step(
            "Which host names has it (subjectAltName, dNSName)?", f"none{passed}", False, "RFC 9525 §6.3, §2"
        )
        return
    yield Step("Which host names has it (subjectAltName, dNSName)?", _some(names), True, "RFC 9525 §6.3")
    for each in names:
        verdict, why = _matches(each.lower(), wanted)
        if verdict:
            yield Step(f"Is {wanted} one of them?", f"{each}: {why}", True, "RFC 9525 §6.3")
            return
    reasons = "; ".join(f"{each}: {_matches(each.lower(), wanted)[1]}" for each in names[:5])
    yield Step(f"Is {wanted} one of them?", f"no: {reasons}", False, "RFC 9525 §6.3")


def _matches(pattern: str, name: str) -> tuple[bool, str]:
    """Whether a presented name is that of the host, and why."""
    if "*" not in pattern:
        return (True, "the same name") if pattern == name and name else (False, "another name")
    first, _, rest = pattern.partition(".")
    if first != "*" or "*" in rest:
        return False, "a star must be the whole first label, and there is only one"
    if "." not in rest:
        return False, "a star over a whole top-level domain is not accepted"
    label, _, above = name.partition(".")
    if above == rest and label:
        return True, f'the star stands for "{label}"'
    if name == rest:
        return False, f"a star stands for one label, and {name} has none there"
    if name.endswith(f".{rest}"):
        return False, "a star stands for one label only"
    return False, "another domain"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more

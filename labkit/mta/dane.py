"""DANE on the way out: are there TLSA records for a host that we are about to call, and what do they ask for?

WHAT       `dane_of` asks the DNS; a `Dane` means that this host gets nothing in the clear, and has a judge of the
           certificates that it shows.
DECIDES    only the records of a host whose name and address come from signed zones are looked up, and only signed ones
           count. A look-up that fails puts the host off: silence may be an attacker's work. No record: all is as
           without DANE, or, for a host in hosts_require_dane, the end. Records of which none is of use: TLS, unchecked.
LIKE EXIM  the words, its numbers; a host that must have records and has none makes the recipients fail (RFC 7672 §2.2.1
           would have them wait), and no other host is tried; records are looked for at the canonical name of a host
           alone (§2.2.3: or else at the alias); with DANE-TA only that name counts (§3.2.2: also the mail domain)
STANDARDS  RFC 7672 §2.1, §2.2; Exim specification, section "DANE"
READ NEXT  calling.py; labkit/auth/dane.py (how a chain is judged)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from labkit.auth.dane import OTHER_NAME, NotTlsa, Tlsa, judge_chain, read_tlsa
from labkit.delivery.smtp import HostPlan
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import DnsOutcome, TlsaOf
from labkit.mta.host_trouble import HostTrouble
from labkit.net.tls import Judge
from labkit.queue import errors
from labkit.routing import NextHop

IN_A_FRAME = "(certificate verification failed): {}"
DIFFERS = IN_A_FRAME.format("Verification failed. The certificate differs. ")
NOT_BELOW = IN_A_FRAME.format("Verification failed. CA constrains were violated. ")
NO_AUTHORITY = IN_A_FRAME.format("TLSA record problem: none usable")
INVALID = IN_A_FRAME.format("certificate invalid")


@dataclass(slots=True)
class Dane:
    """What the TLSA records of a host ask for. `is_verified`: its certificate is one that they name."""

    host: str
    records: tuple[Tlsa, ...]  # those that are of use
    is_verified: bool = field(default=False, init=False)

    @property
    def usages(self) -> int:
        """Exim's $tls_out_tlsa_usage: a bit for each."""
        return sum({1 << record.usage for record in self.records})

    def judge(self, now: datetime) -> Judge | None:
        """Who looks at certificates and says what is wrong, in the words of Exim's log. None: nobody, by DANE."""
        return partial(self._judge, now) if self.records else None

    def _judge(self, now: datetime, chain: tuple[bytes, ...]) -> str:
        found = judge_chain(self.records, chain, (self.host,), now)
        self.is_verified = found.result == "verified"
        if self.is_verified:
            return ""
        if OTHER_NAME in found.objections:
            return INVALID
        if all(record.usage == 3 for record in self.records):
            return DIFFERS
        return NOT_BELOW if len(chain) > 1 else NO_AUTHORITY


def dane_of(
    hop: NextHop, port: int, host: HostPlan, tell: Callable[[str], None]
) -> Asking[Dane | HostTrouble | None]:
    """Look the records up. None: this host is called as without DANE."""
    if not hop.is_secure:
        if host.requires_dane:
            return _trouble(f"{hop.host} lookup not DNSSEC", fails=True)
        return None
    if not (host.tries_dane or host.requires_dane):
        return None
    answer = yield from ask(TlsaOf(f"_{port}._tcp.{hop.host}"))
    if answer.outcome.is_temporary:
        return _trouble("tlsa lookup DEFER")
    is_found = answer.outcome is DnsOutcome.FOUND
    if is_found and answer.is_secure:
        return Dane(hop.host, tuple(record for record in map(_read, answer.records) if record is not None))
    if is_found:
        tell(f"DANE error: TLSA lookup for {hop.host} not DNSSEC")
    return _trouble("tlsa lookup FAIL", fails=True) if host.requires_dane else None


def _trouble(words: str, *, fails: bool = False) -> HostTrouble:
    return HostTrouble(errors.DNS_LATER, f"DANE error: {words}", names_host=False, is_told=fails, fails=fails)


def _read(text: str) -> Tlsa | None:
    """A record, if it is of use."""
    try:
        record = read_tlsa(text)
    except NotTlsa:
        return None
    return None if record.objection else record

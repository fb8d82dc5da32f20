"""What a sending host saw of a domain's encryption: the TLS report that its MTA-STS agent would send.

WHAT       `tls_report(agent)` reads the journal's facts of the agent's host and counts, for each domain that the agent
           knows: which deliveries were as the policy wants, and what was wrong with the others.
SIMPLER    everything since the world began is in one report, under the policy of the agent's last look. Exim's words do
           not tell what was wrong with a certificate: it counts as validation-failure.
STANDARDS  RFC 8460 §4
READ NEXT  ../auth/tls_report.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from labkit.auth.mta_sts import Shown, StsResult, judge_exchange
from labkit.auth.tls_report import FailureDetail, PolicySeen, TlsReport
from labkit.mail.event import EventKind, MailEvent

if TYPE_CHECKING:
    from labkit.lab.policy_agent import PolicyAgent

_Failure = tuple[str, str, str]  # kind, mail exchanger, its address
DEFERRALS = {  # what the MTA's log says -> how a report names it
    "did not offer TLS": "starttls-not-supported",
    "certificate verification failed": "validation-failure",
    "names none of its mail exchangers": "validation-failure",
}


def tls_report(agent: PolicyAgent) -> TlsReport:
    """The report about all domains that the agent has looked at."""
    host = agent.host
    facts = [event for event in host.world.journal if event.host == host.name]
    begin = facts[0].at if facts else host.world.now()
    policies = tuple(_seen(domain, found, facts, host.address) for domain, found in agent.found.items())
    contact = f"postmaster@{host.name.partition('.')[2]}"
    end = host.world.now()
    number = f"{end:%Y%m%dT%H%M%S}@{host.name}"
    return TlsReport(host.name, contact, number, _date(begin), _date(end), policies)


def _seen(domain: str, found: StsResult, facts: list[MailEvent], own: str) -> PolicySeen:
    good, failures = 0, Counter[_Failure]()
    if found.failure:
        failures[found.failure, "", ""] += 1
    for failure in _sessions(domain, found, facts):
        if failure is None:
            good += 1
        else:
            failures[failure] += 1
    details = tuple(
        FailureDetail(kind, count, exchange, address, own)
        for (kind, exchange, address), count in failures.items()
    )
    policy = found.policy
    if policy is None:
        return PolicySeen(domain, "no-policy-found", (), (), good, sum(failures.values()), details)
    lines = ("version: STSv1", f"mode: {policy.mode}", *(f"mx: {mx}" for mx in policy.mx))
    lines += (f"max_age: {policy.max_age}",)
    return PolicySeen(domain, "sts", lines, policy.mx, good, sum(failures.values()), details)


def _sessions(domain: str, found: StsResult, facts: list[MailEvent]) -> Iterator[_Failure | None]:
    """What went wrong with each attempt for the domain; None: nothing."""
    for fact in facts:
        if not (fact.recipient or "").lower().endswith(f"@{domain}"):
            continue
        if fact.kind is EventKind.DELIVERED and fact.remote_host:
            bad = "" if fact.is_verified else "its certificate is not good"
            verdict = judge_exchange(found, fact.remote_host, Shown(fact.cipher is not None, bad))
            place = fact.remote_host, fact.remote_address or ""
            yield (verdict.failure, *place) if verdict.failure else None
        elif fact.kind is EventKind.DEFERRED:
            kind = next((kind for words, kind in DEFERRALS.items() if words in (fact.text or "")), "")
            if kind:
                yield kind, fact.remote_host or "", fact.remote_address or ""


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"

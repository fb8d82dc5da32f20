"""MTA-STS: which policy of the recipient's domain applies now, and may mail go to this mail exchanger by it?

WHAT       `discover(domain, now, cached)` asks for the record and, if need be, for the policy file, and says which
           policy applies: a fresh one, the one remembered, or none. `judge_exchange` applies it to one mail exchanger
           and what its connection showed.
WHY HERE   SPF and DKIM vouch for who sends; this vouches for the way: which hosts take a domain's mail, and that they
           prove their names.
DECIDES    a policy that was fetched counts until max_age has passed, whatever an attacker hides in the meantime: the
           record, the file, or both. Without a remembered policy nobody can tell a domain that has none from one whose
           policy is being hidden: the first contact is trusted as it is.
           enforce: a host that the policy does not name, without TLS, or whose certificate is not good for its name,
           gets nothing; the mail waits. testing: it gets the mail, and a report says so. none: as if there were none.
STANDARDS  RFC 8461 §3.3 (fetching), §4 (validation), §5 (application), §6 (what is reported), §10.2 (trust on first
           use), RFC 8460 §4.3 (names of what went wrong)
NO NAME    for a host that the policy does not name: RFC 8460 has none, so it counts as validation-failure, its name
           for whatever the others do not fit. (certificate-host-mismatch speaks of a certificate that was shown.)
READ NEXT  mta_sts_lint.py
"""

from __future__ import annotations

from dataclasses import dataclass, field

from labkit.auth.domain_names import domain_name
from labkit.auth.mta_sts_policy import (
    LARGEST_POLICY,
    NotAPolicy,
    StsPolicy,
    StsRecord,
    find_record,
    read_policy,
)
from labkit.auth.steps import Step
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import PageFetched, PolicyAt, TextOf
from labkit.mail.visible import visible

FRESH, CACHED, NONE = "fresh", "cached", "none"
RETRY_FETCH = 300  # seconds: RFC 8461 §3.3, no sooner again after a fetch that failed


@dataclass(frozen=True, slots=True)
class CachedPolicy:
    """A policy that a sender remembers. `fetched_at` is seconds since 1970."""

    policy: StsPolicy
    id: str
    fetched_at: float

    @property
    def until(self) -> float:
        return self.fetched_at + self.policy.max_age

    def is_valid(self, now: float) -> bool:
        return self.fetched_at <= now < self.until


@dataclass(frozen=True, slots=True)
class StsResult:
    """Which policy applies. `result` is fresh, cached or none; `remember` is what the sender's cache holds from now on.

    `failure` names what went wrong on the way as a TLS report does (RFC 8460 §4.3), "" if nothing did.
    """

    domain: str
    result: str
    reason: str
    policy: StsPolicy | None = None
    remember: CachedPolicy | None = None
    failure: str = ""
    steps: tuple[Step, ...] = field(default=(), compare=False)

    @property
    def mode(self) -> str:
        """What binds the sender: enforce, testing or none."""
        return "none" if self.policy is None else self.policy.mode

    def __str__(self) -> str:
        return f"{self.domain}: {self.result}, mode {self.mode}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a mail exchanger showed. `certificate`: why its certificate is no good for its name, "" if it is good."""

    offers_tls: bool
    certificate: str = ""
    failure: str = ""  # RFC 8460's name of that, where it is known


@dataclass(frozen=True, slots=True)
class ExchangeVerdict:
    """May mail go to this host? `pattern` is the line of the policy that names it."""

    exchange: str
    is_allowed: bool
    is_reported: bool
    words: str
    pattern: str | None = None
    failure: str = ""
    source: str = ""

    def __str__(self) -> str:
        verdict = "mail may go there" if self.is_allowed else "no mail goes there"
        return f"{self.exchange}: {verdict}: {self.words}"


def discover(domain: str, now: float, cached: CachedPolicy | None = None) -> Asking[StsResult]:
    """Which policy applies to mail for `domain` at `now` (seconds since 1970). Raises nothing."""
    steps: list[Step] = []
    name = domain_name(domain)
    if name is None:
        words = f"{domain[:60]!r} is no domain name: MTA-STS says nothing of it."
        return StsResult(domain[:255], NONE, words, steps=(Step(words),))
    kept = cached if cached is not None and cached.is_valid(now) else None
    steps.append(Step(_words_of_cache(cached, kept, now), "RFC 8461 §5.1"))
    record, reason = yield from _record(name, steps)
    if record is None:  # who remembers a policy that binds misses the record, and tells so (RFC 8461 §6)
        is_missed = kept is not None and kept.policy.mode != "none"
        return _without_news(name, kept, reason, "sts-policy-fetch-error" if is_missed else "", steps)
    if kept is not None and kept.id == record.id:
        reason = f"the id is still {record.id}: the remembered policy is the newest"
        steps.append(Step(f"T{reason[1:]}; nothing is fetched.", "RFC 8461 §3.1"))
        return StsResult(name, CACHED, reason, kept.policy, kept, steps=tuple(steps))
    policy, reason, failure = yield from _fetched(name, steps)
    if policy is None:
        return _without_news(name, kept, reason, failure, steps)
    remembered = CachedPolicy(policy, record.id, now)
    steps.append(
        Step(f"It is remembered for {policy.max_age} seconds, with id {record.id}.", "RFC 8461 §3.2")
    )
    return StsResult(name, FRESH, reason, policy, remembered, steps=tuple(steps))


def judge_exchange(found: StsResult, exchange: str, shown: Shown | None = None) -> ExchangeVerdict:
    """May mail for the domain go to this host? Without `shown` only its name is judged."""
    policy = found.policy
    if policy is None or policy.mode == "none":
        words = "no policy binds the sender: TLS if it is offered, else in the clear"
        return ExchangeVerdict(exchange, True, False, words, source="RFC 8461 §5")
    pattern = policy.pattern_for(exchange)
    words, failure, source = _objection(pattern, shown)
    if not words:
        return ExchangeVerdict(
            exchange, True, False, f"the policy names it: mx: {pattern}", pattern, source="RFC 8461 §4.1"
        )
    is_enforced = policy.mode == "enforce"
    words += (
        "; another host is tried, else the mail waits" if is_enforced else "; mode testing: reported only"
    )
    return ExchangeVerdict(exchange, not is_enforced, True, words, pattern, failure, source)


def _objection(pattern: str | None, shown: Shown | None) -> tuple[str, str, str]:
    """What speaks against a host, how a report names it, and which rule says so."""
    if pattern is None:
        return "the policy does not name it", "validation-failure", "RFC 8461 §4.1"
    if shown is None:
        return "", "", ""
    if not shown.offers_tls:
        return "it offers no STARTTLS", "starttls-not-supported", "RFC 8461 §4"
    if shown.certificate:
        return shown.certificate, shown.failure or "validation-failure", "RFC 8461 §4.2"
    return "", "", ""


def _words_of_cache(cached: CachedPolicy | None, kept: CachedPolicy | None, now: float) -> str:
    if cached is None:
        return "No policy is remembered: this is the first contact."
    if kept is None:
        return "The remembered policy is over its max_age: it counts no more."
    return f"A policy is remembered, mode {kept.policy.mode}, for {kept.until - now:.0f} seconds more."


def _record(name: str, steps: list[Step]) -> Asking[tuple[StsRecord | None, str]]:
    """The record, or why there is none."""
    question = TextOf(f"_mta-sts.{name}")
    answer = yield from ask(question)
    if not answer.records:
        reason = f"no record at {question.name} ({answer.outcome.value})"
        steps.append(Step(f"There is {reason}.", "RFC 8461 §3.1", question=question))
        return None, reason
    try:
        record = find_record(answer.records)
    except NotAPolicy as problem:
        reason = f"the record at {question.name} is no use: {problem}"
        data = "\n".join(text[:500] for text in answer.records[:5])
        steps.append(Step(f"T{reason[1:]}.", "RFC 8461 §3.1", data=data, question=question))
        return None, reason
    if record is None:
        reason = f"no TXT record at {question.name} begins with v=STSv1;"
        steps.append(Step(f"N{reason[1:]}.", "RFC 8461 §3.1", question=question))
        return None, reason
    words = f"The record at {question.name} has the id {record.id}."
    steps.append(Step(words, "RFC 8461 §3.1", data=record.text, question=question))
    return record, ""


def _fetched(name: str, steps: list[Step]) -> Asking[tuple[StsPolicy | None, str, str]]:
    """The policy of the file, and why; or None, why not, and how a report names that."""
    question = PolicyAt(name)
    page = yield from ask(question)
    if reason := page_problem(page):
        failure = "sts-webpki-invalid" if page.of_certificate else "sts-policy-fetch-error"
        steps.append(Step(f"{question.url} cannot be used: {reason}.", "RFC 8461 §3.3", question=question))
        return None, f"the policy cannot be fetched: {reason}", failure
    data = page.body[:2000].decode("utf-8", "replace")
    try:
        policy = read_policy(page.body)
    except NotAPolicy as problem:
        words = f"The file at {question.url} is no policy: {problem}."
        steps.append(Step(words, "RFC 8461 §3.2", data=data, question=question))
        return None, f"the file is no policy: {problem}", "sts-policy-invalid"
    named = ", ".join(policy.mx[:10]) or "no host"
    words = f"{question.url} is fetched: mode {policy.mode}, for {named}."
    steps.append(Step(words, "RFC 8461 §3.3", data=data, question=question))
    return policy, f"fetched from mta-sts.{name}", ""


def page_problem(page: PageFetched) -> str:
    """Why the page is no policy file, whatever it says; "" if it may be one."""
    if page.problem:
        return visible(page.problem)
    if 300 <= page.status < 400:
        return f"the answer is {page.status}, a redirect, and none is followed"
    if page.status != 200:
        return f"the answer is {page.status}"
    if len(page.body) > LARGEST_POLICY:
        return f"it is longer than {LARGEST_POLICY // 1024} kB"
    media = page.content_type.partition(";")[0].strip().lower()
    if media != "text/plain":
        return f"its type is {visible(media[:40]) or 'not said'}, not text/plain"
    return ""


def _without_news(
    name: str, kept: CachedPolicy | None, reason: str, failure: str, steps: list[Step]
) -> StsResult:
    """Nothing new was learnt: what is remembered counts; without it, mail goes as it always did."""
    if kept is not None:
        steps.append(Step("The remembered policy counts until its max_age has passed.", "RFC 8461 §3.3"))
        return StsResult(name, CACHED, reason, kept.policy, kept, failure, tuple(steps))
    words = "Nothing is remembered either: mail goes as if the domain had no policy. Who could hide the policy from"
    steps.append(Step(f"{words} the first contact has won.", "RFC 8461 §3.3, §10.2"))
    return StsResult(name, NONE, reason, failure=failure, steps=tuple(steps))

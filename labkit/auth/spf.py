"""SPF: may this client use that domain in HELO or MAIL FROM?

WHAT       `check_host` asks the DNS for the domain's record, goes through its terms, and says what the first one that
           matches means. What was asked, found and counted is in `.steps`.
DECIDES    pass, fail, softfail, neutral (the record says so), none (there is no record), permerror (the record is
           broken), temperror (the DNS does not answer).
RULES      a null reverse-path: the HELO name is checked, as postmaster@ it; IPv4-mapped addresses are IPv4;
           `include` is a question ("would they pass?"), `redirect` a replacement, and the explanation is that of
           the record which fails, never of an included one.
STANDARDS  RFC 7208; RFC 8616 §4 (internationalized domains)
SAFE       hostile records, names and answers end as a result; only a client_ip that is no address is a ValueError
READ NEXT  spf_macros.py, spf_record.py, spf_evaluation.py, spf_mechanisms.py; then spf_received.py, spf_lint.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from labkit.auth.spf_evaluation import LONGEST_VALUE, MOST_VOID, Address, Evaluation, Stop, askable
from labkit.auth.spf_macros import IN_EXPLANATIONS, BadTerm, parse_macro_string, shown
from labkit.auth.spf_mechanisms import matches
from labkit.auth.spf_record import Directive, Modifier, Record, is_spf, parse_record
from labkit.auth.steps import Step
from labkit.mail.asking import Asking
from labkit.mail.questions import DnsOutcome, TextOf


@dataclass(frozen=True, slots=True)
class SpfResult:
    """What SPF says.

    `domain` is the one that was checked, `identity` where it stood ("mailfrom" or "helo"). `explanation` is what the
    domain wants a refused client to hear, "" if it says nothing. `matched` is the term that decided. `lookups` counts
    the terms that asked the DNS (10 are allowed), `void_lookups` those that asked in vain (2 are). `client_ip`, `helo`
    and `sender` are what the check was about. `problem` names the kind of a permerror or temperror: dns, two-records,
    no-record, syntax, lookups, void-lookups, exchangers.
    """

    result: str
    reason: str
    domain: str = ""
    identity: str = "mailfrom"
    explanation: str = ""
    matched: str = ""
    lookups: int = 0
    void_lookups: int = 0
    steps: tuple[Step, ...] = field(default=(), repr=False)
    client_ip: str = ""
    helo: str = ""
    sender: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one record says: the directive that matched, if any, and the explanation that goes with a fail."""

    result: str
    directive: Directive | None = None
    exp: Modifier | None = None
    domain: str = ""


def check_host(
    client_ip: str,
    helo: str,
    reverse_path: str,
    *,
    receiver: str = "unknown",
    now: float = 0.0,
    most_void: int = MOST_VOID,
    record: str | None = None,
    explains: bool = True,
) -> Asking[SpfResult]:
    """Check MAIL FROM, or HELO where `reverse_path` is empty. Raises ValueError if `client_ip` is no address.

    `receiver` and `now` are for explanations (%{r}, %{t}). `record` is evaluated instead of what the DNS has.
    Without `explains` the domain's explanation is not asked for.
    """
    client = client_address(client_ip)
    identity = "mailfrom" if reverse_path.strip() not in ("", "<>") else "helo"
    local_part, domain = _sender(reverse_path) if identity == "mailfrom" else ("postmaster", helo)
    domain = _ascii_domain(domain)
    run = Evaluation(
        client, helo[-LONGEST_VALUE:], local_part[-LONGEST_VALUE:], domain, receiver, now, most_void, domain
    )
    return _checked(run, identity, record, explains)


def client_address(text: str) -> Address:
    """The address of a client; an IPv4-mapped one is IPv4 (RFC 7208 §5). Raises ValueError if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(
            f"client_ip is {shown(str(text))}, which is no IP address; give one like '203.0.113.9' or '2001:db8::9'"
        ) from None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without a scope such as %eth0
    return address


def _sender(reverse_path: str) -> tuple[str, str]:
    """Local part and domain; no local part means postmaster (§4.3). A source route means nothing.

    RFC 5321 §4.1.1.3 on source routes: receivers ignore them.
    """
    path = reverse_path.strip()
    if path.startswith("<") and path.endswith(">"):
        path = path[1:-1]
    local_part, _, domain = path.rpartition("@")
    if local_part.startswith("@"):
        local_part = local_part.partition(":")[2]
    return local_part or "postmaster", domain


def _ascii_domain(domain: str) -> str:
    """U-labels become A-labels (RFC 8616 §4). What cannot be converted stays, and no such name exists."""
    if not domain.isascii() and len(domain) <= LONGEST_VALUE // 2:
        try:
            return domain.encode("idna").decode("ascii")
        except UnicodeError:
            pass
    return domain


def _checked(run: Evaluation, identity: str, text: str | None, explains: bool) -> Asking[SpfResult]:
    """The whole check, as a result whatever happens."""
    verdict, reason, explanation, problem = _Verdict("none"), "", "", ""
    where = "MAIL FROM" if identity == "mailfrom" else "HELO"
    run.note(f"The client {run.client} uses {shown(run.domain)} in {where}", "RFC 7208 §2")
    try:
        verdict = yield from _check(run, text)
        if verdict.result == "fail" and verdict.exp is not None and explains:
            explanation = yield from _explained(run, verdict.exp, verdict.domain)
    except Stop as stop:
        verdict, reason = _Verdict(stop.result), f"{stop}"
        problem = stop.kind
        run.note(f"{stop}: {stop.result}", stop.source)
    reason = reason or _reason(run, verdict)
    return SpfResult(
        verdict.result,
        reason,
        run.sender_domain,
        identity,
        explanation,
        verdict.directive.text if verdict.directive else "",
        run.lookups,
        run.void_lookups,
        tuple(run.steps),
        str(run.client),
        run.helo,
        f"{run.local_part}@{run.sender_domain}",
        problem,
    )


def _reason(run: Evaluation, verdict: _Verdict) -> str:
    """The verdict as a sentence."""
    domain = run.sender_domain if askable(run.sender_domain) else shown(run.sender_domain)
    if verdict.result == "none":
        return f"{domain} publishes no SPF record"
    if verdict.directive is None:
        return f"no term of {verdict.domain}'s record matches {run.client}"
    saying = _SAYINGS[verdict.result].format(domain=domain, client=run.client)
    where = "" if verdict.domain == run.sender_domain else f" in the record of {verdict.domain}"
    return f"{saying}: {shown(verdict.directive.text)[1:-1]} matches{where}"


_SAYINGS = {
    "pass": "{domain} permits {client}",
    "fail": "{domain} does not permit {client}",
    "softfail": "{domain} probably does not permit {client}",
    "neutral": "{domain} does not say whether it permits {client}",
}


def _check(run: Evaluation, text: str | None = None) -> Asking[_Verdict]:
    """check_host() of §4 for `run.domain`; include and redirect call it again."""
    if text is None:
        text = yield from _published(run)
    if text is None:
        return _Verdict("none", domain=run.domain)
    run.note(f"The record of {run.domain} is read", "RFC 7208 §4.6", data=text)
    try:
        record = parse_record(text)
    except BadTerm as bad:
        raise Stop("syntax", f"the record of {run.domain} is broken: {bad}", bad.source) from None
    verdict = yield from _evaluated(run, record)
    return verdict


def _published(run: Evaluation) -> Asking[str | None]:
    """The one SPF record of the domain; None if there is none (§4.3 to §4.5)."""
    name = askable(run.domain)
    if name is None or "." not in name:
        run.note(f"{shown(run.domain)} is no full domain name: nobody is asked", "RFC 7208 §4.3")
        return None
    answer = yield from run.answer(TextOf(name), name, "RFC 7208 §4.4")
    if answer.outcome.is_temporary:
        words = f"the DNS does not answer for {name}: {answer.outcome.value}"
        raise Stop("dns", words, "RFC 7208 §4.4")
    records = [record for record in answer.records if is_spf(record)]
    if len(records) > 1:
        words = f"{name} has {len(records)} SPF records where one is allowed"
        raise Stop("two-records", words, "RFC 7208 §4.5")
    if not records:
        run.note(f"{name} has no SPF record", "RFC 7208 §4.5")
    return records[0] if records else None


def _evaluated(run: Evaluation, record: Record) -> Asking[_Verdict]:
    """The terms from left to right, until one matches; then redirect; then neutral (§4.6.2, §4.7)."""
    for directive in record.directives:
        run.term = directive.text
        if directive.mechanism == "include":
            is_match = yield from _included(run, directive)
        else:
            is_match = yield from matches(run, directive)
        if is_match:
            run.note(f"{directive.text} matches: {directive.result}", "RFC 7208 §4.6.2")
            return _Verdict(directive.result, directive, record.exp, run.domain)
        run.note(f"{directive.text} does not match", "RFC 7208 §4.6.2")
    run.term = ""
    if record.redirect is not None:
        verdict = yield from _redirected(run, record.redirect)
        return verdict
    run.note("no term matches: neutral", "RFC 7208 §4.7")
    return _Verdict("neutral", domain=run.domain)


def _included(run: Evaluation, directive: Directive) -> Asking[bool]:
    """Would the client pass there? What is not a pass does not match; an error stays one (§5.2)."""
    run.count_term()
    target = yield from run.target(directive.domain)
    if target is None and _has_letters(directive, "sl") and not run.local_part.isascii():
        return False  # RFC 8616 §4
    outer, term = run.domain, run.term
    run.domain, run.term, run.depth = target or "", "", run.depth + 1
    verdict = yield from _check(run)
    run.domain, run.term, run.depth = outer, term, run.depth - 1
    if verdict.result == "none":
        words = f"{shown(directive.text)} names a domain without an SPF record"
        raise Stop("no-record", words, "RFC 7208 §5.2")
    return verdict.result == "pass"


def _has_letters(directive: Directive, letters: str) -> bool:
    return any(not isinstance(part, str) and part.letter in letters for part in directive.domain or ())


def _redirected(run: Evaluation, redirect: Modifier) -> Asking[_Verdict]:
    """That domain's record speaks instead, its explanation too (§6.1)."""
    run.term = redirect.text
    run.count_term()
    target = yield from run.target(redirect.domain)
    run.note(f"{redirect.text}: the record of {shown(target or '')} speaks instead", "RFC 7208 §6.1")
    run.domain, run.term = target or "", ""
    verdict = yield from _check(run)
    if verdict.result == "none":
        words = f"{shown(redirect.text)} names a domain without an SPF record"
        raise Stop("no-record", words, "RFC 7208 §6.1")
    return verdict


def _explained(run: Evaluation, exp: Modifier, domain: str) -> Asking[str]:
    """What the domain wants a refused client to hear; "" where it cannot be had (§6.2). It counts nowhere."""
    run.domain, run.term = domain, exp.text
    target = yield from run.target(exp.domain)
    if target is None:
        return ""
    answer = yield from run.answer(TextOf(target), target, "RFC 7208 §6.2")
    if answer.outcome is not DnsOutcome.FOUND or len(answer.records) != 1:
        run.note("there is no explanation, or more than one: it is left out", "RFC 7208 §6.2")
        return ""
    try:
        text = yield from run.explanation(parse_macro_string(answer.records[0], IN_EXPLANATIONS))
    except BadTerm as bad:
        run.note(f"{bad}: it is left out", bad.source)
        return ""
    run.note("the explanation is expanded", "RFC 7208 §6.2", data=text)
    return text

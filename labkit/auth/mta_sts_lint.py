"""Read an MTA-STS record and policy with a critical eye: what senders ignore, what is unwise, what looks like a slip.

WHAT       `lint_mta_sts(texts, page, exchanges)` takes the TXT records at `_mta-sts.domain`, the policy file and the
           domain's mail exchangers; `lint_mta_sts_of(domain)` asks for all three.
GRADES     "error": MTA-STS does not work, or mail is lost by it; "warning": it works, hardly as meant.
STANDARDS  RFC 8461 §3.1, §3.2, §3.3, §8.3; RFC 8460 §3
READ NEXT  tls_report.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from labkit.auth.domain_names import domain_name
from labkit.auth.mta_sts import page_problem
from labkit.auth.mta_sts_policy import (
    KNOWN,
    MODES,
    NotAPolicy,
    StsPolicy,
    find_record,
    is_sts_record,
    read_policy,
    read_record,
)
from labkit.auth.record_findings import RecordFinding, errors_first
from labkit.auth.tls_report import read_tlsrpt, report_name
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import MxOf, PageFetched, PolicyAt, TextOf

DAY = 86_400  # seconds: what is less is short
_MEANS_STS = re.compile(r"sts", re.IGNORECASE)
_SLIP = re.compile(r"\s*(\S+)\s*[:=]\s*(.*)")


def lint_mta_sts(
    texts: str | Sequence[str], page: PageFetched | str | None = None, exchanges: Sequence[str] = ()
) -> tuple[RecordFinding, ...]:
    """What there is to say, errors first; an empty tuple: nothing. `page` None: the file is not looked at."""
    records = [texts] if isinstance(texts, str) else list(texts)
    findings = list(_of_records(records))
    if page is not None:
        fetched = PageFetched(200, "text/plain", page.encode()) if isinstance(page, str) else page
        findings += _of_page(fetched, exchanges)
    return errors_first(findings)


def lint_mta_sts_of(domain: str) -> Asking[tuple[RecordFinding, ...]]:
    """The same with the DNS and the policy host; and whether somebody is told what goes wrong (RFC 8460)."""
    name = domain_name(domain)
    if name is None:
        return (_error("no-domain", f"{domain[:60]!r} is no domain name."),)
    answer = yield from ask(TextOf(f"_mta-sts.{name}"))
    if answer.outcome.is_temporary:
        return (_error("no-answer", f"The DNS did not answer for _mta-sts.{name}: nobody can tell."),)
    page = yield from ask(PolicyAt(name))
    found = yield from ask(MxOf(name))
    findings = list(lint_mta_sts(answer.records, page, [record.exchange for record in found.records]))
    if not any(map(is_sts_record, answer.records)):
        beside = yield from ask(TextOf(name))
        if any(map(is_sts_record, beside.records)):
            words = f"The record stands at {name}; senders ask for it at _mta-sts.{name}."
            findings.append(
                _error("wrong-name", words, name, "RFC 8461 §3.1", f"Move it to _mta-sts.{name}.")
            )
    reports = yield from ask(TextOf(report_name(name)))
    if not read_tlsrpt(reports.records):
        words = "Nobody is told when senders cannot keep to the policy."
        cure = f'Publish at {report_name(name)}: "v=TLSRPTv1; rua=mailto:an-address@{name}"'
        findings.append(_warning("no-reports", words, "", "RFC 8460 §3", cure))
    return errors_first(findings)


def _of_records(records: Sequence[str]) -> Iterator[RecordFinding]:
    try:
        record = find_record(records)
    except NotAPolicy as problem:
        yield _error("record", f"The record is no use: {problem}.", _first(records), "RFC 8461 §3.1")
        return
    if record is not None:
        return
    meant = next((text for text in records if _MEANS_STS.search(text[:100])), None)
    if meant is None:
        words = "There is no MTA-STS record here: senders do not look for a policy."
        yield _error("no-record", words, "", "RFC 8461 §3.1", 'Write "v=STSv1; id=1;" at _mta-sts.')
        return
    if meant.lstrip().startswith(('"', "'")):
        words = "There are quotes inside the record: the master file's quotes were written twice."
        yield _error("quotes", words, meant[:40], "RFC 8461 §3.1", "Leave one pair out.")
    elif re.match(r"\s*v\s*=\s*stsv1\b", meant, re.IGNORECASE):
        words = "The record must begin with v=STSv1 and a semicolon, in these very letters."
        yield _error("version", words, meant[:40], "RFC 8461 §3.1", "Write v=STSv1;")
    else:
        try:
            read_record(meant)
        except NotAPolicy as problem:
            yield _error("record", f"The record is none: {problem}.", meant[:40], "RFC 8461 §3.1")


def _first(records: Sequence[str]) -> str:
    return next((text[:60] for text in records if is_sts_record(text)), "")


def _of_page(page: PageFetched, exchanges: Sequence[str]) -> Iterator[RecordFinding]:
    if problem := page_problem(page):
        cure = "A certificate for mta-sts.DOMAIN that the world believes." if page.of_certificate else ""
        yield _error("fetch", f"Senders cannot use the policy file: {problem}.", "", "RFC 8461 §3.3", cure)
        return
    text = page.body.decode("utf-8", "replace")
    try:
        policy = read_policy(page.body)
    except NotAPolicy as problem:
        yield _error("policy", f"The file is no policy: {problem}.", text[:40], "RFC 8461 §3.2", _cure(text))
        return
    yield from _of_policy(policy, exchanges)


def _cure(text: str) -> str:
    """What the writer of a broken policy may have meant."""
    for line in text.splitlines()[:100]:
        found = _SLIP.fullmatch(line)
        if found is None:
            continue
        name, value = found[1].lower(), found[2].strip()
        near = get_close_matches(name, KNOWN, 1, 0.6)
        if "=" in line.partition(":")[0] and near:
            return f"Write {near[0]}: {value[:40]}, with a colon."
        if near and found[1] != near[0]:
            return f"Did you mean {near[0]}?"
        if name == "mode" and value not in MODES and (mode := get_close_matches(value.lower(), MODES, 1)):
            return f"Did you mean mode: {mode[0]}?"
        if name == "mx" and value.endswith("."):
            return "Write the name without the dot at its end."
        if name == "mx" and value.startswith("."):
            return f"Write mx: *{value[:60]}"
        if name == "max_age" and not value.isdigit():
            return "Write seconds: max_age: 604800 is a week."
    return ""


def _of_policy(policy: StsPolicy, exchanges: Sequence[str]) -> Iterator[RecordFinding]:
    for problem in policy.problems:
        yield _warning("ignored", f"{problem[:1].upper()}{problem[1:]}.", "", "RFC 8461 §3.2")
    if policy.mode == "none":
        words = "mode none: senders do as if there were no policy. It is how one takes a policy back."
        yield _warning("none", words, "mode: none", "RFC 8461 §8.3")
        return
    if policy.mode == "testing":
        words = "mode testing: who strips STARTTLS still reads the mail; only reports tell of it."
        yield _warning("testing", words, "mode: testing", "RFC 8461 §5", "Write mode: enforce in the end.")
    if policy.max_age < DAY:
        words = f"Senders forget the policy after {policy.max_age} seconds: an attacker just waits."
        yield _warning(
            "short", words, f"max_age: {policy.max_age}", "RFC 8461 §10.2", "Write 1209600 or more."
        )
    unnamed = [each for each in exchanges[:100] if policy.pattern_for(each) is None]
    for exchange in unnamed:
        words = f"The mail exchanger {exchange[:80]} is not named: in mode enforce it gets no mail."
        yield _error("unnamed", words, exchange[:80], "RFC 8461 §4.1", f"Add mx: {exchange.rstrip('.')[:80]}")
    if exchanges:
        names = [domain_name(each) or "" for each in exchanges[:100]]
        for pattern in policy.mx:
            if not any(StsPolicy("enforce", (pattern,), 1).pattern_for(name) for name in names):
                words = f"mx: {pattern} names no mail exchanger of now."
                yield _warning("idle", words, pattern, "RFC 8461 §4.1", "Is it a slip, or for later?")


def _error(code: str, words: str, term: str = "", source: str = "", cure: str = "") -> RecordFinding:
    return RecordFinding(code, "error", words, term, source, cure)


def _warning(code: str, words: str, term: str = "", source: str = "", cure: str = "") -> RecordFinding:
    return RecordFinding(code, "warning", words, term, source, cure)

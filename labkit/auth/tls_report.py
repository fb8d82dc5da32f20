"""TLS reports: what a sender saw of a domain's encryption in a day, told to the domain (RFC 8460).

WHAT       `read_tlsrpt(texts)` gives the addresses in the TXT record at _smtp._tls.DOMAIN; `TlsReport` holds what was
           seen, `write_json` and `read_json` are the report's form.
RULES      the record begins with v=TLSRPTv1 and has a rua with mailto: or https: addresses; of several records none
           counts. Sessions are counted: those that did as the policy wants, and those that did not, by what went wrong.
STANDARDS  RFC 8460 §3 (record), §4 (report), §4.3 (types of failure)
SIMPLER    a report is not compressed, signed or sent here: it is the text that a mail would carry.
SAFE       a report of more than 1 MB, deeper than any report is, or with numbers that are none, is a ReportUnreadable.
READ NEXT  mta_sts.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LARGEST = 1024 * 1024  # octets
MOST = 1000  # policies, and details of one
LONGEST = 1000  # characters of one text
FAILURES = {
    "starttls-not-supported": "the mail exchanger offered no STARTTLS",
    "certificate-host-mismatch": "its certificate is for another name",
    "certificate-expired": "its certificate is over",
    "certificate-not-trusted": "nobody who is believed vouches for its certificate",
    "validation-failure": "something else speaks against it",
    "tlsa-invalid": "its TLSA record is no use",
    "dnssec-invalid": "the resolver had no answer for it that DNSSEC bears out",
    "dane-required": "the sender wants DANE, and there is no TLSA record",
    "sts-policy-fetch-error": "the policy could not be fetched",
    "sts-policy-invalid": "the policy file is no policy",
    "sts-webpki-invalid": "the policy host's certificate is not good",
}
POLICY_TYPES = ("tlsa", "sts", "no-policy-found")


class ReportUnreadable(ValueError):
    """What was given is no TLS report. The text says why."""


@dataclass(frozen=True, slots=True)
class FailureDetail:
    """`sessions` failed for the same reason at the same host."""

    kind: str  # of FAILURES, as long as nobody has made a new one
    sessions: int
    exchange: str = ""
    exchange_address: str = ""
    sending_address: str = ""


@dataclass(frozen=True, slots=True)
class PolicySeen:
    """One policy with what was seen under it. `policy_type` is one of POLICY_TYPES."""

    domain: str
    policy_type: str
    lines: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    successful: int = 0
    failed: int = 0
    details: tuple[FailureDetail, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsReport:
    """A report. `begin` and `end` are RFC 3339 in UTC; `contact` is a mail address, without mailto:."""

    organization: str
    contact: str
    report_id: str
    begin: str
    end: str
    policies: tuple[PolicySeen, ...]

    def __str__(self) -> str:
        lines = [f"TLS report of {self.organization}, {self.begin} to {self.end}"]
        for seen in self.policies:
            lines.append(
                f"  {seen.domain} ({seen.policy_type}): {seen.successful} good, {seen.failed} failed"
            )
            lines += [f"    {each.sessions} x {each.kind} at {each.exchange}" for each in seen.details]
        return "\n".join(lines)


def report_name(domain: str) -> str:
    """Where the record stands that says who wants reports."""
    return f"_smtp._tls.{domain}"


def read_tlsrpt(texts: Iterable[str]) -> tuple[str, ...]:
    """The addresses that want reports; none: nobody is to be told (no record, several, or one that is no use)."""
    found = [text for text in texts if re.match(r"v=TLSRPTv1[ \t]*;", text)]
    if len(found) != 1:
        return ()
    for part in found[0].split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip(" \t") == "rua":
            addresses = [piece.strip(" \t") for piece in value[:LONGEST].split(",")]
            return tuple(a for a in addresses if re.fullmatch(r"mailto:[^@\s]+@[^@\s]+|https://\S+", a))
    return ()


def write_json(report: TlsReport) -> str:
    """The report as RFC 8460 §4.4 has it."""
    document = {
        "organization-name": report.organization,
        "date-range": {"start-datetime": report.begin, "end-datetime": report.end},
        "contact-info": report.contact,
        "report-id": report.report_id,
        "policies": [_policy(seen) for seen in report.policies],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _policy(seen: PolicySeen) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": seen.policy_type, "policy-domain": seen.domain}
    if seen.lines:
        policy["policy-string"] = list(seen.lines)
    if seen.mx:
        policy["mx-host"] = list(seen.mx)
    counts = {"total-successful-session-count": seen.successful, "total-failure-session-count": seen.failed}
    found: dict[str, Any] = {"policy": policy, "summary": counts}
    if seen.details:
        found["failure-details"] = [_detail(each) for each in seen.details]
    return found


def _detail(each: FailureDetail) -> dict[str, Any]:
    texts = {
        "sending-mta-ip": each.sending_address,
        "receiving-mx-hostname": each.exchange,
        "receiving-ip": each.exchange_address,
    }
    kept = {name: text for name, text in texts.items() if text}
    return {"result-type": each.kind, **kept, "failed-session-count": each.sessions}


def read_json(octets: bytes | str) -> TlsReport:
    """Read a report. Raises ReportUnreadable."""
    if len(octets) > LARGEST:
        raise ReportUnreadable(f"it is longer than {LARGEST // 1024} kB")
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError) as problem:
        raise ReportUnreadable(f"it is no JSON: {str(problem)[:80]}") from None
    top = _mapping(document, "the report")
    dates = _mapping(top.get("date-range", {}), "date-range")
    return TlsReport(
        _text(top, "organization-name"),
        _text(top, "contact-info"),
        _text(top, "report-id"),
        _text(dates, "start-datetime"),
        _text(dates, "end-datetime"),
        tuple(_read_policy(_mapping(each, "a policy")) for each in _list(top, "policies")),
    )


def _read_policy(found: Mapping[str, Any]) -> PolicySeen:
    policy = _mapping(found.get("policy", {}), "policy")
    counts = _mapping(found.get("summary", {}), "summary")
    details = (_mapping(each, "a failure") for each in _list(found, "failure-details"))
    return PolicySeen(
        _text(policy, "policy-domain"),
        _text(policy, "policy-type"),
        tuple(str(line)[:LONGEST] for line in _list(policy, "policy-string")),
        tuple(str(name)[:LONGEST] for name in _list(policy, "mx-host")),
        _count(counts, "total-successful-session-count"),
        _count(counts, "total-failure-session-count"),
        tuple(
            FailureDetail(
                _text(each, "result-type"),
                _count(each, "failed-session-count"),
                _text(each, "receiving-mx-hostname"),
                _text(each, "receiving-ip"),
                _text(each, "sending-mta-ip"),
            )
            for each in details
        ),
    )


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ReportUnreadable(f"{what} is no object")
    return value


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    """A list; a single text, which old reports have for mx-host, is a list of one."""
    value = found.get(name, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or len(value) > MOST:
        raise ReportUnreadable(f"{name} is no list of at most {MOST}")
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, str):
        raise ReportUnreadable(f"{name} is no text")
    return value[:LONGEST]


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ReportUnreadable(f"{name} is no number of sessions")
    return value

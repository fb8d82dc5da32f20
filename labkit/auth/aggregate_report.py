"""DMARC's aggregate reports: what a receiver saw in a day of mail that bears a domain's name.

WHAT       `row_for` makes a row of one evaluation, `gathered` adds equal rows up; `write_xml` writes a report, and
           `compressed`, `file_name` and `subject` make a mail of it. aggregate_reading.py reads reports.
RULES      one report is about one policy domain. Who applies another policy than the owner asks for must say why.
           disposition is pass for what passed under an enforcing policy, and none for what passed under p=none.
STANDARDS  RFC 9990 §3.1 (contents), §3.5 (file name, subject, Report-ID), appendix A (schema); RFC 1952 (gzip)
READ NEXT  aggregate_reading.py
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labkit.auth.dmarc import DmarcResult, pairs_of
from labkit.auth.domain_names import domain_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
DISPOSITIONS = ("none", "pass", "quarantine", "reject")
REASONS = ("local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder")
MOST_SIGNATURES = 100  # for one row, RFC 9990 §3.1.3
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPORT_ID = re.compile(r"<?[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+(?:@[A-Za-z0-9.-]+)?>?")


class ReportError(ValueError):
    """No such report can be written, or what was given to be read is none. The text says why."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why another policy was applied than the one that is published. `kind` is one of REASONS."""

    kind: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What SPF or DKIM said, whether it is aligned or not. `selector` is DKIM's."""

    domain: str
    result: str
    selector: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`count` messages from one address with the same outcome. `dkim` and `spf` are pass if they are aligned."""

    source_ip: str
    header_from: str
    disposition: str
    dkim: str
    spf: str
    count: int = 1
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    dkim_seen: tuple[Seen, ...] = ()
    spf_seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The policy as the receiver found it."""

    domain: str
    p: str = "none"
    sp: str = ""
    np: str = ""
    adkim: str = "r"
    aspf: str = "r"
    fo: str = "0"
    is_testing: bool = False
    discovery_method: str = "treewalk"


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """A report. `begin` and `end` are in seconds since 1970; usually they are a day in UTC."""

    org_name: str
    email: str
    report_id: str
    begin: int
    end: int
    published: Published
    rows: tuple[Row, ...]
    extra_contact_info: str = ""
    error: str = ""
    generator: str = "labkit"

    @property
    def count(self) -> int:
        """How many messages the report is about."""
        return sum(row.count for row in self.rows)


def published_by(result: DmarcResult) -> Published:
    """The policy that an evaluation has found. Raises ReportError if it found none."""
    record = result.record
    if record is None:
        raise ReportError(f"no record applied to {result.author_domain}: there is nobody to report to")
    if not record.has_valid_policies:
        return Published(result.policy_domain)
    return Published(
        result.policy_domain,
        record.p,
        record.sp,
        record.np,
        record.adkim,
        record.aspf,
        ":".join(record.fo),
        record.is_testing,
    )


def row_for(
    source_ip: str,
    result: DmarcResult,
    *,
    spf: object = None,
    dkim: Iterable[tuple[str, str, str]] = (),
    envelope_from: str = "",
    envelope_to: str = "",
    disposition: str | None = None,
    reasons: Iterable[Reason] = (),
) -> Row:
    """The row of one message. `spf` is (result, domain), `dkim` are (result, domain, selector).

    `disposition` is what was done with the message, if that is not what the policy asks for; then a reason is needed.
    Raises ReportError.
    """
    if result.result not in ("pass", "fail") or result.record is None or result.policy is None:
        raise ReportError(f"DMARC ended in {result.result}: there is nothing to report")
    asked = ("none" if result.policy == "none" else "pass") if result.result == "pass" else result.policy
    done, why = disposition or asked, tuple(reasons)
    if done not in DISPOSITIONS or any(reason.kind not in REASONS for reason in why):
        raise ReportError(f"a disposition is one of {DISPOSITIONS}, a reason one of {REASONS}")
    published, _ = result.record.policy(is_subdomain=False)
    if result.is_testing and result.result == "fail" and published != "none" and not why:
        why = (Reason("policy_test_mode"),)
    if done != asked and not why:
        raise ReportError(f"the policy asks for {asked}, and {done} was done: a reason is needed")
    seen = sorted(
        (Seen(domain, word, selector) for word, domain, selector in dkim), key=lambda one: _rank(one, result)
    )
    mail_from = next((Seen(domain, word) for word, domain in pairs_of(spf)), None)
    return Row(
        source_ip,
        result.author_domain,
        done,
        "pass" if result.aligned_dkim else "fail",
        "pass" if result.aligned_spf else "fail",
        1,
        envelope_from,
        envelope_to,
        why,
        tuple(seen[:MOST_SIGNATURES]),
        mail_from,
    )


def _rank(seen: Seen, result: DmarcResult) -> int:
    """Which signatures are named first (RFC 9990 §3.1.3)."""
    if seen.result != "pass":
        return 3
    return {result.author_domain: 0, result.aligned_dkim: 1}.get(domain_name(seen.domain) or "", 2)


def gathered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Equal rows as one with their count, in the order in which they were first seen."""
    counts: dict[Row, int] = {}
    for row in rows:
        alike = replace(row, count=0)
        counts[alike] = counts.get(alike, 0) + row.count
    return tuple(replace(row, count=count) for row, count in counts.items())


def write_xml(report: AggregateReport) -> bytes:
    """The report in XML. Raises ReportError."""
    from xml.etree.ElementTree import Element, indent, tostring

    _check(report)
    root = Element("feedback", xmlns=NAMESPACE)
    _add(root, "version", "1.0")
    metadata = _add(root, "report_metadata")
    _add_some(metadata, org_name=report.org_name, email=report.email)
    _add_some(metadata, extra_contact_info=report.extra_contact_info or None, report_id=report.report_id)
    _add_some(_add(metadata, "date_range"), begin=str(report.begin), end=str(report.end))
    _add_some(metadata, error=report.error or None, generator=report.generator or None)
    policy = report.published
    _add_some(_add(root, "policy_published"), domain=policy.domain, discovery_method=policy.discovery_method,
              p=policy.p, sp=policy.sp or None, np=policy.np or None, fo=policy.fo, adkim=policy.adkim,
              aspf=policy.aspf, testing="y" if policy.is_testing else "n")  # fmt: skip
    for row in report.rows:
        _add_row(_add(root, "record"), row)
    indent(root)
    return bytes(tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def _check(report: AggregateReport) -> None:
    if not report.rows:
        raise ReportError("a report has one row at least")
    if not _REPORT_ID.fullmatch(report.report_id):
        raise ReportError(f"{report.report_id!r} is no Report-ID: write it like 1721054318-a.test@mx.b.test")
    if not 0 <= report.begin <= report.end:
        raise ReportError("a report begins before it ends, in seconds since 1970")


def _add_row(record: Element, row: Row) -> None:
    outer = _add(record, "row")
    _add_some(outer, source_ip=row.source_ip, count=str(row.count))
    evaluated = _add(outer, "policy_evaluated")
    _add_some(evaluated, disposition=row.disposition, dkim=row.dkim, spf=row.spf)
    for reason in row.reasons:
        _add_some(_add(evaluated, "reason"), type=reason.kind, comment=reason.comment or None)
    identifiers = _add(record, "identifiers")
    _add_some(identifiers, header_from=row.header_from, envelope_from=row.envelope_from)
    _add_some(identifiers, envelope_to=row.envelope_to or None)
    results = _add(record, "auth_results")
    for seen in row.dkim_seen:
        _add_some(_add(results, "dkim"), domain=seen.domain, selector=seen.selector, result=seen.result,
                  human_result=seen.words or None)  # fmt: skip
    if row.spf_seen is not None:
        seen = row.spf_seen
        _add_some(_add(results, "spf"), domain=seen.domain, scope="mfrom", result=seen.result,
                  human_result=seen.words or None)  # fmt: skip


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    from xml.etree.ElementTree import SubElement

    child = SubElement(parent, name)
    child.text = None if text is None else _NOT_IN_XML.sub("\ufffd", text)
    return child


def _add_some(parent: Element, **texts: str | None) -> None:
    """One element for each name; None: leave it out."""
    for name, text in texts.items():
        if text is not None:
            _add(parent, name, text)


def compressed(xml: bytes) -> bytes:
    """The report as gzip, without a time in it: the same report gives the same octets."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(xml) + packer.flush()


def file_name(
    receiver: str, report: AggregateReport, unique_id: str = "", *, is_compressed: bool = True
) -> str:
    """`mx.b.test!a.test!1013662812!1013749130.xml.gz` (RFC 9990 §3.5.2). Raises ReportError."""
    if unique_id and not (unique_id.isascii() and unique_id.isalnum()):
        raise ReportError(f"{unique_id!r}: a unique id has letters and digits alone")
    parts = [
        *_names(receiver, report),
        str(report.begin),
        str(report.end),
        *([unique_id] if unique_id else []),
    ]
    return "!".join(parts) + (".xml.gz" if is_compressed else ".xml")


def subject(receiver: str, report: AggregateReport) -> str:
    """`Report Domain: a.test Submitter: mx.b.test Report-ID: <...>` (RFC 9990 §3.5.2). Raises ReportError."""
    _check(report)
    submitter, domain = _names(receiver, report)
    return f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report.report_id.strip('<>')}>"


def _names(receiver: str, report: AggregateReport) -> tuple[str, str]:
    submitter, domain = domain_name(receiver), domain_name(report.published.domain)
    if submitter is None or domain is None:
        raise ReportError(f"{receiver!r} and {report.published.domain!r} must be domain names")
    return submitter, domain

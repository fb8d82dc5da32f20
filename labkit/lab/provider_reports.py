"""The provider's aggregate reports: once a day it tells the owners of domains what came in their names.

WHAT       `await send_reports(provider)` makes one report for each domain with a DMARC record under which something
           came since the last time, and mails it to the addresses in rua= that may have it. Returns what it sent.
WHEN       whoever runs the provider calls it; large ones do it once a day.
DECIDES    a letter that was put off (4yz) is not in a report: it comes again. Where an ARC seal was believed against
           the policy, the row says so (local_policy).
STANDARDS  RFC 9990 §3.5 (the mail), §4 (who may get it); RFC 8617 §7.2.2 (the comment about ARC)
READ NEXT  provider_engine.py, ../auth/aggregate_report.py
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote

from labkit.auth.aggregate_reading import read_report
from labkit.auth.aggregate_report import (
    AggregateReport,
    Reason,
    ReportError,
    Row,
    compressed,
    file_name,
    gathered,
    published_by,
    row_for,
    subject,
    write_xml,
)
from labkit.auth.arc import ArcSet
from labkit.auth.dmarc_receivers import report_receivers
from labkit.auth.dmarc_tree import NoAnswer
from labkit.lab.provider_verdict import INBOX, REFUSED, SPAM, Verdict
from labkit.mail.asking import answer_later
from labkit.mail.message import Message
from labkit.mail.plainly import SaidPlainly

if TYPE_CHECKING:
    from labkit.lab.provider_engine import ProviderEngine

SENDER = "dmarc-reports"
LINE = 76  # characters of base64 (RFC 2045 §6.8)
LARGEST_MAIL = 30_000_000  # octets that are looked at for a report
_ADDRESS = re.compile(r"(?i)mailto:([^?!\s]+)")
_USABLE = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}")


class NoReport(SaidPlainly, ValueError):
    """The message carries no aggregate report; the text says what it is instead."""


@dataclass(frozen=True, slots=True)
class SentReport:
    """One report and the addresses that it was mailed to; `words` say of each address in rua= what became of it."""

    report: AggregateReport
    to: tuple[str, ...]
    words: tuple[str, ...]


async def send_reports(provider: ProviderEngine, since: datetime | None = None) -> tuple[SentReport, ...]:
    """Report what came since then (None: all that is remembered), a report for each domain. Raises RuntimeError."""
    now = provider.host.world.now()
    kept = [each for each in provider.verdicts if (since is None or each.at > since) and _is_counted(each)]
    by_domain: dict[str, list[Verdict]] = {}
    for verdict in kept:
        by_domain.setdefault(verdict.dmarc.policy_domain, []).append(verdict)
    sent = []
    for domain, verdicts in by_domain.items():
        begin = since or min(each.at for each in verdicts).replace(hour=0, minute=0, second=0, microsecond=0)
        sent.append(await _send(provider, domain, verdicts, begin, now))
    return tuple(sent)


def _is_counted(verdict: Verdict) -> bool:
    """DMARC had something to say, and the letter was taken or refused for good."""
    dmarc = verdict.dmarc
    has_ended = verdict.disposition != REFUSED or verdict.reply.is_permanent
    return (
        has_ended
        and dmarc.result in ("pass", "fail")
        and dmarc.record is not None
        and dmarc.policy is not None
    )


def row_of(verdict: Verdict) -> Row:
    """What the report says about one letter."""
    dmarc, spf = verdict.dmarc, verdict.spf
    done, reasons = _done(verdict)
    return row_for(
        verdict.client,
        dmarc,
        spf=(spf.result, spf.domain),
        dkim=[(each.result, each.domain, each.selector) for each in verdict.dkim],
        envelope_from=verdict.sender.rpartition("@")[2],
        disposition=done,
        reasons=reasons,
    )


def _done(verdict: Verdict) -> tuple[str | None, tuple[Reason, ...]]:
    """What was done, if that is not what the policy asks for, and why. Passing mail is none of DMARC's business."""
    dmarc = verdict.dmarc
    if dmarc.result == "pass":
        return None, ()
    asked = {INBOX: "none", SPAM: "quarantine", REFUSED: "reject"}[verdict.disposition]
    if (
        asked == dmarc.policy or dmarc.policy == "none"
    ):  # spam or refused for other reasons: not DMARC's doing
        return None, ()
    sets = verdict.arc.sets if verdict.findings.sealers and verdict.disposition == INBOX else ()
    if sets:
        chain = " ".join(
            f"as[{one.instance}].d={one.seal.domain} as[{one.instance}].s={one.seal.selector}"
            for one in reversed(sets)
        )
        comment = f"arc={verdict.arc.result} {chain}{_first_client(sets[0])}"
        return asked, (Reason("local_policy", comment),)
    return asked, (Reason("local_policy", verdict.why),)


def _first_client(first: ArcSet) -> str:
    """From which address the first host of the chain got the letter; empty where it does not say."""
    for found in first.results.of("arc") if first.results else ():
        try:
            return f" remote-ip[{first.instance}]={ip_address(found.properties.get('smtp.remote-ip') or '')}"
        except ValueError:
            continue
    return ""


async def _send(
    provider: ProviderEngine, domain: str, verdicts: list[Verdict], begin: datetime, end: datetime
) -> SentReport:
    own, first = provider.domains[0], verdicts[-1].dmarc
    report = AggregateReport(
        own,
        f"{SENDER}@{own}",
        f"{int(end.timestamp())}-{domain}@{own}",
        int(begin.timestamp()),
        int(end.timestamp()),
        published_by(first),
        gathered(map(row_of, verdicts)),
    )
    try:
        assert first.record is not None, "it was counted"
        receivers = await answer_later(provider.resolver.answer, report_receivers(domain, first.record))
    except NoAnswer:
        return SentReport(report, (), ("the DNS did not answer: nothing is sent",))
    to = [address for each in receivers for uri in each.sends_to if (address := _address(uri))]
    for address in dict.fromkeys(to):
        await provider.host.send(f"{SENDER}@{own}", address, _mail(own, address, report))
    return SentReport(report, tuple(dict.fromkeys(to)), tuple(each.words for each in receivers))


def _address(uri: str) -> str | None:
    """The address of a mailto: URI, without a size limit behind `!`; None for one that no envelope takes."""
    found = _ADDRESS.match(uri)
    address = unquote(found[1]) if found else ""
    return address if _USABLE.fullmatch(address) else None


def _mail(own: str, to: str, report: AggregateReport) -> str:
    """The report as a message whose only part is the file."""
    packed = base64.b64encode(compressed(write_xml(report))).decode()
    lines = [packed[at : at + LINE] for at in range(0, len(packed), LINE)]
    fields = {
        "From": f"{SENDER}@{own}",
        "To": to,
        "Subject": subject(own, report),
        "Message-ID": f"<{report.report_id.strip('<>').replace('@', '.')}.{len(packed)}@{own}>",
        "MIME-Version": "1.0",
        "Content-Type": "application/gzip",
        "Content-Disposition": f'attachment; filename="{file_name(own, report)}"',
        "Content-Transfer-Encoding": "base64",
        "Auto-Submitted": "auto-generated",
    }
    return "\n".join([*(f"{name}: {value}" for name, value in fields.items()), "", *lines, ""])


def report_in(message: Message) -> AggregateReport:
    """The report that a message carries, as its body or as an attachment. Raises NoReport."""
    from email import message_from_bytes
    from email.policy import compat32

    if len(message) > LARGEST_MAIL:
        raise NoReport(f"the message has {len(message)} octets: more than a report should have")
    parsed = message_from_bytes(bytes(message), policy=compat32)
    why = "it has no attachment with a report"
    for part in parsed.walk():
        if part.is_multipart() or part.get_content_type() == "text/plain":
            continue
        data = part.get_payload(decode=True)
        try:
            return read_report(data if isinstance(data, bytes) else b"")
        except ReportError as problem:
            why = str(problem)
    raise NoReport(f"no aggregate report in {message.first('Subject')!r}: {why}")

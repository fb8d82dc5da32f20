"""What the mailbox provider found out about one message, and the fields it writes of that on top.

WHAT       `examine` asks SPF, DKIM, ARC and DMARC about a message; `Findings` keeps their results with all their steps.
           `authentication_fields` are Authentication-Results and Received-SPF, shaped as a big provider's.
RULES      an Authentication-Results field that claims to be this provider's own was forged: it is taken out.
STANDARDS  RFC 8601 §2.7 (results), §5 (forged fields); RFC 7208 §9.1; RFC 8617 §10 (ARC); RFC 9989 §5.3
READ NEXT  provider_engine.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from labkit.auth.arc import ArcResult, validate
from labkit.auth.authentication_results import (
    AuthenticationResults,
    MethodResult,
    NotAuthenticationResults,
    lines,
    parse,
)
from labkit.auth.author import Author, author_of
from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_verify import verify
from labkit.auth.dmarc import DmarcResult, evaluate
from labkit.auth.spf import SpfResult, check_host
from labkit.auth.spf_received import received_spf
from labkit.mail.asking import Asking
from labkit.mail.message import HeaderField, Message
from labkit.mail.reply import Reply

INBOX, SPAM, REFUSED = "inbox", "spam", "refused"
SHOWN_OF_B = 8  # characters of a signature that tell it from others (RFC 6008 §3)
_B = re.compile(rb"[;:\s]b\s*=\s*([^;]*)")
_SPF_WORDS = {
    "pass": "{0}: domain of {1} designates {2} as permitted sender",
    "fail": "{0}: domain of {1} does not designate {2} as permitted sender",
    "softfail": "{0}: domain of transitioning {1} does not designate {2} as permitted sender",
    "neutral": "{0}: {2} is neither permitted nor denied by best guess record for domain of {1}",
    "none": "{0}: {1} does not designate permitted sender hosts",
    "temperror": "{0}: error in processing during lookup of {1}: DNS error",
    "permerror": "{0}: permanent error in processing during lookup of {1}",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What authentication says of a message."""

    spf: SpfResult
    dkim: tuple[DkimResult, ...]
    dmarc: DmarcResult
    arc: ArcResult
    author: Author

    @property
    def sealers(self) -> tuple[str, ...]:
        """Whose ARC seals are on the message, if the chain holds."""
        return tuple(each.seal.domain for each in self.arc.sets) if self.arc.result == "pass" else ()

    @property
    def was_aligned(self) -> bool:
        """Whether the first server of the chain says that DMARC passed when it got the message."""
        first = self.arc.sets[0].results if self.sealers else None
        return first is not None and any(each.result == "pass" for each in first.of("dmarc"))

    @property
    def is_authenticated(self) -> bool:
        """SPF or DKIM has passed, for whatever domain."""
        return self.spf.result == "pass" or any(each.result == "pass" for each in self.dkim)

    @property
    def is_undecided(self) -> bool:
        """The DNS did not answer, and it might have helped."""
        results = (self.spf.result, self.dmarc.result, *(each.result for each in self.dkim))
        return "temperror" in results and self.dmarc.result != "pass"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One message at the provider's door: who brought it, what was found, and what was done.

    `disposition` is inbox, spam or refused; `reply` what the client heard; `why` in plain words.
    """

    at: datetime
    queue_id: str
    message_id: str
    client: str
    helo: str
    client_name: str  # by PTR and back, "" if that fails
    is_encrypted: bool
    sender: str
    recipients: tuple[str, ...]
    findings: Findings
    disposition: str
    why: str
    reply: Reply

    @property
    def spf(self) -> SpfResult:
        return self.findings.spf

    @property
    def dkim(self) -> tuple[DkimResult, ...]:
        return self.findings.dkim

    @property
    def dmarc(self) -> DmarcResult:
        return self.findings.dmarc

    @property
    def arc(self) -> ArcResult:
        return self.findings.arc

    @property
    def line(self) -> str:
        """For the log."""
        dkim = ", ".join(f"{each.result} ({each.domain})" for each in self.dkim) or "none"
        author = self.findings.author.domain or "no author"
        found = f"spf={self.spf.result} ({self.spf.domain}) dkim={dkim} arc={self.arc.result}"
        done = f"dmarc={self.dmarc.result} ({author}): {self.disposition}, {self.why}"
        return f"from {self.client}: {found} {done}"


def examine(
    content: bytes, client: str, helo: str, sender: str, receiver: str, now: float
) -> Asking[Findings]:
    """Ask everything about a message. Never raises for what a message says."""
    spf = yield from check_host(client, helo, sender, receiver=receiver, now=now)
    dkim = yield from verify(content, now)
    author = author_of(Message.parse(content))
    dmarc = yield from evaluate(author.domain, spf, dkim)
    arc = yield from validate(content, now)
    return Findings(spf, dkim, dmarc, arc, author)


# --- the fields -------------------------------------------------------------------------------


def without_forged(message: Message, own: str) -> Message:
    """Take out what claims to be our own verdict (RFC 8601 §5). What cannot be read is looked at by its beginning."""
    fields = tuple(
        field
        for field in message.header_fields
        if field.name.lower() != "authentication-results" or not _claims_to_be(field.value, own)
    )
    return replace(message, header_fields=fields)


def _claims_to_be(value: str, own: str) -> bool:
    try:
        return parse(value).authserv_id.lower().rstrip(".") == own.lower()
    except NotAuthenticationResults:
        return own.lower() in value[:1000].lower()


def authentication_fields(findings: Findings, host: str, domain: str, disposition: str) -> list[HeaderField]:
    """Received-SPF and Authentication-Results, top to bottom."""
    results = AuthenticationResults(host, tuple(method_results(findings, domain, disposition)))
    return [
        HeaderField(received_spf(findings.spf, domain).encode("ascii", "replace")),
        HeaderField.make("Authentication-Results", *lines(results), fold="\r\n       "),
    ]


def method_results(found: Findings, domain: str, disposition: str) -> list[MethodResult]:
    """What Authentication-Results says, method by method."""
    results = [_dkim(each) for each in found.dkim]
    spf = found.spf
    who = spf.sender or f"postmaster@{spf.helo}"
    words = _SPF_WORDS[spf.result].format(domain, who, spf.client_ip)
    identity = ("smtp.mailfrom", spf.sender) if spf.identity == "mailfrom" else ("smtp.helo", spf.helo)
    results.append(_method("spf", spf.result, identity, comment=words))
    if found.dmarc.result != "none":
        record = found.dmarc.record
        p = (record.p if record is not None else None) or "none"
        sp = (record.sp if record is not None else None) or p
        done = {INBOX: "NONE", SPAM: "QUARANTINE", REFUSED: "REJECT"}[disposition]
        comment = f"p={p.upper()} sp={sp.upper()} dis={done}"
        author = ("header.from", found.author.domain)
        results.append(_method("dmarc", found.dmarc.result, author, comment=comment))
    if found.arc.result != "none":
        sealed = f"i={len(found.arc.sets)} sealed by {', '.join(found.sealers)}"
        comment = sealed if found.sealers else found.arc.reason
        results.append(_method("arc", found.arc.result, comment=comment))
    return results


def _dkim(result: DkimResult) -> MethodResult:
    found = _B.search(result.field)
    shown = re.sub(rb"\s", b"", found[1])[:SHOWN_OF_B].decode("ascii", "replace") if found else ""
    properties = [
        ("header.i", result.identity or (f"@{result.domain}" if result.domain else "")),
        ("header.s", result.selector),
        ("header.b", shown),
    ]
    comment = "" if result.result == "pass" else result.reason
    return _method("dkim", result.result, *properties, comment=comment)


def _method(method: str, result: str, *properties: tuple[str, str], comment: str = "") -> MethodResult:
    """With whatever a stranger has said made printable, and nothing that is empty."""
    kept = [(name, _printable(value)) for name, value in properties if value]
    return MethodResult.of(method, result, *kept, comment=_printable(comment))


def _printable(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)[:300]

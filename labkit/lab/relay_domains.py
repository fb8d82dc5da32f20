"""The relay's domain verification: which records a customer must publish, and what the DNS says of them now.

WHAT       `wanted_records` are the lines for the customer's zone; `verify` asks the DNS for each and compares.
           A `DomainReport` says of each record what was expected, what was found and what is wrong, in plain words.
DECIDES    ownership, DKIM and, by the customer's setting, SPF or the bounce subdomain are needed; DMARC is advised.
           The key may stand in a TXT record, or a CNAME may lead to the relay's own.
RULES      the DNS is asked anew each time, as a relay asks the customer's own nameserver: no cache hides a correction.
STANDARDS  RFC 7208 §3.2 (one record), §4.5, §5.2 (include); RFC 6376 §3.6.1, §3.6.2; RFC 9989 (DMARC)
READ NEXT  relay_engine.py
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from labkit.lab.outside_plans import Customer
from labkit.mail.asking import Question
from labkit.mail.lookups import DnsRecords
from labkit.mail.questions import DnsAnswer, DnsOutcome, TextOf

SELECTOR = "r1"
FOUND, MISSING, WRONG, UNKNOWN = "found", "missing", "wrong", "unknown"
LONGEST_SHOWN = 500
MOST_ZONES = 4  # above a domain, in which its records may stand by mistake
_KEY = re.compile(r"(?:^|;)\s*p\s*=\s*([^;]*)")
_BEYOND_ALL = re.compile(r"(?i)[+?~-]?all$")

Ask = Callable[[Question[Any]], Awaitable[Any]]
Judge = Callable[["WantedRecord", tuple[str, ...], str], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Names:
    """The relay's own names: where its SPF record, its customers' keys and its bounces are."""

    spf: str
    dkim: str
    bounces: str


@dataclass(frozen=True, slots=True)
class WantedRecord:
    """A line for the customer's zone. `purpose`: ownership, DKIM, SPF, bounces or DMARC."""

    purpose: str
    name: str
    type: str
    value: str
    is_needed: bool = True

    @property
    def line(self) -> str:
        """As it stands in a master file."""
        value = f"{self.value}." if self.type == "CNAME" else f'"{self.value}"'
        return f"{self.name}. IN {self.type} {value}"


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What the DNS says of one of them. `state`: found, missing, wrong or unknown (nobody answered)."""

    record: WantedRecord
    state: str
    found: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class DomainReport:
    """The page for one domain."""

    domain: str
    customer: str
    checks: tuple[RecordCheck, ...]

    @property
    def is_verified(self) -> bool:
        return all(check.state == FOUND for check in self.checks if check.record.is_needed)

    @property
    def missing(self) -> tuple[RecordCheck, ...]:
        """What is needed and not there."""
        return tuple(c for c in self.checks if c.record.is_needed and c.state != FOUND)

    def __str__(self) -> str:
        head = f"{self.domain}: {'verified' if self.is_verified else 'not verified yet'}"
        lines = [head]
        for check in self.checks:
            advised = "" if check.record.is_needed else " (advised)"
            lines.append(f"  {check.record.purpose:<10} {check.state}{advised}: {check.words}")
        return "\n".join(lines)


def wanted_records(customer: Customer, domain: str, names: Names, key_record: str) -> list[WantedRecord]:
    """What the customer is to publish. `key_record` is the text of the public key's record."""
    token = hashlib.sha256(f"{names.dkim} {customer.login} {domain}".encode()).hexdigest()[:24]
    include = f"include:{names.spf}"
    keeps_sender = customer.bounces_to == "sender"
    records = [
        WantedRecord("ownership", f"_relay-verify.{domain}", "TXT", f"relay-verify={token}"),
        WantedRecord("DKIM", f"{SELECTOR}._domainkey.{domain}", "CNAME", key_name(domain, names)),
        WantedRecord("SPF", domain, "TXT", f"v=spf1 {include} ~all", is_needed=keeps_sender),
    ]
    if customer.bounces_to == "subdomain":
        records.append(WantedRecord("bounces", f"bounce.{domain}", "CNAME", names.bounces))
    records.append(WantedRecord("DMARC", f"_dmarc.{domain}", "TXT", "v=DMARC1; p=none", is_needed=False))
    return records


def key_name(domain: str, names: Names) -> str:
    """Where the relay itself publishes a customer's key."""
    return f"{SELECTOR}.{domain}.{names.dkim}"


async def verify(customer: Customer, domain: str, names: Names, key_record: str, ask: Ask) -> DomainReport:
    """Ask the DNS for every record."""
    checks = []
    for record in wanted_records(customer, domain, names, key_record):
        checks.append(await _check(record, domain, key_record, ask))
    return DomainReport(domain, customer.login, tuple(checks))


async def _check(record: WantedRecord, domain: str, key_record: str, ask: Ask) -> RecordCheck:
    if record.purpose == "bounces":
        found: DnsAnswer[str] = await ask(DnsRecords("CNAME", record.name))
        judge: Judge = _judge_cname
    else:
        found = await ask(TextOf(record.name))
        judge = {"ownership": _judge_owner, "DKIM": _judge_key, "SPF": _judge_spf, "DMARC": _judge_dmarc}[
            record.purpose
        ]
    if found.outcome.is_temporary:
        words = f"the nameserver gave no answer for {record.name} ({found.outcome.value}): try again later"
        return RecordCheck(record, UNKNOWN, (), words)
    texts = tuple(text[:LONGEST_SHOWN] for text in found.records)
    state, words = judge(record, found.records, key_record)
    if state == MISSING:
        words = await _why_missing(record, domain, found.outcome, ask) or words
    return RecordCheck(record, state, texts, words)


async def _why_missing(record: WantedRecord, domain: str, outcome: DnsOutcome, ask: Ask) -> str:
    """Where it stands instead, if it does: the two usual slips. "" if it is nowhere."""
    alias: DnsAnswer[str] = await ask(DnsRecords("CNAME", record.name))
    if alias.records and record.type == "CNAME":
        target = alias.records[0].rstrip(".")
        if target.lower() != record.value.lower():
            return f"the CNAME at {record.name} leads to {target}, where nothing is; expected {record.value}"
        return f"the CNAME at {record.name} is right, and nothing is at {target} yet: try again later"
    labels = domain.split(".")
    for number in range(min(len(labels) - 1, MOST_ZONES)):
        zone = ".".join(labels[number:])
        doubled = f"{record.name}.{zone}"
        for question in (TextOf(doubled), DnsRecords("CNAME", doubled)):
            again: DnsAnswer[str] = await ask(question)
            if again.records:
                return (
                    f"it stands at {doubled}: the name in your zone has no dot at its end, so the zone's own name was "
                    f"added. Write {record.name}. with the dot, or leave {zone} out"
                )
    return ""


def _judge_owner(record: WantedRecord, texts: tuple[str, ...], key: str) -> tuple[str, str]:
    if record.value in (text.strip() for text in texts):
        return FOUND, f"the token is at {record.name}"
    if texts:
        return WRONG, f"the token at {record.name} is another one: {texts[0][:80]!r}; add {record.line}"
    return MISSING, f"no TXT record is at {record.name}; add {record.line}"


def _judge_key(record: WantedRecord, texts: tuple[str, ...], key: str) -> tuple[str, str]:
    if not texts:
        return MISSING, f"no key is at {record.name}; add {record.line}, or the key itself as TXT"
    if len(texts) > 1:
        return (
            WRONG,
            f"{len(texts)} TXT records are at {record.name}, and a verifier takes any of them: leave one",
        )
    here, ours = _KEY.search(texts[0]), _KEY.search(key)
    assert ours is not None
    if here is None:
        return WRONG, f"what is at {record.name} has no p=: it is no key record"
    found, expected = re.sub(r"\s", "", here[1]), re.sub(r"\s", "", ours[1])
    if found == expected:
        return FOUND, f"the key at {record.name} is this account's"
    if not found:
        return WRONG, f"p= at {record.name} is empty: that revokes the key"
    if expected.startswith(found) or len(found) < len(expected):
        return WRONG, (
            f"the key at {record.name} has {len(found)} characters, {len(expected)} are expected: it was cut off"
        )
    return WRONG, f"the key at {record.name} is another one: its signatures would not verify"


def _judge_spf(record: WantedRecord, texts: tuple[str, ...], key: str) -> tuple[str, str]:
    records = [text for text in texts if re.match(r"(?i)v=spf1(?: |$)", text)]
    include = record.value.split()[1]
    if not records:
        more = f" ({len(texts)} TXT records there are none of SPF)" if texts else ""
        return MISSING, f"no SPF record is at {record.name}{more}; add {record.line}"
    if len(records) > 1:
        words = f"{len(records)} SPF records are at {record.name}: a permanent error for all receivers (RFC 7208 §4.5)"
        return WRONG, f"{words}; make one of them, with {include} in it"
    terms = records[0].split()[1:]
    lowered = [term.lower().lstrip("+") for term in terms]
    if include not in lowered:
        signed = [term for term in lowered if term[:1] in "-~?" and term[1:] == include]
        if signed:
            return WRONG, f"{signed[0]} gives no pass: write {include} without a sign"
        return WRONG, f"{include} is missing in {records[0]!r}: put it before the last term"
    for term in lowered[: lowered.index(include)]:
        if _BEYOND_ALL.fullmatch(term):
            return WRONG, f"{include} stands behind {term}, where nobody looks: put it before"
    if any(term in ("all", "+all") for term in (each.lower() for each in terms)):
        return WRONG, "+all lets everybody in the world send as you: write ~all or -all"
    return FOUND, f"{include} is in the record of {record.name}"


def _judge_cname(record: WantedRecord, names: tuple[str, ...], _: str) -> tuple[str, str]:
    if not names:
        return MISSING, f"no CNAME is at {record.name}; add {record.line}"
    if names[0].rstrip(".").lower() == record.value.lower():
        return FOUND, f"{record.name} leads to {record.value}"
    return WRONG, f"{record.name} leads to {names[0].rstrip('.')}; expected {record.value}"


def _judge_dmarc(record: WantedRecord, texts: tuple[str, ...], key: str) -> tuple[str, str]:
    records = [text for text in texts if re.match(r"(?i)v\s*=\s*DMARC1\s*(?:;|$)", text)]
    if len(records) > 1:
        return WRONG, f"{len(records)} DMARC records are at {record.name}: receivers take none of them"
    if records:
        return FOUND, f"{records[0][:100]!r} is at {record.name}"
    return MISSING, f"no DMARC record is at {record.name}; a beginning is {record.line}"

"""Read a DMARC record with a critical eye: what receivers ignore, what is unwise, what looks like a slip.

WHAT       `lint_dmarc(texts)` takes the TXT records at `_dmarc.domain`; findings come back as data in plain words.
           `lint_dmarc_of(domain)` asks the DNS for them, looks for a record at the wrong name, and whether other
           domains agreed to get the reports (`domain._report._dmarc.other`).
GRADES     "error": DMARC does not work, or not as the record says; "warning": it works, hardly as meant.
STANDARDS  RFC 9989 §4.7, §4.8, §4.10, §7.4 (reject and mailing lists); RFC 9990 §4 (reports to other domains)
READ NEXT  aggregate_report.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from labkit.auth.dmarc_receivers import consent_name, report_receivers
from labkit.auth.dmarc_record import (
    HISTORIC,
    KNOWN,
    POLICIES,
    DmarcRecord,
    is_dmarc_record,
    read_record,
)
from labkit.auth.dmarc_tree import NoAnswer
from labkit.auth.domain_names import domain_name
from labkit.auth.record_findings import RecordFinding, errors_first
from labkit.auth.tags import parse_tags_leniently
from labkit.mail.asking import Asking, ask, remembering
from labkit.mail.questions import TextOf

VALUES = {
    "p": POLICIES,
    "sp": POLICIES,
    "np": POLICIES,
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "psd": ("y", "n", "u"),
    "t": ("y", "n"),
}
_MEANS_DMARC = re.compile(r"\bv?[=:]?dmarc", re.IGNORECASE)


def lint_dmarc(texts: str | Sequence[str]) -> tuple[RecordFinding, ...]:
    """What there is to say of the TXT records at one _dmarc name, errors first. An empty tuple: nothing."""
    records = [texts] if isinstance(texts, str) else list(texts)
    meant = [text for text in records if is_dmarc_record(text)]
    findings: list[RecordFinding] = []
    if len(meant) > 1:
        words = f"There are {len(meant)} DMARC records at one name: receivers drop them all."
        findings.append(_error("two-records", words, "", "RFC 9989 §4.10", "Keep one."))
    for text in meant:
        record = read_record(text)
        assert record is not None, "it is one"
        findings += _of_record(record)
    if not meant:
        broken = next(filter(_means_dmarc, records), None)
        no_record = _error("no-record", "There is no DMARC record here.")
        findings.append(no_record if broken is None else _no_record(broken))
    return errors_first(findings)


def lint_dmarc_of(domain: str) -> Asking[tuple[RecordFinding, ...]]:
    """The same with the DNS: the records of a domain, and those that other domains must publish for its reports."""
    name = domain_name(domain)
    if name is None:
        return (_error("no-domain", f"{domain[:60]!r} is no domain name."),)
    answer = yield from ask(TextOf(f"_dmarc.{name}"))
    if answer.outcome.is_temporary:
        return (_error("no-answer", f"The DNS did not answer for _dmarc.{name}: nobody can tell."),)
    findings = list(lint_dmarc(answer.records))
    records = [text for text in answer.records if is_dmarc_record(text)]
    if not records:
        beside = yield from ask(TextOf(name))
        if any(map(is_dmarc_record, beside.records)):
            words = f"The DMARC record stands at {name}; receivers ask for it at _dmarc.{name}."
            findings.append(_error("wrong-name", words, name, "RFC 9989 §4.5", f"Move it to _dmarc.{name}."))
    if len(records) == 1 and (record := read_record(records[0])) is not None:
        findings += yield from remembering(_receivers(name, record), {})
    return errors_first(findings)


def _means_dmarc(text: str) -> bool:
    """Whether somebody meant a DMARC record, though it is none."""
    return _MEANS_DMARC.search(text[:200].replace(" ", "")) is not None or "dmarc1" in text.lower()


def _no_record(text: str) -> RecordFinding:
    """Somebody meant a DMARC record, and it is none."""
    if text.lstrip().startswith(('"', "'")):
        words = "There are quotes inside the record: the master file's quotes were written twice."
        return _error("quotes", words, text[:40], "RFC 9989 §4.7", "Write v=DMARC1 without quotes around it.")
    if re.match(r"\s*v\s*=\s*dmarc1\s*(;|$)", text, re.IGNORECASE):
        return _error("case", "DMARC1 is written in capitals.", text[:12], "RFC 9989 §4.7", "Write v=DMARC1.")
    if re.match(r"\s*v\s*=\s*DMARC1\s", text):
        words = "Behind v=DMARC1 a semicolon is missing: the version is not DMARC1 then."
        return _error("semicolon", words, text[:20], "RFC 9989 §4.8", "Part the tags by semicolons.")
    if "v=dmarc1" in text.lower().replace(" ", ""):
        return _error(
            "v-first", "v=DMARC1 must be the first tag.", text[:40], "RFC 9989 §4.7", "Put it in front."
        )
    return _error("version", "The record does not begin with v=DMARC1.", text[:40], "RFC 9989 §4.7")


def _of_record(record: DmarcRecord) -> Iterator[RecordFinding]:
    yield from _of_text(record)
    yield from _of_tags(record)
    yield from _of_policies(record)
    if record.tag("rua") is None:
        words = "No rua: nobody will tell you who sends mail in your name."
        yield _warning("no-rua", words, "", "RFC 9989 §4.7", "Add rua=mailto:an-address@your-domain.")
    if record.tag("fo") is not None and not record.ruf:
        yield _warning("fo-without-ruf", "fo= counts only together with ruf=.", "fo", "RFC 9989 §4.7")
    if record.is_testing and record.p != "none":
        yield _warning("testing", "t=y: receivers apply a policy one step lower.", "t=y", "RFC 9989 §4.7")


def _of_text(record: DmarcRecord) -> Iterator[RecordFinding]:
    if '"' in record.text:
        words = "There are quotes inside the record: the master file's quotes were written twice."
        yield _error("quotes", words, '"', "RFC 9989 §4.8", "Leave them out.")
    tags = parse_tags_leniently(record.text)
    names = {name.lower() for name, _ in tags}
    for piece in tags.ignored:
        name = piece.partition("=")[0].strip().lower()
        if "=" in piece and name in names:
            yield _error(
                "twice", f"{name[:20]} stands twice; which one counts is anybody's guess.", piece[:40]
            )
        elif piece:
            yield _error("no-tag", f"{piece[:40]!r} is no tag=value pair: receivers ignore it.", piece[:40])
    for name, value in tags:
        spaced = re.search(r"\s([a-z]{1,5})\s*=", value)
        if spaced and spaced[1] in KNOWN:
            words = f"Between {name[:20]} and {spaced[1]} a semicolon is missing."
            yield _error("semicolon", words, value[:40], "RFC 9989 §4.8", "Part the tags by semicolons.")


def _of_tags(record: DmarcRecord) -> Iterator[RecordFinding]:
    for name, value in record.tags:
        if name in HISTORIC:
            words = f"{name} is history: receivers of RFC 9989 ignore it."
            cure = "For a try-out write t=y." if name == "pct" else ""
            yield _warning("historic", words, f"{name}={value[:20]}", "RFC 9989 appendix A.6", cure)
        elif name not in KNOWN:
            near = get_close_matches(name[:10], KNOWN, 1)
            cure = f"Did you mean {near[0]}?" if near else ""
            yield _warning("unknown-tag", f"No receiver knows {name[:20]}.", name[:20], "RFC 9989 §4.7", cure)
        elif value.lower() not in VALUES.get(name, (value.lower(),)):
            near = get_close_matches(value.lower()[:20], VALUES[name], 1, 0.5)
            cure = f"Did you mean {name}={near[0]}?" if near else f"Write one of {', '.join(VALUES[name])}."
            yield _error(
                "bad-value", f"{name}={value[:20]} means nothing.", value[:20], "RFC 9989 §4.7", cure
            )
        elif name in ("rua", "ruf"):
            yield from _of_addresses(name, value, record)


def _of_addresses(name: str, value: str, record: DmarcRecord) -> Iterator[RecordFinding]:
    valid = set(record.rua if name == "rua" else record.ruf)
    for piece in filter(None, (part.strip() for part in value.split(","))):
        bare = re.sub(r"![0-9]+[kmgtKMGT]?\Z", "", piece)
        if bare not in valid:
            words = f"{name}: {piece[:60]!r} is no address that a report can go to."
            cure = f"Write mailto:{piece[:60]}" if re.fullmatch(r"[^@\s:]+@[^@\s:]+", piece) else ""
            yield _error("no-mailto", words, piece[:60], "RFC 9989 §4.6", cure)
        elif bare != piece:
            yield _warning("size", "A limit of size (!10m) is ignored now.", piece[:60], "RFC 9989 §4.8")


def _of_policies(record: DmarcRecord) -> Iterator[RecordFinding]:
    if record.tag("p") is None:
        effect = "it counts as p=none" if record.rua else "DMARC does not apply at all"
        yield _error(
            "no-p", f"There is no p: {effect}.", "", "RFC 9989 §4.10.1", "Write p=none to begin with."
        )
    elif not record.has_valid_policies:
        effect = "the record counts as p=none" if record.rua else "DMARC does not apply at all"
        yield _error("no-policy", f"A policy means nothing, so {effect}.", "", "RFC 9989 §4.10.1")
    elif record.p == "none" and not record.rua:
        words = "p=none without rua: nothing is asked for, and nothing is told."
        yield _warning("idle", words, "p=none", "RFC 9989 §5.1.3")
    below = [tag for tag in ("sp", "np") if (value := getattr(record, tag)) and _is_weaker(value, record.p)]
    for tag in below:
        words = f"{tag} is weaker than p: names below the domain are free to be used by others."
        yield _warning("weak-below", words, f"{tag}={getattr(record, tag)}", "RFC 9989 §4.7")
    if record.p == "reject":
        words = "p=reject harms users who write to mailing lists; be sure that everything is signed by DKIM."
        yield _warning("reject", words, "p=reject", "RFC 9989 §7.4")


def _is_weaker(value: str, than: str) -> bool:
    return than in POLICIES and POLICIES.index(value) < POLICIES.index(than)


def _receivers(domain: str, record: DmarcRecord) -> Asking[list[RecordFinding]]:
    """Do the other domains want the reports that they are to get? (RFC 9990 §4)"""
    findings: list[RecordFinding] = []
    try:
        found = yield from report_receivers(domain, record)
        found += yield from report_receivers(domain, record, "ruf")
    except NoAnswer as trouble:
        return [_warning("no-answer", f"{trouble}: who gets the reports cannot be checked.")]
    for host in dict.fromkeys(receiver.host for receiver in found if not receiver.sends_to):
        words = f"Reports are to go to {host}, another organization, which has not agreed to that."
        cure = f'{host} must publish at {consent_name(domain, host)}: "v=DMARC1;"'
        findings.append(_error("not-authorised", words, host, "RFC 9990 §4", cure))
    return findings


def _error(code: str, words: str, term: str = "", source: str = "", cure: str = "") -> RecordFinding:
    return RecordFinding(code, "error", words, term, source, cure)


def _warning(code: str, words: str, term: str = "", source: str = "", cure: str = "") -> RecordFinding:
    return RecordFinding(code, "warning", words, term, source, cure)

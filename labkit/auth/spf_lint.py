"""Read an SPF record with a critical eye, without the DNS: what is broken, what is unwise, what looks like a slip.

WHAT       `lint_spf` takes what a zone says, one or several TXT records; findings come back as data in plain words.
GRADES     "error": receivers say permerror, find no SPF, or let everybody in; "warning": it works, hardly as meant.
STANDARDS  RFC 7208 §3.2 (one record), §4.6.4 (limits), §5.1 (all), §5.5 (ptr: do not use), §6.1 (redirect)
READ NEXT  spf_slips.py
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from labkit.auth.record_findings import RecordFinding, errors_first
from labkit.auth.spf_evaluation import MOST_TERMS
from labkit.auth.spf_macros import BadTerm, shown
from labkit.auth.spf_record import ASKING, LONGEST_RECORD, Directive, Modifier, is_spf, parse_term
from labkit.auth.spf_slips import slip_of

LONGEST_FOR_UDP = 450  # with the rest of the answer about 512 octets, RFC 7208 §3.4

_ALMOST = re.compile(r"\A[\s\"']*(?:v\s*[=:.]?\s*)?spf[0-9.]*,?", re.IGNORECASE)


def lint_spf(texts: str | Sequence[str]) -> tuple[RecordFinding, ...]:
    """What there is to say of the TXT records of one name, the errors first. An empty tuple: nothing."""
    records = [texts] if isinstance(texts, str) else list(texts)
    meant = [text for text in records if is_spf(text)] or [text for text in records if _means_spf(text)]
    findings: list[RecordFinding] = []
    if not meant:
        findings.append(
            _error("no-record", "There is no SPF record here.", "", "§4.5", 'Publish "v=spf1 ... -all".')
        )
    if len(meant) > 1 and all(map(is_spf, meant)):
        words = f"There are {len(meant)} SPF records at one name: receivers say permerror, and none of them counts."
        findings.append(_error("two-records", words, "", "§3.2", "Join their terms into one record."))
    for text in meant:
        findings.extend(_of_record(text))
    return errors_first(findings)


def _means_spf(text: str) -> bool:
    """Whether somebody meant an SPF record, though it is none."""
    return _ALMOST.match(text[:40]) is not None and not text.lower().startswith("spf2.0/")  # RFC 4406


def _of_record(text: str) -> Iterable[RecordFinding]:
    yield from _of_text(text)
    body = _ALMOST.sub("", text[:LONGEST_RECORD], count=1)
    terms = deque(body.replace('"', " ").split())
    read: list[Directive | Modifier] = []
    while terms:
        term = terms.popleft()
        try:
            read.append(parse_term(term))
            continue
        except BadTerm as bad:
            words, source = _sentence(str(bad)), bad.source
        slip = slip_of(term, terms[0] if terms else "")
        if slip is None:
            yield _error("bad-term", f"{words}: receivers say permerror.", term, source)
            continue
        yield _error(
            slip.code, f"{slip.words} Receivers say permerror.", term, source, f"Write '{slip.right}'."
        )
        if slip.takes_two:
            terms[0] = slip.right  # what was meant goes on to be looked at
            continue
        with suppress(BadTerm):
            read.append(parse_term(slip.right))
    yield from _of_terms(read)


def _of_text(text: str) -> Iterable[RecordFinding]:
    """What can be seen before the terms are read."""
    if not is_spf(text):
        words = "The record does not start with 'v=spf1' and a space: receivers do not take it for SPF."
        yield _error("version", words, text[:20], "§4.5", "Start with v=spf1.")
    if '"' in text:
        words = "A quotation mark is part of the record's text: receivers say permerror."
        yield _error(
            "quotes", words, '"', "§3.3", "Quotation marks belong to the zone file, around the text."
        )
    if bad := re.search(r"[^\x20-\x7e]", text):
        words = (
            f"The record has a character that is not printable ASCII ({bad[0]!a}): receivers say permerror."
        )
        yield _error("characters", words, bad[0], "§3.1")
    if len(text) > LONGEST_FOR_UDP:
        words = f"The record has {len(text)} characters: an answer of that size may need TCP."
        yield _warning("long", words, "", "§3.4", "Keep it below 450.")


def _of_terms(terms: Sequence[Directive | Modifier]) -> Iterable[RecordFinding]:
    """What the terms mean together."""
    directives = [term for term in terms if isinstance(term, Directive)]
    names = [term.name for term in terms if isinstance(term, Modifier)]
    for name in ("redirect", "exp"):
        if names.count(name) > 1:
            yield _error("twice", f"{name}= stands twice: receivers say permerror.", name, "§6")
    end = next((place for place, term in enumerate(directives) if term.mechanism == "all"), None)
    yield from _of_the_end(directives, end, "redirect" in names)
    for term in directives[: None if end is None else end]:
        yield from _of_directive(term)
    for name in names:
        if name in (*ASKING, "all", "ip4", "ip6"):
            words = f"'{name}=' is a modifier that nobody knows, so it is ignored."
            yield _warning("equals", words, f"{name}=", "§6", f"Write '{name}:'.")
    reached = directives if end is None else directives[:end]
    asking = sum(term.mechanism in ASKING for term in reached) + ("redirect" in names and end is None)
    if asking > MOST_TERMS:
        words = f"{asking} terms ask the DNS, and {MOST_TERMS} are allowed: receivers say permerror."
        yield _error(
            "too-many-lookups", words, "", "§4.6.4", "Name addresses by ip4: and ip6:, which ask nothing."
        )


def _of_the_end(
    directives: Sequence[Directive], end: int | None, is_redirected: bool
) -> Iterable[RecordFinding]:
    if end is None:
        if not is_redirected:
            words = "The record does not end in 'all': hosts that no term names get neutral, as if there were no SPF."
            yield _warning("no-all", words, "", "§4.7", "End it with -all or ~all.")
        return
    last = directives[end]
    if last.result == "pass":
        words = f"'{last.text}' permits every host of the world to use this domain."
        yield _error("all-pass", words, last.text, "§5.1", "Write -all or ~all.")
    elif last.result == "neutral":
        words = "'?all' says nothing about hosts that no term names: it protects nobody."
        yield _warning("all-neutral", words, last.text, "§8.2", "Write -all or ~all.")
    for term in directives[end + 1 :]:
        words = f"{shown(term.text)} stands behind '{last.text}' and is never looked at."
        yield _warning("after-all", words, term.text, "§5.1", f"Move it before '{last.text}'.")
    if is_redirected:
        words = f"redirect= is ignored, because there is '{last.text}'."
        yield _warning("redirect-and-all", words, last.text, "§6.1", "Keep one of them.")


def _of_directive(term: Directive) -> Iterable[RecordFinding]:
    if term.mechanism == "ptr":
        words = "'ptr' is slow and unreliable, and should not be published."
        yield _warning("ptr", words, term.text, "§5.5", "Use a, mx, ip4 or ip6.")
    if term.result == "pass" and term.mechanism != "all":
        wide4 = term.prefix4 if term.network is None else term.network.prefixlen
        if (term.network is None or term.network.version == 4) and wide4 < 8:
            words = f"{shown(term.text)} permits a large part of the internet."
            yield _warning("wide", words, term.text, "§5.6", "Name the hosts that really send.")


def _error(code: str, words: str, term: str, source: str, cure: str = "") -> RecordFinding:
    return RecordFinding(code, "error", words, term, _rfc(source), cure)


def _warning(code: str, words: str, term: str, source: str, cure: str = "") -> RecordFinding:
    return RecordFinding(code, "warning", words, term, _rfc(source), cure)


def _rfc(source: str) -> str:
    return source if source.startswith("RFC") else f"RFC 7208 {source}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

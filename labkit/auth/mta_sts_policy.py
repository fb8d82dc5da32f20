"""Read what a domain publishes for MTA-STS: the TXT record `v=STSv1; id=…` and the policy file behind it.

WHAT       `find_record(texts)` gives the one record of the TXT records at _mta-sts.DOMAIN; `read_policy(octets)` gives
           the policy of https://mta-sts.DOMAIN/.well-known/mta-sts.txt; `policy.pattern_for(exchange)` says which of
           its lines names a mail exchanger. `write_policy` is the way back.
RULES      record: begins with v=STSv1; in these letters; records that do not are dropped; exactly one may be left; id
           is 1 to 32 letters and digits. Policy: version, mode, max_age, and mx at least once unless the mode is none;
           a field that stands twice counts once, the first; unknown fields are ignored.
           A pattern is a name, or `*.` and a name: the star stands for exactly one label, the first.
STANDARDS  RFC 8461 §3.1 (record), §3.2 (policy), §4.1 (matching, as RFC 6125 §6.4.3; now RFC 9525 §6.3)
LENIENT    blank lines and blanks around a line are passed over; max_age of more than a year counts as a year.
SAFE       at most 64 kB and 200 patterns; linear
READ NEXT  mta_sts.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from labkit.auth.domain_names import domain_name

LARGEST_POLICY = 64 * 1024  # octets: RFC 8461 §3.3 suggests this limit
LONGEST_AGE = 31_557_600  # seconds, a year: RFC 8461 §3.2
MOST_PATTERNS = 200
MODES = ("enforce", "testing", "none")
KNOWN = ("version", "mode", "mx", "max_age")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


class NotAPolicy(ValueError):
    """A record or a policy file that senders must take for none. The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class StsRecord:
    """The TXT record. Another `id` than last time says: fetch the policy again."""

    text: str
    id: str


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """What the policy file says. `mx` are the patterns in small letters; `problems` what was passed over."""

    mode: str
    mx: tuple[str, ...]
    max_age: int  # seconds for which senders remember it
    problems: tuple[str, ...] = field(default=(), compare=False)

    def pattern_for(self, exchange: str) -> str | None:
        """The first pattern that names this mail exchanger; None: the policy does not name it."""
        name = domain_name(exchange)
        return next((each for each in self.mx if name is not None and is_named_by(each, name)), None)


def is_named_by(pattern: str, name: str) -> bool:
    """Does the pattern name this host? Both in small letters, the name without a dot at the end (RFC 8461 §4.1)."""
    if not pattern.startswith("*."):
        return pattern == name
    label, dot, rest = name.partition(".")
    return bool(label and dot) and rest == pattern[2:]  # the star is one whole label, no more


def find_record(texts: Iterable[str]) -> StsRecord | None:
    """The record among the TXT records at _mta-sts; None: there is none. Raises NotAPolicy for what is no use."""
    found = [text for text in texts if is_sts_record(text)]
    if not found:
        return None
    if len(found) > 1:  # RFC 8461 §3.1
        raise NotAPolicy(f"there are {len(found)} records that begin with v=STSv1: senders drop them all")
    return read_record(found[0])


def is_sts_record(text: str) -> bool:
    """Whether a TXT record claims to be one of MTA-STS."""
    return re.match(r"v=STSv1[ \t]*;", text) is not None


def read_record(text: str) -> StsRecord:
    """The record in the text. Raises NotAPolicy."""
    parts = [part.strip(" \t") for part in text.split(";")]
    if parts[0] != "v=STSv1" or text[:1] in " \t":
        raise NotAPolicy("it does not begin with v=STSv1")
    if parts[-1] == "":  # a semicolon at the end is allowed
        parts.pop()
    identity = ""
    for part in parts[1:]:
        found = _FIELD.fullmatch(part)
        if found is None:
            raise NotAPolicy(f"{part[:40]!r} is no name=value pair")
        if found[1] == "id" and not identity:  # RFC 8461 §3.2: of two, the first
            identity = found[2]
            if not _ID.fullmatch(identity):
                raise NotAPolicy(f"id={identity[:40]} must be 1 to 32 letters and digits")
    if not identity:
        raise NotAPolicy("there is no id")
    return StsRecord(text, identity)


def read_policy(octets: bytes | str) -> StsPolicy:
    """The policy in a file as it was fetched; lines end in CRLF or LF. Raises NotAPolicy."""
    text = octets if isinstance(octets, str) else octets.decode("utf-8", "replace")
    if len(octets) > LARGEST_POLICY:
        raise NotAPolicy(f"it is longer than {LARGEST_POLICY // 1024} kB")
    problems: list[str] = []
    once: dict[str, str] = {}
    patterns: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r").strip(" \t")
        if not line:
            continue
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not value or not _NAME.fullmatch(name):
            raise NotAPolicy(f"line {number}, {line[:40]!r}, is no `name: value`")
        if name == "mx":
            patterns[_pattern(value, number)] = None
            if len(patterns) > MOST_PATTERNS:
                raise NotAPolicy(f"there are more than {MOST_PATTERNS} mx lines")
        elif name in once:  # RFC 8461 §3.2: all but the first are ignored
            problems.append(f"line {number}: {name[:32]} stands twice, the first counts")
        else:
            once[name] = value
    problems += [f"unknown field {name}" for name in once if name not in KNOWN][:MOST_PATTERNS]
    return _policy(once, tuple(patterns), problems)


def write_policy(mode: str, mx: Sequence[str], max_age: int = 604_800) -> str:
    """The text of a policy file. Raises NotAPolicy for what would be none."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in mx), f"max_age: {max_age}"]
    for line in lines:
        if not line.isprintable():
            raise NotAPolicy(f"{line[:60]!r} is not one line of text")
    text = "".join(f"{line}\r\n" for line in lines)
    read_policy(text)
    return text


def _pattern(value: str, number: int) -> str:
    pattern = value.lower()
    if len(pattern) > 255 or not _PATTERN.fullmatch(pattern):
        raise NotAPolicy(f"line {number}: mx: {value[:60]!r} is no host name, nor `*.` and one")
    return pattern


def _policy(once: dict[str, str], patterns: tuple[str, ...], problems: list[str]) -> StsPolicy:
    for name in ("version", "mode", "max_age"):
        if name not in once:  # RFC 8461 §3.2: then the policy is invalid
            raise NotAPolicy(f"there is no {name}")
    if once["version"] != "STSv1":
        raise NotAPolicy(f"version: {once['version'][:20]!r} is not STSv1")
    mode, age = once["mode"], once["max_age"]
    if mode not in MODES:
        raise NotAPolicy(f"mode: {mode[:20]!r} is none of {', '.join(MODES)}")
    if not re.fullmatch(r"[0-9]{1,10}", age):
        raise NotAPolicy(f"max_age: {age[:20]!r} is no number of seconds")
    if mode != "none" and not patterns:
        raise NotAPolicy("there is no mx: no host would be allowed to take the mail")
    if int(age) > LONGEST_AGE:
        problems.append(f"max_age of {age} seconds counts as a year")
    return StsPolicy(mode, patterns, min(int(age), LONGEST_AGE), tuple(problems))

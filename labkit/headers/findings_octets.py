"""Findings about the octets of a header: what no header should hold, and what is too long.

STANDARDS  RFC 5322 §2.1.1 (998), §2.2 (ASCII), §4 (NUL, bare CR and LF are obsolete); RFC 5321 §2.3.8; RFC 6532 §3
READ NEXT  findings.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.headers.findings import Evidence, Finding, Weight, and_more, finding, quoted
from labkit.headers.values import Field
from labkit.mail.encoded_words import decoded

LONGEST_LINE = 998  # RFC 5322 §2.1.1
LARGE_HEADER = 65_536  # octets; many servers refuse more
MANY_FIELDS = 1000
_READ_BY_PEOPLE = frozenset("from to cc subject sender reply-to".split())


def nul(seen: Evidence) -> Iterator[Finding]:
    bad = [f for f in seen.fields if b"\0" in f.raw]
    if bad:
        yield finding(
            "nul", Weight.ALARM,
            f"{quoted(bad[0].name)} in line {bad[0].first_line} holds a NUL{and_more(len(bad))}: "
            "some programs stop reading there, others go on.",
            [f.index for f in bad], "RFC 5322 §4.1", "Do not believe what only one program shows.",
        )  # fmt: skip


def bare_line_ends(seen: Evidence) -> Iterator[Finding]:
    """A bare CR always; a bare LF only where other lines end in CR LF: a stored file has LF alone."""
    bare_cr = [f for f in seen.fields if b"\r" in f.raw and f.raw.count(b"\r") > f.raw.count(b"\r\n")]
    has_crlf = any(f.raw.endswith(b"\r\n") for f in seen.fields)
    bare_lf = [f for f in seen.fields if has_crlf and f.raw.count(b"\n") > f.raw.count(b"\r\n")]
    for code, name, bad in (("bare-cr", "CR", bare_cr), ("bare-lf", "LF", bare_lf)):
        if bad:
            yield finding(
                code, Weight.ALARM if code == "bare-cr" else Weight.WARNING,
                f"{quoted(bad[0].name)} in line {bad[0].first_line} holds a bare {name}{and_more(len(bad))}: "
                "some programs take it for a line end and see other fields than these.",
                [f.index for f in bad], "RFC 5321 §2.3.8",
                "Look at the octets: smuggling and hidden fields work that way.",
            )  # fmt: skip


def eight_bit(seen: Evidence) -> Iterator[Finding]:
    high = [f for f in seen.fields if not f.raw.isascii()]
    if not high:
        return
    broken = [f for f in high if not _is_utf8(f)]
    if broken:
        yield finding(
            "8-bit", Weight.WARNING,
            f"{quoted(broken[0].name)} in line {broken[0].first_line} holds octets above 127 that are no UTF-8"
            f"{and_more(len(broken))}: what a reader sees depends on a guess.",
            [f.index for f in broken], "RFC 5322 §2.2", "The writer should use encoded words (RFC 2047).",
        )  # fmt: skip
    else:
        yield finding(
            "utf-8", Weight.NOTE,
            f"{quoted(high[0].name)} in line {high[0].first_line} holds plain UTF-8{and_more(len(high))}: "
            "that is allowed only in mail sent with SMTPUTF8.",
            [f.index for f in high], "RFC 6532 §3", "Nothing; older servers may refuse such mail.",
        )  # fmt: skip


def _is_utf8(field: Field) -> bool:
    try:
        field.raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def long_lines(seen: Evidence) -> Iterator[Finding]:
    bad = [
        f for f in seen.fields
        if len(f.raw) > LONGEST_LINE and max(map(len, f.raw.splitlines())) > LONGEST_LINE
    ]  # fmt: skip
    if bad:
        yield finding(
            "long-line", Weight.WARNING,
            f"{quoted(bad[0].name)} in line {bad[0].first_line} has a line of more than {LONGEST_LINE} octets"
            f"{and_more(len(bad))}.",
            [f.index for f in bad], "RFC 5322 §2.1.1",
            "The writer has to fold it; a server on the way may refuse or cut it.",
        )  # fmt: skip


def size(seen: Evidence) -> Iterator[Finding]:
    octets = sum(len(f.raw) for f in seen.fields)
    if octets > LARGE_HEADER:
        yield finding(
            "large-header", Weight.WARNING, f"The header has {octets:,} octets; many servers refuse more than 65,536.",
            [], "RFC 5321 §4.5.3.1.9", "Find out which field grew: a loop adds a Received field at each turn.",
        )  # fmt: skip
    if len(seen.fields) > MANY_FIELDS:
        yield finding(
            "many-fields", Weight.WARNING, f"The header has {len(seen.fields):,} fields.",
            [], "RFC 5322 §3.6", "Look which name repeats: a loop, or an attack on programs that read headers.",
        )  # fmt: skip


def end_of_header(seen: Evidence) -> Iterator[Finding]:
    if seen.stray:
        line = quoted(seen.stray.decode("utf-8", "backslashreplace").strip("\r\n"))
        yield finding(
            "broken-end", Weight.WARNING,
            f"No empty line ends the header: the line “{line}” is no field, and here the body begins. "
            "Other programs may read on and see more fields.",
            [], "RFC 5322 §2.1", "Compare with what your mail program shows.",
        )  # fmt: skip


def names(seen: Evidence) -> Iterator[Finding]:
    bad = [f for f in seen.fields if f.raw.partition(b":")[0][-1:] in (b" ", b"\t") and f.name]
    if bad:
        yield finding(
            "blank-before-colon", Weight.NOTE,
            f"There is a blank before the colon of {quoted(bad[0].name)} in line {bad[0].first_line}"
            f"{and_more(len(bad))}: an old form that some programs do not take for a field.",
            [f.index for f in bad], "RFC 5322 §4.5", "Nobody should write that any more.",
        )  # fmt: skip


def hidden_letters(seen: Evidence) -> Iterator[Finding]:
    bad = [
        f for f in seen.fields
        if f.name.lower() in _READ_BY_PEOPLE and not decoded(f.value.replace("\t", " ")).isprintable()
    ]  # fmt: skip
    if bad:
        yield finding(
            "hidden-letters", Weight.WARNING,
            f"{quoted(bad[0].name)} in line {bad[0].first_line} holds characters that hide or turn letters"
            f"{and_more(len(bad))}: {quoted(bad[0].shown)}",
            [f.index for f in bad], "RFC 5322 §2.2", "Read the escaped form, not what a mail program shows.",
        )  # fmt: skip


OCTET_CHECKS = (nul, bare_line_ends, eight_bit, long_lines, size, end_of_header, names, hidden_letters)

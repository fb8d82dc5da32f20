"""Why a signature broke, when only the received copy is at hand: try what usually happens to mail, and hash again.

WHAT       `why_broken(result)` takes a failed result of verify. For each hash that does not fit it undoes one thing
           that lists and relays do to messages; what makes the hash fit again is what happened.
TRIES      body: lines added at the end (a footer: each shorter body is tried) or at the top (a banner), blanks at line
           ends, dots or ">From" at the start of lines, a body made quoted-printable.
           header: a prefix in Subject:, other folding, a second field added, an X-Original-From: in place of From:.
NOTE       a hash that fits is a proof, not a guess. That none fits proves nothing.
STANDARDS  RFC 6376 §3.7; RFC 4155 appendix A (>From), RFC 5321 §4.5.2 (dots), RFC 2045 §6.7
SAFE       bounded: the last 5000 lines of a body, 20 lines at its top, 400 headers; bodies over 4 MB are not tried
READ NEXT  what_changed.py: both copies are at hand
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from labkit.auth.canonical import CRLF, RELAXED, Cut, canonical_body, cut
from labkit.auth.dkim_key import KeyRecordError, PublicKey, public_key
from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_signature import Signature, header_input_of
from labkit.auth.tags import TagSyntaxError, parse_tags, without_blanks

MAX_BODY = 4_000_000  # octets
MAX_LINES = 5_000  # at the end of the body
MAX_BANNER = 20  # lines at its top
MAX_HEADERS = 400
MAX_FOLDS = 20  # places in one field
_PREFIX = re.compile(rb"((?:[ \t]*(?:re|fwd?|aw|wg)[ \t]*:)*[ \t]*)\[[^\]\r\n]{1,60}\][ \t]*", re.IGNORECASE)
_BLANK = re.compile(rb"(?<=\S) (?=\S)")
FOLDS = (("in no place", b" "), ("with a tab", b"\r\n\t"), ("with a space", b"\r\n "))
_FOLD = re.compile(rb"\r\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was undone so that a hash fits: `part` is body or header, `lines` what had been added, if lines were."""

    part: str
    words: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.part}: {self.words}", *(f"    {line}" for line in self.lines)])


@dataclass(frozen=True, slots=True)
class WhyBroken:
    """What was found. `unexplained` are the parts (body, header) whose hash nothing made fit."""

    explanations: tuple[Explanation, ...]
    unexplained: tuple[str, ...]

    def __str__(self) -> str:
        rest = [
            f"{part}: changed, and nothing that was tried makes its hash fit" for part in self.unexplained
        ]
        return "\n".join([*map(str, self.explanations), *rest]) or "nothing is broken"


def why_broken(result: DkimResult) -> WhyBroken:
    """Explain a failed result. A result that failed before any hash was compared has nothing to explain."""
    signature, message = result.signature, result.message
    if signature is None or message is None or not result.body_hash:
        return WhyBroken((), ())
    found: list[Explanation] = []
    missing: list[str] = []
    if result.body_hash != signature.body_hash:
        body = _body(message.body, signature)
        found, missing = ([body], []) if body else ([], ["body"])
    if result.broken not in ("", "body"):
        header = _header(message, signature, result)
        found, missing = ([*found, header], missing) if header else (found, [*missing, "header"])
    return WhyBroken(tuple(found), tuple(missing))


# The body


def _body(body: bytes, signature: Signature) -> Explanation | None:
    if len(body) > MAX_BODY:
        return None
    return _footer(body, signature) or _other_body(body, signature)


def _footer(body: bytes, signature: Signature) -> Explanation | None:
    """Each body that is shorter by lines at the end, hashed on the way: one pass for all of them."""
    lines = canonical_body(body, signature.body_form).splitlines(keepends=True)
    so_far = sha256()
    first = max(0, len(lines) - MAX_LINES)
    so_far.update(b"".join(lines[:first]))
    for number in range(first, len(lines)):
        if so_far.digest() == signature.body_hash:
            return Explanation(
                "body", "lines were added at the end, as mailing lists do", _read(lines[number:])
            )
        so_far.update(lines[number])
    return None


def _other_body(body: bytes, signature: Signature) -> Explanation | None:
    for words, lines, candidate in _bodies(body):
        whole = canonical_body(candidate, signature.body_form, signature.length)
        if sha256(whole).digest() == signature.body_hash:
            return Explanation("body", words, _read(lines))
    return None


def _bodies(body: bytes) -> Iterator[tuple[str, list[bytes], bytes]]:
    """Bodies that this one may have been, each with what was done to it."""
    yield "blanks were added at line ends", [], re.sub(rb"(?<![ \t])[ \t]+(?=\r\n)", b"", body)
    yield "dots at the start of lines were doubled", [], body.replace(b"\r\n..", b"\r\n.").removeprefix(b"..")
    yield "'>' was put before lines that begin with From", [], body.replace(b"\r\n>From ", b"\r\nFrom ")
    yield (
        "the body was encoded as quoted-printable",
        [],
        a2b_qp(body.replace(CRLF, b"\n")).replace(b"\n", CRLF),
    )
    top = body.split(CRLF, MAX_BANNER)
    for number in range(1, len(top)):
        rest = CRLF.join(top[number:])
        yield "lines were put on top, as a banner", top[:number], rest


# The header


def _header(message: Cut, signature: Signature, result: DkimResult) -> Explanation | None:
    key = _key(result)
    if key is None:
        return None
    for tried, (words, candidate) in enumerate(_headers(message, signature)):
        if tried >= MAX_HEADERS:
            break
        digest = sha256(header_input_of(candidate, _found_in(candidate, signature))).digest()
        if key.check(digest, signature.signature):
            return Explanation("header", words)
    return None


def _key(result: DkimResult) -> PublicKey | None:
    try:
        return public_key(result.key_record) if result.key_record else None
    except KeyRecordError:
        return None


def _found_in(message: Cut, signature: Signature) -> Signature:
    """The signature at the place where its field stands in that header."""
    wanted = signature.tags.pairs
    numbers = message.numbers("dkim-signature")
    same = [number for number in numbers if _same_signature(message.unfolded[number], wanted)]
    return signature._replace(number=same[0] if same else signature.number)


def _same_signature(field: bytes, pairs: tuple[tuple[str, str], ...]) -> bool:
    try:
        here = parse_tags(field.partition(b":")[2].decode("utf-8", "replace"))
    except TagSyntaxError:
        return False
    return without_blanks(here.get("b") or "") == without_blanks(dict(pairs).get("b", ""))


def _headers(message: Cut, signature: Signature) -> Iterator[tuple[str, Cut]]:
    """Headers that this one may have been, each with what was done to it."""
    fields = message.fields
    plain = _without_prefix(message)
    if plain is not None:
        words, without = plain
        yield words, _header_of(without)
    for base, before in ((fields, ""), *([(plain[1], f"{plain[0]}, and ")] if plain else [])):
        yield from _rewritten(base, message, signature, before)


def _without_prefix(message: Cut) -> tuple[str, list[bytes]] | None:
    """The header without the mark of a list in Subject:, as in [list] or Re: [list]."""
    for number in reversed(message.numbers("subject")):
        name, colon, value = message.fields[number].partition(b":")
        found = _PREFIX.match(value)
        if found is not None:
            mark = found[0][len(found[1]) :].strip().decode("utf-8", "backslashreplace")
            changed = list(message.fields)
            changed[number] = name + colon + found[1] + value[found.end() :]
            return f"{mark!r} was put into Subject:", changed
    return None


def _rewritten(
    fields: list[bytes], message: Cut, signature: Signature, before: str
) -> Iterator[tuple[str, Cut]]:
    names = message.names
    signed = sorted(set(signature.signed_fields).intersection(names))
    for name in signed:  # a field too many
        places = [
            number for number, known in enumerate(names) if known == name and number != signature.number
        ]
        for number in {places[0], places[-1]} if places else ():
            rest = [field for place, field in enumerate(fields) if place != number]
            yield f"{before}a field {name} was added", _header_of(rest)
    for kept in ("x-original-from", "reply-to"):
        for original, place in ((o, f) for o in message.numbers(kept) for f in message.numbers("from")[-1:]):
            changed = list(fields)
            changed[place] = fields[place].partition(b":")[0] + b":" + fields[original].partition(b":")[2]
            yield f"{before}From: was replaced; {kept} still has it", _header_of(changed)
    if signature.header_form != RELAXED:
        yield from _folded_otherwise(fields, message, signature, before)


def _folded_otherwise(
    fields: list[bytes], message: Cut, signature: Signature, before: str
) -> Iterator[tuple[str, Cut]]:
    """Simple form forgives no folding: each signed field by itself, then all fields alike, then a fold that is gone."""
    places = sorted({place for name in set(signature.signed_fields) for place in message.numbers(name)})[:20]
    for how, fold in FOLDS:
        whole = [field if n == signature.number else _refolded(field, fold) for n, field in enumerate(fields)]
        for number in places:
            one = [*fields[:number], whole[number], *fields[number + 1 :]]
            yield f"{before}{message.names[number]} was folded anew; it was folded {how}", _header_of(one)
        yield f"{before}fields were folded anew; they were folded {how}", _header_of(whole)
    for number in places:
        field = _refolded(fields[number], b" ")
        blanks = [found.start() for found in _BLANK.finditer(field)][:MAX_FOLDS]
        for how, fold in FOLDS[1:]:
            for blank in blanks:
                one = [*fields[:number], field[:blank] + fold + field[blank + 1 :], *fields[number + 1 :]]
                yield f"{before}{message.names[number]} was unfolded; it was folded {how}", _header_of(one)


def _refolded(field: bytes, fold: bytes) -> bytes:
    return _FOLD.sub(lambda _: fold, field)


def _header_of(fields: list[bytes]) -> Cut:
    return cut(CRLF.join(fields) + b"\r\n\r\n")


def _read(lines: list[bytes]) -> tuple[str, ...]:
    """Lines to show: at most 20, each at most 200 characters."""
    shown = [line.rstrip(b"\r\n")[:200].decode("utf-8", "backslashreplace") for line in lines[:20]]
    return (*shown, f"… and {len(lines) - 20} more") if len(lines) > 20 else tuple(shown)

"""What the dissector shows of those who vouch for a message: verdicts, claims, octets, hashes.

DECIDES    which fields a good signature covers: of each name in h= as many as it says, from the bottom up.
STANDARDS  RFC 6376 §5.4.2 (which of several), RFC 8601 §1.6 (whose results to believe)
READ NEXT  dissector.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from labkit.headers import Dissection
from labkit.teach.markup import clip, visible
from labkit.teach.views.dissector_panels import shown
from labkit.teach.views.dissector_recheck import Recheck

MOST_STEPS = 60
MOST_CLAIMS = 10
LONGEST_OCTETS = 8000


def vouched(dissection: Dissection, found: Recheck | None) -> dict[int, str]:
    """The fields that a signature covers which is good: their index, and the domain that signed."""
    covered: dict[int, str] = {}
    for each in () if found is None else found.dkim:
        if each.result != "pass":
            continue
        left = Counter(each.signed_fields)
        for field in reversed(dissection.fields):
            name = field.name.lower()
            is_itself = name == "dkim-signature" and field.raw.rstrip(b"\r\n") == each.field.rstrip(b"\r\n")
            if left[name] > 0 or is_itself:
                left[name] -= 1
                covered.setdefault(field.index, each.domain)
    return covered


def claims_state(dissection: Dissection) -> list[dict[str, Any]]:
    """What earlier receivers say that they found, in Authentication-Results: their word, not ours."""
    from labkit.auth.authentication_results import NotAuthenticationResults, parse

    claims = []
    for field in dissection.all("Authentication-Results")[:MOST_CLAIMS]:
        try:
            said = parse(field.value)
        except NotAuthenticationResults as problem:
            who, words = "somebody", f"cannot be read: {problem}"
        else:
            who = said.authserv_id or "somebody"
            words = ", ".join(f"{each.method}={each.result}" for each in said.results) or "nothing"
        forged = dissection.trust.could_be_forged(field.index)
        claims.append({"who": shown(who, 100), "words": shown(words, 300), "forged": forged})
    return claims


def checks_state(found: Recheck) -> list[dict[str, Any]]:
    """SPF, each signature, DMARC: the verdict, the reason and the steps."""
    rows = []
    for number, (method, about, result) in enumerate(_results(found)):
        is_signature = method.startswith("DKIM") and result is not None
        rows.append(
            {
                "method": method,
                "about": shown(about, 200),
                "result": "none" if result is None else result.result,
                "reason": shown(reasons(found, method, result)),
                "steps": [] if result is None else _steps(result),
                "signature": number - 1 if is_signature else None,
                "why": [shown(words) for words in found.why[number - 1]] if is_signature else [],
            }
        )
    return rows


def _results(found: Recheck) -> Iterator[tuple[str, str, Any]]:
    yield "SPF", found.about, found.spf
    for each in found.dkim:
        tested = ", in test mode (t=y)" if each.is_testing else ""
        bits = f", {each.key_bits} bits" if each.key_bits else ""
        yield "DKIM", f"{each.domain}, selector {each.selector}, {each.algorithm}{bits}{tested}", each
    if not found.dkim:
        yield "DKIM", "", None
    if found.arc.sets or found.arc.result != "none":
        yield "ARC", f"{len(found.arc.sets)} sets", found.arc
    dmarc = found.dmarc
    about = "" if dmarc is None else f"From: {dmarc.author_domain}"
    if dmarc is not None and dmarc.policy is not None:
        about += f", policy {dmarc.policy} of {dmarc.policy_domain}"
    yield "DMARC", about, dmarc


def reasons(found: Recheck, method: str, result: Any) -> str:
    if result is not None:
        return str(result.reason)
    return {"SPF": found.no_spf, "DKIM": "the message is not signed", "DMARC": found.no_dmarc}[method]


def _steps(result: Any) -> list[dict[str, Any]]:
    steps = result.steps
    told = [
        {"words": shown(step.words, 300), "source": step.source, "depth": min(step.depth, 10)}
        for step in steps[:MOST_STEPS]
    ]
    if len(steps) > MOST_STEPS:
        told.append({"words": f"and {len(steps) - MOST_STEPS:,} more steps", "source": "", "depth": 0})
    return told


def octets_state(found: Recheck, number: int) -> dict[str, Any]:
    """What was hashed for a signature, and the hashes. Raises ValueError for a signature that is not there."""
    if not 0 <= number < len(found.dkim):
        raise ValueError(f"there is no signature {number + 1}")
    result = found.dkim[number]
    header_fits = result.result == "pass" or result.broken == "body"
    signed = result.header_hash_computed if header_fits else result.header_hash_signed
    title = f"What signature {number + 1} ({result.domain}, selector {result.selector}) is about"
    names = ", ".join(result.signed_fields)
    return {
        "number": number,
        "title": shown(title, 200),
        "parts": [
            _part(
                "the body",
                result.canonical_body,
                "bh= says",
                result.body_hash_claimed,
                result.body_hash_computed,
            ),
            _part(
                f"the signed fields: {names}",
                result.canonical_header,
                "b= was made over",
                signed,
                result.header_hash_computed,
            ),
        ],
    }


def _part(name: str, octets: bytes, who: str, claimed: str, computed: str) -> dict[str, Any]:
    return {
        "name": shown(f"{name} ({len(octets):,} octets)", 300),
        "octets": marked(octets),
        "claimed": [who, shown(claimed, 100) or "(it does not show)"],
        "computed": ["computed now", computed or "(not computed)"],
        "same": bool(computed) and claimed == computed,
        "known": bool(computed and claimed),
    }


def marked(octets: bytes) -> str:
    """Canonical octets with line ends and blanks at their end made visible."""
    lines = octets[:LONGEST_OCTETS].decode("utf-8", "backslashreplace").split("\r\n")
    text = "\\r\\n\n".join(line.rstrip(" ") + "·" * (len(line) - len(line.rstrip(" "))) for line in lines)
    more = f"\n[and {len(octets) - LONGEST_OCTETS:,} more octets]" if len(octets) > LONGEST_OCTETS else ""
    return clip(visible(text.replace("\t", "\\t")), 2 * LONGEST_OCTETS) + more

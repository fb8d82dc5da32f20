"""What the dissector shows of a message itself, panel by panel, as JSON for the browser and as rows for the text.

LIMITS     so many fields, hops and octets are shown; what is left out is said.
SAFE       everything that came from the message is cut and made visible here: hidden characters are escapes.
READ NEXT  dissector_checks.py, dissector.py
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log1p
from typing import Any

from labkit.headers import Dissection, Field, Hop, Writer
from labkit.headers.hops import span
from labkit.headers.trust import trust_at
from labkit.teach.markup import clip, visible
from labkit.teach.views.dissector_edit import MOST_EDITABLE

MOST_FIELDS = 150
MOST_HOPS = 40
MOST_LEVELS = 60
MOST_FINDINGS = 40
LONGEST_VALUE = 600
LONGEST_RAW = 2000
LONGEST_BODY = 8000
GROUPS = {
    Writer.AUTHOR: "author",
    Writer.PROGRAM: "author",
    Writer.SUBMISSION: "way",
    Writer.MTA: "way",
    Writer.SIGNER: "sign",
    Writer.FINAL: "end",
    Writer.STORE: "end",
    Writer.LIST: "list",
    Writer.FILTER: "filter",
}


def shown(text: str, most: int = LONGEST_VALUE) -> str:
    """Text of others: cut, and with hidden characters visible."""
    if len(text) > most:
        text = f"{visible(text[:most])} [and {len(text) - most:,} more characters]"
    return clip(visible(text), 2 * most)


def writer_words(field: Field) -> str:
    return field.writer.value + (f" ({shown(field.by, 80)})" if field.by else "")


# --- fields ---------------------------------------------------------------------------------------


def fields_state(dissection: Dissection, vouched: Mapping[int, str]) -> list[dict[str, Any]]:
    """`vouched`: who has signed a field, by its index."""
    return [
        {
            "index": field.index,
            "name": shown(field.name, 80) or "(no name)",
            "value": shown(field.shown),
            "raw": raw_text(field.raw),
            "kind": field.kind.value,
            "writer": writer_words(field),
            "group": GROUPS.get(field.writer, "other"),
            "words": field.words,
            "rfc": field.rfc,
            "lines": lines_of(field),
            "signed": shown(vouched.get(field.index, ""), 100),
            "editable": len(field.raw) <= MOST_EDITABLE,
        }
        for field in dissection.fields[:MOST_FIELDS]
    ]


def raw_text(octets: bytes) -> str:
    """A field as it stands in the message."""
    text = octets[:LONGEST_RAW].decode("utf-8", "backslashreplace").replace("\r\n", "\n").rstrip("\n")
    more = f" [and {len(octets) - LONGEST_RAW:,} more octets]" if len(octets) > LONGEST_RAW else ""
    return f"{clip(visible(text), 2 * LONGEST_RAW)}{more}"


def lines_of(field: Field) -> str:
    one = field.first_line == field.last_line
    return f"line {field.first_line}" if one else f"lines {field.first_line} to {field.last_line}"


def trust_state(dissection: Dissection) -> dict[str, Any]:
    """The boundary at each level of the slider: it moves without the kernel."""
    trust = dissection.trust
    most = min(trust.levels, MOST_LEVELS)
    at = (trust_at(dissection.fields, dissection.hops, level) for level in range(most + 1))
    return {
        "level": min(trust.level, most),
        "levels": most,
        "boundaries": [{"boundary": each.boundary, "words": shown(each.words)} for each in at],
    }


def summary(dissection: Dissection) -> list[list[str]]:
    """What a mail program would show of it, and its size."""
    rows = []
    for name in ("From", "To", "Subject", "Date"):
        found = dissection.all(name)
        more = f" (and {len(found) - 1} more such fields)" if len(found) > 1 else ""
        if found:
            rows.append([name, f"{shown(found[0].shown, 200)}{more}"])
    count = len(dissection.fields)
    body = dissection.size - dissection.body_at
    rows.append(["Size", f"{dissection.size:,} octets: {count:,} fields, and a body of {body:,} octets"])
    return rows


# --- hops -----------------------------------------------------------------------------------------


def hops_state(dissection: Dissection) -> list[dict[str, Any]]:
    """The oldest first. `bar`: how long the delay is beside the longest, from 0 to 1, on a scale that bends."""
    hops = dissection.hops[:MOST_HOPS]
    longest = max((hop.delay or 0 for hop in hops), default=0)
    return [
        {
            "number": hop.number,
            "field": hop.field,
            "client": client_words(hop),
            "by": shown(hop.received.by, 100) or "(does not say)",
            "how": how(hop),
            "at": at_words(hop),
            "delay": delay_words(hop),
            "bar": log1p(hop.delay) / log1p(longest) if hop.delay and longest else 0,
            "is_skewed": hop.skew is not None,
            "words": shown(hop.words),
        }
        for hop in hops
    ]


def client_words(hop: Hop) -> str:
    received = hop.received
    if received.is_local:
        return shown(received.login, 100) or "a program of the same host"
    name = received.reverse_name or received.helo
    address = f"[{received.address}]" if received.address else ""
    return shown(" ".join(filter(None, (name, address))), 160) or "(does not say)"


def how(hop: Hop) -> str:
    """The protocol, and whether the hop was encrypted and the client logged in."""
    received = hop.received
    words = [shown(received.protocol, 40)] if received.protocol else []
    if received.is_encrypted is not None:
        words.append("encrypted" if received.is_encrypted else "in clear")
    if received.is_authenticated:
        words.append("logged in")
    return ", ".join(words)


def at_words(hop: Hop) -> str:
    return "no date" if hop.at is None else f"{hop.at:%Y-%m-%d %H:%M:%S} UTC"


def delay_words(hop: Hop) -> str:
    if hop.skew is not None:
        return "wrong clock"
    if hop.delay is None:
        return ""
    return f"+{span(hop.delay)}"


# --- findings, the body ---------------------------------------------------------------------------


def findings_state(dissection: Dissection) -> list[dict[str, Any]]:
    return [
        {
            "weight": each.weight.value,
            "words": shown(each.words),
            "remedy": shown(each.remedy),
            "rfc": each.rfc,
            "fields": [index for index in each.fields if index < MOST_FIELDS][:10],
        }
        for each in dissection.findings[:MOST_FINDINGS]
    ]


def body_state(content: bytes, dissection: Dissection) -> dict[str, Any]:
    body = content[dissection.body_at :]
    text = body[:LONGEST_BODY].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    more = len(body) - LONGEST_BODY
    note = f"{more:,} more octets are not shown. " if more > 0 else ""
    if len(body) > MOST_EDITABLE:
        note += f"The first {MOST_EDITABLE:,} octets can be edited."
    return {"text": clip(visible(text), 2 * LONGEST_BODY), "octets": f"{len(body):,} octets", "note": note}

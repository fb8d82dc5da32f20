"""Read a DMARC aggregate report that somebody sent: XML, perhaps in gzip; by RFC 9990 or by the older RFC 7489.

WHAT       `read_report(data)` gives the report; `summary(report)` a table in plain text.
SAFE       at most LARGEST octets unpacked, MOST_ROWS rows, DEEPEST elements in one another; a document type (and with
           it every entity) is refused. All that is wrong is a ReportError in plain words. What a report says came
           over the network: whoever shows it must escape it.
TOLERANT   of a namespace that is missing, of elements that are not known, of the order of elements
STANDARDS  RFC 9990 §3.1, RFC 7489 appendix C, RFC 1952 (gzip)
READ NEXT  the room lab, whose provider sends such reports
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from labkit.auth.aggregate_report import AggregateReport, Published, Reason, ReportError, Row, Seen

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST = 20_000_000
MOST_ROWS = 100_000
MOST_INSIDE_A_ROW = 1_000  # reasons or signatures
DEEPEST = 20
LONGEST_TEXT = 2_000
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"


def read_report(data: bytes) -> AggregateReport:
    """The report in a file or in an attachment. Raises ReportError."""
    root = _parsed(_unpacked(data))
    if _name(root) != "feedback":
        raise ReportError(f"the root is <{_name(root)[:40]}>, not <feedback>: this is no aggregate report")
    metadata, policy = _one(root, "report_metadata"), _one(root, "policy_published")
    days = _one(metadata, "date_range")
    records = _all(root, "record", MOST_ROWS)
    if not records:
        raise ReportError("the report has no <record>")
    return AggregateReport(
        _text(metadata, "org_name"),
        _text(metadata, "email"),
        _text(metadata, "report_id"),
        _number(days, "begin"),
        _number(days, "end"),
        _published(policy),
        tuple(map(_row, records)),
        _text(metadata, "extra_contact_info"),
        _text(metadata, "error"),
        _text(metadata, "generator"),
    )


def _unpacked(data: bytes) -> bytes:
    if data.startswith(_ZIP):
        raise ReportError("this is a ZIP archive: unpack it first, and give the .xml in it")
    if not data.startswith(_GZIP):
        if len(data) > LARGEST:
            raise ReportError(f"the report has {len(data)} octets, more than {LARGEST}")
        return data
    unpacker = zlib.decompressobj(31)
    try:
        xml = unpacker.decompress(data, LARGEST)
    except zlib.error as wrong:
        raise ReportError(f"the gzip file is damaged: {wrong}") from None
    if unpacker.unconsumed_tail:
        raise ReportError(f"unpacked, the report has more than {LARGEST} octets")
    if not unpacker.eof:
        raise ReportError("the gzip file ends too early")
    return xml


def _parsed(xml: bytes) -> Element:
    from xml.etree.ElementTree import ParseError, TreeBuilder, XMLParser

    class Guarded(TreeBuilder):
        """Builds the tree, and stops where the document is not what a report needs."""

        depth = 0

        def doctype(self, name: str, public: str | None, system: str | None) -> None:
            raise ReportError("the XML has a document type (<!DOCTYPE ...>): a report has none")

        def start(self, tag: str, attrs: dict[str, str]) -> Element:
            self.depth += 1
            if self.depth > DEEPEST:
                raise ReportError(f"the XML is nested deeper than {DEEPEST}")
            return super().start(tag, attrs)

        def end(self, tag: str) -> Element:
            self.depth -= 1
            return super().end(tag)

    parser = XMLParser(target=Guarded())
    try:
        parser.feed(xml)
        root: Element = parser.close()
    except ParseError as wrong:
        raise ReportError(f"this is no XML: {wrong}") from None
    except (ValueError, LookupError) as wrong:  # an encoding that nobody knows
        if isinstance(wrong, ReportError):
            raise
        raise ReportError(f"the XML cannot be read: {wrong}") from None
    return root


def _name(element: Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _all(parent: Element, name: str, most: int = MOST_INSIDE_A_ROW) -> list[Element]:
    found = [child for child in parent if _name(child) == name]
    if len(found) > most:
        raise ReportError(f"there are {len(found)} <{name}> in <{_name(parent)}>, more than {most}")
    return found


def _one(parent: Element, name: str) -> Element:
    found = _all(parent, name)
    if not found:
        raise ReportError(f"<{_name(parent)}> has no <{name}>")
    return found[0]


def _text(parent: Element, name: str, default: str = "") -> str:
    for child in parent:
        if _name(child) == name:
            return (child.text or "").strip()[:LONGEST_TEXT]
    return default


def _number(parent: Element, name: str) -> int:
    text = _text(parent, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ReportError(f"<{name}> in <{_name(parent)}> is {text[:40]!r}, and a whole number is needed")
    return int(text)


def _published(policy: Element) -> Published:
    return Published(
        _text(policy, "domain"),
        _text(policy, "p", "none"),
        _text(policy, "sp"),
        _text(policy, "np"),
        _text(policy, "adkim", "r"),
        _text(policy, "aspf", "r"),
        _text(policy, "fo", "0"),
        _text(policy, "testing") == "y",
        _text(policy, "discovery_method"),
    )


def _row(record: Element) -> Row:
    row, identifiers = _one(record, "row"), _one(record, "identifiers")
    evaluated, results = _one(row, "policy_evaluated"), _one(record, "auth_results")
    spf = _all(results, "spf")
    return Row(
        _text(row, "source_ip"),
        _text(identifiers, "header_from"),
        _text(evaluated, "disposition"),
        _text(evaluated, "dkim"),
        _text(evaluated, "spf"),
        _number(row, "count"),
        _text(identifiers, "envelope_from"),
        _text(identifiers, "envelope_to"),
        tuple(Reason(_text(one, "type"), _text(one, "comment")) for one in _all(evaluated, "reason")),
        tuple(map(_seen, _all(results, "dkim"))),
        _seen(spf[0]) if spf else None,
    )


def _seen(one: Element) -> Seen:
    return Seen(
        _text(one, "domain"), _text(one, "result"), _text(one, "selector"), _text(one, "human_result")
    )


def summary(report: AggregateReport, most: int = 50) -> str:
    """The report as a table: who sent how many, what DKIM and SPF proved, what was done. The largest rows first."""
    head = ("from address", "messages", "From:", "aligned DKIM", "aligned SPF", "done", "why")
    rows = sorted(report.rows, key=lambda row: -row.count)
    cells = [head, *(_cells(row) for row in rows[:most])]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
    policy = report.published
    title = (
        f"{report.org_name} on {policy.domain} (p={policy.p}): {report.count} messages in {len(rows)} rows"
    )
    more = [f"... and {len(rows) - most} rows more"] if len(rows) > most else []
    return "\n".join(map(_printable, [title, *lines, *more]))


def _cells(row: Row) -> tuple[str, ...]:
    why = ", ".join(reason.kind for reason in row.reasons[:3])
    return tuple(
        text[:60]
        for text in (row.source_ip, str(row.count), row.header_from, row.dkim, row.spf, row.disposition, why)
    )


def _printable(text: str) -> str:
    """No control character of a stranger's reaches the screen."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)

"""Aggregate reports: written, read again, and what a stranger's report may not do."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace

import pytest

from labkit.auth.aggregate_reading import LARGEST, read_report, summary
from labkit.auth.aggregate_report import (
    AggregateReport,
    Published,
    Reason,
    ReportError,
    Row,
    Seen,
    compressed,
    file_name,
    gathered,
    published_by,
    row_for,
    subject,
    write_xml,
)
from labkit.auth.dmarc import DmarcResult, evaluate
from labkit.auth.door import NoSuchName, answer_with


def judged(record: str, spf: str = "", dkim: str = "", author: str = "a.test") -> DmarcResult:
    def lookup(name: str, rdtype: str) -> list[str]:
        if name != "_dmarc.a.test":
            raise NoSuchName
        return [record]

    return answer_with(lookup, evaluate(author, ("pass", spf), ("pass", dkim)))


PASSED = judged("v=DMARC1; p=reject; sp=quarantine; fo=1:d", "a.test", "x.a.test")
REPORT = AggregateReport(
    "Big Mail",
    "reports@bigmail.test",
    "1721054318-a.test@bigmail.test",
    1_721_001_600,
    1_721_087_999,
    published_by(PASSED),
    (
        Row(
            "203.0.113.9",
            "a.test",
            "pass",
            "pass",
            "fail",
            12,
            "bounces.b.test",
            "bigmail.test",
            (),
            (Seen("a.test", "pass", "s1"), Seen("b.test", "fail", "s2", "body <changed> & more")),
            Seen("bounces.b.test", "pass"),
        ),
        Row(
            "2001:db8::1", "x.a.test", "none", "fail", "fail", 3, reasons=(Reason("mailing_list", "a list"),)
        ),
    ),
)


def test_what_is_written_is_read() -> None:
    xml = write_xml(REPORT)
    assert read_report(xml) == REPORT
    assert read_report(compressed(xml)) == REPORT
    assert compressed(xml) == compressed(xml)
    assert gzip.decompress(compressed(xml)) == xml
    assert b'<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">' in xml
    assert b"body &lt;changed&gt; &amp; more" in xml


def test_the_order_of_the_schema() -> None:
    xml = write_xml(REPORT).decode()
    places = [xml.index(f"<{name}>") for name in ("version", "report_metadata", "policy_published", "record")]
    assert places == sorted(places)
    places = [
        xml.index(f"<{name}>")
        for name in ("row", "source_ip", "count", "disposition", "identifiers", "auth_results")
    ]
    assert places == sorted(places)
    assert "<p>reject</p>" in xml and "<sp>quarantine</sp>" in xml and "<np>" not in xml
    assert "<fo>1:d</fo>" in xml and "<testing>n</testing>" in xml and "treewalk" in xml


def test_names_of_a_mail() -> None:
    assert file_name("mx.Big.test", REPORT) == "mx.big.test!a.test!1721001600!1721087999.xml.gz"
    assert (
        file_name("b.test", REPORT, "7a", is_compressed=False) == "b.test!a.test!1721001600!1721087999!7a.xml"
    )
    assert subject("b.test", REPORT) == (
        "Report Domain: a.test Submitter: b.test Report-ID: <1721054318-a.test@bigmail.test>"
    )
    with pytest.raises(ReportError):
        file_name("b.test\r\nX: y", REPORT)
    with pytest.raises(ReportError):
        file_name("b.test", REPORT, "a/b")
    with pytest.raises(ReportError):
        subject("b.test", replace(REPORT, report_id="a\r\nBcc: x"))


@pytest.mark.parametrize(
    "record, spf, dkim, author, row",
    [
        ("v=DMARC1; p=reject", "a.test", "", "a.test", "pass fail pass "),
        ("v=DMARC1; p=none", "", "x.a.test", "a.test", "none pass fail "),
        ("v=DMARC1; p=reject", "b.test", "b.test", "a.test", "reject fail fail "),
        ("v=DMARC1; p=reject; t=y", "", "", "a.test", "quarantine fail fail policy_test_mode"),
        ("v=DMARC1; p=reject; sp=none", "", "", "x.a.test", "none fail fail "),
    ],
)
def test_a_row_for_an_evaluation(record: str, spf: str, dkim: str, author: str, row: str) -> None:
    found = row_for("203.0.113.9", judged(record, spf, dkim, author), spf=("pass", spf))
    assert (
        f"{found.disposition} {found.dkim} {found.spf} {' '.join(one.kind for one in found.reasons)}" == row
    )


def test_another_disposition_needs_a_reason() -> None:
    failed = judged("v=DMARC1; p=reject")
    with pytest.raises(ReportError, match="a reason is needed"):
        row_for("203.0.113.9", failed, disposition="none")
    row = row_for("203.0.113.9", failed, disposition="none", reasons=[Reason("local_policy", "arc=pass")])
    assert (row.disposition, row.reasons[0].comment) == ("none", "arc=pass")
    with pytest.raises(ReportError, match="one of"):
        row_for("203.0.113.9", failed, disposition="none", reasons=[Reason("whim")])
    with pytest.raises(ReportError, match="nothing to report"):
        row_for("203.0.113.9", judged("v=DMARC1"))
    with pytest.raises(ReportError, match="nobody to report to"):
        published_by(judged("v=spf1 -all"))


def test_the_order_of_signatures() -> None:
    row = row_for(
        "203.0.113.9",
        judged("v=DMARC1; p=none", dkim="x.a.test"),
        dkim=[
            ("fail", "a.test", "1"),
            ("pass", "c.test", "2"),
            ("pass", "x.a.test", "3"),
            ("pass", "A.test", "4"),
        ],
    )
    assert [seen.selector for seen in row.dkim_seen] == ["4", "3", "2", "1"]


def test_equal_rows_are_added_up() -> None:
    one, other = REPORT.rows
    assert [(row.source_ip, row.count) for row in gathered([one, other, one])] == [
        (one.source_ip, 24),
        (other.source_ip, 3),
    ]


def test_the_summary() -> None:
    lines = summary(REPORT).splitlines()
    assert lines[0] == "Big Mail on a.test (p=reject): 15 messages in 2 rows"
    assert lines[2].split() == ["203.0.113.9", "12", "a.test", "pass", "fail", "pass"]
    assert lines[3].split() == ["2001:db8::1", "3", "x.a.test", "fail", "fail", "none", "mailing_list"]
    assert "\x1b" not in summary(replace(REPORT, org_name="\x1b[31mred"))
    assert "1 rows more" in summary(REPORT, most=1)


def test_an_old_report() -> None:
    """RFC 7489's form: no namespace, pct, elements in another order, unknown ones."""
    old = read_report(
        b"<?xml version='1.0'?><feedback><report_metadata><org_name>o</org_name><email>e</email>"
        b"<report_id>1</report_id>"
        b"<date_range><end>2</end><begin>1</begin></date_range></report_metadata><policy_published><domain>a.test"
        b"</domain><p>none</p><pct>100</pct></policy_published><record><row><source_ip>203.0.113.9</source_ip>"
        b"<count> 2 </count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>pass</spf>"
        b"</policy_evaluated></row><new/><identifiers><header_from>a.test</header_from></identifiers><auth_results>"
        b"<spf><domain>a.test</domain><result>pass</result></spf></auth_results></record></feedback>"
    )
    assert (old.published, old.count) == (Published("a.test", discovery_method=""), 2)


XML = write_xml(REPORT)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "aaaaa"><!ENTITY b "&a;&a;&a;">]><feedback>&b;</feedback>'
)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "no XML"),
        (b"hello", "no XML"),
        (b"<html/>", "not <feedback>"),
        (b"<feedback/>", "no <report_metadata>"),
        (XML[: len(XML) // 2], "no XML"),
        (BOMB, "document type"),
        (BOMB.decode().replace('"1.0"', '"1.0" encoding="utf-16"').encode("utf-16"), "document type"),
        (b'<!DOCTYPE feedback SYSTEM "file:///etc/passwd"><feedback/>', "document type"),
        (b"<a>" * 100_000, "nested deeper"),
        (b'<?xml version="1.0" encoding="nonsense"?><feedback/>', "encoding|no XML"),
        (XML.replace(b"<count>12<", b"<count>-1<"), "whole number"),
        (XML.replace(b"<count>12<", b"<count>" + b"9" * 5000 + b"<"), "whole number"),
        (XML.replace(b"record>", b"rekord>"), "no <record>"),
        (XML.replace(b"</auth_results>", b"<dkim/>" * 1001 + b"</auth_results>", 1), "more than 1000"),
        (b"x" * (LARGEST + 1), "octets"),
        (compressed(XML)[:-20], "too early"),
        (b"\x1f\x8bnonsense", "damaged"),
        (b"PK\x03\x04....", "ZIP"),
    ],
)
def test_what_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        read_report(data)


def test_a_gzip_bomb() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(60)) + packer.flush()
    assert len(bomb) < 100_000
    with pytest.raises(ReportError, match="more than"):
        read_report(bomb)


def test_what_cannot_be_written() -> None:
    for wrong in (replace(REPORT, rows=()), replace(REPORT, report_id="a b"), replace(REPORT, end=0)):
        with pytest.raises(ReportError):
            write_xml(wrong)
    odd = replace(REPORT, org_name="a\0b\x1b]]>&<", error="\ud800")
    assert read_report(write_xml(odd)).org_name == "a\ufffdb\ufffd]]>&<"

"""TLS reports (RFC 8460): the record, the JSON form there and back, and what is no report."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.tls_report import (
    FAILURES,
    FailureDetail,
    PolicySeen,
    ReportUnreadable,
    TlsReport,
    read_json,
    read_tlsrpt,
    write_json,
)


@pytest.mark.parametrize(
    "texts, expected, because",
    [
        (["v=TLSRPTv1;rua=mailto:reports@a.test"], ("mailto:reports@a.test",), "RFC 8460 §3"),
        (
            ["v=TLSRPTv1; rua=https://a.test/v1 , mailto:x@a.test;"],
            ("https://a.test/v1", "mailto:x@a.test"),
            "both",
        ),
        (["hello", "v=TLSRPTv1; rua=mailto:x@a.test"], ("mailto:x@a.test",), "other records do not count"),
        (["v=TLSRPTv1; rua=mailto:x@a.test"] * 2, (), "two records: none"),
        (["v=TLSRPTv2; rua=mailto:x@a.test"], (), "another version"),
        (["v=TLSRPTv1"], (), "no rua"),
        (["v=TLSRPTv1; rua=ftp://a.test, x@a.test"], (), "neither mailto nor https"),
        ([], (), "nothing"),
    ],
)
def test_record(texts: list[str], expected: tuple[str, ...], because: str) -> None:
    assert read_tlsrpt(texts) == expected, because


SEEN = PolicySeen(
    "bigmail.test",
    "sts",
    ("version: STSv1", "mode: testing", "mx: mx.bigmail.test", "max_age: 86400"),
    ("mx.bigmail.test",),
    5326,
    303,
    (FailureDetail("starttls-not-supported", 303, "mx.bigmail.test", "203.0.113.66", "203.0.113.11"),),
)
REPORT = TlsReport(
    "st11", "postmaster@a.test", "1@a.test", "2026-09-07T00:00:00Z", "2026-09-07T23:59:59Z", (SEEN,)
)


@pytest.mark.parametrize("count", [True, -1, 0.5, "1", None, 2**53])
@pytest.mark.parametrize("where", ["total-successful-session-count", "total-failure-session-count"])
def test_what_is_no_count(where: str, count: object) -> None:
    document = json.loads(write_json(REPORT))
    document["policies"][0]["summary"][where] = count
    with pytest.raises(ReportUnreadable, match=f"{where} is no number of sessions"):
        read_json(json.dumps(document))
    document["policies"][0]["summary"][where] = 2**53 - 1
    read_json(json.dumps(document))


def test_what_a_report_may_leave_out() -> None:
    """Nothing is made up: what is not there is empty, and a count that is not there is 0."""
    assert read_json("{}") == TlsReport("", "", "", "", "", ())
    (bare,) = read_json('{"policies": [{}]}').policies
    assert bare == PolicySeen("", "", (), (), 0, 0, ())
    (old,) = read_json('{"policies": [{"policy": {"mx-host": "mx.a.test"}}]}').policies
    assert old.mx == ("mx.a.test",), "a text for a list, as older reports have it"
    written = json.loads(
        write_json(replace(REPORT, policies=(PolicySeen("a.test", "no-policy-found", (), (), 1, 0, ()),)))
    )
    (policy,) = written["policies"]
    assert policy["policy"] == {"policy-type": "no-policy-found", "policy-domain": "a.test"}
    assert set(written) == {"organization-name", "contact-info", "report-id", "date-range", "policies"}


def test_there_and_back() -> None:
    text = write_json(REPORT)
    assert read_json(text) == read_json(text.encode()) == REPORT
    found = json.loads(text)["policies"][0]
    assert found["summary"] == {"total-successful-session-count": 5326, "total-failure-session-count": 303}
    assert found["failure-details"][0]["receiving-mx-hostname"] == "mx.bigmail.test"
    assert "303 x starttls-not-supported at mx.bigmail.test" in str(REPORT)


def test_the_names_of_the_rfc() -> None:
    """RFC 8460 §4.4, and its example: the members' names; the contact is a bare address; mx-host text or a list."""
    document = json.loads(write_json(REPORT))
    assert set(document) == {"organization-name", "date-range", "contact-info", "report-id", "policies"}
    (found,) = document["policies"]
    assert set(found) == {"policy", "summary", "failure-details"}
    assert set(found["policy"]) == {"policy-type", "policy-string", "policy-domain", "mx-host"}
    assert set(found["failure-details"][0]) == {
        "result-type", "sending-mta-ip", "receiving-mx-hostname", "receiving-ip", "failed-session-count",
    }  # fmt: skip
    found["policy"]["mx-host"] = "mx.bigmail.test"
    found["failure-details"][0] |= {
        "receiving-mx-helo": "x", "additional-information": "https://a.test/1", "failure-reason-code": "y",
    }  # fmt: skip
    assert read_json(json.dumps(document)) == REPORT
    assert read_json(json.dumps(document)).policies[0].details[0].kind in FAILURES


def test_the_types_of_failure_are_those_of_the_registry() -> None:
    """RFC 8460 §4.3, and the registry of IANA that it began."""
    negotiation = {"starttls-not-supported", "certificate-host-mismatch", "certificate-expired"}
    negotiation |= {"certificate-not-trusted", "validation-failure"}
    dane = {"tlsa-invalid", "dnssec-invalid", "dane-required"}
    sts = {"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"}
    assert set(FAILURES) == negotiation | dane | sts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "1",
        '{"policies": 1}',
        '{"policies": [1]}',
        '{"policies": [{"summary": {"total-successful-session-count": -1}}]}',
        '{"policies": [{"summary": {"total-failure-session-count": 1e400}}]}',
        '{"organization-name": {}}',
        "[" * 100_000,
        " " * 2_000_000,
        b"\xff\xfe\x00",
    ],
)
def test_no_report(text: str | bytes) -> None:
    with pytest.raises(ReportUnreadable):
        read_json(text)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["policies", "policy", "summary", "mx-host", "failure-details", "date-range"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_whatever_it_says(value: object) -> None:
    with contextlib.suppress(ReportUnreadable):
        read_json(json.dumps(value))

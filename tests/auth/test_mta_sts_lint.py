"""What the linter says of MTA-STS records and policies, and that it has an answer to everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.mta_sts_lint import lint_mta_sts, lint_mta_sts_of
from labkit.auth.mta_sts_policy import write_policy
from labkit.mail.asking import answer_by
from labkit.mail.questions import DnsAnswer, DnsOutcome, MxOf, MxRecord, PageFetched, PolicyAt, TextOf

RECORD = "v=STSv1; id=1;"
POLICY = write_policy("enforce", ["mx.a.test"], 1_209_600)


@pytest.mark.parametrize(
    "texts, page, code, words",
    [
        ([], None, "no-record", "no MTA-STS record"),
        (["v=spf1 -all"], None, "no-record", "no MTA-STS record"),
        ([RECORD, RECORD], None, "record", "2 records"),
        (["v=STSv1;"], None, "record", "no id"),
        (["v=STSv1"], None, "version", "and a semicolon"),
        (["v=stsv1; id=1"], None, "version", "these very letters"),
        (['"v=STSv1; id=1"'], None, "quotes", "quotes"),
        (["STSv1; id=1"], None, "record", "does not begin"),
        ([RECORD], "mode = enforce\n", "policy", "Write mode: enforce, with a colon"),
        ([RECORD], POLICY.replace("enforce", "enforced"), "policy", "Did you mean mode: enforce?"),
        ([RECORD], POLICY.replace("max_age", "max-age"), "policy", "Did you mean max_age?"),
        ([RECORD], POLICY.replace("mx.a.test", "mx.a.test."), "policy", "without the dot"),
        ([RECORD], POLICY.replace("mx.a.test", ".a.test"), "policy", "Write mx: *.a.test"),
        ([RECORD], POLICY.replace("1209600", "2 weeks"), "policy", "a week"),
        ([RECORD], POLICY.replace("enforce", "testing"), "testing", "only reports"),
        ([RECORD], POLICY.replace("enforce", "none"), "none", "takes a policy back"),
        ([RECORD], POLICY.replace("1209600", "600"), "short", "an attacker just waits"),
        ([RECORD], POLICY.replace("mx.a.test", "mx.b.test"), "unnamed", "Add mx: mx.a.test"),
        ([RECORD], POLICY + "mx: old.a.test\n", "idle", "names no mail exchanger of now"),
        ([RECORD], POLICY + "mode: none\n", "ignored", "stands twice"),
        ([RECORD], PageFetched(302), "fetch", "redirect"),
        ([RECORD], PageFetched(200, "text/html", POLICY.encode()), "fetch", "text/html"),
        ([RECORD], PageFetched(problem="certificate", of_certificate=True), "fetch", "the world believes"),
    ],
)
def test_finding(texts: list[str], page: PageFetched | str | None, code: str, words: str) -> None:
    found = lint_mta_sts(texts, page, ["mx.a.test"])
    (one,) = [each for each in found if each.code == code]
    assert words in str(one)


def test_nothing_to_say() -> None:
    assert lint_mta_sts(RECORD, POLICY, ["mx.a.test."]) == ()


def test_with_the_dns() -> None:
    zone = {
        TextOf("_mta-sts.a.test"): (),
        TextOf("a.test"): (RECORD,),
        TextOf("_smtp._tls.a.test"): (),
        MxOf("a.test"): (MxRecord(10, "mx.a.test"),),
    }

    def answer(question: object) -> object:
        if question == PolicyAt("a.test"):
            return PageFetched(200, "text/plain", POLICY.encode())
        records = zone[question]  # type: ignore[index]
        return DnsAnswer(DnsOutcome.FOUND if records else DnsOutcome.NXDOMAIN, records)

    codes = [each.code for each in answer_by(answer, lint_mta_sts_of("A.test"))]
    assert codes == ["no-record", "wrong-name", "no-reports"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(max_size=60), max_size=3),
    st.text(max_size=200),
    st.lists(st.text(max_size=30), max_size=3),
)
def test_whatever_it_reads(texts: list[str], page: str, exchanges: list[str]) -> None:
    lint_mta_sts(texts, page, exchanges)
    lint_mta_sts(
        [f"v=STSv1;{text}" for text in texts],
        f"version: STSv1\nmode: testing\nmax_age: 1\nmx: a.test\n{page}",
        exchanges,
    )

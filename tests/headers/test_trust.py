"""The trust boundary: what a stranger could have written, given whom the reader trusts."""

from __future__ import annotations

import pytest

from labkit.headers import dissect

MESSAGE = b"""Return-Path: <eve@evil.test>\r
Authentication-Results: mx.b.test; spf=pass\r
Received: from filter.b.test (localhost [127.0.0.1]) by mx.b.test (Postfix) with ESMTP id 4;\r
\tTue, 12 Mar 2024 10:00:04 +0000\r
Received: from edge.b.test (edge.b.test [192.0.2.10]) by mx.b.test (Postfix) with ESMTPS id 3;\r
\tTue, 12 Mar 2024 10:00:03 +0000\r
Received: from mx.b.test (evil.test [198.51.100.66]) by edge.b.test (Postfix) with ESMTP id 2;\r
\tTue, 12 Mar 2024 10:00:02 +0000\r
Received: from bank.test (bank.test [203.0.113.1]) by mx.b.test (Postfix) with ESMTPS id 1;\r
\tTue, 12 Mar 2024 10:00:01 +0000\r
Authentication-Results: mx.b.test; dmarc=pass header.from=bank.test\r
From: <boss@bank.test>\r
Date: Tue, 12 Mar 2024 10:00:00 +0000\r
\r
"""


@pytest.mark.parametrize(
    "trusted, level, boundary, client, because",
    [
        (None, 2, 4, "edge.b.test [192.0.2.10]", "only who wrote the topmost one, and that host twice"),
        ([], 0, 0, "", "nobody"),
        (["elsewhere.test"], 0, 0, "", "not who wrote the topmost one"),
        (["mx.b.test"], 2, 4, "edge.b.test [192.0.2.10]", "by name"),
        (["mx.b.test", "edge.b.test"], 3, 5, "evil.test [198.51.100.66]", "edge's client only says it is mx"),
        (["*.b.test"], 3, 5, "evil.test [198.51.100.66]", "all below a domain"),
        (["mx.b.test", "192.0.2.10"], 2, 4, "edge.b.test [192.0.2.10]", "the client, but not what it wrote"),
        (["mx.b.test", "192.0.2.0/24", "edge.b.test"], 3, 5, "evil.test [198.51.100.66]", "a network"),
        (
            ["MX.B.TEST.", "Edge.B.Test"],
            3,
            5,
            "evil.test [198.51.100.66]",
            "names in any case, a dot at the end",
        ),
        (["*.b.test", "evil.test"], 4, 6, "bank.test [203.0.113.1]", "who trusts evil gets what evil wrote"),
        (0, 0, 0, "", "a level: nothing"),
        (1, 1, 3, "localhost [127.0.0.1]", "a level"),
        (4, 4, 6, "bank.test [203.0.113.1]", "all of them"),
        (99, 4, 6, "bank.test [203.0.113.1]", "no more than there are"),
        (-1, 0, 0, "", "no less than none"),
    ],
)
def test_boundary(
    trusted: list[str] | int | None, level: int, boundary: int, client: str, because: str
) -> None:
    trust = dissect(MESSAGE, trusted=trusted).trust
    assert (trust.level, trust.boundary, trust.client) == (level, boundary, client), because
    assert trust.levels == 4
    assert trust.could_be_forged(boundary) and (boundary == 0 or not trust.could_be_forged(boundary - 1))


def test_it_says_why() -> None:
    words = dissect(MESSAGE, trusted=["*.b.test"]).trust.words
    assert words.startswith(
        "edge.b.test wrote the Received field in line 7 and got the message from evil.test ["
    )
    assert "not trusted" in dissect(MESSAGE, trusted=[]).trust.words
    assert "no Received field" in dissect(b"From: a@b\r\n\r\n").trust.words


def test_the_slider_changes_the_findings_too() -> None:
    found = dissect(MESSAGE, trusted=["*.b.test"])
    codes = {each.code for each in found.findings}
    assert {"results-forged", "our-name-below"} <= codes
    assert "results-forged" not in {each.code for each in found.with_trust(4).findings}
    assert found.with_trust(["*.b.test"]) == found
    assert found.fields == found.with_trust(0).fields


def test_a_reverse_name_that_is_doubted_convinces_nobody() -> None:
    top = b"Received: from x (edge.b.test [192.0.2.66] (may be forged)) by mx.b.test with ESMTP id 1; x\r\n"
    rest = b"Received: from y (y.test [192.0.2.67]) by edge.b.test with ESMTP id 2; x\r\n"
    assert dissect(top + rest, trusted=["mx.b.test", "edge.b.test"]).trust.level == 1
    sure = top.replace(b" (may be forged)", b"") + rest
    assert dissect(sure, trusted=["mx.b.test", "edge.b.test"]).trust.level == 2


def test_a_local_program_is_no_stranger() -> None:
    trust = dissect(b"Received: from ann by mx.b.test with local (Exim 4.96) id 1; x\r\nFrom: a@b\r\n").trust
    assert (trust.level, trust.client) == (1, "ann") and "of its own" in trust.words


def test_one_string_is_no_collection() -> None:
    with pytest.raises(TypeError, match=r"trusted=\['mx.b.test'\]"):
        dissect(MESSAGE, trusted="mx.b.test")  # type: ignore[arg-type]

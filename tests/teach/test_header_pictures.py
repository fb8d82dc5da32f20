"""The view and the pictures of headers: what they say is what dissect found, and nothing gets out of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.headers import dissect
from labkit.headers.totals import Totals, survey_all
from labkit.lab.synthetic_headers import synthetic_headers
from labkit.teach.plots import hop_ladder, many_headers, reading
from labkit.teach.show import show
from labkit.teach.view import View

HOSTILE = '--></svg><script>alert("$x$")</script>\u202egnp'
MESSAGE = f"""Return-Path: <ann@a.test>\r
Received: from mx.a.test (mx.a.test [192.0.2.1]) by mx.b.test with ESMTPS id 3; Tue, 12 Mar 2024 12:00:20 +0000\r
Received: from lap.a.test (x [192.0.2.2]) by mx.a.test with ESMTP id 2; Tue, 12 Mar 2024 15:00:00 +0000\r
Received: from <script> (y [192.0.2.3]) by {HOSTILE.replace(" ", "")} with ESMTP id 1; Tue, 12 Mar 2024 10:00:05 +0000\r
Date: Tue, 12 Mar 2024 10:00:00 +0000\r
From: {HOSTILE} <ann@a.test>\r
Message-ID: <{HOSTILE}>\r
X-{"a" * 300}: y\r
\r
""".encode()


def assert_harmless(view: View) -> None:
    html = str(view.html())
    assert "<script" not in html.lower() and "\u202e" not in html and "\u202e" not in view.text()
    assert " onload" not in html and 'href="http' not in html


def test_the_view_says_what_was_found() -> None:
    found = dissect(MESSAGE)
    view = show(found)
    text = view.text()
    assert_harmless(view)
    assert max(map(len, text.split("\n"))) <= 110
    plain = " ".join(text.split())
    for field in found.fields:
        assert field.words.split()[0] in text
    for each in found.findings:
        assert each.remedy.split()[0] in plain
    assert "Boundary: mx.b.test wrote the Received field in line 2" in plain
    assert plain.count("(could be forged)") == len(found.fields) - found.trust.boundary
    assert "\\u202egnp" in text and "The way, the oldest hop first" in text


@pytest.mark.parametrize("message", [b"", b"no header at all", b"\r\n", b"Received: x\r\n"])
def test_a_view_of_little(message: bytes) -> None:
    view = show(dissect(message))
    assert view.text() and str(view.html())
    assert hop_ladder(message).text() and hop_ladder(message).svg()


def test_the_ladder_is_what_dissect_found() -> None:
    found = dissect(MESSAGE)
    picture = hop_ladder(found)
    assert_harmless(picture)
    assert picture.hops == found.hops and picture.text() == hop_ladder(MESSAGE).text()
    lines = picture.text().split("\n")
    assert lines[3].split()[:3] == ["0", "2024-03-12", "10:00:00"]
    assert "(Date: written)" in lines[3] and "could be forged" in lines[4]
    assert "its clock is wrong, at least 2h59m ahead" in lines[5]
    assert lines[6].split()[3] == "2h15s" and "could be forged" not in lines[6]
    assert lines[-1] == "3 hops; on the way: 2h15s; hops with a wrong clock: 1"
    assert "wrong, at least 2h59m ahead" in picture.svg() and "since it was written" in picture.svg()


def test_a_gap_of_years_does_not_flatten_the_ladder() -> None:
    old = b"Received: from x (x [192.0.2.3]) by old.test with ESMTP id 1; Tue, 12 Mar 2019 10:00:05 +0000\r\n"
    new = b"Received: from old.test (old.test [192.0.2.1]) by b.test with ESMTP; Tue, 12 Mar 2024 12:00:20 +0000\r\n"
    picture = hop_ladder(new + old)
    assert "no queue waits so long" in picture.text() and "on the way: not known" in picture.text()


def test_a_ladder_of_many_hops_is_cut() -> None:
    picture = hop_ladder(b"Received: by a.test with SMTP id 1; Tue, 12 Mar 2024 12:00:20 +0000\r\n" * 500)
    assert len(picture.hops) == 60 and "440 older hops are left out" in picture.text()
    assert picture.png().startswith(b"\x89PNG")


def test_two_runs_draw_the_same() -> None:
    assert hop_ladder(MESSAGE).svg() == hop_ladder(MESSAGE).svg()


def test_the_picture_of_many() -> None:
    totals = survey_all(synthetic_headers(300))
    totals.domains[HOSTILE] += 10_000
    picture = many_headers(totals)
    assert_harmless(picture)
    text = picture.text()
    assert text.startswith("Hops and delays of 300 messages\n")
    for hops, count in totals.hops.items():
        assert any(line.split()[:2] == [str(hops), str(count)] for line in text.split("\n"))
    assert f"wrong clocks: {totals.skewed:,} messages" in text and f"signed by DKIM: {totals.signed}" in text
    assert "single steps" in picture.svg() and "mathdefault" not in picture.svg()
    assert many_headers(Totals()).text() and many_headers(Totals()).svg()


def an_mbox(folder: Path, count: int) -> Path:
    path = folder / "<b>corpus.mbox"
    line = b"From ann@a.test Tue Mar 12 10:00:00 2024\n"
    path.write_bytes(b"".join(line + message + b"\r\n" for message in synthetic_headers(count)))
    return path


def test_a_path_is_read_first(tmp_path: Path) -> None:
    path = an_mbox(tmp_path, 30)
    assert many_headers(path).text() == many_headers(survey_all(synthetic_headers(30))).text()
    assert many_headers(tmp_path).totals.messages == 30
    with pytest.raises(FileNotFoundError, match="no such file"):
        many_headers(tmp_path / "none")


def test_a_bar_grows_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Place:
        def update(self, html: reading._Html) -> None:
            shown.append(html._repr_mimebundle_()["text/html"])

    def display(bar: reading.Bar) -> Place:
        shown.append(str(bar.html()))
        return Place()

    monkeypatch.setattr(reading, "_display", display)
    monkeypatch.setattr(reading, "EVERY", 10)
    reading.read_with_a_bar(an_mbox(tmp_path, 35))
    shares = [int(found[1]) for found in map(re.compile(r"width:(\d+)%").search, shown[:-1]) if found]
    assert len(shares) == 4 and shares == sorted(shares) and 90 <= shares[-1] <= 100
    assert "35 messages of &lt;b&gt;corpus.mbox" in shown[-2] and shown[-1] == ""

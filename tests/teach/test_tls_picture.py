"""The matrix of TLS as a picture: predicted first, never wider than a page, and a story for each cell that is open."""

from __future__ import annotations

import asyncio

import pytest

from labkit.lab.tls_matrix import NoSuchCell, TlsMatrix, run_matrix
from labkit.teach.plots import tls_picture
from labkit.teach.plots.verdict_matrix import WrongPrediction
from labkit.teach.show import show


@pytest.fixture(scope="module")
def matrix() -> TlsMatrix:
    return asyncio.run(run_matrix(ports=[587], network="memory"))


def test_it_grows_and_stays_on_the_page(matrix: TlsMatrix) -> None:
    wrong = {"587 opportunistic": "refused encrypted encrypted stolen", "587 plain": "refused ? ? ?"}
    picture = tls_picture(matrix, wrong, 587)
    assert max(map(len, picture.text().splitlines())) <= 110
    assert (picture.right, picture.asked) == (1, 5)
    assert "X stolen,\n" not in picture.text() and "not encrypted" in picture.text()
    assert "(you: refused)" in picture.svg()
    with pytest.raises(NoSuchCell, match="first predict it"):
        picture.why(port=587, client="plain", attacker="strips")
    with pytest.raises(NoSuchCell, match="not in the picture"):
        picture.why(port=25, client="plain", attacker="strips")


def test_the_story(matrix: TlsMatrix) -> None:
    story = tls_picture(matrix).why(port=587, client="opportunistic", attacker="strips")
    said = story.text()
    assert max(map(len, said.splitlines())) <= 110
    assert "the attacker was told the password of ann, 17 characters, and the server took it" in said
    assert "250-STARTTLS" in said and "left out" in said
    assert "AUTH PLAIN ****" in said and "dummy-for-the-lab" not in said + str(story.html())
    assert show(matrix.why(port=587, client="opportunistic", attacker="strips")).text() == said


@pytest.mark.parametrize(
    "predicted, ports, problem",
    [
        ({"587 plain": "safe ? ? ?"}, (), "'safe' is no result; the words are encrypted, refused, clear"),
        ({"587": "? ? ? ?"}, (), "there is no port and client '587'"),
        ({"587 plain": "refused"}, (), "4 words are wanted"),
        (None, (26,), "there is no port 26"),
    ],
)
def test_what_cannot_be_predicted(
    predicted: dict[str, str] | None, ports: tuple[int, ...], problem: str, matrix: TlsMatrix
) -> None:
    with pytest.raises(WrongPrediction, match=problem):
        tls_picture(matrix, predicted, *ports)

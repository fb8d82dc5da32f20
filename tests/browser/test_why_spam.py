"""Why a letter is spam, in JupyterLab: a word is taken out and put in, and the score moves; no word is obeyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LEARN = """
from labkit.filters.bayes import Bayes
from labkit.teach.views.why_spam import why_spam
bayes = Bayes()
evil = b"From: <img src=x onerror=window.hacked=1>@x.test\\r\\nSubject: casino\\r\\n\\r\\ncasino pills </script>"
for _ in range(4):
    bayes.train(b"Subject: dinner\\r\\n\\r\\ndinner meeting timetable library", False)
    bayes.train(evil, True)
"""
CELLS = [LEARN, "why_spam(bayes, evil)"]


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("why_spam.ipynb", CELLS)
    desk.run_all()
    return desk


def test_words_out_and_in(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator("[data-labkit=why]").first
    root.get_by_text("spam: ").first.wait_for(timeout=20_000)
    root.screenshot(path=shots("why_spam.png"))
    root.get_by_role("button", name="take casino out").click()
    root.get_by_text("Taken out: casino.").wait_for(timeout=10_000)
    root.get_by_label("Words to put in").fill("dinner meeting timetable library subject:dinner")
    root.get_by_role("button", name="Put in").click()
    root.get_by_text("Put in:").wait_for(timeout=10_000)
    root.get_by_role("button", name="As it came").click()
    root.get_by_role("button", name="take casino out").wait_for(timeout=10_000)
    assert desk.page.evaluate("window.hacked") is None

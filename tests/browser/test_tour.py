"""Notebook 00 as a student sees it: run from the top in JupyterLab, read, typed into."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CELLS = json.loads((Path(__file__).resolve().parents[2] / "notebooks" / "00_tour.ipynb").read_text())["cells"]
# the last cell stops the lab; here it goes on
SOURCES: list[dict[str, Any]] = [{k: v for k, v in cell.items() if k != "id"} for cell in CELLS[:-1]]


@pytest.fixture(scope="module")
def tour(open_notebook: Callable[..., Any]) -> Any:
    desk = open_notebook("00_tour.ipynb", SOURCES)
    desk.run_all()
    return desk


def test_every_cell_has_run_without_an_error(tour: Any) -> None:
    assert tour.page.locator('.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert tour.page.get_by_text("Traceback").count() == 0


def test_the_card_stays_in_sight(tour: Any, shots: Callable[[str], Path]) -> None:
    strip = tour.page.locator(".labkit-strip")
    assert strip.count() == 1
    assert strip.is_visible()
    assert "mx2.st11.sne21.test" in strip.inner_text()
    assert "lab time" in strip.inner_text()
    tour.page.screenshot(path=shots("tour-light.png"))
    strip.get_by_role("button").click()
    assert "203.0.113.2" in strip.inner_text()
    assert tour.low_contrast(".labkit-strip") == []
    strip.get_by_role("button").click()


def test_the_strip_is_readable_in_the_dark(tour: Any, shots: Callable[[str], Path]) -> None:
    tour.theme("dark")
    assert tour.low_contrast(".labkit-strip") == []
    tour.page.screenshot(path=shots("tour-dark.png"))
    tour.theme("light")


def test_typing_to_bobs_real_server(tour: Any) -> None:
    player = tour.page.locator(".labkit-dialogue").last
    player.scroll_into_view_if_needed()
    player.get_by_role("button", name="Connect to").click()
    field = player.get_by_role("textbox")
    for line, answer in (
        ("EHLO laptop.st11.sne21.test", "250 HELP"),
        ("MAIL FROM:<ann@st11.sne21.test>", "250 OK"),
        ("RCPT TO:<nobody@st2.sne21.test>", "550 Unrouteable address"),
        ("RCPT TO:<carol@elsewhere.test>", "550 relay not permitted"),
        ("RCPT TO:<bob@st2.sne21.test>", "250 Accepted"),
        ("DATA", "354 Enter message"),
        ("Subject: by hand", ""),
        (".", "250 OK id="),
    ):
        field.fill(line)
        field.press("Enter")
        said = player.get_by_role("option").filter(has_text=answer or line)
        said.last.wait_for(timeout=10_000)
        field.wait_for()
        tour.page.wait_for_function("node => node.value === ''", arg=field.element_handle())
    assert re.search(r"250 OK id=\S+", player.inner_text())

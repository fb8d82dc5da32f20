"""The arena of notebook 04 in JupyterLab: its four buttons, a variant, a guess that is wrong, and the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CELLS = ["from labkit.teach.views.arena import arena\narena()"]
AT_ONCE, COUNTED = "a host notices at once", "it goes round until a host counts too many Received"
ARRIVES, ENDLESS = "it ends by itself, and the mail is delivered or waits", "it goes on as long as we look"
# Texts of the picture that lie upon each other or outside it, and numbers that lie upon a host's box.
LIES_BADLY = """(picture) => {
  const box = (node) => node.getBoundingClientRect();
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const all = [...picture.querySelectorAll("text")];
  const hosts = [...picture.querySelectorAll("rect")];
  const whole = box(picture);
  const bad = [];
  for (const text of all) {
    const here = box(text);
    if (here.left < whole.left || here.right > whole.right || here.top < whole.top || here.bottom > whole.bottom)
      bad.push(`${text.textContent} is cut off`);
    for (const other of all)
      if (other !== text && meet(here, box(other))) bad.push(`${text.textContent} on ${other.textContent}`);
    if (text.classList.contains("lk-arena-count") && hosts.some((host) => meet(here, box(host))))
      bad.push(`${text.textContent} on a host`);
  }
  return bad;
}"""


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("arena.ipynb", CELLS)
    desk.run_all()
    return desk


@pytest.fixture
def arena(desk: Any) -> Any:
    root = desk.page.locator("[data-labkit=arena]")
    root.scroll_into_view_if_needed()
    return root


def press(arena: Any, name: str) -> None:
    arena.get_by_role("button", name=name, exact=True).click()


def verdict(arena: Any) -> str:
    """What the arena says when the world has run; the longest of the four takes some seconds."""
    arena.get_by_role("button", name="Once more").wait_for(timeout=60_000)
    said: str = arena.locator(".lk-verdict").inner_text()
    return said


@pytest.mark.parametrize(
    "button, end, hop, last",
    [
        (
            "An alias to itself, on one host",
            AT_ONCE,
            "laptop.st2.sne21.test to mx2.st2.sne21.test: 1",
            "550 Unrouteable address",
        ),
        (
            "An MX that leads to oneself",
            AT_ONCE,
            "laptop.st11.sne21.test to mx2.st11.sne21.test: 1",
            "1 of them frozen",
        ),
        (
            "A backup MX behind a smarthost that takes everything",
            COUNTED,
            "mx2.st2.sne21.test to mx.relay.test: 15",
            'Too many "Received" headers',
        ),
        (
            "Forwarding, and a reply to everything",
            ENDLESS,
            "mx2.st11.sne21.test to mx2.st2.sne21.test: 5",
            "4 messages in the mailbox of ann",
        ),
    ],
)
def test_each_button_gives_an_outcome(button: str, end: str, hop: str, last: str, arena: Any) -> None:
    press(arena, button)
    arena.get_by_role("button", name=button, exact=True, pressed=True).wait_for()
    press(arena, end)
    assert verdict(arena) == f"As you expected: {end}."
    assert hop in (arena.get_by_role("img").get_attribute("aria-label") or "")
    assert last in arena.get_by_role("table", name="What happened").inner_text()
    assert arena.get_by_role("img").evaluate(LIES_BADLY) == []


def test_a_cure_and_a_wrong_guess(arena: Any) -> None:
    press(arena, "A backup MX behind a smarthost that takes everything")
    press(arena, "the cure")
    arena.get_by_text("What do you expect?").wait_for()
    press(arena, COUNTED)
    assert verdict(arena) == f"You expected: {COUNTED}. But {ARRIVES}."
    arena.get_by_role("button", name="the cure ✓", pressed=True).wait_for()
    press(arena, "Once more")
    press(arena, ARRIVES)
    assert verdict(arena) == f"As you expected: {ARRIVES}."


def test_by_keys_alone(arena: Any, desk: Any) -> None:
    arena.get_by_role("button", name="An alias to itself, on one host", exact=True).focus()
    desk.page.keyboard.press("Enter")
    arena.get_by_role("button", name="An alias to itself, on one host", exact=True, pressed=True).wait_for()
    desk.page.keyboard.press("d")  # JupyterLab would hear d, d and delete the cell
    desk.page.keyboard.press("d")
    arena.get_by_role("button", name="an account of that name", exact=True).focus()
    desk.page.keyboard.press("Space")
    arena.get_by_text("What do you expect?").wait_for()
    arena.get_by_role("button", name=ARRIVES, exact=True).focus()
    desk.page.keyboard.press("Enter")
    assert verdict(arena) == f"As you expected: {ARRIVES}."
    assert desk.page.locator(".jp-CodeCell").count() == len(CELLS)


def test_readable_in_both_themes(arena: Any, desk: Any, shots: Callable[[str], Path]) -> None:
    press(arena, "A backup MX behind a smarthost that takes everything")
    arena.get_by_role("img", name="mx.relay.test").wait_for()
    arena.screenshot(path=shots("arena-light.png"))
    assert desk.low_contrast("[data-labkit=arena]") == []
    desk.theme("dark")
    arena.screenshot(path=shots("arena-dark.png"))
    assert desk.low_contrast("[data-labkit=arena]") == []
    desk.theme("light")


@pytest.mark.parametrize("width", [960, 640])
def test_fits(width: int, arena: Any, desk: Any) -> None:
    verdict(arena)
    desk.page.set_viewport_size({"width": width, "height": 700})
    desk.page.wait_for_timeout(300)
    sticks_out = desk.sticks_out("[data-labkit=arena]")
    desk.page.set_viewport_size({"width": 1280, "height": 900})
    assert sticks_out == []

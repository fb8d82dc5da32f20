"""The queue view and the mail map in JupyterLab: a backup MX that waits, a loop that turns, hostile mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WORLDS = (Path(__file__).resolve().parents[1] / "teach" / "mail_worlds.py").read_text()
BACKUP = """
backup = await backup_world(alongside=True)
await backup.partner_laptop.send(ANN, "Hello", "Is anybody there?")
_ = await backup.partner_laptop.send(ANN, '<img src="x" onerror="window.hacked = 1">', "</script>\\u202e")
"""
LOOP = """
loop = await loop_world(alongside=True)
_ = await loop.laptop.send(BOB, "Round and round", "x")
"""
# The places of the envelope until it has been at three of them, or five seconds have passed.
PLACES = """(root) => new Promise((done) => {
  const places = new Set();
  const begun = performance.now();
  const look = () => {
    const envelope = root.querySelector(".lk-envelope");
    if (envelope) places.add(envelope.getAttribute("transform"));
    if (places.size > 3 || performance.now() - begun > 5000) done(places.size);
    else requestAnimationFrame(look);
  };
  look();
})"""
CELLS = [
    WORLDS,
    BACKUP,
    LOOP,
    "from labkit import mail_map, queue_view\nqueue_view(backup)",
    "mail_map(backup)",
    "mail_map(loop)",
]


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("queues.ipynb", CELLS)
    desk.run_all()
    return desk


@pytest.fixture
def queue(desk: Any) -> Any:
    root = desk.page.locator("[data-labkit=queue]")
    root.scroll_into_view_if_needed()
    return root


def seen(root: Any, text: str) -> None:
    root.get_by_text(text).first.wait_for(timeout=10_000)


def press(root: Any, name: str) -> None:
    root.get_by_role("button", name=name).first.click()


def picture(desk: Any, root: Any, path: Path) -> None:
    """The whole view: it is taller than the page."""
    desk.page.set_viewport_size({"width": 1280, "height": 1900})
    root.scroll_into_view_if_needed()
    desk.page.mouse.move(0, 0)
    root.screenshot(path=path)
    desk.page.set_viewport_size({"width": 1280, "height": 900})


def test_the_queue_waits_and_leaves(queue: Any, desk: Any, shots: Callable[[str], Path]) -> None:
    seen(queue, "2 waiting")
    assert "Connection refused" in queue.inner_text()
    press(queue, "+ an hour")
    seen(queue, "Monday 07 September 2026, 10:00 lab time")
    assert "10:15, for T:mx2.st11.sne21.test" in queue.inner_text().replace("\n", "")
    press(queue, "Freeze")
    seen(queue, "is now frozen")
    press(queue, "Open the spool files of")
    seen(queue, "the envelope's sender: who is told if it fails")
    picture(desk, queue, shots("queue-light.png"))
    assert queue.locator("img, script, a").count() == 0
    assert desk.page.evaluate("window.hacked") is None
    assert desk.low_contrast("[data-labkit=queue]") == []
    press(queue, "Close the spool files")
    press(queue, "Thaw")
    seen(queue, "is no longer frozen")
    desk.page.keyboard.press("d")  # JupyterLab would hear d, d and delete the cell
    desk.page.keyboard.press("d")
    press(queue, "Bring mx2.st11.sne21.test up")
    seen(queue, "the daemon is up")
    press(queue, "Run the queue of mx2.st2.sne21.test")
    seen(queue, "exim -q: what is due was tried")
    assert "2 waiting" in queue.inner_text(), "the retry time is not reached"
    queue.get_by_role("button", name="+ 15 minutes").focus()
    desk.page.keyboard.press("Enter")
    seen(queue, "No message waits anywhere.")
    assert desk.page.evaluate("document.activeElement.textContent") == "+ 15 minutes", "the focus stays"


def test_the_map_follows_the_other_view(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator("[data-labkit=map]").first
    root.scroll_into_view_if_needed()
    root.get_by_role("button", name="Message 1, Hello").click()
    seen(root, "The journey of message 1")
    seen(root, "put into the mailbox of ann")  # the other host has said 250 and is perhaps still at it
    root.get_by_role("slider").fill("5")
    root.locator(".lk-node-state").get_by_text("down, 0 waiting").wait_for()
    assert root.get_by_label("st11.sne21.test: MX 20 mx2.st2.sne21.test", exact=True).count() == 1
    assert root.get_by_label("mx2.st2.sne21.test called mx2.st11.sne21.test in vain").count() == 1
    picture(desk, root, shots("map-light.png"))
    root.get_by_role("button", name="mx2.st2.sne21.test, 203.0.113.2").focus()
    desk.page.keyboard.press("Enter")
    seen(root, "primary_hostname = mx2.st2.sne21.test")
    assert "Connection refused" in root.get_by_label("Log of mx2.st2.sne21.test").inner_text()
    assert desk.low_contrast("[data-labkit=map]") == []
    assert root.locator("img, script, a").count() == 0
    assert desk.page.evaluate("window.hacked") is None
    root.get_by_role("button", name="Close mx2").click()


def test_a_loop_turns(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator("[data-labkit=map]").nth(1)
    root.scroll_into_view_if_needed()
    root.get_by_role("button", name="Message 1, Round").click()
    there = root.locator("[aria-label^='mx2.st11.sne21.test to mx2.st2.sne21.test']")
    assert there.text_content() == "×3"
    press(root, "Start")
    assert there.count() == 0
    counts = []
    for _ in range(24):
        root.get_by_role("button", name="Next").click()
        counts.append(there.text_content() if there.count() else "")
    assert list(dict.fromkeys(counts)) == ["", "×1", "×2", "×3"], "the count on the arrow grows"
    desk.page.keyboard.press("Home")
    desk.page.emulate_media(reduced_motion="no-preference")
    press(root, "Play")
    assert root.evaluate(PLACES) > 3, "it moves"
    root.get_by_role("button", name="Pause").wait_for()
    root.get_by_label("Messages", exact=True).wait_for()
    press(root, "Pause")
    desk.page.emulate_media(reduced_motion="reduce")
    desk.theme("dark")
    press(root, "To the end")
    assert desk.low_contrast("[data-labkit=map]") == []
    picture(desk, root, shots("map-dark.png"))
    assert desk.low_contrast("[data-labkit=queue]") == []
    desk.theme("light")


def test_roles_and_labels(desk: Any) -> None:
    assert desk.nameless("[data-labkit=queue], [data-labkit=map]") == []


@pytest.mark.parametrize("width", [960, 640])
def test_fits(width: int, desk: Any) -> None:
    desk.page.set_viewport_size({"width": width, "height": 700})
    desk.page.wait_for_timeout(300)
    assert desk.sticks_out("[data-labkit=queue], [data-labkit=map]", but=".lk-scroll *") == []

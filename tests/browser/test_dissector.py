"""The header dissector in JupyterLab: a signed message, a byte that is changed, a paste, an upload, hostile mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WORLD = (Path(__file__).resolve().parents[1] / "teach" / "signed_worlds.py").read_text()
SETUP = """
from labkit import dissector
world = await signed_world(alongside=True)
"""
HOSTILE = (
    "Received: from a.test by b.test; Mon, 07 Sep 2026 09:00:00 +0000\n"
    "Received: from c.test by a.test; Mon, 07 Sep 2026 12:30:00 +0000\n"
    'Subject: <img src="x" onerror="window.hacked = 1">\u202e\u0007</script>\n'
    "From: a@b.test\n"
    "\n"
    '<script>window.hacked = 1</script><img src="x" onerror="window.hacked = 1">\n'
)
CELLS = [WORLD, SETUP, "dissector(the_message(world), world)", "dissector()"]


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("dissector.ipynb", CELLS)
    desk.run_all()
    return desk


@pytest.fixture
def signed(desk: Any) -> Any:
    root = desk.page.locator("[data-labkit=dissector]").first
    root.scroll_into_view_if_needed()
    return root


def seen(root: Any, text: str) -> None:
    root.get_by_text(text).first.wait_for(timeout=10_000)


def press(root: Any, name: str, *, exact: bool = True) -> None:
    root.get_by_role("button", name=name, exact=exact).first.click()


def picture(desk: Any, root: Any, path: Path) -> None:
    desk.page.set_viewport_size({"width": 1280, "height": 2600})
    root.scroll_into_view_if_needed()
    desk.page.mouse.move(0, 0)
    root.screenshot(path=path)
    desk.page.set_viewport_size({"width": 1280, "height": 900})


def test_through_the_fields_by_keys_and_mouse(signed: Any, desk: Any) -> None:
    fields = signed.get_by_role("listbox")
    fields.focus()
    for _ in range(5):
        desk.page.keyboard.press("ArrowDown")
    detail = signed.locator(".lk-detail")
    assert "DKIM-Signature" in detail.inner_text() and "the signing server" in detail.inner_text()
    chosen = fields.get_by_role("option", selected=True)
    assert chosen.count() == 1 and chosen.get_attribute("id") == fields.get_attribute("aria-activedescendant")
    signed.get_by_role("option", name="Subject,").hover()
    assert "The meeting" in detail.inner_text()
    signed.get_by_text("The header dissector").hover()
    assert "DKIM-Signature" in detail.inner_text(), "what was chosen comes back"
    fields.focus()
    desk.page.keyboard.press("End")
    assert "Message-ID" in detail.inner_text()
    desk.page.keyboard.press("Home")
    assert "Return-path" in detail.inner_text()


def test_the_trust_boundary(signed: Any) -> None:
    slider = signed.get_by_role("slider")
    assert signed.locator(".lk-forged[role=option]").count() == 7
    slider.focus()
    slider.press("ArrowRight")
    seen(signed, "2 of 2 Received fields")
    assert signed.locator(".lk-forged[role=option]").count() == 6
    assert "laptop.st2.sne21.test [198.51.100.2]" in signed.locator(".lk-trust").inner_text()
    slider.press("Home")
    seen(signed, "0 of 2 Received fields")
    assert signed.locator(".lk-forged[role=option]").count() == 11
    for key in ("ArrowRight", "ArrowRight", "Home", "ArrowRight"):
        slider.press(key)
    signed.locator("[aria-busy]").wait_for(state="detached")
    seen(signed, "1 of 2 Received fields")
    told = signed.locator(".lk-said", has_text="mx2.st11.sne21.test wrote the Received field in line 4")
    told.wait_for()  # the kernel answers each key; the last answer is the one that stays
    assert told.inner_text().startswith("mx2.st11.sne21.test wrote"), "the kernel knows"


def test_a_byte_is_changed_and_what_breaks(signed: Any, desk: Any, shots: Callable[[str], Path]) -> None:
    press(signed, "Check SPF, DKIM and DMARC now")
    seen(signed, "both hashes are right")
    assert signed.locator(".lk-result").all_inner_texts() == ["pass", "pass", "pass"]
    press(signed, "The octets and the hashes")
    seen(signed, "We meet at ten. In room 5.\\r\\n")
    assert signed.get_by_text("✓ The hashes are equal.").count() == 2
    assert signed.get_by_text("✓ signed").count() == 6
    picture(desk, signed, shots("dissector-light.png"))
    assert desk.low_contrast("[data-labkit=dissector]") == []
    press(signed, "Change the body")
    editor = signed.get_by_label("The text of the body")
    editor.wait_for()
    assert desk.page.evaluate("document.activeElement.getAttribute('data-key')") == "editor"
    editor.fill(editor.input_value().replace("room 5", "room 6"))
    press(signed, "Put it in")
    seen(signed, "said pass and says fail now: the body is not the one that was signed")
    assert "“5” became “6”" in signed.inner_text()
    assert signed.get_by_text("✗ The hashes differ.").count() == 1
    desk.theme("dark")
    assert desk.low_contrast("[data-labkit=dissector]") == []
    picture(desk, signed, shots("dissector-dark.png"))
    desk.theme("light")
    press(signed, "Undo the last")
    seen(signed, "The last change is taken back.")
    assert signed.get_by_text("✓ The hashes are equal.").count() == 2
    signed.get_by_role("option", name="Subject,").click()
    press(signed, "Change it")
    signed.get_by_label("The text of Subject").fill("subject:    The \\ meeting")
    press(signed, "Put it in")
    seen(signed, "stands alone")
    assert "The \\ meeting" in signed.get_by_label("The text of Subject").input_value(), "it is not lost"
    signed.get_by_role("option", name="From, the author").hover()
    signed.get_by_label("The text of Subject").fill("subject:    The   meeting")
    press(signed, "Put it in")
    seen(signed, "which its canonical form forgives")
    press(signed, "As it came")
    seen(signed, "It is as it came.")
    signed.get_by_role("option", name="To, the author").click()
    press(signed, "Take it out")
    seen(signed, "To was taken out")
    seen(signed, "a signed header field is not what was signed")
    press(signed, "As it came")
    seen(signed, "It is as it came.")


def test_a_hostile_message_is_pasted(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator("[data-labkit=dissector]").nth(1)
    root.scroll_into_view_if_needed()
    seen(root, "No message yet")
    press(root, "Paste one")
    root.get_by_label("The source of a message").fill(HOSTILE)
    press(root, "Take it apart")
    seen(root, "a stranger could have written it")
    assert "\\u202e\\x07" in root.inner_text() and "\u202e" not in root.inner_text()
    assert root.locator("img, script, a").count() == 0
    assert desk.page.evaluate("window.hacked") is None
    assert root.locator(".lk-skewed").count() == 1, "one clock is wrong"
    assert "There is no lab to ask" in root.inner_text()
    picture(desk, root, shots("dissector-pasted.png"))
    assert desk.low_contrast("[data-labkit=dissector]") == []
    desk.page.keyboard.press("d")
    desk.page.keyboard.press("d")
    press(root, "Look at field 2", exact=False)
    assert "c.test by a.test" in root.locator(".lk-detail").inner_text()


def test_a_file_is_uploaded(desk: Any, tmp_path: Path) -> None:
    root = desk.page.locator("[data-labkit=dissector]").nth(1)
    file = tmp_path / "large <b>.eml"
    file.write_bytes(b"Subject: large\r\nFrom: a@b.test\r\n\r\n" + b"x" * 76 * 13_000)
    root.locator("input[type=file]").set_input_files(file)
    seen(root, "988,034 octets: 2 fields")
    assert "large <b>.eml" in root.inner_text()
    assert "more octets are not shown" in root.inner_text()
    file.write_bytes(b"x" * 7_000_000)
    root.locator("input[type=file]").set_input_files(file)
    seen(root, "6,000,000 is the most")


def test_a_message_of_the_lab(signed: Any) -> None:
    press(signed, "Look again")
    seen(signed, "messages lie in the mailboxes")
    assert (
        "mx2.st11.sne21.test: ann 1: The meeting" in signed.get_by_label("A message of the lab").inner_text()
    )
    press(signed, "Open it")
    seen(signed, "A message of 1,3")
    signed.get_by_role("button", name="Check SPF, DKIM and DMARC now").wait_for()


def test_roles_and_labels(desk: Any) -> None:
    assert desk.nameless("[data-labkit=dissector]") == []


@pytest.mark.parametrize("width", [900, 640])
def test_fits(width: int, desk: Any, shots: Callable[[str], Path]) -> None:
    desk.page.set_viewport_size({"width": width, "height": 700})
    desk.page.wait_for_timeout(300)
    assert (
        desk.sticks_out("[data-labkit=dissector]", but="pre, pre *, input[type=file], .lk-value, option")
        == []
    )

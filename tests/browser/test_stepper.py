"""The question stepper in JupyterLab: a route walked through by mouse and by keys, right and wrong predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WORLD = """
from labkit import partners, step_route, step_spf, stepper
from labkit.mail.asking import ask
from labkit.mail.questions import DnsAnswer, DnsOutcome, TextOf
world = await partners(st=11, partner=2, network="memory", alongside=True).start()
"""
HOSTILE = """
image = '<img src="x" onerror="window.hacked = 1">\\u202e</script>'
await stepper(lambda: ask(TextOf(image)), answer_with=lambda q: DnsAnswer(DnsOutcome.FOUND, (image, "x" * 100_000)),
              predict="words")
"""
SPF = """
text = world.zone("sne21.test")
world.write_zone("sne21.test", text + '''
st2 IN TXT "v=spf1 ip4:198.51.100.0/24 include:_spf.st11.sne21.test a:www.st2.sne21.test mx -all"
_spf.st11 IN TXT "v=spf1 exists:%{ir}.ok.sne21.test ?all"
''')
await step_spf(world.partner.address, world.partner.name, "bob@st2.sne21.test", world)
"""
CELLS = [WORLD, 'await step_route(world.mine, "bob@st2.sne21.test")', HOSTILE, SPF]


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("stepper.ipynb", CELLS)
    desk.run_all()
    return desk


@pytest.fixture
def route(desk: Any) -> Any:
    root = desk.page.locator("[data-labkit=stepper]").first
    root.scroll_into_view_if_needed()
    return root


def seen(root: Any, text: str) -> None:
    root.get_by_text(text).first.wait_for(timeout=10_000)


def picture(desk: Any, root: Any, path: Path) -> None:
    desk.page.set_viewport_size({"width": 1280, "height": 1900})
    root.scroll_into_view_if_needed()
    desk.page.mouse.move(0, 0)
    root.screenshot(path=path)
    desk.page.set_viewport_size({"width": 1280, "height": 900})


def test_a_route_by_mouse_and_keys(route: Any, desk: Any, shots: Callable[[str], Path]) -> None:
    seen(route, "What is asked first?")
    assert "mx2.st2.sne21.test" not in route.inner_text()
    route.get_by_role("button", name="MX records at st2.sne21.test?").click()
    seen(route, "You had it (the question)")
    choices = [each.inner_text() for each in route.locator(".lk-choice").all()]
    wrong = next(i for i, words in enumerate(choices) if "there is no such name" in words)
    assert "lk-choice" in desk.page.evaluate("document.activeElement.className"), (
        "the focus goes to the choices"
    )
    desk.page.keyboard.press(str(wrong + 1))
    seen(route, "It was: one host that takes its mail")
    assert "10 mx2.st2.sne21.test" in route.inner_text()
    picture(desk, route, shots("stepper-light.png"))
    desk.page.keyboard.press("d")  # JupyterLab would hear d, d and delete the cell
    desk.page.keyboard.press("d")
    route.get_by_role("button", name="A records (IPv4 addresses) at mx2").focus()
    desk.page.keyboard.press("Enter")
    seen(route, "router others: MX of st2.sne21.test: 10 mx2.st2.sne21.test")
    assert desk.low_contrast("[data-labkit=stepper]") == []
    for _ in range(5):
        if not route.get_by_role("button", name="Just show me").count():
            break
        before = route.inner_text()
        route.get_by_role("button", name="Just show me").click()
        desk.page.wait_for_function(
            "([node, before]) => node.innerText !== before", arg=[route.element_handle(), before]
        )
    seen(route, "The verdict: routed")
    assert "2 of 3 predictions were right." in route.inner_text()
    desk.theme("dark")
    assert desk.low_contrast("[data-labkit=stepper]") == []
    picture(desk, route, shots("stepper-dark.png"))
    desk.theme("light")
    route.get_by_role("button", name="Run it again").click()
    seen(route, "What is asked first?")
    assert route.locator(".lk-turn").count() == 0


def test_spf(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator("[data-labkit=stepper]").nth(2)
    root.scroll_into_view_if_needed()
    root.get_by_role("button", name="TXT records at st2.sne21.test?").click()
    seen(root, "You had it (the question)")
    root.get_by_role("button", name="Show all").click()
    seen(root, "The verdict: pass")
    assert "1 of 1 predictions was right." in root.inner_text()
    picture(desk, root, shots("stepper-spf.png"))
    assert desk.low_contrast("[data-labkit=stepper]") == []


def test_hostile_text_and_own_words(desk: Any) -> None:
    root = desk.page.locator("[data-labkit=stepper]").nth(1)
    root.scroll_into_view_if_needed()
    root.locator("input").fill("<b>what I expect</b>")
    desk.page.keyboard.press("Enter")
    seen(root, "<b>what I expect</b>")
    root.get_by_role("button", name="I was right").click()
    seen(root, "You had it")
    root.get_by_role("button", name="Show all").click()
    seen(root, "The verdict")
    assert root.locator("img, script, a, b b").count() == 0
    assert "\u202e" not in root.inner_text()
    assert "more characters" in root.inner_text()
    assert desk.page.evaluate("window.hacked") is None


def test_roles_and_labels(desk: Any) -> None:
    assert desk.nameless("[data-labkit=stepper]") == []


@pytest.mark.parametrize("width", [900, 640])
def test_fits(width: int, desk: Any) -> None:
    desk.page.set_viewport_size({"width": width, "height": 700})
    desk.page.wait_for_timeout(300)
    assert desk.sticks_out("[data-labkit=stepper]") == []

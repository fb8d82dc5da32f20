"""The handshake player, the predicted matrix of TLS and the live greylist in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHAKE = """
from dataclasses import replace
from labkit import World
from labkit.lab.handshakes import watch_handshake
from labkit.lab.solutions import defend
from labkit.lab.tls_matrix import run_matrix
from labkit.lab.world import partners
from labkit.teach.plots import tls_picture
from labkit.teach.show import show
from labkit.teach.views.triplets import triplets_view
from labkit.lab.certificates import have_signed, install, make_key
TLS = '''tls_advertise_hosts = *
tls_certificate = /etc/tls.crt
tls_privatekey = /etc/tls.key
daemon_smtp_ports = smtp : submission
'''
async with partners(network="memory", alongside=True) as world:
    key, name = make_key(), world.mine.name
    install(world.mine, (await have_signed(world.mine, key.request(name))).pem, key)
    world.mine.write_configuration(TLS + world.mine.configuration_file.read_text())
    await world.mine.reload()
    shaken = await watch_handshake(world, world.partner_laptop, name, 587)
show(replace(shaken, server="<img src=x onerror=window.hacked=1>"))
"""
MATRIX = """
matrix = await run_matrix(ports=[587], network="memory")
tls_picture(matrix, {"587 opportunistic": "refused encrypted encrypted stolen"}, 587)
"""
GREYLIST = """
spam = World.open("spam", network="memory", engine="labkit", alongside=True)
await spam.start()
await defend(spam, "greylist_sqlite")
triplets_view(spam)
"""
FIRST = """
await spam.laptops["bot.winner.test"].send("ann@st11.sne21.test", "hi", "there")
await spam.laptops["out1.cloudpost.test"].send("ann@st11.sne21.test", "hi", "there")
"""
AGAIN = """
await spam.advance(minutes=20)
await spam.laptops["out1.cloudpost.test"].send("ann@st11.sne21.test", "hi", "there")
"""
HANDSHAKE = "[data-labkit=handshake]"
TRIPLETS = "[data-labkit=triplets]"


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("transport.ipynb", [SHAKE, MATRIX, GREYLIST, FIRST, AGAIN])
    desk.run_all()
    return desk


def test_the_handshake_by_keys(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator(HANDSHAKE).first
    turns = root.locator(".lk-turn")
    root.get_by_role("button", name="Go on").focus()
    for _ in range(40):
        if root.locator(".lk-choice").count():
            break
        desk.page.keyboard.press("ArrowRight")
    before = turns.count()
    desk.page.keyboard.press("1")
    assert turns.count() == before + 1
    assert root.locator(".lk-predicted").inner_text().startswith(("✓", "✗"))
    desk.page.keyboard.press("ArrowLeft")
    assert turns.count() == before
    desk.page.keyboard.press("End")
    assert root.locator(".lk-verdict").inner_text().startswith("Agreed: TLS")
    assert desk.page.evaluate(f"document.querySelector('{HANDSHAKE}').contains(document.activeElement)")
    assert desk.page.evaluate("window.hacked") is None
    root.screenshot(path=shots("handshake.png"))
    for theme in ("dark", "light"):
        desk.theme(theme)
        assert desk.low_contrast(HANDSHAKE) == []
    assert desk.nameless(HANDSHAKE) == [] and desk.sticks_out(HANDSHAKE) == []


def test_the_matrix_is_predicted_then_shown(desk: Any) -> None:
    said = desk.page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea-output").first
    said.scroll_into_view_if_needed()
    shown = said.text_content()
    assert "(you: refused)" in shown and "stolen" in shown
    assert "?" in shown, "what is not predicted stays hidden"


def test_the_greylist_lives(desk: Any, shots: Callable[[str], Path]) -> None:
    root = desk.page.locator(TRIPLETS).first
    root.scroll_into_view_if_needed()
    row = root.locator("tbody tr", has_text="grace@cloudpost.test")
    row.get_by_text("yes", exact=True).wait_for(timeout=10_000)
    assert root.locator("tbody tr").count() == 2
    root.screenshot(path=shots("triplets.png"))
    assert desk.nameless(TRIPLETS) == []
    assert desk.low_contrast(TRIPLETS) == []

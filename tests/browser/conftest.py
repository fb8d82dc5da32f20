"""A real JupyterLab and a real browser, for all tests of live views.

GIVES      `jupyter`: a JupyterLab of our own, in a temporary folder, with nothing of the user's.
           `chromium`: a headless browser (CHROMIUM names the program). Without one: skipped; in CI a failure.
           `open_notebook(name, cells)`: writes that notebook, opens it in a fresh page and returns a `Desk`.
CHECKS     at the end of each page: no error on the console, no request to anything but 127.0.0.1.
PICTURES   `shots(name)` is where a screenshot goes: docs/pictures with LABKIT_SHOTS=1, else a temporary folder.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TOKEN = "labkit"
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()
CONTEXT = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
PATIENCE = 60  # s for the server to come up; seconds on an idle machine
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
# The sign at the notebook says "idle" before it knows of any kernel, and cells that are told to run then, or while
# one is being started, never run. The session says what is true.
KERNEL_IS_IDLE = """() => {
  const { sessionContext } = [...window.jupyterapp.shell.widgets("main")].find((widget) => widget.sessionContext);
  return sessionContext.isReady && sessionContext.kernelDisplayStatus === "idle";
}"""
ERROR = '.jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]'
ALL_HAVE_RUN = f"""() => document.querySelector('{ERROR}') || [
    ...document.querySelectorAll(".jp-CodeCell .jp-InputArea-prompt")
].every((prompt) => /\\d/.test(prompt.textContent))"""

# Every piece of text on view below a node whose contrast to what lies behind it is under the limit.
LOW_CONTRAST = """([selector, limit]) => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const part = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const found = [];
  let measured = 0;
  for (const root of document.querySelectorAll(selector)) {
    for (const node of [root, ...root.querySelectorAll("*")]) {
      const text = node.matches("input[type=text]")
        ? node.value
        : [...node.childNodes].filter((c) => c.nodeType === Node.TEXT_NODE).map((c) => c.data).join("").trim();
      const box = node.getBoundingClientRect();
      const isSeen = node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
      if (!text || !isSeen || box.width < 2) continue;
      measured += 1;
      const behind = ground(node);
      const [a, b] = [light(over(rgba(getComputedStyle(node).color), behind)), light(behind)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const what = `${node.className || node.tagName}: ${text.slice(0, 40)}`;
      if (contrast < limit) found.push(`${contrast.toFixed(2)}: ${what}`);
    }
  }
  if (!measured) found.push(`there is no text in ${selector}`);
  return found;
}"""

# What one can press, fill in or walk to, or what has a role, without a name that a screen reader could say.
NAMELESS = """(selector) => [...document.querySelectorAll(selector)]
    .flatMap((root) => [...root.querySelectorAll("button, input, select, textarea, [role], [tabindex]")])
    .filter((node) => !["alert", "status"].includes(node.getAttribute("role"))
        && !(node.ariaLabel || node.labels?.length || node.textContent.trim()))
    .map((node) => node.outerHTML)"""

# What reaches beyond the right edge of the node that it stands in, but for what may.
STICKS_OUT = """([selector, but]) => [...document.querySelectorAll(selector)].flatMap((root) =>
    [...root.querySelectorAll("*")]
        .filter((node) => !but || !node.matches(but))
        .filter((node) => node.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
        .map((node) => node.outerHTML.slice(0, 80)))"""


@dataclass
class Jupyter:
    """A running JupyterLab and the folder it serves."""

    folder: Path
    port: int

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={TOKEN}&reset"


@dataclass
class Desk:
    """A notebook in a browser page; `page` is Playwright's."""

    page: Any
    console_errors: list[str] = field(default_factory=list)
    outside_requests: list[str] = field(default_factory=list)

    def run_all(self) -> None:
        """Run all cells until the kernel has nothing more to do; a cell that fails ends the test, with its words."""
        self.wait_for_kernel()
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()
        self.page.wait_for_function(ALL_HAVE_RUN, timeout=60_000)
        if self.page.locator(ERROR).count():
            pytest.fail(self.page.locator(ERROR).first.inner_text(), pytrace=False)
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        self.page.wait_for_function(KERNEL_IS_IDLE, timeout=60_000)

    def theme(self, name: str) -> None:
        """Choose "light" or "dark"."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        self.page.get_by_text("Theme", exact=True).hover()
        self.page.get_by_text(f"JupyterLab {name.capitalize()}", exact=True).first.click()
        wanted = str(name == "light").lower()
        self.page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{wanted}'")
        self.page.keyboard.press("Escape")
        self.page.wait_for_timeout(300)  # the new theme's style sheet

    def low_contrast(self, selector: str, limit: float = 4.5) -> list[str]:
        """Texts there whose contrast is too low, with their ratio."""
        found: list[str] = self.page.evaluate(LOW_CONTRAST, [selector, limit])
        return found

    def nameless(self, selector: str) -> list[str]:
        """What in there has no name for who cannot see it."""
        found: list[str] = self.page.evaluate(NAMELESS, selector)
        return found

    def sticks_out(self, selector: str, but: str = "") -> list[str]:
        """What in there is wider than there is room; `but` may be: it scrolls, or is cut."""
        found: list[str] = self.page.evaluate(STICKS_OUT, [selector, but])
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not come up. It said:\n{log.read_text(errors='replace')}", pytrace=False)


@pytest.fixture(scope="session")
def chromium_program(require: Callable[[str], str], require_module: Callable[[str], None]) -> str:
    require_module("playwright")
    return os.environ.get("CHROMIUM") or require("chromium")


@pytest.fixture(scope="session")
def jupyter(chromium_program: str, tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Jupyter]:
    home = tmp_path_factory.mktemp("jupyter")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    (home / "desk").mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY_"))}
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "PLATFORM_DIRS"):
        environment[f"JUPYTER_{name}"] = str(home / name.lower())
    environment |= {
        "JUPYTER_PLATFORM_DIRS": "0",
        "JUPYTER_CONFIG_PATH": str(root / "labkit" / "jupyter"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    port, log = free_port(), home / "server.log"
    options = [
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--LabApp.news_url=",
        "--LabApp.expose_app_in_browser=True",
    ]
    options += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home / 'desk'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_up(process, port, log)
            yield Jupyter(home / "desk", port)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def chromium(chromium_program: str) -> Iterator[Any]:
    """One for each module: while Playwright runs, asyncio.run() fails in this thread, which others need."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_notebook(jupyter: Jupyter, chromium: Any) -> Iterator[Callable[..., Desk]]:
    """`open_notebook("name.ipynb", ["source of a cell", ...])`; a cell may also be a dict, outputs and all."""
    desks: list[Desk] = []

    def open_one(name: str, cells: list[str | dict[str, Any]], **context: Any) -> Desk:
        (jupyter.folder / name).write_text(json.dumps(notebook(cells)))
        page = chromium.new_context(**{**CONTEXT, **context}).new_page()
        page.set_default_timeout(15_000)
        desk = Desk(page)
        desks.append(desk)
        page.on(
            "console", lambda said: desk.console_errors.append(said.text) if said.type == "error" else None
        )
        page.on("pageerror", lambda problem: desk.console_errors.append(str(problem)))
        page.on("request", lambda request: note_outside(desk, request.url, jupyter.port))
        page.goto(jupyter.url(name))
        page.locator(".jp-Notebook .jp-Cell").nth(len(cells) - 1).wait_for(timeout=20_000)
        return desk

    yield open_one
    for desk in desks:
        desk.page.context.close()
    assert [desk.console_errors for desk in desks] == [[] for _ in desks]
    assert [desk.outside_requests for desk in desks] == [[] for _ in desks]


def note_outside(desk: Desk, url: str, port: int) -> None:
    if not url.startswith((f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", "data:", "blob:")):
        desk.outside_requests.append(url)


def notebook(cells: list[str | dict[str, Any]]) -> dict[str, Any]:
    empty = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    return {
        "cells": [
            {**empty, "id": f"cell-{number}", **({"source": cell} if isinstance(cell, str) else cell)}
            for number, cell in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture(scope="session")
def shots(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    kept = root / "docs" / "pictures"
    folder = kept if os.environ.get("LABKIT_SHOTS") == "1" else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: folder / name

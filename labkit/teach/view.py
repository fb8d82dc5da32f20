"""What every view is: one thing of the lab in two forms, HTML and text; and what a live view is besides.

WHAT       `View` has `html()` and `text()` and displays itself in Jupyter with both. `LiveView` also has a widget:
           one ES module of two files from teach/static (page.js, which all share, and its own; no imports, no CDN, no
           build), the style sheet labkit.css with the view's own behind it, and one value, `state()`, that the browser
           draws. Where no kernel runs, the static forms remain.
HOW        subclass LiveView; name the `script`; give in `state()` what the browser needs, as JSON; in `hear` do what
           a message from the browser asks for, then `refresh()`. The module reads model.get("state") and
           model.get("problem"), draws at model.on("change:turn", ...), answers by model.send({...}), and puts text
           into the page by textContent only.
RULES      the same thing gives the same HTML and text in every run: strict nbval compares them. No memory address.
LAZY       anywidget and ipywidgets are imported when the first live view is displayed.
READ NEXT  markup.py, views/dialogue.py
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, ClassVar

from labkit.teach.markup import Markup, clip, visible

STATIC = Path(__file__).parent / "static"
STYLE_SHEET, SHARED = "labkit.css", "page.js"
LONGEST_PROBLEM = 500

MimeBundle = tuple[dict[str, Any], dict[str, Any]]


class View(ABC):
    """One thing, shown. The last line of a cell displays it; print() and the terminal give its text."""

    @abstractmethod
    def html(self) -> Markup:
        """For where no kernel runs: GitHub, nbviewer, nbconvert, a notebook not yet run."""

    @abstractmethod
    def text(self) -> str:
        """For the terminal, for screen readers that want it plain, and for tests."""

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> MimeBundle:
        return {"text/html": str(self.html()), "text/plain": self.text()}, {}


class LiveView(View):
    """A view that lives while its kernel runs."""

    script: ClassVar[str]  # the ES module's name in teach/static

    def __init__(self) -> None:
        self._widget: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that the browser draws, as JSON. Called once for the display and at each `refresh`."""

    async def hear(self, message: Mapping[str, Any]) -> None:
        """A message from the browser. What this raises is shown in the widget, as text."""
        raise ValueError("this view takes no messages")

    def refresh(self, problem: str = "") -> None:
        """Draw the present state in every browser that shows this view; `problem` is shown with it."""
        if self._widget is not None:
            with self._widget.hold_sync():  # one message, so that the browser never sees half of it
                self._widget.state = self.state()
                self._widget.problem = clip(visible(problem), LONGEST_PROBLEM)
                self._widget.turn += 1

    @property
    def widget(self) -> Any:
        """The anywidget, made when first asked for (to put it into an ipywidgets box, say)."""
        if self._widget is None:
            self._loop = _running_loop()
            self._widget = _widget_class(self.script)(state=self.state())
            self._widget.on_msg(self._on_message)
        return self._widget

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> MimeBundle:
        live, metadata = self.widget._repr_mimebundle_() or ({}, {})
        static, _ = super()._repr_mimebundle_(include, exclude)
        return {**live, **static}, dict(metadata)

    def _on_message(self, widget: object, message: Mapping[str, Any], buffers: object = None) -> None:
        """What the kernel calls, from its own loop or (with subshells) from a thread of its own.

        The work is done on the loop of the cell that displayed the view, because the lab lives there. Without any
        loop, as in a plain test, it is done before this returns.
        """
        home = self._loop
        if home is not None and home.is_running() and home is not _running_loop():
            home.call_soon_threadsafe(lambda: self._start(self._answer(message)))
        elif _running_loop() is not None:
            self._start(self._answer(message))
        else:
            asyncio.run(self._answer(message))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps weak references only
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Mapping[str, Any]) -> None:
        try:
            await self.hear(message)
        except Exception as problem:  # in a task nobody would hear of it
            self.refresh(f"{type(problem).__name__}: {problem}")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _style(script: str) -> str:
    """The style sheet of every view, and the view's own behind it where it has one: stepper.css for stepper.js."""
    sheets = (STATIC / STYLE_SHEET, (STATIC / script).with_suffix(".css"))
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets if sheet.exists())


@functools.cache
def _widget_class(script: str) -> type[Any]:
    """The widget class for an ES module of teach/static. `turn` goes up with each refresh, changed or not."""
    import anywidget
    import traitlets

    class Live(anywidget.AnyWidget):
        _esm = "".join((STATIC / name).read_text(encoding="utf-8") for name in (SHARED, script))
        _css = _style(script)
        state = traitlets.Dict().tag(sync=True)
        problem = traitlets.Unicode().tag(sync=True)
        turn = traitlets.Int().tag(sync=True)

    return Live

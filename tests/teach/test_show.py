"""show() finds the view, whatever it is given, and says what it can show."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from labkit.smtp.pair import Exchange
from labkit.teach import show as module
from labkit.teach.conversation import Conversation
from labkit.teach.markup import Markup, tag
from labkit.teach.show import show, shows
from labkit.teach.view import View
from labkit.teach.views.dialogue import Dialogue


@dataclass(frozen=True)
class Stone:
    weight: int = 1


class Pebble(Stone):
    pass


@dataclass(frozen=True, repr=False)
class Weighing(View):
    words: str

    def html(self) -> Markup:
        return tag("p", self.words)

    def text(self) -> str:
        return self.words


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ONE", dict(module._ONE))
    monkeypatch.setattr(module, "_MANY", dict(module._MANY))


def test_registers_a_type_its_subclasses_and_many_of_them() -> None:
    @shows(Stone)
    def show_stone(stone: Stone, *, unit: str = "kg") -> View:
        return Weighing(f"{stone.weight} {unit}")

    @shows(Stone, many=True)
    def show_stones(stones: list[Stone]) -> View:
        return Weighing(f"{len(stones)} stones")

    assert repr(show(Stone(3))) == "3 kg"
    assert repr(show(Stone(3), unit="lb")) == "3 lb"
    assert repr(show(Pebble())) == "1 kg", "a subclass"
    assert repr(show([Pebble(), Stone()])) == "2 stones", "their common class"
    assert repr(show((Stone(),))) == "1 stones", "a tuple"
    assert show(view := show(Stone())) is view, "a view shows itself"
    assert show(Stone())._repr_mimebundle_() == ({"text/html": "<p>1 kg</p>", "text/plain": "1 kg"}, {})


def test_a_type_has_one_view() -> None:
    @shows(Stone)
    def first(stone: Stone) -> View:
        return Weighing("first")

    with pytest.raises(ValueError, match="first already shows Stone"):

        @shows(Stone)
        def second(stone: Stone) -> View:
            return Weighing("second")


def test_says_what_it_can_show() -> None:
    with pytest.raises(TypeError, match=r"no view of a dict; it can show .*Conversation.*several Exchange"):
        show({})
    with pytest.raises(TypeError, match="no view of a list of int, str"):
        show([1, "a"])
    with pytest.raises(TypeError, match="no view of an empty list"):
        show([])
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        show(Conversation("a.test", "b.test"), colour="red")


def test_shows_conversations_and_bare_lines() -> None:
    line = Exchange("S", "220 b.test", "", "")
    assert isinstance(show(Conversation("a.test", "b.test", [line])), Dialogue)
    view = show([line], client="a.test", server="b.test")
    assert "a.test (C) talks to b.test (S)" in view.text()


def test_importing_is_cheap() -> None:
    """Jupyter's widgets are imported when a live view is displayed; not before."""
    program = """
import sys
import labkit.teach, labkit.teach.show, labkit.teach.views.dialogue as dialogue
from labkit.teach.conversation import Conversation
view = dialogue.Dialogue(Conversation("a.test", "b.test"))
view.html(), view.text()
print([name for name in ("anywidget", "ipywidgets", "IPython", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Nothing gets into the page that was not built there."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.teach.markup import Markup, clip, drawing, join, tag, visible


@pytest.mark.parametrize(
    "built, html, because",
    [
        (tag("p", "a & b"), "<p>a &amp; b</p>", "text is escaped"),
        (tag("td", "<img src=x onerror=y>"), "<td>&lt;img src=x onerror=y&gt;</td>", "markup in text is text"),
        (tag("p", tag("b", "x"), " y", None, 7), "<p><b>x</b> y7</p>", "markup passes, None is nothing"),
        (tag("br"), "<br>", "an element without an end"),
        (tag("td", class_="a", aria_label='say "x"'), '<td class="a" aria-label="say &quot;x&quot;"></td>', "names"),
        (tag("td", title=None, colspan=2), '<td colspan="2"></td>', "None leaves the attribute out"),
        (tag("p", title="' onmouseover='x"), '<p title="&#x27; onmouseover=&#x27;x"></p>', "no way out of quotes"),
        (join("<", tag("i", ">")), "&lt;<i>&gt;</i>", "pieces"),
        (tag("pre", "a\n\tb"), "<pre>a\n\tb</pre>", "line ends and tabs stay"),
        (tag("p", "\u202egnp"), "<p>\\u202egnp</p>", "what turns text is seen"),
    ],
)  # fmt: skip
def test_builds(built: Markup, html: str, because: str) -> None:
    assert str(built) == html, because


@pytest.mark.parametrize(
    "name, attributes, because",
    [
        ("script", {}, "runs"),
        ("img", {}, "fetches"),
        ("a", {"href": "https://x"}, "leads out"),
        ("p", {"onclick": "x"}, "runs"),
        ("p", {"src": "x"}, "fetches"),
        ("p", {"style": "background:url(x)"}, "fetches"),
        ("p", {"style": "background:u\\72l(x)"}, "fetches by an escape"),
        ("p", {"style": "}</style>"}, "leaves the style"),
        ("p><script", {}, "no name"),
        ("p", {"class x": "y"}, "no name"),
    ],
)
def test_refuses(name: str, attributes: dict[str, str], because: str) -> None:
    with pytest.raises(ValueError, match=r"no element|no attribute|a style"):
        tag(name, **attributes)


def test_refuses_what_is_neither_text_nor_markup() -> None:
    with pytest.raises(TypeError, match="bytes is neither text nor Markup"):
        tag("p", b"x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="holds nothing"):
        tag("br", "x")


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    reader = Reader()
    reader.feed(str(tag("p", text, title=text)))
    reader.close()
    assert reader.seen == ["p"]
    assert reader.text == visible(text)


@pytest.mark.parametrize(
    "text, seen",
    [
        ("plain äж שלום 日本", "plain äж שלום 日本"),
        ("a\u202eb\u2066\u200b\ufeff", r"a\u202eb\u2066\u200b\ufeff"),
        ("\x1b[31m\x00\r\x85\xa0", r"\x1b[31m\x00\x0d\x85\xa0"),
        ("\U000e0041\ud800", r"\U000e0041\ud800"),
    ],
)
def test_hidden_characters_are_seen(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_too_much_is_cut_and_says_so() -> None:
    assert clip("abc", 3) == "abc"
    assert clip("a" * 100_003, 3) == "aaa [and 100,000 more characters]"


def test_of_a_drawing_only_shapes_and_letters_pass() -> None:
    hostile = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="alert(1)">
        <style>* {display: none}</style><script>alert(2)</script><image xlink:href="http://x.test/a.png"/>
        <g id="a" onclick="alert(3)"><path id="b" d="M 0 0.123456" style="fill: url(http://x.test/)"/></g>
        <use xlink:href="#b" x="1.50"/><use xlink:href="http://x.test/c.svg#d"/>
        <a href="javascript:alert(4)"><text>no</text></a>
        <text style="fill: #000000">&lt;b&gt;\xe2\x80\xae</text><foreignObject><p>no</p></foreignObject></svg>"""
    shown = str(drawing(hostile, "one", 'a "title"'))
    assert "alert" not in shown and "x.test" not in shown and "none" not in shown and ">no<" not in shown
    assert 'd="M 0 0.12"' in shown and 'href="#one-0" x="1.5"' in shown and 'id="one-0"' in shown
    assert "&lt;b&gt;\\u202e" in shown and 'aria-label="a &quot;title&quot;"' in shown


def test_markup_is_made_in_one_place(root: Path) -> None:
    for path in (root / "labkit").rglob("*.py"):
        if path.name != "markup.py":
            assert "Markup(" not in path.read_text(), path


def test_static_scripts_put_text_into_the_page_as_text(root: Path) -> None:
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "import ",
        "import(",
        "http:",
    )
    for path in (root / "labkit" / "teach" / "static").glob("*.js"):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert [word for word in forbidden if word in text] == [], path
        assert "https:" not in text
    for path in (root / "labkit" / "teach" / "static").glob("*.css"):
        assert not any(word in path.read_text() for word in ("url(", "@import")), path

"""Lists of tag=value pairs, strict and lenient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.auth.tags import TagSyntaxError, parse_tags, parse_tags_leniently, without_blanks


@pytest.mark.parametrize(
    "text, pairs",
    [
        ("v=1; a=rsa-sha256", {"v": "1", "a": "rsa-sha256"}),
        (" v = 1 ;\r\n\ta=b c\t d ; ", {"v": "1", "a": "b c\t d"}),
        ("p=", {"p": ""}),
        ("p=;", {"p": ""}),
        ("", {}),
        (" \r\n ", {}),
        ("b=aa==; x_1=y=z", {"b": "aa==", "x_1": "y=z"}),
        ("V=1;v=2", {"V": "1", "v": "2"}),
        ("i=jürgen@bücher.example", {"i": "jürgen@bücher.example"}),
    ],
)
def test_good(text: str, pairs: dict[str, str]) -> None:
    assert dict(parse_tags(text)) == pairs
    assert dict(parse_tags_leniently(text)) == pairs


@pytest.mark.parametrize(
    "text, words, kept",
    [
        ("v=1; v=1", "the tag v= comes twice", {"v": "1"}),
        ("v=1;;a=2", "there is nothing between two semicolons", {"v": "1", "a": "2"}),
        (";v=1", "there is nothing between two semicolons", {"v": "1"}),
        ("v=1; nonsense", "'nonsense' is no tag=value pair", {"v": "1"}),
        ("=1; v=1", "'' is no name of a tag", {"v": "1"}),
        ("1v=1; v=1", "'1v' is no name of a tag", {"v": "1"}),
        ("v-1=1; v=1", "'v-1' is no name of a tag", {"v": "1"}),
        ("a=\x07; v=1", "the value of 'a'= has the character '\\x07'", {"v": "1"}),
        ("a=\udcff; v=1", "has the character", {"v": "1"}),
    ],
)
def test_bad(text: str, words: str, kept: dict[str, str]) -> None:
    with pytest.raises(TagSyntaxError) as told:
        parse_tags(text)
    assert words in str(told.value)
    lenient = parse_tags_leniently(text)
    assert dict(lenient) == kept
    assert lenient.ignored


def test_get_and_blanks() -> None:
    tags = parse_tags("h=a : b; b=a\r\n b")
    assert (tags.get("h"), tags.get("x"), tags.get("x", "y"), "b" in tags, "x" in tags) == (
        "a : b",
        None,
        "y",
        True,
        False,
    )
    assert without_blanks(" a\r\n\t b") == "ab"


@given(st.text(alphabet="av=;1 \r\n\té\0", max_size=40))
def test_nothing_else_is_raised(text: str) -> None:
    lenient = parse_tags_leniently(text)
    try:
        assert parse_tags(text).pairs == lenient.pairs
    except TagSyntaxError:
        assert lenient.ignored

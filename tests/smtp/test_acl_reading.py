"""What is wrong with an ACL before it runs, and what labkit refuses by name."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.eximconf.builtin_macros import ACL_CONDITIONS, ACL_MODIFIERS
from labkit.eximconf.place import ConfigurationError, Place
from labkit.eximconf.reader import Setting
from labkit.smtp.acl import Acls
from labkit.smtp.acl.nested import words_of
from labkit.smtp.acl.reading import checked, statements_of
from labkit.smtp.acl.vocabulary import WORDS

PLACE = Place("exim.conf", 1)


def problem(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Acls({"x": statements_of(text, PLACE)}, {})
    assert caught.value.remedy
    return caught.value.problem


@pytest.mark.parametrize(
    "text, words",
    [
        ("deny nosuch = x", 'unknown ACL condition/modifier in "nosuch = x"'),
        ("forbid all", 'unknown ACL verb "forbid" in "forbid all"'),
        ("!deny", 'malformed ACL line "!deny"'),
        ("deny domains", '"=" missing after ACL "domains" condition'),
        ("deny message x", '"=" missing after ACL "message" modifier'),
        ("deny !message = x", 'ACL error: negation is not allowed with "message"'),
        ("deny ! set acl_m_x = 1", 'ACL error: negation is not allowed with "set"'),
        ("deny endpass", 'ACL error: "endpass" is not allowed with "deny"'),
        ("deny set x = 1", '(must start "acl_c" or "acl_m")'),
        ("deny set acl_mfoo = 1", "(digit or underscore must follow acl_c or acl_m)"),
        ("deny set acl_m_a-b = 1", 'invalid character "-" in variable name'),
        ("deny set acl_m_a", '"=" missing after ACL "set" modifier'),
    ],
)
def test_load_errors(text: str, words: str) -> None:
    """A22: Exim finds these when it reads the file, too."""
    assert words in problem(text)


@pytest.mark.parametrize(
    "line",
    """malware = *|mime_regex = x|regex = x|decode = x
    queue = q|udpsend = x|verify = csa|verify = arc|verify = recipient/quota|verify = sender/success_on_redirect
    verify = recipient/callout=hold|control = cutthrough_delivery|control = debug/tag=x|control = dscp/ef
    control = no_mbox_unspool|control = utf8_downconvert""".replace("\n", "|").split("|"),
)
def test_what_only_a_real_exim_can_do(line: str) -> None:
    text = problem(f"warn {line.strip()}")
    assert text.endswith("is not read by labkit yet")
    assert line.strip().split()[0] in text


def test_a_slip_of_the_pen_is_helped() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Acls({"x": statements_of("deny domain = x", PLACE)}, {})
    assert caught.value.remedy == 'perhaps you mean "domains"'


@pytest.mark.parametrize(
    "name, value, variable, text",
    [
        ("set acl_m_x", "1", "acl_m_x", "1"),
        ("set", "acl_m_x = 1", "acl_m_x", "1"),
        ("set", "acl_c0=", "acl_c0", ""),
        ("set acl_m_x", "a = b", "acl_m_x", "a = b"),
    ],
)
def test_both_ways_to_write_set(name: str, value: str, variable: str, text: str) -> None:
    line = checked(Setting(name, value, PLACE), "warn")
    assert (line.variable, line.written.value) == (variable, text)


def test_the_text_of_an_acl() -> None:
    """Lines as in a configuration: comments, blank lines, a backslash at the end."""
    text = (
        "# c\naccept\n  domains = a : \\\n  b\n\n  !hosts = c\n  # d\ndeny message = x # y\nset acl_m_x = z\n"
    )
    first, second = statements_of(text, PLACE)
    assert [(each.name, each.value) for each in first.lines] == [("domains", "a : b"), ("!hosts", "c")]
    assert [(each.name, each.value) for each in second.lines] == [("message", "x # y"), ("set acl_m_x", "z")]
    assert statements_of("", PLACE) == ()


@pytest.mark.parametrize(
    "text, words",
    [
        ("a b  c", ["a", "b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ('a "b\\n\\"c\\x41"', ["a", 'b\n"cA']),
        ('"open', ["open"]),
        ("", [""]),
    ],
)
def test_words_of_a_call(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_named_list_may_be_missing_until_it_is_used(stage: Any) -> None:
    acls = stage.acls("accept domains = here.test\ndeny hosts = +nosuch")
    assert isinstance(acls, Acls)


def test_the_macros_that_tell_which_words_there_are() -> None:
    """`.ifdef _ACL_COND_SEEN` tells the truth."""
    assert sorted(ACL_CONDITIONS) == sorted(name for name, word in WORDS.items() if not word.is_modifier)
    assert sorted(ACL_MODIFIERS) == sorted(name for name, word in WORDS.items() if word.is_modifier)

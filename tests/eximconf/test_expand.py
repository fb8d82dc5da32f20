"""Expansions: variables filled in, escapes read, and everything else refused by name."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.expand import VARIABLES, compile_expansion
from labkit.eximconf.reader import ConfigurationError, Place

PLACE = Place("exim.conf", 3)
VALUES = {"local_part": "ann", "domain": "b.test", "primary_hostname": "mx.b.test"}


@pytest.mark.parametrize(
    "text, expanded, because",
    [
        ("", "", "nothing"),
        ("plain", "plain", "nothing to do"),
        ("$local_part@$domain", "ann@b.test", "variables"),
        ("${local_part}s", "anns", "braces where letters follow"),
        ("$home", "", "a variable without value is empty"),
        (r"\$domain", "$domain", "an escaped dollar"),
        (r"a\\b", "a\\b", "an escaped backslash"),
        (r"a\nb\tc\r", "a\nb\tc\r", "escapes"),
        (r"\101\18\x4z", "A\x018\x04z", "octal and hexadecimal"),
        (r"\q", "q", "any other character stands for itself"),
        (r"\N$domain \n\\\N.$domain", "$domain \\n\\\\.b.test", r"nothing is special between two \N"),
        (r"\N$x", "$x", r"an \N without its end goes to the end"),
        ("}{", "}{", "braces alone are text"),
        ("\\\nx", "\nx", "an escaped newline"),
        ("Ü$domain", "Üb.test", "letters of any kind"),
    ],
)
def test_expand(text: str, expanded: str, because: str) -> None:
    assert compile_expansion(text, PLACE).expand(VALUES) == expanded, because


@pytest.mark.parametrize(
    "text, problem, because",
    [
        ("$", "$ not followed by letter, digit, or {", "Exim's words"),
        ("a$ b", "$ not followed by letter, digit, or {", "Exim's words"),
        ("$nosuch", 'unknown variable name "nosuch"', "Exim's words"),
        ("$Domain", 'unknown variable name "Domain"', "variables have small letters"),
        ("$local_partx", 'unknown variable name "local_partx"', "the longest name counts"),
        ("$acl_m_x", 'unknown variable name "acl_m_x"', "not yet"),
        ("$1", "$1 is not read by labkit yet", "a part of a match"),
        ("${lc:$domain}", "the expansion ${lc … is not read", "an operator"),
        ("${if eq{a}{b}{c}}", "the expansion ${if … is not read", "an item"),
        ("${", "the expansion ${ … is not read", "cut off"),
        ("${local_part", "the expansion ${local_part … is not read", "not closed"),
        ("a\\", "\\ at end of string", "Exim's words"),
        (r"a\0", "a NUL character", "Exim would end the string here"),
    ],
)
def test_what_is_refused(text: str, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_expansion(text, PLACE)
    assert problem in caught.value.problem, because
    assert caught.value.place == PLACE
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text, tainted",
    [
        ("/var/mail/$local_part", ("local_part",)),
        ("/var/mail/$local_part_data", ()),
        ("$domain/$sender_address/$home", ("domain", "sender_address")),
        (r"\$local_part", ()),
    ],
)
def test_taint(text: str, tainted: tuple[str, ...]) -> None:
    assert compile_expansion(text, PLACE).tainted == tainted


def test_what_a_stranger_can_choose_is_tainted() -> None:
    chosen = {name for name, row in VARIABLES.items() if row.is_tainted}
    assert chosen == {"domain", "local_part", "sender_address", "sender_helo_name"}


@settings(deadline=None)
@given(st.text(st.sampled_from("$\\{}Nnx07 domain_") | st.characters(), max_size=60))
def test_nothing_but_a_configuration_error(text: str) -> None:
    try:
        expanded = compile_expansion(text, PLACE).expand({})
    except ConfigurationError:
        return
    assert "\0" not in expanded or "\0" in text, "no escape makes a NUL"


@settings(deadline=None)
@given(st.text())
def test_a_value_is_never_expanded_again(value: str) -> None:
    assert compile_expansion("<$domain>", PLACE).expand({"domain": value}) == f"<{value}>"


@pytest.mark.parametrize(
    "text",
    [
        "\\N" * 500_000,
        "\\N" + "a" * 1_000_000,
        "$domain" * 140_000,
        "\\\\" * 500_000,
        "x" * 1_000_000,
        "\\x" * 1,
    ],
    ids=lambda text: text[:4],
)
def test_a_megabyte_in_no_time(text: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ConfigurationError):
        compile_expansion(text, PLACE).expand(VALUES)
    assert time.process_time() - began < 3

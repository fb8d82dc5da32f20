"""The configuration file as lines: joined, cut into sections, each knowing where it stands."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.reader import (
    ConfigurationError,
    LogicalLine,
    Place,
    Setting,
    logical_lines,
    sections,
    setting,
    unquote,
)

HERE = Place("exim.conf", 7)


@pytest.mark.parametrize(
    "text, expected, because",
    [
        ("a = 1\nb = 2\n", [(1, "a = 1"), (2, "b = 2")], "one line, one setting"),
        ("  a = 1\t\r\n", [(1, "a = 1")], "blanks around it, and a CR before the line end"),
        ("# x\n\na = 1", [(3, "a = 1")], "comments and blank lines are dropped, and counted"),
        ("a = 1 # x", [(1, "a = 1 # x")], "a comment has a line of its own"),
        (
            "a = 1, \\\n   2, \\\n   3\nb",
            [(1, "a = 1, 2, 3"), (4, "b")],
            "a backslash joins; leading blanks go",
        ),
        ("a = 1 \\  \n2", [(1, "a = 1 2")], "blanks behind the backslash do not matter"),
        ("a = 1 \\\n# x\n 2", [(1, "a = 1 2")], "a comment in the middle is skipped"),
        ("a = 1 \\\n\nb = 2", [(1, "a = 1"), (3, "b = 2")], "a blank line in the middle ends it"),
        ("a = 1 \\", [(1, "a = 1")], "so does the end of the file"),
        ("# x \\\na = 1", [(2, "a = 1")], "a comment is not continued"),
        ("\\\n\na = 1", [(3, "a = 1")], "nothing, continued by nothing"),
        ("a = \\\\\nb", [(1, "a = \\b")], "only the last backslash counts"),
        ("a = b\vc\fd", [(1, "a = b\vc\fd")], "only a newline ends a line"),
        ("a = x \\\n.test", [(1, "a = x .test")], "a dot begins no directive in the middle of a value"),
        ("a = Österreich", [(1, "a = Österreich")], "letters of any kind"),
        ("# \u00a0 and \0 in a comment\na", [(2, "a")], "a comment may hold anything"),
    ],
)
def test_logical_lines(text: str, expected: list[tuple[int, str]], because: str) -> None:
    found = [(line.place.line, line.text) for line in logical_lines(text, "exim.conf")]
    assert found == expected, because


REFUSED = [
    ("a = 1\nb\0 = 2", 2, "the invisible character U+0000", "a NUL"),
    ("a =\u00a01", 1, "the invisible character U+00A0", "a no-break space, as pasted from a web page"),
    ("\ufeffa = 1", 1, "the invisible character U+FEFF", "a byte order mark"),
    ("a = \u200bx", 1, "the invisible character U+200B", "a zero width space"),
    ("a = 1\x0cb\n\x1bc", 2, "the invisible character U+001B", "an escape"),
    ("\ufeff# x", 1, "found unexpected BOM (Byte Order Mark)", "Exim's words; a mark makes a comment a line"),
    ("a = 1 \\\n  .include /etc/x\n 2", 2, "labkit reads no other file here", "nobody looks for files"),
    (".include_if_exists /etc/x", 1, "labkit reads no other file here", "so nobody knows whether it exists"),
    (".foo", 1, "option setting expected: .foo", "no such directive"),
    (".includes /x", 1, "option setting expected: .includes /x", "nor is this one"),
    ("begin retry\n.foo * F,1h,1m", 2, "option setting expected: .foo", "in all sections"),
    ("begin\tacl\nA B", 2, "malformed macro definition", "only a blank may follow begin"),
    ("a = 1\nbegin nothing", 2, '"nothing" is not a known configuration section', "no such section"),
    ("begin", 1, '"" is not a known configuration section', "no name"),
    ("begin acl x", 1, '"acl x" is not a known configuration section', "too many names"),
    ("begin acl\nbegin ACL", 2, '"ACL" section is repeated in the configuration file', "twice"),
]


@pytest.mark.parametrize("text, line, problem, because", REFUSED)
def test_what_is_refused(text: str, line: int, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sections(text, "exim.conf")
    error = caught.value
    assert error.place == Place("exim.conf", line), because
    assert problem in error.problem, because
    assert error.remedy, "it says what to do about it"
    assert str(error) == f"exim.conf, line {line}: {error.problem}\n  {error.remedy}"


def test_sections() -> None:
    found = sections("a = 1\nbegin acls\nx:\nBEGIN Router\nbegin transports\ny:", "exim.conf")
    assert [(each.name, each.place.line, [line.text for line in each.lines]) for each in found] == [
        ("main", 1, ["a = 1"]),
        ("acl", 2, ["x:"]),
        ("routers", 4, []),
        ("transports", 5, ["y:"]),
    ]


@pytest.mark.parametrize(
    "text, name, value, because",
    [
        ("a = 1", "a", "1", "the usual form"),
        ("a=1", "a", "1", "without blanks"),
        ("a =", "a", "", "an empty value"),
        ("return_path_add", "return_path_add", None, "a name alone"),
        ("hide a = b = c", "a", "b = c", "only the first = counts"),
        ("hide", "hide", None, "not hidden, but called so"),
        ('a = " x "', "a", " x ", "quotes keep blanks"),
        ("a = 'x'", "a", "'x'", "single quotes are no quotes"),
        ('a = x"y"', "a", 'x"y"', "nor are quotes in the middle"),
    ],
)
def test_a_setting(text: str, name: str, value: str | None, because: str) -> None:
    assert setting(LogicalLine(text, HERE)) == Setting(name, value, HERE), because


@pytest.mark.parametrize("text", ["= 1", "a b", "A = 1", "1a = 2", "a: b", ""])
def test_no_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"exim\.conf, line 7: missing or misplaced '='"):
        setting(LogicalLine(text, HERE))


@pytest.mark.parametrize(
    "written, value, because",
    [
        (r'"a\nb"', "a\nb", "an escape"),
        (r'"\b\f\n\r\t\v"', "\b\f\n\r\t\v", "all of Exim's letters"),
        (r'"\\\"\q\$"', '\\"q$', "any other character stands for itself"),
        (r'"\101\18\7x"', "A\x018\x07x", "octal, as many digits as there are, three at most"),
        (r'"\x41\x4g\x1234"', "A\x04g\x1234", "hexadecimal, two digits at most"),
        (r'"\777"', "\xff", "an octet is eight bits"),
        ('""', "", "nothing"),
        ('"a"  ', "a", "blanks behind it"),
        (r"a\nb", r"a\nb", "without quotes nothing is an escape"),
    ],
)
def test_quotes(written: str, value: str, because: str) -> None:
    assert unquote(written, HERE) == value, because


@pytest.mark.parametrize(
    "written, problem",
    [
        ('"a', "missing quote at end of string value"),
        ('"', "missing quote at end of string value"),
        ('"a\\', "missing quote at end of string value"),
        ('"a\\"', "missing quote at end of string value"),
        ('"a" # b', "extra characters after the quoted string: # b"),
        ('"a" "b"', 'extra characters after the quoted string: "b"'),
        (r'"a\0b"', "a NUL character in a quoted string"),
        (r'"\x"', "a NUL character in a quoted string"),
    ],
)
def test_quotes_gone_wrong(written: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        unquote(written, HERE)
    assert caught.value.problem == problem
    assert caught.value.remedy


# --- blank lines in joined ones ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected, because",
    [
        ("a = 1\\\\\n\nb", [(1, "a = 1b")], "of two backslashes one is left for the blank line"),
        ("a = 1\\\\\\\n\n\nb", [(1, "a = 1b")], "and so on"),
        ("a = 1\\ \\\n\nb\nc", [(1, "a = 1b"), (4, "c")], "blanks between them go"),
        ("a = 1\\\\\n \\\n\nb", [(1, "a = 1b")], "a line with a backslash only adds nothing"),
        ("\\\\\n\nb", [(3, "b")], "a line of nothing but backslashes"),
        ("a\\\n\\\n\\\n.b", [(1, "a.b")], "lines of a backslash alone"),
    ],
)
def test_backslashes_before_a_blank_line(text: str, expected: list[tuple[int, str]], because: str) -> None:
    found = [(line.place.line, line.text) for line in logical_lines(text, "exim.conf")]
    assert found == expected, because


odd = st.text(st.sampled_from('ab =:"\\\n#.$\t\x00\u00a0A1') | st.characters(), max_size=80)


@settings(deadline=None)
@given(odd)
def test_nothing_but_a_configuration_error(text: str) -> None:
    try:
        lines = [line for section in sections(text, "exim.conf") for line in section.lines]
    except ConfigurationError:
        return
    for line in lines:
        assert line.text == line.text.strip()
        assert 1 <= line.place.line <= text.count("\n") + 1
        assert not line.text.startswith((".", "#"))
        try:
            setting(line)
        except ConfigurationError as error:
            assert error.place == line.place  # noqa: PT017 - it may be right, or wrong in a known way


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        "\\\n" * 200_000,
        "a \\\n" * 100_000,
        "a" * 1_000_000,
        "hide" + " " * 1_000_000 + "=",
        'a = "' + '\\"' * 500_000,
        'a = "' + "x" * 500_000 + '"' + " " * 500_000,
        "a" * 500_000 + " " * 500_000 + "b",
        "#" * 1_000_000,
        "a = 1\n" * 60_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_a_megabyte_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    for section in sections(text, "exim.conf"):
        for line in section.lines[:10]:
            try:
                setting(line)
            except ConfigurationError:
                continue
    assert time.process_time() - began < 2

"""Macros and conditions: what is replaced, where, in which order, and which lines count."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.macros import MOST_TEXT
from labkit.eximconf.reader import ConfigurationError, Place, logical_lines, sections

BUILTIN = {"_HAVE_TLS": "y", "_HAVE_TLS_RESUME": "y", "_OPT_MAIN_X": "y", "_WORD": "a TEXT"}


def main_lines(text: str, presets: dict[str, str] | None = None) -> list[str]:
    found = sections(text, "exim.conf", presets=presets, builtin=BUILTIN)
    return [line.text for line in found[0].lines]


@pytest.mark.parametrize(
    "text, expected, because",
    [
        ("A = 1\nx = A", ["x = 1"], "a name stands for its text"),
        ("A=1\nx = A", ["x = 1"], "blanks do not matter"),
        ("A = a \\\n  b\nx = A", ["x = a b"], "a definition may be continued"),
        ("A = \nx = [A]", ["x = []"], "an empty text is a text"),
        ('A = " x "\nx = A', ['x = " x "'], "quotes are kept"),
        ("x = A\nA = 1", ["x = A"], "only from the next line on"),
        ("A = 1\nx = bAb", ["x = b1b"], "inside a word"),
        ("A = 1\nx = AA", ["x = 11"], "each time"),
        ("ABC = 1\nB = 2\nx = ABC B", ["x = 1 2"], "a longer name first is fine"),
        ("FOO = B\nB = 2\nx = FOO", ["x = 2"], "the text is searched for later macros"),
        (
            "B = 2\nFOO = B\nB == 3\nx = FOO",
            ["x = 2"],
            "a definition has its macros replaced when it is read",
        ),
        ("A = bA\nx = A", ["x = bA"], "not for the macro itself"),
        ("A = x\nA == A y\nA == A z\nu = A", ["u = x y z"], "a text may grow"),
        ("B = 1\nA = B\nB == A\nx = B", ["x = 1"], "two that name each other"),
        ("A = bb\nE =\nx = 1 E\n", ["x = 1"], "blanks before an empty text at the end of a line go"),
        ("E =\nE\nE x = 1", ["x = 1"], "so do those behind one at the start; a line of it alone is blank"),
        ("H = #\nH x = 1\ny = H", ["y = #"], "a macro may make a comment"),
        ("D = .ifdef\nD A\nx = 1\n.endif", ["x = 1"], "or a condition, then always true: a macro was there"),
        (
            "A = 1\nx = 1 \\\nA = 2 \\\n3",
            ["x = 1 1 = 2 3"],
            "in the middle of a joined line nothing is defined",
        ),
        ("A = 1\na = ÄA", ["a = Ä1"], "a letter outside ASCII is no capital"),
        ("x = _HAVE_TLS", ["x = y"], "a builtin one"),
        ("x = _HAVE_TLS_RESUME", ["x = y"], "the longer of two is looked for first"),
        ("TEXT = t\nx = _WORD", ["x = a t"], "builtin ones come first"),
        ("x = A _HAVE_TLS", ["x = A _HAVE_TLS"], "after a capital no builtin one is looked for"),
        ("x = a_b _HAVE_TLS", ["x = a_b y"], "a small letter is no capital"),
        ("A = _HAVE_TLS\nx = A", ["x = y"], "a name that is being defined is no capital either"),
    ],
)
def test_what_is_replaced(text: str, expected: list[str], because: str) -> None:
    assert main_lines(text) == expected, because


def test_definitions_between_drivers_and_acls() -> None:
    found = sections(
        "A = 0\nbegin acl\nA == 1\nx:\nB = 2\ny: AB\nbegin routers\nC = ABD\nr:\nx = C\nbegin retry\nD = C",
        "f",
    )
    assert [[(line.text, line.after_macro) for line in section.lines] for section in found] == [
        [],
        [("x:", True), ("y: 12", True)],
        [("r:", True), ("x = 12D", False)],
        [("D = 12D", False)],
    ], "in the retry section it is a line like others"


def test_every_line_as_exim_shows_them() -> None:
    found = logical_lines("A = 1\nA == A2\n.ifdef A\nx = A\n.endif\nbegin acl\nB = A", "f")
    assert [line.text for line in found] == ["A = 1", "A == 12", "x = 12", "begin acl", "B = 12"]


@pytest.mark.parametrize(
    "text, expected, because",
    [
        ("x = A B", ["x = 1 2"], "in the order given"),
        ("A = 7\nx = A", ["x = 1"], "the file cannot change a preset"),
        ("A == 7\nx = A", ["x = 1"], "not at all"),
        ("C = A\nx = C", ["x = 1"], "it is there from the first line on"),
        (".ifdef EMPTY\nx\n.endif", ["x"], "an empty one is defined"),
    ],
)
def test_presets(text: str, expected: list[str], because: str) -> None:
    assert main_lines(text, {"A": "  1", "B": "2", "EMPTY": ""}) == expected, because


@pytest.mark.parametrize(
    "presets, problem",
    [
        ({"a": "1"}, "must start with an upper case letter"),
        ({"_HAVE_TLS": "1"}, "must start with an upper case letter"),
        ({"A B": "1"}, "must start with an upper case letter"),
        ({"A": "1\nx = 2"}, "an invisible character"),
        ({"A" * 24: "1"}, "cut the name"),
        ({f"A{i}": "" for i in range(11)}, "too many -D options"),
    ],
)
def test_presets_that_are_none(presets: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        main_lines("", presets)
    assert problem in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text, line, problem, because",
    [
        ("A = 1\nA = 2", 2, 'macro "A" is already defined (use "==" if you want to redefine it)', "twice"),
        ("A == 2", 1, 'can\'t redefine an undefined macro "A"', "nothing to change"),
        (
            "A = x\n\nAB = y",
            3,
            '"AB" cannot be defined as a macro because previously defined macro "A"',
            "part",
        ),
        ("B = x\nA_BC = y", 2, 'previously defined macro "B" is a substring', "in the middle"),
        ("X_HAVE_TLS = y", 1, 'previously defined macro "_HAVE_TLS" is a substring', "of a builtin one"),
        ("A", 1, "malformed macro definition", "no sign"),
        ("A: x", 1, "malformed macro definition", "another sign"),
        ("A" * 64 + " = 1", 1, "macro name too long (maximum is 63 characters)", "Exim's limit"),
        ("begin acl\nA = 1\nA = 2", 3, "already defined", "in a section"),
        ("".join(f"M{i}X = 1\n" for i in range(1001)), 1001, "more than 1000 macros", "ours"),
        ("A = " + "a" * 1000 + "\n" + "A == AAAAAAAAAA\n" * 9, 6, f"than {MOST_TEXT:,} characters", "a bomb"),
    ],
)
def test_definitions_that_are_none(text: str, line: int, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        main_lines(text)
    assert problem in caught.value.problem, because
    assert caught.value.place == Place("exim.conf", line), because
    assert caught.value.remedy


# --- conditions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected, because",
    [
        (".ifdef A\nx\n.endif\ny", "y", "not defined"),
        ("A = 1\n.ifdef A\nx\n.endif\ny", "xy", "defined"),
        ("A = 1\n.ifdef A\nx\n.else\ny\n.endif", "x", "else"),
        (".ifdef A\nx\n.else\ny\n.endif", "y", "else"),
        (".ifndef A\nx\n.else\ny\n.endif", "x", "ifndef"),
        ("A = 1\n.ifdef B\nx\n.elifdef A\ny\n.else\nz\n.endif", "y", "elifdef"),
        ("A = 1\n.ifdef A\nx\n.elifdef A\ny\n.else\nz\n.endif", "x", "the first that is true"),
        ("A = 1\n.ifdef B\nx\n.elifndef A\ny\n.elifndef C\nz\n.endif", "z", "elifndef"),
        ("A = 1\n.ifdef B A\nx\n.endif", "x", "one of the names is enough"),
        ("A = 1\n.ifdef XAX\nx\n.endif", "x", "a part of a word is enough"),
        ("A =\n.ifdef A\nx\n.endif", "x", "an empty macro is defined"),
        (".ifdef\nx\n.endif", "", "no name, no macro"),
        (".ifndef\nx\n.endif", "x", "no name, no macro"),
        (".ifdef A\nA = 1\n.endif\n.ifdef A\nx\n.endif", "", "a definition that does not count"),
        (".ifdef A\n.ifndef A\nx\n.else\ny\n.endif\nz\n.endif", "", "a group that does not count at all"),
        (".ifdef A\n.else\n.ifndef A\nx\n.else\ny\n.endif\nz\n.endif", "xz", "a group that counts"),
        (".ifdef A\nx\n.else\ny\n.else\nz\n.endif", "y", "a second else is passed over, as Exim does"),
        (".ifdef A\nx\n.endif A and so on\ny", "y", "words behind it are a comment"),
        (".ifdef A\n.else if not\nx\n.endif", "x", "words behind it are a comment"),
        (".ifdef _HAVE_TLS\nx\n.endif", "x", "a builtin one"),
        ("a \\\n.ifdef A\nb \\\n.else\nc \\\n.endif\nd", "acd", "in the middle of a joined line"),
        ("a \\\n.ifdef A\nb\n.endif\nc", "ac", "the end of the value is not lost with its line"),
        (".ifdef A\n\x00 \u200b\n.endif\nx", "x", "what does not count may hold anything"),
        (".ifdef A\nx \\\n.endif\ny", "y", "what does not count is not joined"),
        ("  .ifdef A\nx\n\t.endif   ", "", "blanks around it"),
    ],
)
def test_conditions(text: str, expected: str, because: str) -> None:
    assert "".join(main_lines(text)).replace(" ", "") == expected, because


DEEP = ".ifndef A\n" * 10


@pytest.mark.parametrize(
    "text, line, problem, because",
    [
        (".endif", 1, ".endif without matching .ifdef", "nothing to end"),
        ("\n.else", 2, ".else without matching .ifdef", "nothing to choose from"),
        (".elifdef A", 1, ".elifdef without matching .ifdef", "nothing to choose from"),
        (".elifndef A", 1, ".elifndef without matching .ifdef", "nothing to choose from"),
        (".ifdef A\n.endif\n.endif", 3, ".endif without matching .ifdef", "one too many"),
        ("x\n.ifdef A\ny\n", 3, ".endif missing", "Exim names the last line"),
        ("x\n.ifdef A\n.ifdef B\n.endif", 4, ".endif missing", "one is open"),
        (DEEP + ".ifdef A", 11, ".ifdef nested too deeply", "eleven"),
        (".ifdef A\n" * 11, 11, ".ifdef nested too deeply", "also where nothing counts"),
        (".ifdef A\r\nx\r\n.endif\r\n", 3, ".endif is followed by a CR", "Exim would not see it"),
        (".ifdef A\n.else\t\n.endif", 2, ".else is followed by a tab", "Exim would not see it"),
        (".ifdef\tA\n.endif", 1, ".ifdef is followed by a tab", "Exim would not see it"),
        (".ifdefA\n.endif", 1, ".ifdef is followed by 'A'", "Exim would not see it"),
        (".ifdef A\n.endif;\n", 2, ".endif is followed by ';'", "Exim would not see it"),
    ],
)
def test_conditions_gone_wrong(text: str, line: int, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        main_lines(text)
    assert problem in caught.value.problem, because
    assert caught.value.place == Place("exim.conf", line), because
    assert caught.value.remedy


def test_a_missing_endif_says_which() -> None:
    with pytest.raises(ConfigurationError, match=r"the \.ifndef of exim\.conf, line 2 has no \.endif"):
        main_lines("x\n.ifndef A\ny\n")


def test_ten_conditions() -> None:
    assert main_lines(DEEP + "x\n" + ".endif\n" * 10) == ["x"]


# --- anything at all --------------------------------------------------------------------------

words = st.sampled_from(
    [
        *("A", "B", "AB", "A = ", "B == ", "AB=", "x", " = ", "\\", "#", "_HAVE_TLS", "_", '"', ":"),
        *(".ifdef ", ".ifndef A", ".else", ".endif", ".include_if_exists /a", "begin acl"),
        *(" ", "\t", "\r", "\n", "\n", "\n"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(words | st.characters(), max_size=60).map("".join))
def test_nothing_but_a_configuration_error(text: str) -> None:
    try:
        found = sections(
            text, "exim.conf", builtin=BUILTIN, presets={"B": "A B"}, files={"/a": "A = .else\n"}
        )
    except ConfigurationError as error:
        assert 1 <= error.place.line <= text.count("\n") + 1 or error.place.file == "/a"  # noqa: PT017
        return
    for line in (line for section in found for line in section.lines):
        assert line.text == line.text.strip() != ""


@pytest.mark.parametrize(
    "text",
    [
        "A = 1\n" + "x = A\n" * 100_000,
        "A =\n" + "A" * 1_000_000,
        "A = b\n" + "x = " + "A" * 1_000_000,
        "".join(f"M{i}X = 1\n" for i in range(1000)) + "x = M\n" * 20_000,
        "".join(f"M{i}X = M{i - 1}X\n" for i in range(1000)),
        "A = 1\n" + "A == A 1\n" * 5_000,
        "A = aa\n" + "A == AA\n" * 100,
        "A" * 1_000_000 + " = 1",
        "A = x\n" + ".ifdef A\n.endif\n" * 50_000,
        ".ifdef A\n" + "x\n" * 200_000 + ".endif",
        "_" * 1_000_000 + "A",
        "a" + "\\" * 300_000 + "\n" * 300_001,
        "a" + "\\ " * 200_000 + "\\" + "\n" * 300_001,
        "a" + "\\\\\n" * 100_000 + "\n" * 100_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_megabyte_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    try:
        sections(text, "exim.conf", builtin=BUILTIN)
    except ConfigurationError as error:
        assert error.remedy  # noqa: PT017 - some are too large, but quickly so
    assert time.process_time() - began < 2

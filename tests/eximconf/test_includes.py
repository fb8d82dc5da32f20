"""Other files in the place of an `.include` line: an inclusion is a question."""

from __future__ import annotations

import pytest

from labkit.eximconf.lines import DEEPEST
from labkit.eximconf.reader import ConfigurationError, Place, reading_sections, sections
from labkit.mail.asking import answer_by
from labkit.mail.lookups import FileText, Unopened

FILE = "/etc/exim4/exim.conf"


def read(text: str, files: dict[str, str], file: str = FILE) -> list[tuple[str, str, int]]:
    found = sections(text, file, files=files)
    return [(line.text, line.place.file, line.place.line) for part in found for line in part.lines]


@pytest.mark.parametrize(
    "text, files, expected, because",
    [
        (".include /a\ny", {"/a": "x"}, "x y", "in its place"),
        ('.include "/a"\ny', {"/a": "x"}, "x y", "quotes round the name"),
        ('.include "/a b.conf"', {"/a b.conf": "x"}, "x", "a name with a blank, quoted"),
        (".include /a b.conf", {"/a b.conf": "x"}, "x", "or not: the rest of the line is the name"),
        ("  .include\t/a  \ny", {"/a": "x"}, "x y", "blanks around it"),
        (".include a", {"/etc/exim4/a": "x"}, "x", "beside the including file"),
        (".include d/a", {"/etc/exim4/d/a": ".include b", "/etc/exim4/d/b": "x"}, "x", "each beside its own"),
        (".include_if_exists /a\ny", {"/a": "x"}, "x y", "it exists"),
        (".include_if_exists /a\ny", {}, "y", "it does not"),
        ("x \\\n.include /a\nz", {"/a": "\\\ny\\\n"}, "x yz", "in the middle of a joined line"),
        (".include /a\n.endif", {"/a": ".ifdef A\nx"}, "", "a condition that ends in another file"),
        ("A = 1\n.include /a\nbegin retry\nA B", {"/a": "A == x\nB = y"}, "x y", "macros of another file"),
        (".include /a\nx\n", {"/a": "begin acl"}, "x", "a section of another file"),
        ("A = /a\n.include A", {"/a": "x"}, "x", "a macro in the name"),
        (".ifdef A\n.include /a\n.endif", {}, "", "a file that does not count is not looked for"),
        (".include /a\n.include /a", {"/a": "x"}, "x x", "twice, one after the other"),
        (".include /a\ny", {"/a": ""}, "y", "an empty file"),
        ("#.include /a\ny", {}, "y", "a comment"),
    ],
)
def test_inclusion(text: str, files: dict[str, str], expected: str, because: str) -> None:
    assert " ".join(line for line, _, _ in read(text, files)) == expected, because


def test_every_line_knows_its_file() -> None:
    files = {"/a": "b\n\n.include /c\nd \\\n e", "/c": "# x\nc"}
    assert read("a\n.include /a\nf", files) == [
        ("a", FILE, 1),
        ("b", "/a", 1),
        ("c", "/c", 2),
        ("d e", "/a", 4),
        ("f", FILE, 3),
    ]


def test_a_relative_name_of_a_relative_file() -> None:
    assert read(".include b", {"b": "x"}, "exim.conf") == [("x", "b", 1)]
    assert read(".include b", {"etc/b": "x"}, "etc/exim.conf") == [("x", "etc/b", 1)]
    assert read(".include b", {"/b": "x"}, "/exim.conf") == [("x", "/b", 1)]


def test_what_is_asked() -> None:
    asked = []

    def answer(question: object) -> object:
        asked.append(question)
        return Unopened("none") if question == FileText("/n") else "x = 1\n"

    answer_by(answer, reading_sections(".include b\n.include_if_exists /n\n.include /c", FILE))
    assert asked == [FileText("/etc/exim4/b"), FileText("/n"), FileText("/c")]


GUARDED = ".ifndef SEEN\nSEEN = 1\n.include /loop\n.endif\nx"


def test_a_file_that_includes_itself_once() -> None:
    assert [line for line, _, _ in read(".include /loop", {"/loop": GUARDED})] == ["x", "x"]


CHAIN = {f"/{i}": f".include /{i + 1}" for i in range(DEEPEST + 5)}


@pytest.mark.parametrize(
    "text, files, place, problem, because",
    [
        (
            "\n.include /a",
            {},
            (FILE, 2),
            "failed to open included configuration file /a: No such file",
            "missing",
        ),
        (".include a", {}, (FILE, 1), "configuration file /etc/exim4/a", "the whole name"),
        (".include_if_exists a", {}, (FILE, 1), '.include specifies a non-absolute path "a"', "as Exim"),
        ('.include_if_exists "b/a"', {}, (FILE, 1), 'specifies a non-absolute path "b/a"', "as Exim"),
        (".include", {}, (FILE, 1), ".include without the name of a file", "no name"),
        ('.include ""', {}, (FILE, 1), ".include without the name of a file", "no name"),
        (".include /a", {"/a": "x\n.include /b"}, ("/a", 2), "configuration file /b", "two files down"),
        (".include /a", {"/a": "x\n.endif"}, ("/a", 2), ".endif without", "an error names the other file"),
        (".include /a\ny", {"/a": ".ifdef A\nx"}, (FILE, 2), ".endif missing", "the end of the first file"),
        (".include /a", {"/a": "\n.include /a"}, ("/a", 2), "the file /a includes itself", "a loop"),
        (
            f".include {FILE}",
            {FILE: "\n\n.include /b", "/b": f".include {FILE}"},
            (FILE, 3),
            "itself",
            "a longer one",
        ),
        (".include /0", CHAIN, (f"/{DEEPEST - 2}", 1), f"{DEEPEST} files one inside the other", "too deep"),
        (".include /a", {"/a": "x\n" + "#" * 16_000_000}, (FILE, 1), "longer than 16,000,000", "too long"),
        (
            ".include /0",
            {f"/{i}": f".include /{i + 1}\n" * 9 + "#" * 9999 for i in range(40)} | {"/40": "x"},
            None,
            "longer than 16,000,000",
            "a bomb",
        ),
    ],
)
def test_what_is_refused(
    text: str, files: dict[str, str], place: tuple[str, int] | None, problem: str, because: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text, files)
    assert problem in caught.value.problem, because
    if place is not None:
        assert caught.value.place == Place(*place), because
    assert caught.value.remedy


def test_a_file_that_cannot_be_read() -> None:
    """Exim passes over a file that is not there, not over one that it cannot open."""
    asking = reading_sections(".include_if_exists /a", FILE)
    with pytest.raises(ConfigurationError, match="file /a: Permission denied"):
        answer_by(lambda question: Unopened("Permission denied", is_missing=False), asking)

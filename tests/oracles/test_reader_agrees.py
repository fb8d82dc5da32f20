"""The real Exim as judge of the reader: the same files in, the same logical lines out, the same line refused.

HOW        exim -C FILE -bP config prints what it has read: macros replaced, conditions decided, files included,
           lines joined; blanks are run together up to the first quote or dollar (so we do the same to ours).
WHO        never root: a test process of root runs it as the user oracle or lab, or skips.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from labkit.eximconf import exim_names
from labkit.eximconf.builtin_macros import BUILTIN, macro_of_option
from labkit.eximconf.configuration import read
from labkit.eximconf.reader import ConfigurationError, logical_lines

from .real_exim import RealExim

# What only the real Exim needs to run like this.
PRELUDE = """\
exim_user = {user}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
keep_environment =
"""
ABOVE = PRELUDE.count("\n")


class Both:
    """The real Exim and our reader, on the same files."""

    def __init__(self, real: RealExim) -> None:
        self.real = real
        self.prelude = real.configured(PRELUDE)
        shown = self.run("", "-bP", "macros").stdout.splitlines()
        self.builtin = dict(line.split("=", 1) for line in shown if line.startswith("_"))

    def run(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the real one once with this configuration (the prelude above it)."""
        file = self.real.folder / "exim.conf"
        file.write_bytes((self.prelude + self.real.here(text)).encode("latin-1"))
        return self.real.run("-C", file, *arguments)

    def theirs(
        self, text: str, files: Mapping[str, str], presets: Mapping[str, str]
    ) -> tuple[list[str], str]:
        """The lines that Exim shows, and what it says is wrong."""
        self.write(files)
        options = [f"-D{name}={value}" for name, value in presets.items()]
        done = self.run(text, *options, "-bP", "config")
        wrong = done.stderr.partition("Exim configuration error")[2] or done.stderr.partition("exim: ")[2]
        if done.returncode:
            return [], wrong or f"status {done.returncode}"
        return [line.strip() for line in done.stdout.splitlines() if line.strip() and line[0] != "#"], ""

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            path = self.real.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.real.here(content).encode("latin-1"))

    def ours(self, text: str, files: Mapping[str, str], presets: Mapping[str, str]) -> list[str]:
        folder, here = self.real.folder, self.real.here
        found = logical_lines(
            self.prelude + here(text),
            f"{folder}/exim.conf",
            presets=presets,
            builtin=self.builtin,
            files={f"{folder}/{name}": here(content) for name, content in files.items()},
        )
        return [as_shown(line.text) for line in found]


@pytest.fixture(scope="module")
def both(real_exim: RealExim) -> Both:
    return Both(real_exim)


def as_shown(line: str) -> str:
    """What -bP config makes of a logical line: blanks are run together, until one stands before a quote or dollar.

    (Exim looks for that after it has moved the rest of the line, at the place where it was before.)
    """
    position = 0
    while blanks := re.compile("[ \t\n\v\f\r]+").search(line, position):
        line = f"{line[: blanks.start()]} {line[blanks.end() :]}"
        if line[blanks.end() : blanks.end() + 1] in ("'", '"', "$"):
            break
        position = blanks.start() + 1
    return line


def agree(
    both: Both, text: str, files: Mapping[str, str] | None = None, presets: Mapping[str, str] | None = None
) -> bool:
    """Do both read it, and the same? Or refuse it, at the same place? Returns which."""
    theirs, wrong = both.theirs(text, files or {}, presets or {})
    refused: ConfigurationError | None = None
    try:
        ours = both.ours(text, files or {}, presets or {})
    except ConfigurationError as error:
        refused = error
    if refused is None:
        assert not wrong, f"labkit reads this: {wrong}"
        assert ours == theirs
        return True
    assert wrong, f"Exim reads this: {refused}"
    if found := re.match(r" in line (\d+) of (\S+):", wrong):
        assert (refused.place.file, refused.place.line) == (found[2], int(found[1])), (wrong, refused)
    return False


READ = {
    "nothing": "",
    "plain": "acl_smtp_rcpt = a\n# x\n  acl_smtp_data=b  \t",
    "macros": "A = 1\nBC = A2\nacl_smtp_rcpt = AA BC xBCy A_B\nA == A3\nacl_smtp_data = A BC",
    "order of macros": "FOO = B\nB = A FOO\nA = FOO\nacl_smtp_rcpt = FOO B A\nB == FOO\nacl_smtp_data = FOO B A",
    "not for itself": "A = bAb\nacl_smtp_rcpt = AA\nA == AcA\nacl_smtp_data = A",
    "longer first": "ABCD_XYZ = long\nABCD = short\nCD = x\nacl_smtp_rcpt = ABCD_XYZ ABCD CD ABCD_ CDAB",
    "empty macro": "E =\nE\nE E acl_smtp_rcpt = [E] E\nacl_smtp_data = E x E y \\\n  E z E\n\\\nE",
    "macro makes a comment": "H = #\nH x\nacl_smtp_rcpt = a \\\nH b \\\nc H d",
    "macro makes a directive": "D = .ifdef\nN = .endif\nD nothing\nacl_smtp_rcpt = a\nN\nacl_smtp_data = b",
    "macro makes an inclusion": "I = .include\nF = /folder/inc/a\nI F\nacl_smtp_data = b",
    "a definition in a joined line": "A = 1\nacl_smtp_rcpt = x \\\nA = 2 \\\n A == 3\nacl_smtp_data = A",
    "a definition after a lone backslash": "A = 1\n\\\nA == A 2\nacl_smtp_data = A",
    "no definition after an indented backslash": "A = acl_smtp_data\n \\\nA = x\n \\\n\nA == y\nacl_smtp_rcpt = A",
    "a joined definition": "A = 1 \\\n# comment\n  \\\n 2 \\\n A 3\nacl_smtp_data = A",
    "a definition with signs": "A =\t'= 1\nB=x = y\nC=\nacl_smtp_data = A B [C]",
    "quotes in a macro": "A = \"x y\"\nacl_smtp_data = A\nacl_smtp_rcpt = 'A'",
    "builtin": "acl_smtp_rcpt = _HAVE_TLS _HAVE_TLS_RESUME x_HAVE_DKIM _OPT_MAIN_TLS_PRIVATEKEYS",
    "no builtin after a capital": "acl_smtp_rcpt = X _HAVE_TLS\nacl_smtp_data = _HAVE_TLS X _HAVE_DKIM",
    "no builtin after a macro": "A = 1\nacl_smtp_rcpt = A _HAVE_TLS\nacl_smtp_data = a_b _HAVE_TLS A",
    "a builtin in a definition": "A = _HAVE_TLS\nB = A _HAVE_TLS\nacl_smtp_rcpt = A B",
    "the same in a condition": ".ifdef X _HAVE_TLS\nacl_smtp_rcpt = a\n.else\nacl_smtp_rcpt = b\n.endif",
    "a builtin's text is searched": "From = x\nacl_smtp_rcpt = _DKIM_SIGN_HEADERS",
    "conditions": "A = 1\n.ifdef A\nacl_smtp_rcpt = 1\n.else\nacl_smtp_rcpt = 2\n.endif\n"
    ".ifndef A\nx\n.elifdef B\ny\n.elifndef A\nz\n.else\n"
    "acl_smtp_data = 3\n.endif",
    "conditions by parts": ".ifdef XMYDOMX\nx\n.endif\nMYDOM =\n.ifdef XMYDOMX\nacl_smtp_rcpt = 1\n.endif",
    "conditions without name": ".ifdef\nx\n.endif\n.ifndef \nacl_smtp_rcpt = 1\n.endif",
    "conditions in conditions": ".ifdef A\n.ifdef B\n.else\n.endif\n"
    ".elifdef B\n.else\n.ifndef B\nacl_smtp_rcpt = 1\n.else\nx\n.endif\n.endif",
    "two else": ".ifdef A\nx\n.else\nacl_smtp_rcpt = 1\n.else\nx\n.elifndef A\nx\n.endif",
    "words after else and endif": ".ifdef A\n.else of A\nacl_smtp_rcpt = 1\n.endif of A\nacl_smtp_data = 2",
    "conditions in a joined line": "acl_smtp_rcpt = a \\\n.ifdef A\nb \\\n.else\nc \\\n.endif\n  d",
    "a value that ends in a condition": "acl_smtp_rcpt = a \\\n.ifndef A\nb\n.endif\nacl_smtp_data = c",
    "what does not count": ".ifdef A\nnonsense \\\n.include /nowhere\nB = 1\nB = 1\n.endif\nacl_smtp_rcpt = B",
    "ten conditions": ".ifndef A\n" * 10 + "acl_smtp_rcpt = 1\n" + ".endif\n" * 10,
    "a blank line ends a value": "acl_smtp_rcpt = a \\\n  \t \nacl_smtp_data = b",
    "two backslashes and a blank line": "acl_smtp_rcpt = a\\\\\n\nb\nacl_smtp_data = c \\\\\\\n\n\nd",
    "backslashes and blanks": "acl_smtp_rcpt = a\\ \\\n\nb\nacl_smtp_data = c\\\\\n \\\n\nd",
    "backslashes alone": "\\\n \\\n\\\\\n\nacl_smtp_rcpt = a\\\n\\\n\\\n.b",
    "comments in a joined line": "acl_smtp_rcpt = a \\\n# b\n   # c \\\n d \\\n#\n e",
    "the end in a joined line": "acl_smtp_rcpt = a \\\n",
    "the end without newline": "acl_smtp_rcpt = a",
    "dots in a value": "acl_smtp_rcpt = a \\\n.test \\\n.includes \\\n .el",
    "blanks": "\v acl_smtp_rcpt = a\f\n\tacl_smtp_data =\va b\r\n",
    "CRLF": "acl_smtp_rcpt = a \\\r\n b\r\n\r\n# x\r\nA = 1\r\nacl_smtp_data = A\r\n.ifdef A\r\n.endif \r\n",
    "beyond ASCII": "acl_smtp_rcpt = \xc4\xd6A\nA = \xe4\nacl_smtp_data = \xc4A",
    "sections": "begin acls\nx:\n accept\nBEGIN Router\nbegin RETRY\nbegin rewrite\n"
    "begin authenticator\nbegin transports",
    "macros between ACLs": "A = 1\nbegin acl\nA == 2\nx:\n accept message = A\nB = A3\ny: deny message = AB\nC = B\n",
    "macros between drivers": "begin transports\nA = smtp\nt:\n driver = A\nB = t\nu:\n driver = A\n  port = 25\n"
    "C = 1\nbegin routers\nD = 1\nr:\n driver = accept\n transport = B\nE = 1",
    "capitals in the retry section": "A = F,1h,1m\nbegin retry\nX * A\nB.test * A\n",
    "include": ".include /folder/inc/a\nacl_smtp_data = b",
    "include with quotes": '.include "/folder/inc/a"  \nacl_smtp_data = b',
    "include relative": "  .include  inc/a\nacl_smtp_data = b",
    "include in include": ".include inc/two\nacl_smtp_etrn = b",
    "include if it exists": ".include_if_exists /folder/inc/a\n.include_if_exists /folder/inc/nothing\n",
    "include in a joined line": "acl_smtp_rcpt = x \\\n.include inc/words\nz\nacl_smtp_data = b",
    "include with a condition": ".include inc/open\nx\n.endif\nacl_smtp_data = b",
    "include with macros": "A = 1\n.include inc/macros\nacl_smtp_data = A B",
    "include with a section": ".include inc/section\n accept",
    "include twice": "X = a\n.include inc/x\nX == b\n.include inc/x",
    "include itself once": ".include inc/once",
}
FILES = {
    "inc/a": "acl_smtp_rcpt = a\n",
    "inc/two": "acl_smtp_data = 1\n.include a\nacl_smtp_vrfy = 2",
    "inc/words": "# x\n a \\\n  b\\\n",
    "inc/open": ".ifdef A\n",
    "inc/macros": "A == A2\nB = A3\n",
    "inc/section": "begin acl\nx:\n",
    "inc/x": "domainlist lX = X\n",
    "inc/once": ".ifndef SEEN\nSEEN = 1\n.include once\nacl_smtp_vrfy = SEEN\n.endif\n",
    "inc/loop": "\n.include loop\n",
    "inc/wrong": "acl_smtp_vrfy = a\n\n.else\n",
    "inc/unended": "acl_smtp_vrfy = a\n.ifdef A\n",
    "inc/missing": "acl_smtp_vrfy = a\n.include nothing\n",
    "inc/bad": "A = 1\nA = 2\n",
}


@pytest.mark.parametrize("name", READ)
def test_read_alike(both: Both, name: str) -> None:
    assert agree(both, READ[name], FILES)


REFUSED = {
    "defined twice": "A = 1\nA = 2",
    "redefined, not defined": "A == 1",
    "a part of the name is a macro": "A = 1\n\nAB = 2",
    "in the middle": "BC = 1\nABCD = 2",
    "a builtin one is a part": "X_HAVE_TLS = 1",
    "no definition": "A",
    "no definition either": "Abc: 1",
    "the name of a macro is too long": "A" * 64 + " = 1",
    "defined twice in a section": "begin acl\nA = 1\nA = 2",
    "endif": "\n.endif",
    "else": ".else",
    "elifdef": "acl_smtp_rcpt = a\n.elifdef A",
    "elifndef": ".elifndef A",
    "one endif too many": ".ifdef A\n.endif\n.endif",
    "endif in a joined line": "acl_smtp_rcpt = a \\\n.endif\n b",
    "endif missing": "acl_smtp_rcpt = a\n.ifdef A\nacl_smtp_data = a\n",
    "endif missing, no newline": "acl_smtp_rcpt = a\n.ifdef A\nacl_smtp_data = a",
    "eleven conditions": ".ifndef A\n" * 11 + ".endif\n" * 11,
    "eleven that do not count": ".ifdef A\n" * 11 + ".endif\n" * 11,
    "CRLF": ".ifdef A\r\n.endif\r\n",
    "else with CR": ".ifdef A\n.else\r\n",
    "no such file": "\n.include /folder/nothing",
    "no such relative file": "\n.include nothing",
    "relative, if it exists": "\n.include_if_exists inc/a",
    "a file that includes itself": ".include inc/loop",
    "an error in a file": ".include inc/wrong",
    "a condition without end in a file": ".include inc/unended\nacl_smtp_rcpt = b\n",
    "no such file in a file": ".include inc/missing",
    "a macro in a file": ".include inc/bad",
    "no such section": "begin nothing",
    "a section with a second word": "begin acl acl",
    "a section twice": "begin acl\nbegin routers\nbegin acls",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_alike(both: Both, name: str) -> None:
    """Both refuse; and where Exim names file and line, ours are the same."""
    if name in NO_SAME_LINE:
        with pytest.raises(ConfigurationError):
            both.ours(REFUSED[name], FILES, {})
        assert both.theirs(REFUSED[name], FILES, {})[1], NO_SAME_LINE[name]
    else:
        assert not agree(both, REFUSED[name], FILES)


NO_SAME_LINE = {
    "CRLF": "Exim passes over `.endif` with a CR and misses it at the end; we name the line with the CR",
    "else with CR": "the same",
    "a file that includes itself": "Exim stops when it can open no more files, we stop earlier",
}

STRICTER = {
    "a tab after ifdef": (".ifdef\tA\nacl_smtp_rcpt = a", "Exim passes over this line, and reads the next"),
    "a word that begins so": (".endifA\nacl_smtp_rcpt = a", "Exim passes over this line"),
    "else without blank": (
        ".ifdef A\n.else#\nacl_smtp_rcpt = a\n.endif",
        "Exim passes over it: nothing is read",
    ),
    "a NUL-like control": ("acl_smtp_rcpt = \x01", "an invisible character"),
    "no-break space": ("acl_smtp_rcpt =\xa0x", "pasted from a web page"),
    "a pattern with a dot": ("begin retry\n.test * F,1h,1m", "far more often a directive with a slip"),
}


@pytest.mark.parametrize("name", STRICTER)
def test_where_labkit_is_stricter(both: Both, name: str) -> None:
    """Exim reads it, we refuse it by name: tested both ways, so that a change is noticed."""
    text, because = STRICTER[name]
    assert not both.theirs(text, {}, {})[1], because
    with pytest.raises(ConfigurationError):
        both.ours(text, {}, {})


@pytest.mark.parametrize(
    "text, presets",
    [
        ("A = file\nacl_smtp_rcpt = A B", {"A": "preset", "B": "x A y"}),
        ("A == file\nacl_smtp_rcpt = A", {"A": "preset"}),
        ("B = A\nA = file\nacl_smtp_rcpt = A B", {"A": "  preset A B "}),
        (".ifdef E\nacl_smtp_rcpt = [E]\n.endif", {"E": ""}),
        ("C = 1\nacl_smtp_rcpt = AB C", {"AB": "BC", "B": "C"}),
        ("acl_smtp_rcpt = AB", {"B": "1", "AB": "2"}),
        ("AB = 3\nacl_smtp_rcpt = AB", {"B": "1", "AB": "2"}),
        ("AB == 3\nacl_smtp_rcpt = AB", {"AB": "2", "B": "1"}),
        ("XAB = 3\nacl_smtp_rcpt = AB", {"AB": "2"}),
        ("acl_smtp_rcpt = A", {"a": "2"}),
        ("acl_smtp_rcpt = A", {f"A{i}": "2" for i in range(11)}),
        ("acl_smtp_rcpt = A", {f"A{i}": "2" for i in range(10)}),
    ],
)
def test_presets(both: Both, text: str, presets: dict[str, str]) -> None:
    agree(both, text, {}, presets)


@pytest.mark.parametrize(
    "file", ["/usr/share/doc/exim4-base/examples/example.conf", "/var/lib/exim4/config.autogenerated"]
)
def test_files_of_others(both: Both, file: str) -> None:
    """Exim's example and Debian's configuration; what the prelude already sets is not set again."""
    if not Path(file).exists():
        pytest.skip(f"{file} is not installed here")
    text = Path(file).read_text(encoding="latin-1")
    set_above = re.findall("(?m)^([a-z0-9_]+) =", PRELUDE)
    text = re.sub(rf"(?m)^ *({'|'.join(set_above)}) *=.*\n", "", text)
    assert agree(both, text)


# --- generated ones ---------------------------------------------------------------------------

LISTS = [f"{kind}list l{number}" for kind in ("domain", "host", "localpart") for number in range(9)]
OPTIONS = [
    f"acl_smtp_{name}"
    for name in "auth connect data etrn expn helo mail mailauth predata quit rcpt vrfy".split()
]
NAMES = ["A", "B", "AB", "BA", "ABC", "A_B", "C1", "Cc", "MAC", "MACRO"]
LOOKED_FOR = [*NAMES, "_HAVE_TLS", "X"]
PIECES = [*LOOKED_FOR, *LOOKED_FOR, *"x y_ _ 9 xEMPTY # . = : $ \" ' \\n \\\\y {".split(), " ", "  ", "\t"]
JOINTS = [" \\\n", "\\\n", "\\  \n   ", "\\\n# A comment\n \t", "\\\n  #A\\\n"]


class Writer:
    """Writes files at random. `wild` ones define macros as they like and forget an .endif now and then."""

    def __init__(self, seed: int, wild: bool) -> None:
        self.rng = random.Random(seed)
        self.wild = wild
        self.files = {"gen/words": "  A \\\n#\n B_ \\\n"}
        self.options = [*OPTIONS, *LISTS]
        self.macros: list[str] = []  # defined for sure
        self.maybe: list[str] = []  # defined in a condition

    def chance(self, of_ten: int) -> bool:
        return self.rng.randrange(10) < of_ten

    def words(self, most: int = 8) -> str:
        """They begin with a letter: a quote would need another, and a dot would be a directive."""
        return "v" + "".join(self.rng.choice(PIECES) for _ in range(self.rng.randrange(most)))

    def value(self, most: int = 8) -> str:
        """Words, over several lines at times."""
        found = self.words(most)
        while self.chance(3):
            found += self.rng.choice(JOINTS)
            if self.chance(2):
                found += ".include /folder/gen/words\n"
            if self.chance(2):
                found += f"{self.condition()}\n{self.words()} \\\n.else\n{self.words()}\\\n.endif\n"
            found += self.words(most)
        return found

    def condition(self) -> str:
        name, more = self.rng.choice(LOOKED_FOR), self.rng.choice(["", "", " B", "_X"])
        return f".if{self.rng.choice(['', 'n'])}def {name}{more}"

    def definition(self, sure: bool) -> str:
        name = self.rng.choice(NAMES)
        if self.wild:
            return f"{name} {self.rng.choice(['=', '=='])} {self.value(3)}"
        if name in self.macros:
            return f"{name} == {self.value(2)}"
        if name in self.maybe or any(each in name for each in [*self.macros, *self.maybe]):
            return "# A B C"
        (self.macros if sure else self.maybe).append(name)
        return f"{name} ={self.value(3)}"

    def main(self, lines: int, depth: int = 0) -> str:
        found = ["EMPTY ="] if depth == 0 else []
        for _ in range(lines):
            dice = self.rng.random()
            if dice < 0.25:
                found.append(self.definition(depth == 0))
            elif dice < 0.6 and self.options:
                option = self.options.pop(self.rng.randrange(len(self.options)))
                found.append(f"{self.rng.choice(['', '  ', 'hide '])}{option} = {self.value()}")
            elif dice < 0.75 and depth < 4:
                found += [self.condition(), self.main(3, depth + 1)]
                if self.chance(3):
                    found += [f".elif{self.rng.choice(['', 'n'])}def {self.rng.choice(LOOKED_FOR)}"]
                    found += [self.main(2, depth + 1)]
                if self.chance(5):
                    found += [".else A", self.main(2, depth + 1)]
                if not self.wild or self.chance(9):
                    found.append(".endif")
            elif dice < 0.85 and depth < 3:
                name = f"gen/{len(self.files)}"
                self.files[name] = ""
                self.files[name] = self.main(4, depth + 1) + "\n"
                found.append(f".include {'' if depth == 0 and self.chance(5) else '/folder/'}{name}")
            else:
                found.append(self.rng.choice(["", "# A", "\t", "\\", " \\ \n"]))
        return "\n".join(found)

    def acls(self, lines: int) -> str:
        found = ["\nbegin acl", "first:"]
        for number in range(lines):
            if self.chance(2):
                found += [self.definition(True), f"acl{number}:"]
            else:
                found.append(f" warn message = {self.value()}")
        return "\n".join(found)


@pytest.mark.parametrize("seed", range(12))
def test_generated_files(both: Both, seed: int) -> None:
    writer = Writer(seed, wild=False)
    text = writer.main(40) + writer.acls(40)
    assert agree(both, text, writer.files)


def test_generated_files_with_mistakes(both: Both) -> None:
    outcomes = []
    for seed in range(60):
        writer = Writer(1000 + seed, wild=True)
        outcomes.append(agree(both, writer.main(5) + "\n", writer.files))
    assert 10 < sum(outcomes) < 50, "some are right, some are wrong"


# --- names ------------------------------------------------------------------------------------


def test_names_of_options(both: Both) -> None:
    """Every option and driver of the installed Exim stands in our table of names."""
    ours = {f"_DRIVER_{kind}_{name}".upper() for kind, names in exim_names.DRIVERS.items() for name in names}
    ours |= {macro_of_option(scope, name) for scope, names in exim_names.OPTIONS.items() for name in names}
    theirs = {name for name in both.builtin if name.startswith(("_DRIVER_", "_OPT_"))}
    assert theirs <= ours
    assert len(ours - theirs) < 10, "what an Exim with other parts has"


def test_builtin_macros_of_ours_are_exims(both: Both) -> None:
    assert both.builtin.keys() >= BUILTIN.keys()


@pytest.mark.parametrize(
    "text, exims",
    [
        ("nosuch = 1", 'main option "nosuch" unknown\n'),
        ("delay_warning = some text", "invalid time value for delay_warning\n"),
        ("delay_warning = 2h:1h", "time value out of order for delay_warning\n"),
        ("delay_warning = 1h:2h:3h:4h:5h:6h:7h:8h:9h:10h:11h", "too many time values for delay_warning\n"),
        ("begin routers\nr: driver = accept", "extra characters follow driver name r"),
        ("begin transports\nt:\n port = 25\n driver = smtp", 'option "port" unknown ("driver" must be'),
        ("begin routers\nr:\n driver = accept\nA = 1\n no_more", "router name missing"),
        ("begin routers\nr:\n driver = accept\n mx_domains = a", 'option "mx_domains" unknown'),
    ],
)
def test_words_of_a_refusal(both: Both, text: str, exims: str) -> None:
    """Where a student searches the web for Exim's words, ours must be the same."""
    wrong = both.theirs(text, {}, {})[1]
    assert exims in wrong
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert exims in f"{caught.value.problem}\n"
    assert re.search(r" in line (\d+)", wrong)[1] == str(caught.value.place.line + ABOVE)  # type: ignore[index]

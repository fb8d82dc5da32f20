"""Ham and spam to train and to measure filters on: the corpus that comes with labkit, or a folder of your own mail.

WHAT       `read_corpus()` gives the shipped letters, `read_corpus(Path("my_mail"))` yours; `corpus.training` is what a
           filter may learn from, `corpus.held_out` what it is judged by.
FOLDER     `ham` and `spam`, and in them .eml, mbox, Maildir (mail_files.py); or two mbox files, `ham.mbox` and
           `spam.mbox` (or without .mbox). What stands deeper names itself: a folder
           of two small letters (`en`, `de`) is a language, the first other folder (or an mbox file) is a style.
           Above them `training` and `held_out` may stand: then the folder says itself what is held out.
DECIDES    what is held out otherwise: of a class with three styles or more every fourth style (one at least), chosen by
           the hash of the names; else every fourth letter, chosen by the hash of its content. New letters of the same
           styles never move old ones to the other side.
BOUNDED    a letter of at most 1 MB; of each class 100,000 letters and 400 MB. `left_out` names what was not taken.
RULES      letters end their lines in CR LF. The same content twice is one letter; as ham and as spam it is none.
SAFE       Nothing leaves the machine: files are read, no name is looked up, no address in a letter is asked, and no
           copy is kept. A table shows names of folders and counts, never a word of a letter.
READ NEXT  corpus_table.py, mail_files.py, data/corpus/README.md
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from labkit.lab.corpus_table import as_html, as_text
from labkit.lab.data import data_path
from labkit.lab.mail_files import read_messages
from labkit.mail.visible import visible

LARGEST = 1_000_000  # octets of one letter
MOST_LETTERS = 100_000
MOST_OCTETS = 400_000_000
ONE_IN = 4  # so many styles, or letters, for one that is held out
STYLES_TO_SPLIT = 3  # a class with fewer styles is split letter by letter
NO_STYLE = "unsorted"
NO_LANGUAGE = "unknown"
CLASSES = {"ham": False, "spam": True}
SIDES = ("training", "held_out")
_LANGUAGE = re.compile(r"[a-z]{2}")
_MBOX_NAME = re.compile(r"(?P<stem>.+)\.(?:mbox|mbx)(?::\d+)?", re.IGNORECASE)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_SUBJECT = re.compile(rb"^Subject:[ \t]*([^\r\n]{0,60})", re.IGNORECASE | re.MULTILINE)


class NoCorpus(ValueError):
    """A folder from which nobody can train a filter; the words say what to change."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message and what it is known to be."""

    content: bytes
    is_spam: bool
    style: str
    language: str
    name: str

    def __repr__(self) -> str:
        header = self.content.partition(b"\r\n\r\n")[0]
        found = _SUBJECT.search(header)
        subject = found[1].decode("ascii", "replace") if found else ""
        kind = "spam" if self.is_spam else "ham"
        return f"<Letter {_line(self.name)}: {kind}, {_line(self.style)}, {self.language}, {subject!r}>"


@dataclass(frozen=True, slots=True, repr=False)
class Corpus:
    """Letters to learn from, and letters to be judged by. It prints as a table of what it holds."""

    training: tuple[Letter, ...]
    held_out: tuple[Letter, ...]
    left_out: tuple[str, ...] = ()  # what could not be read, each with its file

    def __len__(self) -> int:
        return len(self.training) + len(self.held_out)

    def __iter__(self) -> Iterator[Letter]:
        yield from self.training
        yield from self.held_out

    def of(
        self, *, style: str | None = None, language: str | None = None, is_spam: bool | None = None
    ) -> Corpus:
        """The part of this corpus that is so. Raises ValueError for a style or a language that it has not."""
        for what, wanted, known in (
            ("style", style, self.styles),
            ("language", language, self.languages),
        ):
            if wanted is not None and wanted not in known:
                raise ValueError(
                    f"no letter has the {what} {wanted!r}; there are {', '.join(map(_line, known)) or 'none'}"
                )

        def chosen(letters: tuple[Letter, ...]) -> tuple[Letter, ...]:
            return tuple(
                letter
                for letter in letters
                if (style is None or letter.style == style)
                and (language is None or letter.language == language)
                and (is_spam is None or letter.is_spam == is_spam)
            )

        return replace(self, training=chosen(self.training), held_out=chosen(self.held_out))

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(sorted({letter.style for letter in self}))

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({letter.language for letter in self}))

    def __repr__(self) -> str:
        return as_text(_rows(self.training), _rows(self.held_out), self.left_out)

    def _repr_html_(self) -> str:
        return as_html(_rows(self.training), _rows(self.held_out), self.left_out)


def read_corpus(folder: str | os.PathLike[str] | None = None) -> Corpus:
    """The letters of a folder; of the one that comes with labkit, if none is given. Nothing leaves the machine.

    Raises NoCorpus for a folder without ham or without spam.
    """
    return _shipped() if folder is None else _read(Path(folder).expanduser())


@lru_cache(maxsize=1)
def _shipped() -> Corpus:
    return _read(data_path("corpus"))


def _read(folder: Path) -> Corpus:
    if not folder.is_dir():
        raise NoCorpus(
            f"{_line(folder)}: there is no such folder; make it, with two folders in it: ham and spam"
        )
    problems: list[str] = []
    if any((folder / side).is_dir() for side in SIDES):
        training, held_out = (_letters_of(folder, folder / side, problems) for side in SIDES)
    else:
        training, held_out = split(_letters_of(folder, folder, problems))
    letters = _without_doubles((*training, *held_out), problems)
    _must_hold_both(letters, folder, problems)
    kept = set(map(id, letters))
    return Corpus(
        tuple(letter for letter in training if id(letter) in kept),
        tuple(letter for letter in held_out if id(letter) in kept),
        tuple(problems),
    )


def split(letters: Iterable[Letter]) -> tuple[list[Letter], list[Letter]]:
    """What to train on, and what to hold out: see DECIDES at the top."""
    training: list[Letter] = []
    held_out: list[Letter] = []
    every = list(letters)
    for is_spam in CLASSES.values():
        those = [letter for letter in every if letter.is_spam == is_spam]
        held_styles = _styles_to_hold_out(those)
        for letter in those:
            if letter.style in held_styles if held_styles else _number(letter.content) % ONE_IN == 0:
                held_out.append(letter)
            else:
                training.append(letter)
    return training, held_out


def _styles_to_hold_out(letters: list[Letter]) -> set[str]:
    """Every fourth style, one at least; none where there are too few to learn anything from the rest."""
    styles = sorted(
        {letter.style for letter in letters},
        key=lambda name: (_number(name.encode("utf-8", "surrogateescape")), name),
    )
    return set(styles[: max(1, len(styles) // ONE_IN)]) if len(styles) >= STYLES_TO_SPLIT else set()


def _letters_of(folder: Path, side: Path, problems: list[str]) -> list[Letter]:
    """What stands in `ham` and `spam` below `side`; names are those below `folder`."""
    letters: list[Letter] = []
    for kind, is_spam in CLASSES.items():
        place = next(filter(Path.exists, (side / kind, side / f"{kind}.mbox")), None)
        if place is None:
            continue
        count = octets = 0
        prefix = place.relative_to(folder).as_posix()

        def tell(words: str, prefix: str = prefix) -> None:
            problems.append(_line(f"{prefix}: {words}"))

        for source, raw in read_messages(place, tell):
            if count >= MOST_LETTERS or octets >= MOST_OCTETS:
                most = f"{MOST_LETTERS:,} letters or {MOST_OCTETS:,} octets of {kind}"
                tell(f"reading ends at {source}; more than {most}")
                break
            if not raw.strip():
                tell(f"{source}: no message is in it")
            elif len(raw) > LARGEST:
                tell(f"{source}: {len(raw):,} octets; a letter of the corpus has {LARGEST:,} at most")
            else:
                count += 1
                octets += len(raw)
                style, language = _named(source) if place.is_dir() else (NO_STYLE, NO_LANGUAGE)
                content = _LINE_END.sub(b"\r\n", raw)
                letters.append(
                    Letter(
                        content, is_spam, style, language, f"{prefix}/{source}" if place.is_dir() else source
                    )
                )
    return letters


def _named(source: str) -> tuple[str, str]:
    """The style and the language that a path below `ham` or `spam` says, such as `en/newsletter.mbox:3`."""
    *folders, file = source.split("/")
    if folders and folders[-1] in ("cur", "new"):
        folders.pop()
    if found := _MBOX_NAME.fullmatch(file):
        folders.append(found["stem"])
    languages = [name for name in folders if _LANGUAGE.fullmatch(name)]
    styles = [name.lstrip(".") for name in folders if not _LANGUAGE.fullmatch(name)]
    return (styles or [NO_STYLE])[0] or NO_STYLE, (languages or [NO_LANGUAGE])[0]


def _without_doubles(letters: Iterable[Letter], problems: list[str]) -> list[Letter]:
    """Each content once; a content that is ham here and spam there teaches nothing and is left out."""
    first: dict[bytes, Letter] = {}
    both: set[bytes] = set()
    for letter in letters:
        known = first.setdefault(letter.content, letter)
        same = _line(f"{letter.name}: the same letter is {known.name}")
        if known.is_spam != letter.is_spam:
            both.add(letter.content)
            problems.append(f"{same}; ham and spam: neither counts")
        elif known is not letter:
            problems.append(f"{same}; it counts once")
    return [letter for content, letter in first.items() if content not in both]


def _must_hold_both(letters: list[Letter], folder: Path, problems: list[str]) -> None:
    for kind, is_spam in CLASSES.items():
        if not any(letter.is_spam == is_spam for letter in letters):
            told = f" ({len(problems)} left out; the first: {problems[0]})" if problems else ""
            raise NoCorpus(
                f"{_line(folder)}: no letter in {kind}{told}; put .eml files, an mbox or a Maildir into "
                f"{_line(folder / kind)}: a filter learns from both classes"
            )


def _rows(letters: Iterable[Letter]) -> list[tuple[bool, str, str]]:
    return [(letter.is_spam, letter.style, letter.language) for letter in letters]


def _line(name: str | Path) -> str:
    """What a file or a folder is called, on one line: a name may hold line ends, ESC, octets that are no text."""
    return visible(str(name)).replace("\n", "\\n").replace("\t", "\\t")


def _number(octets: bytes) -> int:
    """A number that depends on the octets alone, the same on every machine."""
    return int.from_bytes(blake2b(octets, digest_size=8).digest(), "big")

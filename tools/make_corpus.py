"""Writes the letters of data/corpus from the texts in tools/corpus_texts: python tools/make_corpus.py

WHAT       one mbox for each style in each language: data/corpus/USE/KIND/LANGUAGE/STYLE.mbox
RULES      The same files every time; tests/lab/test_corpus.py compares them with this tool. An mbox is written as
           mboxrd: `From ` at the start of a line gets a >, and so does `>From `; lines end in LF.
READ NEXT  corpus_template.py (the texts), corpus_letter.py (the messages), data/corpus/README.md
"""

from __future__ import annotations

import re
import shutil
from datetime import timezone
from pathlib import Path

from corpus_letter import Made, letter_of
from corpus_template import Style, read_style

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ROOT / "tools" / "corpus_texts"
CORPUS = ROOT / "data" / "corpus"
_FROM = re.compile(rb"^(?=>*From )", re.MULTILINE)


def styles() -> list[Style]:
    """Every file of texts; what all letters of a language share stands in common.LANGUAGE.txt."""
    files = sorted(TEXTS.glob("*.??.txt"))
    common = {path.stem.split(".")[1]: path for path in files if path.name.startswith("common.")}
    shared = {language: read_style(path, {}).head for language, path in common.items()}
    return [
        read_style(path, shared[path.stem.split(".")[1]]) for path in files if path not in common.values()
    ]


def corpus_files() -> dict[str, bytes]:
    """The name below data/corpus, and the octets, of every mbox."""
    made = {}
    for style in styles():
        letters = sorted(
            (letter_of(style, number) for number in range(int(style["count"]))), key=lambda made: made.sent
        )
        name = f"{style['use']}/{style['kind']}/{style.language}/{style.name}.mbox"
        made[name] = b"".join(map(as_mbox, letters))
    return made


def as_mbox(made: Made) -> bytes:
    """A message with its From_ line, in LF and quoted."""
    line = f"From {made.sender} {made.sent.astimezone(timezone.utc):%a %b %d %H:%M:%S %Y}\n"
    return line.encode("ascii") + _FROM.sub(b">", made.content.replace(b"\r\n", b"\n")) + b"\n"


def main() -> None:
    for use in ("training", "held_out"):
        shutil.rmtree(CORPUS / use, ignore_errors=True)
    for name, octets in corpus_files().items():
        path = CORPUS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)


if __name__ == "__main__":
    main()

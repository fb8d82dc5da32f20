"""Answer FileText: what a configuration includes.

RULES      `root` is the host's disk: an absolute path is looked up below it, a relative one beside `beside`.
READ NEXT  mailboxes.py
"""

from __future__ import annotations

from pathlib import Path

from labkit.mail.questions import FileText, NoFile


def file_text(question: FileText, *, root: Path, beside: Path) -> str | NoFile:
    """The text of the file, octet for octet where its line ends are concerned; or why there is none."""
    asked = Path(question.path)
    if ".." in asked.parts:
        return NoFile("a path with .. leaves the host's disk", is_missing=False)
    path = root / asked.relative_to("/") if asked.is_absolute() else beside / asked
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return NoFile("No such file or directory")
    except (OSError, UnicodeDecodeError) as problem:
        return NoFile(str(problem), is_missing=False)

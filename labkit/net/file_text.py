"""Answer FileText where nothing else is asked: what a configuration includes.

RULES      `root` is the host's disk: an absolute path is looked up below it, a relative one beside `beside`.
READ NEXT  host_files.py
"""

from __future__ import annotations

from pathlib import Path

from labkit.mail.lookups import FileText, Unopened
from labkit.net.disk import Disk
from labkit.net.host_files import unopened


def file_text(question: FileText, *, root: Path, beside: Path) -> str | Unopened:
    """The text of the file, octet for octet; or why there is none."""
    try:
        return Disk(root, beside).read(question.path)[0]
    except OSError as error:
        return unopened(error)

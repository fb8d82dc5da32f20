"""Which configuration file is read, and how we say that it cannot be.

READ NEXT  main_settings.py, machine.py
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from labkit.eximconf.place import ConfigurationError
from labkit.mail.plainly import SaidPlainly
from labkit.net.disk import Disk

NO_FILE = """\
labkit-exim: no configuration: name one with -C FILE
  labkit has none built in, as an Exim has. `labkit-exim -C FILE -bV` says whether it can be read."""


class CannotStart(SaidPlainly, RuntimeError):
    """The configuration cannot be read; the text is what Exim would print, and what to do."""


def octets_of_file(file: str) -> bytes:
    """The configuration. Raises CannotStart; a pipe hangs nobody, and what never ends fills no memory."""
    try:
        return Disk(Path("/"), Path.cwd()).read(file)[0].encode("latin-1")
    except OSError as problem:
        is_folder = os.path.isdir(os.fsencode(text_of(file)))
        why = os.strerror(errno.EISDIR) if is_folder else problem.strerror
        raise CannotStart(f"labkit-exim: failed to open {file}: {why}") from None


def first_file(files: str | None) -> str:
    """-C takes a list: the first file that is there counts. Raises CannotStart."""
    if files is None:
        raise CannotStart(NO_FILE)
    names = [name for name in _split(files) if name]
    for name in names:
        if os.path.exists(os.fsencode(text_of(name))):
            return name
    raise CannotStart(f"non-existent configuration file(s): {', '.join(names) or files}")


def _split(files: str) -> list[str]:
    if ":" not in files and not files.startswith("<"):
        return [files.strip()]
    from labkit.eximconf.lists import split_list

    return list(split_list(files))


def shown_error(error: ConfigurationError) -> str:
    """In Exim's form, and the remedy."""
    place = f" in line {error.place.line} of {error.place.file}" if error.place.line else ""
    return f"Exim configuration error{place}:\n  {error.problem}\n  labkit: {error.remedy}"


def text_of(octets: str) -> str:
    """Octets as the system's functions want them."""
    return os.fsdecode(octets.encode("latin-1"))


def octets_of(text: str) -> str:
    return os.fsencode(text).decode("latin-1")

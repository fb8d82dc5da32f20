"""Which lines count: `.ifdef`, `.ifndef`, `.elifdef`, `.elifndef`, `.else` and `.endif`.

WHAT       a directive is true if a macro was replaced in its line; what stands in lines that do not count is not read.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" ("Conditional skips …")
LIKE EXIM  ten conditions one inside the other are the most; a condition may begin in one file and end in the file
           that includes it; what follows `.else` and `.endif` is a comment
STRICTER   Exim passes over `.endif` before a tab or a CR, and over `.ifdefX`, without a word: refused here
READ NEXT  lines.py
"""

from __future__ import annotations

import re
from enum import Enum

from labkit.eximconf.place import ConfigurationError, Place

DEEPEST = 10
_DIRECTIVE = re.compile(r"\.(ifdef|ifndef|elifdef|elifndef|else|endif)(?:(?=[ \n])|\Z)")
_NEARLY = re.compile(
    r"\.(?:ifdef|ifndef|elifdef|elifndef|else|endif)"
)  # Exim looks at no more than these letters
_WRONG_END = {
    "\r": ("a CR", "save the file with plain line ends (LF, as Unix has them)"),
    "\t": ("a tab", "write a blank instead of the tab"),
}


class _State(Enum):
    READING = "these lines count"
    WAITING = "no condition of this group was true yet"
    DONE = "another part of this group counts, or the whole group does not"


class Conditionals:
    """The conditions that are open at a line."""

    def __init__(self) -> None:
        self._state = _State.READING
        self._open: list[
            tuple[_State, str, Place]
        ] = []  # the state around it, the directive, where it stands

    @property
    def skipping(self) -> bool:
        return self._state is not _State.READING

    def obey(self, text: str, found: bool, place: Place) -> bool:
        """Is this physical line one of the directives? Then do what it says; `found`: a macro was replaced in it.

        Raises ConfigurationError for one that does not fit.
        """
        read = _DIRECTIVE.match(text)
        if read is None:
            if nearly := _NEARLY.match(text):
                raise _not_quite(nearly[0], text[nearly.end()], place)
            return False
        name = read[1]
        if name.startswith("if"):
            self._begin(name, found is (name == "ifdef"), place)
        elif not self._open:
            raise ConfigurationError(
                place,
                f".{name} without matching .ifdef",
                "remove it, or write the .ifdef that it belongs to above",
            )
        elif name == "endif":
            self._state = self._open.pop()[0]
        else:
            self._otherwise(name == "else" or found is (name == "elifdef"))
        return True

    def _begin(self, name: str, true: bool, place: Place) -> None:
        if len(self._open) == DEEPEST:
            raise ConfigurationError(
                place,
                f".{name} nested too deeply",
                f"{DEEPEST} conditions one inside the other are the most",
            )
        self._open.append((self._state, name, place))
        if self._state is _State.READING:
            self._state = _State.READING if true else _State.WAITING
        else:
            self._state = _State.DONE

    def _otherwise(self, true: bool) -> None:
        if self._state is _State.READING:
            self._state = _State.DONE
        elif self._state is _State.WAITING and true:
            self._state = _State.READING

    def end(self, place: Place) -> None:
        """The configuration ends here. Raises ConfigurationError if a condition is still open."""
        if self._open:
            _, name, opened = self._open[-1]
            raise ConfigurationError(
                place,
                "Unexpected end of configuration file: .endif missing",
                f"the .{name} of {opened} has no .endif",
            )


def _not_quite(directive: str, following: str, place: Place) -> ConfigurationError:
    what, remedy = _WRONG_END.get(
        following, (repr(following), "the directives are .ifdef .ifndef .elifdef .elifndef .else .endif")
    )
    return ConfigurationError(
        place, f"{directive} is followed by {what}; Exim would pass over this line without a word", remedy
    )

"""Errors that a student should read as one sentence, not as fifty lines of traceback.

WHAT       an exception class that also inherits from `SaidPlainly` shows only its own words in a notebook.
WHY HERE   the words name what is wrong and what to do; where in labkit it was noticed helps nobody.
READ NEXT  address.py uses it
"""

from __future__ import annotations


class SaidPlainly(Exception):
    """A mistake of the user's that its text explains. Outside of notebooks it is an exception like others."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        text = self.args[0] if self.args else ""
        return [f"{type(self).__name__}: {text}"]

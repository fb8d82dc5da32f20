"""What C calls space: the blanks of Exim's language, all of them, wherever a blank is allowed.

STANDARDS  ISO C, isspace() in the locale "C"
READ NEXT  quoting.py
"""

from __future__ import annotations

BLANKS = " \t\n\v\f\r"

"""Exim's lists: is this domain, host, local part or address in it?

WHAT       compile_list(kind, text, place, named) makes a PatternList once; it is asked as often as needed, and answers
           with a Match that says which item decided and what it vouches for.
PURE       files, databases and the DNS are questions (mail/lookups.py, mail/questions.py).
STANDARDS  Exim specification, chapter "Domain, host, address, and local part lists"
LIKE EXIM  4.96; the oracle tests hold each kind of item against it
READ NEXT  kinds.py, items.py, walking.py, pattern_list.py, compiling.py
"""

from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.lists.compiling import check_names, compile_list
from labkit.eximconf.lists.kinds import ListKind, Match, NamedLists
from labkit.eximconf.lists.pattern_list import PatternList

__all__ = ["ListKind", "Match", "NamedLists", "PatternList", "check_names", "compile_list", "split_list"]

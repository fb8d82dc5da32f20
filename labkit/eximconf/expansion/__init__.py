"""Exim's string expansion: `${if eq{$domain}{here.test}{…}{…}}`.

WHAT       compile_text(text, place) reads a text into a tree and makes closures of it; Env holds what it may know;
           Value, ForcedFailure, Failure and Defer are the four ways in which an expansion ends.
PURE       what lies in a file, behind a socket or in the DNS is a question (questions.py).
STANDARDS  Exim specification, chapters "String expansions", "File and database lookups", section "Tainted data"
LIKE EXIM  4.96, octet for octet; the oracle tests hold each item, operator and condition against it
READ NEXT  outcomes.py, tree.py, parser.py, compiler.py, engine.py
"""

from labkit.eximconf.expansion.engine import Compiled, compile_text
from labkit.eximconf.expansion.env import AclVerdict, Env, Step
from labkit.eximconf.expansion.outcomes import Defer, Failure, ForcedFailure, Outcome, Tainted, Value

__all__ = [
    "AclVerdict",
    "Compiled",
    "Defer",
    "Env",
    "Failure",
    "ForcedFailure",
    "Outcome",
    "Step",
    "Tainted",
    "Value",
    "compile_text",
]

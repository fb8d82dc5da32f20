"""Rewriting of addresses: the section `begin rewrite` of a configuration, and headers_rewrite of a transport.

WHAT       `read_rules` reads rules; `Rules.rewrite` rewrites one address; `rewritten_fields` qualifies and rewrites
           the addresses of a header; `shown_test` is what exim -brw prints.
STANDARDS  Exim specification, chapter "Address rewriting"
READ NEXT  rules.py, rewriter.py, fields.py, testing.py
"""

from labkit.eximconf.rewriting.fields import Qualifying, rewritten_fields
from labkit.eximconf.rewriting.rewriter import Note, Rewritten, Rules
from labkit.eximconf.rewriting.rules import Rule, Where, read_rules
from labkit.eximconf.rewriting.testing import shown_test

__all__ = [
    "Note",
    "Qualifying",
    "Rewritten",
    "Rule",
    "Rules",
    "Where",
    "read_rules",
    "rewritten_fields",
    "shown_test",
]

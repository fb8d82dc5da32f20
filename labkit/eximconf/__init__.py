"""Exim's configuration language: read, expand, match.

WHAT       `read(text, file)` gives a `Configuration`, compiled once; what labkit does not know is refused by name.
STANDARDS  the Exim specification, chapters "The Exim run time configuration file", "String expansions",
           "Domain, host, address, and local part lists"
RULES      pure: a file that has to be looked at is a question.
READ NEXT  reader.py, options.py, lists.py, expand.py, configuration.py
"""

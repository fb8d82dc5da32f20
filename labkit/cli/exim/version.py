"""`labkit-exim -bV`: which program this is, and what it can do, in the layout of Exim's answer.

READ NEXT  printing.py
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from labkit.eximconf import options
from labkit.eximconf.expansion.syntax import QUERIES, SINGLE_KEY

SUPPORT = ("crypteq", "DKIM", "DNSDB", "SPF", "SRS")
LANGUAGE = "4.96"  # the Exim whose language this is


def own_version() -> str:
    try:
        return version("mta-labkit")
    except PackageNotFoundError:
        return "of a source tree"


def show() -> None:
    """Print everything but the name of the configuration file."""
    transports = [
        "appendfile/maildir" if name == "appendfile" else name for name in options.DRIVERS["transport"]
    ]
    lookups = sorted({*SINGLE_KEY, *QUERIES} - {"spf"})  # which Exim names by "Support for" alone
    lines = [
        f"labkit-exim version {own_version()} (the language of Exim {LANGUAGE})",
        "labkit reads Exim's configuration and is no Exim; docs/exim-support.md says how far it goes",
        f"Support for: {' '.join(SUPPORT)}",
        f"Lookups (built-in): {' '.join(lookups)}",
        f"Authenticators: {' '.join(options.DRIVERS['authenticator'])}",
        f"Routers: {' '.join(options.DRIVERS['router'])}",
        f"Transports: {' '.join(transports)}",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))

"""The student's Local/Makefile: what Exim shall be able to do, and what becomes impossible without it.

WHAT       `student_options`, `capabilities` (a finding for each later point of the lab), `write_local_makefile`.
DECIDES    which later points of the lab an option is needed for: the table CAPABILITIES.
STANDARDS  Exim specification, chapter "Building and installing Exim"
READ NEXT  exim_build.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.net.programs.exim_found import InstalledExim


@dataclass(frozen=True, slots=True)
class Capability:
    """What Exim can do if it was built so. Of each group in `needs` one option must be set, of `without` none."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    points: tuple[str, ...]  # of the lab, which become impossible without it
    shown: tuple[str, ...] = ()  # how `exim -bV` says it: one of these
    without: tuple[str, ...] = ()

    def is_in(self, exim: InstalledExim) -> bool:
        """What the finished program says of itself."""
        return not self.shown or any(exim.has(word) for word in self.shown)


AUTHENTICATORS = (
    "AUTH_PLAINTEXT",
    "AUTH_CRAM_MD5",
    "AUTH_SPA",
    "AUTH_DOVECOT",
    "AUTH_GSASL",
    "AUTH_CYRUS_SASL",
)
TLS = ("USE_OPENSSL", "USE_GNUTLS")
EVERYTHING = ("all",)
CAPABILITIES = (
    Capability(
        "an Exim at all",
        (
            ("BIN_DIRECTORY",),
            ("CONFIGURE_FILE",),
            ("EXIM_USER",),
            ("SPOOL_DIRECTORY",),
            ("PCRE2_CONFIG", "PCRE_LIBS"),
        ),
        EVERYTHING,
    ),
    Capability("take mail for an account", (("ROUTER_ACCEPT",),), ("3a", "12–14"), ("accept",)),
    Capability("mailbox files", (("TRANSPORT_APPENDFILE",),), ("3a", "3b", "12–14"), ("appendfile",)),
    Capability("mailboxes as folders (Maildir)", (("SUPPORT_MAILDIR",),), ("3",), ("appendfile/maildir",)),
    Capability("aliases", (("ROUTER_REDIRECT",),), ("3c", "9–11"), ("redirect",)),
    Capability("tables in files", (("LOOKUP_LSEARCH",),), ("3c", "5", "9–11"), ("lsearch",)),
    Capability("mail to other hosts", (("TRANSPORT_SMTP",),), ("4–11",), ("smtp",)),
    Capability("finding hosts by MX records", (("ROUTER_DNSLOOKUP",),), ("7–11",), ("dnslookup",)),
    Capability("a smarthost", (("ROUTER_MANUALROUTE",),), ("5",), ("manualroute",)),
    Capability("TLS", (TLS,), ("5", "16"), ("OpenSSL", "GnuTLS"), ("DISABLE_TLS",)),
    Capability(
        "logging in (AUTH)", (AUTHENTICATORS,), ("5",), ("plaintext", "cram_md5", "spa", "dovecot", "gsasl")
    ),
    Capability("DKIM", (TLS,), ("6", "17"), ("DKIM",), ("DISABLE_DKIM", "DISABLE_TLS")),
    Capability("SPF as receiver", (("SUPPORT_SPF",),), ("6", "17"), ("SPF",)),
    Capability("a file for each domain", (("LOOKUP_DSEARCH",),), ("13",), ("dsearch",)),
    Capability("looking into content", (("WITH_CONTENT_SCAN",),), ("17",), ("Content_Scanning",)),
)

# what a line of Local/Makefile is for, where CAPABILITIES does not say it
MEANINGS = {
    "BIN_DIRECTORY": "where `make install` puts the programs",
    "CONFIGURE_FILE": "the configuration that Exim reads without -C",
    "SPOOL_DIRECTORY": "the queue",
    "LOG_FILE_PATH": "the logs; %s becomes main, reject, panic",
    "PID_FILE_PATH": "the daemon's process id",
    "SYSTEM_ALIASES_FILE": "the aliases of the example configuration",
    "EXIM_USER": "mandatory: whom Exim becomes when it needs no root; never root",
    "EXIM_GROUP": "mandatory where EXIM_USER is a number",
    "CONFIGURE_OWNER": "who, besides root, may own CONFIGURE_FILE: else Exim refuses it",
    "FIXED_NEVER_USERS": "no delivery ever runs as one of these",
    "USE_OPENSSL_PC": "the name under which pkg-config knows OpenSSL",
    "USE_GNUTLS_PC": "the name under which pkg-config knows GnuTLS",
    "LOOKUP_SQLITE": "tables in SQLite: a greylist could live there",
    "LOOKUP_SQLITE_PC": "the name under which pkg-config knows SQLite",
    "LDFLAGS": "libraries that the linker adds",
    "PCRE2_CONFIG": "regular expressions: found by pcre2-config",
}

# A header that must be there, the package that has it, and the options that ask for it (none: always).
HEADERS = (
    ("stdio.h", "libc6-dev", ()),
    ("pcre2.h", "libpcre2-dev", ()),
    ("db.h", "libdb-dev", ()),
    ("openssl/ssl.h", "libssl-dev", ("USE_OPENSSL",)),
    ("gnutls/gnutls.h", "libgnutls28-dev", ("USE_GNUTLS",)),
    ("spf2/spf.h", "libspf2-dev", ("SUPPORT_SPF",)),
    ("sqlite3.h", "libsqlite3-dev", ("LOOKUP_SQLITE",)),
)
PROGRAMS = {"make": "make", "gcc": "gcc", "pkg-config": "pkg-config"}
_MAKE_KNOWS = (
    "CC",
    "CFLAGS",
    "INCLUDE",
    "LDFLAGS",
    "LFLAGS",
    "EXTRALIBS",
    "EXTRALIBS_EXIM",
    "DBMLIB",
    "USE_DB",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the capability matrix."""

    capability: Capability
    is_there: bool
    because: str
    lost: tuple[str, ...]

    def __str__(self) -> str:
        lost = f"; impossible without it: {', '.join(self.lost)}" if self.lost else ""
        return f"{'yes' if self.is_there else 'NO '}  {self.capability.name:32} {self.because}{lost}"


def capabilities(options: Mapping[str, str]) -> tuple[Finding, ...]:
    """The capability matrix of a Local/Makefile: what this Exim will be able to do, and which points are lost."""
    return tuple(_finding(capability, options) for capability in CAPABILITIES)


def _finding(capability: Capability, options: Mapping[str, str]) -> Finding:
    # DISABLE_TLS=no disables TLS all the same: Exim's build looks whether it is set, not to what
    stops = [name for name in capability.without if name in options]
    lacking = [
        " or ".join(group) for group in capability.needs if not any(options.get(name) for name in group)
    ]
    given = [name for group in capability.needs for name in group if options.get(name)]
    if stops:
        return Finding(capability, False, f"{stops[0]} is set", capability.points)
    if lacking:
        return Finding(capability, False, f"{lacking[0]} is not set", capability.points)
    return Finding(capability, True, ", ".join(given), ())


def read_makefile(text: str) -> dict[str, str]:
    """The settings of a Local/Makefile or of src/EDITME; the last one of a name counts, += adds.

    What follows a # is a comment, at the end of a line too: Exim's scripts/Configure-config.h drops it.
    """
    options: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if match := re.match(r"\s*([A-Z][A-Z0-9_]*)\s*(\+?)=\s*(.*?)\s*$", line.partition("#")[0]):
            name, adds, value = match.groups()
            options[name] = f"{options[name]} {value}" if adds and options.get(name) else value
    return options


def student_options(folder: Path, account: str | None = None) -> dict[str, str]:
    """A good choice for the lab: all that its points need, everything inside the folder, run by the account (yours)."""
    place = str(folder.absolute())
    if re.search(r"[^\w./+@-]", place):
        raise ValueError(f"make cannot live with blanks or odd characters in a path: {place!r}")
    return {
        "BIN_DIRECTORY": f"{place}/bin",
        "CONFIGURE_FILE": f"{place}/exim.conf",
        "SPOOL_DIRECTORY": f"{place}/spool",
        "LOG_FILE_PATH": f"{place}/log/%slog",
        "PID_FILE_PATH": f"{place}/exim.pid",
        "SYSTEM_ALIASES_FILE": f"{place}/aliases",
        **_who(account),
        "USE_OPENSSL": "yes",
        "USE_OPENSSL_PC": "openssl",
        "AUTH_PLAINTEXT": "yes",
        "AUTH_CRAM_MD5": "yes",
        "LOOKUP_LSEARCH": "yes",
        "LOOKUP_DSEARCH": "yes",
        "LOOKUP_SQLITE": "yes",
        "LOOKUP_SQLITE_PC": "sqlite3",
        "SUPPORT_MAILDIR": "yes",
        "SUPPORT_SPF": "yes",
        "LDFLAGS": "-lspf2",
        "WITH_CONTENT_SCAN": "yes",
    }


def _who(account: str | None) -> dict[str, str]:
    """Who Exim is, and whose configuration it believes: by name, or by number where we have none (some containers)."""
    if account is not None:
        return {"EXIM_USER": account, "CONFIGURE_OWNER": account}
    import pwd  # not on every system that may import this module

    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        number = str(os.geteuid())
        return {"EXIM_USER": number, "EXIM_GROUP": str(os.getegid()), "CONFIGURE_OWNER": number}
    return {"EXIM_USER": name, "CONFIGURE_OWNER": name}


def local_makefile(tree: Path, options: Mapping[str, str]) -> str:
    """The text of Local/Makefile: what src/EDITME sets, with these options on top; a comment says what each is for.

    Raises ValueError for an option that this Exim has never heard of, and for a value that make would act on.
    """
    template = (tree / "src" / "EDITME").read_text("utf-8", "replace")
    known = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)\s*\+?=", template, re.MULTILINE)) | set(_MAKE_KNOWS)
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{name} is no option of this Exim: src/EDITME does not have it.")
        if re.search(r"[\n\r\0]|\$\(|`", value):
            raise ValueError(f"{name}: make would act on this value instead of taking it as it is: {value!r}")
    # DISABLE_MAL_AVE and the like are EDITME's own; an option with an empty value is left out
    settings = {name: value for name, value in {**read_makefile(template), **options}.items() if value}
    lines = [
        "# Local/Makefile: how this Exim is built. Made from src/EDITME, whose comments explain every option."
    ]
    for name, value in settings.items():
        meaning = [MEANINGS[name]] if name in MEANINGS else []
        for capability in CAPABILITIES:
            if any(name in group for group in capability.needs) and capability.points != EVERYTHING:
                meaning.append(f"{capability.name}: {', '.join(capability.points)}")
        lines += ["", *(f"# {text}" for text in meaning)] if meaning else []
        lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


def write_local_makefile(tree: Path, options: Mapping[str, str]) -> Path:
    """Write it where make looks for it."""
    text = local_makefile(tree, options)
    file = tree / "Local" / "Makefile"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file

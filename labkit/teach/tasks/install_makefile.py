"""The exercise of notebook 01a on options: a Local/Makefile with which all later points of the lab are possible.

WHAT       `local makefile`: the text of a Local/Makefile.
DECIDES    by its capability matrix, and by what Exim's build makes of a line: a comment sets nothing, X=no sets X, a
           misspelt name is taken without a word, a library that no line names is missed by the linker only.
STANDARDS  Exim specification, chapter "Building and installing Exim"
READ NEXT  ../../lab/own_exim.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labkit.lab.own_exim import Capability, Finding, Makefile, explain, matrix
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

# What Exim's template src/EDITME sets from the start, as far as the lab needs it.
TEMPLATE = frozenset(
    """BIN_DIRECTORY CONFIGURE_FILE SPOOL_DIRECTORY EXIM_USER ROUTER_ACCEPT ROUTER_DNSLOOKUP ROUTER_MANUALROUTE
    ROUTER_REDIRECT TRANSPORT_APPENDFILE TRANSPORT_SMTP LOOKUP_LSEARCH PCRE2_CONFIG""".split()
)
LINKED_BY = {  # one way; TLS_LIBS and the like are others
    "USE_OPENSSL": "USE_OPENSSL_PC=openssl",
    "USE_GNUTLS": "USE_GNUTLS_PC=gnutls",
    "SUPPORT_SPF": "LDFLAGS=-lspf2",
    "LOOKUP_SQLITE": "LOOKUP_SQLITE_PC=sqlite3",
}
LACKING = {
    "mailboxes as folders (Maildir)": "SUPPORT_MAILDIR is not set: mailboxes could only be single files (point 3).",
    "logging in (AUTH)": (
        "No authenticator is set: Exim could not log in at the relay (point 5). AUTH_PLAINTEXT is one."
    ),
    "SPF as receiver": "SUPPORT_SPF is not set: this Exim would not look at SPF when it receives (points 6 and 17).",
    "a file for each domain": (
        "LOOKUP_DSEARCH is not set: no look-up of files in a folder, and so no folder of virtual domains (point 13)."
    ),
    "looking into content": (
        "WITH_CONTENT_SCAN is not set: no access control list could ask a spam filter about content (point 17)."
    ),
}


@exercise("local makefile", "An Exim that can do all the points from 3 to 17")
def local_makefile(text: str) -> Verdict:
    """Judge a Local/Makefile by its capability matrix, and by the traps of make."""
    makefile = explain(text if isinstance(text, str) else "")
    if set(makefile.options) <= TEMPLATE and not makefile.options.get("EXIM_USER"):
        return todo(
            "These are the template's own lines. Add what is missing, and say who Exim is (EXIM_USER)."
        )
    findings = matrix(makefile.text).findings
    mistake = next(_mistakes(makefile, findings), None)
    if mistake is not None:
        return hint(mistake)
    return done(
        "This Exim can do everything that the lab asks of it.",
        [Seen(None, row.capability.name, row.because) for row in findings],
    )


def _mistakes(makefile: Makefile, findings: tuple[Finding, ...]) -> Iterator[str]:
    options = makefile.options
    for name, known in makefile.misspelt.items():
        yield f"{name} is no option. make takes any name and says nothing. Did you mean {known}?"
    for name, value in options.items():
        if value.lower() in ("no", "off", "false") and _is_capability(name, findings):
            yield (
                f"{name}={value} does not switch it off: Exim's build only looks whether a name is set. Take the "
                "line away if you do not want it; write yes if you do."
            )
    yield from _about_the_user(options)
    for name in ("DISABLE_TLS", "DISABLE_DKIM"):
        if name in options:
            yield (
                f"{name} is set, and it does not matter to what. Take the line away: the points "
                f"{'5, 6, 16 and 17' if name == 'DISABLE_TLS' else '6 and 17'} need it."
            )
    for row in findings:
        if not row.is_there:
            yield _about(row.capability, row, makefile)
    for name in makefile.unlinked:
        yield (
            f"{name} is set, but no line names its library: the compiler is content, and the linker stops. "
            f"Add {LINKED_BY[name]}."
        )


def _about_the_user(options: Mapping[str, str]) -> Iterator[str]:
    user = options.get("EXIM_USER", "")
    if not user:
        yield (
            "EXIM_USER is not set: it is mandatory, and make stops without it. Whom shall Exim become when it needs no "
            "root? In this lab you; on a server an account of its own."
        )
    if user in ("root", "0"):
        yield "EXIM_USER may not be root: the build stops with “Exim's internal user must not be root”."
    if user.isdigit() and not options.get("EXIM_GROUP"):
        yield f"EXIM_USER={user} is a number: then EXIM_GROUP must be set too. Or write a name."


def _about(capability: Capability, row: Finding, makefile: Makefile) -> str:
    asleep = [name for group in capability.needs for name in group if name in makefile.commented]
    if asleep:
        return f"{asleep[0]} stands in a comment: the line begins with #. Take the # away, and it is set."
    if capability.name == "TLS":
        return (
            "No TLS library is set: USE_OPENSSL or USE_GNUTLS. Without it and without DISABLE_TLS the compiler stops; "
            "with DISABLE_TLS the points 5, 6, 16 and 17 are lost."
        )
    return LACKING.get(capability.name, f"{row.because}: without it there is no {capability.name}.")


def _is_capability(name: str, findings: tuple[Finding, ...]) -> bool:
    return any(name in group for row in findings for group in row.capability.needs)

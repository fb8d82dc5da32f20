"""The macros that tell a configuration what this program can do: `.ifdef _HAVE_TLS`.

WHAT       one for each option and driver of the tables in options.py, named as Exim names its own; so a file asks
           the same question of both and each answers for itself.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" ("Builtin macros")
RULES      a name is here only if it is true of labkit, and one of Exim's own
READ NEXT  macros.py
"""

from __future__ import annotations

from labkit.eximconf import exim_names, options

HAVE = ("_HAVE_TRANSPORT_APPEND_MAILDIR",)


def macro_of_option(scope: str, name: str) -> str:
    """Those of all drivers stand under the plural: _OPT_ROUTERS_DOMAINS, _OPT_TRANSPORT_SMTP_PORT."""
    kind = scope if scope == "main" or " " in scope else f"{scope}s"
    return f"_OPT_{kind}_{name}".replace(" ", "_").upper()


BUILTIN = dict.fromkeys(
    [
        *HAVE,
        *(f"_DRIVER_{kind}_{name}".upper() for kind, names in options.DRIVERS.items() for name in names),
        *(
            macro_of_option(row.scope, row.name)
            for row in options.TABLE
            if row.name in exim_names.OPTIONS[row.scope]  # else Exim has it for all drivers, and we for one
        ),
    ],
    "y",
)

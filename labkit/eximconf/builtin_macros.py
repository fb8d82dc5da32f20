"""The macros that tell a configuration what this program can do: `.ifdef _HAVE_TLS`.

WHAT       one for each option and driver of the tables in options.py, named as Exim names its own; so a file asks
           the same question of both and each answers for itself.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" ("Builtin macros")
RULES      a name is here only if it is true of labkit, and one of Exim's own
READ NEXT  macros.py
"""

from __future__ import annotations

from labkit.eximconf import exim_names, options
from labkit.eximconf.options import Standing

DKIM_SIGN_HEADERS = (  # what is signed if nothing is said
    "From:Sender:Reply-To:Subject:Date:Message-ID:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding:"
    "Content-ID:Content-Description:Resent-Date:Resent-From:Resent-Sender:Resent-To:Resent-Cc:Resent-Message-ID:"
    "In-Reply-To:References:List-Id:List-Help:List-Unsubscribe:List-Subscribe:List-Post:List-Owner:List-Archive"
)
HAVE = """_HAVE_CONTENT_SCANNING _HAVE_CRYPTEQ _HAVE_DKIM _HAVE_LOOKUP_DNSDB _HAVE_LOOKUP_DSEARCH
    _HAVE_LOOKUP_LSEARCH _HAVE_LOOKUP_PASSWD _HAVE_LOOKUP_SQLITE _HAVE_NATIVE_SRS _HAVE_SPF _HAVE_SRS
    _HAVE_TRANSPORT_APPEND_MAILDIR""".split()
# the room smtp, above this one, gives them their meaning
ACL_CONDITIONS = """acl authenticated condition dkim_signers dkim_status dnslists domains encrypted hosts local_parts
    ratelimit recipients seen sender_domains senders spam spf spf_guess verify""".split()
ACL_MODIFIERS = """add_header continue control delay endpass log_message log_reject_target logwrite message
    remove_header set""".split()


def macro_of_option(scope: str, name: str) -> str:
    """Those of all drivers stand under the plural: _OPT_ROUTERS_DOMAINS, _OPT_TRANSPORT_SMTP_PORT."""
    kind = scope if scope == "main" or " " in scope else f"{scope}s"
    return f"_OPT_{kind}_{name}".replace(" ", "_").upper()


BUILTIN = dict.fromkeys(
    [
        *HAVE,
        *(f"_ACL_COND_{name}".upper() for name in ACL_CONDITIONS),
        *(f"_ACL_MOD_{name}".upper() for name in ACL_MODIFIERS),
        *(f"_DRIVER_{kind}_{name}".upper() for kind, names in options.DRIVERS.items() for name in names),
        *(
            macro_of_option(row.scope, row.name)
            for row in options.TABLE
            if row.standing is not Standing.TESTED  # a host that sets one of these does not run
            and row.name in exim_names.OPTIONS[row.scope]  # else Exim has it for all drivers, and we for one
        ),
    ],
    "y",
)
BUILTIN["_DKIM_SIGN_HEADERS"] = DKIM_SIGN_HEADERS
BUILTIN["_DKIM_OVERSIGN_HEADERS"] = ":".join(f"+{name}" for name in DKIM_SIGN_HEADERS.split(":"))

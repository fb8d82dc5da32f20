"""The words of the language as tables: which items, operators and conditions there are.

WHAT       ITEMS and CONDITIONS say how each is written (its shape); OPERATORS those that end in a colon.
REFUSED    what Exim 4.96 has and labkit has not stands in REFUSED_…: it is refused by name.
STANDARDS  Exim specification, chapter "String expansions"
READ NEXT  items.py, conditions.py
"""

from __future__ import annotations

STRICT_ITEMS: dict[str, tuple[int, int]] = {  # name: least and most arguments
    "acl": (1, 10),
    "authresults": (1, 1),
    "hash": (2, 3),
    "hmac": (3, 3),
    "length": (2, 2),
    "nhash": (2, 3),
    "readfile": (1, 2),
    "readsocket": (2, 5),
    "sg": (3, 3),
    "srs_encode": (3, 3),
    "substr": (2, 3),
    "tr": (3, 3),
}
EACH_ITEMS = ("map", "filter", "reduce", "sort")
BRANCHED_ITEMS = ("env", "listextract")  # strict arguments, then {yes}{no}
REFUSED_ITEMS = frozenset(("certextract", "dlfunc", "imapfolder", "perl", "prvs", "prvscheck", "run"))
ITEMS = frozenset((*STRICT_ITEMS, *EACH_ITEMS, *BRANCHED_ITEMS, *REFUSED_ITEMS, "extract", "if", "lookup"))

COUNTED = ("hash", "length", "nhash", "substr")  # the numbers in ${name_1_2:
ABBREVIATIONS = {"h": "hash", "l": "length", "nh": "nhash", "s": "substr"}
OPERATORS = frozenset(
    """address addresses base32 base32d base62 base62d base64 base64d domain escape escape8bit eval eval10 expand
    from_utf8 hash hex2b64 hexquote ipv6denorm ipv6norm lc length listcount listnamed local_part mask md5 nhash quote
    quote_local_part randint reverse_ip rfc2047 rfc2047d rxquote sha1 sha2 sha256 sha3 str2b64 strlen substr time_eval
    time_interval uc utf8clean""".split()
)
REFUSED_OPERATORS = frozenset(
    """stat utf8_domain_from_alabel utf8_domain_to_alabel utf8_localpart_from_alabel
    utf8_localpart_to_alabel""".split()
)

TEXT_COMPARISONS = ("eq", "eqi", "ge", "gei", "gt", "gti", "le", "lei", "lt", "lti")
NUMBER_COMPARISONS = ("=", "==", "<", "<=", ">", ">=")
ONE_ARGUMENT = ("bool", "bool_lax", "exists", "isip", "isip4", "isip6")
LIST_CONDITIONS = ("match_address", "match_domain", "match_ip", "match_local_part")
TWO_ARGUMENTS = frozenset(
    (
        *TEXT_COMPARISONS,
        *NUMBER_COMPARISONS,
        *LIST_CONDITIONS,
        "match",
        "inlist",
        "inlisti",
        "crypteq",
        "inbound_srs",
    )
)
ITERATING = ("forany", "forall")
NO_ARGUMENT = ("first_delivery", "queue_running")
NOT_COMPILED = ("pwcheck", "radius")  # Debian's Exim has no support for these either
REFUSED_CONDITIONS = frozenset(
    "forall_json forall_jsons forany_json forany_jsons ldapauth pam saslauthd".split()
)
CONDITIONS = frozenset(
    (*ONE_ARGUMENT, *ITERATING, *NO_ARGUMENT, *NOT_COMPILED, "acl", "and", "or", "def", *TWO_ARGUMENTS)
)

SINGLE_KEY = ("dsearch", "iplsearch", "lsearch", "nwildlsearch", "spf", "wildlsearch")
QUERIES = ("dnsdb", "passwd", "sqlite")
REFUSED_LOOKUPS = frozenset(
    "cdb dbm dbmjz dbmnz ldap ldapdn ldapm mysql nis nis0 pgsql".split()
)  # what the real Exim here has besides


def split_operator(name: str) -> tuple[str, str]:
    """`sha2_512` is sha2 with 512; those of COUNTED keep their whole name for messages. The longest name counts."""
    if (name in OPERATORS and name not in COUNTED) or name in REFUSED_OPERATORS:
        return name, ""
    base, _, suffix = name.partition("_")
    base = ABBREVIATIONS.get(base, base)
    return base, name if base in COUNTED else suffix

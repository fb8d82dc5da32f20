"""The names of versions and ciphers: OpenSSL's, and those that standards and Exim use.

STANDARDS  IANA "TLS Cipher Suites"; RFC 8446 §B.4 (TLS 1.3), RFC 5289, RFC 7905 (TLS 1.2)
READ NEXT  tls_contexts.py
"""

from __future__ import annotations

import re

_VERSIONS = {"TLSv1.3": "TLS1.3", "TLSv1.2": "TLS1.2"}
_CIPHER = re.compile(r"(AES|CAMELLIA|ARIA)(128|256)(?:-(GCM|CCM8?|CCM))?|(CHACHA20)-POLY1305")


def version_name(name: str) -> str:
    """As Exim writes it: TLS1.3 for OpenSSL's TLSv1.3."""
    return _VERSIONS.get(name, name)


def standard_name(name: str) -> str:
    """The standard's name of one of OpenSSL's cipher suites; an unknown name stays as it is.

    `ECDHE-RSA-AES256-GCM-SHA384` is TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384. Those of TLS 1.3 have only one name.
    """
    found = _CIPHER.search(name)
    if name.startswith("TLS_") or found is None:
        return name
    exchange = name[: found.start()].strip("-").replace("-", "_") or "RSA"
    mac = name[found.end() :].strip("-")
    if found[4]:
        return f"TLS_{exchange}_WITH_CHACHA20_POLY1305_SHA256"
    cipher = f"{found[1]}_{found[2]}_{(found[3] or 'CBC').replace('CCM8', 'CCM_8')}"
    return f"TLS_{exchange}_WITH_{cipher}" + (f"_{mac}" if mac else "")

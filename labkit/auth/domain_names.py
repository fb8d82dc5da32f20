"""Domain names as the DNS has them: small letters, A-labels, no dot at the end.

WHAT       `domain_name(text)` gives the name to compare and to ask for, or None where the text is no domain name.
STANDARDS  RFC 5890 §2.3 (U-labels and A-labels), RFC 3492 (Punycode), RFC 1035 §2.3.4 (63 and 253 octets), RFC 4343
SIMPLER    a U-label is brought to Unicode's NFKC in small letters and then written in Punycode. The full table of
           IDNA 2008 (which characters a registry must refuse) is not here; names that a registry took come out alike.
READ NEXT  author.py, dmarc_tree.py
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 253  # octets as text, RFC 1035 §2.3.4
LONGEST_LABEL = 63
_LABEL = re.compile(r"[a-z0-9_-]+")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 §3.1: they are dots too


def domain_name(text: str) -> str | None:
    """The name in A-labels and small letters; None: no host or mail domain has such a name."""
    text = text.strip()
    if not 0 < len(text) <= LONGEST_NAME + 1:
        return None
    parts = _DOTS.split(text)
    if parts[-1] == "":  # the dot of the root
        parts.pop()
    labels = [_a_label(label) for label in parts]
    if not labels or not all(labels):
        return None
    name = ".".join(labels)
    return name if len(name) <= LONGEST_NAME else None


def labels_of(name: str) -> list[str]:
    return name.split(".")


def is_at_or_below(name: str, ancestor: str) -> bool:
    return name == ancestor or name.endswith(f".{ancestor}")


def _a_label(label: str) -> str:
    """One label in the DNS's form, or nothing if it has none."""
    if not label.isascii():
        usual = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", label).lower())
        if not all(map(_may_stand_in_name, usual)):
            return ""
        label = usual if usual.isascii() else "xn--" + usual.encode("punycode").decode("ascii")
    label = label.lower()
    return label if len(label) <= LONGEST_LABEL and _LABEL.fullmatch(label) else ""


def _may_stand_in_name(char: str) -> bool:
    """Letters, marks, digits, the hyphen, and the two joiners that IDNA 2008 lets stand in their contexts."""
    return char in "-_\u200c\u200d\u00b7\u30fb" or unicodedata.category(char)[0] in "LMN"

"""Read a DMARC policy record: `v=DMARC1; p=reject; rua=mailto:reports@a.test`.

WHAT       `read_record(text)` gives the record, or None where the text is no DMARC record at all.
RULES      `v=DMARC1` stands first, and its value in these very letters. A tag that is unknown is ignored; a tag whose
           value is wrong has its default. `problems` says what was ignored.
           p missing or wrong, or sp or np wrong: with a rua address the record counts as `p=none`, without one
           DMARC does not apply (`is_usable`).
           pct, rf and ri are history: they are kept in `tags` and change nothing here.
STANDARDS  RFC 9989 §4.7 (tags), §4.8 (grammar), §4.10.1 (records without a valid policy)
NOT VERIFIED  which of two equal tags counts: RFC 6376 §3.2, whose syntax this is, forbids them, RFC 9989 says nothing;
           here the first one (tags.py).
READ NEXT  dmarc_tree.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.auth.tags import parse_tags_leniently

POLICIES = ("none", "quarantine", "reject")
KNOWN = ("v", "p", "sp", "np", "adkim", "aspf", "psd", "t", "rua", "ruf", "fo")
HISTORIC = ("pct", "rf", "ri")
_WSP = " \t"
_VERSION = re.compile(r"[ \t]*[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s!,<>\"{}|\\^`]+")
_SIZE = re.compile(r"![0-9]+[kmgtKMGT]?\Z")
_MAILTO = re.compile(r"mailto:[^@\s]+@([^@\s?]+)(?:\?[^\s]*)?", re.IGNORECASE)
_FO = re.compile(r"[01ds](?:[ \t]*:[ \t]*[01ds])*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """What a record says. p, sp and np are empty where they are missing or wrong."""

    text: str
    p: str = ""
    sp: str = ""
    np: str = ""
    adkim: str = "r"
    aspf: str = "r"
    psd: str = "u"
    is_testing: bool = False
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    fo: tuple[str, ...] = ("0",)
    tags: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    has_valid_policies: bool = True

    def __str__(self) -> str:
        return self.text

    @property
    def is_usable(self) -> bool:
        """Whether DMARC applies by this record (RFC 9989 §4.10.1)."""
        return self.has_valid_policies or bool(self.rua)

    def tag(self, name: str) -> str | None:
        """The text of a tag as it is written, known or not."""
        return dict(self.tags).get(name.lower())

    def policy(self, *, is_subdomain: bool, exists: bool = True) -> tuple[str, str]:
        """The policy for the domain of the record or one below it, and the tag that it stands in."""
        if not self.has_valid_policies:
            return "none", "p"
        if is_subdomain and not exists and self.np:
            return self.np, "np"
        if is_subdomain and self.sp:
            return self.sp, "sp"
        return self.p, "p"


def is_dmarc_record(text: str) -> bool:
    """Whether a TXT record claims to be a DMARC record: `v=DMARC1` is its first tag."""
    return _VERSION.match(text) is not None


def read_record(text: str) -> DmarcRecord | None:
    """The record in the text; None: it does not begin with `v=DMARC1`."""
    if not is_dmarc_record(text):
        return None
    problems: list[str] = []
    written = _tags(text, problems)
    policies = {name: _one_of(written, name, POLICIES, "", problems) for name in ("p", "sp", "np")}
    is_valid = bool(policies["p"]) and all(policies[name] or name not in written for name in ("sp", "np"))
    if "p" not in written:
        problems.append("there is no p")
    return DmarcRecord(
        text,
        **policies,
        adkim=_one_of(written, "adkim", ("r", "s"), "r", problems),
        aspf=_one_of(written, "aspf", ("r", "s"), "r", problems),
        psd=_one_of(written, "psd", ("y", "n", "u"), "u", problems),
        is_testing=_one_of(written, "t", ("y", "n"), "n", problems) == "y",
        rua=_uris(written, "rua", problems),
        ruf=_uris(written, "ruf", problems),
        fo=_options(written, problems),
        tags=tuple(written.items()),
        problems=tuple(problems),
        has_valid_policies=is_valid,
    )


def mail_domain(uri: str) -> str | None:
    """The domain of a `mailto:` address; None for another URI."""
    found = _MAILTO.fullmatch(uri)
    return found[1] if found else None


def _tags(text: str, problems: list[str]) -> dict[str, str]:
    """Names in small letters with their values; what is no tag becomes a problem."""
    found = parse_tags_leniently(text)
    problems += [f"ignored: {piece[:40]!r}" for piece in found.ignored]
    written: dict[str, str] = {}
    for name, value in found:
        written.setdefault(name.lower(), value)
    unknown = [name for name in written if name not in KNOWN and name not in HISTORIC]
    problems += [f"unknown tag {name[:20]}" for name in unknown]
    return written


def _one_of(
    written: dict[str, str], name: str, values: tuple[str, ...], default: str, problems: list[str]
) -> str:
    """The value of a tag, if it is one of these; letters compare without case (RFC 5234 §2.3)."""
    value = written.get(name, default).lower()
    if value in values:
        return value
    if name in written:
        problems.append(f"{name}={written[name][:20]} is none of {', '.join(values)}")
    return default


def _uris(written: dict[str, str], name: str, problems: list[str]) -> tuple[str, ...]:
    """The addresses for reports that are valid URIs; an old limit of size (`!10m`) is cut off."""
    found = []
    for piece in written.get(name, "").split(",") if name in written else ():
        uri = _SIZE.sub("", piece.strip(_WSP))
        if _URI.fullmatch(uri) and (mail_domain(uri) or not uri.lower().startswith("mailto:")):
            found.append(uri)
        else:
            problems.append(
                f"{name}: {piece.strip(_WSP)[:40]!r} is no address of the form mailto:local@domain"
            )
    return tuple(found)


def _options(written: dict[str, str], problems: list[str]) -> tuple[str, ...]:
    text = written.get("fo", "0")
    if _FO.fullmatch(text):
        return tuple(option.strip(_WSP).lower() for option in text.split(":"))
    problems.append(f"fo={text[:20]} is no list of 0, 1, d and s")
    return ("0",)

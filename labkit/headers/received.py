"""Read one Received field, whichever MTA wrote it.

WHAT       `read_received(value)` -> Received: from whom (HELO name, reverse name, address), by
           whom, how, id, for whom, when.
DECIDES    the clauses of the grammar come first (from, by, via, with, id, for; tls of RFC 8314); what stands in the
           comments is read by their shapes. In front of a comment with an address Exim and qmail put the reverse name
           (HELO follows as helo= or HELO), all others the HELO name (the reverse name is in the comment).
           Encrypted and authenticated: by the protocol's name, or what a comment tells of TLS or a login.
SAFE       no more than 16,000 characters are looked at, in one pass; never raises. What is said there is a claim.
STANDARDS  RFC 5321 §4.4, RFC 3848 and RFC 6531 §4.3 (protocols), RFC 8314 §7.4 (tls), RFC 5321 §4.1.3 (literals)
READ NEXT  hops.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address

from labkit.headers.dates import LONGEST_DATE, read_date
from labkit.headers.scan import Sort, Token, tokens
from labkit.headers.values import ReadDate, Received

LONGEST_READ = 16_000
_KEYWORDS = frozenset("from by via with id for tls envelope-from".split())
# RFC 3848, RFC 6531 §4.3 and the IANA table: encrypted?, authenticated?
PROTOCOLS: dict[str, tuple[bool, bool]] = {
    f"{beginning}{base}{letters}": ("S" in letters, "A" in letters)
    for beginning, base in (("", "ESMTP"), ("", "LMTP"), ("UTF8", "SMTP"), ("UTF8", "LMTP"))
    for letters in ("", "A", "S", "SA")
} | {
    "SMTP": (False, False), "SMTPS": (True, False), "SSMTP": (True, False), "MMS": (False, False),
    "ASMTP": (False, True), "HTTPS": (True, False), "HTTP": (False, False), "SMTPSA": (True, True),
}  # fmt: skip
_LOCAL = frozenset("LOCAL LOCAL-ESMTP LOCAL-SMTP LOCAL-BSMTP UUCP SPAM-SCANNED MAPI".split())
_V4 = r"\d{1,3}(?:\.\d{1,3}){3}"
_V6 = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{1,40}(?:\.\d{1,3}){0,3}"
_LITERAL = re.compile(
    rf"\[\s*(?:IPv6:)?\s*({_V4}|{_V6})(?:%[\w.-]{{1,20}}|[.:]\d{{1,5}})?\s*\]", re.IGNORECASE
)
_BARE = re.compile(rf"(?<![\w.:])(?:IPv6:)?({_V4}(?=:\d{{1,5}}\b)|(?:{_V4}|{_V6})(?![\w.:]))", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?", re.ASCII)
_HELO = re.compile(r"\b(?:helo|[el]hlo)(?:[= ]\s*([^\s()]+)|$)", re.IGNORECASE)
_QMAIL_CLIENT = re.compile(rf"(?:[^\s@()]{{1,64}}@)?{_V4}")
_SENDER = re.compile(r"envelope-(?:from|sender)[ =]+(?:<([^>]*)>|(\S+))", re.IGNORECASE)
_LOGIN = re.compile(
    r"(?:authenticated sender:|authenticated as|auth(?:enticated)?_?user=|AUTH: (?:[A-Z0-9-]+ )?|account )"
    r"\s*([^\s,;()]+)",
    re.IGNORECASE,
)
_HAS_LOGIN = re.compile(r"authenticated (?:sender|as|bits)|\bAUTH:|\baccount ", re.IGNORECASE)
_TLS = re.compile(
    r"\b(?:TLS[ v_]?\d[\d._]*|SSLv?\d[\d.]*|TLS_[A-Z0-9_]+|version=TLS\S*|cipher[= ]\S+|using TLS\S*|STARTTLS|TLS)\b",
    re.IGNORECASE,
)
_NO_TLS = re.compile(r"no (?:tls|ssl|encryption)|tls:? *(?:no|none|off)\b|unencrypted", re.IGNORECASE)
_TLS_COMMENT = re.compile(r"TLS|SSL|cipher|Google Transport Security", re.IGNORECASE)
_SOFTWARE = re.compile(
    r"exim|postfix|sendmail|opensmtpd|microsoft|exchange|stalwart|haraka|amavis|courier|cyrus|lotus|"
    r"mdaemon|communigate|kerio|halon|zimbra|dovecot|aiosmtpd|labkit|fetchmail|\d+\.\d+(?:\.\d+)?(?:/|\b)",
    re.IGNORECASE,
)
_TAIL_DATE = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},?\s)?\s?\d{1,2}[ -][A-Za-z]{3}[ -]\d{2,4}\s\d{1,2}:\d{2}.{0,60}$",
    re.IGNORECASE,
)
_QMAIL = re.compile(r"qmail \d+ invoked (from network|by .+)", re.IGNORECASE)
_USERID = re.compile(r"\bfrom userid (\d+)|invoked by (?:uid |alias)(\d*)", re.IGNORECASE)


@dataclass
class _Clauses:
    """What stands behind each keyword: its words in order, and the comments among them."""

    words: dict[str, list[str]] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)

    def first(self, keyword: str) -> str:
        return next(iter(self.words.get(keyword, ())), "")


def read_received(value: str) -> Received:
    """Never raises. `is_understood` is False where neither from nor by was found."""
    text = value
    if len(text) > LONGEST_READ:  # the beginning, and the date at the end
        text = f"{text[: LONGEST_READ - LONGEST_DATE]} {text[-LONGEST_DATE:]}"
    all_tokens = tokens(text)
    clauses, date = _clauses(text, all_tokens)
    comments = tuple(token.text for token in all_tokens if token.sort is Sort.COMMENT)
    received = Received(
        by=_host(clauses.first("by")),
        via=" ".join(clauses.words.get("via", ()))[:100],
        id=_unbracketed(clauses.first("id")),
        recipient=_unbracketed(clauses.first("for")),
        envelope_from=_envelope_from(clauses, comments),
        date=date,
        comments=comments,
    )
    received = _with_client(received, clauses)
    received = _with_server(received, clauses)
    received = _with_protocol(received, clauses)
    return replace(received, is_understood=bool(received.by or received.client or received.is_local))


def _clauses(text: str, all_tokens: list[Token]) -> tuple[_Clauses, ReadDate | None]:
    """The clauses, and the date behind the last semicolon outside of comments (or, without one, at the end)."""
    ends = [n for n, token in enumerate(all_tokens) if token.sort is Sort.SIGN and token.text == ";"]
    if ends:
        last = ends[-1]
        date: ReadDate | None = read_date(text[all_tokens[last].start + 1 :])
        body = all_tokens[:last]
    else:
        found = _TAIL_DATE.search(text, max(0, len(text) - LONGEST_DATE))
        date = None if found is None else read_date(found[0])
        body = [t for t in all_tokens if found is None or t.start < found.start()]
    if date is not None and not date.text:
        date = None
    return _by_keyword(body), date


def _by_keyword(body: list[Token]) -> _Clauses:
    clauses, keyword = _Clauses(), ""
    for number, token in enumerate(body):
        if token.sort is Sort.COMMENT:
            clauses.comments.setdefault(keyword, []).append(token.text)
            continue
        small = token.text.lower()
        if token.sort is Sort.WORD and small in _KEYWORDS and not _is_value(clauses, keyword, body, number):
            keyword = small if small not in clauses.words or small in ("with", "tls") else f"{small} again"
            clauses.words.setdefault(keyword, [])
        elif token.sort is not Sort.SIGN:
            clauses.words.setdefault(keyword, []).append(token.text)
    return clauses


def _is_value(clauses: _Clauses, keyword: str, body: list[Token], number: int) -> bool:
    """A host may be called "by": a word right behind a keyword is its value if a comment or a keyword follows it."""
    if not keyword or clauses.words[keyword] or clauses.comments.get(keyword):
        return False
    following = body[number + 1] if number + 1 < len(body) else None
    if following is None or following.sort is Sort.COMMENT:
        return True
    return following.sort is Sort.WORD and following.text.lower() in _KEYWORDS


# --- from -----------------------------------------------------------------------------------------


def _with_client(received: Received, clauses: _Clauses) -> Received:
    words, comments = clauses.words.get("from", []), clauses.comments.get("from", [])
    stray = clauses.comments.get("", [])  # (from user@localhost) of sendmail, (qmail 123 invoked by uid 89)
    if not words and not comments:
        return _invoked(received, stray)
    first = words[0] if words else ""
    inside = ")(".join(comments)
    from_comments = _address(_HELO.sub("", inside))
    address = from_comments or _address(" ".join(words))
    login = found[1] if (found := _LOGIN.search(inside)) else ""
    if not address and not comments and not ("@" in first or "." in first) and _is_local(clauses):
        return replace(received, login=login or first, is_local=True)
    helo, reverse = _names(first, comments, clauses, from_comments)
    return replace(received, helo=helo, reverse_name=reverse, address=address, login=login)


def _names(first: str, comments: list[str], clauses: _Clauses, address: str) -> tuple[str, str]:
    """The HELO name and the reverse name. `address` is what a comment says of it, or ""."""
    is_literal = first.startswith("[") or ip_or_none(first) is not None
    name = "" if is_literal or first.lower() == "unknown" else _host(first)
    said = next((found for comment in comments if (found := _HELO.search(comment))), None)
    if said is not None:  # Exim, qmail, CommuniGate: what stands first was looked up
        return _host(said[1]), name
    if address and name and _was_looked_up(comments, clauses):
        return name, name  # such a server names HELO only where it differs
    helo = first if is_literal and address else name
    return _host(helo), _reverse_name(comments)


def _was_looked_up(comments: list[str], clauses: _Clauses) -> bool:
    """The name before the address is a reverse name: Exim's, CommuniGate's (verified), qmail's (user@192.0.2.1)."""
    if _is_exim(clauses) or any(comment.endswith("] verified") for comment in comments):
        return not _reverse_name(comments)
    is_qmail = clauses.first("with").upper() in PROTOCOLS and not clauses.comments.get("by")
    return is_qmail and len(comments) == 1 and _QMAIL_CLIENT.fullmatch(comments[0]) is not None


def _invoked(received: Received, stray: list[str]) -> Received:
    """Without `from`: the message came from a program of the same host, or nobody says."""
    for comment in stray:
        if found := _QMAIL.search(comment):
            user = found[1].removeprefix("by ").strip()
            if user == "from network":
                return replace(received, software="qmail")
            return replace(received, software="qmail", login=user[:60], is_local=True)
        if found := re.match(r"from (\S{1,200})", comment):
            if address := _address(comment):
                return replace(received, helo=_host(found[1]), address=address)
            return replace(received, login=found[1], is_local=True)
    for comment in received.comments:
        if found := _USERID.search(comment):
            return replace(received, login=f"uid {found[1] or found[2]}".strip(), is_local=True)
    return received


def _is_local(clauses: _Clauses) -> bool:
    protocol = clauses.first("with").upper()
    return protocol in _LOCAL or not protocol


def _is_exim(clauses: _Clauses) -> bool:
    return any(
        comment.lower().startswith(("exim", "labkit"))
        for keyword in ("by", "with", "tls")
        for comment in clauses.comments.get(keyword, ())
    )


def _reverse_name(comments: list[str]) -> str:
    """The name beside the address in a comment: (mail.a.test [192.0.2.1]), also with an ident in front of an @."""
    for comment in comments:
        where = _LITERAL.search(comment) or _BARE.search(comment)
        if where is None or _HELO.search(comment):
            continue
        before = comment[: where.start()].split()
        name = before[-1].rpartition("@")[2] if before else ""
        is_host = "." in name or name.lower() == "localhost"
        return name.rstrip(".").lower() if is_host and _NAME.fullmatch(name) else ""
    return ""


def _address(text: str) -> str:
    """The first address in a text; one in brackets comes before others. A v4 address in v6's clothes is v4."""
    for shape in (_LITERAL, _BARE):
        for found in shape.finditer(text[:2000]):
            if address := ip_or_none(found[1]):
                return address
    return ""


def ip_or_none(text: str) -> str | None:
    """The address in its usual form, or None."""
    try:
        address = ip_address(text.strip("[]").removeprefix("IPv6:"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


# --- by, with -------------------------------------------------------------------------------------


def _with_server(received: Received, clauses: _Clauses) -> Received:
    around = [c for key in ("by", "with", "tls", "id") for c in clauses.comments.get(key, ())]
    software = next((c for c in around if _is_software(c)), "")
    words = clauses.words.get("with", [])
    if not software and len(words) > 1 and words[0] == "Microsoft":
        software = " ".join(words)
    by_address = _address(" ".join([*clauses.words.get("by", [])[:2], *clauses.comments.get("by", [])]))
    return replace(received, by_address=by_address, software=received.software or software[:100])


def _is_software(comment: str) -> bool:
    return _SOFTWARE.search(comment) is not None and not (
        _TLS_COMMENT.search(comment) or _LITERAL.search(comment)
    )


def _with_protocol(received: Received, clauses: _Clauses) -> Received:
    words = clauses.words.get("with", [])
    protocol = words[0] if words else ""
    if len(words) > 1 and protocol == "Microsoft":
        protocol = " ".join(words[:3])
    encrypted, authenticated = PROTOCOLS.get(protocol.upper(), (None, None))
    if protocol.upper() in _LOCAL:
        received = replace(received, is_local=received.is_local or not received.address)
    tls = _tls(received.comments, clauses)
    if tls:
        encrypted = True
    elif any(_NO_TLS.search(comment) for comment in received.comments):
        encrypted = False
    has_login = any(_HAS_LOGIN.search(comment) for comment in received.comments)
    return replace(
        received,
        protocol=protocol,
        is_encrypted=None if received.is_local else encrypted,
        is_authenticated=None if received.is_local else (True if has_login else authenticated),
        tls=tls,
    )


def _tls(comments: tuple[str, ...], clauses: _Clauses) -> str:
    """What the field says of the encryption: version and cipher, in its own words."""
    if cipher := clauses.first("tls"):
        version = next((c for c in clauses.comments.get("with", ()) if _TLS.search(c)), "")
        return f"{version} {cipher}".strip()[:100]
    for comment in comments:
        if _NO_TLS.search(comment):
            continue
        if _TLS_COMMENT.search(comment) and (_TLS.search(comment) or "Security" in comment):
            return " ".join(comment.split())[:100]
    return "STARTTLS" if "STARTTLS" in (word.upper() for word in clauses.words.get("with", ())) else ""


def _envelope_from(clauses: _Clauses, comments: tuple[str, ...]) -> str:
    """A clause of Haraka's or XMail's, or a comment of Exim's or Dovecot's."""
    second = clauses.first("from again")
    named = clauses.first("envelope-from") or (second if "@" in second else "")
    return _unbracketed(named) or _sender(comments)


def _sender(comments: tuple[str, ...]) -> str:
    for comment in comments:
        if found := _SENDER.search(comment):
            return found[1] if found[1] is not None else found[2]
    return ""


def _host(text: str | None) -> str:
    if not text:
        return ""
    return text.strip("<>,").rstrip(".").lower() if not text.startswith("[") else text.strip(",")


def _unbracketed(text: str) -> str:
    return text.strip("<>,;")

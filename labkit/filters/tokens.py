"""Tokens: the marks by which a filter recognizes a message; above all its words.

WHAT       `tokens_of(content)` -> the different tokens of a message, in order of their appearance:
               meeting             a word of the text          subject:meeting     the same in a header field
               from:ann@a.test     an address                  from:@a.test        its domain
               url:shop.test       a host that is linked to    kind:text/html      a type of part, kind:file:pdf
RULES      each token counts once for a message, however often it stands there (Graham counted each time).
           Words have 3 to 40 letters; a number alone is no word. Chinese and Japanese, which have no blanks between
           words, give pairs of letters.
DECIDES    which fields count: those that the author's side wrote for people. Not Received, Date, Message-ID and
           signatures (new in each message), and no X-Spam-… nor Authentication-Results: a filter must not learn from
           what filters said.
FOLDED     NFKC and casefold, so that ＦＲＥＥ and free are one word; marks that nobody sees (zero width, soft hyphen)
           vanish. HTML: tags, comments, scripts and styles are dropped; a tag within a line does not cut a word.
SAFE       linear; at most 5,000 tokens. parts.py limits what is read.
STANDARDS  RFC 5322 §3.6 (fields), RFC 2047 (encoded words), Unicode UAX 15 (NFKC)
READ NEXT  bayes.py
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

from labkit.filters.parts import LONGEST_VALUE, MOST_CHARACTERS, read_parts
from labkit.mail.encoded_words import decoded
from labkit.mail.message import octets_of

MOST_TOKENS = 5_000
SHORTEST, LONGEST = 3, 40
TEXT_FIELDS = ("subject", "organization", "x-mailer", "user-agent", "precedence")
ADDRESS_FIELDS = ("from", "to", "cc", "reply-to", "sender", "return-path", "list-id", "list-unsubscribe")

_WORD = re.compile(r"[$€£¥]\d[\d.,]*|[^\W_]+(?:['’-][^\W_]+)*|!{2,}")
_WITHOUT_BLANKS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{2,}")
_ADDRESS = re.compile(r"([^\s<>,;:\"()@\[\]]{1,64})@([\w.-]{1,255})")
_HOST = re.compile(r"https?://(?:[^\s/\"'<>?#@]{0,100}@)?([\w.-]{1,255})", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"]{1,2000}", re.IGNORECASE)
_HIDDEN = dict.fromkeys(
    [0xAD, 0x34F, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
)
_PIECE = re.compile(
    r"\s+|\S{1,200}"
)  # NFKC sorts accents in a time that grows with the square of their number
_UNSEEN = re.compile(r"<(?:(!--)|(script|style)\b)", re.IGNORECASE)
_UNSEEN_ENDS = {
    "!--": re.compile("-->"),
    "script": re.compile("(?=</script)", re.IGNORECASE),
    "style": re.compile("(?=</style)", re.IGNORECASE),
}
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]{0,20})[^<>]*>|<[!?][^<>]*>")
_WITHIN_LINE = frozenset("a b big em font i s small span strike strong sub sup tt u wbr".split())
_HUGE_NUMBER = re.compile(
    r"&#x?[0-9a-f]{9,}", re.IGNORECASE
)  # no character; Python refuses to read thousands of digits


def tokens_of(content: bytes) -> tuple[str, ...]:
    """The different tokens of a message. Raises TypeError if it is not bytes, and nothing else."""
    return tuple(islice(dict.fromkeys(_tokens(octets_of(content))), MOST_TOKENS))


def _tokens(content: bytes) -> Iterator[str]:
    parts = read_parts(content)
    for each in parts.fields:
        name = each.name.lower()
        if name in TEXT_FIELDS:
            yield from _marked(name, decoded(each.value[:LONGEST_VALUE]))
        elif name in ADDRESS_FIELDS:
            yield from _of_addresses(name, decoded(each.value[:LONGEST_VALUE]))
    yield from (f"kind:{kind}" for kind in parts.kinds)
    for part in parts.texts:
        yield from hosts(part.text)
        shown = without_tags(part.text) if part.kind == "text/html" else part.text
        yield from words(_URL.sub(" ", shown))


def _marked(name: str, text: str) -> Iterator[str]:
    return (f"{name}:{word}" for word in words(text))


def _of_addresses(name: str, text: str) -> Iterator[str]:
    """Each address, its domain, and the words beside them."""
    folded = fold(text)
    for found in _ADDRESS.finditer(folded):
        yield f"{name}:{found[0]}"[: len(name) + 1 + 2 * LONGEST]
        yield f"{name}:@{found[2]}"[: len(name) + 1 + 2 * LONGEST]
    yield from _marked(name, _ADDRESS.sub(" ", folded))


def hosts(text: str) -> Iterator[str]:
    """Where links lead: the host, and the last two labels of its name, which a spammer cannot change so fast."""
    for found in _HOST.finditer(text):
        host = fold(found[1]).strip(".-")
        yield f"url:{host[-2 * LONGEST :]}"
        yield "url:" + ".".join(host.split(".")[-2:])[-2 * LONGEST :]


def words(text: str) -> Iterator[str]:
    """The words of a text, folded."""
    for found in _WORD.finditer(fold(text)):
        word = found[0]
        if pairs := _WITHOUT_BLANKS.findall(word[:1000]):
            yield from (run[i : i + 2] for run in pairs for i in range(len(run) - 1))
        elif word[0] == "!":
            yield "!!"
        elif SHORTEST <= len(word) <= LONGEST and not word.isdigit():
            yield word


def fold(text: str) -> str:
    """What looks alike becomes alike: compatibility letters, capitals, what nobody sees."""
    if text.isascii():
        return text.lower()
    pieces = _PIECE.findall(text.translate(_HIDDEN))
    return "".join(unicodedata.normalize("NFKC", piece) for piece in pieces)[:MOST_CHARACTERS].casefold()


def without_tags(text: str) -> str:
    """What a reader sees of HTML, roughly: enough for words."""
    seen = _TAG.sub(_in_place_of_tag, "".join(_seen(text)))
    return html.unescape(_HUGE_NUMBER.sub(" ", seen))


def _seen(text: str) -> Iterator[str]:
    """The text without comments, scripts and styles; one that has no end hides all the rest, as in a browser."""
    at = 0
    while found := _UNSEEN.search(text, at):
        yield text[at : found.start()]
        end = _UNSEEN_ENDS[(found[1] or found[2]).lower()].search(text, found.end())
        if end is None:
            return
        at = end.end()
    yield text[at:]


def _in_place_of_tag(found: re.Match[str]) -> str:
    return "" if (found[1] or "").lower() in _WITHIN_LINE else " "

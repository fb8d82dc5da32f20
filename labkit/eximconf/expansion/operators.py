"""The table of operators `${name_suffix:argument}` and of strict items: functions of texts, nothing else.

WHAT       OPERATORS and STRICT: name -> function, and whether what comes out is still a stranger's choice.
RULES      an operator that needs the Env, a list or a question is in compiler.py's neighbours, not here.
STANDARDS  Exim specification, chapter "String expansions", sections "Expansion operators", "Expansion items"
READ NEXT  compiler.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import coding, hosts, quoting
from labkit.eximconf.expansion.arithmetic import evaluate
from labkit.eximconf.expansion.headers import decode_words
from labkit.eximconf.expansion.numbers import interval, positive, shown_interval
from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.expansion.texts import joined_list, lower, upper
from labkit.eximconf.field_addresses import Readable, addresses_of
from labkit.eximconf.mailbox_text import MailboxText, NoMailbox, read_mailbox

_COUNTS = re.compile(r"([+-]?[0-9]{1,9})(?:_([0-9]{1,9}))?")


class Operator(NamedTuple):
    """`keeps`: the result of a tainted argument is tainted."""

    apply: Callable[[str, str], str]  # argument, suffix
    keeps: bool


class Strict(NamedTuple):
    apply: Callable[..., str]
    keeps: bool


def _counts(operator: str, written: str) -> tuple[int, int | None]:
    """The numbers of `${substr_1_2:`; `written` is that name, perhaps abbreviated."""
    name, underscore, numbers = written.partition("_")
    if not underscore:
        raise failed(f"missing values after {name}")
    found = _COUNTS.fullmatch(numbers or "0")
    if found is None or (operator == "length" and found[2]) or (operator != "substr" and found[1][0] in "+-"):
        raise failed(f'non-digit after underscore in "{written}"')
    return int(found[1]), None if found[2] is None else int(found[2])


def _part(text: str, start: int, length: int | None) -> str:
    """substr: a negative start counts from the end; without a length it is what stands before."""
    if start < 0:
        start += len(text)
        if length is None:
            return text[: max(0, start)]
        if start < 0:
            start, length = 0, max(0, length + start)
    return text[start:] if length is None else text[start : start + length]


def _by_counts(operator: str, text: str, written: str) -> str:
    first, second = _counts(operator, written)
    return _COUNTED[operator](text, first, second)


_COUNTED: dict[str, Callable[[str, int, int | None], str]] = {
    "substr": _part,
    "length": lambda text, first, second: text[:first],
    "hash": lambda text, first, second: coding.letters_hash(text, first, 26 if second is None else second),
    "nhash": coding.number_hash,
}


def _counted(operator: str) -> Callable[[str, str], str]:
    return lambda text, written: _by_counts(operator, text, written)


def _counted_item(operator: str) -> Callable[..., str]:
    """${hash{n}{m}{text}}"""

    def run(*arguments: str) -> str:
        *numbers, text = arguments
        first = numbers[0]
        if operator == "length":
            start = positive(first, "length")
        elif re.fullmatch("[+-]?[0-9]{1,9}", first):
            start = int(first)
        else:
            raise failed(f'"{first}" is not a number (in "{operator}" expansion)')
        second = positive(numbers[1], operator) if len(numbers) > 1 else None
        if start < 0 and operator != "substr":
            raise failed(f'"{first}" is not a positive number (in "{operator}" expansion)')
        return _COUNTED[operator](text, start, second)

    return run


def _time_eval(text: str, suffix: str) -> str:
    found = interval(text)
    if found is None:
        raise failed(f'string "{text}" is not an Exim time interval in "time_eval" operator')
    return str(found)


def _time_interval(text: str, suffix: str) -> str:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise failed(f'string "{text}" is not a positive number in "time_interval" operator')
    return shown_interval(int(text) & 0xFFFFFFFF)


def _mailbox(text: str) -> MailboxText:
    """The one address that the text is; an empty one if it is none."""
    try:
        return read_mailbox(text)
    except NoMailbox:
        return MailboxText("")


def _local_part(text: str) -> str:
    mailbox = _mailbox(text)
    return mailbox.text[: mailbox.domain - 1] if mailbox.has_domain else mailbox.text


def _domain(text: str) -> str:
    mailbox = _mailbox(text)
    return mailbox.text[mailbox.domain :] if mailbox.has_domain else ""


def _addresses(text: str, suffix: str) -> str:
    separator, text = ":", text.lstrip(BLANKS)
    if text.startswith(">"):
        if len(text) == 1:
            raise failed("output separator missing in expanding ${addresses:>}")
        separator, text = text[1], text[2:]
    found = addresses_of(text, skips_blanks=False)
    return joined_list(separator, [each.address for each in found if isinstance(each, Readable)])


def _quote(text: str, suffix: str) -> str:
    return quoting.quote_for(text, suffix) if suffix else quoting.quote(text)


def _translate(text: str, old: str, new: str) -> str:
    """tr: letter by letter; the last of `new` stands for those that it lacks; the last `old` counts."""
    if not new:
        return text
    return text.translate({ord(char): new[min(place, len(new) - 1)] for place, char in enumerate(old)})


def _keeps(function: Callable[[str], str]) -> Operator:
    return Operator(lambda text, suffix: function(text), True)


def _clean(function: Callable[[str], str]) -> Operator:
    return Operator(lambda text, suffix: function(text), False)


OPERATORS: dict[str, Operator] = {
    "address": _keeps(lambda text: _mailbox(text).text),
    "addresses": Operator(_addresses, True),
    "base32": _clean(coding.to_base32),
    "base32d": _clean(coding.from_base32),
    "base62": _clean(coding.to_base62),
    "base62d": _clean(coding.from_base62),
    "base64": _keeps(coding.to_base64),
    "base64d": _keeps(coding.from_base64),
    "domain": _keeps(_domain),
    "escape": _keeps(quoting.escape),
    "escape8bit": _keeps(quoting.escape8bit),
    "eval": _clean(evaluate),
    "eval10": _clean(lambda text: evaluate(text, decimal=True)),
    "from_utf8": _keeps(coding.from_utf8),
    "hash": Operator(_counted("hash"), True),
    "hex2b64": _keeps(coding.hex_to_base64),
    "hexquote": _keeps(quoting.hexquote),
    "ipv6denorm": _keeps(hosts.ipv6denorm),
    "ipv6norm": _keeps(hosts.ipv6norm),
    "lc": _keeps(lower),
    "length": Operator(_counted("length"), True),
    "listcount": _clean(lambda text: str(len(split_list(text)))),
    "local_part": _keeps(_local_part),
    "mask": _keeps(hosts.mask),
    "md5": _clean(coding.md5),
    "nhash": Operator(_counted("nhash"), False),
    "quote": Operator(_quote, True),
    "quote_local_part": _keeps(quoting.quote_local_part),
    "reverse_ip": _keeps(hosts.reverse_ip),
    "rfc2047": _keeps(coding.rfc2047),
    "rfc2047d": _keeps(decode_words),
    "rxquote": _keeps(quoting.rxquote),
    "sha1": _clean(coding.sha1),
    "sha2": Operator(coding.sha2, False),
    "sha256": Operator(coding.sha2, False),
    "sha3": Operator(coding.sha3, False),
    "str2b64": _keeps(coding.to_base64),
    "strlen": _clean(lambda text: str(len(text))),
    "substr": Operator(_counted("substr"), True),
    "time_eval": Operator(_time_eval, False),
    "time_interval": Operator(_time_interval, False),
    "uc": _keeps(upper),
    "utf8clean": _keeps(coding.utf8_clean),
}
STRICT: dict[str, Strict] = {
    "hash": Strict(_counted_item("hash"), True),
    "hmac": Strict(coding.keyed, False),
    "length": Strict(_counted_item("length"), True),
    "nhash": Strict(_counted_item("nhash"), False),
    "substr": Strict(_counted_item("substr"), True),
    "tr": Strict(_translate, True),
}

"""Codes and digests: base64, base62, base32, hex, RFC 2047, UTF-8, md5 and its relatives, Exim's own hashes.

LIKE EXIM  digests of the sha family are written in capitals, md5 and hmac in small letters; base62 has six digits;
           hash and nhash are old and weak: they spread users over folders, they protect nothing.
STANDARDS  RFC 4648, RFC 2047, RFC 2104; Exim specification, chapter "String expansions"
READ NEXT  quoting.py
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.texts import lower, octets

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_LETTERS = "abcdefghijklmnopqrtsuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"  # r t s: Exim's own order
_PRIMES = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113
)  # fmt: skip
_WORD = 2**32 - 1
_WORD64 = 2**64 - 1


def to_base64(text: str) -> str:
    return base64.b64encode(octets(text)).decode("ascii")


def from_base64(text: str) -> str:
    bare = re.sub(f"[{BLANKS}]", "", text)
    try:
        return base64.b64decode(octets(bare), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        raise failed(f'string "{text}" is not well-formed for "base64d" operator') from None


def _decimal(text: str, operator: str) -> int:
    if not re.fullmatch("[0-9]*", text) or not text:
        raise failed(f'argument for {operator} operator is "{text}", which is not a decimal number')
    bare = text.lstrip("0") or "0"
    return _WORD64 if len(bare) > 25 else min(_WORD64, int(bare))


def to_base62(text: str) -> str:
    value, digits = _decimal(text, "base62"), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = _BASE62[digit] + digits
    return digits


def from_base62(text: str) -> str:
    return _from_digits(text, _BASE62, 62, "base62d")


def to_base32(text: str) -> str:
    value, digits = _decimal(text, "base32"), ""
    while value:
        value, digit = divmod(value, 32)
        digits = _BASE32[digit] + digits
    return digits


def from_base32(text: str) -> str:
    return _from_digits(text, _BASE32, 32, "base32d")


def _from_digits(text: str, digits: str, base: int, operator: str) -> str:
    value = 0
    for char in text:
        if char not in digits:
            raise failed(f'argument for {operator} operator is "{text}", which is not a base {base} number')
        value = (value * base + digits.index(char)) & _WORD64
    return str(value)


def hex_to_base64(text: str) -> str:
    if not re.fullmatch("[0-9A-Fa-f]*", text):
        raise failed(f'"{text}" is not a hex string')
    if len(text) % 2:
        raise failed(f'"{text}" contains an odd number of characters')
    return base64.b64encode(bytes.fromhex(text)).decode("ascii")


def md5(text: str) -> str:
    return hashlib.md5(octets(text), usedforsecurity=False).hexdigest()


def sha1(text: str) -> str:
    return hashlib.sha1(octets(text), usedforsecurity=False).hexdigest().upper()


def sha2(text: str, bits: str) -> str:
    if bits not in ("", "256", "384", "512"):
        raise failed("unrecognised sha2 variant")
    return hashlib.new(f"sha{bits or 256}", octets(text)).hexdigest().upper()


def sha3(text: str, bits: str) -> str:
    if bits not in ("", "224", "256", "384", "512"):
        raise failed("unrecognised sha3 variant")
    return hashlib.new(f"sha3_{bits or 256}", octets(text)).hexdigest().upper()


def keyed(algorithm: str, key: str, text: str) -> str:
    """${hmac{md5}{key}{text}}"""
    if algorithm not in ("md5", "sha1"):
        raise failed(f'hmac algorithm "{algorithm}" is not recognised')
    return hmac.new(octets(key), octets(text), algorithm).hexdigest()


def letters_hash(text: str, length: int, letters: int = 26) -> str:
    """`length` letters that depend on the whole text; a short text stays as it is."""
    if letters > len(_LETTERS):
        raise failed(f'hash count "{letters}" too big')
    data = octets(text)
    if length >= len(data):
        return text
    if not length or not letters:
        return ""
    mixed = list(data[:length])
    for number, octet in enumerate(data[length:]):
        shift = (octet + length + number) & 7
        mixed[number % length] ^= ((octet << shift) | (octet >> (8 - shift))) & 0xFF
    return "".join(_LETTERS[octet % letters] for octet in mixed)


def number_hash(text: str, first: int, second: int | None = None) -> str:
    """A number below `first`; or two numbers, the second below `second`."""
    if first < 1 or second == 0:
        raise failed("a modulus of 0 in nhash")
    total = 0
    for number, octet in enumerate(octets(text)):
        total += _PRIMES[-1 - number % len(_PRIMES)] * octet
    total &= _WORD
    if second is None:
        return str(total % first)
    return "{}/{}".format(*divmod(total % (first * second), second))


def rfc2047(text: str) -> str:
    """As encoded words, if anything in it must not stand in a header field as it is."""
    specials = '?=()<>@,;:\\".[]_'
    if all(" " <= char <= "~" and char not in specials for char in text):
        return text
    words, word = [], ""
    for char in text:
        if len(word) > _LONGEST_WORD:
            words.append(word)
            word = ""
        if char == " ":
            word += "_"
        elif char <= " " or char > "~" or char in specials:
            word += f"={octets(char)[0]:02X}"
        else:
            word += char
    return " ".join(f"=?UTF-8?Q?{each}?=" for each in (*words, word))


_LONGEST_WORD = 67


def from_utf8(text: str) -> str:
    """Characters of latin-1; others become an underscore."""
    data = octets(text).decode("utf-8", "replace")
    return "".join(char if char < "\u0100" else "_" for char in data)


def utf8_clean(text: str) -> str:
    """What is not UTF-8 becomes a question mark."""
    decoded = octets(text).decode("utf-8", "replace")
    return decoded.replace("\ufffd", "?").encode("utf-8").decode("latin-1")


def digest_equal(secret: str, stored: str) -> bool | None:
    """crypteq with {md5} or {sha1}: in hex or base64. None: another form."""
    for name, length in (("md5", 16), ("sha1", 20)):
        if lower(stored).startswith(f"{{{name}}}"):
            digest = hashlib.new(name, octets(secret), usedforsecurity=False).digest()
            told = stored[len(name) + 2 :]
            if len(told) == 2 * length:
                return lower(told) == digest.hex()
            return told == base64.b64encode(digest).decode("ascii")
    return None

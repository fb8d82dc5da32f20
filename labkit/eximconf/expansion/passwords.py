"""crypteq: does a password fit a stored one?

FORMS      {md5} and {sha1} (hex or base64), and of crypt(3) what hashlib can compute: $5$ (SHA-256), $6$ (SHA-512).
REFUSED    $1$, $2a$ to $2y$, $y$, $7$ and the old crypt of 13 characters, by name; what is no hash at all never fits.
STANDARDS  Exim specification, chapter "String expansions", condition crypteq; U. Drepper, "Unix crypt
           using SHA-256 and SHA-512"
READ NEXT  deciding.py
"""

from __future__ import annotations

import hashlib
import hmac
import re

from labkit.eximconf.expansion.coding import digest_equal
from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.texts import lower, octets

_SHA_CRYPT = re.compile(r"\$([56])\$(?:rounds=([0-9]{1,9})\$)?([^$]{0,16})[^$]*\$([./0-9A-Za-z]+)")
_MOST_ROUNDS = 100_000  # more would take seconds; refused by name
_DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_OTHER = re.compile(r"\$(1|2[abxy]?|7|y|gy|md5|sm3)\$|[./0-9A-Za-z]{13}$")


def crypteq(password: str, stored: str) -> bool:
    """Raises Stop for a form that is not known, with Exim's words or with the form's name."""
    if stored.startswith("{"):
        verdict = digest_equal(password, stored)
        if verdict is not None:
            return verdict
        if lower(stored).startswith(("{crypt}", "{crypt16}")):
            return _crypt(password, stored.partition("}")[2])
        raise failed(f'unknown encryption mechanism in "{stored}"')
    return _crypt(password, stored)


def _crypt(password: str, stored: str) -> bool:
    found = _SHA_CRYPT.fullmatch(stored)
    if found is None:
        if other := _OTHER.match(stored):
            raise failed(f"crypteq with {other[0]} is not read by labkit: use $5$ or $6$ (SHA)")
        return False
    rounds = max(1000, int(found[2])) if found[2] else 5000
    if rounds > _MOST_ROUNDS:
        raise failed(f"crypteq with more than {_MOST_ROUNDS} rounds is not read by labkit")
    made = sha_crypt(octets(password), octets(found[3]), "sha256" if found[1] == "5" else "sha512", rounds)
    return hmac.compare_digest(made, found[4])


def sha_crypt(password: bytes, salt: bytes, name: str, rounds: int) -> str:
    """The last field of $5$ and $6$, step by step as the specification numbers them."""
    size = hashlib.new(name).digest_size

    def repeated(block: bytes, length: int) -> bytes:
        return (block * (length // len(block) + 1))[:length]

    other = hashlib.new(name, password + salt + password).digest()  # steps 4-8
    start = hashlib.new(name, password + salt + repeated(other, len(password)))  # 1-3, 9-10
    bits = len(password)
    while bits:  # 11
        start.update(other if bits & 1 else password)
        bits >>= 1
    digest = start.digest()
    of_password = hashlib.new(name, password * len(password)).digest()  # 13-16
    of_salt = hashlib.new(name, salt * (16 + digest[0])).digest()  # 17-20
    p_bytes, s_bytes = repeated(of_password, len(password)), repeated(of_salt, len(salt))
    for number in range(rounds):  # 21
        step = hashlib.new(name, p_bytes if number & 1 else digest)
        if number % 3:
            step.update(s_bytes)
        if number % 7:
            step.update(p_bytes)
        step.update(digest if number & 1 else p_bytes)
        digest = step.digest()
    return _written(digest, size)


def _written(digest: bytes, size: int) -> str:
    """Three octets at a time, in the order of the specification, as four digits."""
    third = size // 3
    text = ""
    triple = [0, third, 2 * third]
    for _ in range(third):
        text += _digits(digest[triple[0]] << 16 | digest[triple[1]] << 8 | digest[triple[2]], 4)
        triple = [triple[1] + 1, triple[2] + 1, triple[0] + 1] if size == 64 else [
            triple[2] + 1, triple[0] + 1, triple[1] + 1
        ]  # fmt: skip
    if size == 64:
        return text + _digits(digest[63], 2)
    return text + _digits(digest[31] << 8 | digest[30], 3)


def _digits(value: int, count: int) -> str:
    return "".join(_DIGITS[value >> 6 * place & 63] for place in range(count))

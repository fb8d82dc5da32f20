"""The keys with which hosts outside sign, and the signing itself: dkimpy, with the lab's clock.

WHAT       `SigningKeys(folder)` makes RSA keys and keeps them; `record` is the TXT record of one; `signed` puts a
           DKIM-Signature on top of a message.
WHY        a signer that is not ours: what labkit verifies was signed by somebody else's code. The keys
           are pairs like everybody's (keys.py).
SAFE       dkimpy signs relaxed/simple here: its relaxed form of a body takes time squared on runs of blanks. What it
           cannot read as a message goes unsigned.
STANDARDS  RFC 6376 §3.3 (rsa-sha256), §3.6.1 (the record), §5.4 (which fields)
READ NEXT  relay_domains.py
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from labkit.lab.keys import KeyPair, make_pair
from labkit.mail.message import HeaderField, Message

SIGNED = (b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"in-reply-to",
          b"references", b"mime-version", b"content-type", b"content-transfer-encoding", b"list-id",
          b"list-unsubscribe")  # fmt: skip
TWICE = (
    b"from",
    b"subject",
    b"to",
    b"date",
    b"message-id",
)  # signed once more: another one breaks the signature
MOST_FIELDS = 500  # of a message that is signed


class SigningKeys:
    """Keys by domain and selector, in files of `folder` that only this user may read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, domain: str, selector: str) -> bytes:
        """The private key, PEM; made now if there is none yet."""
        path = self.folder / f"{domain}.{selector}.key"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(make_pair().private_pem)
        return path.read_bytes()

    def record(self, domain: str, selector: str) -> str:
        """What the TXT record of the public key says."""
        return _record(self.key(domain, selector))

    def signed(self, message: Message, domain: str, selector: str, now: datetime) -> Message:
        """With a signature on top; the same where dkimpy cannot sign it."""
        signature = sign(bytes(message), domain, selector, self.key(domain, selector), now)
        return message if signature is None else message.prepend(signature)


def sign(content: bytes, domain: str, selector: str, key: bytes, now: datetime) -> HeaderField | None:
    """The DKIM-Signature field of a message; None for one that dkimpy cannot sign."""
    import dkim

    fields = Message.parse(content).header_fields
    if not 0 < len(fields) <= MOST_FIELDS:
        return None
    there = [field.name.lower().encode() for field in fields]
    if b"from" not in there:
        return None
    names = [name for name in there if name in SIGNED] + list(TWICE)
    signer = _lab_signer()(content)
    signer.signing_time = int(now.timestamp())
    try:
        written = signer.sign(selector.encode(), domain.encode(), key, include_headers=names)
    except (dkim.DKIMException, IndexError, ValueError):
        return None
    return HeaderField(bytes(written))


@lru_cache(maxsize=1)
def _lab_signer() -> Any:
    import dkim

    class LabSigner(dkim.DKIM):  # type: ignore[misc]
        """dkimpy stamps t= from the wall clock; the lab has its own."""

        signing_time = 0

        def gen_header(self, fields: list[tuple[bytes, bytes]], *rest: Any, **named: Any) -> bytes:
            stamp = str(self.signing_time).encode()
            stamped = [(name, stamp if name == b"t" else value) for name, value in fields]
            written: bytes = super().gen_header(stamped, *rest, **named)
            return written

    return LabSigner


@lru_cache(maxsize=64)
def _record(key: bytes) -> str:
    return KeyPair.read(key).record

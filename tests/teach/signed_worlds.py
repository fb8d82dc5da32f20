"""A lab in which bob's mail is signed, and his domain has SPF, DKIM and DMARC records."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from labkit.auth.dkim_sign import sign
from labkit.lab.world import World, partners
from labkit.mail.message import Message

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
RECORDS = """
st2 IN TXT "v=spf1 mx -all"
_dmarc.st2 IN TXT "v=DMARC1; p=reject"
s1._domainkey.st2 IN TXT {key}
"""
MESSAGE = b"""\
From: bob@st2.sne21.test\r
To: ann@st11.sne21.test\r
Subject: The meeting\r
Date: Mon, 07 Sep 2026 08:59:00 +0000\r
Message-ID: <meeting@st2.sne21.test>\r
\r
We meet at ten.  In room 5.\r
Yours, Bob\r
"""


async def signed_world(**options: Any) -> World:
    """bob's signed message lies in ann's mailbox."""
    world = await partners(**{"network": "memory", **options}).start()
    key, record = rsa_key()
    strings = " ".join(f'"{record[i : i + 250]}"' for i in range(0, len(record), 250))
    world.write_zone("sne21.test", world.zone("sne21.test") + RECORDS.format(key=strings))
    signature = sign(MESSAGE, domain="st2.sne21.test", selector="s1", key=key, now=world.now().timestamp())
    await world.partner_laptop.send(ANN, message=signature + MESSAGE)
    return world


def the_message(world: World) -> Message:
    return world.mine.mailbox("ann")[0]


@lru_cache(maxsize=1)
def rsa_key() -> tuple[bytes, str]:
    """A key of 2048 bits, and its record."""
    from base64 import b64encode

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem, f"v=DKIM1; k=rsa; p={b64encode(public).decode()}"

"""A lab in which bob's mail is signed, and his domain has SPF, DKIM and DMARC records."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from labkit.auth.dkim_sign import sign
from labkit.lab.keys import KeyPair, make_pair
from labkit.lab.world import World, partners
from labkit.mail.message import Message

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
RECORDS = """
st2 IN TXT "v=spf1 mx -all"
_dmarc.st2 IN TXT "v=DMARC1; p=reject"
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
    pair = key_pair()
    key_line = pair.zone_line("s1").replace("s1._domainkey", "s1._domainkey.st2")
    world.write_zone("sne21.test", f"{world.zone('sne21.test')}{RECORDS}{key_line}\n")
    now = world.now().timestamp()
    signature = sign(MESSAGE, domain="st2.sne21.test", selector="s1", key=pair.private_pem, now=now)
    await world.partner_laptop.send(ANN, message=signature + MESSAGE)
    return world


def the_message(world: World) -> Message:
    return world.mine.mailbox("ann")[0]


@lru_cache(maxsize=1)
def key_pair() -> KeyPair:
    """Making one takes a while."""
    return make_pair()

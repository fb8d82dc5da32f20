"""Headers as the world's servers write them, invented: the same seed gives the same octets, on every machine.

WHAT       `synthetic_headers(1000)`: one message after the other, each with a header of ten to thirty fields and a
           short body. Two to six hops of Exim, Postfix, Sendmail, Exchange, Gmail and qmail; mailing lists, signatures,
           filters; one in fifty has a wrong clock, one in thirty waited for hours, a few have odd dates.
WHY HERE   real headers are private; and a benchmark needs as many as one likes.
READ NEXT  labkit/headers/fast.py, benchmarks/headers.py
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random

from labkit.mail.dates import header_date

BEGIN = datetime(2026, 9, 7, 6, 0, tzinfo=timezone.utc)
_WORDS = "report minutes budget hello question invoice summer garden server backup exam lecture tickets news".split()
_NAMES = "ann bob eve carla dmitri elif farid grace hans ines".split()
_DOMAINS = [f"{a}{b}.test" for a in ("mail", "post", "st", "uni", "shop", "news") for b in range(1, 41)]
_ZONES = (
    timezone.utc,
    timezone(timedelta(hours=3)),
    timezone(timedelta(hours=-7)),
    timezone(timedelta(hours=2)),
)


def synthetic_headers(count: int, seed: int = 1) -> Iterator[bytes]:
    """So many messages, one at a time."""
    chance = Random(seed)
    for number in range(count):
        yield _message(chance, number)


def _message(chance: Random, number: int) -> bytes:
    author, reader = f"{chance.choice(_NAMES)}@{_from(chance)}", f"{chance.choice(_NAMES)}@{_from(chance)}"
    at = BEGIN + timedelta(seconds=chance.randrange(30 * 86_400))
    origin, target = author.partition("@")[2], reader.partition("@")[2]
    if origin == target:
        target = f"{target[:-5]}x.test"
        reader = f"{reader.partition('@')[0]}@{target}"
    is_list = chance.random() < 0.2
    way = [f"mx.{origin}", *(f"relay{n}.{_from(chance)}" for n in range(chance.randrange(4))), f"mx.{target}"]
    trace = _trace(chance, way, reader, at)
    fields = [
        f"Return-Path: <{'list-bounces@lists.test' if is_list else author}>",
        f"Delivered-To: {reader}",
    ]
    fields += [*_results(chance, origin, way[-1], author), *trace, *_signature(chance, origin)]
    fields += [
        f"Date: {header_date(at.astimezone(chance.choice(_ZONES)))}",
        f"From: {author.partition('@')[0].title()} <{author}>",
        f"To: {'students@lists.test' if is_list else reader}",
        f"Subject: {' '.join(chance.choices(_WORDS, k=chance.randint(2, 6)))}",
        f"Message-ID: <{chance.getrandbits(64):016x}.{number}@{origin}>",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 8bit",
    ]
    if is_list:
        fields += ["List-Id: Students <students.lists.test>", "Precedence: list"]
        fields += ["List-Unsubscribe: <mailto:students-leave@lists.test>, <https://lists.test/leave>"]
    if chance.random() < 0.5:
        fields.append(f"X-Mailer: Synthetic {chance.randint(1, 9)}.{chance.randint(0, 20)}")
    return "\r\n".join([*fields, "", "Hello.", ""]).encode("ascii")


def _from(chance: Random) -> str:
    return _DOMAINS[min(int(chance.expovariate(0.03)), len(_DOMAINS) - 1)]


def _trace(chance: Random, way: list[str], reader: str, at: datetime) -> list[str]:
    """Received fields, top to bottom."""
    client, fields = f"[192.0.2.{chance.randint(1, 254)}]", []
    wrong = chance.randrange(len(way)) if chance.random() < 0.02 else -1
    for number, by in enumerate(way):
        at += timedelta(seconds=chance.choice((0, 1, 1, 2, 3, 8, 40)))
        if chance.random() < 0.01:
            at += timedelta(minutes=chance.choice((15, 60, 300, 1500)))
        shown = at + timedelta(hours=chance.choice((-2, 1, 5))) if number == wrong else at
        fields.append(_received(chance, client, by, reader, _date(chance, shown)))
        client = by
    return fields[::-1]


def _date(chance: Random, at: datetime) -> str:
    odd = chance.random()
    if odd < 0.01:
        return f"{at.day} {at:%b %y %H:%M:%S} GMT"
    if odd < 0.015:
        return header_date(at)[:-6]
    written = header_date(at.astimezone(chance.choice(_ZONES)))
    return f"{written} (UTC)" if written.endswith("+0000") and odd < 0.5 else written


def _received(chance: Random, client: str, by: str, reader: str, date: str) -> str:
    address = f"198.51.100.{chance.randint(1, 254)}"
    queue_id = f"{chance.getrandbits(40):010X}"
    cipher = "TLS_AES_256_GCM_SHA384"
    helo = "laptop" if client.startswith("[") else client
    return chance.choice(
        (
            f"Received: from {helo} ({helo} [{address}])\r\n\t(using TLSv1.3 with cipher {cipher} (256/256 bits)\r\n"
            f"\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\r\n\t(No client certificate requested)\r\n"
            f"\tby {by} (Postfix) with ESMTPS id {queue_id}\r\n\tfor <{reader}>; {date}",
            f"Received: from {helo} ([{address}])\r\n\tby {by} with esmtps  (TLS1.3) tls {cipher}\r\n\t(Exim 4.96)\r\n"
            f"\t(envelope-from <someone@{helo}>)\r\n\tid 1w{queue_id[:4]}-0000{queue_id[:2]}-2x\r\n\tfor {reader};"
            f"\r\n\t{date}",
            f"Received: from {helo} ({helo} [{address}])\r\n\tby {by} (8.17.1/8.17.1) with ESMTPS id {queue_id}\r\n"
            f"\t(version=TLSv1.3 cipher={cipher} bits=256 verify=NO)\r\n\tfor <{reader}>; {date}",
            f"Received: from {helo} (2001:db8::{address[-1]}) by {by}\r\n (2001:db8:1::5) with Microsoft SMTP Server "
            f"(version=TLS1_2,\r\n cipher={cipher}) id 15.20.7472.30; {date}",
            f"Received: from {helo} ({helo}. [{address}])\r\n        by {by} with SMTPS id {queue_id.lower()}\r\n"
            f"        for <{reader}>\r\n        (Google Transport Security);\r\n        {date}",
            f"Received: from unknown (HELO {helo}) ({address})\r\n  by {by} with SMTP; {date}",
        )
    )


def _results(chance: Random, origin: str, last: str, author: str) -> list[str]:
    """What the last host's filters write on top."""
    fields = []
    if chance.random() < 0.9:
        fields.append(
            f"Authentication-Results: {last};\r\n\tdkim=pass header.d={origin} header.s=s1;\r\n"
            f"\tspf=pass smtp.mailfrom={author};\r\n\tdmarc=pass header.from={origin}"
        )
    if chance.random() < 0.4:
        fields.append(f"X-Spam-Status: No, score=-{chance.randint(0, 40) / 10} required=5.0 tests=SPF_PASS")
    return fields


def _signature(chance: Random, origin: str) -> list[str]:
    if chance.random() < 0.2:
        return []
    signature = base64.b64encode(chance.randbytes(256)).decode("ascii")
    folded = "\r\n\t ".join(signature[start : start + 64] for start in range(0, len(signature), 64))
    body_hash = base64.b64encode(chance.randbytes(32)).decode("ascii")
    return [
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={origin}; s=s1;\r\n"
        f"\th=from:to:subject:date:message-id; bh={body_hash};\r\n\tb={folded}"
    ]

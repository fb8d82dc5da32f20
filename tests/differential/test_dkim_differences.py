"""docs/differences.md, rows about DKIM: the same story on both engines, and what each of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labkit.mail.event import EventKind

from .certificates import Authority
from .signing import edwards_key, published, rsa_key, signed
from .stage import BOB, MINE, Lab, message
from .stories_dkim import EVE, KEYS, hands_in, partner, results, signatures, signer, verifier, zone

ENGINES = pytest.mark.parametrize(
    "engine", [pytest.param("exim", marks=pytest.mark.needs("exim", "gcc")), "labkit"]
)
SIMPLE = (b"simple", b"simple")


def told(engine: str, story: Callable[[Lab], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(story(Lab(engine, Authority())))


@ENGINES
def test_an_empty_body(engine: str) -> None:
    """dkimpy signs it as RFC 6376 §3.4.3 says: as one CR LF."""

    async def story(lab: Lab) -> list[list[str]]:
        async with lab.world(verifier(), zone=zone()) as world:
            content = signed(message("empty", "", EVE), rsa_key(), canonicalization=SIMPLE)
            await lab.call(world.mine, *hands_in(content))
            await world.settle()
            return results(world.mine)

    assert told(engine, story) == {"exim": [["fail"]], "labkit": [["pass"]]}[engine]


@ENGINES
def test_a_body_of_empty_lines_is_signed(engine: str) -> None:
    """Exim's own signature is bad, even to Exim."""

    async def story(lab: Lab) -> list[list[str]]:
        async with lab.world(signer("dkim_canon = simple"), partner(), zone=zone(), files=KEYS) as world:
            await lab.submit(world.mine, BOB, message("blank", "\n\n"))
            return results(world.partner, "bob")

    assert told(engine, story) == {"exim": [["fail"]], "labkit": [["pass"]]}[engine]


@ENGINES
@pytest.mark.parametrize("option", ["dkim_private_key = no", "dkim_sign_headers = ${if eq{a}{a}{=X-No}}"])
def test_what_exim_dies_of(engine: str, option: str) -> None:
    """A key that is a constant text, a list without a field to sign: labkit sends the message unsigned."""

    async def story(lab: Lab) -> tuple[int, str, list[str]]:
        async with lab.world(signer(option), partner(), zone=zone(), files=KEYS) as world:
            await lab.submit(world.mine, BOB, message("x"))
            frozen = len(world.journal.where(EventKind.FROZEN, host=MINE))
            return frozen, world.mine.log(), signatures(world.partner)

    frozen, log, made = told(engine, story)
    assert made == []
    assert frozen == (engine == "exim")
    assert ("terminated by signal 11" if engine == "exim" else "DKIM: signing failed: PRIVKEY") in log


@ENGINES
@pytest.mark.parametrize("tag", ["l=9223372036854775807", "t=18446744073709551615", "x=9223372036854775808"])
def test_numbers_of_nineteen_digits(engine: str, tag: str) -> None:
    """Exim's process ends when somebody asks for one."""

    async def story(lab: Lab) -> str:
        async with lab.world(verifier(), zone=zone()) as world:
            content = signed(message("x", "hello\n", EVE), rsa_key())
            said = await lab.call(world.mine, *hands_in(content.replace(b"v=1;", f"v=1; {tag};".encode())))
            return said[5]

    assert told(engine, story)[:3] == {"exim": "421", "labkit": "250"}[engine]


@ENGINES
def test_why_a_message_waits_for_its_key(engine: str) -> None:
    """dkim_strict and no key: Exim shows what its memory holds."""

    async def story(lab: Lab) -> str:
        options = ("dkim_private_key = /etc/nobody.key", "dkim_strict = 1")
        async with lab.world(signer(*options), partner(), zone=zone()) as world:
            await lab.submit(world.mine, BOB, message("x"))
            (event,) = world.journal.where(EventKind.DEFERRED, host=MINE)
            return event.text or ""

    text = told(engine, story)
    assert text.startswith("Permission denied: smtp send to mx2.st2.sne21.test [203.0.113.2] failed: ")
    assert ("unable to open file for reading: /etc/nobody.key" in text) is (engine == "labkit")


@ENGINES
def test_a_key_that_is_not_good(engine: str) -> None:
    """The words of the library: GnuTLS's as far as they are known."""

    async def story(lab: Lab) -> list[str]:
        records = {
            "cut": published(rsa_key())[:100],
            "odd": "MAVhYmNkZQ==",
            "ed": published(edwards_key())[:20],
        }
        text = zone() + "".join(
            f'{name}._domainkey.stranger IN TXT "v=DKIM1; p={key}"\n' for name, key in records.items()
        )
        async with lab.world(verifier(), zone=text) as world:
            plain = message("x", "hello\n", EVE)
            for name in records:
                key = edwards_key() if name == "ed" else rsa_key()
                await lab.call(world.mine, *hands_in(signed(plain, key, selector=name)))
            await world.settle()
            assert results(world.mine) == [["neutral"]] * 3
            return [line.partition("error: ")[2] for line in world.mine.log().split("\n") if "error:" in line]

    cut, odd, edwards = told(engine, story)
    assert (cut, edwards) == ("ASN1 parser: Error in DER parsing.", "The request is invalid.")
    assert odd == f"ASN1 parser: Error in {'TAG' if engine == 'exim' else 'DER parsing'}."

"""The header dissector: sources, what is shown, what an edit breaks, and messages written to break the page."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.lab.world import partners
from labkit.mail.message import with_crlf
from labkit.teach.views.dissector import Dissector, dissector
from labkit.teach.views.dissector_octets import as_octets, as_text
from labkit.teach.views.dissector_source import LARGEST, NoMessage

from .signed_worlds import MESSAGE, signed_world, the_message

CHECKED = """\
Checked now, against the lab's DNS
       result  about                                     because
-----  ------  ----------------------------------------  ----------------------------------------------
SPF    pass    client 203.0.113.2, HELO                  st2.sne21.test permits 203.0.113.2: mx matches
               mx2.st2.sne21.test, MAIL FROM
               <bob@st2.sne21.test>
DKIM   pass    st2.sne21.test, selector s1, rsa-sha256,  both hashes are right, and the signature was
               2048 bits                                 made with the domain's key
DMARC  pass    From: st2.sne21.test, policy reject of    aligned with st2.sne21.test: SPF for
               st2.sne21.test                            st2.sne21.test and DKIM for st2.sne21.test"""
HOPS = b"""\
Received: from b.test ([192.0.2.2]) by c.test with esmtps; Mon, 07 Sep 2026 09:15:00 +0000
Received: from a.test ([192.0.2.1]) by b.test with esmtp; Mon, 07 Sep 2026 09:00:00 +0000
Received: from [192.0.2.9] (helo=pc) by a.test with esmtpsa; Mon, 07 Sep 2026 12:00:00 +0000
From: ann@a.test
Subject: hops

x
"""


def told(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def index_of(view: Dissector, name: str) -> int:
    assert view.subject is not None
    field = view.subject.dissection.first(name)
    assert field is not None
    return field.index


def message_of(view: Dissector) -> dict[str, Any]:
    message = view.state()["message"]
    assert isinstance(message, dict)
    return message


async def checked_view() -> tuple[Any, Dissector]:
    world = await signed_world()
    return world, await dissector(the_message(world), world).checked()


# --- what is shown --------------------------------------------------------------------------------


def test_a_signed_message() -> None:
    async def story() -> None:
        world, view = await checked_view()
        async with world:
            text = view.text()
            assert CHECKED in text
            assert max(map(len, text.split("\n"))) <= 110
            assert "mx2.st11.sne21.test wrote the Received field in line 4" in text
            assert text.count("could be forged") == 7
            assert text.endswith(
                "A good signature of st2.sne21.test covers DKIM-Signature, From, To, Subject, Date, Message-ID."
            )
            assert text == repr(view) and "<table" in str(view.html())
            shown = message_of(view)
            assert [check["result"] for check in shown["checks"]] == ["pass", "pass", "pass"]
            assert {field["group"] for field in shown["fields"]} == {"end", "way", "sign", "author"}
            assert json.loads(json.dumps(view.state())) == view.state()

    told(story())


def test_the_way_and_a_wrong_clock() -> None:
    view = dissector(HOPS)
    hops = message_of(view)["hops"]
    assert [(hop["delay"], hop["is_skewed"], hop["bar"]) for hop in hops] == [
        ("wrong clock", True, 0),
        ("", False, 0),
        ("+15m", False, 1),
    ]
    assert "at least 3h ahead" in hops[0]["words"]
    assert [hop["how"] for hop in hops] == [
        "esmtpsa, encrypted, logged in",
        "esmtp, in clear",
        "esmtps, encrypted",
    ]
    assert "15m" in view.text() and "its clock is wrong" in view.text().replace("\n", " ")


def test_the_boundary_at_each_level() -> None:
    view = dissector(HOPS)
    trust = message_of(view)["trust"]
    assert [each["boundary"] for each in trust["boundaries"]] == [0, 1, 2, 3]
    assert trust["level"] == 1
    asyncio.run(view.hear({"ask": "trust", "level": 3}))
    assert message_of(view)["trust"]["level"] == 3
    asyncio.run(view.hear({"ask": "trust", "level": 99}))
    assert message_of(view)["trust"]["level"] == 3
    assert message_of(dissector(HOPS, trusted=["c.test", "b.test", "192.0.2.2"]))["trust"]["level"] == 2


def test_spf_is_about_the_client_at_the_boundary() -> None:
    async def story() -> None:
        world, view = await checked_view()
        async with world:
            await view.hear({"ask": "trust", "level": 2})
            spf, *_ = message_of(view)["checks"]
            assert spf["about"].startswith("client 198.51.100.2") and spf["result"] == "fail"
            await view.hear({"ask": "trust", "level": 0})
            spf, *_ = message_of(view)["checks"]
            assert spf["result"] == "none" and "no Received field is believed" in spf["reason"]

    told(story())


def test_the_octets_and_both_hashes() -> None:
    async def story() -> None:
        world, view = await checked_view()
        async with world:
            await view.hear({"ask": "octets", "number": 0})
            body, header = message_of(view)["octets"]["parts"]
            assert body["octets"] == "We meet at ten. In room 5.\\r\\n\nYours, Bob\\r\\n\n"
            assert header["octets"].startswith("from:bob@st2.sne21.test\\r\\n\nsubject:The meeting\\r\\n\n")
            assert body["same"] and body["known"] and header["same"] and header["known"]
            await view.change(index_of(view, "Subject"), "Subject: Another")
            body, header = message_of(view)["octets"]["parts"]
            assert body["same"] and not header["same"] and header["known"]
            assert header["claimed"][1] != header["computed"][1], "RSA shows what was signed"
            await view.hear({"ask": "octets", "number": 0})
            assert message_of(view)["octets"] is None

    told(story())


def signed_fields(view: Dissector) -> list[str]:
    return [field["name"] for field in message_of(view)["fields"] if field["signed"]]


def test_a_good_signature_vouches_for_fields_below_the_boundary() -> None:
    async def story() -> None:
        world, view = await checked_view()
        async with world:
            names = ["DKIM-Signature", "From", "To", "Subject", "Date", "Message-ID"]
            assert signed_fields(view) == names
            await view.change(0, "Subject: another one on top\nX-New: not signed")
            assert signed_fields(view) == names, "h= counts from the bottom up"
            await view.change(index_of(view, "From"), "From: eve@st2.sne21.test")
            assert signed_fields(view) == [], "a signature that is broken vouches for nothing"

    told(story())


def test_why_a_signature_is_broken_that_came_so() -> None:
    async def story() -> None:
        world = await signed_world()
        async with world:
            content = bytes(the_message(world)) + b"-- \r\nA list\r\n"
            view = await dissector(content, world).checked()
            _, dkim, dmarc = message_of(view)["checks"]
            assert dkim["result"] == "fail" and dkim["why"] == [
                "body: lines were added at the end, as mailing lists do"
            ]
            assert "lines were added at the end" in view.text() and dmarc["result"] == "pass"

    told(story())


def test_an_arc_chain_is_checked_too() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            view = await dissector(b"ARC-Seal: i=1; cv=none\r\nFrom: a@b.test\r\n\r\nx\r\n", world).checked()
            checks = {check["method"]: check["result"] for check in message_of(view)["checks"]}
            assert checks == {"SPF": "none", "DKIM": "none", "ARC": "fail", "DMARC": "none"}

    told(story())


def test_what_earlier_receivers_claim() -> None:
    claims = b"""\
Authentication-Results: mx.c.test; spf=pass smtp.mailfrom=a.test; dkim=fail header.d=<b>
Received: from b.test ([192.0.2.2]) by c.test with esmtps; Mon, 07 Sep 2026 09:15:00 +0000
Authentication-Results: a.test; dmarc=pass
Authentication-Results: ((((
Subject: x

"""
    first, second, third = message_of(dissector(claims))["claims"]
    assert first == {"who": "mx.c.test", "words": "spf=pass, dkim=fail", "forged": False}
    assert second == {"who": "a.test", "words": "dmarc=pass", "forged": True}
    assert third["words"].startswith("cannot be read") and third["forged"]


# --- changing a byte ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, text, broken",
    [
        (
            "Subject",
            "Subject: the meeting",
            "breaks the signature: subject: was 'Subject: The meeting' and is",
        ),
        ("Subject", "SUBJECT:   The\n\tmeeting  ", "which its canonical form forgives"),
        ("Subject", "", "a signed header field is not what was signed"),
        ("From", "From: eve@st2.sne21.test", "a signed header field is not what was signed"),
        ("Return-path", "Return-path: <eve@st2.sne21.test>", "nothing changed that this signature covers"),
        ("Return-path", "Return-path: <eve@elsewhere.test>", "SPF said pass and says none now"),
        (
            "DKIM-Signature",
            "",
            "(st2.sne21.test, selector s1) said pass and says nothing now: the signature is gone",
        ),
        (
            "Date",
            "X-Added: one\nDate: Mon, 07 Sep 2026 08:59:00 +0000",
            "nothing changed that this signature covers",
        ),
        (
            "To",
            "To: ann@st11.sne21.test\n\nA body that was not there",
            "a signed header field is not what was",
        ),
    ],
)
def test_a_field_is_changed(name: str, text: str, broken: str) -> None:
    async def story() -> None:
        world, view = await checked_view()
        async with world:
            await view.hear({"ask": "change", "index": index_of(view, name), "text": text})
            assert broken in "\n".join(view.broken()), view.broken()
            assert name.lower() in message_of(view)["edits"][0].lower()
            assert "Changed by hand" in view.text()
            await view.hear({"ask": "undo"})
            assert view.subject is not None and view.subject.content == view.subject.original
            assert [check["result"] for check in message_of(view)["checks"]] == ["pass"] * 3

    told(story())


@pytest.mark.parametrize(
    "old, new, words, broken",
    [
        ("room 5", "room 6", "“5” became “6”", "says fail now: the body is not the one that was signed"),
        ("ten.  In", "ten. In", "was taken out", "which the canonical form forgives"),
        ("Bob\n", "Bob\n\n\n", "was put in", "which the canonical form forgives"),
        ("Bob", "Bob\\x00", "“\\x00” was put in", "the body is not the one that was signed"),
    ],
)
def test_the_body_is_changed(old: str, new: str, words: str, broken: str) -> None:
    async def story() -> None:
        world, view = await checked_view()
        async with world:
            await view.hear({"ask": "edit", "index": -1})
            text = message_of(view)["editing"]["text"]
            assert old in text
            await view.hear({"ask": "change", "index": -1, "text": text.replace(old, new)})
            assert words in message_of(view)["edits"][0]
            assert broken in "\n".join(view.broken()), view.broken()

    told(story())


def test_changes_are_taken_back_one_by_one() -> None:
    view = dissector(MESSAGE)
    assert view.subject is not None
    for number in range(3):
        asyncio.run(view.change(2, f"Subject: {number}"))
    assert view.broken() == ["Check the message, and see what the changes break."]
    asyncio.run(view.change(2, "Subject: 2"))
    assert len(view.subject.edits) == 3, "the same again is no change"
    asyncio.run(view.undo())
    assert b"Subject: 1\r\n" in view.subject.content
    asyncio.run(view.undo(everything=True))
    assert view.subject.content == MESSAGE and view.subject.edits == []
    asyncio.run(view.undo())
    assert view.subject.content == MESSAGE


def test_unsigned_mail_breaks_nothing() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            view = await dissector(MESSAGE, world).checked()
            await view.change(-1, "Something else")
            (words,) = view.broken()
            assert "nobody can notice" in words
            with pytest.raises(ValueError, match="no lab"):
                await dissector(MESSAGE).checked()

    told(story())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_octets_as_text_come_back(octets: bytes) -> None:
    text = as_text(octets)
    assert as_octets(text) == octets
    assert all(char.isprintable() or char in "\n\t" for char in text)


@pytest.mark.parametrize("text", ["\\", "a\\y", "\\x1", "\\xzz"])
def test_a_backslash_alone_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("write \\\\")):
        as_octets(text)
    view = dissector(MESSAGE)
    with pytest.raises(ValueError, match="stands alone"):
        asyncio.run(view.change(0, text))
    assert view.subject is not None and view.subject.content == MESSAGE


# --- sources --------------------------------------------------------------------------------------


def test_where_a_message_comes_from(tmp_path: Path) -> None:
    async def story() -> None:
        world = await signed_world()
        async with world:
            await world.partner_laptop.send("ann@st11.sne21.test", "\u202eHello", "x")
            view = dissector(world=world)
            assert view.text().startswith("No message yet") and "No message yet" in str(view.html())
            newest, oldest = view.state()["picks"]
            assert newest.startswith("mx2.st11.sne21.test: ann 2: ") and "\u202e" not in newest
            assert oldest == "mx2.st11.sne21.test: ann 1: The meeting"
            await view.hear({"ask": "pick", "number": 1})
            assert message_of(view)["name"] == oldest
            await world.partner.stop()
            await world.laptop.send("bob@st2.sne21.test", "Waits", "x")
            assert message_of(dissector(world.mine.queue[0]))["summary"][2] == ["Subject", "Waits"]

    told(story())
    file = tmp_path / "one.eml"
    file.write_bytes(MESSAGE.replace(b"\r\n", b"\n"))
    for source in (file, str(file), MESSAGE, bytearray(MESSAGE), MESSAGE.decode()):
        view = dissector(source)
        assert view.subject is not None and view.subject.content == MESSAGE, source
    view = dissector()
    asyncio.run(view.hear({"ask": "paste", "text": "\n\n" + MESSAGE.decode().replace("\r\n", "\n")}))
    assert view.subject is not None and view.subject.content == MESSAGE
    octets = base64.b64encode(MESSAGE).decode()
    asyncio.run(view.hear({"ask": "upload", "name": "<b>.eml", "content": octets}))
    assert message_of(view)["name"] == "<b>.eml"


def test_an_mbox_file() -> None:
    one = b"From a@b.test Mon Sep 07 09:00:00 2026\nSubject: one\n\n>From here\nx\n\n"
    view = dissector(one + one.replace(b"one", b"two"))
    assert view.subject is not None
    assert view.subject.content == b"Subject: one\r\n\r\nFrom here\r\nx\r\n"
    assert view.state()["picks"] == ["mbox:1: one", "mbox:2: two"]
    asyncio.run(view.hear({"ask": "pick", "number": 1}))
    assert message_of(view)["summary"][0] == ["Subject", "two"]


def test_what_is_no_message(tmp_path: Path) -> None:
    with pytest.raises(NoMessage, match="int is no message"):
        dissector(7)
    with pytest.raises(FileNotFoundError):
        dissector(tmp_path / "none.eml")
    with pytest.raises(NoMessage, match="is the most"):
        dissector(b"x" * (LARGEST + 1))
    view = dissector()
    for message, words in (
        ({"ask": "paste", "text": " \n"}, "nothing in it"),
        ({"ask": "upload", "name": "a", "content": "%%%"}, "did not come through"),
        ({"ask": "upload", "name": "a", "content": ""}, "empty"),
        ({"ask": "check"}, "there is no message yet"),
        ({"ask": "edit", "index": 0}, "there is no message yet"),
        ({"ask": "pick", "number": 3}, "does not know"),
        ({"ask": "trust", "level": "1"}, "does not know"),
        ({}, "does not know"),
    ):
        with pytest.raises(ValueError, match=words):
            asyncio.run(view.hear(message))
    view = dissector(MESSAGE)
    for index in (-2, 99):
        with pytest.raises(ValueError, match="no field"):
            asyncio.run(view.hear({"ask": "edit", "index": index}))


# --- hostile messages -----------------------------------------------------------------------------

IMAGE = b'<img src="x" onerror="y">\xe2\x80\xae\x1b[2J\x00</script><script>alert(1)</script>'
HOSTILE = {
    "script tags, bidi and control characters everywhere": b"Received: from "
    + IMAGE + b" by " + IMAGE + b"; Mon, 07 Sep 2026 09:00:00 +0000\r\nSubject: " + IMAGE + b"\r\nX-" + b"A" * 300
    + b": " + IMAGE + b"\r\nFrom: " + IMAGE + b"\r\nDKIM-Signature: v=1; d=" + IMAGE + b"; s=" + IMAGE
    + b"\r\n\r\n" + IMAGE,
    "encoded words": b"Subject: =?utf-8?B?" + base64.b64encode(IMAGE)
    + b"?=\r\nFrom: =?utf-8?Q?=E2=80=AE?= <a@b.test>\r\n\r\n",
    "a megabyte in one field": b"Subject: " + b"<b>" * 340_000 + b"\r\n\r\nx\r\n",
    "a megabyte in a name": b"X-" + b"<b>" * 340_000 + b": x\r\nDKIM-Signature: d=" + b"<b>" * 99_999 + b"\r\n\r\n",
    "a megabyte of body": b"From: a@b.test\r\n\r\n" + IMAGE * 12_000,
    "twenty thousand fields": b"X: \xe2\x80\xae\r\n" * 20_000 + b"\r\n",
    "five thousand hops": b"Received: from a by b; Mon, 07 Sep 2026 09:00:00 +0000\r\n" * 5000 + b"\r\n",
    "brackets": b"Received: " + b"(" * 200_000 + b"\r\nAuthentication-Results: " + b"(" * 200_000 + b"\r\n\r\n",
    "no header at all": bytes(range(256)) * 4000,
    "an mbox line": b"From a@b.test Mon Sep 07 09:00:00 2026\r\nSubject: x\r\n\r\nx\r\n",
    "nothing but line ends": b"\r\n" * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_message_is_text(content: bytes) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            begun = time.process_time()
            view = await dissector(content, world).checked()
            for index in (0, -1):
                with suppress(ValueError):  # too long, or not there
                    await view.hear({"ask": "edit", "index": index})
            shown = json.dumps(view.state(), ensure_ascii=False)
            html, text = str(view.html()), view.text()
            for form in (shown, html, text):
                assert not any(char in form for char in "\u202e\x1b\x00\x07\x7f")
                assert len(form) < 700_000
            assert not any(tag in html for tag in ("<script", "<img", "<b><b>"))
            assert max(map(len, text.split("\n"))) <= 110
            assert time.process_time() - begun < 10

    told(story())


def test_a_long_body_keeps_what_cannot_be_edited() -> None:
    lines = b"".join(b"line %d\r\n" % number for number in range(5000))
    view = dissector(b"Subject: x\r\n\r\n" + lines)
    assert view.subject is not None
    asyncio.run(view.hear({"ask": "edit", "index": -1}))
    text = message_of(view)["editing"]["text"]
    assert len(text) < 20_001 and text.endswith("\n")
    assert "can be edited" in message_of(view)["body"]["note"]
    asyncio.run(view.hear({"ask": "change", "index": -1, "text": text.replace("line 0\n", "Line 0\n")}))
    assert view.subject.content == with_crlf(b"Subject: x\n\n") + lines.replace(b"line 0\r", b"Line 0\r", 1)

"""Findings: each by a message that has it, and none by an honest one."""

from __future__ import annotations

import pytest

from labkit.headers import Weight, dissect

HONEST = {
    "Return-Path": "<ann@a.test>",
    "Received": "from mx.a.test (mx.a.test [192.0.2.1]) by mx.b.test (Postfix) with ESMTPS id 1 for <bob@b.test>; "
    "Tue, 12 Mar 2024 10:00:05 +0000",
    "DKIM-Signature": "v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=x; b=y",
    "Date": "Tue, 12 Mar 2024 10:00:00 +0000",
    "From": "Ann <ann@a.test>",
    "To": "Bob <bob@b.test>",
    "Message-ID": "<1@a.test>",
    "Subject": "hello",
}
BOTTOM = "Received: from x.c.test (x.c.test [203.0.113.9]) by mx.a.test with ESMTPS id 0; Tue, 12 Mar 2024 {} +0000"


def message(*extra: str, **changed: str | None) -> bytes:
    """The honest message with fields changed (None: left out), and others at its end."""
    fields = {**HONEST, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([*lines, *extra, "", "body"]).encode()


def codes(content: bytes) -> dict[str, Weight]:
    return {each.code: each.weight for each in dissect(content).findings}


def test_an_honest_message_has_none() -> None:
    assert dissect(message()).findings == ()


def received(**said: str) -> str:
    parts = {"helo": "mx.a.test", "name": "mx.a.test", "ip": "192.0.2.1", "by": "mx.b.test", "how": "ESMTPS"}
    p = {**parts, "at": "Tue, 12 Mar 2024 10:00:05 +0000", **said}
    return f"from {p['helo']} ({p['name']} [{p['ip']}]) by {p['by']} with {p['how']} id 1; {p['at']}"


@pytest.mark.parametrize(
    "content, code, weight, because",
    [
        (message("Subject: again"), "doubled", Weight.ALARM, "RFC 5322 §3.6: at most once"),
        (message("List-Id: <a.test>", "List-Id: <b.test>"), "doubled", Weight.WARNING, "RFC 2919: at most once"),
        (message(Date=None), "no-date", Weight.WARNING, "it must be there"),
        (message(From=None), "no-from", Weight.ALARM, "it must be there"),
        (message(Message_ID=None), "no-message-id", Weight.NOTE, "it should be there"),
        (message(Return_Path="<x@relay.test>"), "envelope-differs", Weight.NOTE, "SPF speaks of another domain"),
        (message(DKIM_Signature="v=1; d=relay.test; b=y"), "signed-by-another", Weight.WARNING, "no alignment"),
        (message(DKIM_Signature=None), "unsigned", Weight.NOTE, "nobody vouches"),
        (message(To="list@lists.test"), "to-differs", Weight.NOTE, "the envelope's recipient is another"),
        (message("Delivered-To: carl@b.test"), "to-differs", Weight.NOTE, "as the last server noted it"),
        (message("Reply-To: eve@evil.test"), "reply-to-elsewhere", Weight.WARNING, "answers go to a stranger"),
        (message("Reply-To: x@y.test", "List-Id: <a.b>"), "reply-to-elsewhere", Weight.NOTE, "lists do that"),
        (message(From='"ceo@bank.test" <ann@a.test>'), "address-in-name", Weight.ALARM, "the name is a lie"),
        (message(From="=?utf-8?q?ceo=40bank.test?= <ann@a.test>"), "address-in-name", Weight.ALARM, "encoded, too"),
        (message(From="nobody"), "from-unreadable", Weight.ALARM, "no address"),
        (message(From="a@a.test, b@a.test"), "several-authors", Weight.WARNING, "RFC 5322 §3.6.2: Sender is needed"),
        (message(Received=received(name="pool.isp.test")), "helo-differs", Weight.NOTE, "HELO is a claim"),
        (message(Received=received(name="unknown", ip="203.0.113.99")), "no-reverse-name", Weight.NOTE, "no PTR"),
        (message(Received=received(how="ESMTP")), "unencrypted", Weight.NOTE, "no TLS"),
        (message(BOTTOM.format("11:00:00")), "clock", Weight.WARNING, "time runs backwards"),
        (message(BOTTOM.format("08:00:00")), "delay", Weight.NOTE, "two hours"),
        (message(BOTTOM.replace("12 Mar", "10 Mar").format("08:00:00")), "delay", Weight.WARNING, "two days"),
        (message(BOTTOM.format("10:00:01")), "misplaced-received", Weight.WARNING, "below the author's fields"),
        (message(Received=received(at="soon")), "hop-without-date", Weight.NOTE, "no time"),
        (message(Received=received(at="12 Mar 24 10:00:05 GMT")), "odd-date", Weight.NOTE, "an old form"),
        (message(Date="yesterday"), "date-unreadable", Weight.WARNING, "no date"),
        (message(Date="Wed, 13 Mar 2024 10:00:00 +0000"), "date-in-future", Weight.WARNING, "sent before written"),
        (message(Date="Fri, 01 Mar 2024 10:00:00 +0000"), "date-in-past", Weight.NOTE, "days before"),
        (message(*[BOTTOM.format("10:00:00")] * 31), "many-hops", Weight.WARNING, "RFC 5321 §6.3"),
        (
            message(BOTTOM.format("10:00:01"), f"Received: {received(at='Tue, 12 Mar 2024 10:00:00 +0000')}"),
            "came-back", Weight.WARNING, "mx.b had it twice, with mx.a between",
        ),
        (message("Delivered-To: bob@b.test", "Delivered-To: bob@b.test"), "delivered-twice", Weight.WARNING, "a loop"),
        (message(f"Received: {received(by='mx.bank.test')}"), "broken-chain", Weight.WARNING, "mx.a.test came next"),
        (message(f"Received: {received()}"), "our-name-below", Weight.WARNING, "our name, from a stranger"),
        (
            message(BOTTOM.format("10:00:01"), "Authentication-Results: mx.b.test; spf=pass"),
            "results-forged", Weight.ALARM, "our own name where we cannot write",
        ),
        (message("Authentication-Results: mx.b.test; spf=pass"), "results-doubtful", Weight.NOTE, "Gmail's place"),
        (message("Authentication-Results: mx.c.test; spf=pass"), "results-foreign", Weight.NOTE, "not ours"),
        (b"X-Spam-Flag: YES\r\n" + message(), "spam", Weight.WARNING, "our own filter"),
        (message("X-Spam-Flag: NO"), "clean-by-own-word", Weight.NOTE, "anybody can write that"),
        (message("Bcc: eve@a.test"), "bcc", Weight.WARNING, "a secret told"),
        (message(Return_Path="<>"), "null-sender", Weight.NOTE, "a report"),
        (message("X: a\rb"), "bare-cr", Weight.ALARM, "RFC 5321 §2.3.8"),
        (message("X: a\n b"), "bare-lf", Weight.WARNING, "RFC 5321 §2.3.8"),
        (message("X: a\0b"), "nul", Weight.ALARM, "some stop there"),
        (message("X: é"), "utf-8", Weight.NOTE, "RFC 6532"),
        (message() .replace(b"hello", b"h\xe9llo"), "8-bit", Weight.WARNING, "no UTF-8"),
        (message(f"X: {'a' * 998}"), "long-line", Weight.WARNING, "RFC 5322 §2.1.1"),
        (message(*["X: " + "a" * 70] * 1001), "large-header", Weight.WARNING, "64 KB"),
        (message(*["X: a"] * 1001), "many-fields", Weight.WARNING, "a thousand"),
        (message("no field at all"), "broken-end", Weight.WARNING, "RFC 5322 §2.1"),
        (message("X : a"), "blank-before-colon", Weight.NOTE, "RFC 5322 §4.5"),
        (message(Subject="pay \u202egnp"), "hidden-letters", Weight.WARNING, "turned letters"),
        (message(Subject="=?utf-8?b?4oCu?="), "hidden-letters", Weight.WARNING, "encoded, too"),
    ],
)  # fmt: skip
def test_finding(content: bytes, code: str, weight: Weight, because: str) -> None:
    found = {each.code: each for each in dissect(content).findings}
    assert code in found and found[code].weight is weight, (because, sorted(found))
    each = found[code]
    assert each.words.isprintable() and each.remedy.endswith(".")


@pytest.mark.parametrize(
    "content, code, because",
    [
        (message(Return_Path="<bounce@mail.a.test>"), "envelope-differs", "a host below the same name"),
        (message(DKIM_Signature="v=1; d=mail.a.test; b=y"), "signed-by-another", "relaxed alignment, most likely"),
        (message(From='"ann@a.test" <ann@a.test>'), "address-in-name", "the same address"),
        (message("Reply-To: help@a.test"), "reply-to-elsewhere", "the same domain"),
        (message("Delivered-To: BOB@b.test"), "to-differs", "case is nothing here"),
        (message("Resent-To: x@b.test", "Delivered-To: x@b.test"), "to-differs", "it was resent to that one"),
        (message(Received=received(how="ESMTP", ip="127.0.0.1")), "unencrypted", "the same host"),
        (message(Received=received(helo="[192.0.2.1]", name="a.isp.test")), "helo-differs", "a literal is no name"),
        (message().replace(b"\r\n", b"\n"), "bare-lf", "a stored file has LF alone"),
        (message("X-Spam-Flag: YES"), "spam", "a stranger's word is not ours"),
        (b"Authentication-Results: mx.b.test; spf=pass\r\n" + message(), "results-forged", "our server's place"),
    ],
)  # fmt: skip
def test_no_finding(content: bytes, code: str, because: str) -> None:
    assert code not in codes(content), because


def test_the_heaviest_come_first_and_name_few_fields() -> None:
    found = dissect(message(*["Subject: again"] * 500, From=None)).findings
    weights = [Weight.ALARM, Weight.WARNING, Weight.NOTE]
    assert [weights.index(each.weight) for each in found] == sorted(
        weights.index(each.weight) for each in found
    )
    (doubled,) = [each for each in found if each.code == "doubled"]
    assert "501 times" in doubled.words and len(doubled.fields) == 100

"""The Received field, as Exim's default received_header_text writes it (tests/oracles compares with the real one)."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message, is_canonical
from labkit.smtp.trace_fields import received_field

AT = datetime(2026, 11, 22, 23, 6, 37, tzinfo=timezone.utc)


def field(
    sender: str, *recipients: str, client: str = "127.0.7.77", helo: str = "client.test", login: str = ""
) -> str:
    return received_field(
        client_address=client,
        helo_name=helo,
        by="mx.st1.sne.test",
        software="Exim 4.96",
        protocol="esmtp" if client else "local",
        envelope=Envelope.of(sender, *recipients),
        queue_id="1xVGdp-0000LT-0M",
        at=AT,
        login=login,
    ).raw.decode()


def test_as_seen_on_exim() -> None:
    assert field("ivan@gmail.test", "st1@st1.sne.test") == (
        "Received: from [127.0.7.77] (helo=client.test)\r\n"
        "\tby mx.st1.sne.test with esmtp (Exim 4.96)\r\n"
        "\t(envelope-from <ivan@gmail.test>)\r\n"
        "\tid 1xVGdp-0000LT-0M\r\n"
        "\tfor st1@st1.sne.test;\r\n"
        "\tSun, 22 Nov 2026 23:06:37 +0000\r\n"
    )


@pytest.mark.parametrize(
    "made, lines, because",
    [
        (field("a@b", "c@d", helo=""), {0: "from [127.0.7.77]"}, "no name given"),
        (
            field("a@b", "c@d", helo="[127.0.7.77]"),
            {0: "from [127.0.7.77]"},
            "the address as a name says nothing new",
        ),
        (
            field("a@b", "c@d", helo="[127.0.7.7]"),
            {0: "from [127.0.7.77] (helo=[127.0.7.7])"},
            "another does",
        ),
        (field("", "c@d"), {2: "id 1xVGdp-0000LT-0M", 3: "for c@d;"}, "the null path is not shown"),
        (
            field("a@b", "c@d", "e@f"),
            {3: "id 1xVGdp-0000LT-0M;"},
            "RFC 5321 §7.6: it must not tell the others",
        ),
        (field("a@b", "c@d", "c@d"), {3: "id 1xVGdp-0000LT-0M;"}, "as Exim counts: twice is two"),
        (field("a@b", '"x y"@D'), {4: 'for "x y"@D;'}, "as the envelope has it"),
        (
            field("a@b", "c@d", client="", helo="", login="ann"),
            {0: "from ann by mx.st1.sne.test with local (Exim 4.96)", 1: "(envelope-from <a@b>)"},
            "from a local user, in one line",
        ),
        (
            field("", "c@d", client="", helo="", login="exim"),
            {0: "from exim by mx.st1.sne.test with local (Exim 4.96)", 1: "id 1xVGdp-0000LT-0M"},
            "a report",
        ),
    ],
)
def test_parts(made: str, lines: dict[int, str], because: str) -> None:
    found = made.removeprefix("Received: ").removesuffix("\r\n").split("\r\n\t")
    assert {index: found[index] for index in lines} == lines, because
    assert found[-1] == "Sun, 22 Nov 2026 23:06:37 +0000"
    assert found[-2].endswith(";"), "RFC 5321 §4.4: the date is behind a semicolon"


addresses = st.builds(Mailbox, st.text(st.characters(min_codepoint=32, max_codepoint=126)), st.just("b.test"))


@settings(deadline=None)
@given(st.none() | addresses, st.lists(addresses, min_size=1, max_size=3).map(tuple))
def test_it_is_always_one_field(sender: Mailbox | None, recipients: tuple[Mailbox, ...]) -> None:
    made = received_field(
        client_address="192.0.2.1",
        helo_name="x",
        by="mx",
        software="labkit",
        protocol="smtp",
        envelope=Envelope(sender, recipients),
        queue_id="1",
        at=AT,
    )
    message = Message.parse(made.raw + b"\r\n")
    assert message.header_fields == (made,)
    assert is_canonical(made.raw)


def test_nothing_is_smuggled() -> None:
    with pytest.raises(ValueError, match="line end"):
        field("a@b", "c@d", helo="x\r\nBcc: eve@b.test")

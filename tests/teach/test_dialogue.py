"""The dialogue player's static forms, its steps, and typing to the real server machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from labkit.mail import reply
from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.smtp.client import Client
from labkit.smtp.decisions import Connected, Decision, Limits, MessageReceived, RcptTo
from labkit.smtp.pair import Exchange, converse
from labkit.smtp.server import Server
from labkit.smtp.states import State, Step
from labkit.teach.conversation import HEARD_BANNER, Conversation, MachineSession, in_step
from labkit.teach.views import dialogue
from labkit.teach.views.dialogue import Dialogue, suggestions

MX = "mx.b.test"
CONTENT = b"From: Ann <ann@a.test>\r\nSubject: Hello\r\n\r\nDear Bob,\r\n.dots\r\n"


def decide(decision: Decision) -> Reply | None:
    match decision:
        case Connected():
            return Reply(220, (f"{MX} ESMTP",))
        case RcptTo(forward_path=path) if path.domain != "b.test":
            return Reply(550, ("relay not permitted",))
        case MessageReceived():
            return reply.received("1tFqXa-0000-01")
    return None


async def decide_later(decision: Decision) -> Reply | None:
    await asyncio.sleep(0)
    return decide(decision)


def new_server(**options: Any) -> Server:
    return Server(MX, "203.0.113.25", **options)


def recorded(*, pipelining: bool = False) -> list[Exchange]:
    client, server = Client("a.test", pipelining=pipelining), new_server()
    said = converse(client, server, decide)
    client.send(Envelope.of("ann@a.test", "bob@b.test", "carol@c.test"), CONTENT)
    said += converse(client, server, decide)
    client.quit()
    return said + converse(client, server, decide)


def player(exchanges: Sequence[Exchange] = (), session: Any = None) -> Dialogue:
    return Dialogue(Conversation("a.test", MX, exchanges, session))


def typing(**options: Any) -> Dialogue:
    return player(session=MachineSession(new_server(**options), decide))


def type_all(view: Dialogue, *lines: str) -> list[str]:
    """Type these lines; what the server said to each (its first line)."""

    async def go() -> list[str]:
        return [next((e.text for e in await view.type(line) if e.speaker == "S"), "") for line in lines]

    return asyncio.run(go())


# --- the static forms -----------------------------------------------------------------------------

TEXT = """\
SMTP: a.test (C) talks to mx.b.test (S)
  1  S: 220 mx.b.test ESMTP
  2  C: EHLO a.test
  3  S: 250-mx.b.test Hello a.test [203.0.113.25]
  4  S: 250-SIZE 52428800
  5  S: 250-8BITMIME
  6  S: 250-PIPELINING
  7  S: 250 HELP
  8  C: MAIL FROM:<ann@a.test> SIZE=60
  9  S: 250 OK
 10  C: RCPT TO:<bob@b.test>
 11  S: 250 Accepted
 12  C: RCPT TO:<carol@c.test>
 13  S: 550 relay not permitted
 14  C: DATA
 15  S: 354 Enter message, ending with "." on a line by itself
 16  C: From: Ann <ann@a.test>
     C: Subject: Hello
     C:
     C: Dear Bob,
     C: ..dots
 17  C: .
 18  S: 250 OK id=1tFqXa-0000-01
 19  C: QUIT
 20  S: 221 mx.b.test closing connection"""


def test_text() -> None:
    assert player(recorded()).text() == TEXT
    assert repr(player(recorded())) == TEXT


def test_text_explained() -> None:
    text = player(recorded()).text(explained=True)
    assert "soon full of spam. [RFC 5321 §3.6.2]" in text
    assert " 18  S: 250 OK id=1tFqXa-0000-01\n       The server has taken responsibility" in text
    assert "       server: ready for a mail transaction; client: between two messages\n 19" in text
    assert "one more dot before every line" in text, "the message has a line with a dot in front"


def test_html_says_the_same() -> None:
    html = str(player(recorded()).html())
    assert html.count("<tr>") == 21
    for words in (
        "<code>RCPT TO:&lt;bob@b.test&gt;</code>",
        "RFC 5321 §3.6.2",
        "Subject: Hello\n\nDear Bob,",
    ):
        assert words in html
    assert "text-align:left" in html


def test_nothing_said_yet() -> None:
    assert "nothing has been said yet" in player().text()
    assert "Nothing has been said yet" in str(player().html())


def test_displays_live_and_static_and_the_same_each_time() -> None:
    view = player(recorded())
    data, _ = view._repr_mimebundle_()
    again, _ = player(recorded())._repr_mimebundle_()
    assert data["text/plain"] == again["text/plain"] == TEXT
    assert data["text/html"] == again["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "0x" not in data["text/plain"] + data["text/html"] + repr(view.conversation)
    assert view.widget is view.widget
    assert json.dumps(view.widget.state) == json.dumps(view.state())


def test_hostile_lines_are_text() -> None:
    lines = [
        "220 <img src=x onerror=y>",
        "250 </script>",
        "250 \u202egnp.exe",
        "250 " + "a" * 100_000,
        "250 \x1b[2J",
    ]
    view = player([Exchange("S", line, "<i>", "<i>") for line in lines])
    for form in (view.text(), str(view.html()), json.dumps(view.state())):
        assert "\u202e" not in form
        assert "\x1b" not in form
        assert "u202egnp.exe" in form
        assert "more characters]" in form
        assert len(form) < 20_000
    assert "<img" not in str(view.html())
    assert "</script>" not in str(view.html())


def test_too_many_lines_lose_their_middle() -> None:
    view = player([Exchange("S", f"250 {number}", "", "") for number in range(10_000)])
    entries = view.entries()
    assert len(entries) == dialogue.MOST_STEPS + 1
    assert entries[0].lines == ("250 0",)
    assert entries[-1].lines == ("250 9999",)
    assert "(9,600 lines are left out here)" in view.text()


def test_a_long_message_is_one_step() -> None:
    content = [Exchange("C", f"line {number}", "", "") for number in range(5_000)]
    begin = [Exchange("C", "DATA", "", ""), Exchange("S", "354 go", "", "")]
    entries = player([*begin, *content, Exchange("C", ".", "", "")]).entries()
    assert len(entries) == 4
    assert entries[2].is_message
    assert entries[2].lines[-1] == "[and 4,970 more lines]"


def test_a_message_that_a_machine_only_counted() -> None:
    begin = [Exchange("C", "DATA", "", ""), Exchange("S", "354 go", "", "")]
    counted = Exchange("C", "(5120 octets of message, then a dot)", "", "")
    entries = player([*begin, counted, Exchange("S", "250 OK id=x-1", "", "")]).entries()
    assert "5,120 bytes" in entries[2].words
    assert "responsibility" in entries[3].words


def test_a_reply_has_its_verdict_once() -> None:
    entries = player(recorded()).entries()
    assert [entry.verdict for entry in entries[2:7]] == ["yes", "", "", "", ""]
    assert [entry.goes_on for entry in entries[2:7]] == [True, True, True, True, False]
    assert entries[12].verdict == "no"
    assert entries[14].verdict == "go on"


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipelining", [False, True])
def test_a_state_shows_with_the_words_it_belongs_to(pipelining: bool) -> None:
    said = in_step(recorded(pipelining=pipelining))
    assert [(line.speaker, line.text) for line in said] == [
        (line.speaker, line.text) for line in recorded(pipelining=pipelining)
    ]
    assert said[0].client == Step.BANNER.value, "EHLO is not on the wire yet"
    assert said[1].client == Step.EHLO.value
    quit_line = next(line for line in said if line.text == "QUIT")
    assert quit_line.server == State.READY.value, "the server has not answered yet"
    assert in_step(said) == said


def test_a_side_that_does_not_tell_changes_nothing() -> None:
    view = player(
        [Exchange("S", "220 x", "", State.GREETED.value), Exchange("C", "QUIT", "", State.GREETED.value)]
    )
    assert "client:" not in view.text(explained=True)


# --- typing ---------------------------------------------------------------------------------------


def test_a_message_typed_by_hand() -> None:
    view = typing()
    answers = type_all(
        view,
        "EHLO you.test",
        "MAIL FROM:<ann@a.test>",
        "RCPT TO:<carol@c.test>",
        "RCPT TO:<bob@b.test>",
        "DATA",
        "Subject: by hand",
        "",
        "..one dot",
        ".",
        "QUIT",
    )
    assert answers == [
        "250-mx.b.test Hello you.test [203.0.113.25]",
        "250 OK",
        "550 relay not permitted",
        "250 Accepted",
        '354 Enter message, ending with "." on a line by itself',
        "",
        "",
        "",
        "250 OK id=1tFqXa-0000-01",
        "221 mx.b.test closing connection",
    ]
    entries = view.entries()
    assert entries[0].lines == ("220 mx.b.test ESMTP",), "it has connected by itself"
    message = next(entry for entry in entries if entry.is_message)
    assert message.lines == ("Subject: by hand", "", "..one dot")
    assert entries[-1].server == State.CLOSED.value
    assert entries[-1].client == Step.CLOSED.value


def test_wrong_commands_are_answered_by_the_machine() -> None:
    view = typing()
    assert type_all(typing(), "FROB") == ["500 unrecognized command"]
    answers = type_all(view, "RCPT TO:<bob@b.test>", "EHLO", "HELO a b", "DATA", "NOOP")
    assert answers == [
        "503 sender not yet given",
        "501 Syntactically invalid EHLO argument(s)",
        "501 Syntactically invalid HELO argument(s)",
        "503-All RCPT commands were rejected with this error:",
        "250 OK",
    ], "three mistakes are free; at the fourth the server hangs up, and NOOP begins a new connection"
    assert "S: 503 Too many syntax or protocol errors" in view.text()
    assert "(a new connection to mx.b.test)" in view.text()
    assert view.entries()[-1].lines == ("250 OK",)


def test_where_somebody_stands_who_types() -> None:
    async def go() -> list[str]:
        session = MachineSession(new_server(), decide)
        stood = [(await session.connect())[-1].client]
        for line in ("EHLO a.test", "NOOP", "RCPT TO:<bob@b.test>", "MAIL FROM:<ann@a.test>", "FROB"):
            stood.append((await session.type(line))[-1].client)
        return stood

    idle, mail = Step.IDLE.value, Step.MAIL.value
    assert asyncio.run(go()) == [HEARD_BANNER, idle, idle, idle, mail, mail]


def test_decisions_may_take_their_time() -> None:
    view = player(session=MachineSession(new_server(), decide_later))
    assert (
        type_all(view, "EHLO a.test", "MAIL FROM:<ann@a.test>", "RCPT TO:<x@c.test>")[-1]
        == "550 relay not permitted"
    )


def test_a_session_goes_on_where_the_machine_stands() -> None:
    client, server = Client("a.test"), new_server()
    said = converse(client, server, decide)
    view = player(said, MachineSession(server, decide))
    assert type_all(view, "NOOP") == ["250 OK"]
    assert "new connection" not in view.text()


def test_connecting_again_makes_a_server_like_the_first() -> None:
    limits = Limits(recipients=1)
    session = MachineSession(new_server(limits=limits), decide)
    view = player(session=session)
    lines = ("EHLO a.test", "MAIL FROM:<a@a.test>", "RCPT TO:<bob@b.test>", "RCPT TO:<rob@b.test>")
    assert type_all(view, *lines)[-1] == "452 too many recipients"
    asyncio.run(view.connect())
    assert type_all(view, *lines)[-1] == "452 too many recipients"


@pytest.mark.parametrize("text", ["NOOP\r\nQUIT", "a\nb", "\r"])
def test_one_line_at_a_time(text: str) -> None:
    with pytest.raises(ValueError, match="one line at a time"):
        type_all(typing(), text)


def test_odd_bytes_are_sent_and_shown() -> None:
    view = typing()
    assert type_all(view, "EHLO \u202eä", "VRFY \ud800") == [
        "501 Syntactically invalid EHLO argument(s)",
        "252 Administrative prohibition",
    ]
    assert r"C: EHLO \xe2\x80\xae\xc3\xa4" in view.text()


def test_without_a_session_nothing_is_typed() -> None:
    with pytest.raises(ValueError, match="no session"):
        type_all(player(recorded()), "NOOP")
    assert player(recorded()).state()["typing"] is None


def test_a_closed_session_says_so() -> None:
    async def go() -> None:
        session = MachineSession(new_server(), decide)
        assert not session.is_open
        with pytest.raises(RuntimeError, match="connect first"):
            await session.type("NOOP")
        await session.connect()
        assert session.is_open
        await session.type("QUIT")
        assert not session.is_open

    asyncio.run(go())


# --- what the browser hears and says ----------------------------------------------------------------


def says(view: Dialogue, message: Any) -> Any:
    """The browser sends a message; the widget afterwards."""
    widget = view.widget
    view._on_message(widget, message, [])
    return widget


def test_the_browser_types_without_a_loop() -> None:
    view = typing()
    widget = says(view, {"ask": "connect"})
    assert widget.state["focus"] == 1
    widget = says(view, {"ask": "type", "text": "EHLO a.test"})
    assert widget.state["focus"] == 3, "the first line of the answer"
    assert widget.turn == 2
    assert widget.problem == ""


def test_the_browser_types_on_the_loop_of_the_cell() -> None:
    async def go() -> None:
        view = player(session=MachineSession(new_server(), decide_later))
        widget = says(view, {"ask": "connect"})
        says(view, {"ask": "type", "text": "EHLO a.test"})
        assert widget.turn == 0, "the work is only scheduled"
        while widget.turn < 2:
            await asyncio.sleep(0)
        assert len(widget.state["entries"]) == 7

    asyncio.run(go())


def test_the_browser_types_from_another_thread() -> None:
    """ipykernel hands messages to a thread of its own while a cell runs; the lab lives on the cell's loop."""

    async def go() -> None:
        here: list[bool] = []
        loop = asyncio.get_running_loop()

        def decide_here(decision: Decision) -> Reply | None:
            here.append(asyncio.get_running_loop() is loop)
            return decide(decision)

        view = player(session=MachineSession(new_server(), decide_here))
        widget = view.widget
        await asyncio.to_thread(view._on_message, widget, {"ask": "connect"}, [])
        while not widget.turn:
            await asyncio.sleep(0)
        assert here == [True]

    asyncio.run(go())


@pytest.mark.parametrize(
    "message", [{}, {"ask": "type"}, {"ask": "type", "text": 7}, {"ask": "rm -rf"}, "x", None, []]
)
def test_nonsense_from_the_browser_is_a_problem_shown(message: Any) -> None:
    widget = says(typing(), message)
    assert widget.problem == "ValueError: the player does not know this message"
    assert widget.turn == 1


def test_problems_of_the_kernel_are_inert_text() -> None:
    class Broken:
        is_open = True

        async def connect(self) -> Sequence[Exchange]:
            return ()

        async def type(self, text: str) -> Sequence[Exchange]:
            raise OSError("\u202e<b>" + "x" * 10_000)

    widget = says(player(session=Broken()), {"ask": "type", "text": "NOOP"})
    assert widget.problem.startswith("OSError: \\u202e<b>xxx")
    assert len(widget.problem) < 600
    assert says(player(session=Broken()), {"ask": "connect"}).problem == ""


@pytest.mark.parametrize(
    "state, labels, because",
    [
        (State.GREETED, ["EHLO a.test", "QUIT"], "who are you?"),
        (State.READY, ["MAIL FROM:<…>", "QUIT"], "a transaction"),
        (State.MAIL, ["RCPT TO:<…>", "RSET", "QUIT"], "DATA would be refused"),
        (State.RCPT, ["RCPT TO:<…>", "DATA", "RSET", "QUIT"], "one more, or the message"),
        (State.CONTENT, ["Subject: ", "an empty line", "."], "no commands inside a message"),
        (State.CLOSED, [], "nobody listens"),
    ],
)
def test_suggestions_follow_the_servers_table(state: State, labels: list[str], because: str) -> None:
    assert [chip["label"] for chip in suggestions(state.value, "a.test")] == labels, because


def test_suggestions_leave_the_caret_where_one_types() -> None:
    chip = next(chip for chip in suggestions(State.READY.value, "a.test") if "MAIL" in chip["label"])
    assert chip["text"][: chip["caret"]] == "MAIL FROM:<"
    assert suggestions("a state of somebody else's server", "a.test") == []

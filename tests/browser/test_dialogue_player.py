"""The dialogue player in JupyterLab: by mouse, by keyboard, in both themes, with hostile mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.smtp.pair import Exchange
from labkit.teach.conversation import Conversation
from labkit.teach.show import show

SETUP = r"""
import threading
from labkit.mail import reply
from labkit.mail.envelope import Envelope
from labkit.mail.message import with_crlf
from labkit.mail.reply import Reply
from labkit.smtp.client import Client
from labkit.smtp.pair import Exchange, converse
from labkit.smtp.decisions import Connected, MessageReceived, RcptTo
from labkit.smtp.server import Server
from labkit.teach.conversation import Conversation, MachineSession
from labkit.teach.show import show
from labkit.teach.views import dialogue

MX = "mx2.st11.sne21.test"

def new_server():
    return Server(MX, "203.0.113.25")

def decide(decision):
    assert threading.current_thread() is threading.main_thread()  # where the lab lives
    match decision:
        case Connected():
            return Reply(220, (f"{MX} ESMTP Exim 4.96",))
        case RcptTo(forward_path=path) if path.domain != "st11.sne21.test":
            return Reply(550, ("relay not permitted",))
        case MessageReceived():
            return reply.received("1tFqXa-0000-01")

def talk():
    client, server = Client("bigmail.test", pipelining=False), new_server()
    said = converse(client, server, decide)
    client.send(Envelope.of("ann@bigmail.test", "ivan@st11.sne21.test", "bob@elsewhere.test"), with_crlf(b'''\
From: Ann <ann@bigmail.test>
To: Ivan <ivan@st11.sne21.test>
Subject: Hello

Dear Ivan,
... and so on.
'''))
    said += converse(client, server, decide)
    return client, server, said

client, server, said = talk()
client.quit()
said += converse(client, server, decide)
"""
PLAYER = 'show(Conversation("bigmail.test", MX, said, MachineSession(new_server(), decide)))'
GOES_ON = """
_, server, begun = talk()
show(Conversation("bigmail.test", MX, begun, MachineSession(server, decide)), line=13)
"""
HOSTILE = r"""
image, script = '<img src="x" onerror="window.hacked = 1">', "</script><script>window.hacked = 1</script>"
class Broken:
    is_open = True
    async def connect(self): return []
    async def type(self, text): raise ValueError(f"{image} said no to {text}")
lines = [f"220 {image}", f"250 {script}", "250 \u202egnp.exe\u200b", "250 " + "a" * 100_000]
lines += [f"250 {number}" for number in range(10_000)]
show(Conversation(image, script, [Exchange("S", line, image, script) for line in lines], Broken()))
"""


class Player:
    """One player on the page, by its roles and labels, as somebody finds it who uses it."""

    def __init__(self, desk: Any, which: int) -> None:
        self.desk = desk
        self.root = desk.page.locator("[data-labkit=dialogue]").nth(which)
        self.log = self.root.get_by_role("listbox")
        self.input = self.root.get_by_label(re.compile("^You are the client"))
        self.why = self.root.locator(".lk-why")

    def press(self, button: str) -> None:
        self.root.get_by_role("button", name=button).click()

    def key(self, *keys: str) -> None:
        for key in keys:
            self.desk.page.keyboard.press(key)

    def is_at(self, line: int, of: int) -> None:
        self.root.get_by_text(f"{line} / {of}", exact=True).wait_for(timeout=10_000)

    def current(self) -> str:
        text: str = self.root.get_by_role("option", selected=True).locator(".lk-said").inner_text()
        return text

    def message(self) -> list[str]:
        lines: list[str] = (
            self.root.get_by_role("option", selected=True).locator(".lk-said > div").all_text_contents()
        )
        return lines

    def state(self, side: str) -> str:
        text: str = self.root.get_by_role("group", name=side, exact=True).locator(".lk-knows").inner_text()
        return " ".join(text.split())

    def type(self, text: str) -> None:
        self.input.fill(text)
        self.key("Enter")


@pytest.fixture(scope="module")
def desk(open_notebook: Callable[..., Any]) -> Iterator[Any]:
    desk = open_notebook("player.ipynb", [SETUP, PLAYER, HOSTILE, GOES_ON, "len(said)"])
    desk.run_all()
    return desk


@pytest.fixture
def player(desk: Any) -> Player:
    """The player of the whole conversation, at its first line."""
    player = Player(desk, 0)
    player.root.scroll_into_view_if_needed()
    player.log.focus()
    player.key("Home")
    return player


def test_steps_by_mouse(player: Player) -> None:
    player.is_at(1, 20)
    assert player.current().startswith("220 mx2")
    assert player.log.get_by_role("option").count() == 1, "what was not said yet is not to be seen"
    player.press("Next")
    player.is_at(2, 20)
    assert player.current() == "EHLO bigmail.test"
    assert player.state("client") == "new state said EHLO"
    assert "who it is: bigmail.test" in player.why.inner_text()
    assert "RFC 5321 §4.1.1.1" in player.why.inner_text()
    player.press("Back")
    player.is_at(1, 20)
    player.press("To the end")
    player.is_at(20, 20)
    assert player.state("server") == "new state over"
    player.log.get_by_text("550 relay not permitted").click()
    player.is_at(13, 20)
    assert "open relay" in player.why.inner_text()
    assert player.root.get_by_role("option", selected=True).get_by_text("no", exact=True).is_visible()
    player.root.get_by_role("slider").fill("16")
    assert player.message() == [
        "From: Ann <ann@bigmail.test>",
        "To: Ivan <ivan@st11.sne21.test>",
        "Subject: Hello",
        "",
        "Dear Ivan,",
        ".... and so on.",
    ]
    player.press("Start again")
    player.is_at(1, 20)
    assert player.log.get_by_role("option").count() == 1


def test_steps_by_keyboard(player: Player, desk: Any) -> None:
    cells = desk.page.locator(".jp-Cell")
    active = desk.page.locator(".jp-Cell.jp-mod-active").inner_text()
    before = cells.count()
    player.key("ArrowDown", "ArrowRight", "ArrowDown")
    player.is_at(4, 20)
    player.key("ArrowUp", "ArrowLeft")
    player.is_at(2, 20)
    player.key("End")
    player.is_at(20, 20)
    player.key("Home", "d", "d", "x", "b")  # JupyterLab would delete, cut and add cells
    player.is_at(1, 20)
    assert cells.count() == before
    assert desk.page.locator(".jp-Cell.jp-mod-active").inner_text()[:20] == active[:20]
    player.key("Tab", "Tab", "Tab")
    focused = desk.page.evaluate(
        "[document.activeElement.textContent, getComputedStyle(document.activeElement).outline]"
    )
    assert focused[0] == "Next"
    assert "solid 2px" in focused[1]
    player.key("Enter", "Space")
    player.is_at(3, 20)


def test_plays_only_when_asked(player: Player, desk: Any) -> None:
    desk.page.wait_for_timeout(600)
    player.is_at(1, 20)
    player.press("Play")
    player.is_at(2, 20)
    player.press("Pause")
    desk.page.wait_for_timeout(600)
    player.is_at(2, 20)


def test_roles_and_labels(player: Player, desk: Any) -> None:
    assert player.root.get_attribute("aria-label") == (
        "SMTP conversation between bigmail.test and mx2.st11.sne21.test"
    )
    assert player.log.get_attribute("aria-label")
    marked = player.log.get_attribute("aria-activedescendant")
    assert desk.page.locator(f"#{marked}").get_attribute("aria-selected") == "true"
    assert player.root.get_by_role("status").first.get_attribute("aria-live") == "polite"
    assert player.root.get_by_role("slider").get_attribute("aria-valuetext") == "line 1 of 20"
    nameless = player.root.locator("button, input, [role]").evaluate_all(
        """(all) => all.filter((node) => !["presentation", "alert", "status"].includes(node.getAttribute("role"))
            && !(node.ariaLabel || node.labels?.length || node.textContent.trim())).map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_types_commands(player: Player, desk: Any) -> None:
    player.press("Connect to mx2.st11.sne21.test")
    player.is_at(22, 22)
    assert player.current().startswith("220 mx2")
    player.root.get_by_role("button", name="EHLO bigmail.test").click()  # a suggestion fills the input
    assert player.input.input_value() == "EHLO bigmail.test"
    player.key("Enter")
    player.is_at(24, 28)
    assert player.state("server") == "new state ready for a mail transaction"
    player.type("RCPT TO:<ivan@st11.sne21.test>")
    player.is_at(30, 30)
    assert player.current() == "503 sender not yet given"
    assert "MAIL) comes before" in player.why.inner_text()
    player.root.get_by_role("button", name="MAIL FROM:<…>").click()
    desk.page.keyboard.type("you@bigmail.test")  # the caret stands between the brackets
    player.key("Enter")
    player.is_at(32, 32)
    player.type("FROB <b>nicate</b>")
    player.is_at(34, 34)
    assert player.current() == "500 unrecognized command"
    player.key("ArrowUp", "ArrowUp", "ArrowUp")
    assert player.input.input_value() == "RCPT TO:<ivan@st11.sne21.test>"
    player.key("Enter")
    player.is_at(36, 36)
    player.type("DATA")
    player.is_at(38, 38)
    content = ["Subject: typed", "", "by hand"]
    for number, line in enumerate(content):
        player.type(line)
        player.root.get_by_role("option", selected=True).locator(".lk-said > div").nth(number).wait_for()
    player.is_at(39, 39)
    assert player.message() == content
    player.type(".")
    player.is_at(41, 41)
    assert "responsibility" in player.why.inner_text()
    assert player.log.locator("b").count() == 0
    player.type("QUIT")
    player.is_at(43, 43)
    player.root.get_by_role("button", name="Connect again").wait_for()
    assert player.input.is_hidden()


def test_pasted_lines_go_one_by_one(player: Player, desk: Any) -> None:
    player.press("Connect again")
    player.input.wait_for()
    player.input.evaluate(
        """(input) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "NOOP\\r\\nRSET\\n");
            input.focus();
            input.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    assert player.input.input_value() == "NOOP"
    assert "1 more" in player.root.locator(".lk-note").inner_text()
    player.key("Enter")
    player.root.get_by_text("The server is still there").wait_for()
    assert player.input.input_value() == "RSET"
    player.key("Enter")
    player.root.get_by_text("has forgotten the message").wait_for()
    player.type("QUIT")
    player.root.get_by_role("button", name="Connect again").wait_for()


def test_hostile_mail_is_text(desk: Any) -> None:
    player = Player(desk, 1)
    player.root.scroll_into_view_if_needed()
    player.press("To the end")
    player.is_at(401, 401)
    text = player.log.inner_text()
    assert '<img src="x" onerror=' in text
    assert "</script>" in text
    assert r"250 \u202egnp.exe\u200b" in text
    assert "more characters]" in text
    assert "lines are left out here" in text
    player.type("anything")
    alert = player.root.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == ('ValueError: <img src="x" onerror="window.hacked = 1"> said no to anything')
    assert player.root.locator("img, script, b, a").count() == 0
    assert desk.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str, desk: Any, shots: Callable[[str], Path]) -> None:
    desk.theme(theme)
    player = Player(desk, 2)  # opened at line 13, in the middle of a session
    player.root.scroll_into_view_if_needed()
    player.is_at(13, 18)
    assert player.current() == "550 relay not permitted"
    assert player.input.is_visible()
    desk.page.mouse.move(0, 0)
    player.root.screenshot(path=shots(f"dialogue-{theme}.png"))
    player.press("To the end")
    assert desk.low_contrast("[data-labkit=dialogue]") == []
    player.press("Start again")
    assert desk.low_contrast("[data-labkit=dialogue]") == []
    player.root.get_by_role("slider").fill("13")
    desk.page.evaluate("document.activeElement.blur()")


@pytest.mark.parametrize(
    "width, height, because",
    [(960, 700, "some 700 pixels for the notebook"), (640, 450, "1280 by 900 at 200 %")],
)
def test_fits(width: int, height: int, because: str, desk: Any) -> None:
    desk.page.set_viewport_size({"width": width, "height": height})
    player = Player(desk, 0)
    desk.page.wait_for_timeout(300)
    sticks_out = player.root.evaluate(
        """(root) => [...root.querySelectorAll("*")]
            .filter((node) => !node.closest(".lk-unseen"))
            .filter((node) => node.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
            .map((node) => node.className)"""
    )
    assert sticks_out == [], because


def test_before_anything_has_run(open_notebook: Callable[..., Any]) -> None:
    """A notebook as it is committed: stored outputs, not trusted, no kernel needed to read it."""
    said = [
        Exchange("S", "220 mx2.st11.sne21.test ESMTP Exim 4.96", "waiting for the banner", "banner sent"),
        Exchange("C", '<img src="x" onerror="window.hacked = 1">', "said EHLO", "banner sent"),
        Exchange("S", "500 unrecognized command", "said EHLO", "banner sent"),
    ]
    view = show(Conversation("bigmail.test", "mx2.st11.sne21.test", said))
    bundle = {"text/html": str(view.html()), "text/plain": view.text()}
    output = {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": bundle}
    desk = open_notebook(
        "stored.ipynb", [{"source": "show(said)", "execution_count": 1, "outputs": [output]}]
    )
    table = desk.page.locator(".jp-OutputArea-output table")
    table.wait_for()
    cells = table.get_by_role("cell").all_inner_texts()
    assert [text.splitlines()[0] for text in cells[4:8]] == [
        "2",
        "client",
        '<img src="x" onerror="window.hacked = 1">',
        "This is none of the commands of SMTP.",
    ]
    assert table.get_by_role("cell").first.evaluate("(cell) => getComputedStyle(cell).textAlign") == "left"
    assert desk.page.evaluate("window.hacked") is None

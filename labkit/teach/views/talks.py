"""The dialogue player for what a lab has: a message handed in, a session of a host, a session to type in.

READ NEXT  letters.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.lab.conversations import Conversation as Recorded
from labkit.lab.laptop import Sent
from labkit.lab.typing_session import LiveSession
from labkit.smtp.pair import Exchange
from labkit.smtp.states import State
from labkit.teach.conversation import Conversation, MachineSession
from labkit.teach.show import shows
from labkit.teach.views.dialogue import Dialogue


class LabSession(MachineSession):
    """Typing to a host of the lab: policy, spool and delivery are real."""

    def __init__(self, live: LiveSession) -> None:
        super().__init__(live.machine, live.decide)
        self._live = live

    async def connect(self) -> Sequence[Exchange]:
        if self._server.state is not State.CONNECTED:
            self._live.hang_up()
            self._live = self._live.again()
            self._server, self._decide = self._live.machine, self._live.decide
        return await super().connect()

    async def type(self, text: str) -> Sequence[Exchange]:
        said = await super().type(text)
        await self._live.settle()
        return said


@shows(Recorded)
def show_recorded(recorded: Recorded, *, line: int = 1) -> Dialogue:
    """A session a host had."""
    talk = Conversation(recorded.client_name, recorded.server_name, recorded.exchanges)
    return Dialogue(talk, line=line)


@shows(Sent)
def show_sent(sent: Sent, *, line: int = 1) -> Dialogue:
    """The conversation in which a laptop handed in a message."""
    return show_recorded(sent.conversation, line=line)


@shows(LiveSession)
def show_live(live: LiveSession) -> Dialogue:
    """A session to type in."""
    talk = Conversation(live.client_name, live.machine.host_name, session=LabSession(live))
    return Dialogue(talk)

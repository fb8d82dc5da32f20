"""One attempt of a sender: it calls, says what it has to say, and leaves, sooner or later.

WHAT       `await attempt(world, posting, source, …)` gives an `Attempt`: what the sender saw, how long, how much.
DOES       speaks through labkit's client machine; adds what decent clients do not do: it talks before the banner, and
           it hangs up when nothing was heard for some seconds of lab time.
RULES      waiting costs lab time: the server's pauses are entries of the agenda, so is the end of a sender's patience.
           A real Exim's own pauses are real time, of which one attempt may take REAL_PATIENCE.
READ NEXT  traffic.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from labkit.lab.traffic_plan import Posting
from labkit.lab.traffic_senders import Manner
from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.net.network import HostSilent
from labkit.smtp.client import Client
from labkit.smtp.states import Step

if TYPE_CHECKING:
    from labkit.lab.world import World

REAL_PATIENCE = 60.0  # seconds of real time for one attempt
_PHASES = {
    Step.BANNER: "connect", Step.EHLO: "helo", Step.HELO: "helo", Step.MAIL: "mail", Step.RCPT: "rcpt",
    Step.DATA: "data", Step.CONTENT: "content",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a sender saw of one connection. `phase` and `reply`: what decided; `hung_up`: it lost patience.

    `seconds` are lab time from the call to the end; octets are those of SMTP, in both directions.
    """

    at: datetime
    source: str
    seconds: float
    phase: str
    reply: Reply | None
    refusals: int  # recipients that were refused or put off
    hung_up: bool
    octets_in: int  # that the server took
    octets_out: int

    @property
    def is_accepted(self) -> bool:
        return self.phase == "content" and self.reply is not None and self.reply.is_positive

    @property
    def is_put_off(self) -> bool:
        """Worth another attempt: 4yz, or nothing at all was said."""
        return not self.hung_up and (self.reply is None or self.reply.is_transient)

    @property
    def queue_id(self) -> str:
        return self.reply.text.partition("id=")[2].split(" ")[0] if self.is_accepted and self.reply else ""


class Talk(asyncio.Protocol):
    """The connection of one attempt."""

    def __init__(
        self, machine: Client, mail: tuple[Envelope, bytes], talks_first: bool, now: Callable[[], datetime]
    ) -> None:
        self.machine = machine
        self.last_heard = now()
        self._now = now
        self.is_over = asyncio.Event()
        self.octets_in = self.octets_out = 0
        self._mail: tuple[Envelope, bytes] | None = mail
        self._talks_first = talks_first
        self._early = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._talks_first:  # as if the banner had come
            self.machine.receive(b"220 \r\n")
            self._go_on()

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._now()
        self.octets_out += len(data)
        if self._talks_first:
            self._early += data
            if not self._early.endswith(b"\n"):
                return
            data, self._talks_first = bytes(self._early), False
            if data.startswith(b"220"):  # the banner that it did not wait for
                data = data.partition(b"\n")[2]
        self.machine.receive(data)
        self._go_on()

    def _go_on(self) -> None:
        machine = self.machine
        if machine.is_idle and self._mail is not None:
            (envelope, content), self._mail = self._mail, None
            machine.send(envelope, content)
        elif machine.is_idle:
            machine.quit()
        if self._transport is None:
            return
        octets = machine.bytes_to_send()
        if octets:
            self.octets_in += len(octets)
            self._transport.write(octets)
        if machine.is_closed:
            self._transport.close()

    def eof_received(self) -> bool:
        self.machine.end("the server closed the connection")
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self.machine.end("the connection was lost")
        self._transport = None
        self.is_over.set()

    async def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        await self.is_over.wait()


async def attempt(world: World, posting: Posting, source: str, server: str) -> Attempt:
    """Call `server` once from `source`. It belongs on the agenda: lab time may pass meanwhile."""
    sender, begun = posting.sender, world.now()
    machine = Client(
        sender.name(sender.helo, source),
        pipelining=sender.manner.pipelines,
        extended=not sender.manner.talks_first,
    )
    envelope = Envelope.of(posting.mail_from, *posting.recipients)
    talk = Talk(machine, (envelope, posting.content), sender.manner.talks_first, world.now)
    try:
        await world.network.connect(source, server, 25, lambda: talk)
    except (ConnectionRefusedError, HostSilent):
        return Attempt(begun, source, 0.0, "connect", None, 0, False, 0, 0)
    watch = _Watch(world, talk, sender.manner)
    try:
        await asyncio.wait_for(talk.is_over.wait(), REAL_PATIENCE)
    except (TimeoutError, asyncio.TimeoutError):
        await talk.hang_up()
    finally:
        watch.end()
    phase, reply = _decided(machine)
    verdicts = machine.result.verdicts if machine.result is not None else ()
    return Attempt(
        begun,
        source,
        (world.now() - begun).total_seconds(),
        phase,
        reply,
        sum(1 for verdict in verdicts if verdict.step is Step.RCPT),
        watch.has_hung_up,
        talk.octets_in,
        talk.octets_out,
    )


def _decided(machine: Client) -> tuple[str, Reply | None]:
    """The reply that decided, and in which phase: the best that any recipient got."""
    if machine.result is not None and machine.result.verdicts:
        best = min(machine.result.verdicts, key=lambda verdict: verdict.reply.code)
        return _PHASES.get(best.step, best.step.value), best.reply
    if machine.refusal is not None:
        return ("connect" if machine.refused_at == "initial connection" else "helo"), machine.refusal
    if machine.refused_ehlo is not None:
        return "helo", machine.refused_ehlo
    last = machine.ended.reply if machine.ended is not None else None
    step = machine.ended.step if machine.ended is not None else machine.step
    return _PHASES.get(step, step.value), last


class _Watch:
    """The patience of a sender, in lab time: it looks again whenever it would be over."""

    def __init__(self, world: World, talk: Talk, manner: Manner) -> None:
        self.has_hung_up = False
        self._world, self._talk = world, talk
        self._patience = timedelta(seconds=manner.patience)
        self._wind_up()

    def _wind_up(self) -> None:
        instant = self._talk.last_heard + self._patience
        self._entry = self._world.at(instant, self._look, "a sender loses patience")

    async def _look(self) -> None:
        if self._talk.is_over.is_set():
            return
        if self._talk.last_heard + self._patience > self._world.now():
            self._wind_up()
        else:
            self.has_hung_up = True
            await self._talk.hang_up()

    def end(self) -> None:
        self._entry.cancel()

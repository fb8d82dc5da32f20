"""One MTA as a whole: start it, stop it, give it another configuration, look into its queue.

WHAT       `Mta`: what a host of the lab runs.
READ NEXT  the room lab
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.questions import Account
from labkit.mta.administration import Administration, Said
from labkit.mta.answers import AnswersDns
from labkit.mta.compiled import Compiled
from labkit.mta.fixups import completed
from labkit.mta.intake import Intake
from labkit.mta.outcomes import LOGIN as DAEMON
from labkit.mta.runner import QueueRun, Runner
from labkit.mta.server_tls import is_tls_port
from labkit.mta.session import Session
from labkit.mta.state import MtaState
from labkit.mta.surroundings import Surroundings
from labkit.net.network import Listener, Network, Peer
from labkit.net.spool import Spool
from labkit.queue.hints import Hints
from labkit.queue.item import QueueItem
from labkit.routing import Mode, Routed


class Mta:
    """A mail transfer agent.

    Arguments: `name` of the host; its lab `addresses`; the `compiled` configuration; `accounts` by name; `root`,
    the folder that is the host's file system; `queue_interval` between queue runs (None: no queue runner);
    `threaded`: whether the spool may have a writer thread; `spool` its folder, if it is not var/spool/exim of `root`.
    """

    def __init__(
        self,
        *,
        name: str,
        addresses: tuple[str, ...],
        compiled: Compiled,
        network: Network,
        resolver: AnswersDns,
        accounts: Mapping[str, Account] | None,
        root: Path,
        surroundings: Surroundings,
        queue_interval: timedelta | None = timedelta(minutes=15),
        threaded: bool = True,
        spool: Path | None = None,
    ) -> None:
        folder = spool or root / "var/spool/exim"
        self._open_spool: Callable[[], Spool] = lambda: Spool(folder, threaded=threaded)
        self.state = MtaState(
            name, addresses, compiled, network, resolver, accounts, root, self._open_spool(), surroundings
        )
        self.intake = Intake(self.state, self._received, self._turned)
        self.runner = Runner(self.state, self.intake, queue_interval)
        self.administration = Administration(self.state, self.runner)
        self._listeners: list[Listener] = []
        self._recover()

    def beside(
        self, name: str, addresses: tuple[str, ...], compiled: Compiled, surroundings: Surroundings
    ) -> Mta:
        """The same queue for work that is done under another configuration, or watched by somebody else."""
        other = copy(self)
        other.state = replace(
            self.state,
            name=name,
            addresses=addresses,
            compiled=compiled,
            surroundings=surroundings,
            is_running=True,
        )
        other.intake = Intake(other.state, other._received, other._turned)
        other.runner = Runner(other.state, other.intake, None)
        other.administration = Administration(other.state, other.runner)
        other._listeners = []
        return other

    def _recover(self) -> None:
        """Take up what an earlier life of this host left in the spool."""
        self.state.queue = {item.queue_id: item for item in self.state.spool.recover()}
        self.state.hints = Hints.from_text(self.state.spool.read_hints())

    def _received(self, queue_id: str, waits: bool) -> None:
        if self.state.is_running:
            self.runner.received(queue_id, waits=waits)
        else:
            self.state.show(queue_id)

    def _turned(self, text: str) -> None:
        """A client asks for its mail: what exim -R TEXT does."""

        async def run() -> None:
            await self.run_queue(part=text)  # the first one is forced

        now = self.state.surroundings.now()
        self.state.surroundings.at(now, run, f"{self.state.name} runs its queue for {text}")

    @property
    def is_running(self) -> bool:
        return self.state.is_running

    @property
    def ports(self) -> tuple[int, ...]:
        return self.state.compiled.configuration.main.ports("daemon_smtp_ports")

    @property
    def doors(self) -> tuple[tuple[int, bool], ...]:
        """Each port it listens at, and whether TLS begins there at once."""
        main = self.state.compiled.configuration.main
        return tuple((port, is_tls_port(main, port)) for port in self.ports)

    @property
    def _listening(self) -> str:
        """Where it listens, as Exim's log says it: the ports where TLS begins at once come last."""
        in_order = sorted(self.doors, key=lambda door: door[1])
        return f"listening on {', '.join(str(port) for port, _ in in_order)}"

    async def start(
        self, *, queue_only: bool | None = None, places: Sequence[tuple[str, int]] | None = None
    ) -> None:
        """Listen, and run the queue; with `queue_only` (exim -odq) new messages wait for the next queue run.

        `places`: addresses and ports to listen at, if not as the configuration says. Raises what Network.listen raises.
        """
        if self.state.is_running:
            return
        await self._listen(places)
        self.state.is_running = True
        self.runner.queue_only = True if queue_only else None
        self.state.note(EventKind.STARTED, text=self._listening)
        self.runner.start()

    async def listen_again(self, places: Sequence[tuple[str, int]] | None = None) -> None:
        """Close the doors and open those that the configuration names now. Raises what Network.listen raises."""
        if not self.state.is_running:
            return
        self._close_listeners()
        await self._listen(places)
        self.state.note(EventKind.STARTED, text=self._listening)

    async def _listen(self, places: Sequence[tuple[str, int]] | None) -> None:
        if places is None:
            places = [(address, port) for address in self.state.addresses for port in self.ports]
        main = self.state.compiled.configuration.main
        try:
            for address, port in places:
                accept, waits = partial(self.intake.accept, port=port), is_tls_port(main, port)
                listener = await self.state.network.listen(address, port, accept, speaks_first=not waits)
                self._listeners.append(listener)
        except OSError:
            self._close_listeners()
            raise

    def stop(self) -> None:
        """Stop listening and end all sessions. What is queued stays in the spool."""
        if not self.state.is_running:
            return
        self.state.is_running = False
        self.runner.stop()
        self._close_listeners()
        self.intake.close()
        with suppress(OSError):  # these are only hints
            self.state.answers.store()
        self.state.note(EventKind.STOPPED)

    def close(self) -> None:
        """Stop for good: let go of the spool."""
        self.stop()
        self.state.answers.close()
        self.state.spool.close()
        if self.state.own_certificate is not None:
            self.state.own_certificate.close()

    def reconfigure(self, compiled: Compiled) -> None:
        """Go on with another configuration, as SIGHUP makes a daemon do. New sessions see it."""
        self.state.compiled = compiled
        self.runner.look_again()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    # --- what an administrator does -----------------------------------------------------------

    async def route(self, address: Mailbox | str) -> Routed:
        """Where mail for this address would go: `exim -bt`."""
        return await self.state.route(address)

    async def test(self, addresses: Sequence[str], mode: Mode = Mode.TEST) -> tuple[int, str]:
        """`exim -bt ADDRESS …` (or -bv, -bvs): the exit status, and what it prints."""
        return await self.state.test(addresses, mode)

    async def expand(self, text: str, login: str) -> str:
        """`exim -be TEXT`: what a text expands to, or why it does not."""
        return await self.state.expand(text, login)

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        """What waits here, oldest first: `exim -bp`."""
        return tuple(self.state.queue[queue_id] for queue_id in sorted(self.state.queue))

    async def run_queue(
        self,
        *,
        forced: bool = False,
        thaws: bool = False,
        part: str | None = None,
        sender_part: str | None = None,
        is_regex: bool = False,
        first_only: bool = False,
        local_only: bool = False,
        routes_first: bool = False,
        first_id: str = "",
        last_id: str = "",
        login: str = DAEMON,
    ) -> None:
        """`exim -q`, -qf, -qff (`thaws`), -qi (`first_only`), -ql (`local_only`), -qq (`routes_first`), between
        two ids; -R TEXT (`part`) and -S TEXT (`sender_part`), -Rr and -Sr (`is_regex`).

        Raises ValueError for a regular expression that is none.
        """
        await self.runner.run_queue(
            QueueRun(
                forced,
                thaws,
                part,
                sender_part,
                is_regex,
                first_only,
                local_only,
                routes_first,
                first_id,
                last_id,
            )
        )

    def freeze(self, queue_id: str, login: str = DAEMON) -> Said:
        """`exim -Mf ID`, and so on; each returns what Exim prints. Raises KeyError if there is no such message."""
        return self.administration.freeze(queue_id, login)

    def thaw(self, queue_id: str, login: str = DAEMON) -> Said:
        return self.administration.thaw(queue_id, login)

    async def give_up(self, queue_id: str, login: str = DAEMON) -> Said:
        return await self.administration.give_up(queue_id, login)

    def remove(self, queue_id: str, login: str = DAEMON) -> Said:
        return self.administration.remove(queue_id, login)

    def add_recipients(self, queue_id: str, recipients: Sequence[Mailbox], login: str = DAEMON) -> Said:
        return self.administration.add_recipients(queue_id, recipients, login)

    def set_sender(self, queue_id: str, sender: Mailbox | None, login: str = DAEMON) -> Said:
        return self.administration.set_sender(queue_id, sender, login)

    def mark_delivered(
        self, queue_id: str, recipients: Sequence[Mailbox] | None = None, login: str = DAEMON
    ) -> Said:
        """None: all recipients. Raises ValueError for somebody who is no recipient."""
        return self.administration.mark_delivered(queue_id, recipients, login)

    async def force(self, queue_id: str, login: str = DAEMON) -> None:
        """`exim -M ID`. Raises KeyError if there is no such message."""
        if queue_id not in self.state.queue:
            raise KeyError(f"no message {queue_id} in the queue of {self.state.name}")
        await self.runner.deliver(queue_id, forced=True, login=login)

    async def submit(self, envelope: Envelope, content: bytes, login: str) -> str:
        """A message from an account of this host, as the sendmail command hands it in. Returns its queue id.

        Raises NotTaken if the host's ACL for such messages refuses it.
        """
        state, queue_id = self.state, self.state.new_queue_id()
        complete = completed(
            Message.parse(content),
            queue_id=queue_id,
            host=state.primary_hostname,
            sender=envelope.sender,
            now=state.surroundings.now(),
            keeps_sender=True,  # an account of the lab may say who sends, as Exim's trusted users
        )
        await self.intake.take_local(envelope, bytes(complete), login, queue_id)
        return queue_id

    def open_session(self, peer: Peer) -> Session:
        """A session without a connection, for whoever wants to type SMTP by hand."""
        session = Session(self.intake, peer)
        self.intake.typed.add(session.machine)
        return session

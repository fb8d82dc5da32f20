"""A host of the lab: a name, an address, a folder that is its disk, accounts, and an MTA.

WHAT       what its administrator does there; each method says which of Exim's commands it stands for.
ENGINE     the MTA is labkit's own or the real Exim; the host's methods are the same on both.
READ NEXT  engine.py, laptop.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.authority import CERTIFICATE, ON_HOSTS
from labkit.lab.capture import smtp_sessions
from labkit.lab.conversations import Conversation, conversations
from labkit.lab.engine import (
    ENGINES,
    OUTSIDE_ENGINES,
    Engine,
    NoSuchMessage,
    NotThisEngine,
    Output,
    QueueRun,
)
from labkit.lab.exim_configuration import Change
from labkit.lab.exim_engine import EximEngine
from labkit.lab.labkit_engine import LabkitEngine
from labkit.lab.outside_engine import OutsideEngine
from labkit.lab.outside_kinds import outside_engine
from labkit.lab.scenarios import HostPlan, is_login
from labkit.lab.typing_session import LiveSession
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message, with_crlf
from labkit.mail.plainly import SaidPlainly
from labkit.mail.questions import Account
from labkit.mta.mta import Mta
from labkit.net.mailboxes import read_maildir, read_mbox
from labkit.net.network import Peer
from labkit.queue.item import QueueItem
from labkit.routing import Routed

if TYPE_CHECKING:
    from collections.abc import Callable

    from labkit.lab.laptop import Laptop
    from labkit.lab.scorers import Scorer, Serving
    from labkit.lab.world import World

CONFIGURATION = "etc/exim.conf"


class NoSuchAccount(SaidPlainly, KeyError):
    """A login name that this host does not have."""


class NoConversation(SaidPlainly, LookupError):
    """A host to which nobody has talked."""


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """The text of the two files of a message that waits."""

    queue_id: str
    envelope_file: str
    body_file: str


class Host:
    """One host. `folder` holds what would be its disk: etc/exim.conf, var/mail, var/spool/exim."""

    def __init__(
        self,
        world: World,
        plan: HostPlan,
        folder: Path,
        queue_interval: timedelta | None,
        engine: str = "labkit",
    ) -> None:
        self.world = world
        self.role = plan.role
        self.name = plan.name
        self.address = plan.address
        self.folder = folder
        self.runs_programs = plan.runs_programs  # whether pipe transports may; counts from the next reload
        self.accounts: dict[str, Account] = {}
        homes = sorted(path.name for path in self.path("/home").glob("*") if is_login(path.name))
        for account in dict.fromkeys((*plan.accounts, *homes)):  # a disk of an earlier world has more of them
            self.add_account(account)
        self._plan = plan
        if plan.engine not in OUTSIDE_ENGINES and not self.configuration_file.exists():
            self.write_configuration(plan.configuration)
        for name, text in plan.files:
            self._write_file(name, text)
        if world.has_authority:
            self._write_file(ON_HOSTS, world.authority.prepare().read_text(encoding="ascii"))
        if plan.certified:
            self._take_certificate(plan.certified)
        self._queue_interval = queue_interval if plan.queue_interval is None else plan.queue_interval or None
        self.starts = plan.starts
        self._serving: dict[int, Serving] = {}
        self.exim_program: Path | None = None  # which Exim, if it is not this machine's
        self.engine: Engine = self._new_engine(engine)

    def _new_engine(self, name: str) -> Engine:
        if name == "labkit":
            return LabkitEngine(self, self._queue_interval)
        if name == "exim":
            self.world.exims.expect()
            return EximEngine(self, self.world.programs, self._queue_interval)
        if name in OUTSIDE_ENGINES and self._plan.domains:
            return outside_engine(self, self._plan, name)
        raise ValueError(f"engine {name!r}: it is {' or '.join(ENGINES)}")

    async def run_on(self, engine: str, program: str | Path | None = None) -> None:
        """Let another MTA do this host's work: "exim" (the real one) or "labkit".

        The configuration, the mailboxes and what waits in the spool stay; retry times are not taken along. A host that
        runs is stopped and started; if the new engine cannot do it, the former goes on. `program`: an Exim other than
        this machine's. Raises EximMissing, ShimUnavailable, ConfigurationError, and RuntimeError for "exim" in a world
        in memory.
        """
        if {engine, self.engine.name} & {*OUTSIDE_ENGINES}:
            raise NotThisEngine(f"{self.name}: a host outside stays one, and no other becomes one")
        self.world.faults.expect_fit(self.name, engine)
        former, was_running = (self.engine.name, self.exim_program), self.is_running
        if was_running:
            await self.engine.stop()
        try:
            await self._take_engine(engine, None if program is None else Path(program), was_running)
        except Exception:
            await self._take_engine(*former, was_running)
            raise
        finally:
            self.world.show_doorplate()

    async def _take_engine(self, name: str, program: Path | None, is_to_run: bool) -> None:
        self.engine.close()
        self.exim_program = program
        self.engine = self._new_engine(name)
        if isinstance(self.engine, EximEngine):
            await self.engine.expect_program()
        if is_to_run:
            await self.engine.start()

    @property
    def mta(self) -> Mta:
        """labkit's own MTA, to look inside. Raises NotThisEngine on a host that runs something else."""
        if isinstance(self.engine, LabkitEngine):
            return self.engine.mta
        if isinstance(self.engine, OutsideEngine):
            raise NotThisEngine(f"{self.name} is a host outside: nobody looks into it")
        raise NotThisEngine(f"{self.name} runs the real Exim: there is no labkit MTA to look into")

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<host {self.name} at {self.address}, {self.engine.name}, {state}>"

    def endpoint(self, port: int = 25) -> tuple[str, int]:
        """Where a port of this host really is, for smtplib, swaks and others. Raises as World.real does."""
        return self.world.real(self.address, port)

    # --- configuration ------------------------------------------------------------------------

    @property
    def configuration_file(self) -> Path:
        """The exim.conf of this host, as a file to edit."""
        return self.folder / CONFIGURATION

    @property
    def configuration(self) -> str:
        with self.configuration_file.open(encoding="utf-8", newline="") as file:  # with its own line ends
            return file.read()

    def write_configuration(self, text: str) -> None:
        """Put another exim.conf in place; it counts from the next start or reload."""
        self.configuration_file.parent.mkdir(parents=True, exist_ok=True)
        self.configuration_file.write_text(text, encoding="utf-8")

    async def reload(self) -> None:
        """Read the configuration again: `kill -HUP`. Raises ConfigurationError, and the old one stays.

        New ports are listened on as soon as the lab moves.
        """
        await self.engine.reload()
        self.world.show_doorplate()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The lines of the configuration that the real Exim reads differently here; none on labkit's own MTA."""
        return self.engine.changes if isinstance(self.engine, EximEngine) else ()

    def path(self, name: str) -> Path:
        """Where a file of this host really is: `host.path("/etc/aliases")`. Raises ValueError for `..`."""
        if ".." in Path(name).parts:
            raise ValueError(f"{name}: name a file on this host's disk from its root, without ..")
        return self.folder / name.lstrip("/")

    def _write_file(self, name: str, text: str) -> None:
        """A file of the scenario; one that an earlier world has left stays as it is."""
        file = self.path(name)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def _take_certificate(self, kind: str) -> None:
        """Have the authority's certificate for this host's name, and the key, unless there is one already."""
        file = self.path(CERTIFICATE)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(self.world.authority.certificate_for(self.name, kind).read_bytes())

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the daemon listens, or would."""
        return self.engine.ports

    def add_account(self, name: str) -> None:
        """Give the host a login account with a home directory: `adduser`.

        A real Exim that is running looks at accounts again at the next reload.
        """
        if not is_login(name):
            raise ValueError(f"account name {name!r}: small letters, digits and _ only")
        account = Account(name, f"/home/{name}")
        self.path(account.home).mkdir(parents=True, exist_ok=True)
        self.accounts[name] = account

    # --- the daemon ---------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self.engine.is_running

    async def start(self, *, queue_only: bool = False) -> None:
        """Start the daemon: `exim -bd -q15m`.

        `queue_only`: `exim -bd -odq -q15m`, what comes in waits for the next queue run.
        """
        await self.engine.start(queue_only=queue_only)
        self.world.show_doorplate()
        if self.world.is_running:
            # a daemon begins with a queue run: let it end before anything new comes in
            await self.world.settle()

    async def stop(self) -> None:
        """Stop the daemon: `kill -TERM`. What is queued stays in the spool."""
        await self.engine.stop()

    async def send(self, sender: str, recipient: str, text: str) -> str:
        """Hand in a message on this host: `exim -f SENDER RECIPIENT`. Returns its queue id.

        `text` is the message with its header; lines may end in LF.
        """
        envelope = Envelope.of(sender, recipient)
        login = sender.partition("@")[0] if sender else "root"
        content, taken = with_crlf(text.encode("utf-8")), list[str]()

        async def submit() -> None:
            taken.append(await self.engine.submit(envelope, content, login))

        await self.world.do(submit, f"{self.name} takes a message of {login}")
        return taken[0]

    # --- content filters ----------------------------------------------------------------------

    async def serve_spamd(
        self,
        scorer: Scorer | None = None,
        *,
        port: int = 783,
        tell: Callable[[str], None] = lambda words: None,
        settings: str = "",
        children: int = 2,
        blocklist: str = "",
    ) -> Serving:
        """Let something answer this host's `spam =`, at 127.0.0.1 `port`: SpamAssassin's spamd, or a `scorer` of ours.

        A scorer is a function from the octets of a message to Scored. For spamd, `tell` hears how the start goes on,
        and `settings` are lines for its local.cf; `blocklist` (bl.test) is a list of the lab that it asks about the
        client. What was served there before ends; all ends with the world.
        Raises SpamdMissing, which says how to install it, FilterFailed, RuntimeError for spamd in a world in memory,
        TypeError for a scorer that is no function.
        """
        from labkit.lab.scorers import serve_scorer
        from labkit.lab.spamassassin import serve_spamassassin

        if scorer is not None and not callable(scorer):
            raise TypeError(
                f"a scorer is a function from a message to Scored, not {scorer!r:.60}; without one spamd starts"
            )
        if former := self._serving.pop(port, None):
            await former.stop()
        if scorer is not None:
            served = await serve_scorer(self, scorer, port)
        else:
            served = await serve_spamassassin(self, port, tell, settings, children, blocklist)
        self._serving[port] = served
        return served

    async def end_filters(self) -> None:
        """End what `serve_spamd` has begun."""
        while self._serving:
            await self._serving.popitem()[1].stop()

    # --- the queue ----------------------------------------------------------------------------

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        """What waits here: `exim -bp`."""
        return self.engine.queue

    def queue_listing(self) -> str:
        """The queue as `exim -bp` prints it."""
        return self.engine.queue_listing()

    def queue_summary(self) -> str:
        """The queue by domains: `exim -bp | exiqsumm`."""
        return self.engine.queue_summary()

    async def run_queue(
        self, *, forced: bool = False, thaws: bool = False, domain: str | None = None
    ) -> None:
        """Run the queue now: `exim -q`.

        `forced`: -qf, retry times do not count. `thaws`: -qff, frozen messages are tried too. `domain`: -R, only
        messages with a recipient whose address contains that text.
        """
        run = QueueRun(forced=forced or thaws, thaws=thaws, domain=domain)
        await self.world.do(lambda: self.engine.run_queue(run), f"{self.name} runs its queue")

    def next_queue_run(self, instant: datetime | None = None) -> datetime | None:
        """When the daemon runs its queue next (-q15m), or first at or after `instant`.

        None if it does not: it is stopped, or the world has no queue_interval.
        """
        after = self.world.now() + timedelta(microseconds=1)
        return self.engine.next_queue_run(after if instant is None else max(instant, after))

    async def force(self, queue_id: str) -> None:
        """Deliver one message now: `exim -M ID`. Raises KeyError if it is not in the queue."""
        if self.spool_files(queue_id) is None:
            raise NoSuchMessage(f"no message {queue_id} in the queue of {self.name}; see queue_listing()")
        await self.world.do(lambda: self.engine.force(queue_id), f"{self.name} delivers {queue_id}")

    async def exim(self, *arguments: str, stdin: str = "", login: str = "root") -> Output:
        """Exim's command line on this host: `await host.exim("-bt", "ann@st11.sne21.test")`.

        The real Exim knows all of it, labkit's own MTA a part; it says which.
        """
        printed: list[Output] = []

        async def command() -> None:
            printed.append(await self.engine.command(arguments, stdin.encode(), login))

        await self.world.do(command, f"exim {' '.join(arguments)} on {self.name}")
        return printed[0]

    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        """The files of a message that waits, envelope with header and body: spool/input/ID-H and ID-D."""
        return self.engine.spool_files(queue_id)

    def spool_entry(self, queue_id: str) -> SpoolEntry:
        """What stands in these files: `exim -Mvh ID` and `exim -Mvb ID`. Raises KeyError if it does not wait."""
        files = self.spool_files(queue_id)
        if files is None:
            raise NoSuchMessage(
                f"no message {queue_id} waits at {self.name}: it has left already (see log()). "
                "To see one wait, start the host with queue_only=True and send it another."
            )
        header, body = (file.read_text(encoding="utf-8", errors="replace") for file in files)
        return SpoolEntry(queue_id, header, body)

    # --- looking ------------------------------------------------------------------------------

    async def route(self, address: str) -> Routed:
        """Where mail for an address would go: `exim -bt ADDRESS`."""
        found: list[Routed] = []

        async def look() -> None:
            found.append(await self.engine.route(address))

        await self.world.do(look, f"{self.name} routes {address}")
        return found[0]

    def mailbox_file(self, account: str) -> Path:
        return self.folder / "var/mail" / account

    def mailbox(self, account: str) -> list[Message]:
        """The messages in an account's mailbox /var/mail/ACCOUNT, a file (mbox) or a folder (Maildir).

        Raises NoSuchAccount.
        """
        always = ("root",) if self.engine.name not in OUTSIDE_ENGINES else ("postmaster",)
        if account not in self.accounts and account not in always:
            raise NoSuchAccount(f"no account {account} at {self.name}; there is: {', '.join(self.accounts)}")
        path = self.mailbox_file(account)
        if not path.exists():
            return []
        contents = read_maildir(path) if path.is_dir() else read_mbox(path)
        return [Message.parse(content) for content in contents]

    def log(self) -> str:
        """The main log: /var/log/exim/mainlog."""
        return self.engine.log()

    def reject_log(self) -> str:
        """The log of what was refused, with headers: /var/log/exim/rejectlog."""
        return self.engine.reject_log()

    def conversations(self) -> list[Conversation]:
        """The SMTP sessions this host had, oldest first. On the real Exim they are what was on the wire."""
        if isinstance(self.engine, (LabkitEngine, OutsideEngine)):
            return conversations(self.world.journal, self.name)
        return smtp_sessions(self.world.capture(self).talks, self.address, self.world.names())

    def last_conversation(self) -> Conversation:
        """The newest of them. Raises NoConversation."""
        found = self.conversations()
        if not found:
            raise NoConversation(f"nobody has talked to {self.name} yet: send it a message first")
        return found[-1]

    def open_session(self, client: Laptop) -> LiveSession:
        """An SMTP session to type in by hand, as if from that laptop: `nc mx2.… 25`."""
        if not self.is_running:
            raise ConnectionRefusedError(f"nobody listens at {self.name}: start it first")
        session = self.mta.open_session(Peer(client.address, 0))
        return LiveSession(session, client.name, self.world.settle, lambda: self.open_session(client))

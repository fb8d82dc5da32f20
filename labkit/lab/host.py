"""A host of the lab: a name, an address, a folder that is its disk, accounts, and an MTA.

WHAT       what its administrator does there; each method says which of Exim's commands it stands for.
READ NEXT  laptop.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.eximconf.configuration import read
from labkit.lab.conversations import Conversation, conversations
from labkit.lab.exim_log import main_log
from labkit.lab.exim_queue import queue_listing
from labkit.lab.scenarios import HostPlan
from labkit.lab.typing_session import LiveSession
from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message, with_crlf
from labkit.mail.plainly import SaidPlainly
from labkit.mail.questions import Account
from labkit.mta.compiled import Compiled, compile_configuration
from labkit.mta.mta import Mta
from labkit.net.mailboxes import read_maildir, read_mbox
from labkit.net.network import Peer
from labkit.net.resolver import Resolver
from labkit.queue.item import QueueItem
from labkit.routing.routers import Route

if TYPE_CHECKING:
    from labkit.lab.laptop import Laptop
    from labkit.lab.world import World

CONFIGURATION = "etc/exim.conf"


class NoSuchMessage(SaidPlainly, KeyError):
    """A queue id that this host does not have in its queue."""


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

    def __init__(self, world: World, plan: HostPlan, folder: Path, queue_interval: timedelta | None) -> None:
        self.world = world
        self.role = plan.role
        self.name = plan.name
        self.address = plan.address
        self.folder = folder
        self.accounts: dict[str, Account] = {}
        for account in plan.accounts:
            self.add_account(account)
        if not self.configuration_file.exists():
            self.write_configuration(plan.configuration)
        self.resolver = Resolver(
            world.network, plan.address, world.scenario.nameserver, world.now, world.agenda.sleep
        )
        self.mta = Mta(
            name=plan.name,
            addresses=(plan.address,),
            compiled=self._compile(),
            network=world.network,
            resolver=self.resolver,
            accounts=self.accounts,
            root=folder,
            surroundings=world,
            queue_interval=queue_interval,
            threaded=world.network.name == "loopback",
        )

    def __repr__(self) -> str:
        return f"<host {self.name} at {self.address}>"

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
        return self.configuration_file.read_text(encoding="utf-8")

    def write_configuration(self, text: str) -> None:
        """Put another exim.conf in place; it counts from the next start or reload."""
        self.configuration_file.parent.mkdir(parents=True, exist_ok=True)
        self.configuration_file.write_text(text, encoding="utf-8")

    def reload(self) -> None:
        """Read the configuration again: `kill -HUP`. Raises ConfigurationError, and the old one stays.

        New ports are listened on as soon as the lab moves.
        """
        before = self.mta.ports
        self.mta.reconfigure(self._compile())
        if self.is_running and self.mta.ports != before:
            self.world.at(self.world.now(), self.mta.listen_again, f"{self.name} listens again")

    def _compile(self) -> Compiled:
        configuration = read(self.configuration, str(self.configuration_file.name))
        return compile_configuration(configuration, self.name, (self.address,))

    def add_account(self, name: str) -> None:
        """Give the host a login account: `adduser`."""
        if not name.isidentifier() or not name.islower() or not name.isascii():
            raise ValueError(f"account name {name!r}: small letters, digits and _ only")
        self.accounts[name] = Account(name, f"/home/{name}")

    # --- the daemon ---------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self.mta.is_running

    async def start(self, *, queue_only: bool = False) -> None:
        """Start the daemon: `exim -bd -q15m`.

        `queue_only`: `exim -bd -odq -q15m`, what comes in waits for the next queue run.
        """
        self.reload()
        await self.mta.start(queue_only=queue_only)
        if self.world.is_running:
            # a daemon begins with a queue run: let it end before anything new comes in
            await self.world.settle()

    async def stop(self) -> None:
        """Stop the daemon: `kill -TERM`. What is queued stays in the spool."""
        self.mta.stop()

    async def send(self, sender: str, recipient: str, text: str) -> str:
        """Hand in a message on this host: `exim -f SENDER RECIPIENT`. Returns its queue id.

        `text` is the message with its header; lines may end in LF.
        """
        envelope = Envelope.of(sender, recipient)
        login = sender.partition("@")[0] if sender else "root"
        queue_id = await self.mta.submit(envelope, with_crlf(text.encode("utf-8")), login)
        await self.world.settle()
        return queue_id

    # --- the queue ----------------------------------------------------------------------------

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        """What waits here: `exim -bp`."""
        return self.mta.queue

    def queue_listing(self) -> str:
        """The queue as `exim -bp` prints it."""
        return queue_listing(self.queue, self.world.now())

    async def run_queue(self, *, forced: bool = False) -> None:
        """Run the queue now: `exim -q`; forced: `exim -qff`."""
        await self.world.do(lambda: self.mta.run_queue(forced=forced), f"{self.name} runs its queue")

    async def force(self, queue_id: str) -> None:
        """Deliver one message now: `exim -M ID`. Raises KeyError if it is not in the queue."""
        if queue_id not in self.mta.state.queue:
            raise NoSuchMessage(f"no message {queue_id} in the queue of {self.name}; see queue_listing()")
        await self.world.do(lambda: self.mta.force(queue_id), f"{self.name} delivers {queue_id}")

    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        """The files of a message that waits, envelope with header and body: spool/input/ID-H and ID-D."""
        return self.mta.state.spool.files(queue_id)

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

    async def route(self, address: str) -> Route:
        """Where mail for an address would go: `exim -bt ADDRESS`."""
        found: list[Route] = []

        async def look() -> None:
            found.append(await self.mta.route(Mailbox.parse(address)))

        await self.world.do(look, f"{self.name} routes {address}")
        return found[0]

    def mailbox_file(self, account: str) -> Path:
        return self.folder / "var/mail" / account

    def mailbox(self, account: str) -> list[Message]:
        """The messages in an account's mailbox /var/mail/ACCOUNT, a file (mbox) or a folder (Maildir).

        Raises NoSuchAccount.
        """
        if account not in self.accounts:
            raise NoSuchAccount(f"no account {account} at {self.name}; there is: {', '.join(self.accounts)}")
        path = self.mailbox_file(account)
        if not path.exists():
            return []
        contents = read_maildir(path) if path.is_dir() else read_mbox(path)
        return [Message.parse(content) for content in contents]

    def log(self) -> str:
        """The main log: /var/log/exim/mainlog."""
        return "\n".join(self._log_lines())

    def _log_lines(self) -> Iterator[str]:
        return main_log(event for event in self.world.journal if event.host == self.name)

    def conversations(self) -> list[Conversation]:
        """The SMTP sessions this host had, oldest first."""
        return conversations(self.world.journal, self.name)

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

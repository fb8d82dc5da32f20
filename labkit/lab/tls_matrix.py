"""The matrix of TLS, filled by running: ports x clients x attackers, a letter in each cell.

WHAT       `matrix = await run_matrix()` sends one letter for each cell through the middle of one world of the scenario
           `tls_matrix` and says what became of it. `await run_cell(world, port, client, attacker)` is one cell in a
           world of yours. `server=` is another exim.conf for the server: what would yours do?
DECIDES    the outcome, from facts: what arrived, what the attacker heard, what can be read in the capture. Where
           several are true, the worst counts (tls_cell.OUTCOMES).
RULES      nothing here knows how a cell should end. Between two cells the lab's clock goes on, so that no retry time
           and no cached address of the one touches the other.
STANDARDS  RFC 3207 §6, RFC 7435, RFC 8314 §3
READ NEXT  tls_cell.py, middle_engine.py
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.lab.host import Host
from labkit.lab.middle_engine import ATTACKS
from labkit.lab.tls_cell import ATTACKERS, CLIENTS, PORTS, Cell, client_configuration
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.plainly import SaidPlainly
from labkit.net.talk import Talk

SCENARIO = "tls_matrix"
PASSWORD_FILE = "/etc/password"
MARK = "The key lies under the third flower pot."  # what nobody on the way should read
REST = 120  # seconds of lab time between two cells: longer than any retry time and TTL here
PATIENCE = 10  # and for a letter: longer than the client's patience with a silent server


class NoSuchCell(SaidPlainly, LookupError):
    """A port, a client or an attacker that there is not."""


@dataclass(frozen=True, slots=True, repr=False)
class TlsMatrix:
    """All cells that were run, by port, client and attacker."""

    engine: str
    cells: Mapping[tuple[int, str, str], Cell]

    def __repr__(self) -> str:
        return "\n".join(f"{row}: {', '.join(found.values())}" for row, found in self.rows().items())

    def rows(self, *ports: int) -> dict[str, dict[str, str]]:
        """The outcomes, a row for each port and client: {"587 verified": {"none": "encrypted", ...}}."""
        found: dict[str, dict[str, str]] = {}
        for (port, client, attacker), cell in self.cells.items():
            if not ports or port in ports:
                found.setdefault(f"{port} {client}", {})[attacker] = cell.outcome
        return found

    def why(self, *, port: int, client: str, attacker: str) -> Cell:
        """One cell. Raises NoSuchCell."""
        expect_cell(port, client, attacker)
        if (port, client, attacker) not in self.cells:
            raise NoSuchCell(f"the cell {port}, {client}, {attacker} was not run")
        return self.cells[port, client, attacker]


def expect_cell(port: int, client: str, attacker: str) -> None:
    """Raises NoSuchCell, and says which there are. An attacker may be meant by its first word."""
    for word, known in ((port, PORTS), (client, CLIENTS), (attacker, ATTACKS)):
        if word not in known:
            raise NoSuchCell(f"there is no {word!r}; there are {', '.join(map(str, known))}")


async def run_matrix(
    *,
    ports: Iterable[int] = tuple(PORTS),
    clients: Iterable[str] = tuple(CLIENTS),
    attackers: Sequence[str] = ATTACKERS,
    engine: str | None = None,
    network: str = "auto",
    server: str | None = None,
    folder: str | Path | None = None,
) -> TlsMatrix:
    """Run the cells, by default all 48. Raises NoSuchCell, and what a world raises.

    `engine`: what client and server run, "labkit" or "exim"; `server`: another exim.conf for the server.
    """
    wanted = [(port, client, attacker) for port in ports for client in clients for attacker in attackers]
    for each in wanted:
        expect_cell(*each)
    world = World.open(
        SCENARIO, engine=engine, network=network, folder=folder, queue_interval=None, alongside=True
    )
    cells: dict[tuple[int, str, str], Cell] = {}
    async with world:
        if server is not None:
            world.partner.write_configuration(server)
            await world.partner.reload()
        for each in wanted:
            cells[each] = await run_cell(world, *each)
        return TlsMatrix(world.mine.engine.name, cells)


async def run_cell(
    world: World, port: int, client: str, attacker: str, *, certificate: str = "self-signed"
) -> Cell:
    """Send a letter as that client to that port, with that attacker in between. Raises NoSuchCell.

    The world is one of the scenario `tls_matrix`; its client gets the exim.conf of that kind, and the attacker stays.
    """
    expect_cell(port, client, attacker)
    mine, middle = world.mine, world.middle
    configuration = client_configuration(client, port, host=mine.name, server=middle.stands_before)
    if mine.configuration != configuration:
        mine.write_configuration(configuration)
        await mine.reload()
    middle.forge(attacker, certificate=certificate)
    await world.advance(seconds=REST)  # the name's former address is forgotten
    middle.forget()
    before = _Before(world)
    message_id = f"<{port}.{client}.{attacker.replace(' ', '-')}.{before.events}@{mine.name}>"
    queue_id = await mine.send(_ann(world), _bob(world), _letter(world, message_id))
    await world.advance(seconds=PATIENCE)
    cell = before.cell((port, client, attacker), queue_id, message_id)
    if any(item.queue_id == queue_id for item in mine.queue):
        await mine.exim("-Mrm", queue_id)
    return cell


class _Before:
    """What was there before a cell: all that comes later belongs to it."""

    def __init__(self, world: World) -> None:
        self.world, self.began = world, world.now()
        self.events = len(world.journal)
        self.talks = len(world.capture().talks)

    def cell(self, key: tuple[int, str, str], queue_id: str, message_id: str) -> Cell:
        world, middle = self.world, self.world.middle
        events = list(world.journal)[self.events :]
        lines = tuple(line for line in world.mine.log().splitlines() if f" {queue_id} " in line)
        has_arrived = _has_arrived(world.partner, message_id)
        waits = any(item.queue_id == queue_id for item in world.mine.queue)
        on_wire = tuple(sorted(readable_in(world.capture().talks[self.talks :], secrets_of(world))))
        told, letters = tuple(middle.heard), tuple(middle.letters)
        injected = tuple(each for each in events if _is_injected(each, world))
        if told or "password" in on_wire or _tells_password(world, injected):
            outcome = "stolen"
        elif injected:
            outcome = "injected"
        elif any(letter.was_encrypted for letter in letters):
            outcome = "read"
        elif letters or "letter" in on_wire:
            outcome = "clear"
        else:
            outcome = "encrypted" if has_arrived else "refused"
        return Cell(
            *key,
            outcome=outcome,
            fate="delivered" if has_arrived else "waits" if waits else "gone",
            at=self.began,
            client_log=lines,
            server_log=tuple(_told_by(world.partner, events)),
            dialogue=tuple(
                (each.speaker or "", each.text or "", each.state or "")
                for each in events
                if each.host == middle.host.name and each.kind is EventKind.DIALOGUE
            ),
            told=told,
            letters=letters,
            on_wire=on_wire,
        )


# --- what is true afterwards ------------------------------------------------------------------


def secrets_of(world: World) -> dict[str, tuple[bytes, ...]]:
    """What nobody on the way should see, as it would be on the wire."""
    password = world.mine.path(PASSWORD_FILE).read_text(encoding="utf-8").strip().encode()
    login = _ann(world).partition("@")[0].encode()
    initial = base64.b64encode(b"\0" + login + b"\0" + password)
    return {"letter": (MARK.encode(),), "password": (initial, base64.b64encode(password), password)}


def readable_in(talks: Iterable[Talk], secrets: Mapping[str, Sequence[bytes]]) -> set[str]:
    """Which of the secrets can be read by who looks at the wire alone."""
    found: set[str] = set()
    for talk in talks:
        for source in (talk.client, talk.server):
            said = b"".join(each.payload for each in talk.segments if each.source == source)
            found |= {name for name, texts in secrets.items() if any(text in said for text in texts)}
    return found


def _has_arrived(server: Host, message_id: str) -> bool:
    """Whether the letter lies in the mailbox as it was sent."""
    return any(
        message.first("Message-ID") == message_id and MARK.encode() in message.body
        for message in server.mailbox("bob")
    )


def _is_injected(event: MailEvent, world: World) -> bool:
    """A letter that the server has taken in the attacker's name."""
    is_taken = event.host == world.partner.name and event.kind is EventKind.RECEIVED
    return is_taken and event.sender == world.middle.own_address


def _tells_password(world: World, injected: Sequence[MailEvent]) -> bool:
    """Whether what was injected has brought the attacker the password."""
    if not injected:
        return False
    secrets = secrets_of(world)["password"]
    account = world.middle.own_address.partition("@")[0]
    letters = world.partner.mailbox(account) if account in world.partner.accounts else []
    return any(secret in bytes(letter) for letter in letters for secret in secrets)


def _told_by(server: Host, events: Iterable[MailEvent]) -> Iterable[str]:
    """The lines of the server's log about this letter."""
    ids = {each.queue_id for each in events if each.host == server.name and each.queue_id}
    texts = [each.text for each in events if each.host == server.name and each.kind is EventKind.LOGGED]
    for line in server.log().splitlines():
        if any(f" {queue_id} " in line for queue_id in ids) or any(t and t in line for t in texts):
            yield line


def _ann(world: World) -> str:
    return f"ann@{world.mine.name.partition('.')[2]}"


def _bob(world: World) -> str:
    return f"bob@{world.partner.name.partition('.')[2]}"


def _letter(world: World, message_id: str) -> str:
    return (
        f"From: Ann <{_ann(world)}>\nTo: Bob <{_bob(world)}>\nSubject: The key\n"
        f"Message-ID: {message_id}\n\n{MARK}\n"
    )

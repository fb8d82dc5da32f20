"""A world: hosts, laptops and names on one network, with one clock, one agenda and one journal.

WHAT       `world = await partners(st=11, partner=2).start()`, or `async with partners() as world:`.
DOES       starts and stops everything, lets mail move (`settle`) and time pass (`advance`).
RULES      in a notebook a new world ends the former one, so a cell can be run again; ports go with the world.
READ NEXT  the room teach
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from labkit.lab.agenda import Agenda, Entry
from labkit.lab.asking import ask
from labkit.lab.authority import Authority
from labkit.lab.capture import Capture, captured
from labkit.lab.clock import FIRST_MORNING, Clock
from labkit.lab.conversations import Journey, journey
from labkit.lab.doorplate import KEPT, Door, Machine, write_doorplate
from labkit.lab.engine import ENGINES, OUTSIDE, OUTSIDE_ENGINES, Engine
from labkit.lab.exim_engine import EximEngine
from labkit.lab.exims import Exims
from labkit.lab.faults import Faults
from labkit.lab.happening import carry_out
from labkit.lab.host import Host
from labkit.lab.journal import Journal
from labkit.lab.laptop import Laptop
from labkit.lab.outside_plans import WEEK
from labkit.lab.policy_host import PolicyHosts, Published, plan_of
from labkit.lab.private_folder import FolderLock, PrivateFolder
from labkit.lab.programs import UID, Programs
from labkit.lab.scenario_file import read_scenario
from labkit.lab.scenarios import Scenario, neighbours_scenario, partners_scenario
from labkit.mail.asking import Question
from labkit.mail.dates import in_words
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.plainly import SaidPlainly
from labkit.mail.questions import Account
from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import ZoneError, Zones, read_zone
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.network import LoopbackUnavailable, Network, PortTaken
from labkit.net.wire import Wire

if TYPE_CHECKING:
    from dns.name import Name

    from labkit.lab.impostor_engine import ImpostorEngine
    from labkit.lab.middle_engine import MiddleEngine
    from labkit.lab.provider_engine import ProviderEngine
    from labkit.lab.relay_engine import RelayEngine

A = TypeVar("A")
Lie = Callable[[str], str]  # what an attacker makes of a zone's text

HEARTBEAT = 0.1  # seconds: how soon the stop button of a notebook takes effect while a cell waits
_PROCESSES = 62 * 62  # queue ids of different students begin in different places


class LabStopped(SaidPlainly, RuntimeError):
    """There are no hosts: the world was not started, or it was stopped."""


class World:
    """A lab world.

    `folder`: where the hosts' disks and the journal are; None makes a private one that goes with the world, a
    folder that holds an earlier world resumes it. `network`: "loopback", "memory", or "auto" (loopback where this
    machine has it). `seed` varies what is otherwise arbitrary. `queue_interval`: between queue runs, None for
    daemons without -q. `alongside`: do not end the former world of this notebook. `engine`: what the hosts run,
    "labkit" or "exim", or a mapping from a host's name or role to that; None, and for hosts that it does not name:
    what the scenario says, else what the environment variable LABKIT_ENGINE says, else labkit. Hosts outside stay what
    they are.
    """

    _former: ClassVar[World | None] = None

    def __init__(
        self,
        scenario: Scenario,
        *,
        folder: str | Path | None = None,
        network: str = "auto",
        seed: int = 1,
        queue_interval: timedelta | None = timedelta(minutes=15),
        alongside: bool = False,
        engine: str | Mapping[str, str] | None = None,
    ) -> None:
        self._engines = _engines(engine, scenario)
        if network not in ("auto", "loopback", "memory"):
            raise ValueError(f"network {network!r}: it is auto, loopback or memory")
        self.scenario = scenario
        self.seed = seed
        self.alongside = alongside
        self._wanted_network = network
        self._queue_interval = queue_interval
        self.network: Network = Memory(scenario.addresses)  # until start; first, as it may refuse an address
        self.zones = Zones(*(read_zone(text, origin, f"{origin}.zone") for origin, text in scenario.zones))
        for origin in scenario.signed:
            self.zones.sign(origin)
        self._lies: dict[Name, Lie] = {}
        self.nameserver = DnsServer(self.zones)
        self._private = PrivateFolder() if folder is None else None
        self.folder = self._private.path if self._private else Path(folder or "").absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock: FolderLock | None = None
        self.clock = Clock()
        self.journal = Journal(self.now, self._journal_path())
        for event in self.journal:  # a resumed world goes on when it stopped
            self.clock.jump_to(max(event.at, self.clock.now))
        self.hosts: dict[str, Host] = {}
        self.laptops: dict[str, Laptop] = {}
        self.authority = Authority(self.folder / "authority")
        self.faults = Faults(self)
        self.policies = PolicyHosts(self)
        self.exims = Exims(self)
        self.agenda = Agenda(self.clock, self._note_problem, self.exims.are_done)
        self._programs: Programs | None = None
        self.clock.follow(self._tell_the_time)
        self._process = scenario.student_number * _PROCESSES + seed + len(self.journal)
        self.is_running = False
        self._is_over = False
        self.why_memory = ""
        self._background: list[asyncio.Task[None]] = []
        self._doorplate: Path | None = None

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<world {self.scenario.title}, {state}, {self.clock.now:%a %d %b %Y %H:%M} lab time>"

    # --- what its hosts are given (mta.surroundings) ------------------------------------------

    def now(self) -> datetime:
        """Lab time, UTC."""
        return self.clock.now

    def at(self, instant: datetime, action: Callable[[], Awaitable[None]], what: str) -> Entry:
        return self.agenda.at(instant, action, what)

    async def sleep(self, span: timedelta) -> None:
        await self.agenda.sleep(span)

    def next_process(self) -> int:
        self._process += 1
        return self._process

    def note(self, host: str, kind: EventKind, **details: Any) -> None:
        self.exims.hear()  # what happened before is written before
        self.journal.note(host, kind, **details)

    def _note_problem(self, what: str, problem: Exception) -> None:
        self.journal.note("lab", EventKind.PROBLEM, text=f"{what}: {problem!r}")

    @property
    def has_authority(self) -> bool:
        """Whether servers outside show certificates of the lab's authority here."""
        return any(plan.mta_sts is not None for plan in self.scenario.hosts) or any(
            plan.engine in OUTSIDE_ENGINES and plan.engine != OUTSIDE for plan in self.scenario.hosts
        )

    # --- starting and stopping ----------------------------------------------------------------

    async def start(self) -> World:
        """Start the nameserver and every host. Raises ConfigurationError, LoopbackUnavailable.

        Raises LabStopped for a world that was stopped: its journal is closed, and its private folder gone.
        """
        if self.is_running:
            return self
        if self._is_over:
            raise LabStopped(
                "this world is over: make a new one, with the same folder=… to go on where it stopped"
            )
        if _in_notebook() and not self.alongside:
            if World._former is not None and World._former is not self:
                await World._former.stop()
            World._former = self
        try:
            self._lock = FolderLock(self.folder)
            await self._open_network()
        except BaseException:
            await self.stop()  # nothing may stay behind
            raise
        self.is_running = True
        self.show_doorplate()
        self._write_agenda()
        loop = asyncio.get_running_loop()
        self._background = [loop.create_task(self.agenda.attend()), loop.create_task(self._heartbeat())]
        await self.settle()
        return self

    def _write_agenda(self) -> None:
        """What the scenario wants to happen; what a resumed world has behind it does not happen again."""
        has_past = len(self.journal) > 0 and self.clock.now > FIRST_MORNING
        for line in self.scenario.agenda:
            instant = FIRST_MORNING + line.after
            if not has_past or instant > self.clock.now:
                self.agenda.at(instant, partial(carry_out, self, line), str(line))

    @classmethod
    def open(
        cls,
        scenario: str | Path,
        *,
        folder: str | Path | None = None,
        network: str = "auto",
        seed: int = 1,
        queue_interval: timedelta | None = timedelta(minutes=15),
        alongside: bool = False,
        engine: str | Mapping[str, str] | None = None,
        runs_programs: bool = False,
        **parameters: object,
    ) -> World:
        """The world of a scenario file: `World.open("backup_mx", st=7)`, or the path of a file of your own.

        What is no option here is a parameter of the file. `runs_programs`: pipe transports may start programs of this
        machine; no file can permit that by itself. Raises FileErrors, which tells every mistake of the file
        with its line; NoSuchScenario; ValueError for a parameter that cannot be.
        """
        return cls(
            _permitted(read_scenario(scenario, parameters), runs_programs),
            folder=folder,
            network=network,
            seed=seed,
            queue_interval=queue_interval,
            alongside=alongside,
            engine=engine,
        )

    async def _open_network(self) -> None:
        """Take the first port base on which everything can listen."""
        skip: set[int] = set()
        while True:
            self.network = self._new_network(skip)
            try:
                await self._open_hosts()
                return
            except PortTaken as taken:
                skip.add(taken.base)
                await self._close_hosts()
            except LoopbackUnavailable as problem:
                await self._close_hosts()
                if self._wanted_network == "loopback":
                    raise
                self._wanted_network, self.why_memory = "memory", str(problem)
            except BaseException:
                await self._close_hosts()
                raise

    def _new_network(self, skip: set[int]) -> Network:
        if self._wanted_network == "memory":
            return Memory(self.scenario.addresses)
        return Loopback(self.scenario.addresses, skip=skip, users=(UID,) if os.geteuid() == 0 else ())

    async def _open_hosts(self) -> None:
        is_real = isinstance(self.network, Loopback)
        self.network.wire = Wire(self.programs.wire if is_real else None, now=self.now)
        await self.nameserver.start(self.network, self.scenario.nameserver)
        for plan in self.scenario.hosts:
            self.hosts[plan.name] = Host(
                self, plan, self.folder / plan.name, self._queue_interval, self._engines[plan.name]
            )
        for laptop in self.scenario.laptops:
            self.laptops[laptop.name] = Laptop(self, laptop)
        self.faults.begin(self.scenario.faults)
        for host in self.hosts.values():
            if host.starts:
                await host.start()
        for plan in self.scenario.hosts:
            if plan.mta_sts is not None:
                await self.policies.publish(plan.policy_domain, plan.mta_sts, self.hosts[plan.name])

    async def _close_hosts(self) -> None:
        self.policies.close()
        for host in self.hosts.values():
            host.engine.close()
            await host.end_filters()
        if self._programs is not None:
            programs, self._programs = self._programs, None
            await programs.close()
            self.exims.hear()
        self.hosts.clear()
        self.laptops.clear()
        self.nameserver.close()
        await self.network.close()

    async def stop(self) -> None:
        """Stop everything and let go of all ports; may be called again. The journal stays readable."""
        self.is_running, self._is_over = False, True
        if World._former is self:
            World._former = None
        if self._doorplate is not None:
            self._doorplate.unlink(missing_ok=True)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._background.clear()
        self.agenda.close()
        try:
            await self._close_hosts()
        finally:
            self.journal.close()
            if self._lock is not None:
                self._lock.close()
            if self._private is not None:
                self._private.remove()

    async def __aenter__(self) -> World:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def show_doorplate(self) -> None:
        """Tell `./lab shell` and `labkit run` who is here now."""
        if not self.is_running or not isinstance(self.network, Loopback):
            return
        places = [(host.name, host.address, port) for host in self.hosts.values() for port in host.ports]
        places.append(("nameserver", self.scenario.nameserver, 53))
        doors = [Door(name, address, port, *self.real(address, port)) for name, address, port in places]
        try:
            self._doorplate = write_doorplate(self.scenario.title, doors, self._machines(), self._doorplate)
        except OSError as problem:  # the lab works without
            self.note("lab", EventKind.PROBLEM, text=f"no doorplate for labkit run: {problem}")

    def _machines(self) -> list[Machine]:
        """Where a program can be run: on a laptop as its owner, on a host as its first account."""
        machines = []
        for laptop in self.laptops.values():
            login = laptop.owner.partition("@")[0]
            account = Account(login, str(Path.home()))
            labnet = self.programs.introduce(laptop.name, {login: account}, Path("/"), ticks=False)
            real = self.real(laptop.address, 25)[0]
            machines.append(Machine(laptop.name, laptop.role, laptop.address, real, str(labnet), login))
        for host in self.hosts.values():
            labnet = self.programs.introduce(f"{host.name}.terminal", host.accounts, host.folder, ticks=False)
            exim = host.engine.command_line if isinstance(host.engine, EximEngine) else ()
            login = next(iter(host.accounts), "root")
            real = self.real(host.address, 25)[0]
            machines.append(
                Machine(host.name, host.role, host.address, real, str(labnet), login, str(host.folder), exim)
            )
        return sorted(machines, key=lambda machine: machine.role != "student")

    def _journal_path(self) -> Path:
        """In the student's working copy (which has a folder .lab) the journal outlives the world."""
        if self._private is not None and KEPT.is_dir():
            path = KEPT.absolute() / f"{self.scenario.name}-st{self.scenario.student_number}.journal"
            path.unlink(missing_ok=True)  # a fresh world begins a fresh journal
            return path
        return self.folder / "journal"

    # --- other programs -----------------------------------------------------------------------

    @property
    def programs(self) -> Programs:
        """What the real Exim and other people's programs need to live here.

        Raises RuntimeError in a world in memory.
        """
        if not isinstance(self.network, Loopback):
            raise RuntimeError(
                "this world has no sockets: other programs (the real Exim) cannot take part. "
                f"{self.why_memory or 'Make it with network=loopback.'}"
            )
        if self._programs is None:
            self._programs = Programs(
                self.network, self.scenario.nameserver, self.folder / "programs", self.now()
            )
        return self._programs

    def _tell_the_time(self, instant: datetime) -> None:
        if self._programs is not None:
            self._programs.page.set(instant)

    async def _heartbeat(self) -> None:
        """Wake the loop often: the stop button takes effect soon, and what a real Exim did is heard of."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                self.exims.look()
            except Exception as problem:  # one look that fails must not be the last
                self._note_problem("looking at the real Exims", problem)

    # --- the wire -----------------------------------------------------------------------------

    def capture(self, *machines: Host | Laptop | str) -> Capture:
        """What went over the wire so far: everything, or what these machines (or addresses) said to each other.

        `world.capture(world.laptop, world.mine).save("talk.pcap")`
        """
        addresses = {each if isinstance(each, str) else each.address for each in machines}
        if strange := addresses - {*self.scenario.addresses}:
            raise ValueError(
                f"no machine of this lab has the address {', '.join(strange)}; see world.names()"
            )
        return Capture(()) if self.network.wire is None else captured(self.network.wire, addresses)

    def names(self) -> dict[str, str]:
        """The name of each machine, by its address."""
        named = {host.address: host.name for host in self.hosts.values()}
        named |= {laptop.address: laptop.name for laptop in self.laptops.values()}
        return {self.scenario.nameserver: "nameserver", **named}

    # --- letting things happen ----------------------------------------------------------------

    async def settle(self) -> None:
        """Let everything happen that is due now: mail moves, lab time stands still."""
        await self.agenda.carry_out_due()
        self.journal.flush()

    async def do(self, action: Callable[[], Awaitable[None]], what: str) -> None:
        """Do one thing in its turn and return when it and what follows from it is done.

        If it has to wait (for a nameserver that does not answer), lab time passes. What `action` raises is raised here.
        """
        outcome: list[Exception | None] = []

        async def guarded() -> None:
            try:
                await action()
            except Exception as problem:
                outcome.append(problem)
            else:
                outcome.append(None)

        self.agenda.at(self.now(), guarded, what)
        await self.settle()
        while not outcome and (instant := self.agenda.next_instant()) is not None:
            await self.agenda.run_until(instant)
            self.journal.flush()
        if outcome and outcome[0] is not None:
            raise outcome[0]

    async def advance(self, **span: float) -> None:
        """Let lab time pass: `advance(hours=4)`, `advance(days=5)` (the words of timedelta).

        Everything that is due on the way happens at its instant. Raises RuntimeError while a program from outside
        is connected (its time is real), ValueError for a negative span.
        """
        length = timedelta(**span)
        if length < timedelta(0):
            raise ValueError("lab time cannot go back")
        callers = [*self.network.foreign_connections(), *self.exims.callers()]
        if callers:
            known = self.names()
            names = ", ".join(f"{known.get(peer.address, 'a program')} [{peer}]" for peer in callers)
            raise RuntimeError(f"somebody is still connected, in real time ({names}): let it say QUIT first")
        before = self.now()
        await self.agenda.run_until(before + length)
        self.journal.note("lab", EventKind.CLOCK, text=f"{in_words(length)} passed")
        self.journal.flush()

    # --- names --------------------------------------------------------------------------------

    def zone(self, origin: str) -> str:
        """The zone of that name as the nameserver has it, a BIND master file.

        Raises KeyError naming those there are.
        """
        if origin not in self.zones:
            origins = ", ".join(
                zone.origin.to_text(omit_final_dot=len(zone.origin) > 1) for zone in self.zones
            )
            raise KeyError(f"no zone {origin}; there are {origins}")
        return self.zones[origin].text

    def write_zone(self, origin: str, text: str) -> None:
        """Give the nameserver another text of a zone, or a new zone; the next query sees it (caches keep their TTL).

        Raises ZoneError, which names the line; the old zone stays then.
        """
        self.zones.put(read_zone(text, origin, f"{origin}.zone"))
        self._tell_lies(origin)

    def sign_zone(self, origin: str, on: bool = True) -> None:
        """Let the owner of a zone sign it (DNSSEC), now and whenever it is written; or no longer. Raises KeyError.

        No signature is made: the lab's nameserver, which stands for a validating resolver on one's own machine, knows.
        """
        self.zone(origin)
        self.zones.sign(origin, on)

    def forge_zone(self, origin: str, lie: str | Lie | None) -> Lie | None:
        """Let an attacker show everybody another text of a zone, or, with None, give up. `zone` stays its owner's.

        A function makes his text of the owner's, whenever that is written. In a zone that is signed, whoever asks for
        what he has changed gets SERVFAIL. Returns the lie until now. Raises ZoneError, KeyError.
        """
        self.zone(origin)
        name = self.zones[origin].origin
        former = self._lies.pop(name, None)
        if lie is None:
            self.zones.relent(origin)
            return former
        self._lies[name] = lie if callable(lie) else _always(lie)
        try:
            self._tell_lies(origin)
        except ZoneError:
            del self._lies[name]
            self.zones.relent(origin)
            raise
        return former

    def _tell_lies(self, origin: str) -> None:
        own = self.zones[origin]
        if (lie := self._lies.get(own.origin)) is not None:
            self.zones.forge(read_zone(lie(own.text), origin, f"{origin}.zone"))

    async def publish_policy(
        self,
        domain: str,
        mode: str = "enforce",
        mx: str | Sequence[str] = (),
        max_age: int = WEEK,
        *,
        at: Host | None = None,
        fault: str = "",
    ) -> Published:
        """Let a domain publish an MTA-STS policy: the records, and the file at https://mta-sts.DOMAIN (port 443).

        `mx` empty: its mail exchangers of now. `at`: whose port 443; None: the first mail exchanger's. `fault`: one of
        policy_host.FAULTS. Raises ValueError for what is no policy, KeyError for a domain that is in no zone.
        """
        self._expect_running()
        return await self.policies.publish(domain, plan_of(mode, mx, max_age, fault), at)

    async def withdraw_policy(self, domain: str) -> None:
        """Take a policy away at once, records and file. Senders that remember it go on. Raises KeyError."""
        await self.policies.withdraw(domain)

    async def ask(self, question: Question[A], *, at: Host | None = None) -> A:
        """Answer a decision's question: by the nameserver, afresh; or as the host `at` would find it, cache and all.

        Raises TypeError for a question that nobody there can answer.
        """
        self._expect_running()
        return await ask(self, question, at)

    # --- who is who ---------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """The host of that name, or of its beginning: `mx2.st11`. Raises KeyError naming those there are."""
        begun = [host for full, host in self.hosts.items() if full.startswith(f"{name}.")]
        if name not in self.hosts and len(begun) == 1:
            return begun[0]
        if name not in self.hosts:
            raise KeyError(
                f"no host {name} in this world; there are {', '.join(self.hosts) or 'none (is it started?)'}"
            )
        return self.hosts[name]

    def _by_role(self, role: str) -> Host:
        self._expect_running()
        for host in self.hosts.values():
            if host.role == role:
                return host
        raise KeyError(f"no host in this world is the {role}'s; there are {', '.join(self.hosts)}")

    @property
    def mine(self) -> Host:
        """The student's host."""
        return self._by_role("student")

    @property
    def partner(self) -> Host:
        """The partner's host."""
        return self._by_role("partner")

    @property
    def relay(self) -> RelayEngine:
        """The commercial relay: its console in Python. Raises LookupError in a world without one."""
        return cast("RelayEngine", self._outside("relay"))

    @property
    def provider(self) -> ProviderEngine:
        """The big mailbox provider: its verdicts and its mailboxes. Raises LookupError in a world without one."""
        return cast("ProviderEngine", self._outside("provider"))

    @property
    def impostor(self) -> ImpostorEngine:
        """Who poses as another host. Raises LookupError in a world without one."""
        return cast("ImpostorEngine", self._outside("impostor"))

    @property
    def middle(self) -> MiddleEngine:
        """Who stands before another host and meddles with TLS. Raises LookupError in a world without one."""
        return cast("MiddleEngine", self._outside("middle"))

    def _outside(self, kind: str) -> Engine:
        self._expect_running()
        found = next((host.engine for host in self.hosts.values() if host.engine.name == kind), None)
        if found is None:
            raise LookupError(f"there is no {kind} in this world: {self.scenario.title}")
        return found

    @property
    def laptop(self) -> Laptop:
        """The student's laptop."""
        return self._laptop_of("student")

    @property
    def partner_laptop(self) -> Laptop:
        return self._laptop_of("partner")

    def _laptop_of(self, role: str) -> Laptop:
        self._expect_running()
        for plan in self.scenario.laptops:
            if plan.role == role:
                return self.laptops[plan.name]
        raise KeyError(
            f"no laptop in this world is the {role}'s; there are {', '.join(self.laptops) or 'none'}"
        )

    def _expect_running(self) -> None:
        if not self.hosts:
            cure = "make a new one (run its cell again)" if self._is_over else "start it: await world.start()"
            raise LabStopped(f"the lab is not running: {cure}")

    def journey(self, message: Message | str) -> Journey:
        """What became of a message, on all hosts: given as the message, or by its Message-ID.

        Raises ValueError for a message without one.
        """
        message_id = message if isinstance(message, str) else message.first("Message-ID")
        if message_id is None:
            raise ValueError("the message has no Message-ID to follow it by")
        return journey(self.journal, message_id)

    def real(self, address: str, port: int) -> tuple[str, int]:
        """Where a lab address and port really are, for smtplib, dig and others outside the lab.

        Raises RuntimeError in a world in memory, where no other program can take part.
        """
        if not isinstance(self.network, Loopback):
            raise RuntimeError("this world has no sockets: other programs cannot reach it")
        return self.network.real_place(address, port)


def partners(
    st: int = 11,
    partner: int = 2,
    apex: str = "sne21.test",
    *,
    address: str | None = None,
    partner_address: str | None = None,
    folder: str | Path | None = None,
    network: str = "auto",
    seed: int = 1,
    queue_interval: timedelta | None = timedelta(minutes=15),
    alongside: bool = False,
    engine: str | Mapping[str, str] | None = None,
    runs_programs: bool = False,
) -> World:
    """The world of two partners: st<st>.<apex> and st<partner>.<apex>, each with an MTA and a laptop.

    See `partners_scenario` for the names and addresses, `World` for the rest. `runs_programs`: the pipe transports of
    both hosts may start programs of this machine.
    """
    scenario = partners_scenario(st, partner, apex, address, partner_address)
    return World(
        _permitted(scenario, runs_programs),
        folder=folder,
        network=network,
        seed=seed,
        queue_interval=queue_interval,
        alongside=alongside,
        engine=engine,
    )


def _permitted(scenario: Scenario, runs_programs: bool) -> Scenario:
    """The same, and whether its pipe transports may start programs of this machine."""
    return replace(
        scenario, hosts=tuple(replace(plan, runs_programs=runs_programs) for plan in scenario.hosts)
    )


def neighbours(*domains: str, **options: Any) -> World:
    """A world of any number of domains, an MTA and a laptop in each: `neighbours("a.test", "b.test", engine="exim")`.

    See `neighbours_scenario` for the names, `World` for the options.
    """
    return World(neighbours_scenario(*domains), **options)


def _engines(engine: str | Mapping[str, str] | None, scenario: Scenario) -> dict[str, str]:
    """Which engine each host runs. Raises ValueError for an engine or a host that does not exist."""
    ours = [host for host in scenario.hosts if host.engine not in OUTSIDE_ENGINES]
    if isinstance(engine, str):
        if engine not in ENGINES:
            raise ValueError(f"engine {engine!r}: it is {' or '.join(ENGINES)}")
        engine = {host.name: engine for host in ours}
    wanted = dict(engine or {})
    usual = os.environ.get("LABKIT_ENGINE") or "labkit"
    if usual not in ENGINES:
        raise ValueError(f"LABKIT_ENGINE={usual!r}: it is {' or '.join(ENGINES)}")
    known = {host.role for host in ours} | {host.name for host in ours}
    for key, name in wanted.items():
        if name not in ENGINES:
            raise ValueError(f"engine {name!r}: it is {' or '.join(ENGINES)}")
        if key not in known:
            raise ValueError(f"engine for {key!r}: there are the hosts {', '.join(sorted(known))}")
    return {
        host.name: wanted.get(host.name) or wanted.get(host.role) or host.engine or usual
        for host in scenario.hosts
    }


def _always(text: str) -> Lie:
    return lambda own: text


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")

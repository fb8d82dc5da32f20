"""The stream of mail on which every defence is tried: the same senders and day, one host, one solution.

WHAT       `await measure(solution("dnsbl"))` runs a fresh world and gives a `Measured`; `compare(...)` several.
           `Stream(...).start(world)` lets the stream loose on a world of your own, and goes on while time passes.
DOES       puts every first attempt on the agenda, and every further one by the manner of its sender; then time passes.
RULES      truth never enters a message. Two runs give the same; labkit and the real Exim give the same facts.
COSTS      lab time only. A real Exim's `delay =` is real time (its pauses are its own).
READ NEXT  traffic_senders.py, traffic_outcomes.py
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from labkit.lab.blocklist import ORIGIN, Blocklist, zone_text
from labkit.lab.private_folder import PrivateFolder, in_memory
from labkit.lab.scenarios import NAMESERVER, ROOT_ZONE, HostPlan, LaptopPlan, Scenario
from labkit.lab.solutions import Solution, configuration, solution
from labkit.lab.traffic_cast import cast, zones
from labkit.lab.traffic_client import Attempt, attempt
from labkit.lab.traffic_outcomes import (
    HUNG_UP,
    INBOX,
    MARKED,
    PUT_OFF,
    REFUSED,
    THROWN_AWAY,
    Measured,
    Outcome,
)
from labkit.lab.traffic_plan import PEOPLE, LetterLike, Posting, planned, stream_key
from labkit.lab.world import World
from labkit.mail.message import Message
from labkit.net.mailboxes import read_mbox

APEX = "sne21.test"
LAPTOP = "198.51.100.11"
ADDRESS = "203.0.113.11"
FLAG = "X-Spam-Flag"  # what marks a message: YES
_QUEUE_ID = re.compile(r"\sid ([0-9A-Za-z-]+)")
COPIES = 8  # how often a message lies in the folder of its world, at most
REST = 64_000_000  # octets of all else there
STRIDE = 3  # a provider with many addresses: how far the next try is from this one
LONGEST = timedelta(days=2)  # all retries are over by then

Prepare = Callable[[World], Awaitable[None]]  # what is done to a world before the stream begins


def stream_scenario(wanted: Solution | None, *, st: int = 11) -> Scenario:
    """The student's host with a solution, and everybody who will write to it, as names in the DNS."""
    domain, host = f"st{st}.{APEX}", f"mx2.st{st}.{APEX}"
    senders = cast(domain, host)
    addresses = dict.fromkeys(address for sender in senders for address in sender.addresses)
    signers = dict.fromkeys(sender.signs for sender in senders if sender.signs)
    top = "@ IN SOA ns.root. hostmaster.root. ( 1 7200 900 1209600 300 )\n  IN NS ns.root.\n"
    return Scenario(
        name="stream",
        title="the stream of mail",
        student_number=st,
        nameserver=NAMESERVER,
        hosts=(
            HostPlan("student", host, ADDRESS, PEOPLE, configuration(wanted, host=host, domain=domain, laptop=LAPTOP)),
        ),
        laptops=(LaptopPlan("student", f"laptop.{domain}", LAPTOP, f"ann@{domain}", host),),
        zones=(
            (".", ROOT_ZONE),
            (
                APEX,
                f"$TTL 3600\n{top}{domain}. IN MX 10 {host}.\n{domain}. IN TXT \"v=spf1 ip4:{ADDRESS} -all\"\n"
                f"_dmarc.{domain}. IN TXT \"v=DMARC1; p=reject\"\n{host}. IN A {ADDRESS}\n"
                f"laptop.{domain}. IN A {LAPTOP}\n",
            ),
            ("113.0.203.in-addr.arpa", f"$TTL 3600\n{top}11 IN PTR {host}.\n"),
            (ORIGIN, zone_text(())),
            *zones(senders, dict.fromkeys(signers, stream_key()[1])),
        ),
        callers=tuple(addresses),
    )  # fmt: skip


class Stream:
    """A stream that runs in a world. `attempts` are those of each posting so far."""

    def __init__(self, world: World, postings: Sequence[Posting]) -> None:
        self.world = world
        self.postings = tuple(postings)
        self.attempts: dict[int, list[Attempt]] = {posting.number: [] for posting in self.postings}
        self.blocklist = Blocklist(world)
        self.questions = 0

    def start(self) -> None:
        """Put everything on the agenda that is known already."""
        begun = self.world.now()
        own, host = self.world.mine.name.partition(".")[2], self.world.mine.name
        for sender in cast(own, host):
            if sender.listed_after is not None:
                listing = partial(self._list, sender.addresses, sender.reason)
                self.world.at(begun + timedelta(minutes=sender.listed_after), listing, "the block list grows")
        self.world.nameserver.on_query = self._count
        for posting in self.postings:
            self.world.at(posting.at, partial(self._try, posting), f"{posting.sender.kind} writes")

    def _count(self, name: str, rdtype: str, rcode: str) -> None:
        self.questions += 1

    async def _list(self, addresses: Sequence[str], reason: str) -> None:
        self.blocklist.list_all(addresses, reason)

    async def _try(self, posting: Posting) -> None:
        manner, done = posting.sender.manner, self.attempts[posting.number]
        places = posting.sender.addresses
        source = places[(posting.first + len(done) * manner.moves * STRIDE) % len(places)]
        found = await attempt(self.world, posting, source, self.world.mine.address)
        done.append(found)
        again = next(
            (m for m in manner.retries if posting.at + timedelta(minutes=m) > self.world.now()), None
        )
        if found.is_put_off and again is not None:
            instant = posting.at + timedelta(minutes=again)
            self.world.at(instant, partial(self._try, posting), f"{posting.sender.kind} writes again")

    # --- afterwards -----------------------------------------------------------------------------

    def measured(self, name: str, seed: int = 1) -> Measured:
        """What has become of it so far; what has not begun is left out."""
        arrived = self._arrived()
        outcomes = [
            _outcome(posting, self.attempts[posting.number], arrived)
            for posting in self.postings
            if self.attempts[posting.number]
        ]
        engine = self.world.mine.engine.name
        return Measured(name, engine, seed, tuple(outcomes), self.questions, self._slots())

    def _arrived(self) -> dict[str, bool]:
        """The queue ids of the messages in the mailboxes, and whether X-Spam-Flag says YES there."""
        found: dict[str, bool] = {}
        host = self.world.mine
        for person in host.accounts:
            for content in read_mbox(host.mailbox_file(person)):
                message = Message.parse(content)
                is_marked = (message.first(FLAG) or "").upper().startswith("YES")
                for queue_id in _QUEUE_ID.findall(message.first("Received") or "")[:1]:
                    found[queue_id] = is_marked
        return found

    def _slots(self) -> int:
        """The most connections that were open at the same instant."""
        moves = [
            move
            for done in self.attempts.values()
            for each in done
            if each.seconds
            for move in ((each.at, 1), (each.at + timedelta(seconds=each.seconds), -1))
        ]
        now = most = 0
        for _, step in sorted(moves):
            now += step
            most = max(most, now)
        return max(most, int(any(self.attempts.values())))


def _outcome(posting: Posting, attempts: Sequence[Attempt], arrived: Mapping[str, bool]) -> Outcome:
    last = attempts[-1]
    reply = " ".join((str(last.reply.code), *last.reply.lines)) if last.reply is not None else ""
    if last.is_accepted:
        reply = reply.partition(" id=")[0]
        is_marked = arrived.get(last.queue_id)
        fate = THROWN_AWAY if is_marked is None else MARKED if is_marked else INBOX
    elif last.hung_up:
        fate = HUNG_UP
    elif last.is_put_off:
        fate = PUT_OFF
    else:
        fate = REFUSED
    waited = last.at + timedelta(seconds=last.seconds) - attempts[0].at
    return Outcome(
        posting.number,
        posting.sender.kind,
        posting.sender.is_spam,
        fate,
        last.phase,
        reply,
        round(waited.total_seconds() / 60, 2) if last.is_accepted else None,
        len(attempts),
        sum(each.octets_in for each in attempts),
        sum(each.seconds for each in attempts),
        sum(each.refusals for each in attempts),
    )


async def measure(
    wanted: Solution | str,
    corpus: Sequence[LetterLike] | None = None,
    *,
    seed: int = 1,
    size: float = 1.0,
    kinds: Sequence[str] | None = None,
    engine: str = "labkit",
    network: str | None = None,
    prepare: Prepare | None = None,
) -> Measured:
    """Let the stream loose on a fresh host with this solution: its name, or a Solution.

    `corpus`: the letters, those that the shipped corpus holds out by default. `kinds`: only these senders. `prepare`:
    what is done in the world first (a scorer is started, the block list falls silent). Raises SolutionMistake,
    ConfigurationError, ValueError.
    """
    chosen = solution(wanted) if isinstance(wanted, str) else wanted
    scenario = stream_scenario(chosen)
    host = scenario.hosts[0].name
    postings = planned(letters(corpus), host.partition(".")[2], host, seed=seed, size=size, kinds=kinds)
    where = network or ("loopback" if engine == "exim" else "memory")
    private = PrivateFolder(in_memory(_room(postings)) if engine == "labkit" else None)
    try:
        world = World(
            scenario,
            folder=private.path,
            network=where,
            seed=seed,
            queue_interval=None,
            alongside=True,
            engine=engine,
        )
        async with world:
            world.network.wire = None if engine == "labkit" else world.network.wire
            stream = Stream(world, postings)
            if prepare is not None:
                await prepare(world)
            stream.start()
            await world.advance(hours=LONGEST / timedelta(hours=1))
            return stream.measured(chosen.name, seed)
    finally:
        private.remove()


def _room(postings: Sequence[Posting]) -> int:
    """Octets that the folder of their world may need: spool, mailboxes, journal."""
    return COPIES * sum(len(each.content) * len(each.recipients) for each in postings) + REST


async def compare(
    *wanted: Solution | str,
    corpus: Sequence[LetterLike] | None = None,
    seed: int = 1,
    size: float = 1.0,
    engine: str = "labkit",
    prepare: Prepare | None = None,
) -> tuple[Measured, ...]:
    """The same stream against several solutions, one after the other, each in a world of its own."""
    return tuple(
        [await measure(each, corpus, seed=seed, size=size, engine=engine, prepare=prepare) for each in wanted]
    )


def letters(corpus: Sequence[LetterLike] | None) -> Sequence[LetterLike]:
    """These, or those that the shipped corpus holds out: a filter has not learnt from them."""
    if corpus is not None:
        return corpus
    from labkit.lab.corpus import read_corpus

    return read_corpus().held_out

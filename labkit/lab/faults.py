"""Faults of a lab, by switch: what is broken where, in one table.

WHAT       `world.faults.add("mx.far.test", "silent")`, `.clear("mx.far.test")`; the table itself is `world.faults`.
           KINDS are all there are; which details each takes, and on which engines it works.
RULES      deterministic: nothing is left to chance. A fault that cannot work on a host is refused, with the reason.
           The real Exim is not ours to break: it can be silent, or blocked, or be stopped.
READ NEXT  labkit/smtp/misbehaviour.py (faults by address), labkit/net/dns_server.py, outside_engine.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from labkit.lab.engine import OUTSIDE_ENGINES
from labkit.mail.event import EventKind
from labkit.mail.plainly import SaidPlainly
from labkit.mail.reply import Reply
from labkit.mta.misbehaving import Find
from labkit.smtp.decisions import Decision
from labkit.smtp.misbehaviour import LONGEST_WAIT, PHASES, Machine, Misbehaviour, by_address, phase_of

if TYPE_CHECKING:
    from labkit.lab.world import World

MOST_MESSAGES = 1_000_000
LONGEST_TEXT = 400  # octets of a reply
ANSWERS = tuple(
    each for each in OUTSIDE_ENGINES if each != "middle"
)  # a man in the middle answers nothing himself
OURS = ("labkit", *ANSWERS)


class FaultError(SaidPlainly, ValueError):
    """A fault that cannot be: which field of it, why, and what to write instead."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}\n  {remedy}")
        self.field, self.problem, self.remedy = field, problem, remedy


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what is broken, at a host or for a name of the DNS; the details it takes; where it works."""

    effect: str
    is_of_name: bool = False
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    engines: tuple[str, ...] = OURS

    @property
    def details(self) -> tuple[str, ...]:
        return (*self.needs, *self.takes)


KINDS: Mapping[str, Kind] = {
    "refuses": Kind("nobody listens: connections are refused at once, while the host itself goes on sending"),
    "silent": Kind(
        "nothing that is sent to the host is answered: connections time out, after minutes of lab time",
        engines=("exim", "labkit", *OUTSIDE_ENGINES),
    ),
    "blocked": Kind(
        "what the host sends to a port (usually 25) of any other machine is swallowed, as a cloud does with mail: "
        "its connections time out, while other ports work",
        takes=("port",),
        engines=("exim", "labkit", *OUTSIDE_ENGINES),
    ),
    "drops": Kind("the connection is lost at a phase, without a reply (usually `data`)", takes=("at",)),
    "slow": Kind(
        "each answer takes so many seconds of lab time, or only those of one phase",
        needs=("seconds",),
        takes=("at",),
    ),
    "answers": Kind(
        "a reply of your choice at a phase (usually `rcpt`)", needs=("code",), takes=("at", "text")
    ),
    "busy": Kind("421 at MAIL, when the connection has brought so many messages", needs=("after",)),
    "servfail": Kind("the nameserver answers SERVFAIL for the name and all below it", is_of_name=True),
    "no answer": Kind("the nameserver does not answer for the name and all below it", is_of_name=True),
}
DETAILS = {
    "at": "a phase",
    "seconds": f"a number above 0, up to {LONGEST_WAIT:.0f}: then a client would give up",
    "code": "a reply code from 400 to 599",
    "text": "the words of the reply",
    "after": "how many messages, from 0",
    "port": "a port number, from 1 to 65535",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `place` is a host, or a name of the DNS."""

    place: str
    kind: str
    at: str = ""
    seconds: float = 0
    code: int = 0
    text: str = ""
    after: int = 0
    port: int = 0

    @property
    def shown(self) -> str:
        """Its details in words."""
        given = {each.name: getattr(self, each.name) for each in fields(self)[2:]}
        wanted = KINDS[self.kind].details
        return ", ".join(f"{name} {given[name]:g}" if name == "seconds" else f"{name} {given[name]}"
                         for name in wanted if given[name] != "")  # fmt: skip

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.place}: {self.kind}", self.shown)))

    def misbehaviour(self, machine: Machine, phase: str) -> Misbehaviour | None:
        """What happens by this fault at this moment."""
        if self.kind == "drops" and phase == self.at:
            return Misbehaviour(hangs_up=True)
        if self.kind == "answers" and phase == self.at:
            return Misbehaviour(Reply(self.code, (self.text,)))
        if self.kind == "busy" and phase == "mail" and machine.messages_accepted >= self.after:
            words = f"{machine.host_name}: too many messages in one connection, come back later"
            return Misbehaviour(Reply(421, (words,)))
        if self.kind == "slow" and self.at in ("", phase):
            return Misbehaviour(seconds=self.seconds)
        return None


def read_fault(place: str, kind: str, details: Mapping[str, Any]) -> Fault:
    """A fault of these details, checked. Raises FaultError."""
    if kind not in KINDS:
        raise FaultError("kind", f"there is no fault {kind!r}", f"it is one of: {', '.join(KINDS)}")
    known = KINDS[kind]
    for name in details:
        if name not in known.details:
            may = f"it takes {', '.join(known.details)}" if known.details else "it takes no details"
            raise FaultError(name, f"the fault {kind!r} has no detail {name!r}", may)
    for name in known.needs:
        if name not in details:
            raise FaultError(name, f"the fault {kind!r} needs {name!r}", f"{name} is {DETAILS[name]}")
    given = dict(details)
    if kind == "drops":
        given.setdefault("at", "data")
    if kind == "answers":
        given.setdefault("at", "rcpt")
        given.setdefault("text", "a fault of the lab")
    if kind == "blocked":
        given.setdefault("port", 25)
    for name, value in given.items():
        if not _is_good(name, value):
            may = f"one of {', '.join(PHASES)}" if name == "at" else DETAILS[name]
            raise FaultError(name, f"{value!r} cannot be", f"{name} is {may}")
    return Fault(place, kind, **given)


def _is_good(name: str, value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "at":
        return value in PHASES
    if name == "seconds":
        return is_number and 0 < value <= LONGEST_WAIT
    if name == "code":
        return is_number and value in range(400, 600)
    if name == "port":
        return is_number and value in range(1, 65536)
    if name == "after":
        return is_number and value in range(MOST_MESSAGES)
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable()


def fits(kind: str, engine: str) -> str:
    """Why a fault of this kind cannot work on this engine; "" if it can."""
    if engine in KINDS[kind].engines:
        return ""
    return "the real Exim is not ours to break: make it silent, or stop the host"


class Faults:
    """The faults of a world, and who asks for them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._faults: list[Fault] = []
        self._of_host: dict[str, list[Fault]] = {}

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._faults))

    def __len__(self) -> int:
        return len(self._faults)

    def __repr__(self) -> str:
        if not self._faults:
            return f"<no faults; there are these kinds: {', '.join(KINDS)}>"
        rows = [("place", "fault", "details"), *((f.place, f.kind, f.shown) for f in self._faults)]
        return table(rows)

    def add(self, place: str, kind: str, **details: Any) -> Fault:
        """Break something: a host, or a name of the DNS. The same fault again takes the place of the former.

        Raises FaultError; KeyError for a host that is not there.
        """
        fault = read_fault(place, kind, details)
        if not KINDS[kind].is_of_name:
            host = self._world.host(place)
            if why := fits(kind, host.engine.name):
                raise FaultError("kind", f"{host.name} cannot have the fault {kind!r}", why)
            fault = read_fault(host.name, kind, details)
        self._put(fault)
        self._world.note("lab", EventKind.FAULT, text=f"{fault}, from now on")
        return fault

    def _put(self, fault: Fault) -> None:
        self._switch(fault, on=True)  # which may refuse a name
        self._forget(*(each for each in self._faults if _same(each, fault)))
        self._faults.append(fault)
        self._of_host.setdefault(fault.place, []).append(fault)

    def clear(self, place: str = "", kind: str = "") -> int:
        """Mend what is broken: everything, all of one place, or one thing there. Returns how many faults that were."""
        if place and place not in self._of_host:
            hosts = self._world.hosts
            place = next((name for name in hosts if name.startswith(f"{place}.")), place)
        gone = [f for f in self._faults if place in ("", f.place) and kind in ("", f.kind)]
        self._forget(*gone)
        for fault in gone:
            self._switch(fault, on=False)
            self._world.note("lab", EventKind.FAULT, text=f"{fault}, no more")
        return len(gone)

    def begin(self, faults: Iterable[Fault]) -> None:
        """A world begins, with these."""
        self._faults.clear()
        self._of_host.clear()
        for fault in faults:
            self._put(fault)

    def expect_fit(self, host: str, engine: str) -> None:
        """Raise FaultError if a host with its faults cannot go over to that engine."""
        for fault in self._of_host.get(host, ()):
            if why := fits(fault.kind, engine):
                raise FaultError(
                    "kind", f"{fault} cannot be there then", f"{why}; world.faults.clear({host!r})"
                )

    def _forget(self, *gone: Fault) -> None:
        for fault in gone:
            self._faults.remove(fault)
            self._of_host[fault.place].remove(fault)

    def _switch(self, fault: Fault, *, on: bool) -> None:
        """What is not done by misbehaviour: the network's part, and the nameserver's."""
        world = self._world
        if fault.kind == "servfail":
            world.nameserver.servfail(fault.place, on)
        elif fault.kind == "no answer":
            world.nameserver.silent(fault.place, on)
        elif fault.kind == "silent":
            world.network.silence(world.host(fault.place).address, on=on)
        elif fault.kind == "refuses":
            world.network.refuse(world.host(fault.place).address, on=on)
        elif fault.kind == "blocked":
            world.network.block(world.host(fault.place).address, fault.port, on=on)

    # --- for the servers ----------------------------------------------------------------------

    def of(self, host: str, *, by_address: bool = False) -> Find:
        """What a server of that host asks at each decision. `by_address`: addresses count, too (x-452@)."""
        return partial(self._find, host, by_address)

    def _find(
        self, host: str, by_addresses: bool, machine: Machine, decision: Decision
    ) -> Misbehaviour | None:
        faults: Sequence[Fault] = self._of_host.get(host, ())
        if not faults and not by_addresses:
            return None
        phase = phase_of(decision)
        if not phase:
            return None
        found = [done for fault in faults if (done := fault.misbehaviour(machine, phase)) is not None]
        if by_addresses and (wished := by_address(machine, decision)) is not None:
            found.append(wished)
        if not found:
            return None
        seconds = sum(each.seconds for each in found)
        last = next((each for each in found if each.hangs_up or each.reply is not None), Misbehaviour())
        return Misbehaviour(last.reply, last.hangs_up, min(seconds, LONGEST_WAIT))


def _same(one: Fault, other: Fault) -> bool:
    return (one.place, one.kind, one.at, one.port) == (other.place, other.kind, other.at, other.port)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, the first a head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

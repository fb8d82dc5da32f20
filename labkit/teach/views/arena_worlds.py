"""Four other loops, each in a small world of its own: what happens there, and whether it ends.

WHAT       `await try_out("smarthost")` runs one of TOPOLOGIES, `await try_out("smarthost", "the cure")` a variant
           of it, and shows the hops, where the messages are now, and how it ended. The worlds are scenarios: loop,
           loop_mx_self, loop_smarthost, loop_vacation.
DECIDES    how it ended, by facts of the journal: a real Exim is judged by the same rule.
STANDARDS  RFC 5321 §5.1 (never to oneself), §6.3 (loops); RFC 3834 §2, §4, §5 (automatic responses)
READ NEXT  arena.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from labkit.lab.hops import ORIGIN, Arrow, arrows_of, hops_of, life_of_all
from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

MADE = "(made there)"
WIDTH = 105  # of a line of text


class End(Enum):
    """How it ended; what one can expect before."""

    AT_ONCE = "a host notices at once"
    COUNTED = "it goes round until a host counts too many Received"
    ARRIVES = "it ends by itself, and the mail is delivered or waits"
    ENDLESS = "it goes on as long as we look"


Edit = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to set it up. `edit` changes the world before the message is sent."""

    name: str
    edit: Edit
    why: str


@dataclass(frozen=True, slots=True)
class Topology:
    """A way in which mail can go in a circle."""

    name: str
    title: str
    about: str
    scenario: str
    sender: str  # "student" or "partner": from whose laptop the message comes
    local_part: str
    domain: str  # below the student's domain, or ""
    variants: tuple[Variant, ...]
    hours: int = 0  # of lab time to look on; without any, what happens at once

    def variant(self, name: str) -> Variant:
        """Raises KeyError naming those there are."""
        found = next((each for each in self.variants if each.name == name), None)
        if found is None:
            raise KeyError(
                f"no variant {name!r} of {self.name}; there are: {', '.join(v.name for v in self.variants)}"
            )
        return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journal says afterwards."""

    topology: Topology
    variant: Variant
    end: End
    arrivals: int
    most_stamps: int
    arrows: tuple[Arrow, ...]
    said: str  # the words that ended it, or ""
    now: tuple[str, ...]  # where the messages are
    lab_time: str


async def try_out(name: str, variant: str = "") -> OutcomeView:
    """Run a topology in a world of its own, which is gone afterwards. Raises KeyError."""
    return OutcomeView(await run(name, variant))


async def run(name: str, variant: str = "") -> Outcome:
    """What `try_out` shows."""
    topology = topology_of(name)
    chosen = topology.variant(variant or topology.variants[0].name)
    async with World.open(topology.scenario, alongside=True) as world:
        await chosen.edit(world)
        before = len(world.journal)
        laptop = world.laptop if topology.sender == "student" else world.partner_laptop
        await laptop.send(_address(world, topology), "Round", "and round\n")
        await world.advance(hours=topology.hours)
        return _outcome(world, topology, chosen, before)


def topology_of(name: str) -> Topology:
    """Raises KeyError naming those there are."""
    found = next((each for each in TOPOLOGIES if each.name == name), None)
    if found is None:
        raise KeyError(f"no topology {name!r}; there are: {', '.join(each.name for each in TOPOLOGIES)}")
    return found


def _address(world: World, topology: Topology) -> str:
    domain = world.laptop.owner.partition("@")[2]
    return f"{topology.local_part}@{topology.domain}{domain}"


# --- what happened -----------------------------------------------------------------------------


def _outcome(world: World, topology: Topology, variant: Variant, before: int) -> Outcome:
    facts = [event for event in world.journal.where(after=before) if event.kind.is_fact]
    hops = hops_of(life_of_all(_with_answers(facts)))
    laptops = {laptop.name for laptop in world.laptops.values()}
    arrows = sorted(
        arrows_of(hops), key=lambda arrow: (arrow.came_from not in laptops, -arrow.count, arrow.host)
    )
    said = _said(facts)
    last = max((event.at for event in facts if event.kind in _MOVES), default=world.now())
    first = min((event.at for event in facts if event.kind in _MOVES), default=world.now())
    minutes = round((last - first).total_seconds() / 60)
    time = "none" if not minutes else f"{minutes // 60} h {minutes % 60} min"
    most = max((hop.stamps for hop in hops), default=0)
    return Outcome(
        topology,
        variant,
        _end(world, topology, facts),
        len(hops),
        most,
        tuple(arrows),
        said,
        tuple(_now(world)),
        time,
    )


def _with_answers(facts: Sequence[MailEvent]) -> list[MailEvent]:
    """An answer that a host has made of a message is a message; a report that one has failed is none."""
    failed = {(event.host, event.queue_id) for event in facts if event.kind is EventKind.FAILED}
    return [
        replace(event, about=None) if event.about and (event.host, event.about) not in failed else event
        for event in facts
    ]


_MOVES = (EventKind.RECEIVED, EventKind.DELIVERED, EventKind.FAILED, EventKind.REJECTED, EventKind.FROZEN)


def _end(world: World, topology: Topology, facts: Sequence[MailEvent]) -> End:
    failed = [event.text or "" for event in facts if event.kind is EventKind.FAILED]
    if any(text.startswith("Too many") for text in failed):
        return End.COUNTED
    late = world.now() - timedelta(hours=1)
    if topology.hours > 1 and any(event.kind is EventKind.RECEIVED and event.at > late for event in facts):
        return End.ENDLESS  # still new ones in the last hour
    looked = ("lowest numbered MX", "Unrouteable address", "relay not permitted")
    stopped = [*failed, *(event.text or "" for event in facts if event.kind is EventKind.DEFERRED)]
    if any(words in text for text in stopped for words in looked):
        return End.AT_ONCE
    return End.ARRIVES


def _said(facts: Sequence[MailEvent]) -> str:
    """The words of the failure, or of the deferral."""
    for kind in (EventKind.FAILED, EventKind.DEFERRED):
        for event in facts:
            if event.kind is kind and event.text:
                return event.text.removeprefix("SMTP error from remote mail server ")
    return ""


def _now(world: World) -> list[str]:
    """Where messages lie and wait: facts that any MTA gives."""
    lines = []
    for host in world.hosts.values():
        waiting = len(host.queue)
        frozen = sum(item.frozen for item in host.queue)
        if waiting:
            state = f", {frozen} of them frozen" if frozen else ""
            lines.append(f"{_count(waiting)} at {host.name}{state}")
        for account in host.accounts:
            letters = host.mailbox(account)
            bounces = sum(_is_bounce(letter.first("From") or "") for letter in letters)
            if bounces:
                lines.append(f"{_count(bounces, 'bounce')} in the mailbox of {account}")
            if len(letters) > bounces:
                lines.append(f"{_count(len(letters) - bounces)} in the mailbox of {account}")
    return lines or ["nothing anywhere"]


def _is_bounce(author: str) -> bool:
    return "mailer-daemon" in author.lower()


def _count(number: int, what: str = "message") -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class OutcomeView(View):
    """A topology that was run: the hops with their counts, and how it ended."""

    _HOPS = ("from", "to", "messages")

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.title = f"{outcome.topology.title}: {outcome.variant.name}"

    @property
    def hops(self) -> list[tuple[str, str, str]]:
        return [
            (MADE if arrow.came_from == ORIGIN else arrow.came_from, arrow.host, str(arrow.count))
            for arrow in self.outcome.arrows
        ]

    @property
    def lines(self) -> list[tuple[str, str]]:
        outcome = self.outcome
        rows = [
            ("arrivals", str(outcome.arrivals)),
            ("Received fields, at most", str(outcome.most_stamps)),
            ("lab time", outcome.lab_time),
        ]
        if outcome.said:
            rows.append(("the last word", outcome.said))
        return [*rows, ("now", "; ".join(outcome.now)), ("so", outcome.end.value)]

    def html(self) -> Markup:
        return join(
            table(self._HOPS, self.hops, self.title, code=[0, 1]),
            table(("", ""), self.lines),
            tag("p", self.outcome.variant.why),
        )

    def text(self) -> str:
        left = max(len(name) for name, _ in self.lines)
        facts = "\n".join(f"{name.ljust(left)}  {value}" for name, value in self.lines)
        why = textwrap.fill(self.outcome.variant.why, WIDTH)
        return f"{text_table(self._HOPS, self.hops, self.title)}\n\n{facts}\n\n{why}"


# --- the four ------------------------------------------------------------------------------------


async def _as_it_is(world: World) -> None:
    """Nothing is changed."""


def _mine(old: str, new: str) -> Edit:
    async def edit(world: World) -> None:
        await _change(world.mine, old, new)

    return edit


def _theirs(old: str, new: str) -> Edit:
    async def edit(world: World) -> None:
        await _change(world.partner, old, new)

    return edit


async def _change(host: Host, old: str, new: str) -> None:
    if old not in host.configuration:
        raise ValueError(f"exim.conf of {host.name} has no {old!r}")
    host.write_configuration(host.configuration.replace(old, new, 1))
    await host.reload()


async def _with_account(world: World) -> None:
    world.mine.add_account("self")
    await world.mine.reload()


async def _two_names(world: World) -> None:
    domain = world.laptop.owner.partition("@")[2]
    path = world.mine.path("/etc/aliases")
    path.write_text(f"self: other@{domain}\nother: self@{domain}\n", encoding="utf-8")


def _self_option(value: str) -> Edit:
    return _mine("domains   = ! +local_domains\n", f"domains   = ! +local_domains\n  self      = {value}\n")


async def _self_pass(world: World) -> None:
    await _self_option("pass")(world)
    await _change(world.mine, "  no_more\n", "")


async def _primary_down(world: World) -> None:
    await world.mine.stop()


async def _cured(world: World) -> None:
    cure = """\
backup:
  driver    = dnslookup
  domains   = +relay_to_domains
  transport = by_smtp
  no_more
smarthost:
"""
    await _change(world.partner, "smarthost:\n", cure)
    await world.mine.stop()


_NOT_AUTOMATIC = "  condition   = ${if or{{!def:h_auto-submitted:}{eqi{$h_auto-submitted:}{no}}}}\n"
_ROUTER, _TRANSPORT = "  local_parts = ann\n", "  driver  = autoreply\n"

TOPOLOGIES = (
    Topology(
        "itself",
        "An alias to itself, on one host",
        "self: self@ the same domain. Bob writes to self.",
        "loop",
        "partner",
        "self",
        "",
        (
            Variant(
                "no such account",
                _as_it_is,
                "A redirect router is not used again for an address that it has redirected already, further up in the "
                "same line of descent. So the address goes on to the next router, and nobody has that name.",
            ),
            Variant(
                "an account of that name",
                _with_account,
                "The second time the alias router lets the address pass, and the next router knows the account.",
            ),
            Variant(
                "two names that point to each other",
                _two_names,
                "Also a circle of several names, on one host, is seen: each name has been there before.",
            ),
        ),
    ),
    Topology(
        "mx",
        "An MX that leads to oneself",
        "The DNS says that your host takes the mail of shop; your local_domains does not. Ann writes to ann@shop.",
        "loop_mx_self",
        "student",
        "ann",
        "shop.",
        (
            Variant(
                "self = freeze",
                _as_it_is,
                "The router finds its own host as the best exchanger. The default freezes: no queue run tries it until "
                "a person thaws it. It is a mistake in the configuration, and people mend those.",
            ),
            Variant(
                "self = defer",
                _self_option("defer"),
                "It waits and is tried again, as if the mistake would go away.",
            ),
            Variant("self = fail", _self_option("fail"), "The sender gets a bounce at once."),
            Variant(
                "self = pass",
                _self_pass,
                "The next routers are asked, although the domain is not local (no_more must go): they deliver it.",
            ),
            Variant(
                "self = reroute",
                _self_option("reroute: st2.sne21.test"),
                "Another domain is put in, and routing begins anew; at that domain nobody is called ann.",
            ),
            Variant(
                "self = send",
                _self_option("send"),
                "Exim really calls itself. Here its own list stops that: the host is none of relay_from_hosts.",
            ),
        ),
    ),
    Topology(
        "smarthost",
        "A backup MX behind a smarthost that takes everything",
        "Your partner is your backup, and all its outgoing mail goes to a relay. Your host is down. Bob writes to Ann.",
        "loop_smarthost",
        "partner",
        "ann",
        "",
        (
            Variant(
                "the primary is down",
                _primary_down,
                "The relay does what the DNS says: the best exchanger is silent, so it calls the next one, the backup. "
                "And the backup gives everything to the relay. Nobody breaks a rule but the backup: it must deliver "
                "only to exchangers that are better than itself (RFC 5321 §5.1).",
            ),
            Variant(
                "the primary is up",
                _as_it_is,
                "Nothing shows the mistake as long as the backup is not needed.",
            ),
            Variant(
                "the cure",
                _cured,
                "A router above the smarthost takes the domains that we are the backup of, and asks the DNS. Exim "
                "leaves out all exchangers from its own upwards; the message waits for the primary.",
            ),
        ),
    ),
    Topology(
        "vacation",
        "Forwarding, and a reply to everything",
        "ann@ your domain is forwarded to her account at your partner's. That host answers for her, as ann@ your "
        "domain, to whoever stands in From:. Ann writes a reminder to herself.",
        "loop_vacation",
        "student",
        "ann",
        "",
        (
            Variant(
                "answers everything",
                _as_it_is,
                "Each answer is a new message, with no Received at all when it begins. No counter ever sees a loop.",
            ),
            Variant(
                "never answers <>",
                _theirs(_ROUTER, f"{_ROUTER}  senders     = ! :\n"),
                "The answer itself has a null reverse-path, as Exim makes it; so it is not answered.",
            ),
            Variant(
                "never answers Auto-Submitted",
                _theirs(
                    _ROUTER,
                    f"{_ROUTER}{_NOT_AUTOMATIC}",
                ),
                "The answer says of itself that no person wrote it; so it is not answered.",
            ),
            Variant(
                "once",
                _theirs(
                    _TRANSPORT, f"{_TRANSPORT}  once    = /var/spool/exim/answered\n  once_repeat = 7d\n"
                ),
                "Nobody gets a second answer within a week, not even oneself.",
            ),
            Variant(
                "to the reverse-path",
                _theirs("${address:$h_from:}", "$sender_address"),
                "The answer to an answer would go to the null reverse-path, that is to nobody: it is not sent.",
            ),
        ),
        hours=2,
    ),
)

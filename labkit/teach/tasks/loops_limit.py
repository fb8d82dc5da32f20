"""The third exercise of notebook 04: when a host gives up on a loop, changed, lower and higher than Exim's default.

WHAT       `change the reaction`  a world: one loop ended after fewer hops than by default, another after more
DECIDES    by the number of hops of each loop in the journal. What the files say only helps to name the mistake.
STANDARDS  RFC 5321 §6.3 (a large threshold, normally at least 100)
READ NEXT  loops_detector.py
"""

from __future__ import annotations

from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.loops_turns import DEFAULT_LIMIT, Turn, limit_of, limit_on_disk, turns_of

USUAL = (
    DEFAULT_LIMIT + 1,
    DEFAULT_LIMIT + 2,
)  # arrivals by default: who sees the odd ones, who the even ones


@exercise("change the reaction", "A loop that ends sooner than by default, and one that ends later")
def change_the_reaction(world: World) -> Verdict:
    """Judge by the loops that were counted out."""
    loops = [turn for turn in turns_of(world) if turn.is_loop and turn.was_counted_out]
    lower = [turn for turn in loops if len(turn.hops) < USUAL[0]]
    higher = [turn for turn in loops if len(turn.hops) > USUAL[1]]
    if not loops:
        return todo("First let a loop turn; then set received_headers_max, and let it turn again.")
    if limit_on_disk(world.mine) is None and limit_on_disk(world.partner) is not None:
        return _only_the_partner(world, lower + higher)
    if lower and higher:
        return _both(lower[-1], higher[-1])
    newest = loops[-1]
    if _unread(world, newest):
        return _not_read(world, newest)
    if lower:
        return _lower_only(world, newest, lower[-1])
    if higher:
        return hint(
            f"{_counted(higher[-1])} Now the other way: a limit below {DEFAULT_LIMIT}. How low dare you go?",
            higher[-1].came[-1],
        )
    return _neither(world, newest)


def _both(lower: Turn, higher: Turn) -> Verdict:
    evidence = []
    for turn in (lower, higher):
        failed = turn.was_counted_out
        assert failed is not None
        evidence.append(
            Seen(failed.at, failed.host, f"gave up after {len(turn.hops)} arrivals: {failed.text}")
        )
    return done(
        "The loop is the same; when it ends is up to the hosts, and to the lower limit of the two.", evidence
    )


def _unread(world: World, newest: Turn) -> Host | None:
    """A host that let more fields pass, or fewer, than its file allows now."""
    ended = newest.was_counted_out
    for host in (world.mine, world.partner):
        seen = [hop.stamps for hop in newest.hops if hop.host == host.name]
        passed = seen[:-1] if ended and ended.host == host.name else seen
        if any(stamps > limit_of(host) for stamps in passed):
            return host
        if ended and ended.host == host.name and seen[-1] <= limit_of(host):
            return host
    return None


def _not_read(world: World, newest: Turn) -> Verdict:
    host = _unread(world, newest)
    assert host is not None
    whose = "Your" if host is world.mine else "Your partner's"
    return hint(
        f"{whose} file says received_headers_max = {limit_of(host)}, but in the newest loop {host.name} went by "
        "another number. Has the daemon read the file since (kill -HUP), and was a message sent after that?",
        newest.came[-1],
    )


def _only_the_partner(world: World, changed: list[Turn]) -> Verdict:
    return hint(
        f"The line stands on {world.partner.name} alone. That is your partner's host, and a loop may go by without it. "
        "The sheet asks how your own MTA reacts: give yours a limit, too.",
        *(turn.came[-1] for turn in changed[-1:]),
    )


def _lower_only(world: World, newest: Turn, lower: Turn) -> Verdict:
    if side := _one_side_higher(world, newest):
        return side
    return hint(
        f"{_counted(lower)} Now a limit above {DEFAULT_LIMIT}: RFC 5321 would like 100. Predict the number of hops "
        "first.",
        lower.came[-1],
    )


def _one_side_higher(world: World, newest: Turn) -> Verdict | None:
    """One limit was raised, and the other one ended the loop."""
    high, low = sorted((world.mine, world.partner), key=limit_of, reverse=True)
    if limit_of(high) <= DEFAULT_LIMIT or limit_of(low) > DEFAULT_LIMIT or newest.was_counted_out is None:
        return None
    where = "it has no line, so 30 counts" if limit_on_disk(low) is None else f"its limit is {limit_of(low)}"
    return hint(
        f"{high.name} would allow {limit_of(high)}, but {low.name} ended the loop ({where}). In a circle the lower "
        "limit decides.",
        newest.came[-1],
    )


def _neither(world: World, newest: Turn) -> Verdict:
    if side := _one_side_higher(world, newest):
        return side
    if all(limit_on_disk(host) is None for host in (world.mine, world.partner)):
        return todo(
            f"The loop turns, and ends after {len(newest.hops)} arrivals: Exim's default. Set received_headers_max in "
            "your exim.conf, once lower and once higher, and send a message each time."
        )
    return hint(
        f"{_counted(newest)} That is what Exim does anyway. Set received_headers_max below or above {DEFAULT_LIMIT}.",
        newest.came[-1],
    )


def _counted(turn: Turn) -> str:
    failed = turn.was_counted_out
    return f"The loop ended after {len(turn.hops)} arrivals, at {failed.host if failed else '?'}."

"""Why does this message still wait? One sentence for each of the two clocks.

WHAT       `why_waiting(host, queue_id)`: what the last try said, until when that holds it (the retry time), which
           queue run will find it due, and what would happen to it with -q, -qf and -M now.
RULES      labkit and the real Exim alike; of the real Exim the retry times are what exim_dumpdb says.
READ NEXT  labkit/lab/whywaiting.py
"""

from __future__ import annotations

from datetime import timedelta
from textwrap import fill

from labkit.lab.host import Host
from labkit.lab.lives import is_only_a_look
from labkit.lab.whywaiting import Clocks, clocks_of
from labkit.mail.dates import in_words
from labkit.teach.markup import Markup, join, tag, visible
from labkit.teach.plots.picture import label
from labkit.teach.plots.time_axis import short, span
from labkit.teach.view import View

MOST_RECIPIENTS = 5
WIDTH = 105


class WhyWaiting(View):
    """The sentences; `clocks` is what they are made of."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.title = f"Why {clocks.queue_id} waits at {label(clocks.host)}, {short(clocks.now)}"
        self.sentences = [sentence for sentence in _sentences(clocks) if sentence]

    def html(self) -> Markup:
        return join(tag("p", tag("b", self.title)), tag("ul", *(tag("li", each) for each in self.sentences)))

    def text(self) -> str:
        lines = [fill(f"- {visible(each)}", WIDTH, subsequent_indent="  ") for each in self.sentences]
        return "\n".join([visible(self.title), *lines])


def why_waiting(host: Host, queue_id: str) -> WhyWaiting:
    """Raises KeyError if no such message waits there."""
    return WhyWaiting(clocks_of(host, queue_id))


def _sentences(clocks: Clocks) -> list[str]:
    whom = ", ".join(label(each) for each in clocks.recipients[:MOST_RECIPIENTS])
    more = len(clocks.recipients) - MOST_RECIPIENTS
    said = [
        f"It came {in_words(clocks.now - clocks.came)} ago and is for {whom}{f' and {more} more' * (more > 0)}."
    ]
    if clocks.is_frozen:
        said.append("It is frozen: no queue run tries it until somebody thaws it (exim -Mt, or -M, or -qff).")
        return said
    said.append(_last(clocks))
    said.append(_retry_time(clocks))
    said.append(_queue_run(clocks))
    said.append(_by_hand(clocks))
    said.append(_over(clocks))
    return said


def _last(clocks: Clocks) -> str:
    last = clocks.last
    if last is None:
        return "Nothing was tried for it yet: it waits for a queue run."
    words = label(last.text or "", 200)
    if is_only_a_look(last):
        return f"When it was looked at last, {short(last.at)}, it was not its time: {words}."
    return f"The last try, {short(last.at)}, put it off: {words}."


def _retry_time(clocks: Clocks) -> str:
    held = clocks.held
    if held is None:
        return "No retry time holds it: the next queue run tries it."
    name, attempt = label(held.what), held.hint.attempt
    kind = (
        "the host"
        if held.is_host
        else "the mailbox"
        if held.what.startswith("T:")
        else "the address or domain"
    )
    words = f" ({label(held.hint.text, 80)})" if held.hint.text else ""
    if attempt.has_expired and held.is_host:
        return (
            f"First clock, the retry time: it does not count any more. The host (the hint {name}{words}) fails since "
            f"{short(attempt.first_failed)}, longer than its rule allows: the next queue run gives the message up."
        )
    if attempt.next_try <= clocks.now:
        return (
            f"First clock, the retry time: it was reached at {short(attempt.next_try)} "
            f"(the hint {name}{words}); nothing holds it any more."
        )
    return (
        f"First clock, the retry time: {short(attempt.next_try)}, in {in_words(attempt.next_try - clocks.now)}. "
        f"The hint {name}{words} says so, for {kind}: it fails since {short(attempt.first_failed)}."
    )


def _queue_run(clocks: Clocks) -> str:
    if not clocks.is_running:
        return "Second clock, the queue run: the daemon is stopped, so there is none."
    if clocks.runs_every is None or clocks.next_run is None:
        return (
            "Second clock, the queue run: this daemon runs no queue (no -q), so nobody looks at it by itself."
        )
    wait = clocks.next_run - clocks.due
    is_later = clocks.due > clocks.now and wait > timedelta()
    later = f", {in_words(wait)} after the retry time" if is_later else ""
    return (
        f"Second clock, the queue run: they come every {span(clocks.runs_every)}; the first that finds it due is at "
        f"{short(clocks.next_run)}, in {in_words(clocks.next_run - clocks.now)}{later}."
    )


def _by_hand(clocks: Clocks) -> str:
    if clocks.due <= clocks.now:
        return "By hand: exim -q tries it now."
    return (
        'By hand: exim -q changes nothing now ("retry time not reached"); exim -qf and exim -M ID do not ask for '
        "the retry time, and exim -R DOMAIN does not for the first message that it finds."
    )


def _over(clocks: Clocks) -> str:
    if clocks.gives_up_after is None:
        return ""
    over = clocks.came + clocks.gives_up_after
    if over <= clocks.now:
        return "Its time is over: the next try that fails is the last, and the sender gets a report."
    age = span(clocks.gives_up_after)
    return f"Its time is over at {short(over)} ({age} after it came): then the sender gets a report."

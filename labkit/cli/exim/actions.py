"""What an administrator does to the queue: -M…, -q…, -R, -S.

LIKE EXIM  the words, where they go, and the exit status; `Start queue run: pid=N` in the log, with the command's own
           pid
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  daemon.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.cli.exim.command import Mode, Selection
from labkit.cli.exim.views import Work
from labkit.eximconf.mailbox_text import NoMailbox, read_mailbox
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.event import EventKind
from labkit.mta.administration import Said
from labkit.mta.mta import Mta

_DOING = {"ar": "adding recipient", "es": "editing sender", "md": "marking as delivered"}


async def act(work: Work) -> None:
    """Do it, wait for deliveries, tell the exit status."""
    mode, command = work.command.mode, work.command
    if mode is Mode.RUN_QUEUE:
        assert command.selection is not None
        status = await _run_queue(work, command.selection)
    elif mode is Mode.DELIVER:
        status = await _deliver(work)
    else:
        status = 0
        for queue_id in command.ids:
            status = max(status, _change(work, queue_id))
    work.console.end(status)


async def _run_queue(work: Work, selection: Selection) -> int:
    pid = work.caller.pid
    work.console.why = f" (queue run pid {pid})"
    try:
        await run_queue(work.mta, selection, pid)
    except ValueError as problem:  # no regular expression
        work.console.complain(f"exim: {problem}")
        return 1
    await work.idle()
    return 0


async def run_queue(mta: Mta, selection: Selection, pid: int) -> None:
    """One run, with its two lines in the log. Raises ValueError for a regular expression that is none."""
    words = f"queue run: pid={pid}" + (f" {selection.shown}" if selection.shown else "")
    mta.state.note(EventKind.LOGGED, text=f"Start {words}")
    try:
        await mta.run_queue(
            forced=selection.forced,
            thaws=selection.thaws,
            part=selection.part,
            sender_part=selection.sender_part,
            is_regex=selection.part_is_regex or selection.sender_is_regex,
            first_only=selection.first_only,
            local_only=selection.local_only,
            routes_first=selection.two_stages,
            first_id=selection.first_id,
            last_id=selection.last_id,
        )
    finally:
        mta.state.note(EventKind.LOGGED, text=f"End {words}")


async def _deliver(work: Work) -> int:
    """-M, -Mc and -Mg: the exit status says nothing of what became of the messages."""
    mta = work.mta
    for queue_id in work.command.ids:
        if queue_id not in mta.state.queue:
            work.mta.state.note(
                EventKind.LOGGED, queue_id=queue_id, text=f"Spool file {queue_id}-D not found"
            )
        elif work.command.action == "g":
            await mta.give_up(queue_id, work.caller.login)
        elif work.command.action == "c":
            await mta.runner.deliver(queue_id)
        else:
            await mta.force(queue_id)
    await work.idle()
    return 0


def _change(work: Work, queue_id: str) -> int:
    """The actions that print what they have done."""
    console, mta, login = work.console, work.mta, work.caller.login
    is_removed = work.command.action == "rm"
    if queue_id not in mta.state.queue:
        mta.state.note(EventKind.LOGGED, queue_id=queue_id, text=f"Spool file {queue_id}-D not found")
        console.say(f"Spool data file for {queue_id} does not exist\n")
        if is_removed and work.caller.is_admin:
            console.say(
                "Continuing, to ensure all files removed\n"
                f"Spool read error for {queue_id}-H: No such file or directory\n"
                "Continuing to ensure all files removed\n"
            )
            mta.state.spool.remove(queue_id)
            console.say(f"Message {queue_id} has been removed or did not exist\n")
        return 1
    if queue_id in mta.state.busy:
        console.say(f"Message {queue_id} is locked\n")
        return 1
    is_own = mta.state.queue[queue_id].origin.login == login
    if not work.caller.is_admin and not (is_removed and is_own):
        console.say("Permission denied\n")
        return 1
    said = _CHANGES[work.command.action](work, queue_id)
    console.say(f"Message {queue_id} {said.words}\n")
    return 0 if said.is_done else 1


def _with_addresses(work: Work, queue_id: str) -> Said:
    """-Mar, -Mes and -Mmd: addresses stand behind the id."""
    action, mta, login = work.command.action, work.mta, work.caller.login
    doing, arguments = _DOING[action], work.command.arguments
    if action == "es" and len(arguments) > 1:
        return Said("- only one sender address can be specified", False)
    if not arguments:
        return Said(f"- error while {doing}: no address given", False)
    addresses, problems = [], []
    for argument in arguments:
        try:
            addresses.append(_address(argument, may_be_null=action == "es"))
        except ValueError as problem:
            problems.append(f"- error while {doing}:\n  bad address {argument}: {problem}")
    if problems:
        return Said("\n".join(problems), False)
    if action == "es":
        return mta.set_sender(queue_id, addresses[0], login)
    wanted = [address for address in addresses if address is not None]
    if action == "ar":
        return mta.add_recipients(queue_id, wanted, login)
    try:
        return mta.mark_delivered(queue_id, wanted, login)
    except ValueError as problem:
        return Said(f"- error while {doing}:\n  {problem}", False)


def _address(text: str, *, may_be_null: bool) -> Mailbox | None:
    """Raises ValueError with Exim's words."""
    try:
        found = read_mailbox(text, may_be_null=may_be_null)
        if not found.text:
            return None
        if not found.has_domain:
            raise ValueError("domain missing")
        return Mailbox.parse(found.text)
    except (NoMailbox, AddressSyntaxError) as problem:
        raise ValueError(str(problem)) from None


_CHANGES: dict[str, Callable[[Work, str], Any]] = {
    "f": lambda work, queue_id: work.mta.freeze(queue_id, work.caller.login),
    "t": lambda work, queue_id: work.mta.thaw(queue_id, work.caller.login),
    "rm": lambda work, queue_id: work.mta.remove(queue_id, work.caller.login),
    "mad": lambda work, queue_id: work.mta.mark_delivered(queue_id, None, work.caller.login),
    "ar": _with_addresses,
    "es": _with_addresses,
    "md": _with_addresses,
}

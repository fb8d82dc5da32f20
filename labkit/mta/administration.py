"""What an administrator does to messages that wait: freeze, thaw, remove, change the envelope, give up.

WHAT       `Administration`; each of its methods is one of Exim's options -M… and returns what Exim prints.
RULES      KeyError for a message that is not there; one that is just being delivered is left alone ("is locked")
LIKE EXIM  the words of the log: "frozen by ann", "recipient <x@y> added by ann"
STANDARDS  Exim specification, chapter "The Exim command line" (-Mf, -Mt, -Mg, -Mrm, -Mar, -Mes, -Mmd, -Mmad)
READ NEXT  runner.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from labkit.mail.address import Mailbox
from labkit.mail.event import EventKind
from labkit.mta.runner import Runner
from labkit.mta.state import MtaState
from labkit.queue.item import QueueItem


@dataclass(frozen=True, slots=True)
class Said:
    """What Exim prints behind "Message ID ", and whether it did what it was asked for."""

    words: str
    is_done: bool = True


_LOCKED = Said("is locked", False)


class Administration:
    """What can be done to the messages of one MTA. `login` is who does it; the log names him."""

    def __init__(self, state: MtaState, runner: Runner) -> None:
        self.state = state
        self.runner = runner

    def freeze(self, queue_id: str, login: str) -> Said:
        item = self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        if item.frozen:
            return Said("is already frozen", False)
        self._store(item.freeze(self.state.surroundings.now()))
        self.state.note(EventKind.FROZEN, queue_id=queue_id, text=f"frozen by {login}")
        return Said("is now frozen")

    def thaw(self, queue_id: str, login: str) -> Said:
        """It is tried again in the next queue run."""
        item = self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        if not item.frozen:
            return Said("is not frozen", False)
        self._store(item.thaw(by_hand=True))
        self._log(queue_id, f"unfrozen by {login}")
        self.runner.look_again()
        return Said("is no longer frozen")

    def remove(self, queue_id: str, login: str) -> Said:
        """Nobody hears of it."""
        self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        self.state.spool.remove(queue_id)
        self.state.queue.pop(queue_id, None)
        self._log(queue_id, f"removed by {login}")
        self.state.note(EventKind.COMPLETED, queue_id=queue_id)
        return Said("has been removed")

    async def give_up(self, queue_id: str, login: str) -> Said:
        """The sender gets a report, as if every recipient had failed; a report is dropped. Exim prints nothing."""
        self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        await self.runner.give_up(queue_id, login)
        return Said("")

    def add_recipients(self, queue_id: str, recipients: Sequence[Mailbox], login: str) -> Said:
        item = self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        envelope = item.envelope
        envelope = replace(envelope, forward_paths=(*envelope.forward_paths, *recipients))
        self._store(replace(item, envelope=envelope))
        for recipient in recipients:
            self._log(queue_id, f"recipient <{recipient}> added by {login}")
        self.runner.look_again()
        return Said("has been modified")

    def set_sender(self, queue_id: str, sender: Mailbox | None, login: str) -> Said:
        """None: the null reverse-path."""
        item = self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        self._store(replace(item, envelope=replace(item.envelope, reverse_path=sender)))
        self._log(queue_id, f"sender address changed to <{sender or ''}> by {login}")
        return Said("has been modified")

    def mark_delivered(self, queue_id: str, recipients: Sequence[Mailbox] | None, login: str) -> Said:
        """None: all of them. When the next run finds nobody left, the message is complete.

        Raises ValueError for somebody who is no recipient; then nothing is changed.
        """
        item = self._item(queue_id)
        if queue_id in self.state.busy:
            return _LOCKED
        known = {each.key: each for each in item.envelope.forward_paths}
        marked = item.envelope.forward_paths if recipients is None else tuple(recipients)
        for recipient in marked:
            if recipient.key not in known:
                raise ValueError(f"{recipient} is not a recipient: message not updated")
        self._store(item.with_finished(*(known[recipient.key] for recipient in marked)))
        for recipient in marked:
            self._log(queue_id, f"address <{recipient}> marked delivered by {login}")
        self.runner.look_again()
        return Said("has been modified" + "\n" * (recipients is None))  # Exim adds an empty line

    def _item(self, queue_id: str) -> QueueItem:
        try:
            return self.state.queue[queue_id]
        except KeyError:
            raise KeyError(f"no message {queue_id} in the queue of {self.state.name}") from None

    def _store(self, item: QueueItem) -> None:
        """On disk first."""
        self.state.spool.update(item)
        self.state.queue[item.queue_id] = item

    def _log(self, queue_id: str, words: str) -> None:
        self.state.note(EventKind.LOGGED, queue_id=queue_id, text=words)

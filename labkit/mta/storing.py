"""Final delivery: a message goes into a mailbox of this host.

DOES       carries out a plan of appendfile; waits for a mailbox that is locked as long as the transport says; looks how
           full it is, and warns its owner.
LIKE EXIM  the words and the numbers of what goes wrong
READ NEXT  answering.py
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from labkit.delivery.quota import OVER_QUOTA
from labkit.delivery.transports import AppendPlan, Trouble
from labkit.eximconf.expansion import Env, Value
from labkit.mail.asking import answer_later
from labkit.mta.legs import Leg
from labkit.mta.state import MtaState
from labkit.net import maildir, maildir_size
from labkit.net.mailbox_places import LOCK_FAILED, MailboxLocked, MailboxRefused, NoFolder, NotMade
from labkit.net.mbox import append

FULL = "mailbox is full"
_USER_ERRORS = (errno.EPERM, errno.ENOENT, errno.EACCES)


class Store:
    """One delivery into a mailbox. `stored` is called when the message is on disk; `warns` tells afterwards whether its
    owner is to hear that the mailbox is nearly full."""

    def __init__(
        self, state: MtaState, plan: AppendPlan, leg: Leg, env: Env, queue_id: str, stored: Callable[[], None]
    ) -> None:
        self.state, self.plan, self.leg, self.env, self.stored = state, plan, leg, env, stored
        self.queue_id = queue_id
        self.path = state.root / plan.path.lstrip("/")
        self.delivery = (
            f"{queue_id} {leg.route.unique or leg.address} {env.variables.get('transport_name', '')}"
        )
        self.writing_to = plan.path
        self.size_before = 0
        self.warns = self.waits = False
        self.locked_by = "lock file"

    async def carry_out(self, *, waits: bool = False) -> Trouble | None:
        """Returns why it is not there, or None.

        Raises MailboxLocked if it is locked now; with `waits`, it is tried again as often as the transport says.
        """
        plan, self.waits = self.plan, waits
        if plan.path == "/dev/null" and not plan.is_folder:
            self.stored()
            return None
        try:
            if plan.is_maildir:
                await self._maildir()
            elif plan.is_folder:
                await self._folder()
            else:
                await self._mbox()
        except MailboxLocked as problem:
            if not waits:
                raise
            return self._trouble(problem)
        except OSError as problem:
            return self._trouble(problem)
        self.warns = plan.quota.warns(self.size_before, len(plan.octets))
        return None

    # --- the three forms ----------------------------------------------------------------------

    async def _mbox(self) -> None:
        """The first attempt is at once; the others come, one after each interval, when it `waits`."""
        rules = self.plan.rules
        if not self.waits:
            self._append()
            return
        pause = timedelta(seconds=rules.lock_interval)
        for _ in range(rules.lock_retries - 1):
            await self.state.surroundings.sleep(pause)
            try:
                self._append()
                return
            except MailboxLocked:
                continue
        await self.state.surroundings.sleep(pause)
        raise MailboxLocked(self.plan.path, self.locked_by)

    def _append(self) -> None:
        try:
            append(
                self.path,
                self.plan.octets,
                root=self.state.root,
                delivery=self.delivery,
                rules=self.plan.rules,
                shown=self.plan.path,
                permits=self._permit,
                stored=self.stored,
            )
        except MailboxLocked as problem:
            self.locked_by = problem.by
            raise

    async def _maildir(self) -> None:
        plan, root = self.plan, self.state.root
        name = maildir.file_name(self.queue_id, self.delivery, self.state.primary_hostname)
        self.writing_to = f"tmp/{name}"
        if plan.folder_pattern and _search(plan.folder_pattern, plan.path):
            maildir.make_maildirfolder(self.path, root, plan.rules)
        sizes = self._size_file()
        self._look(sizes)
        tag = ""
        if plan.tag is not None:
            self.env.variables["message_size"] = str(len(plan.octets))
            outcome = await answer_later(self.state.answerer(self.env), plan.tag.asking(self.env))
            tag = maildir.tag_of(outcome.text) if isinstance(outcome, Value) else ""
        is_new = maildir.deliver(self.path, plan.octets, root=root, name=name, rules=plan.rules, tag=tag)
        if sizes is not None and is_new:
            sizes.add(len(plan.octets))
        self.stored()

    async def _folder(self) -> None:
        plan = self.plan
        temporary = f"temp.{os.getpid()}.{self.state.primary_hostname}"
        self.writing_to = f"{plan.path}/{temporary}"
        self._look(None)
        made = maildir.NewFile(self.path, plan.octets, self.state.root, plan.rules, temporary, plan.path)
        with made as inode:
            assert plan.name is not None, "it has a default"
            self.env.variables["inode"] = str(inode)
            outcome = await answer_later(self.state.answerer(self.env), plan.name.asking(self.env))
            if not isinstance(outcome, Value):
                words = f'Expansion of "{plan.name.text}" (directory_file for transport) failed: {outcome.message}'
                raise MailboxRefused(0, words)
            made.call(outcome.text)
        self.stored()

    # --- how full it is -----------------------------------------------------------------------

    def _size_file(self) -> maildir_size.SizeFile | None:
        plan = self.plan
        if not plan.keeps_size_file:
            return None
        counted = self._counted()
        quota = plan.quota
        (counted / "tmp").mkdir(mode=plan.rules.directory_mode, parents=True, exist_ok=True)
        return maildir_size.SizeFile(
            counted,
            quota.limit,
            quota.file_limit,
            lambda: maildir_size.maildir_size(
                counted, self._size_in_name, lambda name: _search(plan.counted_pattern, name)
            ),
        )

    def _counted(self) -> Path:
        """The folder whose messages count: a Maildir that is a folder of another belongs to that."""
        plan, root = self.plan, self.state.root
        if plan.quota_folder:
            return root / plan.quota_folder.lstrip("/")
        if plan.is_maildir and (self.path / "maildirfolder").exists():
            return self.path.parent
        return self.path

    def _look(self, sizes: maildir_size.SizeFile | None) -> None:
        """Look at a folder. Raises MailboxRefused if there is no room."""
        quota, size, count = self.plan.quota, 0, 0
        if sizes is not None:
            size, count = sizes.sizes(lambda size, count: self._excess(size, count) is not None)
        elif quota.matters and (quota.size is None or (quota.count is None and quota.file_limit)):
            size, count = maildir_size.folder_size(self._counted(), self._size_in_name)
        self._permit(size, count)

    def _permit(self, size: int, count: int) -> None:
        quota = self.plan.quota
        size = size if quota.size is None else quota.size
        count = count if quota.count is None else quota.count
        self.size_before = size
        which = self._excess(size, count)
        if which is not None:
            words = f"{FULL} (MTA-imposed{which} quota exceeded while writing to {self.writing_to})"
            raise MailboxRefused(OVER_QUOTA, words)

    def _excess(self, size: int, count: int) -> str | None:
        return self.plan.quota.excess(size, count, int(self.env.variables.get("message_size") or 0))

    def _size_in_name(self, name: str) -> int | None:
        if not self.plan.size_pattern:
            return None
        found = re.search(self.plan.size_pattern, name)
        text = found[1] if found is not None and found.re.groups else ""
        return int(text) if text and text.isdecimal() and len(text) < 16 else None

    # --- what went wrong ----------------------------------------------------------------------

    def _trouble(self, problem: OSError) -> Trouble:
        number = problem.errno or 0
        if isinstance(problem, MailboxLocked):
            return Trouble(f"failed to lock mailbox {self.plan.path} ({problem.by})", LOCK_FAILED)
        if isinstance(problem, NoFolder) and not self.plan.is_folder:
            post = f"{self.plan.path}.lock.{self.state.primary_hostname}.{os.getpid():08x}"
            words = f"creating lock file hitching post {post} (euid={os.geteuid()} egid={os.getegid()})"
            return Trouble(_named(problem, words), number)
        if isinstance(problem, MailboxRefused):
            is_theirs = isinstance(problem, NotMade) and self.leg.route.is_target and number in _USER_ERRORS
            told = FULL if number == OVER_QUOTA else None
            return Trouble(_named(problem, str(problem)), number, fails=is_theirs, told=told)
        if number == errno.EDQUOT:
            return Trouble(_named(problem, FULL), number, told=FULL)
        if number == errno.ENOSPC:
            return Trouble(_named(problem, f"error while writing to {self.writing_to}"), number)
        return Trouble(f"{os.strerror(number)}: {self.plan.path}" if number else str(problem), number)


def _named(problem: OSError, words: str) -> str:
    """A number of the system has a name, which comes first; those of Exim have none."""
    number = problem.errno or 0
    name = os.strerror(number) if number > 0 else ""
    return words if not name or words.endswith(name) else f"{name}: {words}"


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False

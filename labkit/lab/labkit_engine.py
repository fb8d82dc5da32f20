"""labkit's own MTA on a host.

READ NEXT  exim_engine.py
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn_explicit

from labkit.eximconf.configuration import reading
from labkit.lab.engine import DoubtfulConfiguration, Engine, NoSuchMessage, NotThisEngine, Output, QueueRun
from labkit.lab.exim_log import Style, main_log, reject_log
from labkit.lab.exim_queue import queue_listing, queue_summary
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.envelope import Envelope
from labkit.mail.event import MailEvent
from labkit.mail.lookups import FileText, Unopened
from labkit.mail.questions import Account
from labkit.mta.administration import Said
from labkit.mta.compiled import Compiled, compile_configuration
from labkit.mta.mta import Mta
from labkit.net.file_text import file_text
from labkit.net.resolver import Resolver
from labkit.queue.hints import Hint
from labkit.queue.item import QueueItem
from labkit.routing import Mode, Routed

if TYPE_CHECKING:
    from labkit.lab.host import Host


class LabkitEngine(Engine):
    """labkit's MTA, with its parts in reach for those who look inside (`mta`)."""

    name = "labkit"

    def __init__(self, host: Host, queue_interval: timedelta | None) -> None:
        self._host = host
        world = host.world
        self.mta = Mta(
            name=host.name,
            addresses=(host.address,),
            compiled=self._compile(),
            network=world.network,
            resolver=Resolver(
                world.network, host.address, world.scenario.nameserver, world.now, world.agenda.sleep
            ),
            accounts=ChainMap(host.accounts, {"root": Account("root", "/root")}),
            root=host.folder,
            surroundings=world,
            queue_interval=queue_interval,
            threaded=world.network.name == "loopback",
        )
        self.mta.intake.misbehaves = world.faults.of(host.name)

    def _compile(self) -> Compiled:
        host, file = self._host, self._host.configuration_file

        def answer(question: Question[Any]) -> str | Unopened:
            assert isinstance(question, FileText), question
            return file_text(question, root=host.folder, beside=file.parent)

        configuration = answer_by(answer, reading(host.configuration, file.name))
        compiled = compile_configuration(
            configuration,
            self._host.name,
            (self._host.address,),
            root=host.folder,
            runs_programs=self._host.runs_programs,
        )
        for doubt in compiled.doubts:
            words = f"{doubt.problem}\n  {doubt.remedy}\n  (Exim loads such a file; it shows when mail comes)"
            warn_explicit(words, DoubtfulConfiguration, doubt.place.file, doubt.place.line)
        return compiled

    # --- the daemon ---------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self.mta.is_running

    @property
    def ports(self) -> tuple[int, ...]:
        return self.mta.ports

    async def start(self, *, queue_only: bool = False) -> None:
        await self.reload()
        await self.mta.start(queue_only=queue_only)

    async def stop(self) -> None:
        self.mta.stop()

    async def reload(self) -> None:
        before = self.mta.doors
        self.mta.reconfigure(self._compile())
        if self.is_running and self.mta.doors != before:
            world = self._host.world
            world.at(world.now(), self.mta.listen_again, f"{self._host.name} listens again")

    def close(self) -> None:
        self.mta.close()

    async def submit(self, envelope: Envelope, content: bytes, login: str) -> str:
        return await self.mta.submit(envelope, content, login)

    # --- the queue ----------------------------------------------------------------------------

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        return self.mta.queue

    def queue_listing(self) -> str:
        return queue_listing(self.queue, self._host.world.now())

    def queue_summary(self) -> str:
        return queue_summary(self.queue_listing())

    async def run_queue(self, run: QueueRun) -> None:
        await self.mta.run_queue(forced=run.forced, thaws=run.thaws, part=run.domain)

    def next_queue_run(self, instant: datetime) -> datetime | None:
        return self.mta.runner.next_run(instant)

    @property
    def queue_interval(self) -> timedelta | None:
        return self.mta.runner.interval

    def retry_hints(self) -> Mapping[str, Hint]:
        return self.mta.state.hints.rows

    def met(self) -> Mapping[str, float]:
        """What the condition `seen` has written down: each key, and when (seconds of the epoch)."""
        return self.mta.state.answers.rates.met

    async def force(self, queue_id: str) -> None:
        await self.mta.force(queue_id)

    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        return self.mta.state.spool.files(queue_id)

    # --- looking ------------------------------------------------------------------------------

    async def route(self, address: str) -> Routed:
        """`postmaster` alone is somebody here; whatever else is no address raises AddressSyntaxError."""
        domain = self.mta.state.compiled.qualify_recipient
        return await self.mta.route(Mailbox.parse(address if "@" in address else f"{address}@{domain}"))

    def log(self) -> str:
        return "\n".join(main_log(self._events(), self._log_style()))

    def reject_log(self) -> str:
        if not self.mta.state.compiled.configuration.main.flag("write_rejectlog"):
            return ""
        return "\n".join(reject_log(self._events(), self._log_style()))

    def _events(self) -> Iterator[MailEvent]:
        host = self._host
        return (event for event in host.world.journal if event.host == host.name)

    def _log_style(self) -> Style:
        compiled = self.mta.state.compiled
        return Style(compiled.log_selector, compiled.configuration.main.flag("log_timezone"))

    # --- the command line ---------------------------------------------------------------------

    async def command(self, arguments: Sequence[str], stdin: bytes, login: str) -> Output:
        option, *rest = arguments or ("",)
        if option in ("-bp", "-bpc") and not rest:
            return Output(0, self.queue_listing() if option == "-bp" else f"{len(self.queue)}\n")
        if (found := _QUEUE_RUN.fullmatch(option)) and len(rest) <= 2:
            await self.mta.run_queue(
                routes_first=bool(found["two"]),
                first_only=bool(found["first"]),
                forced=bool(found["forced"]),
                thaws=found["forced"] == "ff",
                local_only=bool(found["local"]),
                first_id=rest[0] if rest else "",
                last_id=rest[1] if len(rest) > 1 else "",
                login=login,
            )
            return Output(0, "")
        if (found := _SELECTED.fullmatch(option)) and len(rest) == 1:
            is_recipient, forced = found["who"] == "R", found["forced"]
            await self.mta.run_queue(
                forced=bool(forced),
                thaws=forced == "ff",
                is_regex=bool(found["regex"]),
                part=rest[0] if is_recipient else None,
                sender_part=None if is_recipient else rest[0],
                login=login,
            )
            return Output(0, "")
        if option in ADMINISTRATION and rest:
            return await self._administer(option, rest, login)
        if option == "-M" and rest:
            for queue_id in rest:
                await self.mta.force(queue_id, login)
            return Output(0, "")
        if option in ("-Mvh", "-Mvb") and len(rest) == 1:
            return self._spool_text(rest[0], part=0 if option == "-Mvh" else 1)
        if option in _TESTS and rest:
            return Output(*await self.mta.test(rest, _TESTS[option]))
        if option == "-be" and rest:
            return Output(0, "".join([f"{await self.mta.expand(text, login)}\n" for text in rest]))
        raise NotThisEngine(
            f"labkit's own MTA does not know `exim {' '.join(arguments)}` yet; it knows -bp, -bpc, -q, -qf, -qff, "
            "-qi, -ql, -qq, -R, -S, -M, -Mf, -Mt, -Mg, -Mrm, -Mar, -Mes, -Mmd, -Mmad, -Mvh, -Mvb, -bt, -bv, -bvs "
            'and -be. With `await host.run_on("exim")` the real Exim answers.'
        )

    async def _administer(self, option: str, words: Sequence[str], login: str) -> Output:
        """-Mf and its like; the first four are for several messages, the others for one and addresses."""
        mta = self.mta
        if option in _OF_MESSAGES:
            said: list[tuple[str, Said | None]] = []
            for queue_id in words:
                if queue_id not in mta.state.queue:
                    said.append((queue_id, None))
                elif option == "-Mg":
                    said.append((queue_id, await mta.give_up(queue_id, login)))
                else:
                    said.append((queue_id, _OF_MESSAGES[option](mta, queue_id, login)))
            return _told(said)
        queue_id, *addresses = words
        if queue_id not in mta.state.queue:
            return _told([(queue_id, None)])
        if option == "-Mmad":
            return _told([(queue_id, mta.mark_delivered(queue_id, None, login))])
        doing = {"-Mes": "editing sender", "-Mar": "adding recipient", "-Mmd": "marking as delivered"}[option]
        problem = f"- error while {doing}: no address given" if not addresses else ""
        if option == "-Mes" and len(addresses) > 1:
            problem = "- only one sender address can be specified"
        try:
            found = [None if each in ("", "<>") else Mailbox.parse(each) for each in addresses]
        except AddressSyntaxError as error:
            problem = f"- error while {doing}:\n  bad address {error}"
            found = []
        named = [each for each in found if each is not None]
        if problem:
            return _told([(queue_id, Said(problem, False))])
        if option == "-Mes":
            return _told([(queue_id, mta.set_sender(queue_id, found[0], login))])
        try:
            change = mta.add_recipients if option == "-Mar" else mta.mark_delivered
            return _told([(queue_id, change(queue_id, named, login))])
        except ValueError as error:
            return _told([(queue_id, Said(f"- error while {doing}:\n  {error}", False))])

    def _spool_text(self, queue_id: str, part: int) -> Output:
        files = self.spool_files(queue_id)
        if files is None:
            raise NoSuchMessage(
                f"no message {queue_id} in the queue of {self._host.name}; see queue_listing()"
            )
        return Output(0, files[part].read_text(encoding="utf-8", errors="replace"))


def _told(said: Sequence[tuple[str, Said | None]]) -> Output:
    """What Exim prints: None is a message that is not there."""
    text = "".join(
        f"Spool data file for {queue_id} does not exist\n"
        if each is None
        else f"Message {queue_id} {each.words}\n" * bool(each.words)
        for queue_id, each in said
    )
    return Output(0 if all(each is not None and each.is_done for _, each in said) else 1, text)


_QUEUE_RUN = re.compile(r"-q(?P<two>q?)(?P<first>i?)(?P<forced>f{0,2})(?P<local>l?)")
_SELECTED = re.compile(r"-(?P<who>[RS])(?P<regex>r?)(?P<forced>f{0,2})")
_OF_MESSAGES: dict[str, Callable[[Mta, str, str], Said]] = {
    "-Mf": Mta.freeze,
    "-Mt": Mta.thaw,
    "-Mrm": Mta.remove,
    "-Mg": lambda mta, queue_id, login: Said(""),  # which takes time, and is done where it is asked for
}
ADMINISTRATION = (*_OF_MESSAGES, "-Mar", "-Mes", "-Mmd", "-Mmad")
_TESTS = {"-bt": Mode.TEST, "-bv": Mode.VERIFY_RECIPIENT, "-bvs": Mode.VERIFY_SENDER}

"""Messages that a host writes itself: reports, warnings, notices; each is on disk before its cause is written down.

DOES       reads what the configuration says of them (bounce_message_file, dsn_from, errors_copy, …), and hands them in.
LIKE EXIM  a text that cannot be expanded, or a file that cannot be read, is told to the log, and the usual words do
STANDARDS  Exim specification, chapter "Customizing bounce and warning messages"
READ NEXT  runner.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.lists import ListKind, Match, compile_list, split_list
from labkit.eximconf.place import Place
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.lookups import FileText
from labkit.mail.message import Message
from labkit.mta.intake import Intake
from labkit.mta.local_message import NotTaken
from labkit.mta.outcomes import Ending
from labkit.mta.state import MtaState
from labkit.queue import errors
from labkit.queue.item import QueueItem
from labkit.queue.notices import (
    DeliveredRecipient,
    NoticeAbout,
    delay_in_words,
    delay_warning,
    freezing_notice,
    success_report,
    warnings_due,
)
from labkit.queue.report import FailedRecipient, failure_report
from labkit.queue.report_parts import ReportStyle


class Teller:
    """Whoever tells people about one message."""

    def __init__(self, state: MtaState, intake: Intake, item: QueueItem, login: str) -> None:
        self.state = state
        self.intake = intake
        self.item = item
        self.login = login  # who has started the run
        self.main = state.compiled.configuration.main

    async def tell_failures(self, errors_to: Mailbox, endings: Sequence[Ending]) -> None:
        """Returns when the report is on disk."""
        env = self._env(bounce_recipient=str(errors_to))
        about = await self._about(env, "bounce_message_file")
        content = failure_report(
            self.item,
            [_failed(each) for each in endings],
            errors_to=errors_to,
            queue_id=about.queue_id,
            host=about.host,
            qualify_domain=about.qualify_domain,
            now=about.now,
            style=about.style,
        )
        copy = await self._copy_of(str(errors_to), env)
        await self._hand_in(about.queue_id, content, [errors_to, *copy])

    async def tell_success(self, endings: Sequence[Ending]) -> None:
        sender = self.item.envelope.reverse_path
        assert sender is not None, "nobody asks for a report about a report"
        about = await self._about(self._env())
        delivered = [
            DeliveredRecipient(
                each.leg.address,
                each.hop.host if each.hop else None,
                each.leg.recipient if each.leg.route.parents else None,
                each.wishes.original,
            )
            for each in endings
        ]
        await self._hand_in(about.queue_id, success_report(about, delivered), [sender])

    async def warn(self, waiting: Sequence[Ending], age: timedelta) -> int:
        """Tell the sender that it takes long, if it is time; returns how many warnings there have been."""
        times: tuple[timedelta, ...] = self.main.values.get("delay_warning") or ()
        count, shown = warnings_due(times, age)
        item = self.item
        notify = waiting[0].wishes.notify
        if count <= item.warnings or item.is_report or (notify is not None and "DELAY" not in notify):
            return item.warnings
        recipients = list(dict.fromkeys(filter(None, (self._who_hears(each) for each in waiting))))
        delay = delay_in_words(age, shown)
        domains = {each.leg.address.domain for each in waiting}
        values = {"warn_message_delay": delay, "warn_message_recipients": ",".join(map(str, recipients))}
        env = self._env(**values, **({"domain": domains.pop()} if len(domains) == 1 else {}))
        if not recipients or not await self._is_wanted(env):
            return item.warnings
        about = await self._about(env, "warn_message_file")
        content = delay_warning(about, [_failed(each) for each in waiting], recipients, delay)
        await self._hand_in(about.queue_id, content, recipients)
        return count

    def _who_hears(self, ending: Ending) -> Mailbox | None:
        named = ending.leg.route.errors_to
        try:
            return Mailbox.parse(named) if named else self.item.envelope.reverse_path
        except AddressSyntaxError:
            return self.item.envelope.reverse_path

    async def _is_wanted(self, env: Env) -> bool:
        """`delay_warning_condition`."""
        text = self.main.expansion("delay_warning_condition")
        if text is None:
            return True
        said = await self._expanded(text.text, env, "delay_warning_condition")
        return said is not None and said.strip().lower() not in ("", "0", "no", "false")

    async def tell_of_freezing(self, waiting: Sequence[Ending], why: str) -> None:
        """`freeze_tell`."""
        to = [
            address
            for each in split_list(self.main.text("freeze_tell") or "", ",")
            if (address := self._mailbox(each))
        ]
        if not to:
            return
        about = await self._about(self._env())
        lines = [(_log_name(each), _log_words(each)) for each in waiting]
        content = freezing_notice(about, ",".join(map(str, to)), why, lines)
        await self._hand_in(about.queue_id, content, to)

    def _mailbox(self, text: str) -> Mailbox | None:
        text = text.strip()
        try:
            return Mailbox.parse(text if "@" in text else f"{text}@{self.state.compiled.qualify_recipient}")
        except AddressSyntaxError:
            return None

    # --- what the configuration says ----------------------------------------------------------

    def _env(self, **values: str) -> Env:
        env = self.state.env_of(self.item, Message.parse(self.item.content))
        return replace(env, variables={**env.variables, **values})

    async def _about(self, env: Env, file_option: str = "") -> NoticeAbout:
        main, state = self.main, self.state
        paragraphs = await self._paragraphs(file_option, env) if file_option else None
        style = ReportStyle(
            sender=await self._expanded(main.text("dsn_from") or "", env, "dsn_from") or "",
            reply_to=main.text("errors_reply_to") or "",
            text=main.text("bounce_message_text") or "",
            returns_body=main.flag("bounce_return_body"),
            size_limit=main.number("bounce_return_size_limit"),
            line_limit=main.number("bounce_return_linesize_limit"),
            paragraphs=paragraphs or (),
            has_file=paragraphs is not None,
        )
        return NoticeAbout(
            self.item,
            state.new_queue_id(),
            state.primary_hostname,
            state.compiled.qualify_domain,
            state.surroundings.now(),
            style,
        )

    async def _paragraphs(self, option: str, env: Env) -> tuple[str, ...] | None:
        """The texts in a message file, with lines of four stars between them; each is expanded. None: no file."""
        named = self.main.expansion(option)
        path = await self._expanded(named.text, env, option) if named is not None else None
        if not path:
            return None
        if not path.startswith("/"):
            self._log(f"{option} is not absolute after expansion: '{path}'")
            return None
        found = await self.state.answer(FileText(path))
        if not isinstance(found, str):
            self._log(
                f"Failed to open {path} for {'error' if 'bounce' in option else 'warning'} message texts"
            )
            return None
        texts: list[str] = []
        lines: list[str] = []
        for line in found.splitlines(keepends=True):
            if line == "****\n":
                texts.append("".join(lines))
                lines = []
            else:
                lines.append(line)
        texts.append("".join(lines))
        return tuple([await self._expanded(text, env, option) or "" for text in texts])

    async def _copy_of(self, recipient: str, env: Env) -> list[Mailbox]:
        """`errors_copy`: pattern and address, in pairs; the first pattern that fits decides."""
        for pair in self.main.texts("errors_copy"):
            pattern, _, address = pair.partition(" ")
            patterns = compile_list(ListKind.ADDRESS, pattern.strip('"'), _HERE, env.named)
            found = await answer_later(self.state.answerer(env), patterns.asking(recipient, env))
            if not isinstance(found, Match) or not found.found or not address.strip():
                continue
            local_part, _, domain = recipient.rpartition("@")
            values = {"local_part": local_part, "domain": domain, "0": recipient}
            expanded = await self._expanded(
                address.strip(), replace(env, variables={**env.variables, **values}), "errors_copy"
            )
            return [to for each in (expanded or "").split(",") if (to := self._mailbox(each))]
        return []

    async def _expanded(self, text: str, env: Env, option: str) -> str | None:
        if "$" not in text and "\\" not in text:
            return text
        outcome = await answer_later(self.state.answerer(env), compile_text(text, _HERE).asking(env))
        if isinstance(outcome, Value):
            return str(outcome.text)
        self._log(f"Failed to expand {option}: {outcome.message}")
        return None

    def _log(self, words: str) -> None:
        self.state.note(EventKind.LOGGED, queue_id=self.item.queue_id, text=words)

    async def _hand_in(self, queue_id: str, content: bytes, to: Sequence[Mailbox]) -> None:
        try:
            await self.intake.take_local(
                Envelope(None, tuple(to)),
                content,
                self.login,
                queue_id,
                about=self.item.queue_id,
                authenticated_sender=self.main.text("bounce_sender_authentication") or "",
            )
        except NotTaken as problem:  # by the host's own ACL; its sender hears nothing, but the log does
            self.state.note(EventKind.PROBLEM, queue_id=self.item.queue_id, text=f"no report: {problem}")


_HERE = Place("the main options", 1)


def _failed(ending: Ending) -> FailedRecipient:
    """An ending as a report tells it."""
    route, hop = ending.leg.route, ending.hop if ending.shows_hop else None
    lines = [f"host {hop.host} [{hop.address}]"] if hop else []
    if ending.told and not route.hides_child:
        lines.append(ending.told)
    has_more = ending.has_timed_out and ending.reply is not None
    return FailedRecipient(
        ending.leg.address,
        "\n".join(lines),
        hop.host if hop else None,
        ending.reply,
        ending.leg.recipient if route.parents else None,
        is_far=len(route.parents) > 1,
        target=route.text if route.is_target else "",
        is_hidden=route.hides_child,
        original=ending.wishes.original,
        more=": retry timeout exceeded" if has_more else "",
        output=ending.output,
    )


def _log_name(ending: Ending) -> str:
    parent = f" <{ending.leg.recipient}>" if ending.leg.route.parents else ""
    return f"{ending.leg.address}{parent}"


def _log_words(ending: Ending) -> str:
    system = errors.in_words(ending.errno)
    return ": ".join(filter(None, [system, "" if ending.words == system else ending.words]))

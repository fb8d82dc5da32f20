"""A message is delivered here: into a mailbox, to a program, to whoever writes an answer.

DOES       carries out the plan of a local transport, then that of its shadow, and settles what became of the leg.
LIKE EXIM  a shadow gets a copy only when the delivery itself has worked, and what becomes of it is only told
STANDARDS  Exim specification, chapter "Generic options for transports", options shadow_transport, shadow_condition
READ NEXT  storing.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.delivery.generic import NOT_ABSOLUTE, NOT_EXPANDED
from labkit.delivery.quota import WARNING
from labkit.delivery.transports import (
    AppendPlan,
    PipePlan,
    Prepared,
    ReplyPlan,
    Trouble,
    planning,
    preparing,
)
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.place import Place
from labkit.mail.asking import answer_later
from labkit.mail.event import EventKind
from labkit.mail.message import with_crlf
from labkit.mta.answering import answer
from labkit.mta.legs import Leg
from labkit.mta.local_message import NotTaken
from labkit.mta.own_mail import send
from labkit.mta.piping import pipe
from labkit.mta.storing import Store
from labkit.net.mailbox_places import MailboxLocked

if TYPE_CHECKING:
    from labkit.mta.delivery_run import DeliveryRun

NO_PROGRAMS = "this host permits no programs"


class LocalDelivery:
    """What one delivery run delivers here."""

    def __init__(self, run: DeliveryRun) -> None:
        self.run, self.state = run, run.state
        self._locked: list[tuple[Driver, Leg, Env, Store]] = []

    async def deliver(self, transport: Driver, leg: Leg, prepared: Prepared, env: Env) -> None:
        """Deliver to one leg, and settle it; a mailbox that is locked comes last."""
        is_down = [False]

        def stored() -> None:
            is_down[0] = True
            self.run.outcomes.write_down(leg.key)

        try:
            trouble, output = await self._carry_out(transport, leg, prepared, env, stored)
        except MailboxLocked:
            return
        if trouble is None and not is_down[0]:
            stored()
        await self._settle(transport, leg, env, trouble, output)

    async def wait_for_locks(self) -> None:
        """Go on with mailboxes that were locked: they have kept nobody else waiting."""
        while self._locked:
            transport, leg, env, store = self._locked.pop(0)
            trouble = await store.carry_out(waits=True)
            if trouble is None and store.warns:
                await self._warn(transport, env)
            await self._settle(transport, leg, env, trouble)

    async def _settle(
        self, transport: Driver, leg: Leg, env: Env, trouble: Trouble | None, output: bytes = b""
    ) -> None:
        if trouble is not None:
            settle_trouble(self.run, [leg], trouble, output)
            return
        shadow = await self._shadow(transport, leg, env)
        self.run.outcomes.delivered(leg, None, None, details={"shadow": shadow})

    async def _carry_out(
        self,
        transport: Driver,
        leg: Leg,
        prepared: Prepared,
        env: Env,
        stored: Callable[[], None],
        *,
        is_shadow: bool = False,
    ) -> tuple[Trouble | None, bytes]:
        """Why it is not delivered (None: it is), and what goes back to the sender."""
        run, state, route = self.run, self.state, leg.route
        asking = planning(
            transport,
            prepared.message,
            prepared.reverse_path,
            run.envelope_to(leg),
            env,
            state.surroundings.now(),
            route.text if route.is_target else "",
        )
        plan = await answer_later(state.answerer(env), asking)
        if isinstance(plan, Trouble):
            return plan, b""
        if isinstance(plan, AppendPlan):
            store = Store(state, plan, leg, env, run.item.queue_id, stored)
            try:
                trouble = await store.carry_out()
            except MailboxLocked:
                if not is_shadow:
                    self._locked.append((transport, leg, env, store))
                    raise
                trouble = await store.carry_out(waits=True)
            if trouble is None and store.warns:
                await self._warn(transport, env)
            return trouble, b""
        if isinstance(plan, ReplyPlan):
            return await answer(state, run.outcomes.intake, plan, transport.name, run.item.queue_id), b""
        assert isinstance(plan, PipePlan), "the smtp transport delivers elsewhere"
        if not state.compiled.runs_programs:
            return Trouble(f"{transport.name} transport: {NO_PROGRAMS}"), b""
        plan = await self._in_place(plan, transport, leg, env)
        if isinstance(plan, Trouble):
            return plan, b""
        can_return = bool(run.item.envelope.reverse_path or route.errors_to)
        piped = await pipe(state, plan, transport, leg, can_return=can_return)
        return piped.trouble, piped.output

    async def _in_place(self, plan: PipePlan, transport: Driver, leg: Leg, env: Env) -> PipePlan | Trouble:
        """The router may say where a program runs, if the transport does not (transport_current_directory)."""
        routers = self.state.compiled.configuration.routers
        router = next((each for each in routers if each.name == leg.route.router), None)
        text = None if router is None else router.options.expansion("transport_current_directory")
        if text is None or transport.options.has("current_directory"):
            return plan
        outcome = await answer_later(self.state.answerer(env), text.asking(env))
        if not isinstance(outcome, Value):
            words = f'current directory "{text.text}" failed to expand for {transport.name} transport: '
            return Trouble(words + outcome.message, NOT_EXPANDED)
        if not outcome.text.startswith("/"):
            words = f'current directory path "{outcome.text}" is not absolute for {transport.name} transport'
            return Trouble(words, NOT_ABSOLUTE)
        return replace(plan, directory=outcome.text)

    async def _warn(self, transport: Driver, env: Env) -> None:
        """Tell the owner of a mailbox that it is nearly full."""
        text = transport.options.expansion("quota_warn_message") or compile_text(
            WARNING, Place("labkit's defaults", 0)
        )
        outcome = await answer_later(self.state.answerer(env), text.asking(env))
        if not isinstance(outcome, Value):
            words = f'Failed to expand "{text.text}" (warning message for {transport.name} transport): '
            self.state.note(EventKind.LOGGED, text=words + outcome.message)
            return
        header = "Auto-Submitted: auto-replied\n"
        if "\nfrom:" not in f"\n{outcome.text.partition(chr(10) * 2)[0].lower()}":
            domain = self.state.compiled.qualify_domain
            header += f"From: Mail Delivery System <Mailer-Daemon@{domain}>\n"
        content = with_crlf((header + outcome.text).encode("latin-1", "replace"))
        try:
            await send(self.state, self.run.outcomes.intake, content, self.run.item.queue_id)
        except (NotTaken, OSError) as problem:
            self.state.note(EventKind.PROBLEM, queue_id=self.run.item.queue_id, text=f"no warning: {problem}")

    async def _shadow(self, transport: Driver, leg: Leg, env: Env) -> str | None:
        """Give the shadow its copy. Returns its name, with what went wrong; None: there is none."""
        name = transport.options.text("shadow_transport")
        if not name or not await self._wants_shadow(transport, env):
            return None
        shadow = self.state.compiled.configuration.transports.get(name)
        if shadow is None or shadow.driver == "smtp":
            self.state.note(EventKind.LOGGED, text=f'shadow transport "{name}" not found ')
            return None
        own = replace(env, variables=dict(env.variables))
        message, added = self.run.changes_of(leg.route)
        usual = self.run.outcomes.reverse_path_of(leg.route)
        asking = preparing(shadow, message, added, usual, own)
        prepared = await answer_later(self.state.answerer(own), asking)
        if isinstance(prepared, Trouble):
            return _shadow_words(name, prepared)
        trouble, _ = await self._carry_out(shadow, leg, prepared, own, lambda: None, is_shadow=True)
        return name if trouble is None else _shadow_words(name, trouble)

    async def _wants_shadow(self, transport: Driver, env: Env) -> bool:
        text = transport.options.expansion("shadow_condition")
        if text is None:
            return True
        outcome = await answer_later(self.state.answerer(env), text.asking(env))
        if not isinstance(outcome, Value):
            return False
        return outcome.text.strip().lower() not in ("", "0", "no", "false")


def _shadow_words(name: str, trouble: Trouble) -> str:
    """As Exim's log has it: the words only of what the system says."""
    if trouble.errno > 0:
        words = trouble.words
        named = os.strerror(trouble.errno)
        return f"{name} ({words if words.startswith(named) else f'{named}: {words}'})"
    return f"{name} ({trouble.words if trouble.words else 'unknown error'})"


def settle_trouble(run: DeliveryRun, legs: list[Leg], trouble: Trouble, output: bytes = b"") -> None:
    """What went wrong in a transport: it fails for good, or waits."""
    outcomes = run.outcomes
    outcomes.freezes = outcomes.freezes or trouble.freezes
    words = _with_name(trouble)
    for leg in legs:
        if trouble.fails:
            outcomes.fail(leg, words, told=trouble.told or "", output=output)
        else:
            outcomes.put_off(leg, words, errno=trouble.errno, told=trouble.told)


def _with_name(trouble: Trouble) -> str:
    """A number of the system has a name, which comes first in the log."""
    if trouble.errno <= 0:
        return trouble.words
    name = os.strerror(trouble.errno)
    return trouble.words if trouble.words.startswith(name) else f"{name}: {trouble.words}"

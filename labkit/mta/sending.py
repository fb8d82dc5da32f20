"""Relaying: a message goes to other hosts, over SMTP.

DOES       tries the hosts in order until every recipient has a verdict.
STANDARDS  RFC 5321 §5.1 (several MX), §4.5.4.1 (retry); Exim specification, chapter "The smtp transport"
READ NEXT  runner.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from labkit.delivery.transports import SmtpPlan
from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.reply import Reply
from labkit.mta.legs import Leg
from labkit.net.network import HostSilent
from labkit.net.smtp_client import hand_over
from labkit.queue import errors
from labkit.queue.hints import address_key
from labkit.queue.retrying import HostStatus
from labkit.routing import NextHop, Route
from labkit.smtp.client import Client, Result, Verdict
from labkit.smtp.states import Step
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.mta.delivery_run import DeliveryRun

CONNECT_TIMEOUT = timedelta(minutes=5)  # lab time; Exim's connect_timeout of the smtp transport


class Sending:
    """What one delivery run sends to other hosts."""

    def __init__(self, run: DeliveryRun) -> None:
        self.run = run

    async def send(self, made: SmtpPlan, legs: list[Leg], sender: Mailbox | None) -> None:
        """Try the hosts in order until every recipient has a verdict."""
        waiting = {leg.address: leg for leg in legs}
        troubles: dict[Mailbox, Trouble] = {}
        statuses: list[HostStatus] = []
        for hop in legs[0].route.next_hops:
            if not waiting:
                return
            port, left = hop.port or made.port, list(waiting.values())
            status = HostStatus.USABLE
            if not self.run.forced:
                status = await self.run.outcomes.host_status(left, hop, port)
            statuses.append(status)
            if not status.is_usable:
                continue
            envelope = Envelope(sender, tuple(waiting))
            client, result, problem = await self._try_host(hop, made, envelope, legs[0].route)
            verdicts = {verdict.recipient: verdict for verdict in result.verdicts} if result else {}
            put_off = [
                address
                for address in tuple(waiting)
                if address in verdicts
                and not self._judge(waiting, address, hop, verdicts[address], sender, troubles)
            ]
            self._of_message([waiting[each] for each in put_off], len(left), hop, port, verdicts, troubles)
            if client is not None and client.refusal is not None and client.refusal.is_permanent:
                for address in tuple(waiting):
                    words = f"SMTP error from remote mail server after initial connection: {client.refusal}"
                    self.run.outcomes.fail(waiting.pop(address), words, hop, client.refusal)
            elif problem is not None:
                was_expired = status is HostStatus.USABLE_AGAIN
                self.run.outcomes.host_failed(
                    left,
                    hop,
                    problem.words,
                    problem.errno,
                    timed_out_connecting=problem.errno == errors.TIMED_OUT,
                    was_expired=was_expired,
                    port=port,
                )
                for address in waiting:
                    if address not in put_off:
                        troubles[address] = problem
            else:
                self.run.outcomes.host_answered(left, hop, port)
        for address, leg in waiting.items():
            self._no_host_took(leg, troubles.get(address), statuses)

    async def _try_host(
        self, hop: NextHop, made: SmtpPlan, envelope: Envelope, route: Route
    ) -> tuple[Client | None, Result | None, Trouble | None]:
        """One connection to one host: the client, the result, and what kept us from a full result."""
        try:
            client, result = await hand_over(
                self.run.state.network,
                self.run.state.addresses[0],
                hop.address,
                hop.port or made.port,
                made.helo_name,
                envelope,
                bytes(self.run.message_for(route)),
                on_line=self._hear(hop),
            )
        except HostSilent:
            await self.run.state.surroundings.sleep(CONNECT_TIMEOUT)
            return None, None, Trouble(hop, "Connection timed out", errors.TIMED_OUT)
        except OSError as problem:
            if isinstance(problem, ConnectionRefusedError):
                return None, None, Trouble(hop, "Connection refused", errors.REFUSED)
            return None, None, Trouble(hop, str(problem), problem.errno or 0)
        if result is not None:
            broken = Trouble(hop, result.broken, errors.LOST_CONNECTION, is_spoken_to=True)
            return client, result, broken if result.broken else None
        if client.refusal:
            words = f"SMTP error from remote mail server after initial connection: {client.refusal}"
            return client, None, Trouble(hop, words, 0, client.refusal, is_spoken_to=True)
        return client, None, Trouble(hop, client.broken, errors.LOST_CONNECTION, is_spoken_to=True)

    def _hear(self, hop: NextHop) -> Callable[[Line], None]:
        """Write the client's side of a conversation into the journal."""
        number = self.run.state.surroundings.next_process()

        def heard(line: Line) -> None:
            self.run.state.note(
                EventKind.DIALOGUE,
                queue_id=self.run.item.queue_id,
                session=number,
                remote_host=hop.host,
                remote_address=hop.address,
                speaker=line.speaker,
                text=line.text,
                state=line.state,
            )

        return heard

    def _judge(
        self,
        waiting: dict[Mailbox, Leg],
        address: Mailbox,
        hop: NextHop,
        verdict: Verdict,
        sender: Mailbox | None,
        troubles: dict[Mailbox, Trouble],
    ) -> bool:
        """What one recipient's reply means; whether that is the end of it."""
        leg = waiting[address]
        if verdict.reply.is_positive:
            del waiting[address]
            self.run.outcomes.write_down(leg.key)
            self.run.outcomes.delivered(leg, hop, verdict.reply)
            return True
        phase = {
            Step.MAIL: f"MAIL FROM:<{sender or ''}>",
            Step.RCPT: f"RCPT TO:<{leg.address}>",
            Step.DATA: "DATA",
        }.get(verdict.step, "end of data")
        words = f"SMTP error from remote mail server after {phase}: {verdict.reply}"
        if verdict.reply.is_permanent:
            del waiting[address]
            self.run.outcomes.fail(leg, words, hop, verdict.reply)
            return True
        errno = {Step.MAIL: errors.MAIL_4XX, Step.RCPT: errors.RCPT_4XX}.get(verdict.step, errors.DATA_4XX)
        troubles[address] = Trouble(hop, words, errno, verdict.reply, is_spoken_to=True)
        return False

    def _of_message(
        self,
        legs: list[Leg],
        count: int,
        hop: NextHop,
        port: int,
        verdicts: dict[Mailbox, Verdict],
        troubles: dict[Mailbox, Trouble],
    ) -> None:
        """The hints hear of recipients that were put off: each for itself, or because of the message."""
        outcomes = self.run.outcomes
        for leg in legs:
            trouble, more = troubles[leg.address], errors.of_reply(verdicts[leg.address].reply.code)
            if trouble.errno == errors.RCPT_4XX:
                key = address_key(leg.address, outcomes.item.envelope.sender)
                outcomes.note_failure([leg], key, trouble.errno, more, trouble.words)
            elif len(legs) == count:
                outcomes.message_put_off([leg], hop, trouble.words, trouble.errno, more, port)

    def _no_host_took(self, leg: Leg, trouble: Trouble | None, statuses: list[HostStatus]) -> None:
        outcomes, domain = self.run.outcomes, leg.address.domain
        if trouble is not None:
            outcomes.deferred(
                leg, trouble.words, trouble.hop, trouble.reply, trouble.errno, shows_hop=trouble.is_spoken_to
            )
        elif all(status is HostStatus.EXPIRED for status in statuses):
            words = f"all hosts for '{domain}' have been failing for a long time (and retry time not reached)"
            outcomes.fail(leg, words)
        else:
            words = f"retry time not reached for any host for '{domain}'"
            outcomes.deferred(leg, words, errno=errors.NOT_DUE_HOST)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What kept a host from taking the message for somebody. `is_spoken_to`: there was a connection."""

    hop: NextHop
    words: str
    errno: int
    reply: Reply | None = None
    is_spoken_to: bool = False

"""Relaying: a message goes to other hosts, over SMTP.

DOES       tries the hosts in order until every recipient has a verdict.
STANDARDS  RFC 5321 §5.1 (several MX), §4.5.4.1 (retry); Exim specification, chapter "The smtp transport"
READ NEXT  runner.py
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from labkit.delivery.transports import SmtpPlan
from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mta.legs import Leg
from labkit.net.network import HostSilent
from labkit.net.smtp_client import hand_over
from labkit.queue.hints import host_key
from labkit.queue.schedule import rule_for
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
        hints, surroundings = self.run.state.hints, self.run.state.surroundings
        tried: list[tuple[NextHop, str]] = []
        for hop in legs[0].route.next_hops:
            if not waiting:
                return
            key = host_key(hop.host, hop.address)
            if not self.run.forced and not hints.is_due(key, surroundings.now()):
                continue
            envelope = Envelope(sender, tuple(waiting))
            client, result, problem = await self._try_host(hop, made, envelope, legs[0].route)
            verdicts = {verdict.recipient: verdict for verdict in result.verdicts} if result else {}
            for address in [address for address in waiting if address in verdicts]:
                self._judge(waiting.pop(address), hop, verdicts[address], sender)
            if client is not None and client.refusal is not None and client.refusal.is_permanent:
                for address in tuple(waiting):
                    words = f"SMTP error from remote mail server after initial connection: {client.refusal}"
                    self.run.outcomes.fail(waiting.pop(address), words, hop, client.refusal)
            elif problem:
                rule = rule_for(legs[0].address, self.run.state.compiled.retry_rules)
                hints.note_failure(key, rule, problem, surroundings.now())
                tried.append((hop, problem))
            else:
                hints.forget(key)
        for leg in waiting.values():
            self._no_host_took(leg, tried)

    async def _try_host(
        self, hop: NextHop, made: SmtpPlan, envelope: Envelope, route: Route
    ) -> tuple[Client | None, Result | None, str]:
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
            return None, None, "Connection timed out"
        except OSError as problem:
            return (
                None,
                None,
                "Connection refused" if isinstance(problem, ConnectionRefusedError) else str(problem),
            )
        if result is not None:
            return client, result, result.broken
        return client, None, str(client.refusal) if client.refusal else client.broken

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

    def _judge(self, leg: Leg, hop: NextHop, verdict: Verdict, sender: Mailbox | None) -> None:
        """What one recipient's reply means."""
        if verdict.reply.is_positive:
            self.run.outcomes.write_down(leg.key)
            self.run.outcomes.delivered(leg, hop, verdict.reply)
            return
        phase = {
            Step.MAIL: f"MAIL FROM:<{sender or ''}>",
            Step.RCPT: f"RCPT TO:<{leg.address}>",
            Step.DATA: "DATA",
        }.get(verdict.step, "end of data")
        words = f"SMTP error from remote mail server after {phase}: {verdict.reply}"
        if verdict.reply.is_permanent:
            self.run.outcomes.fail(leg, words, hop, verdict.reply)
        else:
            self.run.outcomes.put_off(leg, words, hop, verdict.reply)

    def _no_host_took(self, leg: Leg, tried: list[tuple[NextHop, str]]) -> None:
        if not tried:
            self.run.outcomes.deferred(leg, f"retry time not reached for any host for '{leg.address.domain}'")
            return
        hop, problem = tried[-1]
        keys = [host_key(each.host, each.address) for each in leg.route.next_hops]
        if all(self.run.state.hints.has_run_out(key) for key in keys):
            self.run.outcomes.fail(leg, f"{problem}: retry timeout exceeded", hop)
        else:
            self.run.outcomes.deferred(leg, problem, hop)

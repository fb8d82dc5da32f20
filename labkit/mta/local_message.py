"""A message that does not come by SMTP: an account of the host hands it in, or the host makes it itself (a report).

DOES       completes its header, asks the ACL for such messages (acl_not_smtp), and makes a queue item of it.
STANDARDS  Exim specification, section "The non-SMTP ACLs"; RFC 5321 §4.4 (Received)
READ NEXT  delivery_run.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.mail.asking import Asking
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.plainly import SaidPlainly
from labkit.mta import scanning, variables
from labkit.mta.fixups import as_acls_want, without_traces
from labkit.mta.own_trace import traced
from labkit.mta.rewriting import qualifying, rewritten
from labkit.mta.state import SOFTWARE, MtaState
from labkit.queue.item import Origin, QueueItem
from labkit.smtp.acl import AclVerdict, Phase, Result, Scene
from labkit.smtp.trace_fields import received_field


class NotTaken(SaidPlainly, ValueError):
    """An ACL refuses a message that an account hands in; the text says why."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that may be kept. `waits`: nothing is tried before the next queue run."""

    item: QueueItem
    waits: bool = False


def judged(
    state: MtaState,
    envelope: Envelope,
    message: Message,
    login: str,
    queue_id: str,
    origin: Origin | None = None,
) -> Asking[Taken]:
    """Ask the ACL and make the item. `origin`: where it comes from, if not from `login` here. Raises NotTaken."""
    now = state.surroundings.now()
    message = without_traces(message, state.compiled.configuration.main)
    origin = origin or Origin(protocol="local", login=login)
    env = state.env()
    envelope, message = yield from rewritten(
        state.compiled, envelope, message, env, state.tell, qualifying(state.compiled)
    )
    trace = received_field(
        client_address=origin.client_address,
        client=_client(origin),
        helo_name=origin.helo_name,
        by=state.primary_hostname,
        software=SOFTWARE,
        protocol=origin.protocol,
        envelope=envelope,
        queue_id=queue_id,
        at=now,
        login=login,
    )
    scene = Scene(Phase.NOT_SMTP, env, recipients=envelope.forward_paths, watched=True)
    env.acl = state.compiled.acls.hook(scene)
    values = env.variables
    values |= {"received_protocol": origin.protocol, "sender_ident": login}
    if origin.client_address:
        values |= {"sender_host_address": origin.client_address, "sender_host_name": origin.client_name}
    variables.from_sender(values, envelope.reverse_path)
    longest = max((len(line) for line in bytes(message).split(b"\r\n")), default=0)
    variables.arrived(values, message, queue_id, envelope.forward_paths, longest)
    main = state.compiled.configuration.main
    message = yield from traced(message, trace, main, env, envelope.forward_paths, now)
    env.headers = variables.header_of(message)
    effects = scene.effects
    scene.spam = scanning.wishes(main, lambda: message)
    acl = state.compiled.configuration.main.expansion("acl_not_smtp")
    if acl is not None:
        verdict = yield from state.compiled.acls.run(acl, scene)
        tell_steps(state, scene, verdict, acl.text)
        if not verdict.is_accepted:
            _refuse(state, envelope, verdict, login, queue_id)
        if verdict.result is Result.DISCARD:
            envelope = Envelope(envelope.reverse_path, ())
        message = as_acls_want(message, scene)
    item = QueueItem(
        queue_id,
        envelope,
        bytes(message),
        now,
        origin,
        frozen=effects.is_frozen,
        is_untried=True,
        acl_variables=variables.of_acls(values),
    )
    return Taken(item, bool(effects.queues))


def _client(origin: Origin) -> str:
    """How a Received field names the host that a trusted caller speaks for."""
    name, address = origin.client_name, f"[{origin.client_address}]"
    return f"{name} ({address})" if name else address


def _refuse(state: MtaState, envelope: Envelope, verdict: AclVerdict, login: str, queue_id: str) -> None:
    assert verdict.reply is not None, "a refusal has words"
    state.note(
        EventKind.REJECTED,
        queue_id=queue_id,
        command="non-SMTP message",
        sender=envelope.sender,
        code=verdict.reply.code,
        text=verdict.log_text,
    )
    raise NotTaken(f"the ACL for messages of this host's own people refuses it: {verdict.reply.text}")


def tell_steps(
    state: MtaState, scene: Scene, verdict: AclVerdict, name: str, session: int | None = None
) -> None:
    """Write down what an ACL has done, and what it has said for the logs (the reject log is here, too)."""
    for step in verdict.steps:
        text = (
            f"{name}: {step.statement.verb}: {'applies' if step.applied else 'passed over'}: {step.because}"
        )
        state.note(EventKind.ACL_STEP, session=session, text=text)
    queue_id = scene.env.variables.get("message_exim_id")
    for line in scene.logged:
        state.note(EventKind.LOGGED, session=session, queue_id=queue_id, text=line.text)
    scene.logged.clear()

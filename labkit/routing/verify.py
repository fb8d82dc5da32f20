"""Verify an address: would this host know what to do with mail for it?

WHAT       `verify_address` routes an address as far as verification goes, and calls out if it is told to;
           `verify` answers the questions VerifyRecipient and VerifySender.
DECIDES    how far: an address that becomes one other address is followed, one that becomes several is good.
LIKE EXIM  a sender is verified as the recipient of a report would be, so $sender_address is empty meanwhile;
           `words` are what the client hears, `reason` is for the log
STANDARDS  Exim specification, chapter "Access control lists", sections "Address verification", "Callout verification"
READ NEXT  addresses_tested.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Compiled, Env, Value
from labkit.eximconf.mailbox_text import qualified
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import (
    CallOut,
    Callout,
    Standing,
    Verification,
    VerifyRecipient,
    VerifySender,
)
from labkit.routing.compile import Router
from labkit.routing.family import new_walk, own_env, route_one
from labkit.routing.texts import expanded
from labkit.routing.trace import Trace
from labkit.routing.way import Address, Mode, Said, Walk

SMTP_PORT = 25
_REFUSED = re.compile(
    r"[^ ]* ?\[(?P<host>[^\]]*)\] : "
    r"(?:SMTP error from remote mail server after (?P<after>.*?)|response to \"(?P<to>.*?)\" was): (?P<reply>.*)",
    re.DOTALL,
)
SENDER_VARIABLES = ("sender_address", "sender_address_local_part", "sender_address_domain")


@dataclass(slots=True)
class Verified:
    """How it ended. `address` is the one at which it was decided; `callout_failure`: what a host refused."""

    said: Said
    address: Address
    walk: Walk
    callout_failure: str = ""


class Verifier:
    """Verifies addresses by the routers of a configuration. `transports` are needed for callouts."""

    def __init__(self, first: Router | None, transports: Mapping[str, Driver]) -> None:
        self.first = first
        self.transports = transports

    def errors_address(self, text: str, env: Env) -> Asking[str | None]:
        """An address for errors_to, completed, if it is good. Bounces have no sender."""
        inner = own_env(env)
        for name in SENDER_VARIABLES:
            inner.variables[name] = ""
        qualified = qualify(text, env, is_recipient=True)
        found = yield from self.verify_address(qualified, inner, Mode.VERIFY_RECIPIENT)
        return qualified if found.said is Said.OK else None

    def verify_address(
        self,
        text: str,
        env: Env,
        mode: Mode,
        *,
        callout: Callout | None = None,
        trace: Trace | None = None,
        stops_at_redirection: bool = False,
    ) -> Asking[Verified]:
        """Route until it is decided. `text` has a domain."""
        env = own_env(env)
        is_sender = mode is Mode.VERIFY_SENDER
        if is_sender:
            for name in SENDER_VARIABLES:
                env.variables[name] = ""
        eldest = Address(text)
        walk = new_walk(env, mode, [eldest], self.errors_address, trace)
        address = eldest
        failure = ""
        while walk.new:
            address = walk.new.pop()
            address.split()
            said = yield from route_one(walk, self.first, env, address)
            if said is Said.OK and callout is not None and address.next_hosts:
                said, failure = yield from self._call(walk, address, callout, is_sender)
            if said in (Said.FAIL, Said.DEFER):
                return Verified(said, address, walk, failure)
            if len(walk.new) != 1 or walk.new[-1].is_target or stops_at_redirection:
                break
        return Verified(Said.OK, address, walk)

    def _call(
        self, walk: Walk, address: Address, callout: Callout, is_sender: bool
    ) -> Asking[tuple[Said, str]]:
        """Ask the hosts whether they take the address."""
        transport = self.transports.get(address.transport or "")
        port, helo = SMTP_PORT, walk.env.variables.get("primary_hostname", "")
        if transport is not None and transport.driver == "smtp":
            port = _port(transport)
            named = transport.options.expansion("helo_data")
            helo = (yield from _text(named, walk.env)) or helo
        hosts = tuple((hop.host, hop.address, hop.port or port) for hop in address.next_hosts)
        mailbox = Mailbox(address.cased, address.text.rpartition("@")[2])
        answer = yield from ask(CallOut(hosts, helo, mailbox, callout))
        if answer.standing is Standing.GOOD:
            return Said.OK, ""
        if answer.standing is Standing.BAD:
            address.message = answer.words
            address.user_message = _told_of_callout(answer.words, is_sender=is_sender)
            return Said.FAIL, answer.failure
        who = "sender" if is_sender else "recipient"
        dull = f"Could not complete {who} verify callout"
        address.message = dull if len(hosts) > 1 or not answer.words else f"{dull}: {answer.words}"
        address.user_message, address.may_tell = dull, True  # and no more than that
        return Said.DEFER, answer.failure


def _told_of_callout(words: str, *, is_sender: bool) -> str:
    """What the client hears of a refusal: whose sender it is may know which host said what."""
    found = _REFUSED.fullmatch(words)
    if found is None:
        return words
    if not is_sender:
        return f"Callout verification failed:\n{found['reply']}"
    sent = found["after"] or found["to"]
    return f"Called:   {found['host']}\nSent:     {sent}\nResponse: {found['reply']}"


def qualify(text: str, env: Env, *, is_recipient: bool) -> str:
    """Add this host's domain to an address that has none."""
    variables = env.variables
    domain = variables.get("qualify_recipient", "") if is_recipient else ""
    domain = domain or variables.get("qualify_domain", "") or env.here.primary_hostname
    return qualified(text, domain)


def verify(
    verifier: Verifier, question: VerifyRecipient | VerifySender, env: Env, trace: Trace | None = None
) -> Asking[Verification]:
    """Answer the question."""
    is_sender = isinstance(question, VerifySender)
    mailbox = question.sender if isinstance(question, VerifySender) else question.recipient
    if not mailbox.domain and is_sender:
        return Verification(Standing.BAD, failure="qualify")
    text = qualify(str(mailbox), env, is_recipient=not is_sender)
    mode = Mode.VERIFY_SENDER if is_sender else Mode.VERIFY_RECIPIENT
    callout = question.callout
    if callout is not None and isinstance(question, VerifyRecipient):
        if callout.uses_sender:
            callout = replace(callout, mail_from=question.callout_sender)
        elif callout.uses_postmaster:
            domain = env.variables.get("qualify_domain", "") or env.here.primary_hostname
            callout = replace(callout, mail_from=f"postmaster@{domain}")
    rewritten: str | None = None
    if env.rewrite is not None:
        new = yield from env.rewrite(env, text, not is_sender)
        if new != text:
            rewritten = text = new
        if not text:  # only a sender can become the null one
            return Verification(Standing.GOOD, rewritten="")
    found = yield from verifier.verify_address(text, env, mode, callout=callout, trace=trace)
    address = found.address
    steps = () if trace is None else tuple(f"{s.router}: {s.because}" for s in trace.steps_of(address))
    data = address.carried.address_data or ""
    if found.said is Said.OK:
        return Verification(Standing.GOOD, address_data=data, steps=steps, rewritten=rewritten)
    words, reason = address.user_message or "", address.message or ""
    if found.said is Said.DEFER:
        words = (words or reason) if address.may_tell else ""
        standing = Standing.UNDECIDED
    else:
        standing = Standing.BAD
        words = words or ("" if is_sender else reason)
    failure = found.callout_failure or "route"
    return Verification(standing, words, reason, failure, data, steps, rewritten)


def _port(transport: Driver) -> int:
    value = transport.options.values.get("port")
    if isinstance(value, int):
        return value
    text = getattr(value, "text", value)
    return int(text) if isinstance(text, str) and text.isdigit() else SMTP_PORT


def _text(text: Compiled | None, env: Env) -> Asking[str]:
    if text is None:
        return ""
    outcome = yield from expanded(text, env)
    return str(outcome.text) if isinstance(outcome, Value) else ""

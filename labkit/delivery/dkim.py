"""The dkim_… options of the smtp transport: which signatures a message is to get, and with which keys.

WHAT       `plan_signatures` gives a SignaturePlan for one message and one host; `must_be_signed` tells what dkim_strict
           says when it came to nothing.
DECIDES    one signature for each domain and selector of the lists, as $dkim_domain and $dkim_selector; none where
           dkim_private_key is empty, 0 or false; a key that begins with a slash is a file of the host.
LIKE EXIM  without one of domain, selector and key nothing is signed; what cannot be expanded, or read, keeps all
           signatures away and has a line in the log; dkim_canon has one word for header and body
STANDARDS  Exim specification, chapter "DKIM, SPF, SRS and DMARC", section "Signing outgoing messages"
READ NEXT  labkit/mta/dkim_sending.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.delivery.generic import Stuck, Trouble
from labkit.eximconf.builtin_macros import DKIM_SIGN_HEADERS
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env, Value
from labkit.eximconf.expansion.outcomes import Tainted, like
from labkit.eximconf.expansion.splitting import split_list
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import FileText

NOT_SIGNED = ("", "0", "false")
HASHES = ("sha1", "sha256", "sha512")
LARGEST_KEY = 16_382  # octets of a file
_NUMBER = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that is wanted; `key` is PEM text, `names` the list of fields; 0: no such time."""

    domain: str
    selector: str
    key: str
    names: str
    hash: str
    canon: str
    identity: str = ""
    created: int = 0
    expires: int = 0


@dataclass(frozen=True, slots=True)
class SignaturePlan:
    """`log` are lines for the log; `failure` says why nothing can be signed, None: all is well."""

    signatures: tuple[Signature, ...] = ()
    log: tuple[str, ...] = ()
    failure: str | None = None


def signs(transport: Driver) -> bool:
    """Whether the transport's options ask for a signature at all."""
    return all(transport.options.has(name) for name in ("dkim_domain", "dkim_selector", "dkim_private_key"))


def plan_signatures(transport: Driver, env: Env, now: int) -> Asking[SignaturePlan]:
    """`env` knows the message, the route and the host; `now` is in seconds since 1970."""
    reading = _Reading(transport, env, now)
    try:
        yield from reading.read()
    except Stuck as stuck:
        return SignaturePlan((), (*reading.log, stuck.trouble.words), stuck.trouble.words)
    finally:
        for name in ("dkim_domain", "dkim_selector"):
            env.variables.pop(name, None)
    return SignaturePlan(tuple(reading.signatures), tuple(reading.log))


def must_be_signed(transport: Driver, env: Env) -> Asking[bool]:
    """dkim_strict: a message that cannot be signed waits."""
    text = transport.options.expansion("dkim_strict")
    if text is None:
        return False
    outcome = yield from text.asking(env)
    return isinstance(outcome, Value) and outcome.text.lower() in ("1", "true")


class _Reading:
    """The options, expanded for each domain and selector."""

    def __init__(self, transport: Driver, env: Env, now: int) -> None:
        self._options, self._env, self._now = transport.options, env, now
        self.signatures: list[Signature] = []
        self.log: list[str] = []

    def read(self) -> Asking[None]:
        values = self._env.variables
        domains = yield from self._expanded("dkim_domain")
        for domain in filter(None, split_list(domains)):
            values["dkim_domain"] = like(domain.lower(), domains)
            selectors = yield from self._expanded("dkim_selector")
            for selector in split_list(selectors):
                values["dkim_selector"] = like(selector, selectors)
                yield from self._one(domain.lower(), selector)

    def _one(self, domain: str, selector: str) -> Asking[None]:
        canon = yield from self._canon()
        has_names = self._options.has("dkim_sign_headers")
        names = (
            (yield from self._expanded("dkim_sign_headers", "dkim_sign_header"))
            if has_names
            else DKIM_SIGN_HEADERS
        )
        key = yield from self._expanded("dkim_private_key")
        if key in NOT_SIGNED:
            return
        if key.startswith("/"):
            key = yield from self._file(key)
        hash_name = yield from self._expanded("dkim_hash")
        has_identity = self._options.has("dkim_identity")
        identity = (yield from self._expanded("dkim_identity")) if has_identity else ""
        created = expires = 0
        if self._options.has("dkim_timestamps"):
            lasts = _NUMBER.match((yield from self._expanded("dkim_timestamps")).strip())
            created = self._now
            expires = created + (int(lasts[0]) if lasts else 0)
        if hash_name not in HASHES:
            raise Stuck(Trouble(f"DKIM: unrecognised hashname '{hash_name}'"))
        signature = Signature(domain, selector, key, names, hash_name, canon, identity, created, expires)
        self.signatures.append(signature)

    def _canon(self) -> Asking[str]:
        if not self._options.has("dkim_canon"):
            return "relaxed"
        canon = yield from self._expanded("dkim_canon")
        if canon in ("relaxed", "simple"):
            return canon
        self.log.append(f"DKIM: unknown canonicalization method '{canon}', defaulting to 'relaxed'.")
        return "relaxed"

    def _file(self, path: str) -> Asking[str]:
        words = f"unable to open file for reading: {path}"
        if type(path) is Tainted:
            self.log.append(f"Tainted filename '{path}'")
            raise Stuck(Trouble(words))
        text = yield from ask(FileText(str(path)))
        if not isinstance(text, str):
            raise Stuck(Trouble(words))
        return text[:LARGEST_KEY]

    def _expanded(self, option: str, called: str = "") -> Asking[str]:
        text = self._options.expansion(option)
        assert text is not None, "somebody has looked"
        outcome = yield from text.asking(self._env)
        if isinstance(outcome, Value):
            return outcome.text
        raise Stuck(Trouble(f"failed to expand {called or option}: {outcome.message}"))

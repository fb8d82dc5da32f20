"""AUTH on the client's side: prove to a server who we are.

WHAT       `compile_clients` reads the authenticators of a configuration; `authenticating` goes through them in the
           order of the file until one of those that the server offers has succeeded.
ASKS       what to say is a decision that also asks the server: `SayToServer` is a question, and its answer the reply.
DECIDES    a 5xx: the next authenticator; any other failure: not at this host now. A forced failure in what is to be
           said: this authenticator does not want to.
LIKE EXIM  `^` in client_send is NUL, and `^^` is `^`; a challenge becomes $auth1, $auth2, …; the words
SAFE       the number of challenges is that of the items in client_send; what is secret is never shown.
STANDARDS  RFC 4954 §4; RFC 4616; RFC 2195; Exim specification, chapters "SMTP authentication",
           "The plaintext authenticator", "The cram_md5 authenticator"
READ NEXT  ../acl/__init__.py
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Compiled, Env, ForcedFailure, Value, compile_text
from labkit.eximconf.lists import split_list
from labkit.mail.asking import Asking, Question, ask
from labkit.mail.reply import Reply

_FALSE = ("", "0", "no", "false")
_MOST_VARIABLES = 4  # $auth1 to $auth4


@dataclass(frozen=True, slots=True)
class SayToServer(Question["Reply | None"]):
    """Say this line, and hear the reply; None: the connection is gone. People may see `shown` only."""

    text: str
    shown: str


class AuthOutcome(Enum):
    """What came of it all."""

    DONE = "the server knows us"
    NOT_OFFERED = "server did not advertise AUTH support"
    NOTHING_COMMON = "no common mechanisms were found"
    FAILED = "authentication attempt(s) failed"
    LATER = "the server wants it to be tried later, or is gone"
    UNUSABLE = "what to say cannot be expanded"


@dataclass(frozen=True, slots=True)
class Attempted:
    """The outcome; with DONE which authenticator it was, and what client_set_id calls us.

    `said` are lines for the log; `reply` is the one that means LATER, None: the connection is gone; `words` tell what
    is UNUSABLE.
    """

    outcome: AuthOutcome
    authenticator: str = ""
    identity: str = ""
    said: tuple[str, ...] = ()
    reply: Reply | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class ClientAuthenticator:
    """An authenticator that can be a client. `items` are those of client_send; cram_md5 has a name and a secret."""

    name: str
    mechanism: str
    items: tuple[Compiled, ...] = ()
    login: Compiled | None = None
    secret: Compiled | None = None
    condition: Compiled | None = None
    identity: Compiled | None = None
    ignores_bad_challenges: bool = False


def compile_clients(authenticators: Mapping[str, Driver]) -> tuple[ClientAuthenticator, ...]:
    """Those that have something to say as a client, in the order of the file. Raises ConfigurationError."""
    return tuple(made for each in authenticators.values() if (made := _compiled(each)) is not None)


def _compiled(driver: Driver) -> ClientAuthenticator | None:
    options = driver.options
    mechanism = options.text("public_name") or driver.name
    condition, identity = options.expansion("client_condition"), options.expansion("client_set_id")
    if driver.driver == "plaintext" and (written := options.expansion("client_send")) is not None:
        items = tuple(compile_text(item, driver.place) for item in split_list(written.text))
        ignores = bool(options.values.get("client_ignore_invalid_base64"))
        return ClientAuthenticator(
            driver.name,
            mechanism,
            items,
            condition=condition,
            identity=identity,
            ignores_bad_challenges=ignores,
        )
    if driver.driver == "cram_md5" and (secret := options.expansion("client_secret")) is not None:
        login = options.expansion("client_name") or compile_text("$primary_hostname", driver.place)
        return ClientAuthenticator(
            driver.name, mechanism, login=login, secret=secret, condition=condition, identity=identity
        )
    return None


def authenticating(
    authenticators: Sequence[ClientAuthenticator], offered: str | None, env: Env, host: str
) -> Asking[Attempted]:
    """Try what the server offers (the words behind AUTH in its answer to EHLO; None: no such line).

    `host` is how the log names the server: H=mx.b.test [203.0.113.2].
    """
    if offered is None:
        return Attempted(AuthOutcome.NOT_OFFERED)
    names = {name.upper() for name in offered.split()}
    outcome, said = AuthOutcome.NOTHING_COMMON, []
    for each in authenticators:
        if each.mechanism.upper() not in names or not (yield from _is_wanted(each, env)):
            continue
        outcome = AuthOutcome.FAILED
        how = yield from (_challenge_response if each.secret is not None else _plaintext)(each, env)
        if isinstance(how, _Cancelled):
            if how.words:
                said.append(f"{each.name} authenticator cancelled authentication {host} {how.words}")
        elif isinstance(how, _Unusable):
            return Attempted(AuthOutcome.UNUSABLE, said=tuple(said), words=how.words)
        elif how is None or not (how.is_positive or how.is_permanent):
            return Attempted(AuthOutcome.LATER, each.name, said=tuple(said), reply=how)
        elif how.is_permanent:
            said.append(f"{each.name} authenticator failed {host} {how}")
        else:
            identity = yield from _identity(each, env)
            return Attempted(AuthOutcome.DONE, each.name, identity, tuple(said))
    return Attempted(outcome, said=tuple(said))


@dataclass(frozen=True, slots=True)
class _Cancelled:
    """It did not want to, or did not understand."""

    words: str = ""


@dataclass(frozen=True, slots=True)
class _Unusable:
    words: str


_How = Reply | _Cancelled | _Unusable | None


def _is_wanted(authenticator: ClientAuthenticator, env: Env) -> Asking[bool]:
    if authenticator.condition is None:
        return True
    outcome = yield from authenticator.condition.asking(env)
    return isinstance(outcome, Value) and outcome.text.lower() not in _FALSE


def _identity(authenticator: ClientAuthenticator, env: Env) -> Asking[str]:
    if authenticator.identity is None:
        return ""
    outcome = yield from authenticator.identity.asking(env)
    return outcome.text if isinstance(outcome, Value) else ""


def _plaintext(authenticator: ClientAuthenticator, env: Env) -> Asking[_How]:
    """Item after item; the first goes with the command AUTH itself."""
    last = len(authenticator.items) - 1
    for number, item in enumerate(authenticator.items):
        is_first = number == 0
        outcome = yield from item.asking(env)
        if not isinstance(outcome, Value):
            if not is_first:
                yield from ask(SayToServer("*", "*"))
            if isinstance(outcome, ForcedFailure):
                return _Cancelled()
            words = (
                f'expansion of "{item.text}" failed in {authenticator.name} authenticator: {outcome.message}'
            )
            return _Unusable(words)
        octets = _with_nuls(outcome.text)
        text = base64.b64encode(octets).decode("ascii")
        if is_first:
            line = f"AUTH {authenticator.mechanism}" + (f" {text}" if octets else "")
            shown = f"AUTH {authenticator.mechanism}" + (f" {_hidden(text)}" if octets else "")
        else:
            line, shown = text, _hidden(text)
        reply = yield from ask(SayToServer(line, shown))
        if reply is None or reply.code // 100 != 3:
            return reply
        if number == last:
            yield from ask(SayToServer("*", "*"))
            return _Unusable(f"Too few items in client_send in {authenticator.name} authenticator")
        challenge = _decoded(reply.text)
        if challenge is None and not authenticator.ignores_bad_challenges:
            yield from ask(SayToServer("*", "*"))
            return _Cancelled(f'Invalid base64 string in server response "{reply}"')
        if number < _MOST_VARIABLES:
            env.variables[f"auth{number + 1}"] = challenge or ""
    return _Unusable(f"Too few items in client_send in {authenticator.name} authenticator")


def _challenge_response(authenticator: ClientAuthenticator, env: Env) -> Asking[_How]:
    """CRAM-MD5, RFC 2195: the secret itself is never said."""
    expanded: list[bytes] = []
    for text in (authenticator.secret, authenticator.login):
        assert text is not None
        outcome = yield from text.asking(env)
        if isinstance(outcome, ForcedFailure):
            return _Cancelled()
        if not isinstance(outcome, Value):
            words = (
                f'expansion of "{text.text}" failed in {authenticator.name} authenticator: {outcome.message}'
            )
            return _Unusable(words)
        expanded.append(outcome.text.encode("latin-1", "replace"))
    secret, login = expanded
    command = f"AUTH {authenticator.mechanism}"
    reply = yield from ask(SayToServer(command, command))
    if reply is None or reply.code // 100 != 3:
        return _refused(reply)
    challenge = _decoded(reply.text)
    if challenge is None:
        yield from ask(SayToServer("*", "*"))
        return _Unusable(f"bad base 64 string in challenge: {reply.text}")
    digest = hmac.new(secret, challenge.encode("latin-1"), hashlib.md5).hexdigest()
    answer = base64.b64encode(login + b" " + digest.encode("ascii")).decode("ascii")
    reply = yield from ask(SayToServer(answer, _hidden(answer)))
    return _refused(reply) if reply is not None and reply.code // 100 == 3 else reply


def _refused(reply: Reply | None) -> Reply | None:
    """A reply that is neither yes nor a challenge where one was wanted counts as a refusal for now."""
    if reply is None or not reply.is_positive:
        return reply
    return Reply(454, reply.lines)


def _with_nuls(text: str) -> bytes:
    """What client_send means: ^ is NUL, ^^ is ^."""
    return re.sub(r"\^(\^?)", lambda found: found[1] or "\0", text).encode("latin-1", "replace")


def _hidden(text: str) -> str:
    return "*" * len(text)


def _decoded(text: str) -> str | None:
    """A challenge as octets; None: it is no base64."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return None

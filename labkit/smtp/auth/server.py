"""A server's authenticators: which are offered to a client, and how one comes to its verdict.

WHAT       `read_authenticators(configuration)`; `Exchange`: begin it, hand it each answer of the client; each step is
           a Challenge for the client or a Verdict.
DECIDES    server_condition: 1, yes, true accept; nothing, 0, no, false refuse; any other text is the reason
           why it cannot be known at present. server_set_id names the client, also the one that is refused, for the log.
LIKE EXIM  replies and log words; an authenticator is one for servers if it has server_condition (plaintext) or
           server_secret (cram_md5); mechanism names have no case; the first that fits is taken
STANDARDS  RFC 4954; Exim specification, chapter "SMTP authentication"
READ NEXT  server_mechanisms.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from labkit.eximconf.configuration import Configuration, Driver
from labkit.eximconf.expansion import Compiled, Env, Value
from labkit.eximconf.expansion.outcomes import ForcedFailure, Outcome
from labkit.eximconf.place import ConfigurationError
from labkit.mail.asking import Asking
from labkit.mail.reply import Reply
from labkit.smtp.auth.coding import MOST_TEXTS, encode

VARIABLES = ("auth1", "auth2", "auth3", "auth4")
_NO, _YES = ("", "0", "no", "false"), ("1", "yes", "true")


class Finding(Enum):
    """How an exchange ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "it cannot be known at present"
    NOT_BASE64 = "the client's line is no base64"
    CANCELLED = "the client gave up"
    UNEXPECTED = "the client spoke too early"


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client is asked for more."""

    text: str

    @property
    def reply(self) -> Reply:
        return Reply(334, (encode(self.text),))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end. `told` is what the client hears besides, `why` what the log says."""

    finding: Finding
    told: str = ""
    why: str = ""


Step = Challenge | Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict in words. `log` is for authenticator failures; `name` is who the client is (set_id), "" unknown."""

    reply: Reply
    is_accepted: bool
    log: str = ""
    name: str | None = None
    failed_name: str = ""


@dataclass(frozen=True, slots=True)
class ServerAuthenticator:
    """One authenticator of the configuration that a server may offer."""

    name: str
    mechanism: str  # public_name in capitals
    driver: Driver

    @property
    def mail_auth_condition(self) -> Compiled | None:
        return self.driver.options.expansion("server_mail_auth_condition")

    def is_offered(self, env: Env) -> Asking[bool]:
        """server_advertise_condition: a text that fails is no offer."""
        return (yield from holds(self.driver.options.expansion("server_advertise_condition"), env))


def holds(condition: Compiled | None, env: Env) -> Asking[bool]:
    """A condition that is unset holds; one that fails does not, nor one that says 0, no or false."""
    if condition is None:
        return True
    outcome = yield from condition.asking(env)
    return isinstance(outcome, Value) and outcome.text.strip().lower() not in _NO


def read_authenticators(configuration: Configuration) -> tuple[ServerAuthenticator, ...]:
    """Those of them that serve, in file order. Raises ConfigurationError for two that cannot be told apart."""
    found: list[ServerAuthenticator] = []
    for driver in configuration.authenticators.values():
        needed = "server_condition" if driver.driver == "plaintext" else "server_secret"
        public = driver.options.text("public_name") or driver.name
        if not driver.options.has(needed):
            continue
        twin = next((each for each in found if each.mechanism == public.upper()), None)
        if twin is not None:
            problem = (
                f"two server authenticators ({twin.name} and {driver.name}) "
                f"have the same public name {public}"
            )
            raise ConfigurationError(driver.place, problem, "give one of them another public_name")
        found.append(ServerAuthenticator(driver.name, public.upper(), driver))
    return tuple(found)


def find(authenticators: Iterable[ServerAuthenticator], mechanism: str) -> ServerAuthenticator | None:
    return next((each for each in authenticators if each.mechanism == mechanism.upper()), None)


class Exchange:
    """One attempt. `answers` are the texts that the client has given: $auth1, $auth2, …, and $1, $2, …"""

    def __init__(self, authenticator: ServerAuthenticator, env: Env) -> None:
        self.authenticator = authenticator
        self.env = env
        self.answers: list[str] = []
        self._forget()

    def begin(self, data: str) -> Asking[Step]:
        """`data` is what followed the mechanism's name, "" for nothing."""
        raise NotImplementedError

    def answered(self, line: str) -> Asking[Step]:
        """The client's answer to the last challenge, as it came."""
        raise NotImplementedError

    def know(self, *given: str) -> None:
        self.answers += given[: MOST_TEXTS - len(self.answers)]
        values = self.env.variables
        values |= dict(zip(VARIABLES, self.answers, strict=False))
        self.env.numbers = ("", *self.answers)[:10]

    def _forget(self) -> None:
        for name in VARIABLES:
            self.env.variables.pop(name, None)
        self.env.numbers = ()

    def authorised(self) -> Asking[Verdict]:
        """server_condition; unset, all is well."""
        condition = self.authenticator.driver.options.expansion("server_condition")
        if condition is None:
            return Verdict(Finding.ACCEPTED)
        outcome = yield from condition.asking(self.env)
        if not isinstance(outcome, Value):
            return without_value(outcome)
        text = outcome.text
        if text.lower() in _NO:
            return Verdict(Finding.REFUSED)
        if text.lower() in _YES:
            return Verdict(Finding.ACCEPTED)
        return Verdict(Finding.UNKNOWN, f": {text}", text)

    def end(self, verdict: Verdict) -> Asking[Judgement]:
        """Who it was, and what client and log hear of it. What the client gave is forgotten."""
        set_id = self.authenticator.driver.options.expansion("server_set_id")
        outcome = (yield from set_id.asking(self.env)) if set_id is not None else None
        self._forget()
        name = printed(outcome.text) if isinstance(outcome, Value) else None
        if verdict.finding is Finding.ACCEPTED:
            if outcome is None or name is not None:
                return Judgement(Reply(235, ("Authentication succeeded",)), True, name=name)
            assert not isinstance(outcome, Value)
            verdict = Verdict(Finding.UNKNOWN, "", outcome.message)
        return _refusal(verdict, f" (set_id={name})" if name else "")


def without_value(outcome: Outcome) -> Verdict:
    """What an expansion without a value means: the word fail refuses, all else cannot be known."""
    assert not isinstance(outcome, Value)
    finding = Finding.REFUSED if isinstance(outcome, ForcedFailure) else Finding.UNKNOWN
    return Verdict(finding, why=outcome.message)


_WORDS = {
    Finding.REFUSED: (535, "Incorrect authentication data"),
    Finding.UNKNOWN: (435, "Unable to authenticate at present"),
    Finding.NOT_BASE64: (501, "Invalid base64 data"),
    Finding.CANCELLED: (501, "Authentication cancelled"),
    Finding.UNEXPECTED: (553, "Initial data not expected"),
}


def _refusal(verdict: Verdict, shown: str) -> Judgement:
    code, words = _WORDS[verdict.finding]
    reply = Reply(code, (printed(words + verdict.told),))
    if verdict.finding is Finding.REFUSED:
        return Judgement(reply, False, f"{code} {words}{shown}", failed_name=shown)
    if verdict.finding is Finding.UNKNOWN:
        return Judgement(reply, False, f"{code} {words}{shown}: {verdict.why}", failed_name=shown)
    return Judgement(reply, False, f"{code} {words}")


def printed(text: str) -> str:
    """Exim's string_printing: what would end a line or control a terminal is escaped."""
    return "".join(c if 32 <= ord(c) < 127 or ord(c) > 159 else f"\\{ord(c):03o}" for c in text)

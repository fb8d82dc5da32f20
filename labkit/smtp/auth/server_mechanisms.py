"""The mechanisms of a server: plaintext (PLAIN, LOGIN and what else prompts can ask for) and cram_md5.

WHAT       `exchange(authenticator, env, …)` makes the exchange of an authenticator's driver.
DECIDES    plaintext asks for each prompt that the client has not answered yet: what came with AUTH, or came together
           in one line with NULs between, answers several. cram_md5 asks once and compares the digest.
STANDARDS  RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5); Exim specification, chapters "The plaintext authenticator",
           "The cram_md5 authenticator"
READ NEXT  server.py
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from labkit.eximconf.expansion import Env, Value
from labkit.eximconf.lists import split_list
from labkit.mail.asking import Asking
from labkit.smtp.auth.coding import NotBase64, decode, initial_texts, texts
from labkit.smtp.auth.server import (
    Challenge,
    Exchange,
    Finding,
    ServerAuthenticator,
    Step,
    Verdict,
    without_value,
)

CANCEL = "*"
_BLANK = re.compile(r"[ \t\n\v\f\r\0]")
_RESPONSE = re.compile(r"[^ \t\n\v\f\r\0]*[ \t\n\v\f\r](.{32})", re.DOTALL)


class Plaintext(Exchange):
    """Prompts and answers."""

    def __init__(self, authenticator: ServerAuthenticator, env: Env) -> None:
        super().__init__(authenticator, env)
        self._prompts: tuple[str, ...] = ()
        self._next = 0

    def begin(self, data: str) -> Asking[Step]:
        prompts = self.authenticator.driver.options.expansion("server_prompts")
        if prompts is not None:
            outcome = yield from prompts.asking(self.env)
            if not isinstance(outcome, Value):
                return Verdict(Finding.UNKNOWN, why=outcome.message)
            self._prompts = split_list(outcome.text)
        try:
            self.know(*(initial_texts(data) if data else []))
        except NotBase64:
            return Verdict(Finding.NOT_BASE64)
        return (yield from self._go_on())

    def answered(self, line: str) -> Asking[Step]:
        if line == CANCEL:
            return Verdict(Finding.CANCELLED)
        try:
            self.know(*texts(line))
        except NotBase64:
            return Verdict(Finding.NOT_BASE64)
        return (yield from self._go_on())

    def _go_on(self) -> Asking[Step]:
        while self._next < len(self._prompts):
            self._next += 1
            if self._next > len(self.answers):
                return Challenge(self._prompts[self._next - 1])
        return (yield from self.authorised())


class CramMd5(Exchange):
    """One challenge that never comes again; the answer proves to know the secret without telling it."""

    def __init__(self, authenticator: ServerAuthenticator, env: Env, challenge: str) -> None:
        super().__init__(authenticator, env)
        self._challenge = challenge

    def begin(self, data: str) -> Asking[Step]:
        if data:
            return Verdict(Finding.UNEXPECTED)
        return Challenge(self._challenge)
        yield

    def answered(self, line: str) -> Asking[Step]:
        if line == CANCEL:
            return Verdict(Finding.CANCELLED)
        try:
            clear = decode(line)
        except NotBase64:
            return Verdict(Finding.NOT_BASE64)
        self.know(_BLANK.split(clear, maxsplit=1)[0])
        if (found := _RESPONSE.fullmatch(clear)) is None:
            return Verdict(Finding.REFUSED)
        secret = self.authenticator.driver.options.expansion("server_secret")
        assert secret is not None, "without it there is no server authenticator"
        outcome = yield from secret.asking(self.env)
        if not isinstance(outcome, Value):
            return without_value(outcome)
        wanted = digest(outcome.text, self._challenge)
        if not hmac.compare_digest(wanted.encode("latin-1"), found[1].encode("latin-1", "replace")):
            return Verdict(Finding.REFUSED)
        return (yield from self.authorised())


def digest(secret: str, challenge: str) -> str:
    """What a client that knows the secret answers, in small hexadecimal digits."""
    return hmac.new(secret.encode("latin-1"), challenge.encode("latin-1"), "md5").hexdigest()


def exchange(authenticator: ServerAuthenticator, env: Env, challenge: Callable[[], str]) -> Exchange:
    """The exchange of this authenticator; `challenge` makes a text that was never used before."""
    if authenticator.driver.driver == "cram_md5":
        return CramMd5(authenticator, env, challenge())
    return Plaintext(authenticator, env)

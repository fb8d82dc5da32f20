"""The conditions that need more than texts: lists, ACLs, the file system, SRS.

RULES      a list sets $value to what matched, match_… also the numbers of a regular expression; lists and ACLs are the
           Env's hooks, because other modules own them.
STANDARDS  Exim specification, chapter "String expansions", section "Expansion conditions"
READ NEXT  each.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.code import Code, asks, written
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.outcomes import deferred, failed, like
from labkit.eximconf.expansion.questions import Exists, Unanswered
from labkit.eximconf.expansion.srs import inbound
from labkit.eximconf.expansion.texts import items_of, lower
from labkit.mail.asking import Asking, ask


def in_list(name: str, arguments: list[Code[str]]) -> Code[bool]:
    same = lower if name == "inlisti" else str

    def expanding(env: Env) -> Asking[bool]:
        subject = same((yield from arguments[0].asking(env)))
        text = yield from arguments[1].asking(env)
        for item in items_of(text):
            if same(item) == subject:
                env.value = like(item, text)
                return True
        return False

    return written(expanding, arguments)


def exists(argument: Code[str]) -> Code[bool]:
    def expanding(env: Env) -> Asking[bool]:
        path = yield from argument.asking(env)
        if not path.startswith("/"):
            return False
        answer = yield from ask(Exists(str(path)))
        if isinstance(answer, Unanswered):
            raise deferred(answer.reason)
        return answer is True

    return asks(expanding)


def inbound_srs(arguments: list[Code[str]]) -> Code[bool]:
    def expanding(env: Env) -> Asking[bool]:
        local_part = yield from arguments[0].asking(env)
        secret = yield from arguments[1].asking(env)
        found = inbound(local_part, secret, env.variables.get("tod_epoch", ""))
        if found:
            env.srs_recipient = found
        return found is not None

    return written(expanding, arguments)


def by_acl(arguments: list[Code[str]]) -> Code[bool]:
    def expanding(env: Env) -> Asking[bool]:
        values = []
        for each in arguments:
            values.append((yield from each.asking(env)))
        if env.acl is None:
            raise failed(f'ERROR from acl "{values[0]}"')
        verdict = yield from env.acl(values[0], values[1:])
        if verdict.accepted is None:
            raise deferred(f'DEFER from acl "{values[0]}"')
        env.value = verdict.message
        return verdict.accepted

    return asks(expanding)


def match_list(name: str, arguments: list[Code[str]]) -> Code[bool]:
    def expanding(env: Env) -> Asking[bool]:
        subject = yield from arguments[0].asking(env)
        text = yield from arguments[1].asking(env)
        if name == "match_ip" and subject and not hosts.is_ip(subject):
            raise failed(f'"{subject}" is not an IP address')
        if env.match_list is None:
            raise failed(f"{name} is not read by labkit here")
        found = yield from env.match_list(name, subject, text, env)
        if found.found:
            env.value = found.value
            env.numbers = found.numbers or env.numbers
        return found.found

    return asks(expanding)

"""The conditions that need more than texts: lists, ACLs, the file system, SRS.

RULES      a list sets $value to what matched; match_domain and match_local_part also $0 to $9, match_address clears
           them. ACLs are a hook of the Env, because another module owns them.
STANDARDS  Exim specification, chapter "String expansions", section "Expansion conditions"
READ NEXT  each.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.code import Code, asks, written
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.fields import moment
from labkit.eximconf.expansion.outcomes import Defer, Failure, deferred, failed, like
from labkit.eximconf.expansion.scanner import Refused
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.expansion.srs import inbound
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import Exists, Unanswered

if TYPE_CHECKING:
    from labkit.eximconf.lists import NamedLists, PatternList


def in_list(name: str, arguments: list[Code[str]]) -> Code[bool]:
    same = lower if name == "inlisti" else str

    def expanding(env: Env) -> Asking[bool]:
        subject = same((yield from arguments[0].asking(env)))
        text = yield from arguments[1].asking(env)
        for item in split_list(text):
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
        found = inbound(local_part, secret, moment(env, "tod_epoch"))
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
    """match_domain and its like: the list is not expanded (but for match_ip's, which Exim does expand)."""
    made: list[PatternList] = []

    def patterns(text: str, env: Env) -> PatternList:
        if not made or made[0].text != text or made[0].named is not env.named:
            made[:] = [compiled(name, text, env.named)]
        return made[0]

    def expanding(env: Env) -> Asking[bool]:
        subject = yield from arguments[0].asking(env)
        text = yield from arguments[1].asking(env)
        if name == "match_ip" and subject and not hosts.is_ip(subject):
            raise failed(f'"{subject}" is not an IP address')
        try:
            match = yield from patterns(text, env).asking(subject, env, name="", remembers=False)
        except ConfigurationError as problem:
            raise failed(problem.problem) from None
        if isinstance(match, Failure):
            raise failed(f'unable to complete match against "{text}": {match.message}')
        if isinstance(match, Defer):
            raise deferred(f'unable to complete match against "{text}": {match.message}')
        if name != "match_ip":
            env.numbers = match.numbers
        if match.data or name in ("match_domain", "match_local_part"):
            env.value = match.data
        return match.found

    list_text = arguments[1].constant
    if list_text is not None:
        try:
            compiled(name, list_text, {})
        except ConfigurationError as problem:
            raise Refused(problem.problem.removesuffix(" is not read by labkit yet")) from None
    return asks(expanding)


def compiled(name: str, text: str, named: NamedLists) -> PatternList:
    """The list of match_domain and its like. Raises ConfigurationError."""
    # here, because lists need expansions, and so this module, before they can be imported
    from labkit.eximconf.lists import ListKind, compile_list

    kind = ListKind(_KINDS[name])
    return compile_list(kind, text, _NOWHERE, named, expands=name == "match_ip")


_NOWHERE = Place("a list in an expansion", 1)
_KINDS = {
    "match_address": "addresslist",
    "match_domain": "domainlist",
    "match_ip": "hostlist",
    "match_local_part": "localpartlist",
}

"""verify = …: which test is meant, with which options; the tests themselves stand in three other modules.

WHAT       `read_wish` reads "sender=a@b/callout=20s,defer_ok/no_details" into a Wish; `check` runs it.
LIKE EXIM  all of this is found out when the ACL runs: a wrong option is a 451, with Exim's words in the log
NOT YET    certificate (without TLS it is never there), csa, arc, quota, success_on_redirect, callout=hold: refused
STANDARDS  Exim specification, sections "ACL conditions" (verify), "Address verification", "Callout verification"
READ NEXT  verify_address.py, verify_client.py, verify_fields.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from labkit.eximconf.expansion.numbers import interval
from labkit.eximconf.expansion.splitting import split_at
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking
from labkit.mail.questions import Callout
from labkit.smtp.acl import verify_address, verify_client, verify_fields
from labkit.smtp.acl.phases import ALL, WITH_CONTENT, Phase
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import Check, compiled, on_value_asking, turned, wrong
from labkit.smtp.acl.verdicts import Found
from labkit.smtp.acl.verify_address import Wish
from labkit.smtp.acl.vocabulary import not_read

_SENDER = frozenset((Phase.MAIL, Phase.RCPT, Phase.PREDATA, Phase.DATA, Phase.NOT_SMTP))
_EXPECTED = (
    'expected "sender[=address]", "recipient", "helo", "header_syntax", "header_sender", "header_names_ascii" '
    'or "reverse_host_lookup" at start of ACL condition "verify {0}"'
)


@dataclass(frozen=True, slots=True)
class _Row:
    run: Callable[[Scene, Wish], Asking[Found]]
    phases: frozenset[Phase] = ALL
    has_options: bool = True


_ROWS = {
    "reverse_host_lookup": _Row(verify_client.reverse_host_lookup),
    "certificate": _Row(verify_client.certificate, has_options=False),
    "helo": _Row(verify_client.helo, has_options=False),
    "header_syntax": _Row(verify_fields.header_syntax, WITH_CONTENT, False),
    "not_blind": _Row(verify_fields.not_blind, WITH_CONTENT),
    "header_sender": _Row(verify_address.header_sender, WITH_CONTENT),
    "sender": _Row(verify_address.sender, _SENDER),
    "recipient": _Row(verify_address.recipient, frozenset((Phase.RCPT,))),
    "header_names_ascii": _Row(verify_fields.header_names_ascii, WITH_CONTENT, False),
}
_REFUSED = ("csa", "arc")
_REFUSED_OPTIONS = ("success_on_redirect", "quota")


class _Wrong(Exception):
    """What is wrong with the text, in Exim's words."""


class _NotRead(Exception):
    """What labkit cannot do."""


def check(line: Setting, is_negated: bool, verb: str) -> Check:
    forgets = verb == "warn"
    constant = compiled(line).code.constant
    if constant is not None:
        try:
            wish = read_wish(constant)
        except _NotRead as refused:
            raise not_read(f"verify = {refused}", line.place) from None
        except _Wrong as problem:  # Exim finds it out later, too
            log = str(problem)
            return Check(lambda scene: wrong(scene, log))
        return _known(wish, is_negated, forgets)

    def decide(scene: Scene, text: str) -> Asking[Found]:
        try:
            wish = read_wish(text)
        except _Wrong as problem:
            return wrong(scene, str(problem))
        except _NotRead as refused:
            return wrong(scene, f"verify = {refused} is not read by labkit yet")
        return (yield from _run(scene, wish, forgets))

    return on_value_asking(line, decide, turns=is_negated)


def _known(wish: Wish, is_negated: bool, forgets: bool) -> Check:
    """What is verified stands fast."""

    def asking(scene: Scene) -> Asking[Found]:
        found = yield from _run(scene, wish, forgets)
        return turned(found) if is_negated else found

    return Check(None, asking)


def _run(scene: Scene, wish: Wish, forgets: bool) -> Asking[Found]:
    row = _ROWS[wish.what]
    if scene.phase not in row.phases:
        return wrong(scene, f"cannot verify {wish.what} in ACL for {scene.phase.called}")
    found = yield from row.run(scene, wish)
    if scene.words is not None:
        scene.env.variables["acl_verify_message"] = scene.words
        if forgets:  # a message of warn is a header field, not what a client hears
            scene.words = None
    if scene.watched and not scene.because:
        scene.because = scene.log or f"verify = {wish.what}"
    return found


@lru_cache(maxsize=256)
def read_wish(text: str) -> Wish:
    """Raises _Wrong and _NotRead."""
    words = split_at(text, "/")
    first = words[0] if words else ""
    what = next((name for name in _ROWS if _is(first, name)), None)
    if what is None:
        if first.lower() in _REFUSED:
            raise _NotRead(first.lower())
        raise _Wrong(_EXPECTED.format(text))
    if not _ROWS[what].has_options and "/" in text:
        raise _Wrong(f"unexpected '/' found in \"{text}\" (this verify item has no options)")
    wish = Wish(what)
    if what == "sender" and (rest := first[len("sender") :]):
        bare = rest.lstrip()
        if not bare.startswith("="):
            raise _Wrong(_EXPECTED.format(text))
        wish = replace(wish, address=bare[1:].lstrip())
    if what == "reverse_host_lookup":
        return replace(wish, defer_ok="defer_ok" in map(str.lower, words[1:]))
    for option in words[1:]:
        wish = _with_blind(wish, option, text) if what == "not_blind" else _with(wish, option, text)
    return _finished(wish)


def _is(first: str, name: str) -> bool:
    lowered = first.lower()
    return lowered.startswith(name) if name == "sender" else lowered == name


def _with_blind(wish: Wish, option: str, text: str) -> Wish:
    if option.lower() != "case_insensitive":
        raise _Wrong(f'unknown option "{option}" in ACL condition "verify {text}"')
    return replace(wish, folds_case=True)


def _with(wish: Wish, option: str, text: str) -> Wish:
    """One of the options that all address verifications share."""
    lowered = option.lower()
    if any(lowered.startswith(name) for name in _REFUSED_OPTIONS):
        raise _NotRead(f"{wish.what}/{option}")
    if lowered == "defer_ok":
        return replace(wish, defer_ok=True)
    if lowered == "no_details":
        return replace(wish, no_details=True)
    if lowered == "callout_defer_ok":
        return replace(wish, callout_defer_ok=True, callout=wish.callout or Callout())
    if lowered == "check_postmaster":
        return replace(wish, callout=replace(wish.callout or Callout(), postmaster=""))
    if not lowered.startswith("callout"):
        raise _Wrong(f'unknown option "{option}" in ACL condition "verify {text}"')
    rest = option[len("callout") :].lstrip()
    wish = replace(wish, callout=wish.callout or Callout())
    if not rest:
        return wish
    if not rest.startswith("="):
        raise _Wrong(f'\'=\' expected after "callout" in ACL condition "{text}"')
    for each in split_at(rest[1:], ","):
        wish = _with_callout(wish, each, text)
    return wish


_FLAGS: dict[str, dict[str, object]] = {
    "no_cache": {"uses_cache": False},
    "random": {"is_random": True},
    "use_sender": {"uses_sender": True},
    "use_postmaster": {"uses_postmaster": True},
    "postmaster": {"postmaster": ""},
    "fullpostmaster": {"full_postmaster": True, "postmaster": ""},
}
_VALUES = ("postmaster_mailfrom", "mailfrom", "maxwait", "connect")


def _with_callout(wish: Wish, option: str, text: str) -> Wish:
    """One of the options behind callout=."""
    callout = wish.callout
    assert callout is not None
    lowered = option.lower()
    if lowered.startswith("defer_ok"):
        return replace(wish, callout_defer_ok=True)
    if lowered.startswith("hold"):
        raise _NotRead(f"{wish.what}/callout=hold")
    if (name := next((each for each in _VALUES if lowered.startswith(each)), None)) is not None:
        return _with_value(wish, name, option, text)
    if (name := next((each for each in _FLAGS if lowered.startswith(each)), None)) is not None:
        changed: Callout = replace(callout, **_FLAGS[name])  # type: ignore[arg-type]
        return replace(wish, callout=changed)
    return replace(wish, callout=replace(callout, timeout=_time(option, text)))


def _with_value(wish: Wish, name: str, option: str, text: str) -> Wish:
    found = re.fullmatch(r"\s*=\s*(.*)", option[len(name) :], re.DOTALL)
    if found is None:
        raise _Wrong(f'\'=\' expected after "{name}" in ACL verify condition "{text}"')
    assert wish.callout is not None
    if name == "maxwait":
        return replace(wish, overall=_time(found[1], text))
    if name == "connect":
        return replace(wish, connect=_time(found[1], text))
    if name == "postmaster_mailfrom":
        return replace(wish, callout=replace(wish.callout, postmaster=found[1]))
    if wish.what != "header_sender":
        raise _Wrong(
            '"mailfrom" is allowed as a callout option only for verify=header_sender '
            f'(detected in ACL condition "{text}")'
        )
    return replace(wish, callout=replace(wish.callout, mail_from=found[1]))


def _time(text: str, whole: str) -> int:
    if (found := interval(text)) is None:
        raise _Wrong(f'bad time value in ACL condition "verify {whole}"')
    return found


def _finished(wish: Wish) -> Wish:
    """Fill in the times that follow from others, and see what does not go together."""
    callout = wish.callout
    if callout is None:
        return wish
    if callout.uses_sender and callout.uses_postmaster:
        raise _Wrong("only one of use_sender and use_postmaster can be set for a recipient callout")
    if wish.what == "sender" and (callout.uses_sender or callout.uses_postmaster):
        raise _Wrong("use_sender or use_postmaster cannot be used for a sender verify callout")
    if callout.timeout <= 0:
        return replace(wish, callout=None)
    connect = callout.timeout if wish.connect is None else wish.connect
    overall = 4 * callout.timeout if wish.overall is None else wish.overall
    return replace(wish, callout=replace(callout, connect=connect, overall=overall))

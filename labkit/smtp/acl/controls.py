"""control = …: what is to be done differently for this message, or for the rest of the connection.

WHAT       one row for each control: in which phases, and what it sets in the scene. What labkit cannot do is refused
           by name when the file is read, or when the text turns out to say it.
LIKE EXIM  an unknown control, or one with a wrong option, is found out when the ACL runs: 451
STANDARDS  Exim specification, section "Use of the control modifier"
READ NEXT  listed.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labkit.eximconf.reader import Setting
from labkit.smtp.acl.phases import Phase, but
from labkit.smtp.acl.scene import FakeAnswer, Scene, Submission
from labkit.smtp.acl.values import YES, Check, compiled, on_value, wrong
from labkit.smtp.acl.verdicts import Found
from labkit.smtp.acl.vocabulary import not_read

_FAKE = (
    "Your message has been rejected but is being kept for evaluation.\n"
    "If it was a legitimate message, it may still be delivered to the target recipient(s)."
)
_UNTIL_CONTENT = frozenset((Phase.MAIL, Phase.RCPT, Phase.PREDATA))
_OF_MESSAGE = _UNTIL_CONTENT | {Phase.DATA}
_WITH_LOCAL = _OF_MESSAGE | {Phase.NOT_SMTP}
_BY_SMTP = but(Phase.NOT_SMTP)
_REFUSED = ("cutthrough_delivery", "debug", "dscp", "no_mbox_unspool", "utf8_downconvert")

Effect = Callable[[Scene, str], bool]  # the options, from the slash on; False: they are wrong


@dataclass(frozen=True, slots=True)
class _Row:
    phases: frozenset[Phase]
    effect: Effect
    has_options: bool = False
    remark: str = ""  # what it does not do here


def check(line: Setting) -> Check:
    constant = compiled(line).code.constant
    if constant is not None and (refused := _refused(constant)):
        raise not_read(f"control = {refused}", line.place)
    return on_value(line, _obey)


def _refused(text: str) -> str | None:
    return next((name for name in _REFUSED if text.startswith(name)), None)


def _obey(scene: Scene, text: str) -> Found:
    name = next((each for each in _NAMES if text.startswith(each)), None)
    if name is None:
        if refused := _refused(text):
            return wrong(scene, f"control={refused} is not read by labkit yet")
        return wrong(scene, f'syntax error in "control={text}"')
    row, options = _ROWS[name], text[len(name) :]
    if options and not (row.has_options and options[0] in "/_"):
        return wrong(scene, f'syntax error in "control={text}"')
    if scene.phase not in row.phases:
        return wrong(scene, f'cannot use "control={name}" in {scene.phase.called} ACL')
    if not row.effect(scene, options):
        return wrong(scene, f'syntax error in "control={text}"')
    scene.because = f"control: {text}"
    return YES


def _session(name: str, value: bool) -> Effect:
    def effect(scene: Scene, options: str) -> bool:
        setattr(scene.session, name, value)
        return True

    return effect


def _message(name: str, value: bool) -> Effect:
    def effect(scene: Scene, options: str) -> bool:
        setattr(scene.effects, name, value)
        return True

    return effect


def _caseful(scene: Scene, options: str) -> bool:
    if scene.recipient is not None:
        scene.env.variables["local_part"] = scene.recipient.local_part
    return True


def _caselower(scene: Scene, options: str) -> bool:
    if scene.recipient is not None:
        scene.env.variables["local_part"] = scene.recipient.local_part.lower()
    return True


def _fake(code: int) -> Effect:
    def effect(scene: Scene, options: str) -> bool:
        scene.effects.fake = FakeAnswer(code, options[1:] if options.startswith("/") else _FAKE)
        return True

    return effect


def _freeze(scene: Scene, options: str) -> bool:
    scene.effects.is_frozen = True
    scene.effects.tells_of_freezing = not options.startswith("/no_tell")
    return options.removeprefix("/no_tell") == ""


def _queue(scene: Scene, options: str) -> bool:
    """What follows that is no option is passed over, as in Exim."""
    how = scene.effects.queues or "only"
    while options.startswith(("/only", "/first_pass_route")):
        how = "only" if options.startswith("/only") else "first_pass_route"
        options = options[1 + len(how) :]
    scene.effects.queues = how
    return True


def _submission(scene: Scene, options: str) -> bool:
    before = scene.effects.submission or Submission()
    retains, domain, name = before.retains_sender, before.domain, before.name
    while options.startswith("/"):
        if options.startswith("/sender_retain"):
            retains, options = True, options[len("/sender_retain") :]
        elif options.startswith("/domain="):
            domain, slash, rest = options[len("/domain=") :].partition("/")
            options = slash + rest
        elif options.startswith("/name="):  # the last: it takes all that follows
            name, options = options[len("/name=") :], ""
        else:
            break
    scene.effects.submission = Submission(retains, domain, name)
    return not options


_ROWS: dict[str, _Row] = {
    "allow_auth_unadvertised": _Row(
        frozenset((Phase.CONNECT, Phase.HELO)),
        _session("auth_unadvertised", True),
    ),
    "caseful_local_part": _Row(frozenset((Phase.RCPT,)), _caseful),
    "caselower_local_part": _Row(frozenset((Phase.RCPT,)), _caselower),
    "dkim_disable_verify": _Row(
        but(Phase.DATA, Phase.NOT_SMTP),
        _message("verifies_dkim", False),
    ),
    "enforce_sync": _Row(_BY_SMTP, _session("enforces_sync", True)),
    "fakedefer": _Row(_OF_MESSAGE, _fake(450), True),
    "fakereject": _Row(_OF_MESSAGE, _fake(550), True),
    "freeze": _Row(_WITH_LOCAL, _freeze, True, "nobody is told, with or without /no_tell"),
    "no_callout_flush": _Row(
        _BY_SMTP, _session("flushes_before_callout", False), remark="no effect: replies never wait"
    ),
    "no_delay_flush": _Row(
        _BY_SMTP, _session("flushes_before_delay", False), remark="no effect: replies never wait"
    ),
    "no_enforce_sync": _Row(_BY_SMTP, _session("enforces_sync", False)),
    "no_multiline_responses": _Row(_BY_SMTP, _session("multiline", False)),
    "no_pipelining": _Row(_BY_SMTP, _session("offers_pipelining", False)),
    "queue": _Row(_WITH_LOCAL, _queue, True, "/first_pass_route is taken as /only"),
    "submission": _Row(_UNTIL_CONTENT, _submission, True),
    "suppress_local_fixups": _Row(
        _UNTIL_CONTENT,
        _message("local_fixups", False),
        remark="no effect: SMTP is only fixed up for submission",
    ),
}
_NAMES = tuple(_ROWS)
CONTROLS = {name: row.phases for name, row in _ROWS.items()}

"""All ACLs of a configuration, compiled, and how one of them is run.

WHAT       `compile_acls(configuration)` gives Acls; `Acls.run` answers a command; `Acls.hook` is what an Env's `acl`
           becomes, for ${acl{name}{args}} and `if acl`.
DECIDES    which ACL is meant: a name, the text of one, or (it begins with a slash) a file.
LIKE EXIM  what names no ACL is taken for the text of one, and is a mistake (451) if it is none
STANDARDS  Exim specification, section "Finding an ACL to use"
READ NEXT  nested.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.eximconf import expansion
from labkit.eximconf.configuration import AclStatement, Configuration
from labkit.eximconf.expansion import Compiled, ForcedFailure, Tainted, Value
from labkit.eximconf.expansion.env import AclHook
from labkit.eximconf.expansion.outcomes import Stop, failed
from labkit.eximconf.lists import NamedLists
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import FileText
from labkit.mail.reply import UNEXPECTED_FAILURE
from labkit.smtp.acl.compiling import Phased, compile_statements
from labkit.smtp.acl.phases import ENDINGS, OF_A_MESSAGE, Phase
from labkit.smtp.acl.reading import statements_of
from labkit.smtp.acl.replies import acceptance, refusal
from labkit.smtp.acl.scene import LogLine, Scene
from labkit.smtp.acl.verdicts import AclVerdict, Found, Result
from labkit.smtp.acl.walking import walk

_RESULTS = {
    Found.YES: Result.ACCEPT,
    Found.NO: Result.DENY,
    Found.DROP: Result.DROP,
    Found.DISCARD: Result.DISCARD,
    Found.LATER: Result.DEFER,
    Found.WRONG: Result.DEFER,
    Found.BROKEN: Result.DROP,
}
_ACCEPTED = AclVerdict(Result.ACCEPT)
_DEEPEST = 20
_MOST_KEPT = 1000
_OF_A_RUN = ("domain", "local_part", "address_data", "domain_data", "sender_address_data")
_ARGUMENTS = ("acl_narg", *(f"acl_arg{number}" for number in range(1, 10)))


class Acls:
    """The ACLs of a configuration; texts and files are added when they are met."""

    def __init__(self, acls: Mapping[str, Sequence[AclStatement]], lists: NamedLists) -> None:
        self._written = dict(acls)
        self._lists = lists
        self._phased: dict[tuple[str, Phase], Phased] = {}
        for name, statements in acls.items():
            compile_statements(name, statements, None, lists)

    def run(self, which: Compiled | str | None, scene: Scene) -> Asking[AclVerdict]:
        """Run the ACL that an option names (None: there is none, which denies) and say what becomes of the command."""
        variables = scene.env.variables
        scene.acls, scene.level = self, 0
        scene.words = scene.log = scene.failed_sender = None
        scene.tells = scene.was_callout = False
        scene.reject_logs = ("main", "reject")
        scene.memory.rates_of_command.clear()
        variables.setdefault("acl_narg", "0")
        if scene.watched:
            scene.steps = []
        if (recipient := scene.recipient) is not None and scene.phase in (Phase.RCPT, Phase.VRFY):
            variables["domain"] = recipient.domain.lower()
            variables["local_part"] = recipient.local_part.lower()
        name = which.code.constant if isinstance(which, Compiled) else which
        acl = None if name is None else self._phased.get((name, scene.phase))
        found = yield from self._top(which, scene) if acl is None else walk(acl, scene)
        if found is Found.DISCARD:
            found = _discarding(scene)
        for each in _OF_A_RUN:
            variables.pop(each, None)
        if found is Found.YES and scene.words is None and not scene.watched:
            return _ACCEPTED
        return _verdict(found, scene)

    def _top(self, which: Compiled | str | None, scene: Scene) -> Asking[Found]:
        if which is None:
            return Found.NO
        if isinstance(which, Compiled):
            outcome = yield from which.asking(scene.env)
            if isinstance(outcome, ForcedFailure):
                return Found.YES
            if not isinstance(outcome, Value):
                scene.log = f'failed to expand ACL string "{which.text}": {outcome.message}'
                return Found.WRONG
            which = outcome.text
        return (yield from self.inner(which, scene))

    def inner(self, which: str, scene: Scene) -> Asking[Found]:
        """Run an ACL by its name, its text or its file; the words it leaves are in the scene."""
        if scene.level > _DEEPEST:
            scene.log = "ACL nested too deep: possible loop"
            return Found.WRONG
        if type(which) is Tainted and which:
            text = f'attempt to use tainted ACL text "{which}"'
            scene.logged.append(LogLine(text, ("main", "panic")))
            scene.log = "internal configuration error"
            return Found.WRONG
        key = (which, scene.phase)
        acl = self._phased.get(key)
        if acl is None:
            acl = yield from self._found(which.lstrip(), scene)
            if acl is None:
                return Found.WRONG
            if len(self._phased) >= _MOST_KEPT:  # texts may be different each time
                self._phased.clear()
            self._phased[key] = acl
        return (yield from walk(acl, scene))

    def _found(self, which: str, scene: Scene) -> Asking[Phased | None]:
        """Find and compile an ACL for this phase."""
        place = Place(f"ACL {which.partition(chr(10))[0][:40]!r}", 1)
        try:
            if " " not in which and which in self._written:
                statements: Sequence[AclStatement] = self._written[which]
            elif " " not in which and which.startswith("/"):
                answer = yield from ask(FileText(str(which)))
                if not isinstance(answer, str):
                    scene.log = f'failed to open ACL file "{which}": {answer.reason}'
                    return None
                statements = self._written[str(which)] = statements_of(answer, Place(str(which), 1))
            else:
                statements = statements_of(which, place)
            return compile_statements(which, statements, scene.phase, self._lists)
        except ConfigurationError as problem:
            scene.log = problem.problem
            return None

    def hook(self, scene: Scene) -> AclHook:
        """What `env.acl` is to be: run an ACL from within an expansion."""

        def call(name: str, arguments: Sequence[str]) -> Asking[expansion.AclVerdict]:
            scene.acls = self
            kept = (scene.words, scene.log, scene.tells, scene.was_callout, scene.steps)
            scene.words = scene.log = scene.failed_sender = None
            scene.reject_logs = ("main", "reject")
            scene.memory.rates_of_command.clear()
            found = yield from self.called(name, arguments, scene)
            words = scene.words
            scene.words, scene.log, scene.tells, scene.was_callout, scene.steps = kept
            if found is Found.LATER:  # Exim makes a forced failure of it, for the item and for the condition
                raise Stop(ForcedFailure(f'DEFER from acl "{name}"'))
            if found not in (Found.YES, Found.NO):
                raise failed(f'ERROR from acl "{name}"')
            return expansion.AclVerdict(found is Found.YES, words or "")

        return call

    def called(self, name: str, arguments: Sequence[str], scene: Scene) -> Asking[Found]:
        """Run an ACL from within another, with $acl_arg1, …"""
        variables = scene.env.variables
        kept = [variables.get(each) for each in _ARGUMENTS]
        told = (str(len(arguments)), *arguments[:9])
        for index, each in enumerate(_ARGUMENTS):
            variables[each] = told[index] if index < len(told) else ""
        scene.level += 1
        try:
            return (yield from self.inner(name, scene))
        finally:
            scene.level -= 1
            for each, value in zip(_ARGUMENTS, kept):
                if value is None:
                    variables.pop(each, None)
                else:
                    variables[each] = value


def compile_acls(configuration: Configuration) -> Acls:
    """Compile the ACLs of a configuration. Raises ConfigurationError."""
    return Acls(configuration.acls, configuration.lists)


def _discarding(scene: Scene) -> Found:
    """Only a message, or a recipient of one, can be thrown away."""
    if scene.phase in OF_A_MESSAGE and scene.phase is not Phase.PREDATA:
        return Found.DISCARD
    text = f'"discard" verb not allowed in {scene.phase.called} ACL'
    scene.logged.append(LogLine(text, ("main", "panic")))
    return Found.WRONG


def _verdict(found: Found, scene: Scene) -> AclVerdict:
    steps = tuple(scene.steps) if scene.watched else ()
    if found in (Found.YES, Found.DISCARD):
        words = scene.words
        folds = found is Found.YES
        reply = None if words is None else acceptance(scene.phase, words, scene, folds=folds)
        return AclVerdict(_RESULTS[found], reply, (scene.log or "").partition("\n")[0], words, steps)
    if found is Found.BROKEN:
        return AclVerdict(Result.DROP, UNEXPECTED_FAILURE, "", None, steps)
    words = scene.words
    if scene.phase in ENDINGS:
        if found is Found.WRONG:
            scene.logged.append(
                LogLine(f"ACL for {scene.phase.called} returned ERROR: {scene.log}", ("main", "panic"))
            )
        reply = None if words is None else acceptance(scene.phase, words, scene)
        return AclVerdict(_RESULTS[found], reply, scene.log or "", words, steps)
    reply, log = refusal(found, scene)
    return AclVerdict(_RESULTS[found], reply, log, words, steps)

"""dkim_signers and dkim_status: conditions of acl_smtp_dkim, about the signature that it is run for.

LIKE EXIM  a list is expanded as a text first, and then as a list; case does not count; without a signer nothing holds
STANDARDS  Exim specification, section "ACL conditions"
READ NEXT  labkit/mta/dkim_receiving.py runs the ACL
"""

from __future__ import annotations

from labkit.eximconf.expansion import Defer, Failure
from labkit.eximconf.lists import ListKind, NamedLists, compile_list
from labkit.eximconf.reader import ConfigurationError, Setting
from labkit.mail.asking import Asking
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import NO, YES, Check, on_value_asking, wrong
from labkit.smtp.acl.verdicts import Found

_VARIABLES = {"dkim_signers": "dkim_cur_signer", "dkim_status": "dkim_verify_status"}


def check(line: Setting, is_negated: bool, lists: NamedLists) -> Check:
    variable = _VARIABLES[line.name]

    def decide(scene: Scene, text: str) -> Asking[Found]:
        subject = scene.env.variables.get(variable, "")
        if not subject:
            scene.because = "nobody has signed"
            return NO
        try:
            patterns = compile_list(ListKind.LOCAL_PART, text, line.place, lists)
        except ConfigurationError as problem:
            return wrong(scene, problem.problem)
        match = yield from patterns.asking(subject, scene.env)
        if isinstance(match, (Failure, Defer)):
            scene.log = scene.because = match.message
            return Found.LATER
        scene.because = f"{subject} {'is' if match.found else 'is not'} in {text}"
        return YES if match.found else NO

    return on_value_asking(line, decide, turns=is_negated)

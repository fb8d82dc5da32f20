"""spf = fail : softfail, spf_guess = …: may this client use the sender's domain?

ASKS       SpfOf the client and the sender, each time
SETS       $spf_result, $spf_smtp_comment, $spf_header_comment, $spf_received; with spf_guess also $spf_result_guessed
RULES      the value is a list of results, compared as they are written; "!fail" is any other one. spf_guess evaluates
           the record of the option spf_guess for a domain that publishes none.
LIKE EXIM  without HELO nothing can be found out: that counts as permerror, and the variables stay as they are
STANDARDS  RFC 7208; Exim specification, section "SPF (Sender Policy Framework)"
READ NEXT  seen.py
"""

from __future__ import annotations

from dataclasses import replace

from labkit.eximconf.expansion import Value
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import SpfFound, SpfOf
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import Check, on_value_asking, wrong
from labkit.smtp.acl.verdicts import Found


def check(line: Setting, is_negated: bool, *, guesses: bool) -> Check:
    """The condition spf, or spf_guess."""

    def decide(scene: Scene, wanted: str) -> Asking[Found]:
        result = yield from _result(scene, guesses)
        if result is None:
            return wrong(scene, "expansion of spf_smtp_comment_template failed")
        scene.because = f"SPF says {result}"
        for item in split_list(wanted):
            is_turned = item.startswith("!")
            if (item.removeprefix("!") == result) != is_turned:
                return Found.YES
        return Found.NO

    return on_value_asking(line, decide, turns=is_negated)


def _result(scene: Scene, guesses: bool) -> Asking[str | None]:
    """The result, and the variables; None if there is no text for the client."""
    variables = scene.env.variables
    client, helo = variables.get("sender_host_address", ""), variables.get("sender_helo_name", "")
    if not client or not helo:
        return "permerror"
    template = yield from _template(scene)
    if template is None:
        return None
    sender, receiver = variables.get("sender_address", ""), scene.env.here.primary_hostname
    question = SpfOf(client, helo, sender, receiver, template)
    found = yield from ask(question)
    if guesses and found is not None and found.result == "none":
        found = yield from ask(replace(question, record=scene.spf.guess))
        variables["spf_result_guessed"] = "yes"
    if found is None:
        return "permerror"
    _tell(variables, found)
    return found.result


def _template(scene: Scene) -> Asking[str | None]:
    """What the client may hear, expanded once for a connection: nothing of a message counts."""
    spf = scene.spf
    if spf.comment is None and spf.template is not None:
        outer = scene.env.variables
        scene.env.variables = {
            name: value for name, value in outer.items() if not name.startswith("sender_address")
        }
        outcome = yield from spf.template.asking(scene.env)
        scene.env.variables = outer
        spf.comment = outcome.text if isinstance(outcome, Value) else None
        return spf.comment
    return spf.comment or ""


def _tell(variables: dict[str, str], found: SpfFound) -> None:
    variables |= {
        "spf_result": found.result,
        "spf_smtp_comment": found.smtp_comment,
        "spf_header_comment": found.header_comment,
        "spf_received": found.received,
    }

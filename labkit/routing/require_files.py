"""The precondition require_files: are these files there?

WHAT       read_tests takes the option apart; tests_hold asks Exists for each file, and AccountNamed for each user.
RULES      `!` in front: it must not be there. `+` in front: a file we may not look at counts as missing. An item
           without a slash names the user for whom the files after it are meant: the user must exist.
SIMPLER    files of a lab host have one owner: what is there can be read, and a group is taken as it is written
STANDARDS  Exim specification, chapter "Generic options for routers", option require_files
READ NEXT  preconditions.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Compiled, Env, ForcedFailure, Value, compile_text
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.place import Place
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import Exists, Unanswered, Unopened
from labkit.mail.questions import AccountNamed
from labkit.routing.texts import expanded

FORBIDDEN = "Permission denied"
_NUMBER = re.compile(r"[-0-9][0-9]*")


@dataclass(frozen=True, slots=True)
class FileTest:
    """One item, before it is expanded."""

    text: Compiled


def read_tests(text: str, place: Place) -> tuple[FileTest, ...]:
    """Cut the option into its items. Raises ConfigurationError."""
    return tuple(FileTest(compile_text(item, place)) for item in split_list(text))


def tests_hold(tests: tuple[FileTest, ...], env: Env) -> Asking[bool | str]:
    """Whether all hold; a text tells why it cannot be said."""
    for test in tests:
        outcome = yield from expanded(test.text, env)
        if isinstance(outcome, ForcedFailure):
            continue
        if not isinstance(outcome, Value):
            return f'failed to expand "{test.text.text}" for require_files: {outcome.message}'
        if not outcome.text:
            continue
        look = _file_holds if "/" in outcome.text else _user_exists
        holds = yield from look(str(outcome.text))
        if holds is not True:
            return holds
    return True


def _user_exists(item: str) -> Asking[bool | str]:
    user, comma, _ = item.partition(",")
    if _NUMBER.fullmatch(user):
        return True if comma else f"group missing after numerical uid {user} for require_files"
    if (yield from ask(AccountNamed(user))) is None:
        return f'user "{user}" for require_files not found'
    return True


def _file_holds(item: str) -> Asking[bool | str]:
    excuses = item.startswith("+")
    path = item[1:].lstrip(BLANKS) if excuses else item
    is_inverted = path.startswith("!")
    path = path[1:].lstrip(BLANKS) if is_inverted else path
    if not path.startswith("/"):
        return f'require_files: "{path}" is not absolute'
    answer = yield from ask(Exists(path))
    if isinstance(answer, Unopened) and (answer.is_missing or (excuses and answer.reason == FORBIDDEN)):
        answer = False
    if isinstance(answer, (Unopened, Unanswered)):
        return f"require_files: error for {path}: {answer.reason}"
    return answer is not is_inverted

"""set, delay, logwrite, log_reject_target, continue: modifiers that do something as soon as they are met.

STANDARDS  Exim specification, section "ACL modifiers"
LIKE EXIM  a forced failure: nothing is set, nothing is written; a delay is a time in Exim's notation, else 451
READ NEXT  controls.py
"""

from __future__ import annotations

from labkit.eximconf.expansion.numbers import interval
from labkit.eximconf.expansion.splitting import split_list
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import Pause
from labkit.smtp.acl.scene import LogLine, Scene
from labkit.smtp.acl.texts import printed
from labkit.smtp.acl.values import YES, Check, on_value, on_value_asking, wrong
from labkit.smtp.acl.verdicts import Found

_LOGS = ("main", "panic", "reject")


def set_variable(line: Setting, name: str) -> Check:
    def decide(scene: Scene, value: str) -> Found:
        scene.env.variables[name] = value
        if scene.watched:
            scene.because = f"{name} is set to {value!r}"
        return YES

    return on_value(line, decide)


def go_on(line: Setting) -> Check:
    return on_value(line, lambda scene, value: YES)


def delay(line: Setting) -> Check:
    def decide(scene: Scene, value: str) -> Asking[Found]:
        pause = interval(value)
        if pause is None:
            return wrong(
                scene, f'syntax error in argument for "delay" modifier: "{value}" is not a time value'
            )
        scene.because = f"a pause of {pause} seconds"
        if pause:
            yield from ask(Pause(pause))
        return YES

    return on_value_asking(line, decide)


def logwrite(line: Setting) -> Check:
    def decide(scene: Scene, value: str) -> Found:
        logs, text = _destinations(value, scene)
        scene.logged.append(LogLine(printed(text), logs))
        scene.because = f"written into the log: {text}"
        return YES

    return on_value(line, decide)


def _destinations(value: str, scene: Scene) -> tuple[tuple[str, ...], str]:
    """`:main,reject: text` names the logs."""
    if not value.startswith(":"):
        return ("main",), value.lstrip()
    names, colon, text = value[1:].partition(":")
    logs: list[str] = []
    while names:
        name = next((each for each in _LOGS if names.startswith(each)), None)
        if name is None or not colon:
            problem = f'unknown log name in "{value}" in "logwrite" in {scene.phase.called} ACL'
            return ("main", "panic"), problem
        logs.append(name)
        names = names[len(name) :].removeprefix(",")
    return tuple(dict.fromkeys(logs)) or ("main",), text.lstrip()


def log_reject_target(line: Setting) -> Check:
    def decide(scene: Scene, value: str) -> Found:
        logs: list[str] = []
        for name in split_list(value):
            if name in _LOGS:
                logs.append(name)
                continue
            logs += ["main", "reject"]
            problem = f'unknown log name "{name}" in "log_reject_target" in {scene.phase.called} ACL'
            scene.logged.append(LogLine(problem, ("main", "panic")))
        scene.reject_logs = tuple(dict.fromkeys(logs))
        return YES

    return on_value(line, decide)

"""The options that name messages or a queue run: -q…, -R…, -S…, -M….

LIKE EXIM  -q alone, or with one or two message ids behind it, is a single run; with a time it is repeated. -R and -S
           alone are a single run, too. What follows -M… are ids, of some of them one id and then addresses.
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  listing.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from labkit.cli.exim.command import Command, Mode, Refused, Selection

MESSAGE_ID = re.compile(r"[A-Za-z0-9]{6}-[A-Za-z0-9]{6}-[A-Za-z0-9]{2}")
_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_QUEUE = re.compile(r"-q(?P<q>q)?(?P<i>i)?(?P<f>f{1,2})?(?P<l>l)?(?P<named>G[^/]*/?)?(?P<time>.*)", re.DOTALL)
_SELECT = re.compile(r"-[RS](?P<flags>ff|f|rff|rf|r)?(?P<text>.*)", re.DOTALL)
ON_ONE = ("ar", "es", "md", "vb", "vc", "vh", "vl")  # one id, then addresses or nothing
ON_MANY = ("", "c", "f", "g", "mad", "rm", "t")
SHOWN = ("vb", "vc", "vh", "vl")
DELIVERS = ("", "c", "g")
LONGEST_TEXT = 320  # characters of -R and -S


def seconds_of(text: str, word: str = "") -> int:
    """A time as Exim writes it, 1h30m, in the `word` of the command line. Raises Refused."""
    found = re.fullmatch(r"(?:[0-9]+[wdhms])*(?:[0-9]+s?)?", text)
    if not text or found is None or len(text) > 30:
        raise Refused(f"exim: bad time value {word or text}: abandoned")
    return sum(int(number) * _UNITS[unit or "s"] for number, unit in re.findall(r"([0-9]+)([wdhms]?)", text))


def queue_option(word: str, left: Iterator[str], command: Command) -> None:
    found = _QUEUE.fullmatch(word)
    assert found is not None, word
    if command.interval is not None:
        raise Refused("exim: -q specified more than once")
    if found["named"]:
        raise Refused("labkit-exim: -qG: labkit has one queue only; a real Exim can do it")
    selection = _selection(command)
    selection.two_stages, selection.first_only = bool(found["q"]), bool(found["i"])
    selection.forced, selection.thaws = bool(found["f"]), found["f"] == "ff"
    selection.local_only = bool(found["l"])
    following = getattr(left, "following", None)
    if found["time"]:
        command.interval = _interval(found["time"], word)
    elif following is None or following.startswith("-") or MESSAGE_ID.fullmatch(following):
        command.interval = 0
        for name in ("first_id", "last_id"):
            following = getattr(left, "following", None)
            if following is not None and MESSAGE_ID.fullmatch(following):
                setattr(selection, name, next(left))
    else:
        command.interval = _interval(next(left))


def _interval(text: str, word: str = "") -> int:
    seconds = seconds_of(text, word)
    if seconds == 0:
        raise Refused(f"exim: bad time value {word or text}: abandoned")
    return seconds


def selecting_option(word: str, left: Iterator[str], command: Command) -> None:
    """-R TEXT and -S TEXT; the text may stand at once behind the letters."""
    found = _SELECT.fullmatch(word)
    assert found is not None, word
    flags = found["flags"] or ""
    text = found["text"] or next(left, None)
    if text is None:
        raise Refused(f"exim: string expected after {word[:2]}")
    if len(text) > LONGEST_TEXT:
        raise Refused(f"exim: {word[:2]} is too long")
    selection = _selection(command)
    selection.forced = selection.forced or "f" in flags
    selection.thaws = selection.thaws or "ff" in flags
    if word[1] == "R":
        selection.part, selection.part_is_regex = text, "r" in flags
    else:
        selection.sender_part, selection.sender_is_regex = text, "r" in flags


def _selection(command: Command) -> Selection:
    if command.selection is None:
        command.selection = Selection()
    return command.selection


def message_option(word: str, left: Iterator[str], command: Command, modes: list[Mode]) -> bool:
    """-M… and what stands behind it. False: the word is another option."""
    name = word[2:]
    if not word.startswith("-M") or name not in (*ON_ONE, *ON_MANY):
        return False
    command.action = name
    modes.append(Mode.SHOW if name in SHOWN else Mode.DELIVER if name in DELIVERS else Mode.ACT)
    ids: list[str | None] = [next(left, None)] if name in ON_ONE else [*left] or [None]
    for each in ids:
        if each is None:
            raise Refused(f"exim: no message ids given after {word} option")
        if not MESSAGE_ID.fullmatch(each):
            raise Refused(f"exim: malformed message id {each} after {word} option")
        command.ids.append(each)
    return True


def settle_queue(command: Command, incompatible: Callable[[], Refused]) -> None:
    """What the daemon and a queue run may be asked for together. Raises Refused."""
    if command.selection is not None and command.interval is None:
        command.interval = 0
    runs = command.interval is not None
    if not (command.listens or runs):
        return
    allowed: tuple[Any, ...] = (
        (Mode.NOTHING, Mode.LIST, Mode.COUNT) if command.interval == 0 else (Mode.NOTHING,)
    )
    if command.mode in (Mode.LIST, Mode.COUNT) and (command.listens or command.interval):
        raise incompatible()
    is_more = command.mode not in allowed or command.reads_recipients or bool(command.arguments)
    if is_more and command.mode not in (Mode.LIST, Mode.COUNT):
        raise incompatible()
    if command.listens and command.interval == 0:
        raise incompatible()
    if (command.listens or command.interval) and command.sender is not None:
        raise incompatible()


def add_interval(command: Command) -> None:
    """What -bd and -q make of a command that does nothing else."""
    if command.mode is not Mode.NOTHING:
        return
    if command.listens or command.interval:
        command.mode = Mode.DAEMON
    elif command.interval == 0:
        command.mode = Mode.RUN_QUEUE

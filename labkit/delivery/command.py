"""A command line as Exim reads it: words parted by blanks, quotes, and each word expanded by itself.

DECIDES    the words of a program; `$pipe_addresses` alone is one word for each address
SAFE       no shell takes part; a word that a stranger chose is refused, unless it is one of the addresses
STANDARDS  Exim specification, chapter "The pipe transport", section "How the command is run"
READ NEXT  pipe.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.delivery.generic import Stuck, Trouble, expanded
from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Env, Tainted, compile_text
from labkit.eximconf.place import Place
from labkit.mail.asking import Asking

MOST_WORDS = 60
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v"}
ADDRESSES = ("$pipe_addresses", "${pipe_addresses}")
ADDRESS_PIPE = ("$address_pipe", "${address_pipe}")


def words_of(command: str) -> list[str]:
    """Split a command. In double quotes a backslash escapes; in single quotes nothing does."""
    words, at = [], _after_blanks(command, 0)
    while at < len(command):
        if command[at] == "'":
            end = command.find("'", at + 1)
            end = len(command) if end < 0 else end
            words.append(command[at + 1 : end])
            at = end + 1
        elif command[at] == '"':
            word, at = _in_quotes(command, at + 1)
            words.append(word)
        else:
            end = at
            while end < len(command) and command[end] not in BLANKS:
                end += 1
            words.append(command[at:end])
            at = end
        at = _after_blanks(command, at)
    return words


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def _in_quotes(text: str, at: int) -> tuple[str, int]:
    word = ""
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            char, at = _escaped(text, at + 1)
            word += char
        else:
            word += text[at]
            at += 1
    return word, at + 1


def _escaped(text: str, at: int) -> tuple[str, int]:
    """What stands behind a backslash, and where it ends."""
    char = text[at]
    if char in "01234567":
        end = at + 1
        while end < min(len(text), at + 3) and text[end] in "01234567":
            end += 1
        return chr(int(text[at:end], 8) % 256), end
    if char == "x":
        end = at + 1
        while end < min(len(text), at + 3) and text[end] in "0123456789abcdefABCDEF":
            end += 1
        return chr(int(text[at + 1 : end] or "0", 16)), end
    return _ESCAPES.get(char, char), at + 1


def argument_list(
    command: str, env: Env, addresses: Sequence[str], what: str, *, expands: bool, target: str = ""
) -> Asking[list[str] | Trouble]:
    """The words of a program. `what` names the transport in messages; `expands`: the configuration wrote the command.

    `target` is the |program of an alias that `$address_pipe` stands for (force_command).
    """
    words = words_of(command)
    most = MOST_WORDS + len(addresses)
    if len(words) > most:
        return Trouble(f'Too many arguments in command "{command}" in {what}', fails=True)
    if not expands:
        return words
    found: list[str] = []
    for number, word in enumerate(words):
        if word in ADDRESSES:
            found += addresses
        elif target and word in ADDRESS_PIPE:
            found += words_of(target.removeprefix("|"))
        else:
            value = yield from _expanded(word, env, command, what)
            if isinstance(value, Trouble):
                return value
            if isinstance(value, Tainted):
                return Trouble(f"Tainted arg {number} for {what} command: '{value}'", fails=True)
            found.append(value)
    if len(found) > most:
        return Trouble(f'Too many arguments to command "{command}" in {what}', fails=True)
    return found


def _expanded(word: str, env: Env, command: str, what: str) -> Asking[str | Trouble]:
    try:
        value = yield from expanded(compile_text(word, Place("a command", 0)), env)
        why = '"fail" requested'
    except Stuck as stuck:
        value, why = None, stuck.trouble.words
    if value is None:
        return Trouble(f'Expansion of "{word}" from command "{command}" in {what} failed: {why}')
    return value

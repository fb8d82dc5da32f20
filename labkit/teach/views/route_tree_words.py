"""Why a router took an address or passed it on, in words, with what it read if it read a file.

READ NEXT  route_tree.py
"""

from __future__ import annotations

from labkit.mail.lookups import FileLine, FileText, Unopened
from labkit.routing import RouterStep

_SAYS_LITTLE = ("it takes everything", "it declined", "")
_OF_ACCOUNTS = (" is an account of this host", " is no account of this host")


def reason(step: RouterStep) -> str:
    """Why a router took an address or passed it on: with what it read, if it read a file."""
    read = [
        words for look in step.looks for asked in look.asked if (words := _read(asked.question, asked.answer))
    ]
    said = step.because.replace("; ", "\n")
    if not read:
        return said
    says_less = said in _SAYS_LITTLE or said.endswith(_OF_ACCOUNTS) or any(said in words for words in read)
    return "\n".join(read if says_less else [*read, said])


def _read(question: object, answer: object) -> str:
    """What a file said, in words; nothing for other questions, and for a file that could not be read."""
    if isinstance(question, FileLine):
        if isinstance(answer, str):
            return f"{question.file} says {question.key}: {answer.strip()}"
        return "" if isinstance(answer, Unopened) else f"{question.file} has no line for {question.key}"
    if isinstance(question, FileText):
        if isinstance(answer, str):
            return f"{question.path} says {', '.join(answer.split(chr(10))).strip(', ')}"
        return f"there is no {question.path}" if isinstance(answer, Unopened) and answer.is_missing else ""
    return ""

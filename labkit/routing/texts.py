"""Expand a text in whichever colour it has.

READ NEXT  compile.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import Compiled, Env, Outcome
from labkit.mail.asking import Asking


def expanded(text: Compiled, env: Env) -> Asking[Outcome]:
    """Expand a text of either colour."""
    if text.code.plain is not None:
        return text.expand(env)
    return (yield from text.asking(env))
